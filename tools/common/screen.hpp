// SPDX-License-Identifier: MIT
// What standard output is: a terminal, of what width, and whether colours are wanted there.
#ifndef XLSTORE_TOOLS_COMMON_SCREEN_HPP_
#define XLSTORE_TOOLS_COMMON_SCREEN_HPP_

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace xlstore::tools {

enum class Ink { plain, strong, faint, good, doubt, bad };

struct Screen {
    bool terminal = false;
    std::size_t columns = 80;
    std::size_t rows = 24;
    bool colours = false;

    /// `text` in that colour, where colours are wanted.
    [[nodiscard]] std::string in(Ink ink, std::string_view text) const;
};

/// Asked anew at each call, since a window may change its size. Colours: a terminal that knows them
/// ($TERM is neither empty nor "dumb"), and no $NO_COLOR that is not empty. Columns: of a terminal
/// alone, at least 20; else 80.
[[nodiscard]] Screen screen();

/// Is it a terminal that pictures can be drawn on, by $TERM?
[[nodiscard]] bool can_be_drawn_on(int fd);

/// `text` as one line; on a terminal broken to its width, with `indent` blanks before all lines but
/// the first.
[[nodiscard]] std::vector<std::string> paragraph(std::string_view text, std::size_t indent,
                                                 const Screen& where);
/// Prints it.
void print_paragraph(std::string_view text, std::size_t indent, const Screen& where);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_SCREEN_HPP_
