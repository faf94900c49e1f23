// SPDX-License-Identifier: MIT
// The write-ahead log: a reader that does not come to an end, and who opens and closes the files.
#include <sqlite3.h>

#include <filesystem>
#include <sstream>

#include "tests/support/holder.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore::test {
namespace {

using std::chrono::seconds;

/// A process with a read transaction that never ends.
std::function<bool()> reading(const std::string& database)
{
    return [database] {
        sqlite3* db = nullptr;
        return sqlite3_open_v2(database.c_str(), &db, SQLITE_OPEN_READONLY, nullptr) == SQLITE_OK &&
               sqlite3_exec(db, "BEGIN; SELECT count(*) FROM history", nullptr, nullptr, nullptr) ==
                   SQLITE_OK;
    };
}

class LogTest : public testing::Test {
protected:
    void commit(Store& store, int rows)
    {
        for (int i = 0; i < rows; ++i)
            ASSERT_TRUE(store.loop().wait_for(store.with_writer_lock(
                "test", Clock::now() + seconds(20), [&](const WriterHold&) -> Result<void> {
                    store.db().execute(
                        "INSERT INTO history (at_us, operation, outcome, evidence, pid, program) "
                        "VALUES (1, 'x', 'done', hex(zeroblob(50000)), 1, 'x')");
                    return {};
                })));
    }
    std::uintmax_t log_bytes()
    {
        return std::filesystem::file_size(store_.path() + "/store.db-wal");
    }
    /// The line that `xlfsck --json MODE` has on a problem.
    std::string problem(const std::string& mode, const std::string& name, int status)
    {
        const Ran ran = xlfsck(store_.path(), {mode, "--json"});
        EXPECT_TRUE(ended(ran, status));
        std::istringstream lines(ran.out);
        for (std::string line; std::getline(lines, line);)
            if (json_at(line, "$.problem") == name) return line;
        return {};
    }

    ScratchStore store_;
};

TEST_F(LogTest, EndlessReaderIsNamedAndHoldsNoWriterUp)
{
    const auto store = store_.open();
    ASSERT_NO_FATAL_FAILURE(commit(*store, 1));
    Holder reader(reading(store_.path() + "/store.db"));
    EXPECT_EQ(problem("-n", "log_held", 0), "") << "the log is not large";
    ASSERT_NO_FATAL_FAILURE(commit(*store, 200));
    ASSERT_GT(log_bytes(), 16U << 20U);
    EXPECT_EQ(sql(store_.path(), "SELECT count(*) FROM history"), "201");

    for (const char* mode : {"-n", "-p"}) {
        const auto held = problem(mode, "log_held", 2);
        EXPECT_TRUE(contains(json_at(held, "$.evidence"),
                             "read by pid " + std::to_string(reader.pid()) + " ("))
            << mode;
        EXPECT_EQ(json_at(held, "$.evidence").find("pid " + std::to_string(getpid())),
                  std::string::npos)
            << "we only have it open";
    }
    EXPECT_GT(log_bytes(), 16U << 20U);

    reader.end();
    EXPECT_NE(problem("-n", "log_large", 0), "");
    // The next commits start it anew, so that it does not grow any more.
    ASSERT_NO_FATAL_FAILURE(commit(*store, 1));
    const auto before = log_bytes();
    ASSERT_NO_FATAL_FAILURE(commit(*store, 100));
    EXPECT_EQ(log_bytes(), before);
    EXPECT_EQ(json_at(problem("-p", "log_large", 1), "$.action"), "fixed");
    EXPECT_LT(log_bytes(), 2U << 20U);
    EXPECT_EQ(problem("-n", "log_large", 0), "");
    EXPECT_EQ(sql(store_.path(), "SELECT count(*) FROM history"), "302");
    EXPECT_EQ(sql(store_.path(), "PRAGMA integrity_check"), "ok");
}

// Closing any descriptor of a file drops the process's own POSIX locks on it, and SQLite has such
// locks on these three: only SQLite may open and close them.
TEST_F(LogTest, OnlySqliteOpensAndClosesItsFiles)
{
    if (!strace_works()) GTEST_SKIP() << "strace is not there or may not trace";
    const ScratchDomain domain(store_);
    const auto trace = store_.directory() / "trace";
    for (const Words& verb : {Words{"xlstore", "insert", "7", "hdc", domain.image('b')},
                              {"xlstore", "attach", "7", "qemu", tablet("tab")},
                              {"xlstore", "recover"},
                              {"xlstore", "locks"},
                              {"xlstore", "export", "7"},
                              {"xlfsck", "-n"},
                              {"xlfsck", "-p"}}) {
        Words words = {"strace", "-f", "-b",
                       "execve", "-k", "-o",
                       trace,    "-e", "trace=open,openat,close,dup,dup2,dup3"};
        for (const char* file : {"/store.db", "/store.db-wal", "/store.db-shm"}) {
            words.emplace_back("-P");
            words.push_back(store_.path() + file);
        }
        words.insert(words.end(), {binary(verb[0]), "--store", store_.path()});
        words.insert(words.end(), verb.begin() + 1, verb.end());
        // Leaks cannot be looked for under ptrace.
        ASSERT_TRUE(ended(run(words, {{"ASAN_OPTIONS", "detect_leaks=0"}}), 0)) << verb[1];

        // A call, then its stack from the inside out. The caller of the C library did it.
        int opened = 0;
        int closed = 0;
        std::string call;
        std::istringstream lines(read_file(trace));
        for (std::string line; std::getline(lines, line);) {
            if (!line.starts_with(" > ")) {
                EXPECT_EQ(call, "") << "who did this is not known";
                const bool is_open = line.find(" open") != std::string::npos;
                const bool is_close = line.find(" close(") != std::string::npos;
                if (is_open) ++opened;
                if (is_close) ++closed;
                call = is_open || is_close || line.find(" dup") != std::string::npos ? line : "";
                continue;
            }
            const auto in = [&](const char* library) {
                return line.find(library) != std::string::npos;
            };
            if (call.empty() || in("/libc.so") || in("/libasan.so") || in("/libubsan.so")) continue;
            EXPECT_TRUE(in("/libsqlite3.so")) << call << line;
            call.clear();
        }
        EXPECT_GT(opened, 0) << verb[1] << ": the trace shows nothing";
        EXPECT_GT(closed, 0) << verb[1] << ": the trace shows nothing";
    }
}

}  // namespace
}  // namespace xlstore::test
