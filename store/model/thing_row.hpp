// SPDX-License-Identifier: MIT
// An entry of a document as its row has it: a value. Read by store/core/domain.hpp.
#ifndef XLSTORE_STORE_MODEL_THING_ROW_HPP_
#define XLSTORE_STORE_MODEL_THING_ROW_HPP_

#include <cstdint>
#include <string>

#include "store/model/intent.hpp"

namespace xlstore {

struct ThingRow {
    std::int64_t id = 0;
    ThingName name;
    std::string state;
    std::string primary;
    std::string json;
    std::string address;  ///< where QEMU put its devices (store/qmp/address.hpp); "": not known
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_MODEL_THING_ROW_HPP_
