// SPDX-License-Identifier: MIT
#include "tools/common/progress.hpp"

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <system_error>
#include <utility>

#include "tools/common/screen.hpp"

namespace xlstore::tools {

namespace {

// Not through stdio: its lock may be held in the very moment of a fork.
void write_quietly(const std::string& text)
{
    const auto written = write(STDERR_FILENO, text.data(), text.size());
    (void)written;
}

}  // namespace

Progress::Progress(std::string what) : what_(std::move(what))
{
    if (!can_be_drawn_on(STDERR_FILENO)) return;
    // Signals are the main thread's.
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
        teller_ = std::thread([this] { tell(); });
    } catch (const std::system_error&) {  // no thread is to be had: then without
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Progress::~Progress()
{
    if (!teller_.joinable()) return;
    {
        const std::lock_guard<std::mutex> hold(mutex_);
        over_ = true;
    }
    ends_.notify_one();
    teller_.join();
}

void Progress::tell()
{
    std::unique_lock<std::mutex> hold(mutex_);
    int seconds = 0;
    while (!ends_.wait_for(hold, std::chrono::seconds(1), [this] { return over_; }))
        write_quietly("\r" + what_ + " \u2026 " + std::to_string(++seconds) + " s\x1b[K");
    if (seconds > 0) write_quietly("\r\x1b[K");
}

}  // namespace xlstore::tools
