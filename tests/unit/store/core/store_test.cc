// SPDX-License-Identifier: MIT
#include "store/core/store.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "store/core/journal.hpp"
#include "store/core/lock_survey.hpp"
#include "store/database/write_permit.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "tests/support/in_child.hpp"
#include "tests/support/process.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/values.hpp"
#include "tests/unit/store/core/store_test.hpp"

namespace xlstore {
namespace {

using test::in_child;
using test::soon;

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;
using test::open_store;
using test::open_to_look;
using test::raw_sql;
using test::ScratchDirectory;
using test::ScratchStore;

class StoreTest : public testing::Test {
protected:
    Result<std::int64_t> write_history(Store& store)
    {
        return store.loop().wait_for(
            store.with_writer_lock("test", soon(), [&](const WriterHold&) -> Result<std::int64_t> {
                Journal(store).add_history(HistoryLine{{}, "test", {}, {}, "done", {}, "x"});
                return store.db().last_insert_id();
            }));
    }
    DomainRow import(Store& store, int domid = 7)
    {
        const test::Material material(store_.directory(), domid, "web");
        auto domain = store.loop().wait_for(
            import_domain(store, domid, test::read_file(material.document), "document", soon()));
        EXPECT_TRUE(domain) << domain.error().message;
        return *std::move(domain);
    }
    ScratchStore store_;
};

TEST_F(StoreTest, SessionHasARowAndAByteWhileItIsOpen)
{
    auto store = store_.open();
    EXPECT_EQ(test::sql(store_.path(), "SELECT pid || ' ' || program FROM session"),
              std::to_string(getpid()) + " test");
    auto looking = open_to_look(store_.path());
    ASSERT_TRUE(looking);
    EXPECT_TRUE(*(*looking)->locks().is_held(LockKind::session, store->session()));
    const auto id = store->session();
    store.reset();
    EXPECT_EQ(test::sql(store_.path(), "SELECT count(*) FROM session"), "0");
    EXPECT_FALSE(*(*looking)->locks().is_held(LockKind::session, id));
}

TEST_F(StoreTest, SessionOfAKilledProcessHasARowAndNoByte)
{
    EXPECT_FALSE(in_child([this] {
        auto store = store_.open();
        kill(getpid(), SIGKILL);
        return true;
    }));
    EXPECT_EQ(test::sql(store_.path(), "SELECT count(*) FROM session"), "1");
    auto looking = open_to_look(store_.path());
    ASSERT_TRUE(looking);
    EXPECT_FALSE(*(*looking)->locks().is_held(LockKind::session, 1));
}

TEST_F(StoreTest, LookingWritesNothing)
{
    auto looking = open_to_look(store_.path());
    ASSERT_TRUE(looking);
    EXPECT_EQ(test::sql(store_.path(), "SELECT count(*) FROM session"), "0");
    EXPECT_THROW((*looking)->db().execute("DELETE FROM history"), DbError);
    EXPECT_THROW((void)write_history(**looking), DbError);
}

TEST_F(StoreTest, TwoStoresAndTwoHandlesInOneProcess)
{
    const ScratchStore other;
    auto a = store_.open();
    auto again = store_.open();
    auto b = other.open();
    for (int i = 0; i < 20; ++i) {
        EXPECT_TRUE(write_history(*a));
        EXPECT_TRUE(write_history(*again));
        EXPECT_TRUE(write_history(*b));
    }
    EXPECT_NE(a->session(), again->session());
    again.reset();  // closing one handle takes nothing from the other
    EXPECT_TRUE(write_history(*a));
    EXPECT_EQ(test::sql(store_.path(), "SELECT count(*) FROM history"), "41");
    EXPECT_EQ(test::sql(other.path(), "SELECT count(*) FROM history"), "20");
    EXPECT_TRUE(*a->locks().is_held(LockKind::session, a->session()));
}

// R17: another store is put in the place of ours.
TEST_F(StoreTest, StoreThatWasMovedAwayIsLost)
{
    const ScratchStore other;
    auto store = store_.open();
    const auto domain = import(*store);
    auto hold = store->try_slow_lock(domain.id, "test");
    ASSERT_TRUE(hold && *hold);
    const auto away = store_.directory() / "away";
    fs::rename(store_.path(), away);
    for (const bool another : {false, true}) {
        if (another) fs::rename(other.path(), store_.path());
        EXPECT_EQ(store->check().error().code, Errc::lost);
        EXPECT_EQ(write_history(*store).error().code, Errc::lost);
        EXPECT_EQ(store->try_slow_lock(domain.id, "test").error().code, Errc::lost);
        auto slow = store->loop().wait_for(store->slow_lock(domain.id, "web", "test", soon()));
        EXPECT_EQ(slow.error().code, Errc::lost);
        auto committed = store->loop().wait_for(Journal(*store).commit(
            **hold, "test", soon(), [](const FastHold&) -> Result<void> { return {}; }));
        EXPECT_EQ(committed.error().code, Errc::lost);
    }
    EXPECT_EQ(test::sql(store_.path(), "SELECT count(*) FROM history"), "0");
    EXPECT_EQ(test::sql(store_.path(), "SELECT count(*) FROM session"), "0");
    EXPECT_EQ(test::sql(away, "SELECT count(*) FROM history"), "1");  // the import's
}

TEST_F(StoreTest, EachReplacedFileIsNoticed)
{
    for (const std::string name : {"store.db", "locks", "slow"}) {
        const ScratchStore scratch;
        auto store = scratch.open();
        ASSERT_TRUE(write_history(*store));
        fs::copy(scratch.path() + "/" + name, scratch.directory() / "copy");
        fs::rename(scratch.directory() / "copy", scratch.path() + "/" + name);
        const auto written = write_history(*store);
        ASSERT_FALSE(written) << name;
        EXPECT_EQ(written.error().code, Errc::lost);
    }
}

// What makes room for a commit writes files by their names, before anything is committed.
TEST_F(StoreTest, StoreThatWasMovedAwayWritesNothingWhereItWas)
{
    const ScratchStore scratch;
    auto store = scratch.open();
    ASSERT_TRUE(write_history(*store));
    fs::rename(scratch.path(), scratch.directory() / "moved");
    fs::create_directory(scratch.path());
    const auto written = write_history(*store);
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code, Errc::lost);
    EXPECT_TRUE(fs::is_empty(scratch.path()));
    store.reset();
    EXPECT_TRUE(fs::is_empty(scratch.path()));
}

// The files are not looked at one by one then.
TEST_F(StoreTest, EachReplacedFileOfAQuietDirectoryIsNoticed)
{
    for (const std::string name : {"store.db", "store.db-wal", "store.db-shm", "locks", "slow"}) {
        const ScratchStore scratch;
        auto store = scratch.open();
        const auto domain = import(*store);
        ASSERT_TRUE(test::wait_until(seconds(30), [&] {
            return store->locks().directory().names_now() && write_history(*store) &&
                   store->locks().directory().names_now();
        }));
        fs::copy(scratch.path() + "/" + name, scratch.directory() / "copy");
        fs::rename(scratch.directory() / "copy", scratch.path() + "/" + name);
        const auto written = write_history(*store);
        ASSERT_FALSE(written) << name;
        EXPECT_EQ(written.error().code, Errc::lost);
        const auto hold = store->try_slow_lock(domain.id, "test");
        ASSERT_EQ(hold.has_value(), name == "locks") << name << ": each commit of a hold looks";
        if (!hold) {
            EXPECT_EQ(hold.error().code, Errc::lost);
        }
    }
}

TEST_F(StoreTest, HandleIsNoUseInAForkedChild)
{
    auto store = store_.open();
    const auto domain = import(*store);
    auto hold = store->try_slow_lock(domain.id, "test");
    ASSERT_TRUE(hold && *hold);
    const auto before = test::dump(store_.path());

    EXPECT_TRUE(in_child([&] {
        const bool refused = store->check().error().code == Errc::order &&
                             write_history(*store).error().code == Errc::order &&
                             store->try_slow_lock(domain.id, "x").error().code == Errc::order;
        hold->reset();
        store.reset();  // and its end takes nothing away
        return refused;
    }));

    EXPECT_EQ(test::dump(store_.path()), before);
    EXPECT_EQ(test::sql(store_.path(), "SELECT count(*) FROM session"), "1");
    EXPECT_TRUE(*store->locks().is_held(LockKind::slow, value_of(domain.id)));
    EXPECT_TRUE(write_history(*store));
    // Nor may it open any: what SQLite keeps of open files was copied, its locks were not.
    const ScratchStore other;
    EXPECT_TRUE(in_child([&] {
        StoreOptions own;
        own.directory = store_.path();
        StoreOptions another;
        another.directory = other.path();
        return Store::open(own).error().code == Errc::order &&
               Store::open_read_only(own).error().code == Errc::order &&
               Store::open_untouched(another).error().code == Errc::order &&
               Store::init(other.directory() / "new").error().code == Errc::order;
    }));
    EXPECT_TRUE(write_history(*store));
}

// A daemon that goes into the background: nothing is open at the fork.
TEST_F(StoreTest, ChildOfAProcessWithoutAnOpenStoreMayOpenOne)
{
    ASSERT_TRUE(write_history(*store_.open()));
    EXPECT_TRUE(in_child([&] {
        auto own = store_.open();
        const bool written = write_history(*own).has_value();
        // And its own child is in the same case as any other.
        return written && in_child([&] {
                   StoreOptions again;
                   again.directory = store_.path();
                   return Store::open(again).error().code == Errc::order;
               });
    }));
}

// R7 at run time: nothing is taken inside a section.
TEST_F(StoreTest, SectionMayNotTakeLocks)
{
    auto store = store_.open();
    const auto domain = import(*store);
    const auto inside = [&]() -> Result<void> {
        EXPECT_EQ(store->try_slow_lock(domain.id, "x").error().code, Errc::order);
        EXPECT_EQ(write_history(*store).error().code, Errc::order);
        auto nested = store->loop().wait_for(store->with_fast_lock(
            domain.id, "x", soon(), [](const FastHold&) -> Result<void> { return {}; }));
        EXPECT_EQ(nested.error().code, Errc::order);
        EXPECT_EQ(LockOrder::context_enter().error().code, Errc::order);
        return {};
    };
    EXPECT_TRUE(store->loop().wait_for(
        store->with_writer_lock("x", soon(), [&](const WriterHold&) { return inside(); })));
    EXPECT_TRUE(store->loop().wait_for(
        store->with_fast_lock(domain.id, "x", soon(), [&](const FastHold& fast) {
            EXPECT_EQ(fast.domain(), domain.id);
            return inside();
        })));
    EXPECT_TRUE(write_history(*store));
}

TEST_F(StoreTest, SectionThatFailsOrThrowsChangesNothingAndLetsGo)
{
    auto store = store_.open();
    const auto domain = import(*store);
    const auto before = test::dump(store_.path());
    const auto edit = [&] {
        store->db().execute("UPDATE domain SET name = 'other'");
        return Error(Errc::invalid, "no");
    };
    auto failed = store->loop().wait_for(store->with_fast_lock(
        domain.id, "x", soon(), [&](const FastHold&) -> Result<void> { return edit(); }));
    EXPECT_EQ(failed.error().code, Errc::invalid);
    EXPECT_THROW(
        (void)store->loop().wait_for(store->with_fast_lock(domain.id, "x", soon(),
                                                           [&](const FastHold&) -> Result<void> {
                                                               (void)edit();
                                                               store->db().execute("nonsense");
                                                               return {};
                                                           })),
        DbError);
    EXPECT_EQ(test::dump(store_.path()), before);
    EXPECT_TRUE(LockOrder::may_block());
    EXPECT_TRUE(write_history(*store));
}

// R15: the holder that comes second by epoch finds out at its next commit, and has written nothing.
TEST_F(StoreTest, HoldWhoseLockWasLostCannotCommit)
{
    auto store = store_.open();
    auto other = store_.open();
    const auto domain = import(*store);
    auto hold = store->try_slow_lock(domain.id, "first");
    ASSERT_TRUE(hold && *hold);
    const auto commit = [](Store& s, SlowHold& h, const std::string& name) {
        return s.loop().wait_for(
            Journal(s).commit(h, "x", soon(), [&](const FastHold&) -> Result<void> {
                s.db().execute("UPDATE domain SET name = '" + name + "'");
                return {};
            }));
    };
    ASSERT_TRUE(commit(*store, **hold, "one"));
    // The lock is lost: its file was copied, moved away and put back, say.
    fs::copy(store_.path() + "/slow", store_.directory() / "kept");
    raw_sql(store_.path() + "/store.db", "UPDATE domain SET epoch = epoch + 1, name = 'theirs'");

    auto lost = commit(*store, **hold, "two");

    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error().code, Errc::lost);
    EXPECT_EQ(test::sql(store_.path(), "SELECT name FROM domain"), "theirs");
    // A hold that begins now reads the new epoch.
    hold->reset();
    auto fresh = other->try_slow_lock(domain.id, "second");
    ASSERT_TRUE(fresh && *fresh);
    EXPECT_TRUE(commit(*other, **fresh, "three"));
    EXPECT_TRUE(commit(*other, **fresh, "four"));
}

