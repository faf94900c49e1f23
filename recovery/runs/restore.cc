// SPDX-License-Identifier: MIT
//   1. Take the backup in: a private copy, checked, upgraded to this release's schema, and put
//      right where a hand changed its schema. Living QEMUs of the store are a refusal, unless the
//      caller wants them adopted.
//   2. Below the writer lock and every session byte, so that no process has the store open: read
//      the numbers that this directory has seen; checkpoint the old database, so that it is whole
//      without its log; write the new one beside it, with ids and epochs above all of them (R17).
//   3. One rename exchanges the two files. Before it the store is the old one, after it the new
//      one.
//   4. Open the new one and look through it twice: a row whose QEMU is dead is free for the QEMU
//      that runs now only after the first time. Nothing is sent to a QEMU but queries (R19).
//
// What fails after step 3 is "unfinished"; xlfsck goes on from there.
#include "recovery/runs/restore.hpp"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "recovery/base/alone.hpp"
#include "recovery/runs/displaced_store.hpp"
#include "recovery/runs/fsck.hpp"
#include "recovery/salvage/header_version.hpp"
#include "store/base/dated_path.hpp"
#include "store/core/journal.hpp"
#include "store/core/store_files.hpp"
#include "store/database/displaced.hpp"
#include "store/database/file_header.hpp"
#include "store/database/store_numbers.hpp"
#include "store/database/tables.hpp"
#include "store/keep/backup.hpp"
#include "store/lifecycle/qemu_life.hpp"
#include "store/model/store_paths.hpp"
#include "store/os/file_upkeep.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::recovery {

namespace {

// A backup in a place of our own, with the schema of this release.
struct Incoming {
    std::unique_ptr<PrivateCopy> copy;
    std::int64_t commits = 0;
    std::vector<Finding> mended;  // in the copy alone: the file stays as it is
};

// What a hand changed of its schema. A trigger acts, also on what puts the backup back; a version
// that is not that of the tables leads to steps that they had already.
class MendedSchema {
public:
    MendedSchema(Db& db, std::string file, std::vector<Finding>& mended)
        : db_(db), file_(std::move(file)), mended_(mended)
    {}

    void put_version_right()
    {
        if (schema_version(db_) > schema::newest_version()) return;  // a newer release's, perhaps
        const auto wrong = wrong_ids(db_);
        const auto version = wrong ? version_of_schema(db_) : 0;
        if (version == 0 || schema_version(db_) == version) return;
        db_.execute("PRAGMA user_version = " + std::to_string(version));
        tell("user_version", *wrong);
    }
    void drop_foreign_triggers()
    {
        for (const auto& flaw : schema_flaws(db_))
            if (flaw.foreign) put_right(flaw);
    }
    // Before a statement names a column that such a table lacks.
    void put_tables_right()
    {
        for (const auto& flaw : schema_flaws(db_))
            if (!flaw.text.empty()) put_right(flaw);
    }
    void put_rest_right()
    {
        for (const auto& flaw : schema_flaws(db_))
            if (flaw.can_be_put_right()) put_right(flaw);
    }

private:
    void put_right(const SchemaFlaw& flaw)
    {
        xlstore::put_right(db_, flaw);
        tell(flaw.type + " " + json_shown(flaw.name), "it " + flaw.what);
    }
    void tell(const std::string& what, const std::string& why)
    {
        mended_.push_back(Finding{Code::schema_changed, {}, {}, file_ + ": " + what, why,
                                  Action::fixed, {}});
    }

