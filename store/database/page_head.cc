// SPDX-License-Identifier: MIT
#include "store/database/page_head.hpp"

#include <bit>

namespace xlstore {

namespace {

constexpr std::size_t kFileHeader = 100;  // on the first page, before its head
constexpr std::size_t kLeafHead = 8;
constexpr std::size_t kInteriorHead = 12;

std::size_t short_at(std::string_view page, std::size_t at)
{
    const auto* b = reinterpret_cast<const unsigned char*>(page.data()) + at;
    return static_cast<std::size_t>(b[0]) << 8 | b[1];
}

}  // namespace

bool is_page_size(std::size_t size)
{
    return size >= kLeastPageSize && size <= kMostPageSize && std::has_single_bit(size);
}

std::uint32_t big_endian(const unsigned char* at)
{
    return static_cast<std::uint32_t>(at[0]) << 24 | static_cast<std::uint32_t>(at[1]) << 16 |
           static_cast<std::uint32_t>(at[2]) << 8 | static_cast<std::uint32_t>(at[3]);
}

bool is_interior(PageType type)
{
    return type == PageType::index_interior || type == PageType::table_interior;
}

bool is_index(PageType type)
{
    return type == PageType::index_interior || type == PageType::index_leaf;
}

PageHead page_head(std::string_view page, std::uint32_t number)
{
    const std::size_t at = number == 1 ? kFileHeader : 0;
    if (page.size() < at + kInteriorHead) return {};
    PageHead head;
    const auto type = static_cast<PageType>(page[at]);
    if (!is_interior(type) && type != PageType::index_leaf && type != PageType::table_leaf)
        return {};
    head.type = type;
    head.first_pointer = at + (is_interior(type) ? kInteriorHead : kLeafHead);
    head.cells = short_at(page, at + 3);
    head.content = short_at(page, at + 5);
    if (head.content == 0) head.content = kMostPageSize;  // which two bytes cannot hold
    const std::size_t pointers_end = head.first_pointer + 2 * head.cells;
    if (head.content < pointers_end || head.content > page.size()) return {};
    return head;
}

std::vector<std::size_t> cell_places(std::string_view page, const PageHead& head)
{
    std::vector<std::size_t> places;
    if (head.type == PageType::none) return places;
    const std::size_t end = head.first_pointer + 2 * head.cells;
    for (std::size_t i = 0; i < head.cells; ++i) {
        const std::size_t place = short_at(page, head.first_pointer + 2 * i);
        places.push_back(place >= end && place < page.size() ? place : 0);
    }
    return places;
}

}  // namespace xlstore