// R15: breaking is such a loss, for both holders.
TEST_F(StoreTest, HoldThatWasBrokenCannotCommitAndHasNoPartInTheNext)
{
    auto store = store_.open();
    auto other = store_.open();
    const auto domain = import(*store);
    auto hold = store->try_slow_lock(domain.id, "first");
    ASSERT_TRUE(hold && *hold);
    const auto before = test::dump(store_.path());
    const auto unforced = other->loop().wait_for(break_slow_lock(*other, domain, false, soon()));
    ASSERT_FALSE(unforced) << "its holder lives: that is us";
    EXPECT_EQ(unforced.error().code, Errc::refused);
    EXPECT_EQ(test::dump(store_.path()), before);
    EXPECT_FALSE(*other->try_slow_lock(domain.id, "second"));

    const auto broken = other->loop().wait_for(break_slow_lock(*other, domain, true, soon()));

    ASSERT_TRUE(broken && broken->broken);
    EXPECT_TRUE(test::contains(broken->text, "first (test, pid " + std::to_string(getpid())));
    EXPECT_EQ(
        test::sql(store_.path(), "SELECT evidence FROM history WHERE operation = 'break lock'"),
        broken->text.substr(std::string("broken: ").size()));
    auto second = other->try_slow_lock(domain.id, "second");
    ASSERT_TRUE(second && *second);
    auto lost = store->loop().wait_for(Journal(*store).commit(
        **hold, "x", soon(), [](const FastHold&) -> Result<void> { return {}; }));
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error().code, Errc::lost);
    hold->reset();
    const auto claim = other->locks().claim(LockKind::slow, value_of(domain.id));
    ASSERT_TRUE(claim) << "the old hold cleared the claim of the new one";
    EXPECT_EQ(claim->operation, "second");
    EXPECT_FALSE(*store->try_slow_lock(domain.id, "third"));
    EXPECT_TRUE(other->loop().wait_for(Journal(*other).commit(
        **second, "x", soon(), [](const FastHold&) -> Result<void> { return {}; })));

    second->reset();
    const auto unheld = other->loop().wait_for(break_slow_lock(*other, domain, true, soon()));
    ASSERT_TRUE(unheld);
    EXPECT_FALSE(unheld->broken);
    EXPECT_EQ(
        test::sql(store_.path(), "SELECT count(*) FROM history WHERE operation = 'break lock'"),
        "1");
}

