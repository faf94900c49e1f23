// SPDX-License-Identifier: MIT
// An SQLite database file by its pages and cells (sqlite.org/fileformat2.html), read without
// SQLite: cells are read from a page to which no tree leads any more.
#ifndef XLSTORE_RECOVERY_SALVAGE_PAGES_HPP_
#define XLSTORE_RECOVERY_SALVAGE_PAGES_HPP_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "recovery/salvage/row.hpp"
#include "store/database/page_head.hpp"

namespace xlstore::recovery {

struct Cell {
    std::size_t at = 0;    ///< in its page
    std::size_t size = 0;  ///< of what is in its page
    std::uint32_t child = 0;
    std::int64_t rowid = 0;
    std::vector<Value> values;
    std::vector<std::uint32_t> more;  ///< pages that it goes on in
};

class Pages {
public:
    /// @param bytes      of the whole file; what is behind the last whole page is omitted
    /// @param page_size  of its pages
    Pages(std::string bytes, std::size_t page_size)
        : bytes_(std::move(bytes)), page_size_(page_size)
    {}

    [[nodiscard]] std::size_t page_size() const noexcept { return page_size_; }

    [[nodiscard]] std::uint32_t count() const
    {
        return static_cast<std::uint32_t>(bytes_.size() / page_size_);
    }
    /// `number`: 1 to count().
    [[nodiscard]] std::string_view page(std::uint32_t number) const
    {
        return std::string_view(bytes_).substr(std::size_t{number - 1} * page_size_, page_size_);
    }
    [[nodiscard]] PageType type(std::uint32_t number) const
    {
        return page_type(page(number), number);
    }

    /// Nothing was ever written there.
    [[nodiscard]] bool is_blank(std::uint32_t number) const
    {
        return page(number).find_first_not_of('\0') == std::string_view::npos;
    }

    /// Where the cells of a page of a tree are; what is no place for one is 0.
    [[nodiscard]] std::vector<std::size_t> places(std::uint32_t number) const;
    /// The cell at that place of a page, as pages of `type` have it; nothing: there is none that
    /// adds up.
    [[nodiscard]] std::optional<Cell> cell(std::uint32_t number, std::size_t at,
                                           PageType type) const;
    /// The pages that an interior page leads to; no number that cannot be.
    [[nodiscard]] std::vector<std::uint32_t> children(std::uint32_t number) const;

    struct FreeList {
        std::vector<std::uint32_t> pages;
        bool sound = true;  ///< it is as long as the header says, and names no page twice
    };
    [[nodiscard]] FreeList free_list() const;

private:
    [[nodiscard]] std::optional<std::string> payload(std::uint32_t number, std::size_t at,
                                                     std::uint64_t size, PageType type,
                                                     Cell& cell) const;

    std::string bytes_;
    std::size_t page_size_;
};

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_SALVAGE_PAGES_HPP_