    Db& db_;
    std::string file_;
    std::vector<Finding>& mended_;
};

// A database says in its header that a log belongs to it, and the store's always does: copied alone
// it lacks what was committed last, or is no state at all. What a restore replaced took its log in
// before.
Result<void> check_whole(const std::string& file)
{
    if (const auto why = beside_a_log(file))
        return Error(Errc::invalid, "restore: " + file + ": " + why->text,
                     "nothing was changed; if it is a whole backup, move " + file + "-wal away");
    const auto header = read_file_header(file);
    if (!header || header->mode != FileHeader::Mode::log) return {};
    if (file_identity(file + "-wal")) return {};
    if (std::filesystem::path(file).filename().string().starts_with(names::kReplaced)) return {};
    return Error(Errc::invalid,
                 "restore: " + file +
                     " is a store's database that was copied without its log store.db-wal, in "
                     "which is what was committed last",
                 "nothing was changed; give a file that 'xlstore backup' wrote, or copy the log "
                 "to " + file + "-wal; if the log is lost, 'sqlite3 " + file +
                     " \"PRAGMA journal_mode = DELETE\"' makes of it a backup without what the "
                     "log had");
}

Result<Incoming> take_in(const std::string& file)
{
    if (access(file.c_str(), R_OK) != 0 && errno != ENOENT && errno != ENOTDIR)
        return Error(Errc::io, "restore: cannot read " + file + ": " + errno_text(errno),
                     "nothing was changed; run it as root, or as a user who may read it");
    if (!file_identity(file))
        return Error(Errc::invalid, "restore: there is no " + file,
                     "nothing was changed; name a file that 'xlstore backup' wrote");
    // An open for reading waits for the writer of a pipe.
    std::error_code unseen;
    if (!std::filesystem::is_regular_file(file, unseen))
        return Error(Errc::invalid, "restore: " + file + " is no regular file",
                     "nothing was changed; name a file that 'xlstore backup' wrote");
    if (auto whole = check_whole(file); !whole) return whole.error();
    auto copy = PrivateCopy::make(file);
    if (!copy) return std::move(copy).error();
    Incoming incoming;
    incoming.copy = *std::move(copy);
    try {
        Db db(incoming.copy->database(), Db::Mode::read_write, Durability::process, file);
        MendedSchema schema(db, file, incoming.mended);
        schema.put_version_right();
        schema.put_tables_right();
        if (auto ok = check_backup(db, "restore: " + file); !ok) return ok.error();
        incoming.commits = counts_commits(db) ? read_numbers(db).commits : 0;
        schema.drop_foreign_triggers();
        upgrade_tables(db);
        schema.put_rest_right();
    } catch (const DbError& e) {
        const int code = e.extended_code() & 0xff;
        if (code == SQLITE_FULL)
            return Error(Errc::io, "restore: no room for a copy of " + file + ": " + e.reason(),
                         "nothing was changed; make room there; TMPDIR names another place for it");
        const bool by_hand = code == SQLITE_ERROR || code == SQLITE_CONSTRAINT;
        if (!is_damage(e) && !by_hand) throw;
        return Error(Errc::invalid,
                     "restore: " + file + ": " + e.reason() +
                         (by_hand ? "; its tables were changed by hand" : ""),
                     "nothing was changed; give a file that 'xlstore backup' wrote");
    }
    return incoming;
}

// Of the store that is there, as far as it can be read, and of the backup.
std::map<std::int64_t, std::string> living_at(const StoreOptions& where, const PrivateCopy& backup)
{
    Db incoming(backup.database(), Db::Mode::read_only);
    const auto store = Store::open_untouched(where);
    return store ? living_qemus(where.directory, {&(*store)->db(), &incoming})
                 : living_qemus(where.directory, {&incoming});
}

Error living_error(const std::map<std::int64_t, std::string>& living, const std::string& file)
{
    std::string message = "restore: QEMUs of this store live";
    for (const char* before = ": "; const auto& [pid, text] : living) {
        message += before + text;
        before = ", ";
    }
    return Error(Errc::refused, message,
                 "nothing was changed; 'xlstore restore --adopt " + file +
                     "' asks them what they have, and registers them");
}

// The store that the backup is of, if it is another one, and there still: the QEMUs that live are
// its.
std::string owner_of(const StoreOptions& where, const PrivateCopy& backup)
{
    Db incoming(backup.database(), Db::Mode::read_only);
    const auto parent = where.directory.substr(0, where.directory.rfind('/') + 1);
    const bool is_there = file_identity(where.directory).has_value();
    const auto here = place_at(is_there ? where.directory : parent);
    const auto why = displaced(incoming, Memory{}, here);
    return why ? why->original : std::string();
}

Error owned_error(const std::string& owner)
{
    return Error(
        Errc::refused,
        "restore: QEMUs live that belong to the store in " + owner + ", which is there still",
        "nothing was changed; put the backup back there, or end those domains first");
}

// The database that is there, made to need no log: nothing of it is lost when the log goes. `seen`:
// its numbers are added. A database that cannot be read keeps its log, under a dated name.
class OldDatabase {
public:
    explicit OldDatabase(const std::string& directory)
        : directory_(directory), path_(StorePaths(directory).database())
    {}

