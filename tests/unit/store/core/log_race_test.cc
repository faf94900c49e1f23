// SPDX-License-Identifier: MIT
// SQLite before 3.51.3 can lose committed rows: a checkpoint that has read the log's header and not
// yet looked how much of it was copied believes, if a writer starts the log anew in between, that
// the new log's frames were copied too. Here the writer is made to come just then: SQLite calls
// xUnfetch of the database's file between the two, and that call is ours.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <functional>
#include <optional>
#include <thread>
#include <utility>

#include "store/core/store.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const sqlite3_io_methods* original_methods = nullptr;
std::function<void()> in_the_window;  // called once

int unfetch(sqlite3_file* file, sqlite3_int64 offset, void* page)
{
    if (!page && in_the_window) std::exchange(in_the_window, {})();
    return original_methods->xUnfetch(file, offset, page);
}

/// From now on the connection's checkpoints call in_the_window.
void open_the_window(sqlite3* db)
{
    sqlite3_file* file = nullptr;
    ASSERT_EQ(sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file), SQLITE_OK);
    static sqlite3_io_methods methods;
    original_methods = file->pMethods;
    methods = *original_methods;
    methods.xUnfetch = unfetch;
    file->pMethods = &methods;
}

/// SQLite as it comes.
class Raw {
public:
    explicit Raw(const std::string& path)
    {
        EXPECT_EQ(sqlite3_open(path.c_str(), &db_), SQLITE_OK);
        run("PRAGMA journal_mode = WAL");
        run("PRAGMA wal_autocheckpoint = 0");
    }
    Raw(const Raw&) = delete;
    Raw& operator=(const Raw&) = delete;
    ~Raw() { sqlite3_close(db_); }
    int run(const std::string& statements) const
    {
        return sqlite3_exec(db_, statements.c_str(), nullptr, nullptr, nullptr);
    }
    /// Each on a page of its own, so that no later page has it too.
    void insert(int rows) const
    {
        for (int i = 0; i < rows; ++i)
            EXPECT_EQ(run("INSERT INTO t (v) VALUES (zeroblob(3000))"), SQLITE_OK);
    }
    void checkpoint() const
    {
        EXPECT_EQ(
            sqlite3_wal_checkpoint_v2(db_, nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr),
            SQLITE_OK);
    }
    /// Rows that can be read; fewer than there are when the database is damaged.
    [[nodiscard]] int count() const
    {
        int rows = 0;
        sqlite3_stmt* statement = nullptr;
        EXPECT_EQ(sqlite3_prepare_v2(db_, "SELECT v FROM t", -1, &statement, nullptr), SQLITE_OK);
        while (sqlite3_step(statement) == SQLITE_ROW)
            ++rows;
        sqlite3_finalize(statement);
        return rows;
    }
    [[nodiscard]] sqlite3* handle() const { return db_; }

private:
    sqlite3* db_ = nullptr;
};

/// Rows that were committed and are not there any more, of three connections that commit and
/// checkpoint as they like.
int lost_by_sqlite(const std::string& path)
{
    const Raw writer(path);
    const Raw checkpointer(path);
    const Raw late(path);
    writer.run("CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)");
    EXPECT_EQ(late.count(), 0);
    writer.insert(40);
    checkpointer.checkpoint();  // all is copied: the next writer may start the log anew
    open_the_window(late.handle());
    in_the_window = [&] { writer.insert(2); };
    late.checkpoint();
    EXPECT_FALSE(in_the_window) << "SQLite does not come by here any more";
    writer.insert(3);
    return 45 - Raw(path).count();
}

Result<void> insert(Store& store, milliseconds patience, int rows)
{
    for (int i = 0; i < rows; ++i) {
        const auto done = store.loop().wait_for(store.with_writer_lock(
            "test", Clock::now() + patience, [&](const WriterHold&) -> Result<void> {
                store.db().execute(
                    "INSERT INTO history (at_us, operation, outcome, evidence, pid, program) "
                    "VALUES (1, 'x', 'done', hex(zeroblob(1500)), 1, 'x')");
                return {};
            }));
        if (!done) return done;
    }
    return {};
}

/// The same with two handles on a store. Who comes in the window is kept out by the writer lock.
int lost_by_the_store()
{
    const test::ScratchStore scratch;
    const auto writer = scratch.open();
    const auto late = scratch.open();
    const auto committed = [&] {
        return std::stoi(test::sql(scratch.path(), "SELECT count(*) FROM history"));
    };
    EXPECT_EQ(committed(), 0);
    EXPECT_TRUE(insert(*writer, seconds(20), 40));
    // All is copied, and the next writer may start the log anew: nothing of ours leaves it so.
    Raw(scratch.path() + "/store.db").checkpoint();
    open_the_window(late->db().handle());
    std::optional<Errc> kept_out;
    in_the_window = [&] {
        std::thread([&] {  // a thread of its own: on this one the order of locks forbids it (R7)
            const auto done = insert(*writer, milliseconds(50), 2);
            if (!done) kept_out = done.error().code;
        })
            .join();
    };
    EXPECT_TRUE(late->loop().wait_for(late->empty_log(Clock::now() + seconds(20))));
    EXPECT_FALSE(in_the_window) << "SQLite does not come by here any more";
    EXPECT_EQ(kept_out, Errc::timeout) << "a commit came between the steps of a checkpoint";
    EXPECT_TRUE(insert(*writer, seconds(20), 3));
    EXPECT_EQ(test::sql(scratch.path(), "PRAGMA integrity_check"), "ok");
    return (kept_out ? 43 : 45) - committed();
}

TEST(LogRaceTest, StoreLosesNoRowWhereSqliteAsItComesDoes)
{
    EXPECT_EQ(lost_by_the_store(), 0);
    const test::ScratchDirectory directory;
    int lost = 0;
    for (int round = 0; round < 10 && lost == 0; ++round)
        lost = lost_by_sqlite(directory / ("race-" + std::to_string(round)));
    if (lost == 0)
        GTEST_SKIP() << "the race was not provoked in SQLite " << sqlite3_libversion()
                     << ", so that nothing is shown of the store";
}

}  // namespace
}  // namespace xlstore
