// SPDX-License-Identifier: MIT
// One line of text with a check sum (FNV-1a), written whole into a slot of a lock file: a line that
// was torn by a power cut does not add up, and is none. It has inode and birth of the file that it
// was written for, so that a copy of the file is not believed elsewhere (R17).
#include "store/model/numbers.hpp"

#include <algorithm>

#include "store/text/number_text.hpp"

namespace xlstore {

namespace {

constexpr std::string_view kNumbersFormat = "xlstore-numbers-1";
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

bool is_possible(std::int64_t number)
{
    return number >= 0 && number <= kHighest;
}

}  // namespace

void Numbers::raise_to(const Numbers& other)
{
    commits = std::max(commits, other.commits);
    for (std::size_t i = 0; i < ids.size(); ++i)
        if (other.ids[i] <= kHighestId) ids[i] = std::max(ids[i], other.ids[i]);
}

std::string numbers_line(const Numbers& numbers, LineFile file)
{
    constexpr std::size_t kRoom = 240;  // each commit writes three of them
    std::string line(kNumbersFormat);
    line.reserve(kRoom);
    const auto add = [&](auto number) { line.append(1, ' ').append(std::to_string(number)); };
    add(file.inode);
    add(file.born_ns);
    add(numbers.commits);
    for (const auto id : numbers.ids)
        add(id);
    add(check_sum(line));
    return line;
}

std::optional<NumbersLine> read_numbers_line(std::string_view line)
{
    const auto last = line.rfind(' ');
    if (last == std::string_view::npos) return std::nullopt;
    auto told = line.substr(last + 1);
    auto rest = line.substr(0, last);
    std::uint64_t sum = 0;
    if (!parse_number(next_word(told), sum) || sum != check_sum(rest)) return std::nullopt;
    NumbersLine read;
    if (next_word(rest) != kNumbersFormat || !parse_number(next_word(rest), read.file.inode) ||
        !parse_number(next_word(rest), read.file.born_ns) ||
        !parse_number(next_word(rest), read.numbers.commits) || !is_possible(read.numbers.commits))
        return std::nullopt;
    for (auto& id : read.numbers.ids)
        if (!parse_number(next_word(rest), id) || !is_possible(id)) return std::nullopt;
    return read;
}

}  // namespace xlstore
