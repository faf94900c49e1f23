// SPDX-License-Identifier: MIT
// Why a monitor stays silent: QEMU is stopped, or another client is connected.
#ifndef XLSTORE_STORE_QMP_SILENCE_HPP_
#define XLSTORE_STORE_QMP_SILENCE_HPP_

#include <optional>
#include <string>
#include <utility>

#include "store/event/loop.hpp"
#include "store/os/process.hpp"

namespace xlstore::qmp {

/// Why QEMU does not answer, as far as can be seen, and what to do about it.
struct Silence {
    Silence(std::string why_, std::string advice_)
        : why(std::move(why_)), advice(std::move(advice_))
    {}
    std::string why;
    std::string advice;
};

/// `path`: of the monitor; `own`: the descriptor of our connection, or -1. Takes up to a second, in
/// pieces of 10 ms between which the loop has its turn (R20).
Task<Silence> why_silent(Loop& loop, std::optional<ProcessId> qemu, std::string path, int own);

}  // namespace xlstore::qmp

#endif  // XLSTORE_STORE_QMP_SILENCE_HPP_
