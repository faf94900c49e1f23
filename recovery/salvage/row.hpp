// SPDX-License-Identifier: MIT
// A row read from a damaged database, by the names of its columns.
#ifndef XLSTORE_RECOVERY_SALVAGE_ROW_HPP_
#define XLSTORE_RECOVERY_SALVAGE_ROW_HPP_

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace xlstore::recovery {

using Value = std::variant<std::monostate, std::int64_t, std::string>;

class Row {
public:
    using Cell = Value;

    void set(const std::string& column, Cell cell) { cells_[column] = std::move(cell); }
    /// 0 and "" where it is NULL or of the other type.
    [[nodiscard]] std::int64_t integer(const std::string& column) const;
    [[nodiscard]] std::string text(const std::string& column) const;
    [[nodiscard]] bool is_null(const std::string& column) const;
    [[nodiscard]] const std::map<std::string, Cell>& cells() const { return cells_; }
    /// As a JSON object, for what is quarantined.
    [[nodiscard]] std::string json() const;

    /// False: it was read where nothing says that it has not been deleted.
    [[nodiscard]] bool proved() const noexcept { return proved_; }
    void doubt() noexcept { proved_ = false; }

    /// Columns that held what none of their type is, and are empty now.
    [[nodiscard]] const std::vector<std::string>& damaged() const noexcept { return damaged_; }
    void damage(const std::string& column) { damaged_.push_back(column); }

private:
    std::map<std::string, Cell> cells_;
    std::vector<std::string> damaged_;
    bool proved_ = true;
};

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_SALVAGE_ROW_HPP_
