// SPDX-License-Identifier: MIT
// The power goes, at any moment.
//
//   power_cut [--durability power|process] [--share K/M] [--start S] [--seeds N] [--lying-disk]
//
// A workload of the library's own operations runs on a disk that knows what was synced
// (tests/support/watched_disk.hpp). After each of its writes, syncs and truncations the power goes,
// N times with other losses: what was not synced is there, lost, torn or out of order. What is left
// is looked at with plain SQLite, opened, and held against what the store was after each commit. A
// share: K of every M moments, from S on. Exit status: 0 no violation, 1 there is one, 2 usage.
#include <sqlite3.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>

#include "store/class_plan.hpp"
#include "store/edit.hpp"
#include "store/identity.hpp"
#include "store/journal.hpp"
#include "store/lifecycle.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/watched_disk.hpp"

namespace xlstore::test {
namespace {

namespace fs = std::filesystem;
using std::chrono::seconds;

struct Settings {
    Durability durability = Durability::process;
    int share = 1, of = 1, start = 0, seeds = 3;
    bool lying_disk = false;
};

Deadline soon()
{
    return Clock::now() + seconds(60);
}

// All rows of all tables, as one text; nothing: it cannot be read.
std::optional<std::string> content(const std::string& database)
{
    sqlite3* db = nullptr;
    std::string text;
    bool sound = sqlite3_open_v2(database.c_str(), &db, SQLITE_OPEN_READWRITE, "unix") == SQLITE_OK;
    const auto rows = [&](const std::string& query) {
        std::vector<std::string> first;
        sqlite3_stmt* statement = nullptr;
        if (sqlite3_prepare_v2(db, query.c_str(), -1, &statement, nullptr) != SQLITE_OK) {
            sound = false;
            return first;
        }
        int rc = SQLITE_ROW;
        while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
            for (int i = 0; i < sqlite3_column_count(statement); ++i) {
                const auto* cell = sqlite3_column_text(statement, i);
                const std::string value = cell ? reinterpret_cast<const char*>(cell) : "NULL";
                if (i == 0) first.push_back(value);
                text += value + "|";
            }
            text += "\n";
        }
        sound = sound && rc == SQLITE_DONE;
        sqlite3_finalize(statement);
        return first;
    };
    if (sound && rows("PRAGMA integrity_check") != std::vector<std::string>{"ok"}) sound = false;
    if (sound && !rows("PRAGMA foreign_key_check").empty()) sound = false;
    if (sound)
        for (const auto& table :
             rows("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"))
            rows("SELECT * FROM \"" + table + "\"");
    if (sound && rows("SELECT name FROM sqlite_schema WHERE name = 'invariant_breaches'").size() &&
        !rows("SELECT * FROM invariant_breaches").empty())
        sound = false;
    sqlite3_close_v2(db);
    if (!sound) return std::nullopt;
    return text;
}

class Cuts {
public:
    Cuts(const Settings& settings, const ScratchDirectory& place)
        : settings_(settings), place_(place), store_(place / "store"), disk_(store_)
    {
        disk_.lies = settings.lying_disk;
        disk_.after = [this](WatchedDisk::Call) { moment(); };
    }

    [[nodiscard]] const std::string& store() const { return store_; }
    /// What was asked for until now was acknowledged.
    void acknowledged() { acknowledged_ = disk_.commits(); }
    /// Looks at what was left so far.
    void judge()
    {
        for (; !left_.empty(); left_.pop_front())
            judge(left_.front());
    }
    [[nodiscard]] int report() const
    {
        std::printf(
            "%d moments, %d cuts, %d commits, %zu different states found; unsynced writes: "
            "%lld kept, %lld lost, %lld torn; %d violations\n",
            moments_, cuts_, disk_.commits(), seen_.size(), static_cast<long long>(losses_.kept),
            static_cast<long long>(losses_.lost), static_cast<long long>(losses_.torn),
            violations_);
        return violations_ == 0 && cuts_ > 0 ? 0 : 1;
    }

private:
    struct Left {
        std::string directory;
        std::string when;
        bool is_store;
        int acknowledged;
        std::uint64_t seed;
    };

