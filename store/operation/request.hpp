// SPDX-License-Identifier: MIT
// One operation on a thing as a toolstack asks for it, and how a batch of them is written. A value:
// nothing here knows a lock, a QEMU or an xenstored.
#ifndef XLSTORE_STORE_OPERATION_REQUEST_HPP_
#define XLSTORE_STORE_OPERATION_REQUEST_HPP_

#include <string>
#include <string_view>
#include <vector>

#include "store/base/error.hpp"

namespace xlstore {

/// One operation that is asked for.
struct Request {
    enum class Kind { attach, detach, insert, eject };
    Kind kind;
    std::string device_class;  ///< of a CD drive: disks
    std::string key;           ///< of an attach: empty, its JSON says it
    std::string text;          ///< attach: the thing's JSON; insert: the image's absolute path
    /// insert, eject: a tray that the guest keeps shut is opened all the same
    bool force = false;
    bool waits = false;  ///< insert, eject: the guest that keeps it shut is waited for
};
[[nodiscard]] std::string_view kind_name(Request::Kind kind) noexcept;

/// [{"attach": CLASS, "thing": {…}}, {"detach": CLASS, "key": KEY}, {"insert": VDEV, "file": PATH},
/// {"eject": VDEV}, …]; the last two may have "force": true and "wait": true. Error invalid, naming
/// the element.
Result<std::vector<Request>> requests_from_json(std::string_view text);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_REQUEST_HPP_
