// SPDX-License-Identifier: MIT
#include "tools/common/output.hpp"

#include <algorithm>
#include <cstdio>

#include "store/plain_text.hpp"

namespace xlstore::tools {

Status status_of(const Error& error)
{
    switch (error.code) {
    case Errc::in_doubt:
        return Status::in_doubt;
    case Errc::not_found:
        return Status::not_found;
    default:
        return Status::refused;
    }
}

void print_error(std::string_view program, const Error& error)
{
    std::string text = std::string(program) + ": " + plain(error.message) + "\n";
    if (!error.advice.empty()) text += std::string(program) + ": " + plain(error.advice) + "\n";
    std::fputs(text.c_str(), stderr);
}

void print_table(const std::vector<std::string>& head,
                 const std::vector<std::vector<std::string>>& rows)
{
    if (rows.empty()) return;
    std::vector<std::size_t> widths;
    for (const auto& name : head)
        widths.push_back(name.size());
    for (const auto& row : rows)
        for (std::size_t i = 0; i < row.size(); ++i)
            widths[i] = std::max(widths[i], row[i].size());
    const auto line = [&](const std::vector<std::string>& cells) {
        std::string text;
        for (std::size_t i = 0; i < cells.size(); ++i) {
            text += cells[i];
            if (i + 1 < cells.size()) text.append(widths[i] - cells[i].size() + 2, ' ');
        }
        std::puts(text.c_str());
    };
    line(head);
    for (const auto& row : rows)
        line(row);
}

std::string plain(std::string_view text)
{
    std::string one_line(text);
    for (char& c : one_line)
        if (c == '\n' || c == '\r' || c == '\t') c = ' ';
    return plain_text(one_line, std::string::npos);
}

}  // namespace xlstore::tools
