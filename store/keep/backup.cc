// SPDX-License-Identifier: MIT
//   1. VACUUM INTO writes a whole copy in one read transaction, under a name of its own beside the
//      wanted one. The log and the reserve are not part of it.
//   2. The copy is opened and checked: a backup that cannot be restored is worse than none.
//   3. It is synced and renamed to its name, which must not exist, and the directory is synced.
// Killed before step 3 it leaves a file *.partial-XXXXXX, which no command takes for a backup.
#include "store/keep/backup.hpp"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "schema/steps.hpp"
#include "store/base/limits.hpp"
#include "store/base/shortage.hpp"
#include "store/database/reserve.hpp"
#include "store/database/store_numbers.hpp"
#include "store/database/tables.hpp"
#include "store/os/file_upkeep.hpp"
#include "store/text/plain_text.hpp"

namespace xlstore {

namespace {

Error cannot(const std::string& what, int error)
{
    const char* advice = shortage_advice(error);
    return Error(
        Errc::io, "backup: cannot " + what + ": " + errno_text(error),
        advice ? advice : "name a file in a directory that is there, can be written and has room");
}

// VACUUM INTO writes to the copy alone, and SQLite names the store in what it says of it.
bool is_of_writing(const DbError& error)
{
    const int code = error.extended_code();
    return (code & 0xff) == SQLITE_FULL || code == SQLITE_IOERR_WRITE ||
           code == SQLITE_IOERR_FSYNC || code == SQLITE_IOERR_TRUNCATE;
}

Error no_room_for_copy(const std::string& path, const DbError& error)
{
    return Error(Errc::io,
                 "backup: cannot write " + path + ": " + sqlite3_errstr(error.extended_code()) +
                     " (" + free_space(path.substr(0, path.rfind('/') + 1)) + ")",
                 "no backup was made; name a file in a directory that has room");
}

// The file under its first name; gone with this unless it was given its own.
class Partial {
public:
    explicit Partial(const std::string& file) : path_(file + ".partial-XXXXXX")
    {
        fd_ = Fd(mkostemp(path_.data(), O_CLOEXEC));  // 0600
    }
    Partial(const Partial&) = delete;
    Partial& operator=(const Partial&) = delete;
    ~Partial()
    {
        if (fd_ && !named_) unlink(path_.c_str());
    }
    explicit operator bool() const { return static_cast<bool>(fd_); }
    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] int fd() const { return fd_.get(); }

    Result<void> give_name(const std::string& file)
    {
        if (fsync(fd_.get()) != 0) return cannot("sync " + path_, errno);
        if (renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, file.c_str(), RENAME_NOREPLACE) != 0) {
            if (errno == EEXIST)
                return Error(Errc::exists, "backup: there is a " + file + " already",
                             "name another file");
            return cannot("name it " + file, errno);
        }
        named_ = true;
        sync_directory(file.substr(0, file.rfind('/')));
        return {};
    }

private:
    std::string path_;
    Fd fd_;
    bool named_ = false;
};

}  // namespace

Result<void> check_backup(Db& db, const std::string& shown)
{
    const auto bad = [&](const std::string& why) {
        return Error(Errc::invalid, shown + " " + why,
                     "nothing was changed; give a file that 'xlstore backup' wrote");
    };
    if (db.pragma_integer("PRAGMA application_id") != schema::kApplicationId)
        return bad("is no backup of a store");
    const auto version = schema_version(db);
    if (version < 1) return bad("is no backup of a store");
    if (version > schema::newest_version())
        return Error(Errc::invalid, shown + " " + version_words(version),
                     "nothing was changed; use the xlstore that made it, or a newer one");
    if (const auto table = table_without_column(db); !table.empty())
        return bad("is damaged: the text of table " + table + " in the schema was overwritten");
    auto integrity = db.prepare("PRAGMA integrity_check(1)");
    if (!integrity.step() || integrity.text(0) != "ok")
        return bad("is damaged: " + plain_text(integrity.text(0), limits::evidence_bytes_max));
    if (db.pragma_integer("SELECT count(*) FROM store") != 1) return bad("is no backup of a store");
    return {};
}

Result<Backup> take_backup(Store& store, const std::string& file)
{
    Backup backup;
    backup.file = absolute_path(file);
    if (file_identity(backup.file))
        return Error(Errc::exists, "backup: there is a " + backup.file + " already",
                     "name another file");
    Partial partial(backup.file);
    if (!partial) return cannot("make " + partial.path(), errno);
    // SQLite takes an empty file for one that is not there, and so it keeps its mode.
    try {
        store.db().copy_to(partial.path());
    } catch (const DbError& error) {
        if (!is_of_writing(error)) throw;
        return no_room_for_copy(partial.path(), error);
    }
    {
        Db copy(partial.path(), Db::Mode::read_only);
        if (auto sound = check_backup(copy, "backup: " + partial.path()); !sound)
            return Error(Errc::store, sound.error().message,
                         "no backup was made; 'xlfsck -n' looks at the store");
        backup.commits = counts_commits(copy) ? read_numbers(copy).commits : 0;
        backup.domains =
            copy.pragma_integer("SELECT count(*) FROM domain WHERE state <> 'destroyed'");
    }
    struct stat st {};
    if (fstat(partial.fd(), &st) != 0) return cannot("look at " + partial.path(), errno);
    backup.bytes = st.st_size;
    if (auto named = partial.give_name(backup.file); !named) return named.error();
    return backup;
}

}  // namespace xlstore
