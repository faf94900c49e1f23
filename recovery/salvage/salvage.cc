// SPDX-License-Identifier: MIT
//   1. Below the writer lock and every session byte, the database and then its log are renamed to
//      store.db.saving: no process opens it from here on, and a salvage that is killed is found by
//      that name and done again.
//   2. DamagedDatabase reads what can be read of a scratch copy; bring_over() writes it into a new
//      database of the same version, which is then upgraded.
//   3. The new one takes its place as store.db.
//   4. What could not be saved is told, and only then the damaged files get their dated name: until
//      then the next run tells it again.
//
// On failure before 3 the files are moved back, and what was made on the way is removed: the disk
// is no fuller than before (R21).
#include "recovery/salvage/salvage.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "recovery/base/alone.hpp"
#include "recovery/salvage/damage.hpp"
#include "recovery/salvage/damaged_database.hpp"
#include "recovery/salvage/saved_rows.hpp"
#include "store/base/dated_path.hpp"
#include "store/core/run_directory.hpp"
#include "store/database/new_database.hpp"
#include "store/lock/locks.hpp"
#include "store/model/store_paths.hpp"
#include "store/os/file_upkeep.hpp"

namespace xlstore::recovery {

namespace {

namespace fs = std::filesystem;

void move(const std::string& from, const std::string& to)
{
    if (rename(from.c_str(), to.c_str()) != 0)
        throw IoError(errno, "cannot rename " + from + " to " + to);
}

// The one that a kill left without its log, if that has no name of its own yet.
std::string dated_without_log(const std::string& directory)
{
    std::string found;
    for (const auto& entry : fs::directory_iterator(directory)) {
        const auto path = entry.path().string();
        if (entry.path().filename().string().starts_with(names::kDamaged) &&
            !path.ends_with("-wal") && !fs::exists(path + "-wal") && path > found)
            found = path;
    }
    return found.empty() ? dated_path(StorePaths(directory).damaged_stem()) : found;
}

// The damaged files get their name, the database first: its log alone is not told of again.
void give_name(const std::string& directory, const std::string& name)
{
    const auto away = StorePaths(directory).being_saved();
    if (fs::exists(away)) move(away, name);
    if (fs::exists(away + "-wal")) move(away + "-wal", name + "-wal");
}

// What a salvage that was killed after all else left to be named. The name.
std::string give_name_left_out(const std::string& directory)
{
    const bool whole = fs::exists(StorePaths(directory).being_saved());
    auto name =
        whole ? dated_path(StorePaths(directory).damaged_stem()) : dated_without_log(directory);
    give_name(directory, name);
    return name;
}

bool has_name_left_out(const std::string& directory)
{
    const auto away = StorePaths(directory).being_saved();
    return fs::exists(StorePaths(directory).database()) &&
           (fs::exists(away) || fs::exists(away + "-wal"));
}

// The damaged files under another name, and back again unless they are kept.
class MovedAway {
public:
    explicit MovedAway(const std::string& directory)
        : database_(StorePaths(directory).database()), away_(StorePaths(directory).being_saved())
    {
        if (!was_broken_off(directory)) {
            if (has_name_left_out(directory)) give_name_left_out(directory);
            // The database first: with it gone no program can take its log for that of another one.
            // A lost one leaves its log alone, beside an empty file in its place.
            if (fs::exists(database_))
                move(database_, away_);
            else
                make_placeholder();
        }
        if (fs::exists(database_ + "-wal")) move(database_ + "-wal", away_ + "-wal");
        unlink((database_ + "-shm").c_str());
        sync_directory(directory);
    }
    MovedAway(const MovedAway&) = delete;
    MovedAway& operator=(const MovedAway&) = delete;
    ~MovedAway()
    {
        if (kept_) return;
        try {
            std::error_code error;
            if (fs::exists(away_ + "-wal", error))
                fs::rename(away_ + "-wal", database_ + "-wal", error);
            if (placeholder_)
                fs::remove(away_, error);
            else
                fs::rename(away_, database_, error);
        } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch)
            // It stays where it is: the next xlfsck goes on from there, as after a kill.
        }
    }
    /// They stay: the new database is in its place.
    void keep() { kept_ = true; }
    [[nodiscard]] const std::string& path() const { return away_; }

private:
    // With the mode and group that the store's files have.
    void make_placeholder()
    {
        struct stat st {};
        const auto locks = fs::path(database_).replace_filename("locks").string();
        if (stat(locks.c_str(), &st) != 0) throw IoError(errno, "cannot look at " + locks);
        const Fd file(::open(away_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
        if (!file) throw IoError(errno, "cannot make " + away_);
        placeholder_ = true;
        set_access(away_, st.st_mode & 07777U, st.st_gid);
    }

    std::string database_;
    std::string away_;
    bool placeholder_ = false;
    bool kept_ = false;
};

// What is made on the way goes with this: a disk that was too full for it is no fuller afterwards.
class OnTheWay {
public:
    explicit OnTheWay(const std::string& database)
        : made_(database + ".new"), scratch_(database + ".salvage")
    {}
    OnTheWay(const OnTheWay&) = delete;
    OnTheWay& operator=(const OnTheWay&) = delete;
    ~OnTheWay()
    {
        for (const auto* path : {&made_, &scratch_})
            for (const char* suffix : {"-journal", "-shm", "-wal", ""})
                remove_file(*path, suffix);
    }
    [[nodiscard]] const std::string& made() const { return made_; }
    [[nodiscard]] const std::string& scratch() const { return scratch_; }

private:
    std::string made_;
    std::string scratch_;
};

// A new database of what can be read of the damaged files. What cannot.
std::vector<Loss> make_of(const std::string& away, const OnTheWay& files,
                          const std::string& directory, std::string& evidence)
{
    std::vector<Loss> losses;
    DamagedDatabase from(away, files.scratch());
    for (const auto& what : from.mended())
        if (evidence.find(what) == std::string::npos) evidence += "; " + what;
    // Into tables of the same version, since the steps after it say what becomes of its rows.
    make_database(
        files.made(),
        [&](Db& into) {
            losses = bring_over(from, into, highest_incarnation_in(StorePaths(directory).run()));
        },
        from.version());
    if (from.version() != schema::newest_version())
        evidence += "; schema version " + std::to_string(from.version()) + ", upgraded to " +
                    std::to_string(schema::newest_version());
    return losses;
}

std::vector<Loss> replace(const std::string& directory, std::string& evidence)
{
    const std::string database = StorePaths(directory).database();
    const OnTheWay files(database);
    MovedAway away(directory);
    struct stat st {};
    if (stat(away.path().c_str(), &st) != 0) throw IoError(errno, "cannot stat " + away.path());
    auto losses = make_of(away.path(), files, directory, evidence);
    set_access(files.made(), st.st_mode & 07777U, st.st_gid);
    install_database(files.made(), database);
    away.keep();
    return losses;
}

std::string kept_as(const std::string& name)
{
    return "; the damaged files are kept as " + fs::path(name).filename().string();
}

void report_losses(Check& check, const std::vector<Loss>& losses)
{
    for (const auto& loss : losses)
        check.report(loss.code, Subject{loss.subject, loss.why});
}

// Under the writer lock, so that no other process does it, or a salvage, at the same time.
void tell_under_writer_lock(Check& check, const std::string& directory, Subject& about)
{
    if (!has_name_left_out(directory)) return;  // another process did it
    const auto away = StorePaths(directory).being_saved();
    if (fs::exists(away)) {
        const OnTheWay files(StorePaths(directory).database());
        report_losses(check, make_of(away, files, directory, about.evidence));
    }
    about.evidence += kept_as(give_name_left_out(directory));
    check.fixed(Code::salvage_untold, about);
}

}  // namespace

bool make_empty(Check& check, const std::string& directory)
{
    Subject about{directory};
    if (!check.ask(Code::database_missing, about)) return false;
    const std::string database = StorePaths(directory).database();
    std::optional<Error> failed;
    try {
        if (file_identity(StorePaths(directory).locks())) {
            const auto alone = be_alone(directory, Clock::now());
            if (!alone) {
                check.failed(Code::database_missing, about, alone.error());
                return false;
            }
            if (file_identity(database)) return true;  // another process was faster
            // It would be taken for the log of the new one.
            if (fs::exists(database + "-wal")) {
                const auto kept = dated_path(StorePaths(directory).damaged_stem()) + "-wal";
                move(database + "-wal", kept);
                about.evidence = "its log is kept as " + fs::path(kept).filename().string();
            }
            unlink((database + "-shm").c_str());
        }
        const auto made = Store::init(directory);
        if (!made && made.error().code == Errc::exists) return true;
        if (!made) failed = made.error();
    } catch (const std::exception& e) {
        failed = Error(Errc::io, e.what());
    }
    if (failed)
        check.failed(Code::database_missing, about, *failed);
    else
        check.fixed(Code::database_missing, about);
    return !failed;
}

bool salvage(Check& check, const std::string& directory, const std::string& damage,
             const std::optional<FileIdentity>& seen)
{
    Subject about{"store.db", damage};
    if (!check.ask(Code::database_damaged, about)) return false;
    auto alone = be_alone(directory, Clock::now());
    if (!alone) {
        check.failed(Code::database_damaged, about, alone.error());
        return false;
    }
    // Another process has replaced it since: the new one is not known to be damaged.
    if (file_identity(StorePaths(directory).database()) != seen) return true;
    std::vector<Loss> losses;
    try {
        losses = replace(directory, about.evidence);
    } catch (const std::exception& e) {
        // R21: each file is as it was by now.
        check.failed(Code::database_damaged, about,
                     Error(Errc::io, std::string(e.what()) +
                                         "; the files are where they were, and " +
                                         free_space(directory)));
        return false;
    }
    // Once all is told the files get their name; until then the next run tells it again.
    const auto name = dated_path(StorePaths(directory).damaged_stem());
    about.evidence += kept_as(name);
    check.fixed(Code::database_damaged, about);
    report_losses(check, losses);
    try {
        give_name(directory, name);
    } catch (const IoError& e) {
        check.failed(Code::salvage_untold, Subject{"store.db"},
                     Error(Errc::io, e.what(), "run it again"));
    }
    return true;
}

void tell_what_salvage_lost(Check& check, const StoreOptions& where)
{
    const auto& directory = where.directory;
    if (!has_name_left_out(directory)) return;
    Subject about{"store.db", "the damaged files have no date yet"};
    if (!check.ask(Code::salvage_untold, about)) return;
    std::optional<Error> failure;
    try {
        const auto locks = Locks::open(directory, true);
        if (locks) {
            const auto writer = take_writer_lock(*locks, Clock::now() + where.open_timeout);
            if (writer)
                tell_under_writer_lock(check, directory, about);
            else
                failure = writer.error();
        } else {
            failure = locks.error();
        }
    } catch (const std::exception& e) {
        failure =
            Error(Errc::io, std::string(e.what()) + "; " + free_space(directory), "run it again");
    }
    if (failure) check.failed(Code::salvage_untold, about, *failure);
}

}  // namespace xlstore::recovery