// R8: a slow hold is no leave to write once a client destroys the domain.
TEST_F(StoreTest, HoldOnADomainThatIsBeingDestroyedCannotCommit)
{
    auto store = store_.open();
    const auto domain = import(*store);
    auto hold = store->try_slow_lock(domain.id, "test");
    ASSERT_TRUE(hold && *hold);
    raw_sql(store_.path() + "/store.db", "UPDATE domain SET state = 'destroying'");
    bool ran = false;

    auto refused = store->loop().wait_for(
        Journal(*store).commit(**hold, "x", soon(), [&](const FastHold&) -> Result<void> {
            ran = true;
            return {};
        }));

    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::gone);
    EXPECT_FALSE(ran);
}

// Checkpoints are ours to make, under the writer lock; without them the log would only
// grow.
TEST_F(StoreTest, LogIsCheckpointedAndItsSizeStaysBounded)
{
    auto store = store_.open();
    const std::string large(100'000, 'x');
    for (int i = 0; i < 200; ++i)
        ASSERT_TRUE(store->loop().wait_for(
            store->with_writer_lock("x", soon(), [&](const WriterHold&) -> Result<void> {
                store->db()
                    .prepare(
                        "INSERT INTO history (at_us, operation, outcome, evidence, pid, "
                        "program) VALUES (1, 'x', 'done', ?, 1, 'x')")
                    .bind(large)
                    .run();
                return {};
            })));
    EXPECT_LT(fs::file_size(store_.path() + "/store.db-wal"), 8U << 20U);
    EXPECT_GT(fs::file_size(store_.path() + "/store.db"), 10U << 20U);
}

}  // namespace
}  // namespace xlstore
