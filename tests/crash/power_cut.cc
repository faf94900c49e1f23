// SPDX-License-Identifier: MIT
// Power cuts: the library's real operations run once on a store whose files are watched, and every
// call by which SQLite or the library changed a file or synced one is written down. Then, after
// each of these calls and for several seeds, the files are laid out as a cut at that moment may
// leave them (disk.hpp), and the store is opened there with nothing in between, in another boot. It
// must
//   be there, from the moment on at which its making was acknowledged, and before that be whole or
//     possible to make;
//   open, and hold what it held after some commit (no mixture), with durability=power after the
//     last acknowledged one or the one in flight;
//   be found sound by recovery, which marks every domain of the old boot destroyed and asks no
//   QEMU.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <stdexcept>

#include "recovery/runs/recover.hpp"
#include "tests/crash/disk.hpp"
#include "tests/support/sqlite_calls.hpp"
#include "tests/crash/work.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kOldBoot = "5d0c6a1e-93f7-4b28-8e14-c07a52b9d3f1";
constexpr std::chrono::hours kSinceTheCut{24 * 365 * 10};
constexpr const char* kNewBoot = "a2f8139b-6c40-4dd5-b7e9-18e36f0475ac";

void set_boot(const char* id)
{
    setenv("XLSTORE_TEST_BOOT_ID", id, 1);  // NOLINT(concurrency-mt-unsafe)
}

// ---- Writing down ----

struct State {
    std::size_t step;  ///< the commit was acknowledged after so many steps
    std::string rows;
};

class Recording : public SqliteObserver {
public:
    explicit Recording(std::string directory) : directory_(std::move(directory)) {}

    void made(const std::string& path) override { add({DiskStep::Kind::make, {}}, path); }
    void removed(const std::string& path) override { add({DiskStep::Kind::remove, {}}, path); }
    void written(const std::string& path, std::int64_t at, std::span<const std::byte> what) override
    {
        add({DiskStep::Kind::write, {}, {}, at, Bytes(what.begin(), what.end())}, path);
    }
    void truncated(const std::string& path, std::int64_t size) override
    {
        add({DiskStep::Kind::truncate, {}, {}, size}, path);
    }
    void synced(const std::string& path) override { add({DiskStep::Kind::sync, {}}, path); }
    void writer_left(const std::string&) override
    {
        if (looking_ || states_.empty()) return;  // empty: it is still being made
        looking_ = true;
        acknowledge();
        looking_ = false;
    }
    void names_synced(const std::string& path)
    {
        if (path == directory_) steps_.push_back({DiskStep::Kind::sync_names, {}});
    }
    void renamed(const std::string& from, const std::string& to)
    {
        add({DiskStep::Kind::rename, {}, fs::path(to).filename()}, from);
    }
    /// What the store holds now is what its user was told.
    void acknowledge()
    {
        auto rows = dump(directory_);
        if (states_.empty() || states_.back().rows != rows)
            states_.push_back({steps_.size(), std::move(rows)});
    }

    [[nodiscard]] const std::vector<DiskStep>& steps() const { return steps_; }
    [[nodiscard]] const std::vector<State>& states() const { return states_; }

private:
    void add(DiskStep step, const std::string& path)
    {
        const fs::path file(path);
        if (file.parent_path() != directory_) return;
        step.name = file.filename();
        steps_.push_back(std::move(step));
    }
    std::string directory_;
    std::vector<DiskStep> steps_;
    std::vector<State> states_;
    bool looking_ = false;
};

Recording* recording = nullptr;

void saw_sync(int fd)
{
    struct stat st {};
    if (!recording || fstat(fd, &st) != 0 || !S_ISDIR(st.st_mode)) return;
    recording->names_synced(fs::read_symlink("/proc/self/fd/" + std::to_string(fd)));
}

}  // namespace
}  // namespace xlstore::test

