// SPDX-License-Identifier: MIT
// Files that a salvage or restore left go first: on a full disk they make the room for the commits
// of the rest. Rows go by statement (kTables): one selects what is past its age or its number,
// oldest first, one removes a row. They go in slices of 200, a transaction each, so that a writer
// waits for milliseconds; with the first slice history says that pruning began, at the end how many
// went. A row of a domain stays while a process holds one of its locks, or its document is kept.
#include "store/keep/prune.hpp"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <functional>

#include "store/base/clock.hpp"
#include "store/core/journal.hpp"
#include "store/core/lock_slots.hpp"
#include "store/model/store_paths.hpp"

namespace xlstore {

namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kDayUs = std::int64_t{24} * 60 * 60 * 1'000'000;
// Rows that go in one transaction: it lasts some milliseconds.
constexpr std::int64_t kSlice = 200;

// The tables that are pruned by row: what goes, and its size. ?1: rows older than this time go
// (microseconds); ?2: and all but the newest so many. Each picks the oldest first. ?3, ?4: the same
// of documents.
struct Table {
    Kept kept;
    const char* doomed;  // SELECT id
    const char* size;    // bytes of the row ?1
    const char* remove;  // of the row ?1
};

constexpr std::array kTables = {
    Table{Kept::retired,
          "SELECT id FROM retired_document WHERE retired_us < ?1 OR id NOT IN (SELECT id FROM "
          "retired_document ORDER BY born_us IS NULL, retired_us DESC, id DESC LIMIT ?2) "
          "ORDER BY retired_us, id",
          "SELECT length(CAST(json AS BLOB)) + coalesce(length(CAST(things AS BLOB)), 0) FROM "
          "retired_document WHERE id = ?1",
          "DELETE FROM retired_document WHERE id = ?1"},
    Table{Kept::undo,
          "SELECT id FROM undo_run WHERE at_us < ?1 OR id NOT IN (SELECT id FROM undo_run ORDER BY "
          "id DESC LIMIT ?2) ORDER BY id",
          "SELECT coalesce(sum(coalesce(length(CAST(before AS BLOB)), 0) + "
          "coalesce(length(CAST(after AS BLOB)), 0)), 0) FROM undo_row WHERE run = ?1",
          "DELETE FROM undo_run WHERE id = ?1"},
    Table{Kept::undo,
          "SELECT id FROM set_aside WHERE at_us < ?1 OR id NOT IN (SELECT id FROM set_aside ORDER "
          "BY id DESC LIMIT ?2) ORDER BY id",
          "SELECT length(CAST(text AS BLOB)) FROM set_aside WHERE id = ?1",
          "DELETE FROM set_aside WHERE id = ?1"},
    Table{
        Kept::domains,
        "SELECT id FROM domain WHERE state = 'destroyed' AND id NOT IN (SELECT id FROM "
        "retired_document WHERE retired_us >= ?3 AND id IN (SELECT id FROM retired_document ORDER "
        "BY born_us IS NULL, retired_us DESC, id DESC LIMIT ?4)) AND (changed_us < ?1 OR id NOT "
        "IN (SELECT id FROM domain WHERE state = 'destroyed' ORDER BY changed_us DESC, id DESC "
        "LIMIT ?2)) ORDER BY changed_us, id",
        "SELECT length(uuid) + length(name) FROM domain WHERE id = ?1",
        "DELETE FROM domain WHERE id = ?1 AND state = 'destroyed'"},
};

constexpr std::ptrdiff_t kDateCharacters = 16;

// No row is so old / there are never so many.
constexpr std::int64_t kNever = 0;
constexpr std::int64_t kAll = -1;  // LIMIT

struct Limits {
    std::int64_t before_us = kNever;
    std::int64_t count = kAll;
};

Limits limits_of(Kept kept, const PruneOptions& options)
{
    const auto bound = bound_of(kept);
    const auto days = options.older_than_days ? options.older_than_days : bound.days;
    Limits limits;
    if (days) limits.before_us = now_us() - *days * kDayUs;
    if (bound.count) limits.count = *bound.count;
    return limits;
}

// `documents`: those that go as well, since a row goes with its document.
std::vector<std::int64_t> doomed_rows(Db& db, const Table& table, const Limits& limits,
                                      const Limits& documents)
{
    auto rows = db.prepare(table.doomed).bind(limits.before_us).bind(limits.count);
    if (table.kept == Kept::domains) rows.bind(documents.before_us).bind(documents.count);
    std::vector<std::int64_t> ids;
    while (rows.step())
        ids.push_back(rows.integer(0));
    return ids;
}

// What the row takes, not what the file loses: SQLite keeps free pages for later rows.
std::int64_t bytes_of(Db& db, const char* sql, std::int64_t id)
{
    auto row = db.prepare(sql).bind(id);
    return row.step() ? row.integer(0) : 0;
}

// History goes from its beginning up to this id: by age up to the first line that is young enough,
// also where the clock was wrong when a later one was written.
std::int64_t history_below(Db& db, const Limits& limits)
{
    std::int64_t below = 0;
    {
        auto old = db.prepare(
                         "SELECT coalesce(max(id) + 1, 0) FROM history WHERE id < coalesce("
                         "(SELECT id FROM history WHERE at_us >= ?1 ORDER BY id LIMIT 1), "
                         "9223372036854775807)")
                       .bind(limits.before_us);
        if (old.step()) below = old.integer(0);
    }
    if (limits.count == kAll) return below;
    auto oldest =
        db.prepare("SELECT id FROM history ORDER BY id DESC LIMIT 1 OFFSET ?1").bind(limits.count);
    return oldest.step() ? std::max(below, oldest.integer(0) + 1) : below;
}

// Of the files of one store.db.damaged-DATE: "", "-2", and their logs. Else it is not ours.
bool is_suffix_of_ours(std::string_view suffix)
{
    if (suffix.ends_with("-wal")) suffix.remove_suffix(4);
    if (suffix.empty()) return true;
    return suffix.size() > 1 && suffix[0] == '-' &&
           suffix.find_first_not_of("0123456789", 1) == std::string_view::npos;
}

// When it was put aside, by its name, exactly as store/base/dated_path.hpp makes them; nothing: it
// has none that says so, and is left alone.
std::optional<std::int64_t> dated_us(const std::string& name)
{
    for (const auto stem : {names::kDamaged, names::kReplaced}) {
        std::tm utc{};
        if (!name.starts_with(stem)) continue;
        const char* date = name.c_str() + stem.size();
        const char* end = strptime(date, "%Y%m%dT%H%M%SZ", &utc);  // takes blanks for digits, too
        if (end && end - date == kDateCharacters && !std::strchr(date, ' ') &&
            is_suffix_of_ours(end))
            return std::int64_t{timegm(&utc)} * 1'000'000;
    }
    return std::nullopt;
}

struct AsideFile {
    fs::path path;
    std::int64_t at_us;
    std::int64_t bytes;
};

// The newest first.
std::vector<AsideFile> aside_files(const std::string& directory)
{
    std::vector<AsideFile> files;
    std::error_code error;
    for (fs::directory_iterator i(directory, error), end; !error && i != end; i.increment(error)) {
        const auto at = dated_us(i->path().filename().string());
        if (!at || !i->is_regular_file(error)) continue;
        files.push_back({i->path(), *at, static_cast<std::int64_t>(i->file_size(error))});
    }
    std::ranges::sort(files, std::greater<>(), &AsideFile::at_us);
    return files;
}

class Pruning {
public:
    Pruning(Store& store, PruneOptions options, Deadline until)
        : store_(store), options_(std::move(options)), until_(until)
    {}

