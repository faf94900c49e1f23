// SPDX-License-Identifier: MIT
#include "tools/common/screen.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "tools/common/display_width.hpp"
#include "tools/common/pager.hpp"

namespace xlstore::tools {

namespace {

std::string_view variable(const char* name)
{
    const char* const value = std::getenv(name);
    return value ? value : "";
}

std::string_view code_of(Ink ink)
{
    switch (ink) {
    case Ink::strong:
        return "1";
    case Ink::faint:
        return "2";
    case Ink::good:
        return "32";
    case Ink::doubt:
        return "33";
    case Ink::bad:
        return "1;31";
    case Ink::plain:
        break;
    }
    return "";
}

}  // namespace

std::string Screen::in(Ink ink, std::string_view text) const
{
    const auto code = code_of(ink);
    if (!colours || code.empty() || text.empty()) return std::string(text);
    return "\x1b[" + std::string(code) + "m" + std::string(text) + "\x1b[0m";
}

bool can_be_drawn_on(int fd)
{
    const auto kind = variable("TERM");
    return isatty(fd) == 1 && !kind.empty() && kind != "dumb";
}

Screen screen()
{
    constexpr std::size_t least = 20;
    Screen found;
    const int terminal = terminal_behind_output();
    found.terminal = terminal >= 0;
    if (!found.terminal) return found;
    winsize size{};
    if (ioctl(terminal, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        found.columns = std::max<std::size_t>(size.ws_col, least);
        if (size.ws_row > 0) found.rows = size.ws_row;
    }
    found.colours = can_be_drawn_on(terminal) && variable("NO_COLOR").empty();
    return found;
}

std::vector<std::string> paragraph(std::string_view text, std::size_t indent, const Screen& where)
{
    if (!where.terminal || display_width(text) <= where.columns) return {std::string(text)};
    std::vector<std::string> lines = wrapped(text, where.columns);
    // The first line is as wide as the terminal, the others have less room.
    const auto rest = text.substr(std::min(text.size(), lines.front().size()));
    const auto begins = rest.find_first_not_of(' ');
    lines.resize(1);
    if (begins == std::string_view::npos) return lines;
    for (const auto& line : wrapped(rest.substr(begins), where.columns - indent))
        lines.push_back(std::string(indent, ' ') + line);
    return lines;
}

void print_paragraph(std::string_view text, std::size_t indent, const Screen& where)
{
    for (const auto& line : paragraph(text, indent, where))
        std::puts(line.c_str());
}

}  // namespace xlstore::tools
