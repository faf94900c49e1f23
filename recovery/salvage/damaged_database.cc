// SPDX-License-Identifier: MIT
// A scratch copy is mended until SQLite opens it, then read.
//
//   1. copy; replay_log: the log's pages are written into the file without SQLite, past frames
//      whose checksum is wrong (damaged_log.hpp).
//   2. mend: a wrong header becomes that of a store of the same version; a file that is cut off is
//      extended with zeros, which are no page of a tree.
//   3. If the schema cannot be read, that of a new store of the version is put in its place, for
//      each table whose page is of the right kind.
//   4. scan: rows page by page (page_scan.hpp), besides those that SQLite finds through the trees.
//      A row of which nothing proves that it was not deleted before is marked as doubtful.
//
// Where SQLite stops at damage, rows_of_tree() goes on from the next id whose place can be looked
// at, and rows_from_both_ends() from the other end.
#include "recovery/salvage/damaged_database.hpp"

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

#include "recovery/salvage/header_version.hpp"
#include "recovery/salvage/page_scan.hpp"
#include "recovery/salvage/page_size.hpp"
#include "recovery/salvage/plausible_root.hpp"
#include "schema/steps.hpp"
#include "store/database/damaged_log.hpp"
#include "store/database/tables.hpp"
#include "store/model/document.hpp"
#include "store/os/file_upkeep.hpp"
#include "store/qmp/protocol.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::recovery {

