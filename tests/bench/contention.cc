// SPDX-License-Identifier: MIT
// Many processes that commit to one store: the writer lock beside SQLite's own busy handler, in one
// run. Each process commits one row every 5 ms, or as soon as it can when it is late. Counted: how
// long the longest commit took from asking to done, and how many commits each process made.
//
//   contention [SECONDS [PROCESSES...]]     default: 10 1 8 32
//
// Exit status 1: the bar is missed. It is: the longest wait at most a quarter of SQLite's, and the
// fewest commits of a process at least half of the most; of one process alone nothing is asked.
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "store/core/store.hpp"

namespace {

using namespace xlstore;
using std::chrono::milliseconds;

constexpr auto kInterval = milliseconds(5);
constexpr int kPatienceMs = 60'000;
constexpr const char* kInsert =
    "INSERT INTO history (at_us, operation, outcome, evidence, pid, program) "
    "VALUES (1, 'bench', 'done', 'contention', 1, 'bench')";

/// What one process has to tell.
struct Tally {
    std::int64_t commits = 0;
    std::int64_t longest_us = 0;
};

using Commit = std::function<bool()>;

Tally commit_until(Deadline end, const Commit& commit)
{
    Tally tally;
    for (auto next = Clock::now(); next < end;) {
        std::this_thread::sleep_until(next);
        const auto asked = Clock::now();
        if (!commit()) throw std::runtime_error("a commit failed");
        const auto done = Clock::now();
        ++tally.commits;
        tally.longest_us = std::max<std::int64_t>(
            tally.longest_us,
            std::chrono::duration_cast<std::chrono::microseconds>(done - asked).count());
        next = std::max(next + kInterval, done);
    }
    return tally;
}

Tally with_our_writer_lock(const std::string& directory, const std::function<Deadline()>& ready)
{
    StoreOptions options;
    options.directory = directory;
    auto store = Store::open(options);
    if (!store) throw std::runtime_error(store.error().message);
    return commit_until(ready(), [&] {
        return (*store)
            ->loop()
            .wait_for((*store)->with_writer_lock("bench", Clock::now() + milliseconds(kPatienceMs),
                                                 [&](const WriterHold&) -> Result<void> {
                                                     (*store)->db().prepare(kInsert).run();
                                                     return {};
                                                 }))
            .has_value();
    });
}

/// SQLite as it comes: its busy handler, its automatic checkpoints.
Tally with_busy_handler(const std::string& directory, const std::function<Deadline()>& ready)
{
    sqlite3* db = nullptr;
    if (sqlite3_open((directory + "/store.db").c_str(), &db) != SQLITE_OK)
        throw std::runtime_error("sqlite3_open");
    sqlite3_busy_timeout(db, kPatienceMs);
    sqlite3_exec(db, "PRAGMA synchronous = NORMAL", nullptr, nullptr, nullptr);
    std::array<sqlite3_stmt*, 3> statements{};
    const std::array<const char*, 3> texts = {"BEGIN IMMEDIATE", kInsert, "COMMIT"};
    for (std::size_t i = 0; i < texts.size(); ++i)
        if (sqlite3_prepare_v2(db, texts[i], -1, &statements[i], nullptr) != SQLITE_OK)
            throw std::runtime_error(sqlite3_errmsg(db));
    const Tally tally = commit_until(ready(), [&] {
        for (auto* statement : statements) {
            const int rc = sqlite3_step(statement);
            sqlite3_reset(statement);
            if (rc != SQLITE_DONE) return false;
        }
        return true;
    });
    for (auto* statement : statements)
        sqlite3_finalize(statement);
    sqlite3_close(db);
    return tally;
}

using Way = Tally (*)(const std::string&, const std::function<Deadline()>&);

/// Runs `processes` of them at the same time, on a store of their own.
std::vector<Tally> run(Way way, int processes, std::chrono::seconds time)
{
    std::string name = (std::filesystem::temp_directory_path() / "xlstore-bench-XXXXXX").string();
    if (!mkdtemp(name.data())) throw std::runtime_error("mkdtemp");
    const std::string directory = name + "/s";
    if (const auto made = Store::init(directory); !made)
        throw std::runtime_error(made.error().message);
    std::array<int, 2> ready{};
    std::array<int, 2> go{};
    std::array<int, 2> results{};
    if (pipe(ready.data()) != 0 || pipe(go.data()) != 0 || pipe(results.data()) != 0)
        throw std::runtime_error("pipe");
    for (int i = 0; i < processes; ++i) {
        const pid_t pid = fork();
        if (pid < 0) throw std::runtime_error("fork");
        if (pid > 0) continue;
        try {
            close(go[1]);
            const Tally tally = way(directory, [&] {
                char byte = 'r';
                if (write(ready[1], &byte, 1) != 1) throw std::runtime_error("pipe");
                (void)!read(go[0], &byte, 1);  // closed: all are ready
                return Clock::now() + time;
            });
            if (write(results[1], &tally, sizeof tally) != sizeof tally) _exit(1);
        } catch (const std::exception& e) {
            std::fprintf(stderr, "contention: %s\n", e.what());
            _exit(1);
        }
        _exit(0);
    }
    close(ready[1]);
    close(results[1]);
    char byte = 0;
    for (int i = 0; i < processes; ++i)
        if (read(ready[0], &byte, 1) != 1) throw std::runtime_error("a process did not get ready");
    close(go[0]);
    close(go[1]);
    std::vector<Tally> tallies(static_cast<std::size_t>(processes));
    for (auto& tally : tallies)
        if (read(results[0], &tally, sizeof tally) != sizeof tally)
            throw std::runtime_error("a process failed");
    close(ready[0]);
    close(results[0]);
    while (wait(nullptr) > 0) {
    }
    std::filesystem::remove_all(name);
    return tallies;
}

struct Line {
    double longest_ms;
    std::int64_t fewest;
    std::int64_t most;
};

Line summary(const std::vector<Tally>& tallies)
{
    const auto [fewest, most] = std::ranges::minmax_element(tallies, {}, &Tally::commits);
    const auto longest = std::ranges::max_element(tallies, {}, &Tally::longest_us);
    return {static_cast<double>(longest->longest_us) / 1000, fewest->commits, most->commits};
}

void print(int processes, const char* way, const Line& line)
{
    std::printf("%9d  %-12s  %12.1f  %14lld  %12lld  %6.2f\n", processes, way, line.longest_ms,
                static_cast<long long>(line.fewest), static_cast<long long>(line.most),
                static_cast<double>(line.fewest) / static_cast<double>(line.most));
}

int contention(std::chrono::seconds time, const std::vector<int>& counts)
{
    std::printf("SQLite %s, one commit per %lld ms and process, %lld s each\n",
                sqlite3_libversion(), static_cast<long long>(kInterval.count()),
                static_cast<long long>(time.count()));
    std::printf("processes  way           longest (ms)  fewest commits  most commits   ratio\n");
    bool missed = false;
    for (const int processes : counts) {
        const Line ours = summary(run(with_our_writer_lock, processes, time));
        print(processes, "writer lock", ours);
        const Line theirs = summary(run(with_busy_handler, processes, time));
        print(processes, "busy handler", theirs);
        if (processes == 1) continue;
        missed = missed || ours.longest_ms > theirs.longest_ms / 4 || ours.fewest * 2 < ours.most;
    }
    std::printf("the bar is %s\n", missed ? "missed" : "met");
    return missed ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv)
{
    std::chrono::seconds time(10);
    std::vector<int> counts;
    if (argc > 1) time = std::chrono::seconds(std::max(1, std::atoi(argv[1])));
    for (int i = 2; i < argc; ++i)
        counts.push_back(std::max(1, std::atoi(argv[i])));
    if (counts.empty()) counts = {1, 8, 32};
    try {
        return contention(time, counts);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "contention: %s\n", e.what());
        return 2;
    }
}
