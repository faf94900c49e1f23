// SPDX-License-Identifier: MIT
// Opens an image without keeping the loop (R20): open() of a file on a server that does not answer
// comes back when that does, perhaps never, and nothing can break it off. So a forked child opens
// it and passes the descriptor back; at the deadline it is abandoned. It has no other descriptor of
// this process, so that it keeps no lock and no connection alive, however long it hangs.
#ifndef XLSTORE_STORE_OS_IMAGE_OPENER_HPP_
#define XLSTORE_STORE_OS_IMAGE_OPENER_HPP_

#include <string>

#include "store/base/error.hpp"
#include "store/base/fd.hpp"
#include "store/event/loop.hpp"
#include "store/event/task.hpp"

namespace xlstore {

/// Opens `path`, a regular file or a block device, close-on-exec. Only asks the file system:
/// nothing is changed in any outcome. Cancelled, it abandons its child. Errors: invalid (it cannot
/// be opened, or is neither a file nor a device), timeout (it was not opened by the deadline), io
/// (no process or descriptor to be had).
Task<Result<Fd>> open_image(Loop& loop, std::string path, bool writable, Deadline until);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OS_IMAGE_OPENER_HPP_