    Result<void> take_in_log(Memory& seen)
    {
        if (!file_identity(path_)) return {};
        const bool readable = can_be_opened();
        if (readable) {
            Db db(path_, Db::Mode::read_write);
            if (db.checkpoint(true).frames > 0) return being_read();
            log_is_taken_in_ = true;
            uuid_ = text_of(db, "SELECT uuid FROM store");
            const auto own = counts_commits(db) ? read_numbers(db) : Numbers{};
            seen.numbers.commits = std::max(seen.numbers.commits, own.commits);
            for (std::size_t i = 0; i < own.ids.size(); ++i)
                seen.numbers.ids[i] = std::max(seen.numbers.ids[i], own.ids[i]);
        }
        // What is not known is taken to be much.
        if (!readable && seen.numbers.commits == 0) seen.foreign = true;
        return {};
    }
    [[nodiscard]] const std::string& uuid() const { return uuid_; }

    // REQUIRES take_in_log().
    void leave_log()
    {
        struct stat st {};
        const std::string log = path_ + "-wal";
        if (!log_is_taken_in_ && stat(log.c_str(), &st) == 0 && st.st_size > 0) {
            const auto kept = dated_path(StorePaths(directory_).damaged_stem()) + "-wal";
            if (rename(log.c_str(), kept.c_str()) != 0)
                throw IoError(errno, "cannot rename " + log);
        }
        for (const char* suffix : {"-wal", "-shm"})
            remove_file(path_, suffix);
    }

    static std::string text_of(Db& db, const char* query)
    {
        auto row = db.prepare(query);
        return row.step() ? row.text(0) : std::string();
    }

private:
    // SQLite removes the log of an empty database, and would take another one's log for its own.
    [[nodiscard]] bool can_be_opened() const
    {
        struct stat st {};
        if (stat(path_.c_str(), &st) != 0 || st.st_size == 0 || beside_a_log(path_)) return false;
        try {
            Db db(path_, Db::Mode::read_only);
            return db.pragma_integer("SELECT count(*) FROM store") == 1;
        } catch (const DbError& e) {
            if (is_damage(e)) return false;
            throw;
        }
    }
    [[nodiscard]] Error being_read() const
    {
        return Error(Errc::busy, "restore: " + path_ + " is being read by another process",
                     "nothing was changed; end it, and run it again");
    }

