// SPDX-License-Identifier: MIT
// One line of text with a check sum (FNV-1a), written whole into a slot of a lock file: a line that
// was torn by a power cut does not add up, and is none. It has inode and birth of the file that it
// was written for, so that a copy of the file is not believed elsewhere (R17).
#include "store/model/numbers.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "store/text/number_text.hpp"

namespace xlstore {

namespace {

constexpr std::string_view kNumbersFormat = "xlstore-numbers-1";
// FNV-1a. Against bits that flipped and lines that are half written, not against malice: who can
// write into a lock file can write into the database.
std::uint64_t check_sum(std::string_view text)
{
    std::uint64_t sum = 0xcbf29ce484222325U;
    for (const unsigned char c : text)
        sum = (sum ^ c) * 0x100000001b3U;
    return sum;
}

constexpr std::size_t kLineRoom = 240;

void append_word(std::string& words, auto number)
{
    std::array<char, 24> digits{};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
    words.append(1, ' ').append(digits.data(), end);
}

// Other numbers are not believed, also with a right sum.
bool is_possible(std::int64_t number)
{
    return number >= 0 && number <= Numbers::kMostCommits;
}

}  // namespace

void Numbers::raise_to(const Numbers& other)
{
    commits = std::max(commits, other.commits);
    for (std::size_t i = 0; i < ids.size(); ++i)
        if (other.ids[i] <= kHighestId) ids[i] = std::max(ids[i], other.ids[i]);
}

std::string numbers_words(const Numbers& numbers)
{
    std::string words;
    words.reserve(kLineRoom);
    append_word(words, numbers.commits);
    for (const auto id : numbers.ids)
        append_word(words, id);
    return words;
}

std::string numbers_line(std::string_view words, LineFile file)
{
    std::string line;
    line.reserve(kLineRoom);
    line += kNumbersFormat;
    append_word(line, file.inode);
    append_word(line, file.born_ns);
    line += words;
    append_word(line, check_sum(line));
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
