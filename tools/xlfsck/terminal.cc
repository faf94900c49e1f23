// SPDX-License-Identifier: MIT
#include "tools/xlfsck/terminal.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <utility>

#include "tools/common/finding_line.hpp"
#include "tools/common/output.hpp"
#include "tools/common/screen.hpp"

namespace xlstore::tools {

namespace {

constexpr int kBarWidth = 40;
constexpr int kBarLeast = 10;
constexpr std::size_t kIndent = 2;

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

// The bar is on standard error, which may be another terminal than standard output, or none.
int columns_of_errors()
{
    constexpr int usual = 80;
    winsize size{};
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : usual;
}

// What is typed stands behind it.
void print_question(const std::string& text)
{
    auto where = screen();
    where.columns -= 1;
    std::string question;
    for (const auto& line : paragraph(text, kIndent, where))
        question += (question.empty() ? "" : "\n") + line;
    std::printf("%s ", question.c_str());
    std::fflush(stdout);
}

}  // namespace

void print_line(const std::string& line)
{
    print_paragraph(plain(line), kIndent, screen());
}

bool Terminal::ask(const recovery::Problem& about, const recovery::Subject& subject)
{
    if (quit_) return false;
    if (const auto known = for_all_.find(about.code); known != for_all_.end()) return known->second;
    erase_bar();
    const std::string text =
        plain(statement_of(about, subject)) + ". " + std::string(about.question) + " [Y/n/a/s/q/?]";
    for (;;) {
        print_question(text);
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
            print_line(
                "y, or Enter: yes; n: no; a: yes to all of this kind; s: no to all of this "
                "kind; q: no to everything from here on");
        }
    }
}

void Terminal::say(const std::string& line)
{
    erase_bar();
    print_line(line);
}

void Terminal::progress(int pass, int done, int of)
{
    if (!bar_) return;
    const std::string before = "pass " + std::to_string(pass) + " ";
    const std::string behind = std::to_string(done) + " of " + std::to_string(of);
    // A bar of less says nothing.
    const int room =
        columns_of_errors() - static_cast<int>(before.size() + behind.size() + sizeof "|| ");
    const int width = room < kBarLeast ? 0 : std::min(room, kBarWidth);
    const int filled = of > 0 ? std::clamp(done * width / of, 0, width) : 0;
    const std::string bar =
        width == 0 ? std::string()
                   : "|" + std::string(static_cast<std::size_t>(filled), '=') +
                         std::string(static_cast<std::size_t>(width - filled), ' ') + "| ";
    std::fflush(stdout);
    std::fprintf(stderr, "\r%s%s%s\033[K", before.c_str(), bar.c_str(), behind.c_str());
    drawn_ = true;
}

void Terminal::erase_bar()
{
    if (std::exchange(drawn_, false)) std::fputs("\r\033[K", stderr);
}

}  // namespace xlstore::tools
