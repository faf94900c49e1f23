// SPDX-License-Identifier: MIT
// What to do where the system refused because there is too little of something, or a disk fails:
// an error number that says nothing of the file that was to be opened.
#ifndef XLSTORE_STORE_BASE_SHORTAGE_HPP_
#define XLSTORE_STORE_BASE_SHORTAGE_HPP_

#include <cerrno>

namespace xlstore {

/// The advice for the kernel's error `number`; nullptr: it is none of these.
[[nodiscard]] inline const char* shortage_advice(int number) noexcept
{
    switch (number) {
    case EMFILE:
        return "this process has as many descriptors as it may have: raise its limit ('ulimit -n')";
    case ENFILE:
        return "the system has as many open files as it may have: raise fs.file-max";
    case ENOMEM:
        return "free some memory, and try again";
    case EIO:
        return "see what the kernel says of the disk (dmesg)";
    default:
        return nullptr;
    }
}

}  // namespace xlstore

#endif  // XLSTORE_STORE_BASE_SHORTAGE_HPP_
