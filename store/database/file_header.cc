// SPDX-License-Identifier: MIT
#include "store/database/file_header.hpp"

#include <sqlite3.h>

#include <array>
#include <string_view>
#include <vector>

#include "store/database/page_head.hpp"

namespace xlstore {

namespace {

using std::string_view_literals::operator""sv;

// sqlite.org/fileformat2.html.
constexpr auto kMagic = "SQLite format 3\0"sv;
constexpr std::size_t kWriteVersionAt = 18;  // 1 with a rollback journal, 2 with a log
constexpr std::size_t kReadVersionAt = 19;
constexpr std::size_t kUserVersionAt = 60;
constexpr std::size_t kApplicationIdAt = 68;

FileHeader::Mode mode_of(unsigned char write, unsigned char read)
{
    if (write != read) return FileHeader::Mode::other;
    return write == 1   ? FileHeader::Mode::journal
           : write == 2 ? FileHeader::Mode::log
                        : FileHeader::Mode::other;
}

}  // namespace

std::optional<FileHeader> read_file_header(const std::string& database)
{
    // As SQLite names a file: followed by two NULs.
    const std::string name = database + std::string(4, '\0');
    auto* vfs = sqlite3_vfs_find(nullptr);
    std::vector<char> memory(static_cast<std::size_t>(vfs->szOsFile));
    auto* file = reinterpret_cast<sqlite3_file*>(memory.data());
    std::array<unsigned char, 100> bytes{};
    const bool read =
        vfs->xOpen(vfs, name.c_str(), file, SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_READONLY, nullptr) ==
            SQLITE_OK &&
        file->pMethods->xRead(file, bytes.data(), bytes.size(), 0) == SQLITE_OK;
    if (file->pMethods) file->pMethods->xClose(file);
    if (!read ||
        std::string_view(reinterpret_cast<const char*>(bytes.data()), kMagic.size()) != kMagic)
        return std::nullopt;
    return FileHeader{mode_of(bytes[kWriteVersionAt], bytes[kReadVersionAt]),
                      big_endian(&bytes[kUserVersionAt]), big_endian(&bytes[kApplicationIdAt])};
}

}  // namespace xlstore