    std::string directory_;
    std::string path_;
    std::string uuid_;
    bool log_is_taken_in_ = false;
};

// The new database under its first name, whole and on the disk.
void make_new(const PrivateCopy& backup, const std::string& made, const OldDatabase& old,
              Memory seen, const std::string& directory)
{
    for (const char* suffix : {"", "-journal", "-wal", "-shm"})
        remove_file(made, suffix);
    {
        const Fd empty(::open(made.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
        if (!empty) throw IoError(errno, "cannot make " + made);
    }
    {
        Db from(backup.database(), Db::Mode::read_write);
        // Of another store, its ids are no measure of those that were given here.
        const auto uuid = OldDatabase::text_of(from, "SELECT uuid FROM store");
        seen.foreign = seen.foreign || (seen.numbers.commits > 0 && old.uuid() != uuid);
        from.copy_to(made);
    }
    {
        Db db(made, Db::Mode::read_write, Durability::power);
        db.execute("PRAGMA journal_mode = DELETE");
        xlstore::Transaction transaction(db);
        reconcile_place(db, seen, place_at(directory));
        transaction.commit();
        db.execute("PRAGMA journal_mode = WAL");
    }
    for (const char* suffix : {"-wal", "-shm"})  // nothing was committed since
        remove_file(made, suffix);
    struct stat st {};
    const std::string database = StorePaths(directory).database();
    if (stat(database.c_str(), &st) != 0) throw IoError(errno, "cannot look at " + database);
    set_access(made, st.st_mode & 07777U, st.st_gid);
}

// One rename, by which the two files change names. Where the old one is then.
std::string exchange(const std::string& directory, const std::string& made, OldDatabase& old)
{
    const std::string database = StorePaths(directory).database();
    auto kept = dated_path(StorePaths(directory).replaced_stem());
    if (renameat2(AT_FDCWD, made.c_str(), AT_FDCWD, kept.c_str(), RENAME_NOREPLACE) != 0)
        throw IoError(errno, "cannot rename " + made + " to " + kept);
    sync_directory(directory);
    old.leave_log();
    if (renameat2(AT_FDCWD, kept.c_str(), AT_FDCWD, database.c_str(), RENAME_EXCHANGE) != 0) {
        const int error = errno;
        unlink(kept.c_str());
        throw IoError(error, "cannot exchange " + kept + " and " + database);
    }
    return kept;
}

// REQUIRES exchange().
void complete(const std::string& directory)
{
    sync_directory(directory);
    // Its log and index, for readers who may not write.
    Db db(StorePaths(directory).database(), Db::Mode::read_write);
    (void)db.fill_reserve();  // what the disk has (R21)
}

// What an adoption by looking may do (R19): nothing of it changes a QEMU. Rows of an older boot
// stay until xlfsck marks them destroyed: they are what the backup was wanted for.
bool is_by_looking(Code code)
{
    switch (code) {
    case Code::entry_primary_differs:
    case Code::array_unlisted:
    case Code::session_dead:
    case Code::creation_abandoned:
    case Code::creation_older:
    case Code::qemu_dead:
    case Code::intent_done:
    case Code::intent_undone:
    case Code::intent_emptied:
    case Code::intent_overtaken:
    case Code::thing_unknown:
    case Code::thing_absent:
    case Code::thing_back:
    case Code::medium_other:
    case Code::medium_gone:
    case Code::thing_perhaps_initial:
    case Code::qemu_homeless:
        return true;
    default:
        return false;
    }
}

// Twice: a row whose QEMU is dead is free for the one that runs now only after the first time.
Result<Checked> look_through(const StoreOptions& where, const RestoreOptions& how)
{
    Options options;
    options.mode = Mode::ask;
    options.timeout_each = how.timeout_each;
    options.userdata = how.userdata;
    options.answer = [](const Problem& about, const Subject&) { return is_by_looking(about.code); };
    options.found = [&](const Finding& finding) {
        if (how.found && finding.action == Action::fixed) how.found(finding);
    };
    auto first = fsck(where, options, "");
    if (!first) return first;
    first->store.reset();
    options.rebuild = how.adopt;
    options.found = how.found;
    auto second = fsck(where, options, "");
    if (second) {
        second->report.found += first->report.corrected;
        second->report.corrected += first->report.corrected;
        second->report.exit_bits |=
            first->report.exit_bits & static_cast<unsigned>(Exit::corrected);
    }
    return second;
}

std::vector<RestoredDomain> domains_of(Store& store)
{
    std::vector<RestoredDomain> domains;
    for (const auto& row : living_domains(store.db())) {
        const auto life = qemu_life_of(row);
        std::string text = "no QEMU";
        if (life.seen == QemuLife::Seen::alive)
            text = "QEMU " + std::to_string(row.registration->qemu.pid) + " lives";
        else if (life.seen != QemuLife::Seen::none)
            text = life.text();
        domains.push_back(RestoredDomain{row.domid, row.subject(), std::move(text)});
    }
    return domains;
}

Result<void> write_history(Store& store, const std::string& evidence, Deadline until)
{
    const auto section = [&](const WriterHold&) -> Result<void> {
        Journal(store).add_history(HistoryLine{{}, "restore", {}, {}, "done", {}, evidence});
        return {};
    };
    return store.loop().wait_for(store.with_writer_lock("restore", until, section));
}

// What follows the exchange of the files.
Result<void> follow_up(const StoreOptions& where, const RestoreOptions& options, Restored& restored)
{
    complete(where.directory);
    auto checked = look_through(where, options);
    if (!checked) return std::move(checked).error();
    if (!checked->store) return Error(Errc::store, "its database could not be looked through");
    restored.report = checked->report;
    restored.domains = domains_of(*checked->store);
    return write_history(*checked->store,
                         (options.source.empty() ? options.file : options.source) + " of " +
                             std::to_string(restored.commits) + " commits" +
                             (restored.kept.empty() ? "" : "; before: " + restored.kept),
                         Clock::now() + where.open_timeout);
}

Error unfinished(const std::string& kept, const Error& why)
{
    std::string advice = "'xlfsck' goes on with it";
    if (!kept.empty())
        advice += "; what was there before is kept in " + kept +
                  ", and 'xlstore prune damaged --older-than 0' takes it away";
    return Error(
        Errc::unfinished,
        "restore: the backup is the store now, and what follows was not done: " + why.message,
        why.code == Errc::io ? "make room on its file system, then " + advice : advice);
}

// Under the writer lock and every session byte. What the old database is called from now on.
Result<std::string> replace(const StoreOptions& where, const PrivateCopy& backup)
{
    const auto alone = be_alone(where.directory, Clock::now() + where.open_timeout);
    if (!alone) return alone.error();
    OldDatabase old(where.directory);
    auto seen = alone->locks.remembered();
    if (auto ok = old.take_in_log(seen); !ok) return ok.error();
    const std::string made = StorePaths(where.directory).new_database();
    make_new(backup, made, old, seen, where.directory);
    return exchange(where.directory, made, old);
}

}  // namespace

Result<Restored> restore(const StoreOptions& given, RestoreOptions options)
{
    StoreOptions where = given;
    where.directory = absolute_path(std::move(where.directory));
    options.file = absolute_path(std::move(options.file));
    if (auto ok = Store::check_process(); !ok) return ok.error();
    if (auto ok = check_no_link(where.directory); !ok) return ok.error();
    where.directory = in_real_directory(where.directory);
    Restored restored;
    const auto incoming = take_in(options.file);
    if (!incoming) return incoming.error();
    const PrivateCopy& backup = *incoming->copy;
    restored.commits = incoming->commits;
    const auto living = living_at(where, backup);
    if (const auto owner = living.empty() ? std::string() : owner_of(where, backup); !owner.empty())
        return owned_error(owner);
    if (!living.empty() && !options.adopt) return living_error(living, options.file);
    const bool was_there = file_identity(StorePaths(where.directory).database()).has_value();
    if (!was_there)
        if (auto made = Store::init(where.directory); !made) return made.error();
    auto kept = replace(where, backup);
    if (!kept) return std::move(kept).error();
    for (const auto& mended : incoming->mended)
        if (options.found) options.found(mended);
    if (was_there)
        restored.kept = *kept;
    else
        unlink(kept->c_str());
    std::optional<Error> failure;
    try {
        if (auto done = follow_up(where, options, restored); !done) failure = done.error();
    } catch (...) {
        failure = caught();
    }
    if (failure) return unfinished(restored.kept, *failure);
    const auto mended = static_cast<int>(incoming->mended.size());
    restored.report.found += mended;
    restored.report.corrected += mended;
    return restored;
}

}  // namespace xlstore::recovery
