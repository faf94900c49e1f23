// SPDX-License-Identifier: MIT
// What a run of recovery takes away or rewrites is kept, row by row (R22), in every pass:
// temporary triggers of this connection write the row that was there before into undo_row, in the
// transaction of the change. They end with the run. store/keep/undo.hpp reads and puts back.
//
// Not recorded is what has a copy elsewhere (the document of a domain that ends:
// store/keep/retired.hpp) or follows from what QEMU shows (the state of an entry, its products).
#ifndef XLSTORE_RECOVERY_BASE_UNDO_RECORDER_HPP_
#define XLSTORE_RECOVERY_BASE_UNDO_RECORDER_HPP_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/core/store.hpp"

namespace xlstore::recovery {

class UndoRecorder {
public:
    /// Writes nothing yet. `mode`: what the list of runs calls it.
    UndoRecorder(Store& store, std::string_view mode);
    UndoRecorder(const UndoRecorder&) = delete;
    UndoRecorder& operator=(const UndoRecorder&) = delete;
    ~UndoRecorder();

    /// What TaskScope::token has to be in the tasks whose changes are recorded.
    [[nodiscard]] const std::string& token() const noexcept { return token_; }
    /// From here on changes of such tasks are recorded. REQUIRES a database whose tables are there.
    /// @throws DbError
    void begin();
    /// Keeps an object of the schema that is dropped or replaced. REQUIRES an open write
    /// transaction.
    /// @throws DbError
    void keep_schema(std::string_view type, std::string_view name);
    /// Keeps a node of xenstore that goes, or gets another value: `before` is an object that says
    /// what it is. REQUIRES an open write transaction. @throws DbError
    void keep_node(std::optional<DomainId> domain, const std::string& before);

private:
    [[nodiscard]] std::string run_row() const;
    [[nodiscard]] std::string trigger_name(const std::string& of) const;
    [[nodiscard]] std::string is_of_this_run() const;
    void record(const char* table, const char* operation, const std::string& of,
                const std::string& condition);

    Store& store_;
    std::string token_;
    std::string run_columns_;  // values of the run's row, as SQL
    std::vector<std::string> triggers_;
};

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_BASE_UNDO_RECORDER_HPP_