namespace {

// The layout of SQLite's database file (sqlite.org/fileformat2.html), as far as it is needed here.
constexpr std::size_t kHeader = 100;
using Header = std::array<unsigned char, kHeader>;
constexpr std::size_t kAtPages = 28;  // size of the file in pages, true if the next two agree
constexpr std::size_t kAtChanges = 24;
constexpr std::size_t kAtChangesOfPages = 92;
constexpr std::size_t kAtFreePages = 32;          // the first of them, and how many
constexpr std::size_t kAtVersion = 60;            // user_version
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

std::string words_of_sqlite(std::string_view text)
{
    std::string words(text);
    std::ranges::replace(words, '\n', ' ');
    for (const char marked : {'"', '\\'})  // so that nothing but the ends is a quote
        std::ranges::replace(words, marked, '\'');
    words = qmp::printable(words);
    words.erase(words.rfind('"'), 1);
    return words.substr(1);
}

void DamagedDatabase::Finalize::operator()(sqlite3_stmt* statement) const
{
    sqlite3_finalize(statement);
}

namespace {

using Shape = DamagedDatabase::Shape;

Shape shape_of(Db& db)
{
    auto columns = db.prepare(
        "SELECT t.name, c.name, c.type, NOT (c.\"notnull\" OR c.pk) "
        "FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table'");
    Shape shape;
    while (columns.step())
        shape[columns.text(0)][columns.text(1)] =
            DamagedDatabase::Column{columns.text(2), columns.integer(3) != 0};
    return shape;
}

Shape shape_of_version(std::int64_t version)
{
    Db model(":memory:", Db::Mode::create, Durability::process, "store.db");
    make_tables(model, version);
    return shape_of(model);
}

bool has_all_of(const Shape& shape, const Shape& wanted)
{
    return std::ranges::all_of(wanted, [&](const auto& table) {
        const auto found = shape.find(table.first);
        return found != shape.end() && std::ranges::all_of(table.second, [&](const auto& column) {
                   return found->second.contains(column.first);
               });
    });
}

// Of the columns of the version that the header tells.
bool lacks_few(const Shape& shape, std::int64_t told)
{
    constexpr int kFew = 3;
    if (told < 1 || told > schema::newest_version()) return false;
    int lacking = 0;
    for (const auto& [table, columns] : shape_of_version(told)) {
        const auto found = shape.find(table);
        if (found == shape.end()) return false;
        for (const auto& [name, column] : columns)
            lacking += found->second.contains(name) ? 0 : 1;
    }
    return lacking > 0 && lacking <= kFew;
}

// By what its tables have, since the header may be damaged; that decides only where a step changed
// no table. 0: they are those of no version.
std::int64_t version_of(const Shape& shape, std::int64_t told)
{
    for (auto version = schema::newest_version(); version > 0; --version) {
        const auto wanted = shape_of_version(version);
        if (!has_all_of(shape, wanted)) continue;
        const bool same = told > 0 && told < version && has_all_of(shape_of_version(told), wanted);
        return same ? told : version;
    }
    return 0;
}

}  // namespace

DamagedDatabase::DamagedDatabase(const std::string& source, std::string scratch)
    : scratch_(std::move(scratch))
{
    copy(source);
    measure();
    replay_log();
    mend();
    const auto open = [&] {
        db_.emplace(scratch_, Db::Mode::read_only);
        db_->execute("PRAGMA cell_size_check = OFF");  // every cell that can be read
    };
    try {
        open();
        version_ = version_of_schema(*db_);
        const auto told = schema_version(*db_);
        const auto shape = shape_of(*db_);
        // Another column's name was overwritten: by the other columns it would be an older one.
        if (version_ == 0 && !lacks_few(shape, told)) version_ = version_of(shape, told);
    } catch (const DbError& e) {
        if (!is_damage(e)) throw;
    }
    if (version_ == 0) {
        db_.reset();
        make_schema_anew();
        open();
    }
    // A page under another's number is no error to those who read it.
    if (is_log_mended_) are_trees_sound_ = is_sound();
    tables_ = shape_of_version(version_);
    scan();
}

bool DamagedDatabase::is_sound()
{
    try {
        auto integrity = db_->prepare("PRAGMA integrity_check(1)");
        return integrity.step() && integrity.text(0) == "ok";
    } catch (const DbError& e) {
        if (!is_damage(e)) throw;
        return false;
    }
}

DamagedDatabase::~DamagedDatabase()
{
    db_.reset();
    for (const char* suffix : {"-shm", "-wal", ""})
        remove_file(scratch_, suffix);
}

// A lost database is an empty one: its log may have what it had.
void DamagedDatabase::copy(const std::string& source)
{
    for (const char* suffix : {"-shm", "-wal", ""}) {
        unlink((scratch_ + suffix).c_str());
        std::error_code error;
        if (std::filesystem::exists(source + suffix))  // it never has a -shm
            std::filesystem::copy_file(source + suffix, scratch_ + suffix, error);
        if (error) throw IoError(error.value(), "cannot copy " + source + suffix);
    }
}

void DamagedDatabase::measure()
{
    const std::string log = scratch_ + "-wal";
    std::string bytes;
    if (std::filesystem::exists(log)) bytes = read_file(log);
    page_size_ = page_size_of(read_file(scratch_), DamagedLog(bytes).page_size());
}

// Into the file, so that its first page is the one that counts, and without SQLite, which reads a
// log no further than to the first frame that is damaged.
void DamagedDatabase::replay_log()
{
    const std::string log = scratch_ + "-wal";
    if (!std::filesystem::exists(log)) return;
    const std::string bytes = read_file(log);
    const std::string database = read_file(scratch_);
    const DamagedLog read(bytes, database);
    const Fd file(::open(scratch_.c_str(), O_RDWR | O_CLOEXEC));
    if (!file) throw IoError(errno, "cannot open " + scratch_);
    for (const auto& [number, page] : read.pages())
        write_at(file.get(), static_cast<off_t>(number - 1) * static_cast<off_t>(page_size_),
                 reinterpret_cast<const unsigned char*>(page.data()), page.size());
    is_log_mended_ = !read.flaw().empty();
    if (is_log_mended_) mended_.push_back(read.flaw());
    if (unlink(log.c_str()) != 0) throw IoError(errno, "cannot remove " + log);
}

void DamagedDatabase::mend()
{
    const Fd file(::open(scratch_.c_str(), O_RDWR | O_CLOEXEC));
    struct stat st {};
    if (!file || fstat(file.get(), &st) != 0) throw IoError(errno, "cannot open " + scratch_);
    Header header{};
    const bool there = read_at(file.get(), 0, header);
    auto pages = (static_cast<std::uint64_t>(st.st_size) + page_size_ - 1) / page_size_;
    const auto named = big_endian(&header[kAtPages]);
    free_ = Pages(read_file(scratch_), page_size_).free_list();
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
        throw IoError(errno, "cannot extend " + scratch_);
}

// The first page becomes that of an empty schema, and nothing that has a page is free for another.
void DamagedDatabase::forget_schema()
{
    const Fd file(::open(scratch_.c_str(), O_RDWR | O_CLOEXEC));
    Header header{};
    if (!file || !read_at(file.get(), 0, header)) throw IoError(errno, "cannot read " + scratch_);
    version_ = version_in(header);
    std::vector<unsigned char> page(page_size_);
    put_big_endian(header, kAtFreePages, 0);
    put_big_endian(header, kAtFreePages + 4, 0);
    std::ranges::copy(header, page.begin());
    page[kHeader] = static_cast<unsigned char>(PageType::table_leaf);
    // Where its cells begin: behind its end, and 0 is a number that does not fit.
    page[kHeader + 5] = static_cast<unsigned char>(page_size_ >> 8);
    write_at(file.get(), 0, page.data(), page.size());
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
void DamagedDatabase::make_schema_anew()
{
    auto told = told_roots(Pages(read_file(scratch_), page_size_));
    forget_schema();
    Db model(":memory:", Db::Mode::create, Durability::process, "store.db");
    make_tables(model, version_);
    {
        const Pages pages(read_file(scratch_), page_size_);
        Roots roots(pages, std::move(told));
        Db db(scratch_, Db::Mode::read_write);
        sqlite3_db_config(db.handle(), SQLITE_DBCONFIG_DEFENSIVE, 0, nullptr);
        db.execute("PRAGMA writable_schema = ON");
        xlstore::Transaction transaction(db);
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
    if (version_ != schema::newest_version())
        taken += " (of schema version " + std::to_string(version_) + ")";
    mended_.push_back(std::move(taken));
}

// The rows by their pages: what SQLite finds by the trees is not all where a tree is broken.
void DamagedDatabase::scan()
{
    Db model(":memory:", Db::Mode::create, Durability::process, "store.db");
    make_tables(model, version_);
    std::vector<std::string> triggers;
    {
        auto names = model.prepare("SELECT name FROM sqlite_schema WHERE type = 'trigger'");
        while (names.step())
            triggers.push_back(names.text(0));
    }
    for (const auto& name : triggers)
        model.execute("DROP TRIGGER " + name);
    const KeysUnchecked unchecked(model);
    const PageScan found(*db_, Pages(read_file(scratch_), page_size_), free_, model);
    for (const auto& [table, columns] : tables_)
        scanned_[table] = found.rows(table);
}

const std::vector<Row>& DamagedDatabase::scanned(const std::string& table) const
{
    static const std::vector<Row> none;
    const auto found = scanned_.find(table);
    return found == scanned_.end() ? none : found->second;
}

DamagedDatabase::Prepared DamagedDatabase::prepare(const std::string& sql)
{
    sqlite3_stmt* statement = nullptr;
    const int rc = sqlite3_prepare_v2(db_->handle(), sql.c_str(), -1, &statement, nullptr);
    // SQLITE_ERROR: no such table or index; none was found whose rows these could be.
    if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_ERROR) db_->fail("cannot read it");
    return Prepared(statement);
}

std::string DamagedDatabase::columns_of(const std::string& table)
{
    std::string names;
    for (const auto& [name, column] : tables_.at(table))
        names += (names.empty() ? "" : ", ") + name;
    return names;
}

namespace {

Row row_of(sqlite3_stmt* at)
{
    Row row;
    for (int i = 0; i < sqlite3_column_count(at); ++i) {
        Row::Cell cell;
        const int type = sqlite3_column_type(at, i);
        if (type == SQLITE_INTEGER) {
            cell = std::int64_t{sqlite3_column_int64(at, i)};
        } else if (type != SQLITE_NULL) {
            const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(at, i));
            cell = std::string(bytes ? bytes : "",
                               static_cast<std::size_t>(sqlite3_column_bytes(at, i)));
        }
        row.set(sqlite3_column_name(at, i), std::move(cell));
    }
    return row;
}

}  // namespace

bool DamagedDatabase::is_possible(const std::string& table, const std::string& name,
                                  const Row& row) const
{
    const auto& column = tables_.at(table).at(name);
    const auto& cell = row.cells().at(name);
    if (row.is_null(name)) return column.may_be_null;
    if (!column.type.empty() &&
        std::holds_alternative<std::int64_t>(cell) != (column.type == "INTEGER"))
        return false;
    if (name == "id") return row.integer(name) > 0;
    // What things are found by and messages show.
    constexpr std::array kWords = {"name", "class", "key", "kind", "uuid", "state"};
    return std::ranges::count(kWords, name) == 0 || check_name(row.text(name));
}

bool DamagedDatabase::is_possible(const std::string& table, const Row& row) const
{
    return std::ranges::all_of(
        row.cells(), [&](const auto& cell) { return is_possible(table, cell.first, row); });
}

// False: too little of it is left.
bool DamagedDatabase::empty_damaged(const std::string& table, Row& row) const
{
    const auto& columns = tables_.at(table);
    for (const auto& [name, column] : columns)
        if (!is_possible(table, name, row)) row.damage(name);
    if (row.damaged().empty()) return true;
    if (std::ranges::count(row.damaged(), "id") != 0 || row.damaged().size() * 2 > columns.size())
        return false;
    for (const auto& name : row.damaged()) {
        if (columns.at(name).may_be_null)
            row.set(name, std::monostate());
        else if (columns.at(name).type == "INTEGER")
            row.set(name, std::int64_t{0});
        else
            row.set(name, std::string());
    }
    return true;
}

bool DamagedDatabase::rows_by_id(const std::string& table, std::int64_t highest, const Sink& sink)
{
    std::set<std::int64_t> seen;
    bool whole = rows_of_tree(table, highest, [&](Row row) {
        seen.insert(row.integer("id"));
        sink(std::move(row));
    });
    // Those whose place is proved first: of a row that was moved its old page may have a copy.
    for (const bool proved : {true, false})
        for (const auto& row : scanned(table)) {
            if (row.proved() != proved || !seen.insert(row.integer("id")).second) continue;
            whole = false;
            sink(row);
        }
    return whole && are_trees_sound_;
}

bool DamagedDatabase::rows_of_tree(const std::string& table, std::int64_t highest, const Sink& sink)
{
    const std::string select = "SELECT " + columns_of(table) + " FROM " + table + " NOT INDEXED ";
    const auto onward = prepare(select + "WHERE id >= ? ORDER BY id");
    const auto single = prepare(select + "WHERE id = ?");  // all of it: the rest may be elsewhere
    if (!onward || !single) return false;
    bool whole = true;
    for (std::int64_t at = 0;;) {
        sqlite3_reset(onward.get());
        sqlite3_bind_int64(onward.get(), 1, at);
        int rc = SQLITE_ROW;
        while ((rc = sqlite3_step(onward.get())) == SQLITE_ROW) {
            Row row = row_of(onward.get());
            at = std::max(at, row.integer("id")) + 1;
            whole = is_possible(table, row) && whole;
            if (empty_damaged(table, row)) sink(std::move(row));
        }
        if (rc == SQLITE_DONE) return whole;
        if ((rc & 0xff) != SQLITE_CORRUPT) db_->fail("cannot read it");
        // To the next id whose place can be looked at, whether it has a row or not.
        whole = false;
        for (bool readable = false; !readable; ++at) {
            if (at > highest) return false;
            sqlite3_reset(single.get());
            sqlite3_bind_int64(single.get(), 1, at);
            rc = sqlite3_step(single.get());
            if (rc == SQLITE_ROW) break;  // from this one on
            if (rc != SQLITE_DONE && (rc & 0xff) != SQLITE_CORRUPT) db_->fail("cannot read it");
            readable = rc == SQLITE_DONE;
        }
    }
}

bool DamagedDatabase::rows_from_both_ends(const std::string& table, const std::string& query,
                                          const std::string& order, const Sink& sink)
{
    bool whole = true;
    for (const char* direction : {"ASC", "DESC"}) {
        std::string by = order;
        for (auto at = by.find("%s"); at != std::string::npos; at = by.find("%s"))
            by.replace(at, 2, direction);
        const auto statement = prepare(query + " ORDER BY " + by);
        if (!statement) return false;
        int rc = SQLITE_ROW;
        while ((rc = sqlite3_step(statement.get())) == SQLITE_ROW) {
            Row row = row_of(statement.get());
            if (is_possible(table, row))
                sink(std::move(row));
            else
                whole = false;
        }
        if (rc == SQLITE_DONE) return whole && are_trees_sound_ && direction[0] == 'A';
        if ((rc & 0xff) != SQLITE_CORRUPT) db_->fail("cannot read it");
    }
    return false;
}

}  // namespace xlstore::recovery
