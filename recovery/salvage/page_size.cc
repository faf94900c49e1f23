// SPDX-License-Identifier: MIT
#include "recovery/salvage/page_size.hpp"

#include <algorithm>

#include "store/database/page_head.hpp"

namespace xlstore::recovery {

namespace {

constexpr std::size_t kAtPageSize = 16;  // of the database's header, two bytes; 1 is 65536

std::size_t size_in_header(std::string_view database)
{
    if (database.size() < kAtPageSize + 2) return kPageSize;
    const auto* at = reinterpret_cast<const unsigned char*>(database.data()) + kAtPageSize;
    const std::size_t told = static_cast<std::size_t>(at[0]) << 8 | at[1];
    if (told == 1) return kMostPageSize;
    return is_page_size(told) ? told : kPageSize;
}

// With half the size the cells of a page lie behind its end, with twice the size only every other
// page begins where one is looked for.
std::size_t pages_that_add_up(std::string_view database, std::size_t size)
{
    std::size_t count = 0;
    std::uint32_t number = 0;
    for (std::size_t at = 0; at + size <= database.size(); at += size) {
        const auto page = database.substr(at, size);
        const auto head = page_head(page, ++number);
        if (head.type == PageType::none) continue;
        const auto places = cell_places(page, head);
        count += std::ranges::all_of(places, [&](auto place) { return place >= head.content; });
    }
    return count;
}

}  // namespace

std::size_t page_size_of(std::string_view database, std::optional<std::size_t> log)
{
    if (log) return *log;
    std::size_t best = size_in_header(database);
    std::size_t most = pages_that_add_up(database, best);
    for (auto size = kLeastPageSize; size <= kMostPageSize; size *= 2) {
        const auto count = pages_that_add_up(database, size);
        if (count <= most) continue;
        best = size;
        most = count;
    }
    return best;
}

}  // namespace xlstore::recovery
