// SPDX-License-Identifier: MIT
// The document of a domain as libxl keeps it: a file of its own, text and one NUL behind it, with
// mode 0600, replaced as a whole by a rename. No lock is taken here: who changes one holds libxl's
// lock on it from before reading (store/libxl/host_lock.hpp); a reader alone needs none, since what
// is at the path is always a whole file. Any thread.
#ifndef XLSTORE_STORE_LIBXL_DOCUMENT_FILE_HPP_
#define XLSTORE_STORE_LIBXL_DOCUMENT_FILE_HPP_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/error.hpp"
#include "store/libxl/host_directories.hpp"

namespace xlstore::libxl {

struct DocumentFile {
    std::string text;          ///< without the NUL
    bool ends_with_nul = true;  ///< libxl reads on past the end of one that does not
};

/// Nothing: there is no such file. Errors: invalid (a symbolic link, no regular file, larger than
/// limits::document_bytes_max: never followed, never waited for), io (it cannot be read).
[[nodiscard]] Result<std::optional<DocumentFile>> read_document_file(const std::string& path);

/// Puts `text` and a NUL in place of what is there, byte for byte as libxl would, synced before it
/// takes the old one's place. REQUIRES libxl's lock on the document. Error io: nothing was changed
/// but the file of its own that was being written, which the next write uses again; libxl takes it
/// away with the domain.
[[nodiscard]] Result<void> write_document_file(const HostDirectories& where,
                                               const FileOwner& domain, std::string_view text);

/// The file as it is, byte for byte; nothing: there is none. Errors: as above.
[[nodiscard]] Result<std::optional<std::string>> read_document_bytes(const std::string& path);
/// A file beside the document, whole and synced, its name too: for one that is to take the
/// document's place. Error io.
[[nodiscard]] Result<void> write_beside_document(const std::string& path, std::string_view bytes);
/// Renames a file to the document's place, or the document to another, and syncs that. REQUIRES
/// libxl's lock on the document. Error io: nothing was changed.
[[nodiscard]] Result<void> move_document(const std::string& from, const std::string& to);

/// The userdata files there, by domid, uuid and name; what is called otherwise is omitted. Error
/// io: the directory cannot be listed.
[[nodiscard]] Result<std::vector<UserdataName>> list_userdata(const std::string& directory);

}  // namespace xlstore::libxl

#endif  // XLSTORE_STORE_LIBXL_DOCUMENT_FILE_HPP_
