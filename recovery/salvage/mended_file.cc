// SPDX-License-Identifier: MIT
//   1. copy; replay_log: the log's pages are written into the file without SQLite, past frames
//      whose checksum is wrong (damaged_log.hpp).
//   2. mend: a wrong header becomes that of a store of the same version; a file that is cut off is
//      extended with zeros, which are no page of a tree.
#include "recovery/salvage/mended_file.hpp"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>

#include "recovery/salvage/page_size.hpp"
#include "recovery/salvage/plausible_root.hpp"
#include "schema/steps.hpp"
#include "store/base/error.hpp"
#include "store/database/damaged_log.hpp"
#include "store/database/db.hpp"
#include "store/database/tables.hpp"
#include "store/os/file_upkeep.hpp"

namespace xlstore::recovery {

namespace {

// The layout of SQLite's database file (sqlite.org/fileformat2.html), as far as it is needed here.
constexpr std::size_t kHeader = 100;
using Header = std::array<unsigned char, kHeader>;
constexpr std::size_t kAtPages = 28;  // size of the file in pages, true if the next two agree
constexpr std::size_t kAtChanges = 24;
constexpr std::size_t kAtChangesOfPages = 92;
constexpr std::size_t kAtFreePages = 32;        // the first of them, and how many
constexpr std::size_t kAtVersion = 60;          // user_version
constexpr std::uint32_t kMostPages = 1U << 24;  // 64 GiB: no store grows to that

void put_big_endian(Header& header, std::size_t at, std::uint32_t value)
{
    for (std::size_t i = 0; i < 4; ++i)
        header.at(at + i) = static_cast<unsigned char>(value >> (24 - 8 * i));
}

// The version that a header tells, where that can be; else this release's.
std::uint32_t version_in(const Header& header)
{
    const auto newest = static_cast<std::uint32_t>(schema::newest_version());
    const auto told = big_endian(&header[kAtVersion]);
    return told >= 1 && told <= newest ? told : newest;
}

// That of a store in WAL mode which does not say how long it is, so that the file's length counts.
Header right_header(std::uint32_t version, std::size_t page_size)
{
    Header header{};
    std::memcpy(header.data(), "SQLite format 3", 16);
    header[16] = static_cast<unsigned char>(page_size >> 8);  // one that does not fit is 1
    header[17] = page_size == kMostPageSize ? 1 : 0;
    header[18] = header[19] = 2;  // WAL
    header[21] = 64;
    header[22] = header[23] = 32;
    put_big_endian(header, kAtChanges, 1);
    put_big_endian(header, 40, 1);  // schema cookie
    put_big_endian(header, 44, 4);  // schema format
    put_big_endian(header, 56, 1);  // UTF-8
    put_big_endian(header, kAtVersion, version);
    put_big_endian(header, 68, static_cast<std::uint32_t>(schema::kApplicationId));
    return header;
}

bool is_right(const Header& header, std::size_t page_size)
{
    const Header right = right_header(version_in(header), page_size);
    // Journal mode, sizes, counters and the version that wrote it last differ.
    for (const auto& [from, to] : {std::pair{0, 18}, {20, 24}, {44, 48}, {56, 60}, {68, 72}})
        if (!std::equal(header.begin() + from, header.begin() + to, right.begin() + from))
            return false;
    return header[18] >= 1 && header[18] <= 2 && header[19] >= 1 && header[19] <= 2;
}

// False: the file ends before. @throws IoError: it could not be read, which is not the same
template <std::size_t size>
bool read_at(int fd, off_t at, std::array<unsigned char, size>& bytes)
{
    const auto read = pread(fd, bytes.data(), size, at);
    if (read < 0) throw IoError(errno, "cannot read the copy of a damaged database");
    return read == static_cast<ssize_t>(size);
}

void write_at(int fd, off_t at, const unsigned char* bytes, std::size_t size)
{
    if (pwrite(fd, bytes, size, at) != static_cast<ssize_t>(size))
        throw IoError(errno, "cannot mend the copy of a damaged database");
}

std::string read_file(const std::string& path)
{
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat st {};
    if (!file || fstat(file.get(), &st) != 0) throw IoError(errno, "cannot open " + path);
    std::string bytes(static_cast<std::size_t>(st.st_size), '\0');
    for (std::size_t done = 0; done < bytes.size();) {
        const auto n =
            pread(file.get(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) throw IoError(n < 0 ? errno : EIO, "cannot read " + path);
        done += static_cast<std::size_t>(n);
    }
    return bytes;
}

}  // namespace

MendedFile::MendedFile(const std::string& source, std::string path) : path_(std::move(path))
{
    copy(source);
    measure();
    replay_log();
    mend();
}

MendedFile::~MendedFile()
{
    for (const char* suffix : {"-shm", "-wal", ""})
        remove_file(path_, suffix);
}

Pages MendedFile::pages() const
{
    return Pages(read_file(path_), page_size_);
}

// A lost database is an empty one: its log may have what it had.
void MendedFile::copy(const std::string& source)
{
    for (const char* suffix : {"-shm", "-wal", ""}) {
        unlink((path_ + suffix).c_str());
        std::error_code error;
        if (std::filesystem::exists(source + suffix))  // it never has a -shm
            std::filesystem::copy_file(source + suffix, path_ + suffix, error);
        if (error) throw IoError(error.value(), "cannot copy " + source + suffix);
    }
}

void MendedFile::measure()
{
    const std::string log = path_ + "-wal";
    std::string bytes;
    if (std::filesystem::exists(log)) bytes = read_file(log);
    page_size_ = page_size_of(read_file(path_), DamagedLog(bytes).page_size());
}

// Into the file, so that its first page is the one that counts, and without SQLite, which reads a
// log no further than to the first frame that is damaged.
void MendedFile::replay_log()
{
    const std::string log = path_ + "-wal";
    if (!std::filesystem::exists(log)) return;
    const std::string bytes = read_file(log);
    const std::string database = read_file(path_);
    const DamagedLog read(bytes, database);
    const Fd file(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
    if (!file) throw IoError(errno, "cannot open " + path_);
    for (const auto& [number, page] : read.pages())
        write_at(file.get(), static_cast<off_t>(number - 1) * static_cast<off_t>(page_size_),
                 reinterpret_cast<const unsigned char*>(page.data()), page.size());
    is_log_mended_ = !read.flaw().empty();
    if (is_log_mended_) mended_.push_back(read.flaw());
    if (unlink(log.c_str()) != 0) throw IoError(errno, "cannot remove " + log);
}

void MendedFile::mend()
{
    const Fd file(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
    struct stat st {};
    if (!file || fstat(file.get(), &st) != 0) throw IoError(errno, "cannot open " + path_);
    Header header{};
    const bool there = read_at(file.get(), 0, header);
    auto pages = (static_cast<std::uint64_t>(st.st_size) + page_size_ - 1) / page_size_;
    const auto named = big_endian(&header[kAtPages]);
    free_ = Pages(read_file(path_), page_size_).free_list();
    if (!there || !is_right(header, page_size_)) {
        const Header right = right_header(version_in(header), page_size_);
        // One wrong id does not make a wrong list of free pages; what does not even begin as a
        // header does.
        if (!there || !std::equal(header.begin() + 18, header.begin() + 24, right.begin() + 18))
            free_.sound = false;
        write_at(file.get(), 0, right.data(), right.size());
        mended_.emplace_back("its header is wrong");
    } else if (big_endian(&header[kAtChanges]) == big_endian(&header[kAtChangesOfPages]) &&
               named > pages && named <= kMostPages) {
        mended_.push_back("it is cut off after " + std::to_string(st.st_size) + " of " +
                          std::to_string(std::uint64_t{named} * page_size_) + " bytes");
        pages = named;
    }
    // What is missing reads as zeros, which is no page of a tree.
    const auto size = static_cast<off_t>(std::max<std::uint64_t>(pages, 1) * page_size_);
    if (size != st.st_size && ftruncate(file.get(), size) != 0)
        throw IoError(errno, "cannot extend " + path_);
}

// The first page becomes that of an empty schema, and nothing that has a page is free for another.
std::int64_t MendedFile::forget_schema()
{
    const Fd file(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
    Header header{};
    if (!file || !read_at(file.get(), 0, header)) throw IoError(errno, "cannot read " + path_);
    std::vector<unsigned char> page(page_size_);
    put_big_endian(header, kAtFreePages, 0);
    put_big_endian(header, kAtFreePages + 4, 0);
    std::ranges::copy(header, page.begin());
    page[kHeader] = static_cast<unsigned char>(PageType::table_leaf);
    // Where its cells begin: behind its end, and 0 is a number that does not fit.
    page[kHeader + 5] = static_cast<unsigned char>(page_size_ >> 8);
    write_at(file.get(), 0, page.data(), page.size());
    return version_in(header);
}

namespace {

// Of a table or an index, by its name.
TreeShape shape_of_tree(Db& model, const std::string& name, bool is_table, bool of_index)
{
    // A row that is older than a column lacks it; that column has a default, or may be NULL.
    auto counts = model.prepare(
        "SELECT CASE WHEN ?2 THEN (SELECT max(cid) + 1 FROM pragma_table_info(?1) "
        "                          WHERE (\"notnull\" AND dflt_value IS NULL) OR pk) "
        "            ELSE (SELECT count(*) FROM pragma_index_xinfo(?1)) END, "
        "       CASE WHEN ?2 THEN (SELECT count(*) FROM pragma_table_info(?1)) "
        "            ELSE (SELECT count(*) FROM pragma_index_xinfo(?1)) END");
    counts.bind(name).bind(std::int64_t{is_table});
    TreeShape shape{of_index, 1, 1};
    if (!counts.step()) return shape;
    shape.least = static_cast<std::size_t>(counts.integer(0));
    shape.most = static_cast<std::size_t>(counts.integer(1));
    return shape;
}

}  // namespace

// Roots are where rows of the schema say that can still be read. Otherwise the tables of the first
// steps are at the same pages in every store: they are made by the same statements in the same
// order, before the first row. Those of later steps are where a new store has them, or elsewhere if
// the store was upgraded, and all are elsewhere once another program has written the file anew: a
// page that cannot be the root is none (is_plausible_root), and the rows below that of such a table
// are found page by page. The damaged file itself is kept.
std::int64_t MendedFile::make_schema_anew()
{
    auto told = told_roots(pages());
    const auto version = forget_schema();
    Db model(":memory:", Db::Mode::create, Durability::process, "store.db");
    make_tables(model, version);
    {
        const auto there = pages();
        Roots roots(there, std::move(told));
        Db db(path_, Db::Mode::read_write);
        sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_DEFENSIVE, 0, nullptr);
        db.execute("PRAGMA writable_schema = ON");
        Transaction transaction(db);
        // A table WITHOUT ROWID is kept as an index.
        auto objects = model.prepare(
            "SELECT type, name, tbl_name, rootpage, sql, type = 'index' OR sql LIKE '%WITHOUT "
            "ROWID' FROM sqlite_schema WHERE rootpage > 0 ORDER BY rowid");
        std::set<std::string> tables;  // that were found: an index without one is an error
        while (objects.step()) {
            const bool is_table = objects.text(0) == "table";
            const auto shape =
                shape_of_tree(model, objects.text(1), is_table, objects.integer(5) != 0);
            const auto root = roots.of(objects.text(1), objects.integer(3), shape);
            if (root == 0) continue;
            if (is_table)
                tables.insert(objects.text(1));
            else if (!tables.contains(objects.text(2)))
                continue;
            db.prepare("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)")
                .bind(objects.text(0))
                .bind(objects.text(1))
                .bind(objects.text(2))
                .bind(std::int64_t{root})
                .bind(objects.maybe_text(4))
                .run();
        }
        transaction.commit();
    }
    std::string taken = "its schema cannot be read, that of a new store was taken";
    if (version != schema::newest_version())
        taken += " (of schema version " + std::to_string(version) + ")";
    mended_.push_back(std::move(taken));
    return version;
}

}  // namespace xlstore::recovery
