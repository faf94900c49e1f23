// SPDX-License-Identifier: MIT
// One thread: a push when the watch tells of a commit, a pause, and again. Of a
// watch it is only kept that something changed; what it was is read anew by the
// push, so that no notification can be lost.
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <random>

#include "tools/common/output.hpp"
#include "tools/fleet/backoff.hpp"
#include "tools/fleet/database.hpp"
#include "tools/fleet/findings.hpp"
#include "tools/fleet/push.hpp"

namespace xlstore::fleet {

namespace {

using std::chrono::milliseconds;

// Between two pushes: what is committed meanwhile goes with the next one.
constexpr milliseconds kPause{200};
// Without a change: the host says that it is there, and looks for what no line
// of history told.
constexpr milliseconds kHeartbeat{30000};
// Whether there are new findings of xlfsck.
constexpr milliseconds kLook{2000};

volatile std::sig_atomic_t ended = 0;
volatile std::sig_atomic_t at_once = 0;

void end(int)
{
    if (at_once != 0) _exit(0);
    ended = 1;
}

// SIGTERM and SIGINT come in while it waits. While it talks to the server, which may not answer at
// all, they end the process: what was not committed there is sent again, and nothing is written
// here.
class Signals {
public:
    class AtOnce {
    public:
        explicit AtOnce(const Signals& signals)
        {
            at_once = 1;
            sigprocmask(SIG_SETMASK, &signals.before_, &blocked_);
        }
        AtOnce(const AtOnce&) = delete;
        AtOnce& operator=(const AtOnce&) = delete;
        ~AtOnce()
        {
            sigprocmask(SIG_SETMASK, &blocked_, nullptr);
            at_once = 0;
        }

    private:
        sigset_t blocked_{};
    };

    Signals()
    {
        struct sigaction action {};
        action.sa_handler = end;
        sigset_t both;
        sigemptyset(&both);
        for (const int number : {SIGTERM, SIGINT}) {
            sigaddset(&both, number);
            sigaction(number, &action, nullptr);
        }
        sigprocmask(SIG_BLOCK, &both, &before_);
    }
    /// Until `fd` (-1: none) is readable, the time is over or a signal came.
    void wait(int fd, milliseconds most) const
    {
        pollfd one{fd, POLLIN, 0};
        const timespec time{most.count() / 1000, most.count() % 1000 * 1000000};
        static_cast<void>(ppoll(&one, fd >= 0 ? 1 : 0, &time, &before_));
    }

private:
    sigset_t before_{};
};

void note_change(const xlstore_change*, void* changed)
{
    *static_cast<bool*>(changed) = true;
}

/// A store that is watched. It is made anew when the store was replaced.
class Watched {
public:
    explicit Watched(std::string directory) : directory_(std::move(directory)) {}
    ~Watched() { close(); }
    Watched(const Watched&) = delete;
    Watched& operator=(const Watched&) = delete;

    Result<void> open()
    {
        if (store_) return {};
        auto store = open_read_only(directory_);
        if (!store) return store.error();
        if (xlstore_watch_start(store->get(), -1, note_change, &changed, &watch_) != XLSTORE_OK)
            return last_error();
        store_ = *std::move(store);
        return {};
    }
    void close()
    {
        xlstore_watch_end(watch_);
        watch_ = nullptr;
        store_.reset();
    }
    [[nodiscard]] xlstore_store* get() const { return store_.get(); }

    bool changed = false;

private:
    std::string directory_;
    StoreHandle store_;
    xlstore_watch* watch_ = nullptr;
};

class Following {
public:
    Following(std::string conninfo, const PushOptions& options)
        : conninfo_(std::move(conninfo)),
          options_(options),
          store_(options.directory),
          findings_(options.findings, options.with_secrets)
    {}
    void run()
    {
        while (ended == 0) {
            auto pushed = push();
            if (!pushed) {
                retreat(pushed.error());
                continue;
            }
            tell(*pushed);
            if (!send_findings()) continue;
            backoff_.reset();
            said_.clear();
            if (!more_) pause();
            wait_for_change();
        }
    }

private:
    Result<Pushed> push()
    {
        if (auto open = store_.open(); !open) return open.error();
        const Signals::AtOnce exchange(signals_);
        if (!database_) {
            auto opened = open_fleet(conninfo_);
            if (!opened) return opened.error();
            database_ = *std::move(opened);
        }
        store_.changed = false;
        return push_batch(*database_, store_.get(), options_);
    }
    void pause()
    {
        using Clock = std::chrono::steady_clock;
        const auto until = Clock::now() + std::max<milliseconds>(kPause, options_.every);
        for (auto left = until - Clock::now(); ended == 0 && left > left.zero();
             left = until - Clock::now())
            signals_.wait(-1, std::chrono::ceil<milliseconds>(left));
    }
    // A file that is no findings is said, and stops nothing; false: the database is gone.
    bool send_findings()
    {
        const auto sent = [&] {
            const Signals::AtOnce exchange(signals_);
            return findings_.send(*database_);
        }();
        if (sent) return true;
        if (sent.error().code == Errc::io) {
            retreat(sent.error());
            return false;
        }
        tools::print_error("xlstore-fleet", sent.error());
        return true;
    }
    // What it cannot mend it says once; what it was connected to is opened anew.
    void retreat(const Error& error)
    {
        if (error.message != said_) tools::print_error("xlstore-fleet", error);
        said_ = error.message;
        database_.reset();
        if (error.code != Errc::io && error.code != Errc::refused) store_.close();
        signals_.wait(-1, backoff_.next(std::uniform_real_distribution<>(0, 1)(random_)));
    }
    void tell(const Pushed& pushed)
    {
        more_ = pushed.more;
        if (pushed.began.empty() && pushed.gap_first == 0) return;
        std::printf("%s\n", tools::plain(in_words(pushed)).c_str());
        static_cast<void>(std::fflush(stdout));
    }
    void wait_for_change()
    {
        using Clock = std::chrono::steady_clock;
        const auto until = Clock::now() + kHeartbeat;
        while (ended == 0 && !more_ && !store_.changed) {
            const auto left = std::chrono::duration_cast<milliseconds>(until - Clock::now());
            if (left <= milliseconds(0)) return;
            if (xlstore_dispatch(store_.get()) != XLSTORE_OK) {
                store_.close();
                return;
            }
            if (findings_.is_new()) return;
            if (!store_.changed) signals_.wait(xlstore_fd(store_.get()), std::min(left, kLook));
        }
    }

    std::string conninfo_;
    PushOptions options_;
    Signals signals_;
    Watched store_;
    FindingsFile findings_;
    std::unique_ptr<pqxx::connection> database_;
    Backoff backoff_;
    std::string said_;
    bool more_ = false;
    std::mt19937 random_{std::random_device{}()};
};

}  // namespace

Result<void> follow(const std::string& conninfo, const PushOptions& options)
{
    Following(conninfo, options).run();
    return {};
}

}  // namespace xlstore::fleet