    Task<Result<std::vector<Pruned>>> run()
    {
        std::vector<Pruned> all;
        std::optional<Error> failure;
        // The files first: they need no commit, and on a full disk make the room for one.
        co_await try_one(Kept::damaged, all, failure);
        for (const auto kept : kEverythingKept)
            if (kept != Kept::damaged) co_await try_one(kept, all, failure);
        std::ranges::sort(all, {}, &Pruned::kept);
        if (options_.dry_run && !failure) co_return all;
        if (!options_.dry_run) {
            auto told = co_await guarded(record(all));
            if (!told && !failure) failure = std::move(told).error();
        }
        if (failure) co_return but_for(*std::move(failure), all);
        co_return all;
    }

private:
    // One that fails keeps no other from its turn; the first failure is told.
    Task<void> try_one(Kept kept, std::vector<Pruned>& all, std::optional<Error>& failure)
    {
        if (!takes(kept)) co_return;
        auto pruned = co_await guarded(one(kept));
        if (pruned)
            all.push_back(*pruned);
        else if (!failure)
            failure = std::move(pruned).error();
    }

    // A full disk is thrown.
    template <class T>
    static Task<Result<T>> guarded(Task<Result<T>> work)
    {
        std::optional<Error> failure;
        try {
            co_return co_await std::move(work);
        } catch (const DbError& e) {
            if (is_damage(e)) throw;
            failure = error_of(e);
        }
        co_return *std::move(failure);
    }

    static Error but_for(Error failure, const std::vector<Pruned>& all)
    {
        std::string text;
        for (const auto& pruned : all)
            if (pruned.count > 0) text += (text.empty() ? "" : ", ") + describe(pruned);
        if (!text.empty()) failure.message += "; pruned all the same: " + text;
        return failure;
    }