    // After a write, a sync or a truncation.
    void moment()
    {
        const int commits = disk_.commits();
        if (fs::exists(store_ + "/store.db") && commits != referenced_) {
            referenced_ = commits;  // what is on the disk as the kernel has it is this commit
            const auto copy = place_ / "reference";
            fs::remove_all(copy);
            fs::create_directory(copy);
            for (const char* name : {"store.db", "store.db-wal"})
                if (fs::exists(store_ + "/" + name))
                    fs::copy_file(store_ + "/" + name, copy + "/" + name);
            const auto now = content(copy + "/store.db");
            if (!now) violation("the reference after commit " + std::to_string(commits));
            states_.push_back(now.value_or(""));
        }
        const int number = moments_++;
        if ((number - settings_.start % settings_.of + settings_.of) % settings_.of >=
            settings_.share)
            return;
        for (int i = 0; i < settings_.seeds; ++i) {
            const auto seed = static_cast<std::uint64_t>(number) * 1000 + static_cast<unsigned>(i);
            std::mt19937_64 dice(seed);
            const auto directory = place_ / ("cut" + std::to_string(cuts_++));
            fs::create_directory(directory);
            fs::permissions(directory, fs::perms::owner_all);
            for (const char* name : {"locks", "slow"})
                if (fs::exists(store_ + "/" + name))
                    fs::copy_file(store_ + "/" + name, directory + "/" + name);
            fs::create_directory(directory + "/run");
            const bool is_store = fs::exists(store_ + "/store.db");
            for (const auto& [name, bytes] : disk_.cut(dice, losses_)) {
                // Before init's rename it has the other name; all of it was synced by then.
                const bool renamed = name == "store.db.new" && is_store;
                if (renamed && fs::exists(directory + "/store.db")) continue;
                const auto path = directory + "/" + (renamed ? "store.db" : name);
                std::ofstream(path, std::ios::binary) << bytes;
                fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
            }
            if (is_store && dice() % 2 == 0) {  // the index of the log is anything
                const auto path = directory + "/store.db-shm";
                std::ofstream(path, std::ios::binary) << std::string(32768, '\x5a');
                fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
            }
            left_.push_back(
                Left{directory, "moment " + std::to_string(number), is_store, acknowledged_, seed});
        }
    }

    void violation(const std::string& what)
    {
        ++violations_;
        std::printf("VIOLATION: %s\n", what.c_str());
    }

    void judge(const Left& left)
    {
        const auto wrong = [&](const std::string& what) {
            violation(left.when + ", seed " + std::to_string(left.seed) + ": " + what);
        };
        StoreOptions where;
        where.directory = left.directory;
        where.program = "power_cut";
        if (!left.is_store) {
            // Half an init is no store, and another init makes one of it.
            if (Store::open(where)) wrong("half an init can be opened");
            if (auto made = Store::init(left.directory); !made)
                wrong("init after a cut: " + made.error().message);
            else if (!Store::open(where))
                wrong("the store that was made after a cut cannot be opened");
            fs::remove_all(left.directory);
            return;
        }
        const auto now = content(left.directory + "/store.db");
        if (!now) {
            wrong("it cannot be read, or is not sound");
            return;
        }
        const auto at = std::find(states_.rbegin(), states_.rend(), *now);
        const auto commit = static_cast<int>(states_.rend() - at) - 1;
        if (commit < 0)
            wrong("it is no state that it was ever in");
        else if (settings_.durability == Durability::power && commit < left.acknowledged)
            wrong("commit " + std::to_string(left.acknowledged) +
                  " was acknowledged, and the store is as after " + std::to_string(commit) +
                  ": an acknowledged change is lost");
        seen_.insert(std::hash<std::string>{}(*now));
        {
            auto opened = Store::open(where);
            if (!opened) wrong("it cannot be opened: " + opened.error().message);
        }
        // The QEMUs died with the host; each row says of which boot it is.
        if (++judged_ % kRecoverEvery == 1) {
            const Environment later = {
                {"XLSTORE_TEST_BOOT_ID", "00000000-0000-0000-0000-00000000cccc"}};
            const Ran ran = xlfsck(left.directory, {"-p"}, later);
            if (ran.status > 1) wrong("xlfsck -p after a reboot: " + ran.out + ran.err);
            if (sql(left.directory, "SELECT count(*) FROM domain WHERE state <> 'destroyed'") !=
                "0")
                wrong("a domain of the boot before is not retired");
        }
        fs::remove_all(left.directory);
    }

    static constexpr int kRecoverEvery = 40;

    const Settings& settings_;
    const ScratchDirectory& place_;
    std::string store_;
    WatchedDisk disk_;
    std::deque<Left> left_;
    std::vector<std::string> states_;  // after so many commits
    std::set<std::size_t> seen_;
    WatchedDisk::Losses losses_;
    int referenced_ = -1, acknowledged_ = 0, moments_ = 0, cuts_ = 0, judged_ = 0, violations_ = 0;
};

template <class T>
T must(Result<T> result)
{
    if (!result) throw std::runtime_error(result.error().message);
    return *std::move(result);
}
void must(const Result<void>& result)
{
    if (!result) throw std::runtime_error(result.error().message);
}

void edit(Store& store, DomainId id, const std::string& bridge)
{
    must(store.loop().wait_for(
        store.with_fast_lock(id, "edit", soon(), [&](const FastHold& fast) -> Result<void> {
            auto revision = begin_edit(store, fast, 0);
            if (!revision) return revision.error();
            return put_thing(store, fast, "nics",
                             R"({"devid":0,"mac":"00:16:3e:1a:2b:3c","bridge":")" + bridge + "\"}");
        })));
}

