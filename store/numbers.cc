// SPDX-License-Identifier: MIT
#include "store/numbers.hpp"

#include <charconv>

namespace xlstore {

namespace {

constexpr std::string_view kFormat = "xlstore-numbers-1";
// Numbers above this are no numbers of a store's: they are not believed, also with a right sum.
constexpr std::int64_t kHighest = std::int64_t{1} << 53;

// FNV-1a. Against bits that flipped and lines that are half written, not against malice: who can
// write into a lock file can write into the database.
std::uint64_t check_sum(std::string_view text)
{
    std::uint64_t sum = 0xcbf29ce484222325U;
    for (const unsigned char c : text)
        sum = (sum ^ c) * 0x100000001b3U;
    return sum;
}

std::string_view next_word(std::string_view& text)
{
    const auto end = text.find(' ');
    const auto word = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    return word;
}

template <class T>
bool read_number(std::string_view& text, T& value)
{
    const auto word = next_word(text);
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    return error == std::errc() && !word.empty() && end == word.data() + word.size();
}

bool is_possible(std::int64_t number)
{
    return number >= 0 && number <= kHighest;
}

}  // namespace

std::string numbers_line(const Numbers& numbers, LineFile file)
{
    std::string line = std::string(kFormat) + ' ' + std::to_string(file.inode) + ' ' +
                       std::to_string(file.born_ns) + ' ' + std::to_string(numbers.commits);
    for (const auto id : numbers.ids)
        line += ' ' + std::to_string(id);
    return line + ' ' + std::to_string(check_sum(line));
}

std::optional<NumbersLine> read_numbers_line(std::string_view line)
{
    const auto last = line.rfind(' ');
    if (last == std::string_view::npos) return std::nullopt;
    auto told = line.substr(last + 1);
    auto rest = line.substr(0, last);
    std::uint64_t sum = 0;
    if (!read_number(told, sum) || sum != check_sum(rest)) return std::nullopt;
    NumbersLine read;
    if (next_word(rest) != kFormat || !read_number(rest, read.file.inode) ||
        !read_number(rest, read.file.born_ns) ||
        !read_number(rest, read.numbers.commits) || !is_possible(read.numbers.commits))
        return std::nullopt;
    for (auto& id : read.numbers.ids)
        if (!read_number(rest, id) || !is_possible(id)) return std::nullopt;
    return read;
}

}  // namespace xlstore
