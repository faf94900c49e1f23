// SPDX-License-Identifier: MIT
// watch: the page of 'status', live. It is drawn anew when a change is committed, which the store
// tells, when the window changes, and when a QEMU answers. They are asked every two seconds, since
// one stops without a commit; those that are silent less and less often (look_rounds.hpp). Keys are
// taken meanwhile. Each picture is written over the last one by one write: nothing is cleared
// first, so nothing flickers.
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <memory>

#include "tools/common/display_width.hpp"
#include "tools/common/pager.hpp"
#include "tools/xlstore/library.hpp"
#include "tools/xlstore/look_rounds.hpp"
#include "tools/xlstore/status_facts.hpp"
#include "tools/xlstore/status_page.hpp"

namespace xlstore::tools {

namespace {

constexpr int kWakeMs = 1000;  // after which QEMUs that are due are asked

volatile std::sig_atomic_t ended = 0;

void end_it(int)
{
    ended = 1;
}

volatile std::sig_atomic_t resized = 0;

void wake(int)
{
    resized = 1;
}

void write_all(std::string_view text)
{
    while (!text.empty()) {
        const auto bytes = write(STDOUT_FILENO, text.data(), text.size());
        if (bytes < 0 && errno == EINTR) continue;
        if (bytes <= 0) {
            ended = 1;
            return;
        }
        text.remove_prefix(static_cast<std::size_t>(bytes));
    }
}

// The terminal as keys and pictures need it: a screen of its own, no cursor, each key at once.
class FullScreen {
public:
    FullScreen()
    {
        struct sigaction action {};
        action.sa_handler = end_it;
        for (const int signal : {SIGINT, SIGTERM, SIGHUP})
            sigaction(signal, &action, nullptr);
        action.sa_handler = wake;
        sigaction(SIGWINCH, &action, nullptr);
        has_keys_ = tcgetattr(STDIN_FILENO, &before_) == 0;
        if (has_keys_) {
            termios raw = before_;
            raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
            raw.c_cc[VMIN] = 0;
            raw.c_cc[VTIME] = 0;
            tcsetattr(STDIN_FILENO, TCSANOW, &raw);
        }
        write_all("\x1b[?1049h\x1b[?25l");
    }
    FullScreen(const FullScreen&) = delete;
    FullScreen& operator=(const FullScreen&) = delete;
    ~FullScreen()
    {
        write_all("\x1b[?25h\x1b[?1049l");
        if (has_keys_) tcsetattr(STDIN_FILENO, TCSANOW, &before_);
    }
    [[nodiscard]] bool has_keys() const { return has_keys_; }

private:
    termios before_{};
    bool has_keys_ = false;
};

// The lines from `first` on that have room, and a last line that says what keys do.
std::string picture(const std::vector<std::string>& lines, std::size_t& first, const Screen& where)
{
    const std::size_t room = where.rows > 1 ? where.rows - 1 : 1;
    first = std::min(first, lines.size() > room ? lines.size() - room : 0);
    const auto last = std::min(first + room, lines.size());
    std::string text = "\x1b[?2026h\x1b[H";
    for (auto i = first; i < last; ++i)
        text += lines[i] + "\x1b[K\r\n";
    text += "\x1b[J";
    std::string keys = "q: end";
    if (lines.size() > room)
        keys = "q: end; space, b: on and back; lines " + std::to_string(first + 1) + " to " +
               std::to_string(last) + " of " + std::to_string(lines.size());
    return text + where.in(Ink::faint, cut_to(keys, where.columns - 1)) + "\x1b[K\x1b[?2026l";
}

// One key; false: it ends.
bool take_keys(std::size_t& first, std::size_t rows)
{
    char keys[64];
    const auto bytes = read(STDIN_FILENO, keys, sizeof keys);
    for (ssize_t i = 0; i < bytes; ++i) {
        const std::size_t page = rows > 2 ? rows - 2 : 1;
        if (keys[i] == 'q' || keys[i] == 'Q') return false;
        if (keys[i] == ' ') first += page;
        if (keys[i] == 'b') first -= std::min(first, page);
        if (keys[i] == 'j') ++first;
        if (keys[i] == 'k' && first > 0) --first;
    }
    return true;
}

void note_commit(const xlstore_change* /*change*/, void* seen)
{
    *static_cast<bool*>(seen) = true;
}

struct EndOfWatch {
    void operator()(xlstore_watch* watch) const { xlstore_watch_end(watch); }
};

// Waits for a key, a commit, an answer, a signal, or a second. False: it is to end.
Result<bool> wait_for_news(xlstore_store* store, const FullScreen& screen, std::size_t& first,
                           std::size_t rows)
{
    pollfd ready[2] = {{xlstore_fd(store), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    const int got = poll(ready, screen.has_keys() ? 2 : 1, kWakeMs);
    if (got < 0 && errno != EINTR) return Error(Errc::io, "poll: " + errno_text(errno));
    if (xlstore_dispatch(store) != XLSTORE_OK) return last_error();
    if (got > 0 && screen.has_keys() && ready[1].revents != 0)
        return (ready[1].revents & POLLIN) != 0 && take_keys(first, rows);
    return true;
}

Result<Status> watch_it(const Arguments& arguments, xlstore_store* store)
{
    bool changed = true;
    xlstore_watch* begun = nullptr;
    if (xlstore_watch_start(store, -1, note_commit, &changed, &begun) != XLSTORE_OK)
        return last_error();
    const std::unique_ptr<xlstore_watch, EndOfWatch> watch(begun);
    std::string facts;
    std::size_t first = 0;
    std::string drawn;
    LookRounds rounds(arguments, store);
    const FullScreen full;
    while (!ended) {
        if (const auto asked = rounds.ask_those_due(); !asked) return asked.error();
        if (rounds.take_news() || changed) {
            changed = false;
            auto seen = status_facts_with(rounds.looks(), arguments, store);
            if (!seen) return seen.error();
            facts = *std::move(seen);
        }
        const auto where = screen();
        auto next = picture(status_page(facts, where), first, where);
        if (next != drawn || resized) write_all(next);
        resized = 0;
        drawn = std::move(next);
        const auto goes_on = wait_for_news(store, full, first, where.rows);
        if (!goes_on) return goes_on.error();
        if (!*goes_on) break;
    }
    return Status::done;
}

}  // namespace

Result<Status> run_watch(const Arguments& arguments)
{
    if (arguments.json || !screen().terminal)
        return Error(Errc::invalid, "watch: standard output is no terminal",
                     "'xlstore status' prints the page once; 'xlstore history --follow' says "
                     "what comes");
    if (!can_be_drawn_on(terminal_behind_output()))
        return Error(Errc::invalid, "watch: this terminal cannot be drawn on ($TERM)",
                     "'xlstore status' prints the page once; 'xlstore history --follow' says "
                     "what comes");
    const auto store = open_to_look(arguments);
    if (!store) return store.error();
    return watch_it(arguments, store->get());
}

}  // namespace xlstore::tools
