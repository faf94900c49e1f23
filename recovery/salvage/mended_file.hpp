// SPDX-License-Identifier: MIT
// A scratch copy of a damaged database file whose frame is put right: its header, its length, its
// log and, where it cannot be read, its schema. All of that is the same in every store of its
// version, so SQLite opens the copy. It is removed with the object.
#ifndef XLSTORE_RECOVERY_SALVAGE_MENDED_FILE_HPP_
#define XLSTORE_RECOVERY_SALVAGE_MENDED_FILE_HPP_

#include <cstdint>
#include <string>
#include <vector>

#include "recovery/salvage/pages.hpp"

namespace xlstore::recovery {

class MendedFile {
public:
    /// Copies `source` and its log to `path`, and puts the one into the other.
    /// @throws IoError (no space, or it cannot be read)
    MendedFile(const std::string& source, std::string path);
    MendedFile(const MendedFile&) = delete;
    MendedFile& operator=(const MendedFile&) = delete;
    ~MendedFile();

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    /// What was wrong with it, in words.
    [[nodiscard]] const std::vector<std::string>& mended() const noexcept { return mended_; }
    [[nodiscard]] bool is_log_mended() const noexcept { return is_log_mended_; }
    /// As they were before anything was mended.
    [[nodiscard]] const Pages::FreeList& free_pages() const noexcept { return free_; }
    /// As they are now.
    [[nodiscard]] Pages pages() const;

    /// To be called while no connection has it open. The version, which is the header's.
    /// @throws DbError, IoError
    [[nodiscard]] std::int64_t make_schema_anew();

private:
    void copy(const std::string& source);
    void measure();
    void replay_log();
    void mend();
    [[nodiscard]] std::int64_t forget_schema();

    std::string path_;
    std::size_t page_size_ = kPageSize;
    std::vector<std::string> mended_;
    bool is_log_mended_ = false;
    Pages::FreeList free_;
};

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_SALVAGE_MENDED_FILE_HPP_
