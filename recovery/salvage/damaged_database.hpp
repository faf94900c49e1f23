// SPDX-License-Identifier: MIT
// A damaged database, read as far as it goes: what SQLite refuses to pass over is stepped round,
// row by row. It works on a copy, whose frame is mended first.
#ifndef XLSTORE_RECOVERY_SALVAGE_DAMAGED_DATABASE_HPP_
#define XLSTORE_RECOVERY_SALVAGE_DAMAGED_DATABASE_HPP_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "recovery/salvage/mended_file.hpp"
#include "recovery/salvage/row.hpp"
#include "recovery/salvage/table_columns.hpp"
#include "store/base/error.hpp"
#include "store/database/db.hpp"

struct sqlite3_stmt;

namespace xlstore::recovery {

class DamagedDatabase {
public:
    /// Copies `source` and its log to `scratch`, puts the one into the other, and opens that.
    /// @throws DbError (not even its schema can be read), IoError (no space)
    DamagedDatabase(const std::string& source, std::string scratch);
    DamagedDatabase(const DamagedDatabase&) = delete;
    DamagedDatabase& operator=(const DamagedDatabase&) = delete;

    /// The version of its schema: that of an older release, perhaps.
    [[nodiscard]] std::int64_t version() const { return version_; }

    /// Has its version that column?
    [[nodiscard]] bool has_column(const std::string& table, const std::string& column) const
    {
        return tables_.contains(table) && tables_.at(table).contains(column);
    }

    /// What was wrong with the file's frame, in words.
    [[nodiscard]] const std::vector<std::string>& mended() const { return file_.mended(); }

    using Sink = std::function<void(Row)>;
    /// Every row that can be read of a table whose primary key is the integer `id`, in that order.
    /// `highest`: where to stop trying behind the damage. True: all of them, there is no damage. A
    /// row that could never have been written (half a page is zeros) is damage, too; of one that
    /// has a few columns like that they are empty (Row::damaged). Behind them those that are found
    /// page by page (PageScan), some of them not proved.
    bool rows_by_id(const std::string& table, std::int64_t highest, const Sink& sink);
    /// What `query` reads from either end until it meets damage, from the first end first; `order`
    /// is a column list with %s where ASC or DESC belongs. Its columns are of `table`. True: all.
    bool rows_from_both_ends(const std::string& table, const std::string& query,
                             const std::string& order, const Sink& sink);

    /// Every row of a table that is found page by page, most of which the others have given, too.
    [[nodiscard]] const std::vector<Row>& scanned(const std::string& table) const;

private:
    struct Finalize {
        void operator()(sqlite3_stmt* statement) const;
    };
    using Prepared = std::unique_ptr<sqlite3_stmt, Finalize>;

    void open();
    void scan();
    [[nodiscard]] bool is_sound();
    bool rows_of_tree(const std::string& table, std::int64_t highest, const Sink& sink);
    Prepared prepare(const std::string& sql);
    [[nodiscard]] bool is_possible(const std::string& table, const std::string& column,
                                   const Row& row) const;
    [[nodiscard]] bool is_possible(const std::string& table, const Row& row) const;
    [[nodiscard]] bool empty_damaged(const std::string& table, Row& row) const;
    std::string names_of(const std::string& table);

    MendedFile file_;
    bool are_trees_sound_ = true;  // otherwise no reading of a table is all of it
    std::int64_t version_ = 0;
    TableColumns tables_;  // as that version makes them
    std::optional<Db> db_;
    std::map<std::string, std::vector<Row>> scanned_;
};

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_SALVAGE_DAMAGED_DATABASE_HPP_
