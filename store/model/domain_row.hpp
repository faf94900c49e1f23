// SPDX-License-Identifier: MIT
// A row of `domain` as a value. Read by store/core/domain.hpp.
#ifndef XLSTORE_STORE_MODEL_DOMAIN_ROW_HPP_
#define XLSTORE_STORE_MODEL_DOMAIN_ROW_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "store/base/domain_id.hpp"
#include "store/model/qemu_registration.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

enum class DomainState { creating, running, destroying, destroyed };
[[nodiscard]] std::string_view state_name(DomainState state) noexcept;

struct DomainRow {
    DomainId id{};
    std::int64_t domid = 0;
    std::string uuid;
    std::optional<std::string> vm_uuid;  ///< that it goes by since it was preserved
    std::string name;
    DomainState state = DomainState::creating;
    JsonLayout layout = JsonLayout::yajl;  ///< how libxl wrote its document
    std::string boot_id;
    std::optional<std::int64_t> creator;            ///< session, while it is being created
    std::optional<qmp::Registration> registration;  ///< nothing: no QEMU known
    bool has_initial_devices = false;  ///< what its QEMU was started with has been asked for
    bool has_run = false;              ///< its QEMU's death does not end it
    /// Its creation was under way in an older state of the store (R17): it is registered by
    /// looking.
    bool older_state = false;
    bool without_qemu = false;  ///< created as one that no QEMU stands for: Xen is asked for it
    std::string log_path;
    std::int64_t epoch = 0;  ///< of the slow hold that changed it last (R15)

    [[nodiscard]] std::string subject() const
    {
        return "domain " + std::to_string(domid) + " (" + name + ")";
    }
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_MODEL_DOMAIN_ROW_HPP_
