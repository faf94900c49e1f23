// SPDX-License-Identifier: MIT
// The head of a page of an SQLite database (sqlite.org/fileformat2.html), read without SQLite.
#ifndef XLSTORE_STORE_DATABASE_PAGE_HEAD_HPP_
#define XLSTORE_STORE_DATABASE_PAGE_HEAD_HPP_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace xlstore {

/// What SQLite gives a new file. A store never changes it; another program's VACUUM can.
inline constexpr std::size_t kPageSize = 4096;
inline constexpr std::size_t kLeastPageSize = 512;
inline constexpr std::size_t kMostPageSize = 65'536;
/// May pages have that size?
[[nodiscard]] bool is_page_size(std::size_t size);

[[nodiscard]] std::uint32_t big_endian(const unsigned char* at);

enum class PageType : unsigned char {
    none = 0,
    index_interior = 2,
    table_interior = 5,
    index_leaf = 10,
    table_leaf = 13,
};
[[nodiscard]] bool is_interior(PageType type);
[[nodiscard]] bool is_index(PageType type);

/// Of a page of a tree.
struct PageHead {
    PageType type = PageType::none;  ///< none: it is no such page, and the rest says nothing
    std::size_t first_pointer = 0;   ///< where the list of its cells begins
    std::size_t cells = 0;           ///< how many it lists
    std::size_t content = 0;         ///< where the first of them may be
};
/// `page`: all of it, so that its length is the size of a page; `number`: from 1.
[[nodiscard]] PageHead page_head(std::string_view page, std::uint32_t number);
[[nodiscard]] inline PageType page_type(std::string_view page, std::uint32_t number)
{
    return page_head(page, number).type;
}
[[nodiscard]] inline bool is_tree_page(std::string_view page, std::uint32_t number)
{
    return page_type(page, number) != PageType::none;
}
/// Where its list says that its cells are; what is no place for one is 0.
[[nodiscard]] std::vector<std::size_t> cell_places(std::string_view page, const PageHead& head);

}  // namespace xlstore

#endif  // XLSTORE_STORE_DATABASE_PAGE_HEAD_HPP_
