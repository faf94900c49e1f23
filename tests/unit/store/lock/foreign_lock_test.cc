// SPDX-License-Identifier: MIT
// Programs that lock a store's files without knowing the store: each is named by its pid when the time
// is over, and nothing has changed.
#include <gtest/gtest.h>

#include <sqlite3.h>

#include <filesystem>

#include "store/core/store.hpp"
#include "store/core/store_source.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr auto kShort = milliseconds(100);

/// Another program, which does what `begin` says, in Python, and then waits; $0 is the store.
class Foreigner {
public:
    Foreigner(const std::string& store, const std::string& begin)
        : flag_(store + ".ready"),
          child_({"python3", "-c",
                  "import fcntl, sqlite3, sys, time\n"
                  "store, flag = sys.argv[1:]\n" +
                      begin + "\nopen(flag, 'w').close()\ntime.sleep(600)",
                  store, flag_})
    {
        EXPECT_TRUE(test::wait_until(seconds(20), [&] { return std::filesystem::exists(flag_); }));
    }
    [[nodiscard]] std::string name() const { return "pid " + std::to_string(child_.pid()) + " ("; }
    void end()
    {
        child_.signal(SIGKILL);
        child_.wait();
        std::filesystem::remove(flag_);
    }

private:
    std::string flag_;
    test::Child child_;
};

class ForeignLockTest : public testing::Test {
protected:
    Result<void> write(milliseconds time)
    {
        return store_->loop().wait_for(store_->with_writer_lock(
            "test", Clock::now() + time, [&](const WriterHold&) -> Result<void> {
                store_->db().execute("INSERT INTO tombstone (domid, uuid, boot_id, until_us) SELECT "
                                     "count(*), '', '', 1 FROM tombstone");
                return {};
            }));
    }
    void expect_named(const Result<void>& done, const Foreigner& who)
    {
        ASSERT_FALSE(done);
        EXPECT_EQ(done.error().code, Errc::timeout);
        EXPECT_NE(done.error().message.find(who.name()), std::string::npos) << done.error().message;
        EXPECT_EQ(test::sql(scratch_.path(), "SELECT count(*) FROM tombstone"), "0");
    }
    /// The process is named, and keeps no writer out once it is gone.
    void expect_named_and_gone(const std::string& begin)
    {
        Foreigner foreigner(scratch_.path(), begin);
        expect_named(write(kShort), foreigner);
        foreigner.end();
        EXPECT_TRUE(write(seconds(20)));
    }

    test::ScratchStore scratch_;
    std::unique_ptr<Store> store_ = scratch_.open();
};

constexpr const char* kWriter =
    "db = sqlite3.connect(store + '/store.db', isolation_level=None)\n"
    "db.execute('BEGIN IMMEDIATE')";

TEST_F(ForeignLockTest, AWriterThatDoesNotEndIsNamed)
{
    expect_named_and_gone(kWriter);
}

// SQLite's protocol lets who may only read lock a byte of the log's index, and no writer gets past.
TEST_F(ForeignLockTest, AReadLockInTheIndexOfTheLogIsNamed)
{
    expect_named_and_gone(
        "index = open(store + '/store.db-shm', 'rb')\n"
        "fcntl.lockf(index, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, 120)");
}

// The first to open the store makes that index anew and cannot: after ten seconds SQLite says "locking
// protocol", which is not waited for here.
TEST_F(ForeignLockTest, AReadLockInTheIndexIsNamedToTheFirstToOpenTheStoreToo)
{
    Foreigner foreigner(scratch_.path(),
                        "index = open(store + '/store.db-shm', 'rb')\n"
                        "fcntl.lockf(index, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, 122)");
    const auto error = unusable(scratch_.path() + "/store.db",
                                DbError(SQLITE_PROTOCOL, "database /x: locking protocol"));
    EXPECT_EQ(error.code, Errc::timeout);
    EXPECT_NE(error.message.find(foreigner.name()), std::string::npos) << error.message;
    EXPECT_EQ(error_of(DbError(SQLITE_PROTOCOL, "database /x: locking protocol")).code, Errc::busy);
}

TEST_F(ForeignLockTest, AReadLockOnTheWriterByteIsNamedAndNotTheLastClaimant)
{
    ASSERT_TRUE(write(seconds(20)));  // a claim of ours stays behind
    store_->db().execute("DELETE FROM tombstone");
    expect_named_and_gone(
        "locks = open(store + '/locks', 'rb')\n"
        "fcntl.lockf(locks, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, 1 << 43)");
}

// Opening it writes a session.
TEST_F(ForeignLockTest, OpeningNamesItToo)
{
    StoreOptions options;
    options.directory = scratch_.path();
    options.open_timeout = kShort;
    {
        Foreigner foreigner(scratch_.path(), kWriter);
        auto opened = Store::open(options);
        ASSERT_FALSE(opened);
        EXPECT_NE(opened.error().message.find(foreigner.name()), std::string::npos)
            << opened.error().message;
        EXPECT_TRUE(Store::open_read_only(options));
        foreigner.end();
    }
    store_.reset();
    Foreigner alone(scratch_.path(),
                    "db = sqlite3.connect(store + '/store.db', isolation_level=None)\n"
                    "db.execute('PRAGMA locking_mode = EXCLUSIVE')\ndb.execute('BEGIN EXCLUSIVE')");
    auto opened = Store::open(options);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, Errc::timeout);
    EXPECT_NE(opened.error().message.find(alone.name()), std::string::npos)
        << opened.error().message;
    alone.end();
    options.open_timeout = seconds(20);
    EXPECT_TRUE(Store::open(options));
}

// A short transaction of another program's is waited for, and the writer lock is free meanwhile.
TEST_F(ForeignLockTest, AWriterThatEndsIsWaitedFor)
{
    Foreigner foreigner(scratch_.path(), kWriter);
    auto writing = store_->with_writer_lock("test", Clock::now() + seconds(60),
                                            [](const WriterHold&) -> Result<void> { return {}; });
    writing.start();
    bool writer_was_free = false;
    for (const auto until = Clock::now() + seconds(20); !writer_was_free && Clock::now() < until;) {
        store_->loop().dispatch();
        const auto writer = store_->locks().try_acquire(LockKind::writer, 0);
        writer_was_free = writer && *writer;
    }
    EXPECT_TRUE(writer_was_free);
    EXPECT_FALSE(writing.done());
    foreigner.end();
    while (!writing.done())
        store_->loop().wait_and_dispatch();
    EXPECT_TRUE(writing.take());
}

}  // namespace
}  // namespace xlstore
