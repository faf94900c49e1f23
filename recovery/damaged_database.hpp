// SPDX-License-Identifier: MIT
// A damaged database, read as far as it goes: what SQLite refuses to pass over is stepped round,
// row by row. It works on a copy, which it mends first where the file's own frame is wrong (its
// header, its length, its schema): all of that is the same in every store of its version.
#ifndef XLSTORE_RECOVERY_DAMAGED_DATABASE_HPP_
#define XLSTORE_RECOVERY_DAMAGED_DATABASE_HPP_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "store/db.hpp"
#include "store/error.hpp"

struct sqlite3_stmt;

namespace xlstore::recovery {

/// What SQLite says of a file, safe to print: it may quote what stands there.
[[nodiscard]] std::string words_of_sqlite(std::string_view text);

/// A row by the names of its columns.
class Row {
public:
    using Cell = std::variant<std::monostate, std::int64_t, std::string>;

    void set(const std::string& column, Cell cell) { cells_[column] = std::move(cell); }
    /// 0 and "" where it is NULL or of the other type.
    [[nodiscard]] std::int64_t integer(const std::string& column) const;
    [[nodiscard]] std::string text(const std::string& column) const;
    [[nodiscard]] bool is_null(const std::string& column) const;
    [[nodiscard]] const std::map<std::string, Cell>& cells() const { return cells_; }
    /// As a JSON object, for what is set aside.
    [[nodiscard]] std::string json() const;

private:
    std::map<std::string, Cell> cells_;
};

class DamagedDatabase {
public:
    /// Copies `source` and its log to `scratch`, and opens that. @throws DbError (not even its
    /// schema can be read), IoError (no space)
    DamagedDatabase(const std::string& source, std::string scratch);
    DamagedDatabase(const DamagedDatabase&) = delete;
    DamagedDatabase& operator=(const DamagedDatabase&) = delete;
    ~DamagedDatabase();

    /// The version of its schema: that of an older release, perhaps.
    [[nodiscard]] std::int64_t version() const { return version_; }

    struct Column {
        std::string type;  ///< "": any
        bool may_be_null;
    };
    /// Tables, and the columns of each.
    using Shape = std::map<std::string, std::map<std::string, Column>>;

    /// Has its version that column?
    [[nodiscard]] bool has_column(const std::string& table, const std::string& column) const
    {
        return tables_.contains(table) && tables_.at(table).contains(column);
    }

    /// What was wrong with the file's frame, in words.
    [[nodiscard]] const std::vector<std::string>& mended() const { return mended_; }

    using Sink = std::function<void(Row)>;
    /// Every row that can be read of a table whose primary key is the integer `id`, in that order.
    /// `highest`: where to stop trying behind the damage. True: all of them, there is no damage. A
    /// row that could never have been written (half a page is zeros) is damage, too.
    bool rows_by_id(const std::string& table, std::int64_t highest, const Sink& sink);
    /// What `query` reads from either end until it meets damage, from the first end first; `order`
    /// is a column list with %s where ASC or DESC belongs. Its columns are of `table`. True: all.
    bool rows_from_both_ends(const std::string& table, const std::string& query,
                             const std::string& order, const Sink& sink);

private:
    struct Finalize {
        void operator()(sqlite3_stmt* statement) const;
    };
    using Prepared = std::unique_ptr<sqlite3_stmt, Finalize>;

    void mend();
    void empty_log();
    void forget_schema();
    void make_schema_anew();
    Prepared prepare(const std::string& sql);
    [[nodiscard]] bool is_possible(const std::string& table, const Row& row) const;
    std::string columns_of(const std::string& table);

    std::string scratch_;
    std::vector<std::string> mended_;
    std::int64_t version_ = 0;
    Shape tables_;  // as that version makes them
    std::optional<Db> db_;
};

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_DAMAGED_DATABASE_HPP_
