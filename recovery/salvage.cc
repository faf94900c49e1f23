// SPDX-License-Identifier: MIT
#include "recovery/salvage.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <filesystem>

#include "recovery/damaged_database.hpp"
#include "recovery/saved_rows.hpp"
#include "store/lock_holders.hpp"
#include "store/locks.hpp"
#include "store/new_database.hpp"
#include "store/private_copy.hpp"

namespace xlstore::recovery {

namespace {

namespace fs = std::filesystem;

std::string dated(const std::string& directory)
{
    const std::time_t now = std::time(nullptr);
    std::tm utc{};
    gmtime_r(&now, &utc);
    char text[32];
    (void)std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &utc);
    const std::string plain = directory + "/" + kDamagedDatabase + text;
    std::string path = plain;
    for (int again = 2; fs::exists(path); ++again)
        path = plain + "-" + std::to_string(again);
    return path;
}

// A salvage was broken off: its damaged database is all there is.
std::optional<std::string> left_by_salvage(const std::string& directory)
{
    if (file_identity(directory + "/store.db")) return std::nullopt;
    return damaged_database_in(directory);
}

// The files are named after incarnations.
std::int64_t highest_id_in_run(const std::string& directory)
{
    std::int64_t highest = 0;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(directory + "/run", error)) {
        const auto name = entry.path().filename().string();
        const auto at = name.find('-');
        std::int64_t id = 0;
        if (at == std::string::npos) continue;
        std::from_chars(name.data() + at + 1, name.data() + name.size(), id);
        highest = std::max(highest, id);
    }
    return highest;
}

void move(const std::string& from, const std::string& to)
{
    if (rename(from.c_str(), to.c_str()) != 0)
        throw IoError(errno, "cannot rename " + from + " to " + to);
}

// Gate and all session bytes: nobody else has the store open for writing, or gets in.
struct Alone {
    Locks locks;
    ByteLock gate;
    ByteLock sessions;
};

Result<Alone> be_alone(const std::string& directory)
{
    auto locks = Locks::open(directory, true);
    if (!locks) return std::move(locks).error();
    const auto in_the_way = [&] {
        std::string who;
        const std::string path = directory + "/locks";
        const auto first = locks->byte(LockKind::session, 0);
        if (const auto file = file_identity(path))
            for (const auto& holder : lock_holders(path, *file, first, 2 * first))
                who += (who.empty() ? ": " : ", ") + describe(holder);
        return Error(Errc::busy, "somebody has the store open" + who,
                     "end these processes; the QEMUs run on");
    };
    auto sessions = locks->try_all_sessions();
    if (!sessions) return std::move(sessions).error();
    if (!*sessions) return in_the_way();
    auto gate = locks->try_acquire(LockKind::gate, 0);
    if (!gate) return std::move(gate).error();
    if (!*gate) return in_the_way();
    return Alone{*std::move(locks), **std::move(gate), **std::move(sessions)};
}

// The damaged files under their dated name, and back again unless kept.
class MovedAway {
public:
    explicit MovedAway(const std::string& directory) : database_(directory + "/store.db")
    {
        const auto left = left_by_salvage(directory);
        dated_ = left ? directory + "/" + *left : dated(directory);
        // The database first: with it gone nobody can take a log for that of another one.
        if (!left) move(database_, dated_);
        if (fs::exists(database_ + "-wal")) move(database_ + "-wal", dated_ + "-wal");
        unlink((database_ + "-shm").c_str());
        sync_directory(directory);
    }
    MovedAway(const MovedAway&) = delete;
    MovedAway& operator=(const MovedAway&) = delete;
    ~MovedAway()
    {
        if (kept_) return;
        std::error_code error;
        if (fs::exists(dated_ + "-wal", error))
            fs::rename(dated_ + "-wal", database_ + "-wal", error);
        fs::rename(dated_, database_, error);
    }
    void keep() { kept_ = true; }
    [[nodiscard]] const std::string& path() const { return dated_; }

private:
    std::string database_;
    std::string dated_;
    bool kept_ = false;
};

std::vector<Loss> replace(const std::string& directory, std::string& evidence)
{
    const std::string database = directory + "/store.db";
    const std::string made = database + ".new";
    MovedAway away(directory);
    struct stat st {};
    if (stat(away.path().c_str(), &st) != 0) throw IoError(errno, "cannot stat " + away.path());
    std::vector<Loss> losses;
    {
        DamagedDatabase from(away.path(), database + ".salvage");
        for (const auto& what : from.mended())
            evidence += "; " + what;
        make_database(
            made, [&](Db& into) { losses = bring_over(from, into, highest_id_in_run(directory)); });
    }
    set_access(made, st.st_mode & 07777U, st.st_gid);
    install_database(made, database);
    away.keep();
    evidence += "; the damaged files are kept as " + fs::path(away.path()).filename().string();
    return losses;
}

}  // namespace

std::optional<std::string> damage_of(const std::string& directory)
{
    if (const auto left = left_by_salvage(directory))
        return "there is no store.db: saving what is in " + *left + " was broken off";
    const auto copy = PrivateCopy::make(directory + "/store.db");
    if (!copy) return std::nullopt;
    try {
        Db db((*copy)->database(), Db::Mode::read_only);
        (void)db.pragma_integer("SELECT count(*) FROM sqlite_schema");
        (void)db.pragma_integer("SELECT count(*) FROM store");
    } catch (const DbError& e) {
        if (is_damage(e)) return words_of_sqlite(e.reason());
    }
    return std::nullopt;
}

bool salvage(Check& check, const std::string& directory, const std::string& damage)
{
    Subject about{"store.db", damage};
    if (!check.ask(Code::database_damaged, about)) return false;
    auto alone = be_alone(directory);
    if (!alone) {
        check.failed(Code::database_damaged, about, alone.error());
        return false;
    }
    std::vector<Loss> losses;
    try {
        losses = replace(directory, about.evidence);
    } catch (const std::exception& e) {
        check.failed(Code::database_damaged, about,
                     Error(Errc::io, e.what(), "the files are where they were"));
        return false;
    }
    check.fixed(Code::database_damaged, about);
    for (const auto& loss : losses)
        check.report(loss.code, Subject{loss.subject, loss.why});
    return true;
}

}  // namespace xlstore::recovery
