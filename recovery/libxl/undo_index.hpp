// SPDX-License-Identifier: MIT
// The index of what a repair of a host replaced: a JSON object a line, in the order in which it was
// written; each is synced before what it speaks of is done, or once it was.
//
//   {"run":UUID,"boot":ID}
//   {"file":PATH,"domid":N,"uuid":U,"before":NAME or null,"after":NAME or null}      a change
//   {"node":PATH,"domid":N or null,"before":VALUE or null,"after":VALUE or null,
//    "permissions":"n0,r7","proof":NODE}              those with the same proof are one change
//   {"made":NODE}  {"withdrawn":NODE}                 what became of that transaction
//   {"undoing":CHANGE,"proof":NODE or PATH,"left":[NODE,…]}
//   {"undone":CHANGE,"left":[NODE,…]}                 but for these, which stayed
//
// A process that is killed before it can write what became of a change leaves its proof: a node
// that the transaction made is there if and only if it was committed; a file that took the place
// of a document is no longer there, and a document that was moved away is. Changes count from 1.
//
// A repair and an undo hold a lock on the file, so that there is one of them at a time.
#ifndef XLSTORE_RECOVERY_LIBXL_UNDO_INDEX_HPP_
#define XLSTORE_RECOVERY_LIBXL_UNDO_INDEX_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/error.hpp"
#include "store/base/fd.hpp"

namespace xlstore::recovery {

struct UndoLine {
    std::string file;  ///< "": a node
    std::string node;
    std::optional<std::int64_t> domid;
    std::string uuid;
    std::optional<std::string> before;
    std::optional<std::string> after;
    std::string permissions;
};

/// One attempt to undo a change.
struct UndoAttempt {
    std::string proof;
    std::vector<std::string> left;
};

/// What cannot be written there keeps the change that it is about from being made.
[[nodiscard]] Error not_kept(const std::string& path, int number);

/// A file, or the nodes of a transaction.
struct UndoChange {
    int number = 0;
    std::vector<UndoLine> lines;
    std::string proof;  ///< "": a file
    bool is_made = false;
    bool is_withdrawn = false;
    std::vector<UndoAttempt> attempts;
    std::optional<std::vector<std::string>> undone;  ///< nodes that stayed
};

class UndoIndex {
public:
    /// A new one in `directory`. Error io: it cannot be written.
    static Result<UndoIndex> make(const std::string& directory);
    /// Errors: io, invalid: it is none of xlfsck's; busy: another process uses it.
    static Result<UndoIndex> open(const std::string& directory);

    /// Writes lines, and syncs them. Error io.
    [[nodiscard]] Result<void> add(const std::string& lines);
    /// Before an attempt is carried out. Error as above: it must not be.
    [[nodiscard]] Result<void> begin(UndoChange& change, UndoAttempt attempt);
    /// Once it was. Error as above; the attempt's proof has to stay then.
    [[nodiscard]] Result<void> settle(UndoChange& change, std::vector<std::string> left);

    /// In their order, without what was withdrawn.
    [[nodiscard]] std::vector<UndoChange>& changes() noexcept { return changes_; }
    [[nodiscard]] const std::string& run() const noexcept { return run_; }
    /// What xenstore had in another boot is gone.
    [[nodiscard]] bool is_of_this_boot() const;

private:
    UndoIndex(std::string path, Fd file) : path_(std::move(path)), file_(std::move(file)) {}
    [[nodiscard]] Result<void> lock();
    [[nodiscard]] Result<void> read();
    [[nodiscard]] bool take(const std::string& object);
    [[nodiscard]] bool take_change(const std::string& object);
    [[nodiscard]] UndoChange* of_proof(const std::string& proof);

    std::string path_;
    Fd file_;
    std::string run_;
    std::string boot_;
    std::vector<UndoChange> changes_;
};

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_LIBXL_UNDO_INDEX_HPP_
