// SPDX-License-Identifier: MIT
// What a repair of a host replaces, kept before it is replaced (R22), for put_back.hpp. There is no
// store that could keep it, so that it is a directory a run:
//
//   ROOT/var/lib/xlfsck/libxl-DATE/index     the changes, in their order (undo_index.hpp)
//   …/1.before  …/1.after                    libxl's file as it was and as it is, to the byte
#ifndef XLSTORE_RECOVERY_LIBXL_HOST_UNDO_HPP_
#define XLSTORE_RECOVERY_LIBXL_HOST_UNDO_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "recovery/base/check.hpp"
#include "recovery/libxl/undo_index.hpp"
#include "store/base/error.hpp"
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
    /// Before a transaction that writes or removes these nodes of `domid` (nothing: of no domain)
    /// is committed. Gives the node that it has to make besides. Error as above.
    Result<std::string> keep_nodes(std::optional<std::int64_t> domid,
                                   const std::vector<NodeBefore>& nodes);
    /// What became of the transaction that makes `proof`. Error as above.
    Result<void> settle_nodes(const std::string& proof, bool made);

    /// Where it is; "": nothing was changed.
    [[nodiscard]] const std::string& directory() const noexcept { return directory_; }

private:
    Result<void> begin();
    Result<std::string> put(const std::string& suffix, const std::string& bytes);

    std::string root_;
    std::string directory_;
    std::optional<UndoIndex> index_;
    int count_ = 0;
};

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_LIBXL_HOST_UNDO_HPP_
