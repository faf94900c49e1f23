// SPDX-License-Identifier: MIT
// 1. A copy of the database: of an open store by its own backup, else of the files as they lie
//    there.
// 2. Every text of every table goes through without_secret_of(), and the file is written anew, so
//    that no old page keeps one.
// 3. Where that fails, the copy is damaged: its rows are read one by one into a new database, from
//    both ends of each table, because a row that cannot be read ends a walk. What is lost is told.
#include "tools/xlstore/bundle_database.hpp"

#include <sqlite3.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <vector>

#include "store/os/regular_file.hpp"
#include "tools/common/bundle_file.hpp"
#include "tools/common/json_value.hpp"
#include "tools/common/secrets.hpp"

namespace xlstore::tools {

namespace {

using Until = std::chrono::steady_clock::time_point;

struct CloseDb {
    void operator()(sqlite3* db) const { sqlite3_close(db); }
};
struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Database = std::unique_ptr<sqlite3, CloseDb>;
using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

std::string text_in(sqlite3_stmt* row, int column)
{
    const auto* text = reinterpret_cast<const char*>(sqlite3_column_text(row, column));
    return {text ? text : "", static_cast<std::size_t>(sqlite3_column_bytes(row, column))};
}

std::string_view text_given(sqlite3_value* value)
{
    const auto* text = reinterpret_cast<const char*>(sqlite3_value_text(value));
    return {text ? text : "", static_cast<std::size_t>(sqlite3_value_bytes(value))};
}

// Its name and it: "" names nothing.
void without_secret_of_sql(sqlite3_context* context, int, sqlite3_value** values)
{
    try {
        const auto safe = without_secret_of(text_given(values[0]), text_given(values[1]));
        sqlite3_result_text64(context, safe.data(), safe.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
    } catch (const std::exception&) {
        sqlite3_result_error_nomem(context);
    }
}

int is_over(void* until)
{
    return std::chrono::steady_clock::now() >= *static_cast<const Until*>(until) ? 1 : 0;
}

// It says nothing of the store: the copy lies elsewhere.
Error no_room(const std::string& file, const std::string& why)
{
    const auto below = std::filesystem::path(file).parent_path().parent_path();
    return {Errc::io,
            "no copy of the database could be made in " + plain(below.string()) + ": " + why,
            "no bundle was made; let TMPDIR name a directory with more room, or free some there"};
}

// Did the copy have no room? What is damaged fails otherwise.
bool is_no_room(sqlite3* db)
{
    const int code = sqlite3_extended_errcode(db);
    return code == SQLITE_FULL || code == SQLITE_IOERR_WRITE || code == SQLITE_IOERR_FSYNC ||
           code == SQLITE_IOERR_TRUNCATE;
}

Error copy_error(sqlite3* db, const std::string& file)
{
    if (is_no_room(db)) return no_room(file, sqlite3_errmsg(db));
    if (sqlite3_errcode(db) == SQLITE_INTERRUPT)
        return {Errc::timeout,
                "the time is over, and not all passwords are out of the copy of the "
                "database",
                "no bundle was made; give it longer with --timeout"};
    return {Errc::store, std::string("the copy of the database: ") + sqlite3_errmsg(db),
            "no bundle was made"};
}

// `until` has to live as long as it.
Result<Database> open_copy(const std::string& file, const Until& until)
{
    sqlite3* opened = nullptr;
    const int status =
        sqlite3_open_v2(file.c_str(), &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
    Database db(opened);
    if (status != SQLITE_OK) return copy_error(opened, file);
    constexpr int steps = 10'000;
    sqlite3_progress_handler(opened, steps, is_over, const_cast<Until*>(&until));
    // Triggers keep rows of a store that is used; this is a copy.
    sqlite3_db_config(opened, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
    sqlite3_create_function(opened, "without_secret_of", 2, SQLITE_UTF8 | SQLITE_DETERMINISTIC,
                            nullptr, without_secret_of_sql, nullptr, nullptr);
    return db;
}

Statement prepared(sqlite3* db, const std::string& sql)
{
    sqlite3_stmt* made = nullptr;
    (void)sqlite3_prepare_v2(db, sql.c_str(), -1, &made, nullptr);
    return Statement(made);
}

Result<void> take_secrets_out(const std::string& file, const Until& until)
{
    const auto db = open_copy(file, until);
    if (!db) return db.error();
    const auto updates = prepared(
        db->get(),
        "SELECT 'UPDATE \"' || tab || '\" SET \"' || col || '\" = ' || safe || ' WHERE "
        "typeof(\"' || col || '\") = ''text'' AND \"' || col || '\" <> ' || safe FROM (SELECT "
        "t.name tab, c.name col, 'without_secret_of(' || CASE WHEN c.name = 'text' AND EXISTS "
        "(SELECT 1 FROM pragma_table_info(t.name) WHERE name = 'key') THEN '\"key\"' ELSE '''''' "
        "END || ', \"' || c.name || '\")' safe FROM sqlite_master t JOIN "
        "pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND "
        "c.type = 'TEXT')");
    if (!updates) return copy_error(db->get(), file);
    std::string all = "PRAGMA journal_mode = MEMORY; PRAGMA secure_delete = ON; BEGIN;";
    int step = SQLITE_ROW;
    while ((step = sqlite3_step(updates.get())) == SQLITE_ROW)
        all += text_in(updates.get(), 0) + ";";
    if (step != SQLITE_DONE) return copy_error(db->get(), file);
    sqlite3_reset(updates.get());
    all += "COMMIT; VACUUM; PRAGMA journal_mode = WAL;";  // as the store is
    if (sqlite3_exec(db->get(), all.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK)
        return copy_error(db->get(), file);
    return {};
}

Error no_directory()
{
    return {Errc::io, "no directory could be made for a copy: " + errno_text(errno),
            "let TMPDIR name one that can be written"};
}

// One table of a damaged database, into one that is new.
class TableReader {
public:
    TableReader(sqlite3* from, sqlite3* to, const std::string& name) : from_(from), to_(to)
    {
        name_ = "\"" + name + "\"";
    }
    /// Reads it from its first row on, then from its last.
    void read()
    {
        if (walk("ASC")) return;
        lost_ = sqlite3_errmsg(from_);
        (void)walk("DESC");
    }
    [[nodiscard]] Json told() const
    {
        return {{"read", read_}, {"lost", lost_.empty() ? Json() : Json(lost_)}};
    }

private:
    // True: to its end.
    bool walk(const std::string& order)
    {
        auto rows = prepared(from_, "SELECT * FROM " + name_ + " ORDER BY rowid " + order);
        if (!rows) rows = prepared(from_, "SELECT * FROM " + name_);  // a table without rowids
        if (!rows) return false;
        const int columns = sqlite3_column_count(rows.get());
        std::string places = "?";
        for (int i = 1; i < columns; ++i)
            places += ",?";
        const auto put =
            prepared(to_, "INSERT OR IGNORE INTO " + name_ + " VALUES (" + places + ")");
        if (!put) return false;
        int step = SQLITE_ROW;
        while ((step = sqlite3_step(rows.get())) == SQLITE_ROW) {
            for (int i = 0; i < columns; ++i)
                bind(put.get(), rows.get(), i, name_of(rows.get(), i));
            (void)sqlite3_step(put.get());
            sqlite3_reset(put.get());
            read_ += sqlite3_changes(to_);
        }
        return step == SQLITE_DONE;
    }
    // A member of a document has its name in a column of its own.
    static std::string name_of(sqlite3_stmt* row, int column)
    {
        if (std::string_view(sqlite3_column_name(row, column)) != "text") return "";
        for (int i = 0; i < sqlite3_column_count(row); ++i)
            if (std::string_view(sqlite3_column_name(row, i)) == "key") return text_in(row, i);
        return "";
    }
    static void bind(sqlite3_stmt* put, sqlite3_stmt* row, int column, const std::string& name)
    {
        if (sqlite3_column_type(row, column) != SQLITE_TEXT) {
            sqlite3_bind_value(put, column + 1, sqlite3_column_value(row, column));
            return;
        }
        const auto safe = without_secret_of(name, text_in(row, column));
        sqlite3_bind_text64(put, column + 1, safe.data(), safe.size(), SQLITE_TRANSIENT,
                            SQLITE_UTF8);
    }

    sqlite3* from_;
    sqlite3* to_;
    std::string name_;
    std::int64_t read_ = 0;
    std::string lost_;
};

std::vector<std::array<std::string, 3>> schema_of(sqlite3* db)
{
    std::vector<std::array<std::string, 3>> all;
    const auto rows = prepared(db,
                               "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL "
                               "AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'");
    while (rows && sqlite3_step(rows.get()) == SQLITE_ROW)
        all.push_back({text_in(rows.get(), 0), text_in(rows.get(), 1), text_in(rows.get(), 2)});
    return all;
}

std::int64_t number_of(sqlite3* db, const std::string& pragma)
{
    const auto row = prepared(db, "PRAGMA " + pragma);
    return row && sqlite3_step(row.get()) == SQLITE_ROW ? sqlite3_column_int64(row.get(), 0) : 0;
}

// Tables first, then what stands on them; a table by table account. Null: it has no schema. Error:
// `fresh` has no room.
Result<Json> read_rows(const std::string& damaged, const std::string& fresh, const Until& until)
{
    const auto from = open_copy(damaged, until);
    const auto to = open_copy(fresh, until);
    if (!from || !to) return Json();
    const auto schema = schema_of(from->get());
    if (schema.empty()) return Json();
    const auto run = [&](const std::string& sql) {
        return sqlite3_exec(to->get(), sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK;
    };
    for (const char* pragma : {"application_id", "user_version"})
        (void)run(std::string("PRAGMA ") + pragma + " = " +
                  std::to_string(number_of(from->get(), pragma)));
    (void)run("PRAGMA journal_mode = WAL; BEGIN");
    Json tables = Json::object();
    for (const auto& [type, name, sql] : schema)
        if (type == "table") {
            (void)run(sql);
            TableReader table(from->get(), to->get(), name);
            table.read();
            tables[name] = table.told();
        }
    for (const auto& [type, name, sql] : schema)
        if (type != "table") (void)run(sql);
    // A write that had no room has rolled all of it back.
    if (!run("COMMIT") && std::chrono::steady_clock::now() < until)
        return no_room(fresh, "not all rows could be written");
    return tables;
}

Json integrity_of(const std::string& file, const Until& until)
{
    Json lines = Json::array();
    const auto db = open_copy(file, until);
    if (!db) return lines;
    const auto rows = prepared(db->get(), "PRAGMA integrity_check(100)");
    while (rows && sqlite3_step(rows.get()) == SQLITE_ROW)
        lines.push_back(plain(text_in(rows.get(), 0)));
    if (sqlite3_errcode(db->get()) != SQLITE_DONE) lines.push_back(sqlite3_errmsg(db->get()));
    return lines;
}

std::string header_of(const std::string& file)
{
    constexpr std::size_t header_bytes = 100;
    std::string bytes(header_bytes, '\0');
    std::ifstream in(file, std::ios::binary);
    in.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    std::string hex;
    for (std::size_t i = 0; i < static_cast<std::size_t>(in.gcount()); ++i) {
        constexpr const char* digits = "0123456789abcdef";
        const auto byte = static_cast<unsigned char>(bytes[i]);
        hex += digits[byte >> 4U];
        hex += digits[byte & 15U];
    }
    return hex;
}

Json files_of(const std::string& directory)
{
    Json files = Json::array();
    std::error_code failed;
    for (std::filesystem::directory_iterator entry(directory, failed), end; !failed && entry != end;
         entry.increment(failed)) {
        struct stat st {};
        if (lstat(entry->path().c_str(), &st) == 0)
            files.push_back({{"name", plain(entry->path().filename().string())},
                             {"mode", st.st_mode},
                             {"uid", st.st_uid},
                             {"bytes", st.st_size},
                             {"changed_s", st.st_mtime}});
    }
    return files;
}

// As far as it can be read; the copy is this program's own. Error: the copy cannot be written.
Result<void> copy_readable(const std::string& from, const std::string& to)
{
    std::ifstream in(from, std::ios::binary);
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> out(std::fopen(to.c_str(), "wbe"),
                                                              std::fclose);
    if (!out) return no_room(to, errno_text(errno));
    std::vector<char> part(std::size_t{1} << 16U);
    do {
        in.read(part.data(), static_cast<std::streamsize>(part.size()));
        const auto bytes = static_cast<std::size_t>(in.gcount());
        if (std::fwrite(part.data(), 1, bytes, out.get()) != bytes)
            return no_room(to, errno_text(errno));
    } while (in);
    if (std::fflush(out.get()) != 0) return no_room(to, errno_text(errno));
    return {};
}

// Database and log as they lie there.
Result<void> copy_files(const std::string& directory, const std::string& to)
{
    std::error_code unseen;
    for (const char* name : {"", "-wal"})
        if (std::filesystem::exists(directory + "/store.db" + name, unseen))
            if (auto copied = copy_readable(directory + "/store.db" + name, to + name); !copied)
                return copied;
    return {};
}

}  // namespace

Result<std::string> clean_database(xlstore_store* store, Until until)
{
    const PrivateDirectory place;
    if (place.path().empty()) return no_directory();
    const std::string file = place.path() + "/store.db";
    xlstore_result* made = nullptr;
    const int32_t status = xlstore_backup(store, file.c_str(), &made);
    const ResultHandle result(made);
    if (status != XLSTORE_OK) return last_error();
    if (const auto done = take_secrets_out(file, until); !done) return done.error();
    return read_regular_file(file, kBundleBytesMax);
}

Result<SalvagedDatabase> salvage_database(const std::string& directory, Until until)
{
    const PrivateDirectory place;
    if (place.path().empty()) return no_directory();
    const std::string copy = place.path() + "/store.db";
    const std::string fresh = place.path() + "/fresh.db";
    if (const auto there = copy_files(directory, copy); !there) return there.error();
    Json damage = {{"files", files_of(directory)},
                   {"header", header_of(copy)},
                   {"integrity", integrity_of(copy, until)},
                   {"tables", nullptr}};
    SalvagedDatabase salvaged;
    if (const auto done = take_secrets_out(copy, until); done) {
        auto bytes = read_regular_file(copy, kBundleBytesMax);
        if (bytes) salvaged.bytes = *std::move(bytes);
    } else if (done.error().code != Errc::store) {
        return done.error();
    } else {
        if (const auto there = copy_files(directory, copy); !there)
            return there.error();  // as it was
        auto tables = read_rows(copy, fresh, until);
        if (!tables) return tables.error();
        if (!tables->is_null()) {
            damage["tables"] = *std::move(tables);
            auto bytes = read_regular_file(fresh, kBundleBytesMax);
            if (bytes) salvaged.bytes = *std::move(bytes);
        }
    }
    if (std::chrono::steady_clock::now() >= until)
        return Error(Errc::timeout, "the time is over, and the database is not read to its end",
                     "no bundle was made; give it longer with --timeout");
    salvaged.damage = json_text(damage, 1);
    return salvaged;
}

}  // namespace xlstore::tools
