// SPDX-License-Identifier: MIT
// The file format as sqlite.org/fileformat2.html has it: variable-length integers, headers of
// records, cells of leaf pages, the free list. Every number that is read is checked against the
// bounds of its page before it is used, since each may be damaged; what does not add up is no cell,
// and never an error.
#include "recovery/salvage/pages.hpp"

#include <algorithm>
#include <set>

namespace xlstore::recovery {

namespace {

constexpr std::size_t kAtFirstFree = 32;
constexpr std::size_t kAtFreeCount = 36;
constexpr std::uint64_t kLargestPayload = std::uint64_t{1}
                                          << 28;  // a document has a bound far below

const unsigned char* bytes_of(std::string_view page)
{
    return reinterpret_cast<const unsigned char*>(page.data());
}

// SQLite's integer of one to nine bytes; nothing: the text ends in it.
std::optional<std::uint64_t> varint(std::string_view text, std::size_t& at)
{
    std::uint64_t value = 0;
    for (int i = 0; i < 9; ++i) {
        if (at >= text.size()) return std::nullopt;
        const auto byte = static_cast<unsigned char>(text[at++]);
        if (i == 8) return value << 8 | byte;
        value = value << 7 | (byte & 0x7fU);
        if ((byte & 0x80U) == 0) return value;
    }
    return value;
}

// How long a value of that type is; nothing: no column of a store has it.
std::optional<std::uint64_t> length_of(std::uint64_t type)
{
    constexpr std::uint64_t kIntegers[] = {0, 1, 2, 3, 4, 6, 8};
    if (type <= 6) return kIntegers[type];
    if (type == 8 || type == 9) return 0;
    if (type >= 13 && type % 2 == 1) return (type - 13) / 2;
    return std::nullopt;
}

// Integers are big-endian, in two's complement; the first byte has the sign.
Value value_of(std::uint64_t type, std::string_view body)
{
    if (type == 0) return std::monostate();
    if (type == 8 || type == 9) return static_cast<std::int64_t>(type - 8);
    if (type >= 13) return std::string(body);
    std::uint64_t value =
        (static_cast<unsigned char>(body[0]) & 0x80U) != 0 ? ~std::uint64_t{0} : 0;
    for (const char byte : body)
        value = value << 8 | static_cast<unsigned char>(byte);
    return static_cast<std::int64_t>(value);
}

// The values of a record; nothing: its lengths do not add up to it.
std::optional<std::vector<Value>> values_of(std::string_view record)
{
    std::size_t at = 0;
    const auto head = varint(record, at);
    if (!head || *head > record.size() || *head < at) return std::nullopt;
    std::vector<std::uint64_t> types;
    std::uint64_t body = *head;
    while (at < *head) {
        const auto type = varint(record, at);
        const auto length = type ? length_of(*type) : std::nullopt;
        if (!length || *length > record.size()) return std::nullopt;
        types.push_back(*type);
        body += *length;
    }
    // To the byte: a length that is damaged is what most damage of a record looks like.
    if (at != *head || body != record.size() || types.empty()) return std::nullopt;
    std::vector<Value> values;
    for (const auto type : types) {
        const auto length = static_cast<std::size_t>(*length_of(type));
        values.push_back(recovery::value_of(type, record.substr(at, length)));
        at += length;
    }
    return values;
}

}  // namespace

std::vector<std::size_t> Pages::places(std::uint32_t number) const
{
    const auto bytes = page(number);
    return cell_places(bytes, page_head(bytes, number));
}

// How much of a payload stands on its page, and what goes to overflow pages, follows from its size
// alone, by the formulas of the file format.
std::optional<std::string> Pages::payload(std::uint32_t number, std::size_t at, std::uint64_t size,
                                          PageType type, Cell& cell) const
{
    const std::uint64_t least = (page_size_ - 12) * 32 / 255 - 23;
    const std::uint64_t most =
        is_index(type) ? (page_size_ - 12) * 64 / 255 - 23 : std::uint64_t{page_size_ - 35};
    std::uint64_t local = size;
    if (size > most) {
        local = least + (size - least) % (page_size_ - 4);
        if (local > most) local = least;
    }
    const auto bytes = page(number);
    const std::size_t end = at + static_cast<std::size_t>(local) + (size > local ? 4 : 0);
    cell.size = end - cell.at;
    if (end > page_size_) return std::nullopt;
    std::string text(bytes.substr(at, static_cast<std::size_t>(local)));
    std::uint32_t next = size > local ? big_endian(bytes_of(bytes) + end - 4) : 0;
    // It comes to an end also where pages lead in a circle: each adds bytes, and the size is
    // bounded.
    while (text.size() < size) {
        if (next < 2 || next > count()) return std::nullopt;
        const auto more = page(next);
        cell.more.push_back(next);
        text += more.substr(4, std::min<std::size_t>(page_size_ - 4, size - text.size()));
        next = big_endian(bytes_of(more));
    }
    return next == 0 ? std::optional(std::move(text)) : std::nullopt;
}

std::optional<Cell> Pages::cell(std::uint32_t number, std::size_t place, PageType type) const
{
    if (place == 0 || type == PageType::none) return std::nullopt;
    const auto bytes = page(number);
    Cell cell;
    cell.at = place;
    std::size_t at = place;
    if (is_interior(type)) {
        if (at + 4 > page_size_) return std::nullopt;
        cell.child = big_endian(bytes_of(bytes) + at);
        at += 4;
    }
    const auto size =
        type == PageType::table_interior ? std::optional(std::uint64_t{0}) : varint(bytes, at);
    if (!size || *size > kLargestPayload || *size > bytes_.size()) return std::nullopt;
    if (!is_index(type)) {
        const auto rowid = varint(bytes, at);
        if (!rowid) return std::nullopt;
        cell.rowid = static_cast<std::int64_t>(*rowid);
    }
    cell.size = at - place;
    if (type != PageType::table_interior) {
        const auto record = payload(number, at, *size, type, cell);
        auto values = record ? values_of(*record) : std::nullopt;
        if (!values) return std::nullopt;
        cell.values = *std::move(values);
    }
    return cell;
}

std::vector<std::uint32_t> Pages::children(std::uint32_t number) const
{
    std::vector<std::uint32_t> children;
    const auto bytes = page(number);
    const auto head = page_head(bytes, number);
    if (!is_interior(head.type)) return children;
    const auto add = [&](std::size_t at) {
        if (at == 0 || at + 4 > page_size_) return;
        const auto child = big_endian(bytes_of(bytes) + at);
        if (child >= 2 && child <= count()) children.push_back(child);
    };
    for (const auto place : cell_places(bytes, head))
        add(place);
    add(head.first_pointer - 4);  // the last of an interior page's head
    return children;
}

Pages::FreeList Pages::free_list() const
{
    FreeList free;
    std::set<std::uint32_t> seen;
    // A page that is on the list twice would be given out twice.
    const auto take = [&](std::uint32_t number) {
        if (number < 2 || number > count() || !seen.insert(number).second) return false;
        free.pages.push_back(number);
        return true;
    };
    if (count() == 0) return free;
    const auto* header = bytes_of(page(1));
    for (auto trunk = big_endian(header + kAtFirstFree); trunk != 0;) {
        if (!take(trunk)) {
            free.sound = false;
            break;
        }
        const auto* bytes = bytes_of(page(trunk));
        const auto leaves = big_endian(bytes + 4);
        if (leaves > page_size_ / 4 - 2) {
            free.sound = false;
            break;
        }
        for (std::uint32_t i = 0; i < leaves; ++i)
            if (!take(big_endian(bytes + 8 + std::size_t{4} * i))) free.sound = false;
        trunk = big_endian(bytes);
    }
    free.sound = free.sound && free.pages.size() == big_endian(header + kAtFreeCount);
    return free;
}

}  // namespace xlstore::recovery
