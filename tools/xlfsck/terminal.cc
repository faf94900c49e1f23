// SPDX-License-Identifier: MIT
#include "tools/xlfsck/terminal.hpp"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <utility>

#include "tools/common/finding_line.hpp"
#include "tools/common/output.hpp"

namespace xlstore::tools {

namespace {

constexpr int kBarWidth = 40;

// One line; nothing at the end of the input.
std::optional<std::string> read_line()
{
    std::string line;
    for (int c = std::getchar(); c != '\n'; c = std::getchar()) {
        if (c == EOF) return std::nullopt;
        line += static_cast<char>(c);
    }
    return line;
}

}  // namespace

bool Terminal::ask(const recovery::Problem& about, const recovery::Subject& subject)
{
    if (quit_) return false;
    if (const auto known = for_all_.find(about.code); known != for_all_.end()) return known->second;
    erase_bar();
    const std::string text = statement_of(about, subject);
    for (;;) {
        std::printf("%s. %s [Y/n/a/s/q/?] ", plain(text).c_str(),
                    std::string(about.question).c_str());
        std::fflush(stdout);
        const auto answer = read_line();
        const char key = !answer ? 'q' : answer->empty() ? 'y' : answer->front();
        switch (key) {
        case 'y':
        case 'Y':
            return true;
        case 'n':
        case 'N':
            return false;
        case 'a':
        case 's':
            return for_all_[about.code] = key == 'a';
        case 'q':
            quit_ = true;
            return false;
        default:
            std::puts(
                "y, or Enter: yes; n: no; a: yes to all of this kind; s: no to all of this "
                "kind; q: no to everything from here on");
        }
    }
}

void Terminal::say(const std::string& line)
{
    erase_bar();
    std::puts(plain(line).c_str());
}

void Terminal::progress(int pass, int done, int of)
{
    if (!bar_) return;
    const int filled = of > 0 ? std::clamp(done * kBarWidth / of, 0, kBarWidth) : 0;
    std::fflush(stdout);
    std::fprintf(stderr, "\rpass %d |%s%s| %d of %d\033[K", pass,
                 std::string(static_cast<std::size_t>(filled), '=').c_str(),
                 std::string(static_cast<std::size_t>(kBarWidth - filled), ' ').c_str(), done, of);
    drawn_ = true;
}

void Terminal::erase_bar()
{
    if (std::exchange(drawn_, false)) std::fputs("\r\033[K", stderr);
}

}  // namespace xlstore::tools