    Task<Result<Pruned>> one(Kept kept)
    {
        switch (kept) {
        case Kept::history:
            return history();
        case Kept::damaged:
            return damaged();
        case Kept::locks:
            return locks();
        case Kept::retired:
        case Kept::undo:
        case Kept::domains:
            break;
        }
        return rows(kept);
    }

    [[nodiscard]] bool takes(Kept kept) const
    {
        return options_.what.empty() ||
               std::ranges::find(options_.what, kept) != options_.what.end();
    }
    // R20: with the first rows of a kind that go, since the process may be killed before it has
    // said how many went in all.
    void note_begun(const Pruned& pruned)
    {
        if (pruned.count > 0) return;
        Journal(store_).add_history(
            HistoryLine{{}, "prune", {}, {}, "begun", {}, std::string(kept_name(pruned.kept))});
    }
    [[nodiscard]] bool is_over() const { return Clock::now() >= until_; }

    Task<Result<Pruned>> history()
    {
        Pruned pruned{Kept::history};
        auto limits = limits_of(Kept::history, options_);
        // An automatic run lets it grow past its bound for a while, and then deletes many rows at
        // once instead of a few at each run.
        if (options_.only_when_due) limits.count += bound_of(Kept::history).slack;
        auto below = history_below(store_.db(), limits);
        if (options_.only_when_due && below > 0)
            below = history_below(store_.db(), limits_of(Kept::history, options_));
        {
            auto row = store_.db()
                           .prepare(
                               "SELECT count(*), coalesce(sum(length(CAST(evidence AS BLOB))), 0) "
                               "FROM history WHERE id < ?1")
                           .bind(below);
            if (row.step()) {
                pruned.count = row.integer(0);
                pruned.bytes = row.integer(1);
            }
        }
        if (options_.dry_run || pruned.count == 0) co_return pruned;
        bool first = true;
        const std::function<Result<bool>(const WriterHold&)> section =
            [&](const WriterHold&) -> Result<bool> {
            if (std::exchange(first, false)) note_begun(Pruned{Kept::history});
            return drop_history(below);
        };
        // Between two slices the writer lock is free, and other processes commit.
        for (bool more = true; more && pruned.complete;) {
            const auto sliced = co_await store_.with_writer_lock("prune", until_, section);
            if (!sliced) co_return sliced.error();
            more = *sliced;
            pruned.complete = !more || !is_over();
        }
        co_return pruned;
    }

    // A slice. True: there are more.
    bool drop_history(std::int64_t below)
    {
        Db& db = store_.db();
        std::int64_t next = below;
        {
            auto row =
                db.prepare("SELECT id FROM history ORDER BY id LIMIT 1 OFFSET ?1").bind(kSlice);
            if (row.step()) next = std::min(below, row.integer(0));
        }
        db.prepare("UPDATE store SET history_pruned_below = max(history_pruned_below, ?1)")
            .bind(next)
            .run();
        db.prepare("DELETE FROM history WHERE id < ?1").bind(next).run();
        return next < below;
    }

    Task<Result<Pruned>> rows(Kept kept)
    {
        Pruned pruned{kept};
        for (const auto& table : kTables) {
            if (table.kept != kept) continue;
            const auto ids =
                doomed_rows(store_.db(), table, limits_of(kept, options_),
                            takes(Kept::retired) ? limits_of(Kept::retired, options_) : Limits{});
            for (std::size_t done = 0; done < ids.size() && pruned.complete;) {
                std::vector<std::int64_t> slice;
                for (; done < ids.size() && slice.size() < kSlice; ++done)
                    if (kept != Kept::domains || !in_use(ids[done])) slice.push_back(ids[done]);
                if (options_.dry_run) {
                    for (const auto id : slice)
                        add(pruned, bytes_of(store_.db(), table.size, id));
                    continue;
                }
                auto dropped = co_await drop(table, std::move(slice), pruned);
                if (!dropped) co_return std::move(dropped).error();
                pruned.complete = done == ids.size() || !is_over();
            }
        }
        co_return pruned;
    }

    static void add(Pruned& pruned, std::int64_t bytes)
    {
        ++pruned.count;
        pruned.bytes += bytes;
    }

    Task<Result<void>> drop(const Table& table, std::vector<std::int64_t> ids, Pruned& pruned)
    {
        const std::function<Result<void>(const WriterHold&)> section =
            [&](const WriterHold&) -> Result<void> {
            Db& db = store_.db();
            if (!ids.empty()) note_begun(pruned);
            for (const auto id : ids) {
                const auto bytes = bytes_of(db, table.size, id);
                db.prepare(table.remove).bind(id).run();
                if (db.changes() > 0) add(pruned, bytes);
            }
            return {};
        };
        co_return co_await store_.with_writer_lock("prune", until_, section);
    }

