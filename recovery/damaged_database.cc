// SPDX-License-Identifier: MIT
#include "recovery/damaged_database.hpp"

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

#include "schema/steps.hpp"
#include "store/document.hpp"
#include "store/json_text.hpp"
#include "store/new_database.hpp"
#include "store/qmp/protocol.hpp"
#include "store/tables.hpp"

namespace xlstore::recovery {

namespace {

// The layout of SQLite's database file (sqlite.org/fileformat2.html), as far as it is needed here.
constexpr std::size_t kPage = 4096;  // what SQLite gives a new file; ours never change it
constexpr std::size_t kHeader = 100;
using Header = std::array<unsigned char, kHeader>;
constexpr std::size_t kAtPages = 28;  // size of the file in pages, true if the next two agree
constexpr std::size_t kAtChanges = 24;
constexpr std::size_t kAtChangesOfPages = 92;
constexpr unsigned char kInteriorTablePage = 5;
constexpr std::uint32_t kMostPages = 1U << 24;  // 64 GiB: no store grows to that

std::uint32_t big_endian(const unsigned char* at)
{
    return static_cast<std::uint32_t>(at[0]) << 24 | static_cast<std::uint32_t>(at[1]) << 16 |
           static_cast<std::uint32_t>(at[2]) << 8 | static_cast<std::uint32_t>(at[3]);
}

void put_big_endian(Header& header, std::size_t at, std::uint32_t value)
{
    for (std::size_t i = 0; i < 4; ++i)
        header.at(at + i) = static_cast<unsigned char>(value >> (24 - 8 * i));
}

// That of a store in WAL mode which does not say how long it is, so that the file's length counts.
Header right_header()
{
    Header header{};
    std::memcpy(header.data(), "SQLite format 3", 16);
    header[16] = kPage >> 8;
    header[18] = header[19] = 2;  // WAL
    header[21] = 64;
    header[22] = header[23] = 32;
    put_big_endian(header, kAtChanges, 1);
    put_big_endian(header, 40, 1);  // schema cookie
    put_big_endian(header, 44, 4);  // schema format
    put_big_endian(header, 56, 1);  // UTF-8
    put_big_endian(header, 60, static_cast<std::uint32_t>(schema::steps().size()));
    put_big_endian(header, 68, static_cast<std::uint32_t>(schema::kApplicationId));
    return header;
}

bool is_right(const Header& header)
{
    const Header right = right_header();
    // Journal mode, sizes, counters and the version that wrote it last differ.
    for (const auto& [from, to] : {std::pair{0, 18}, {20, 24}, {44, 48}, {56, 60}, {68, 72}})
        if (!std::equal(header.begin() + from, header.begin() + to, right.begin() + from))
            return false;
    return header[18] >= 1 && header[18] <= 2 && header[19] >= 1 && header[19] <= 2;
}

template <std::size_t size>
bool read_at(int fd, off_t at, std::array<unsigned char, size>& bytes)
{
    return pread(fd, bytes.data(), size, at) == static_cast<ssize_t>(size);
}

void write_at(int fd, off_t at, const unsigned char* bytes, std::size_t size)
{
    if (pwrite(fd, bytes, size, at) != static_cast<ssize_t>(size))
        throw IoError(errno, "cannot mend the copy of a damaged database");
}

// The pages of sqlite_schema: its root is page 1, and it is never deeper than two.
std::set<std::uint32_t> schema_pages(int fd)
{
    std::set<std::uint32_t> pages = {1};
    std::array<unsigned char, kPage> root{};
    if (!read_at(fd, 0, root) || root[kHeader] != kInteriorTablePage) return pages;
    const std::size_t cells = root[kHeader + 3] * 256U + root[kHeader + 4];
    pages.insert(big_endian(&root[kHeader + 8]));
    for (std::size_t i = 0; i < cells; ++i) {
        const std::size_t pointer = kHeader + 12 + 2 * i;
        const std::size_t cell = root.at(pointer) * 256U + root.at(pointer + 1);
        pages.insert(big_endian(&root.at(cell)));
    }
    return pages;
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

bool is_damage(const DbError& error)
{
    const int code = error.extended_code() & 0xff;
    return code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
}

std::int64_t Row::integer(const std::string& column) const
{
    const auto* value = std::get_if<std::int64_t>(&cells_.at(column));
    return value ? *value : 0;
}

std::string Row::text(const std::string& column) const
{
    const auto* value = std::get_if<std::string>(&cells_.at(column));
    return value ? *value : std::string();
}

bool Row::is_null(const std::string& column) const
{
    return std::holds_alternative<std::monostate>(cells_.at(column));
}

std::string Row::json() const
{
    std::vector<std::pair<std::string, std::string>> members;
    for (const auto& [column, cell] : cells_) {
        const auto* number = std::get_if<std::int64_t>(&cell);
        members.emplace_back(column, is_null(column) ? "null"
                                     : number        ? std::to_string(*number)
                                     : check_name(text(column))
                                         ? json_quote(text(column))
                                         : json_quote(qmp::printable(text(column))));
    }
    return json_object(members);
}

void DamagedDatabase::Finalize::operator()(sqlite3_stmt* statement) const
{
    sqlite3_finalize(statement);
}

DamagedDatabase::DamagedDatabase(const std::string& source, std::string scratch)
    : scratch_(std::move(scratch))
{
    model_.emplace(":memory:", Db::Mode::create);
    make_tables(*model_);
    auto columns = model_->prepare(
        "SELECT t.name, c.name, c.type = 'INTEGER', NOT (c.\"notnull\" OR c.pk) "
        "FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type = 'table'");
    while (columns.step())
        tables_[columns.text(0)][columns.text(1)] =
            Column{columns.integer(2) != 0, columns.integer(3) != 0};
    for (const char* suffix : {"-shm", "-wal", ""}) {
        unlink((scratch_ + suffix).c_str());
        std::error_code error;
        if (std::filesystem::exists(source + suffix))  // it never has a -shm
            std::filesystem::copy_file(source + suffix, scratch_ + suffix, error);
        if (error) throw IoError(error.value(), "cannot copy " + source + suffix);
    }
    mend();
    const auto open = [&] {
        db_.emplace(scratch_, Db::Mode::read_only);
        db_->execute("PRAGMA cell_size_check = OFF");  // every cell that can be read
        (void)prepare("SELECT " + columns_of("thing") + " FROM thing");
    };
    try {
        open();
    } catch (const DbError& e) {
        // SQLITE_ERROR: no such table.
        if (!is_damage(e) && (e.extended_code() & 0xff) != SQLITE_ERROR) throw;
        db_.reset();
        transplant_schema();
        open();
    }
}

DamagedDatabase::~DamagedDatabase()
{
    db_.reset();
    for (const char* suffix : {"-shm", "-wal", ""})
        unlink((scratch_ + suffix).c_str());
}

void DamagedDatabase::mend()
{
    const Fd file(::open(scratch_.c_str(), O_RDWR | O_CLOEXEC));
    struct stat st {};
    if (!file || fstat(file.get(), &st) != 0) throw IoError(errno, "cannot open " + scratch_);
    Header header{};
    const bool there = read_at(file.get(), 0, header);
    auto pages = (static_cast<std::uint64_t>(st.st_size) + kPage - 1) / kPage;
    const auto named = big_endian(&header[kAtPages]);
    if (!there || !is_right(header)) {
        const Header right = right_header();
        write_at(file.get(), 0, right.data(), right.size());
        mended_.emplace_back("its header is wrong");
    } else if (big_endian(&header[kAtChanges]) == big_endian(&header[kAtChangesOfPages]) &&
               named > pages && named <= kMostPages) {
        mended_.push_back("it is cut off after " + std::to_string(st.st_size) + " of " +
                          std::to_string(std::uint64_t{named} * kPage) + " bytes");
        pages = named;
    }
    // What is missing reads as zeros, which is no page of a tree.
    const auto size = static_cast<off_t>(std::max<std::uint64_t>(pages, 1) * kPage);
    if (size != st.st_size && ftruncate(file.get(), size) != 0)
        throw IoError(errno, "cannot extend " + scratch_);
}

// A store's schema is made by the same statements in the same order, so that its pages, and the
// places of all tables, are those of any new store. Should it have been changed since, rows are
// missed or refused, and the file itself is kept.
void DamagedDatabase::transplant_schema()
{
    const std::string model = scratch_ + ".model";
    make_database(model, [](Db&) {});
    {
        const Fd from(::open(model.c_str(), O_RDONLY | O_CLOEXEC));
        const Fd to(::open(scratch_.c_str(), O_RDWR | O_CLOEXEC));
        if (!from || !to) throw IoError(errno, "cannot open " + model);
        for (const auto number : schema_pages(from.get())) {
            std::array<unsigned char, kPage> page{};
            const auto at = static_cast<off_t>(number - 1) * static_cast<off_t>(kPage);
            if (!read_at(from.get(), at, page)) throw IoError(errno, "cannot read " + model);
            const std::size_t skip = number == 1 ? kHeader : 0;
            write_at(to.get(), at + static_cast<off_t>(skip), page.data() + skip, kPage - skip);
        }
    }
    unlink(model.c_str());
    mended_.emplace_back("its schema cannot be read, that of a new store was taken");
}

DamagedDatabase::Prepared DamagedDatabase::prepare(const std::string& sql)
{
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(db_->handle(), sql.c_str(), -1, &statement, nullptr) != SQLITE_OK)
        db_->fail("cannot read it");
    return Prepared(statement);
}

std::string DamagedDatabase::columns_of(const std::string& table)
{
    auto rows = model_->prepare("SELECT group_concat(name) FROM pragma_table_info(?)").bind(table);
    rows.step();
    return rows.text(0);
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

bool DamagedDatabase::is_possible(const std::string& table, const Row& row) const
{
    const auto& columns = tables_.at(table);
    for (const auto& [name, cell] : row.cells()) {
        const auto& column = columns.at(name);
        const bool null = row.is_null(name);
        if (null ? !column.may_be_null
                 : std::holds_alternative<std::int64_t>(cell) != column.integer)
            return false;
        if (name == "id" && row.integer(name) <= 0) return false;
        // What things are found by and messages show.
        for (const char* word : {"name", "class", "key", "kind", "uuid", "state"})
            if (name == word && !null && !check_name(row.text(name))) return false;
    }
    return true;
}

bool DamagedDatabase::rows_by_id(const std::string& table, std::int64_t highest, const Sink& sink)
{
    const std::string select = "SELECT " + columns_of(table) + " FROM " + table + " NOT INDEXED ";
    const auto onward = prepare(select + "WHERE id >= ? ORDER BY id");
    const auto single = prepare(select + "WHERE id = ?");  // all of it: the rest may be elsewhere
    bool whole = true;
    for (std::int64_t at = 0;;) {
        sqlite3_reset(onward.get());
        sqlite3_bind_int64(onward.get(), 1, at);
        int rc = SQLITE_ROW;
        while ((rc = sqlite3_step(onward.get())) == SQLITE_ROW) {
            Row row = row_of(onward.get());
            at = std::max(at, row.integer("id")) + 1;
            if (is_possible(table, row))
                sink(std::move(row));
            else
                whole = false;
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
        int rc = SQLITE_ROW;
        while ((rc = sqlite3_step(statement.get())) == SQLITE_ROW) {
            Row row = row_of(statement.get());
            if (is_possible(table, row))
                sink(std::move(row));
            else
                whole = false;
        }
        if (rc == SQLITE_DONE) return whole && direction[0] == 'A';
        if ((rc & 0xff) != SQLITE_CORRUPT) db_->fail("cannot read it");
    }
    return false;
}

}  // namespace xlstore::recovery
