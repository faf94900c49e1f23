// SPDX-License-Identifier: MIT
// A sign of life on a terminal for what takes over a second: what is waited for, and since when.
#ifndef XLSTORE_TOOLS_COMMON_PROGRESS_HPP_
#define XLSTORE_TOOLS_COMMON_PROGRESS_HPP_

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace xlstore::tools {

/// While one lives, "WHAT … 3 s" stands on standard error, from the first second on, and is erased
/// at its end. Nothing where standard error is no terminal. A thread of its own writes it, and
/// touches nothing else; it takes no signal. Not to be forked under: a child goes on to exec.
class Progress {
public:
    explicit Progress(std::string what);
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;
    ~Progress();

private:
    void tell();

    std::string what_;
    std::mutex mutex_;
    std::condition_variable ends_;
    bool over_ = false;
    std::thread teller_;
};

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_PROGRESS_HPP_