    // A process is late with a step on an incarnation that is over: it finds its row, and is told.
    bool in_use(std::int64_t domain)
    {
        for (const auto kind : {LockKind::slow, LockKind::fast, LockKind::destroy}) {
            const auto held = store_.locks().is_held(kind, domain);
            if (!held || *held) return true;
        }
        return false;
    }

    Task<Result<void>> begin(Pruned pruned)
    {
        const std::function<Result<void>(const WriterHold&)> section =
            [&](const WriterHold&) -> Result<void> {
            note_begun(pruned);
            return {};
        };
        co_return co_await store_.with_writer_lock("prune", until_, section);
    }

    Task<Result<Pruned>> damaged()
    {
        Pruned pruned{Kept::damaged};
        const auto limits = limits_of(Kept::damaged, options_);
        auto files = aside_files(store_.directory());
        std::int64_t kept = 0;
        std::erase_if(files, [&](const AsideFile& file) -> bool {
            return file.at_us >= limits.before_us && kept++ < limits.count;
        });
        // Where the disk is too full for that it is omitted: they make the room.
        if (!options_.dry_run && !files.empty()) (void)co_await guarded(begin(pruned));
        for (const auto& file : files) {
            // Gone already: another process prunes, too.
            if (!options_.dry_run && unlink(file.path.c_str()) != 0 && errno != ENOENT)
                co_return Error(Errc::io, file.path.string() + ": " + errno_text(errno));
            add(pruned, file.bytes);
        }
        co_return pruned;
    }

    Task<Result<Pruned>> locks()
    {
        auto freed = count_free_slots(store_, until_);
        if (!freed) co_return freed.error();
        const bool due = !options_.only_when_due || freed->bytes > bound_of(Kept::locks).slack;
        if (!options_.dry_run && due && freed->blocks > 0) {
            freed = co_await free_lock_slots(store_, until_);
            if (!freed) co_return freed.error();
        }
        Pruned pruned{Kept::locks};
        if (!due) co_return pruned;
        pruned.count = freed->blocks;
        pruned.bytes = freed->bytes;
        pruned.complete = freed->complete;
        co_return pruned;
    }

    // R20: what went is written down.
    Task<Result<void>> record(const std::vector<Pruned>& all)
    {
        std::string text;
        for (const auto& pruned : all)
            if (pruned.count > 0) text += (text.empty() ? "" : ", ") + describe(pruned);
        if (text.empty()) co_return Result<void>();
        const std::function<Result<void>(const WriterHold&)> section =
            [&](const WriterHold&) -> Result<void> {
            Journal(store_).add_history(HistoryLine{{}, "prune", {}, {}, "done", {}, text});
            return {};
        };
        co_return co_await store_.with_writer_lock("prune", until_, section);
    }

    Store& store_;
    PruneOptions options_;
    Deadline until_;
};

struct Name {
    Kept kept;
    std::string_view name;
    const char* one;
    const char* several;
};

constexpr std::array<Name, kEverythingKept.size()> kNames = {{
    {Kept::history, "history", "line of history", "lines of history"},
    {Kept::retired, "retired", "retired document", "retired documents"},
    {Kept::undo, "undo", "run or quarantined row", "runs and quarantined rows"},
    {Kept::domains, "domains", "row of a domain that is over", "rows of domains that are over"},
    {Kept::damaged, "damaged", "damaged file", "damaged files"},
    {Kept::locks, "locks", "block of lock slots", "blocks of lock slots"},
}};

const Name& name_of(Kept kept)
{
    return kNames[static_cast<std::size_t>(kept)];
}

}  // namespace

std::string_view kept_name(Kept kept) noexcept
{
    return name_of(kept).name;
}

std::optional<Kept> kept_of(std::string_view name) noexcept
{
    for (const auto& row : kNames)
        if (row.name == name) return row.kept;
    return std::nullopt;
}

KeepingBound bound_of(Kept kept) noexcept
{
    switch (kept) {
    case Kept::history:
        return {{}, 100'000, 1'000};
    case Kept::retired:
    case Kept::undo:
        return {90, 1'000, 0};
    case Kept::domains:
        return {90, 10'000, 0};
    case Kept::damaged:
        return {90, 20, 0};
    case Kept::locks:
        break;
    }
    return {{}, {}, std::int64_t{1} << 20};
}

Task<Result<std::vector<Pruned>>> prune(Store& store, PruneOptions options, Deadline until)
{
    Pruning pruning(store, std::move(options), until);
    co_return co_await pruning.run();
}

std::string describe(const Pruned& pruned)
{
    const auto& name = name_of(pruned.kept);
    const std::string size = pruned.bytes < 1024 ? std::to_string(pruned.bytes) + " bytes"
                                                 : std::to_string(pruned.bytes >> 10) + " KiB";
    return std::to_string(pruned.count) + " " + (pruned.count == 1 ? name.one : name.several) +
           " (" + size + ")";
}

}  // namespace xlstore
