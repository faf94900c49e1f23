// SPDX-License-Identifier: MIT
// Columns that a table's CHECK lets have few values: what none of them is becomes the value that it
// nearly is, or else the one that says the least. Those that make a row what it is (what a product
// is called in QEMU, what a line of history says) have no such value: their row is quarantined.
// Pure functions.
#ifndef XLSTORE_RECOVERY_SALVAGE_MENDED_COLUMNS_HPP_
#define XLSTORE_RECOVERY_SALVAGE_MENDED_COLUMNS_HPP_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "recovery/salvage/row.hpp"

namespace xlstore::recovery {

/// A row that is being mended, and the words for each column that was.
class Mending {
public:
    explicit Mending(Row& row) : row_(row) {}

    /// Tables of an older release lack columns.
    [[nodiscard]] bool has(const char* column) const { return row_.cells().contains(column); }
    void set(const char* column, Value value, const std::string& words);
    /// `otherwise` null: only what is nearly one of `allowed` is mended.
    void one_of(const char* column, const std::vector<std::string>& allowed, const char* otherwise);
    /// Of a column that may be NULL, and is that where it is not nearly one of `allowed`.
    void one_of_or_null(const char* column, const std::vector<std::string>& allowed);
    /// A column that is 0 or 1.
    void flag(const char* column, std::int64_t otherwise);
    /// A number from 1 on. A caller that kept the one it had may not find it again.
    void counts(const char* column, std::int64_t above);
    void object_or_null(const char* column);

    [[nodiscard]] std::vector<std::string> mended() { return std::move(mended_); }

private:
    Row& row_;
    std::vector<std::string> mended_;
};

/// A JSON object, as the columns have them.
[[nodiscard]] bool is_object(const std::string& text);
/// They have one length, and differ in a character or two: a damage may have turned these.
[[nodiscard]] bool is_nearly(std::string_view text, std::string_view other);

/// The columns of `table` that need no other witness. Each that was mended, and what was taken.
std::vector<std::string> mend_columns(const std::string& table, Row& row);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_SALVAGE_MENDED_COLUMNS_HPP_