// What does not go through SQLite's VFS, or not so that it can be told apart there: syncs of the
// directory, and init's rename. These definitions come before the C library's, for SQLite too.
#pragma GCC visibility push(default)
extern "C" {
int fsync(int fd)
{
    const auto done = syscall(SYS_fsync, fd);
    if (done == 0) xlstore::test::saw_sync(fd);
    return static_cast<int>(done);
}
int fdatasync(int fd)
{
    const auto done = syscall(SYS_fdatasync, fd);
    if (done == 0) xlstore::test::saw_sync(fd);
    return static_cast<int>(done);
}
int renameat2(int from_fd, const char* from, int to_fd, const char* to, unsigned flags) noexcept
{
    const auto done = syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
    if (done == 0 && xlstore::test::recording) xlstore::test::recording->renamed(from, to);
    return static_cast<int>(done);
}
}
#pragma GCC visibility pop

namespace xlstore::test {
namespace {

// ---- The workload ----

void work(const std::string& directory)
{
    DomainId web{};
    DomainId mail{};
    std::vector<IntentId> left_open;
    {
        Work store(directory);
        web = store.import(1, "web");
        mail = store.import(2, "mail");
        store.edit(web, "\"on_crash\":\"restart\"", "\"on_crash\":\"destroy\"");
        store.settle(web, store.open_intents(web, store.insertion(web, "/srv/b.iso")),
                     Image::after);
        store.settle(web, store.open_intents(web, Work::additions({"one"})), Image::after);
        store.restart_log();
        store.rename(mail, "post");
        const auto batch = store.open_intents(mail, Work::additions({"two", "three"}));
        store.settle(mail, batch, Image::before);
        left_open = store.open_intents(web, store.removal(web, "one"));
        store.note(web, left_open);
        store.empty_log();
        store.edit(mail, "\"bridge\":\"xenbr0\"", "\"bridge\":\"xenbr1\"");
        store.forestall(4);
    }
    {
        Work store(directory);  // another session, and a log that is there already
        store.settle(web, left_open, Image::after);
        store.destroy(mail);
        store.restart_log();
        const auto again = store.import(2, "mail");
        store.open_intents(again, Work::additions({"two"}));
        store.restart_log();
        store.edit(web, "\"bridge\":\"xenbr0\"", "\"bridge\":\"xenbr2\"");
        store.settle(web, store.open_intents(web, store.insertion(web, "/srv/c.iso")),
                     Image::neither);
    }
}

/// Runs it all, watched, in `directory`/store.
std::unique_ptr<Recording> record(const ScratchDirectory& scratch, Durability durability)
{
    const std::string directory = scratch / "store";
    fs::remove_all(directory);
    auto made = std::make_unique<Recording>(directory);
    set_boot(kOldBoot);
    const Watching watching(*made);
    recording = made.get();
    must(Store::init(directory, {}, durability));
    made->acknowledge();
    work(directory);
    recording = nullptr;
    return made;
}

// ---- The judgement ----

struct Counts {
    std::uint64_t cuts = 0;
    std::uint64_t unmade = 0;   ///< of these, before there was a store
    std::uint64_t earlier = 0;  ///< that went back to a commit before the last acknowledged one
    std::set<std::string> states;
    DiskCounts disk;
};

struct Measure {
    Durability promised;
    bool lying = false;  ///< once there is a store, the disk says that it syncs, and does not
};

void lay_out(const std::string& directory, const std::map<std::string, Bytes>& files,
             std::uint64_t seed)
{
    // The directory stays: in another one it would be a copy of the store (R17).
    for (const auto& entry : fs::directory_iterator(directory))
        fs::remove_all(entry.path());
    for (const auto& [name, bytes] : files)
        write_file(directory + "/" + name,
                   std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
    if (files.contains("store.db")) {
        // Made before the store's name was. The log's index is never synced: lost, or garbage.
        Locks::create(directory);
        if (seed % 2 == 0) write_file(directory + "/store.db-shm", std::string(32768, '\x5a'));
    }
    for (const auto& entry : fs::directory_iterator(directory)) {
        fs::permissions(entry.path(), fs::perms::owner_read | fs::perms::owner_write);
        // Written in the boot that the cut ended.
        fs::last_write_time(entry.path(), fs::file_time_type::clock::now() - kSinceTheCut);
    }
    if (mkdir((directory + "/run").c_str(), 0700) != 0)
        throw std::runtime_error("cannot make " + directory + "/run");
}

/// What recovery makes of it; "" if that is as it should be.
std::string recovered(Store& store)
{
    std::string wrong;
    recovery::Options options;
    options.mode = recovery::Mode::preen;
    options.found = [&](const recovery::Finding& finding) {
        // A note for each intent that the boot ended with, and no finding.
        if (finding.code == recovery::Code::log_race ||
            finding.code == recovery::Code::intent_ended ||
            ((finding.code == recovery::Code::older_boot ||
              finding.code == recovery::Code::session_dead) &&
             finding.action == recovery::Action::fixed))
            return;
        wrong += "; recovery found problem " + std::to_string(static_cast<int>(finding.code)) +
                 ": " + finding.subject + ": " + finding.evidence + finding.error;
    };
    const auto report = store.loop().wait_for(recovery::recover(store, std::move(options)));
    if (!report) return "recovery: " + report.error().message;
    if (!living_domains(store.db()).empty()) wrong += "; a domain of the old boot lives on";
    if (store.db().pragma_integer("SELECT count(*) FROM intent") != 0)
        wrong += "; an intent of the old boot is open";
    return wrong;
}

/// What is wrong after a cut that left `files`, when `step` steps had been taken; "" is nothing.
std::string judge(const std::string& directory, const std::map<std::string, Bytes>& files,
                  const Recording& recorded, std::size_t step, std::uint64_t seed,
                  const Measure& measure, Counts& counts)
try {
    lay_out(directory, files, seed);
    set_boot(kNewBoot);
    const auto& states = recorded.states();
    const bool made = step >= states.front().step;
    if (!files.contains("store.db")) {
        if (made) return "the store's making was acknowledged, and there is none";
        ++counts.unmade;
        StoreOptions options;
        options.directory = directory;
        if (Store::open(options)) return "it opens, and there is none";
        must(Store::init(directory));
    }
    const auto store = open_for_work(directory);
    if (files.contains("store.db")) {
        const auto rows = dump(directory);
        std::size_t last = 0;  // acknowledged
        while (last + 1 < states.size() && states[last + 1].step <= step)
            ++last;
        std::size_t seen = 0;
        while (seen < states.size() && states[seen].rows != rows)
            ++seen;
        if (seen == states.size()) return "its rows are those of no commit";
        if (seen > last + 1) return "its rows are those of a commit that was not begun";
        if (seen < last) ++counts.earlier;
        if (seen < last && measure.promised == Durability::power)
            return "commit " + std::to_string(last) + " was acknowledged, and it is as after " +
                   std::to_string(seen);
        counts.states.insert(rows);
    }
    return recovered(*store);
} catch (const std::exception& e) {
    return e.what();
}

// Always tried: what is written after the log was cut, where a half of the old log would be taken for
// the whole of one.
class AfterCut {
public:
    bool take(const DiskStep& step)
    {
        if (step.kind == DiskStep::Kind::truncate && step.name == "store.db-wal")
            since_ = 0;
        else
            ++since_;
        return since_ == 3 || since_ == 12;
    }

private:
    std::size_t since_ = 100;
};

struct Share {
    bool after_cuts = false;
    std::size_t start = 0;
    std::size_t of = 1;
    std::uint64_t seeds = 6;
    bool stop_at_first = false;
    bool to_be_found = false;  // a violation is what a test of this test waits for
};

const char* name_of(Durability durability)
{
    return durability == Durability::power ? "power" : "process";
}

/// Cuts after every step of the share. The number of cuts that a store did not stand.
int cut_all(const ScratchDirectory& scratch, const Recording& recorded, const Measure& measure,
            const Share& share, Counts& counts)
{
    Disk disk;
    AfterCut after_cut;
    int failed = 0;
    for (std::size_t step = 1; step <= recorded.steps().size(); ++step) {
        disk.take(recorded.steps()[step - 1]);
        if (measure.lying && step == recorded.states().front().step) disk.lie();
        const bool always = after_cut.take(recorded.steps()[step - 1]) && share.after_cuts;
        if (step % share.of != share.start && !always) continue;
        for (std::uint64_t seed = 0; seed < share.seeds; ++seed) {
            ++counts.cuts;
            const auto files = disk.cut(step * 1000 + seed, counts.disk);
            const auto wrong = judge(scratch / "store", files, recorded, step, seed, measure, counts);
            if (wrong.empty()) continue;
            ++failed;
            std::printf("%s: durability=%s, after step %zu, seed %llu: %s\n",
                        share.to_be_found ? "found" : "VIOLATION", name_of(measure.promised),
                        step, static_cast<unsigned long long>(seed), wrong.c_str());
            if (share.stop_at_first) return failed;
        }
    }
    return failed;
}

void print(const Measure& measure, const Recording& recorded, const Share& share,
           const Counts& counts)
{
    const auto number = [](std::uint64_t n) { return static_cast<unsigned long long>(n); };
    std::printf(
        "durability=%s: %zu steps, %zu commits; share 1/%zu from %zu, %llu seeds: %llu cuts, %llu "
        "of them before there was a store; %zu states seen, %llu cuts went back behind the last "
        "commit; of unsynced writes %llu were lost and %llu torn, %llu cuts kept a later one "
        "without an earlier, %llu sizes and %llu names were lost\n",
        name_of(measure.promised), recorded.steps().size(), recorded.states().size() - 1, share.of,
        share.start, number(share.seeds), number(counts.cuts), number(counts.unmade),
        counts.states.size(), number(counts.earlier), number(counts.disk.lost),
        number(counts.disk.torn), number(counts.disk.reordered), number(counts.disk.sizes),
        number(counts.disk.names));
}

/// Without the sync that a promise rests on it must be broken somewhere.
int self_test(const ScratchDirectory& scratch)
{
    struct Mutant {
        const char* what;
        Durability made;
        Measure measure;
    };
    const Mutant mutants[] = {
        {"a disk that lies, durability=power", Durability::power, {Durability::power, true}},
        {"a disk that lies, durability=process", Durability::process, {Durability::process, true}},
        {"power promised, and not set", Durability::process, {Durability::power}},
    };
    int missed = 0;
    for (const auto& mutant : mutants) {
        const auto recorded = record(scratch, mutant.made);
        Counts counts;
        Share share;
        share.of = 7;
        share.start = 3;
        share.seeds = 2;
        share.stop_at_first = true;
        share.to_be_found = true;
        const bool caught = cut_all(scratch, *recorded, mutant.measure, share, counts) > 0;
        std::printf("%s: %s\n", mutant.what, caught ? "caught" : "NOT CAUGHT");
        if (!caught) ++missed;
    }
    return missed;
}

int usage()
{
    std::fputs("usage: power_cut [--share 1/N | --step N] [--seeds N] [--first] | --self-test\n", stderr);
    return 2;
}

int power_cut(Words words)
{
    const ScratchDirectory scratch;
    if (words == Words{"--self-test"}) return self_test(scratch) == 0 ? 0 : 1;
    Share share;
    // The first violation of each durability is enough.
    share.stop_at_first = std::erase(words, "--first") > 0;
    if (words.size() % 2 != 0) return usage();
    for (std::size_t i = 0; i < words.size(); i += 2) {
        const std::string& option = words[i];
        const std::string& value = words[i + 1];
        if (option == "--share" && value.starts_with("1/")) {
            share.of = std::stoul(value.substr(2));
            share.start = turn() % share.of;
            share.after_cuts = true;
        } else if (option == "--step") {
            share.of = SIZE_MAX;
            share.start = std::stoul(value);
        } else if (option == "--seeds") {
            share.seeds = std::stoul(value);
        } else {
            return usage();
        }
    }
    int failed = 0;
    for (const auto durability : {Durability::process, Durability::power}) {
        const auto recorded = record(scratch, durability);
        Counts counts;
        const Measure measure{durability};
        failed += cut_all(scratch, *recorded, measure, share, counts);
        print(measure, *recorded, share, counts);
    }
    return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace xlstore::test

int main(int argc, char** argv)
{
    return xlstore::test::power_cut(xlstore::test::Words(argv + 1, argv + argc));
}
