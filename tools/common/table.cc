// SPDX-License-Identifier: MIT
#include "tools/common/table.hpp"

#include <algorithm>
#include <cstdio>

#include "tools/common/display_width.hpp"
#include "tools/common/pager.hpp"

namespace xlstore::tools {

namespace {

constexpr std::size_t kGap = 2;
// A last column that has less than this is not read with pleasure.
constexpr std::size_t kReadable = 20;

std::vector<std::size_t> widths_of(const Cells& head, const std::vector<Cells>& rows)
{
    std::vector<std::size_t> widths;
    for (const auto& name : head)
        widths.push_back(display_width(name));
    for (const auto& row : rows)
        for (std::size_t i = 0; i < row.size(); ++i)
            widths[i] = std::max(widths[i], display_width(row[i]));
    return widths;
}

// One row: all cells but the last padded, the last in lines of at most `room` columns.
void add_row(std::vector<std::string>& lines, const Cells& cells,
             const std::vector<std::size_t>& widths, std::size_t room)
{
    std::string line;
    for (std::size_t i = 0; i + 1 < cells.size(); ++i)
        line += padded(cells[i], widths[i] + kGap);
    const std::string indent(display_width(line), ' ');
    bool first = true;
    for (const auto& part : wrapped(cells.back(), room)) {
        lines.push_back((first ? line : indent) + part);
        first = false;
    }
}

std::vector<std::string> blocks(const Cells& head, const std::vector<Cells>& rows,
                                std::size_t columns)
{
    std::vector<std::string> lines;
    for (const auto& row : rows) {
        if (!lines.empty()) lines.emplace_back();
        for (auto& line : record_lines(head, row, columns))
            lines.push_back(std::move(line));
    }
    return lines;
}

}  // namespace

std::vector<std::string> record_lines(const Cells& names, const Cells& values, std::size_t columns)
{
    constexpr std::size_t least = 10;  // columns for a value beside its name, else below it
    std::size_t width = 0;
    for (const auto& name : names)
        width = std::max(width, display_width(name));
    const bool beside = columns >= width + kGap + least;
    std::vector<std::string> lines;
    for (std::size_t i = 0; i < values.size(); ++i) {
        if (beside) {
            add_row(lines, {names[i], values[i]}, {width, 0}, columns - width - kGap);
            continue;
        }
        lines.push_back(cut_to(names[i], columns));
        for (const auto& part : wrapped(values[i], columns - kGap))
            lines.push_back(std::string(kGap, ' ') + part);
    }
    return lines;
}

std::vector<std::string> table_lines(const Cells& head, const std::vector<Cells>& rows,
                                     const Screen& where)
{
    std::vector<std::string> lines;
    if (rows.empty()) return lines;
    const auto widths = widths_of(head, rows);
    std::size_t before_last = 0;
    for (std::size_t i = 0; i + 1 < widths.size(); ++i)
        before_last += widths[i] + kGap;
    std::size_t room = std::string::npos;
    if (where.terminal && before_last + widths.back() > where.columns) {
        if (before_last + std::min(kReadable, widths.back()) > where.columns)
            return blocks(head, rows, where.columns);
        room = where.columns - before_last;
    }
    add_row(lines, head, widths, std::string::npos);
    if (where.colours) lines.front() = where.in(Ink::strong, lines.front());
    for (const auto& row : rows)
        add_row(lines, row, widths, room);
    return lines;
}

void print_table(const Cells& head, const std::vector<Cells>& rows)
{
    const auto where = screen();
    const auto lines = table_lines(head, rows, where);
    if (where.terminal && lines.size() >= where.rows) start_pager();
    for (const auto& line : lines)
        std::puts(line.c_str());
}

}  // namespace xlstore::tools
