// SPDX-License-Identifier: MIT
// What a repair of a host replaces, kept before it is replaced (R22), and put back on request.
// There is no store that could keep it, so that it is a directory a run:
//
//   ROOT/var/lib/xlfsck/libxl-DATE/index     a JSON object a line, in the order of the changes
//   …/1.before  …/1.after                    libxl's file as it was and as it is, to the byte
//
// A line is {"file":PATH,"domid":N,"uuid":U,"before":NAME or null,"after":NAME or null} or
// {"node":PATH,"before":VALUE or null,"after":VALUE or null,"permissions":"n0,r7","proof":NODE}.
// Nodes with the same proof are one transaction's. Behind them comes {"made":NODE} or
// {"withdrawn":NODE}; a repair that was killed before it could say so has made them if and only if
// xenstore has the node NODE: the transaction made that, too, and it goes with the line "made".
#ifndef XLSTORE_RECOVERY_LIBXL_HOST_UNDO_HPP_
#define XLSTORE_RECOVERY_LIBXL_HOST_UNDO_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "recovery/base/check.hpp"
#include "store/base/error.hpp"
#include "store/event/loop.hpp"
#include "store/libxl/host_directories.hpp"

namespace xlstore::recovery {

class HostUndo {
public:
    /// Writes nothing yet: the directory is made with the first change.
    explicit HostUndo(std::string root) : root_(std::move(root)) {}

    /// Before libxl's document of `domain` is written (`after`: its bytes; nothing: it goes).
    /// Error io: it could not be kept, and must not be replaced.
    Result<void> keep_document(const libxl::HostDirectories& where, const libxl::FileOwner& domain,
                               const std::optional<std::string>& before,
                               const std::optional<std::string>& after);
    /// Before a transaction that writes or removes these nodes is committed. Gives the node that it
    /// has to make besides. Error as above.
    Result<std::string> keep_nodes(const std::vector<NodeBefore>& nodes);
    /// What became of the transaction that makes `proof`. Error as above.
    Result<void> settle_nodes(const std::string& proof, bool made);

    /// Where it is; "": nothing was changed.
    [[nodiscard]] const std::string& directory() const noexcept { return directory_; }

private:
    Result<void> begin();
    Result<std::string> put(const std::string& suffix, const std::string& bytes);
    Result<void> add_line(const std::string& line);

    std::string root_;
    std::string directory_;
    int count_ = 0;
};

/// One change put back, or why not.
struct PutBack {
    std::string what;  ///< the path of the file or node
    Result<void> done;
};
/// Puts back what stands in `directory`, the last change first, each only where it is still as the
/// repair left it: what changed since stays (conflict), and with it all that the same transaction
/// changed. A node that came stays if something of another client's is below it. What is as it was
/// before the repair is done: put back by an undo that was killed, or never changed. What is not
/// proved to be the repair's stays (conflict). Files under libxl's lock on them.
/// Errors: not_found, invalid: it is no directory of such a run; nothing was changed.
Task<Result<std::vector<PutBack>>> undo_host_repair(Loop& loop, std::string directory,
                                                    Deadline until);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_LIBXL_HOST_UNDO_HPP_