// Everything that the library commits, but for what a QEMU is needed for.
void work(Cuts& cuts, const Settings& settings)
{
    must(Store::init(cuts.store(), {}, settings.durability));
    cuts.judge();
    StoreOptions where;
    where.directory = cuts.store();
    where.program = "power_cut";
    auto store = must(Store::open(where));
    const auto done = [&] {
        cuts.acknowledged();
        cuts.judge();
    };
    done();
    const auto import = [&](int domid, const std::string& name) {
        auto domain = must(store->loop().wait_for(import_domain(
            *store, domid,
            hvm_document(name, "8f2c7d10-4b6e-4a51-9d3c-00000000000" + std::to_string(domid),
                         "/srv/a.iso"),
            name, soon())));
        done();
        return domain;
    };
    auto web = import(7, "web");
    auto mail = import(8, "mail");
    for (int i = 0; i < 3; ++i) {
        edit(*store, web.id, "xenbr" + std::to_string(i));
        done();
    }
    Journal journal(*store);
    {
        auto hold = must(store->loop().wait_for(store->slow_lock(web.id, "web", "cut", soon())));
        const auto change = [&](const std::string& image, Image seen) {
            const auto entry = read_thing(store->db(), web.id, ThingName{"disks", "hdc"});
            std::vector<Draft> drafts;
            drafts.push_back(must(draft_insert(*entry, image)));
            const auto intents =
                must(store->loop().wait_for(journal.open(hold, std::move(drafts), "/m", soon())));
            done();
            must(store->loop().wait_for(journal.note(hold, intents, "asked", true, soon())));
            done();
            must(store->loop().wait_for(journal.settle(hold, intents, seen, "seen", soon())));
            done();
        };
        change("/srv/b.iso", Image::after);
        change("/srv/c.iso", Image::neither);
        std::vector<Draft> drafts;
        for (const char* id : {"one", "two"})
            drafts.push_back(must(draft_attach("qemu", chardev(id))));
        const auto batch =
            must(store->loop().wait_for(journal.open(hold, std::move(drafts), "/m", soon())));
        done();
        must(store->loop().wait_for(journal.settle(hold, batch, Image::after, "seen", soon())));
        done();
    }
    must(store->loop().wait_for(store->empty_log(soon())));
    done();
    web = must(store->loop().wait_for(rename_domain(*store, web, "www", 0, soon())));
    done();
    must(store->loop().wait_for(destroy_domain(*store, mail, soon())));
    done();
    (void)import(9, "late");
    edit(*store, web.id, "xenbr9");
    done();
    must(store->loop().wait_for(store->empty_log(soon())));
    done();
}

int number(const char* text)
{
    int value = 0;
    const char* end = text + std::strlen(text);
    const auto [at, error] = std::from_chars(text, end, value);
    if (error != std::errc() || at != end) throw std::invalid_argument(text);
    return value;
}

Settings settings_of(int argc, char** argv)
{
    Settings settings;
    settings.start = -1;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        const auto value = [&]() -> std::string {
            if (++i >= argc) throw std::invalid_argument(word + " needs a value");
            return argv[i];
        };
        if (word == "--lying-disk") {
            settings.lying_disk = true;
        } else if (word == "--durability") {
            settings.durability = value() == "power" ? Durability::power : Durability::process;
        } else if (word == "--seeds") {
            settings.seeds = number(value().c_str());
        } else if (word == "--start") {
            settings.start = number(value().c_str());
        } else if (word == "--share") {
            const auto text = value();
            const auto slash = text.find('/');
            if (slash == std::string::npos) throw std::invalid_argument(text);
            settings.share = number(text.substr(0, slash).c_str());
            settings.of = number(text.substr(slash + 1).c_str());
        } else {
            throw std::invalid_argument(word);
        }
    }
    if (settings.start < 0) settings.start = static_cast<int>(std::time(nullptr) / 3600);
    settings.start %= settings.of;
    return settings;
}

int power_cut(int argc, char** argv)
{
    Settings settings;
    try {
        settings = settings_of(argc, argv);
    } catch (const std::invalid_argument& e) {
        std::fprintf(stderr, "power_cut: %s?\n", e.what());
        return 2;
    }
    std::printf("durability %s, share %d/%d from %d (--share %d/%d --start %d repeats it)\n",
                settings.durability == Durability::power ? "power" : "process", settings.share,
                settings.of, settings.start, settings.share, settings.of, settings.start);
    const ScratchDirectory place;
    Cuts cuts(settings, place);
    work(cuts, settings);
    return cuts.report();
}

}  // namespace
}  // namespace xlstore::test

int main(int argc, char** argv)
{
    try {
        return xlstore::test::power_cut(argc, argv);
    } catch (const std::exception& e) {
        std::printf("power_cut: %s\n", e.what());
        return 1;
    }
}
