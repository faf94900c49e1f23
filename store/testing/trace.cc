// SPDX-License-Identifier: MIT
#include "store/testing/trace.hpp"

#ifdef XLSTORE_CRASH_POINTS
#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

#include "store/base/fd.hpp"

namespace xlstore {

void trace(std::size_t row, std::int64_t incarnation, const std::string& detail) noexcept
{
    const char* path = std::getenv("XLSTORE_TRACE");
    if (!path || !*path) return;
    std::string line = std::to_string(::getpid()) + " " + std::string(kTraceSteps[row].name) + " " +
                       std::to_string(incarnation);
    if (!detail.empty()) line += " " + detail;
    line += "\n";
    // Opened for each line: a descriptor that is kept would have to be closed in forked children.
    // O_APPEND and one write(): lines of several processes do not mix.
    const Fd file(::open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
    if (!file || ::write(file.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size()))
        std::abort();
}

}  // namespace xlstore

#else

namespace xlstore {

void trace(std::size_t, std::int64_t, const std::string&) noexcept {}

}  // namespace xlstore

#endif
