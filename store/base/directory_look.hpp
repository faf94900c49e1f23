// SPDX-License-Identifier: MIT
// Whether the names in a directory are still those that were looked at: one look at the directory
// instead of one at each name (R17).
//
// The kernel dates a directory with each name that is made, removed or renamed in it, and no
// program can set that date (ctime). It is proof only where it lies further back than dates are
// coarse: two changes of one moment have the same. What is mounted over a name dates no directory:
// the kernel tells of mounts in another way, and where it does not (no /proc), each name is looked
// at.
#ifndef XLSTORE_STORE_BASE_DIRECTORY_LOOK_HPP_
#define XLSTORE_STORE_BASE_DIRECTORY_LOOK_HPP_

#include <cstdint>
#include <optional>
#include <string>

#include "store/base/fd.hpp"
#include "store/base/file_identity.hpp"

namespace xlstore {

/// A number for the state of a directory's names. Nothing: it is not known, look at the name.
using NamesState = std::optional<std::uint64_t>;

/// One thread at a time.
class DirectoryLook {
public:
    explicit DirectoryLook(std::string path);
    /// Looks at the directory. What is seen of a name after this call stays true for as long as
    /// later calls give the same number.
    [[nodiscard]] NamesState names_now();
    /// What the last call said, without a look.
    [[nodiscard]] NamesState names_last() const noexcept { return told_; }

private:
    struct Seen {
        FileIdentity directory;
        std::int64_t changed_ns = 0;
        bool operator==(const Seen&) const = default;
    };
    std::string path_;
    Seen seen_;
    ForkClosedFd mounts_;  // what is mounted; readable in the kernel's way when that has changed
    std::uint64_t number_ = 0;
    NamesState told_;
};

/// A file under its name: still the one that it was?
class NamedFile {
public:
    NamedFile() = default;
    NamedFile(std::string path, std::optional<FileIdentity> identity)
        : path_(std::move(path)), identity_(identity)
    {}
    /// @param names  what the DirectoryLook of its directory said last
    [[nodiscard]] bool in_place(NamesState names) const;

private:
    std::string path_;
    std::optional<FileIdentity> identity_;  // nothing: there was none, and is to be none
    mutable NamesState seen_;               // it was in place then
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_BASE_DIRECTORY_LOOK_HPP_
