// SPDX-License-Identifier: MIT
// The rows of a database page by page, also where the trees that lead to them are damaged. A page
// that no tree leads to and that is not free was in use by a tree that is broken: its cells are
// rows. Which table's is told by their shape.
#ifndef XLSTORE_RECOVERY_SALVAGE_PAGE_SCAN_HPP_
#define XLSTORE_RECOVERY_SALVAGE_PAGE_SCAN_HPP_

#include <map>
#include <set>
#include <string>
#include <vector>

#include "recovery/salvage/pages.hpp"
#include "recovery/salvage/row.hpp"
#include "store/database/db.hpp"

namespace xlstore::recovery {

class PageScan {
public:
    /// @param damaged  a connection to the file, for the roots of its trees
    /// @param pages    of that file, which has no log
    /// @param free     its free pages
    /// @param model    an empty database of the file's schema, without triggers and unchecked
    ///                 foreign keys; used for as long as this lives
    PageScan(Db& damaged, Pages pages, const Pages::FreeList& free, Db& model);

    /// Those of a table, in no order. A row whose place the tree or the list of free pages does not
    /// prove is marked (Row::proved): it may have been deleted.
    [[nodiscard]] const std::vector<Row>& rows(const std::string& table) const;

private:
    struct Column {
        std::string name;
        bool is_rowid = false;
        Value otherwise;  ///< its default, where a row is older than the column
        bool has_otherwise = false;
    };
    struct Table {
        std::string name;
        bool has_rowid = true;
        std::vector<Column> columns;  ///< in the order of a record
        std::string insert;
    };

    void read_tables();
    Table table_of(const std::string& name, bool has_rowid);
    void claim(std::uint32_t root, const std::string& tree);
    void note_overflow(std::uint32_t number);
    void read_page(std::uint32_t number);
    void read_orphan(std::uint32_t number);
    [[nodiscard]] std::vector<Row> rows_at_places(std::uint32_t number, const Table& table,
                                                  bool proved, std::set<std::size_t>& covered);
    [[nodiscard]] std::vector<Row> rows_between(std::uint32_t number, const Table& table,
                                                const std::set<std::size_t>& covered);
    [[nodiscard]] std::optional<Row> row_of(const Table& table, const Cell& cell);
    [[nodiscard]] bool fits(const Table& table, const Row& row);

    Pages pages_;
    Db& model_;
    std::map<std::string, Table> tables_;
    std::map<std::uint32_t, std::string> trees_;  // by page; those of indexes too
    std::set<std::uint32_t> free_;
    std::set<std::uint32_t> overflow_;  // pages in which cells of trees go on
    bool free_is_sound_ = true;
    std::map<std::string, std::vector<Row>> rows_;
};

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_SALVAGE_PAGE_SCAN_HPP_
