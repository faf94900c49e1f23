// SPDX-License-Identifier: MIT
#include "store/error.hpp"

#include <system_error>

namespace xlstore {

std::string_view errc_name(Errc code) noexcept
{
    switch (code) {
    case Errc::invalid:
        return "invalid";
    case Errc::not_found:
        return "not_found";
    case Errc::gone:
        return "gone";
    case Errc::exists:
        return "exists";
    case Errc::busy:
        return "busy";
    case Errc::refused:
        return "refused";
    case Errc::in_doubt:
        return "in_doubt";
    case Errc::lost:
        return "lost";
    case Errc::store:
        return "store";
    case Errc::no_qemu:
        return "no_qemu";
    case Errc::protocol:
        return "protocol";
    case Errc::cancelled:
        return "cancelled";
    case Errc::order:
        return "order";
    case Errc::io:
        return "io";
    }
    return "unknown";
}

IoError::IoError(int error_number, const std::string& what)
    : std::runtime_error(what + ": " + std::generic_category().message(error_number)),
      errno_(error_number)
{}

}  // namespace xlstore
