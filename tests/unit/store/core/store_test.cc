// SPDX-License-Identifier: MIT
#include "store/core/store.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>

#include "store/core/journal.hpp"
#include "store/core/lock_survey.hpp"
#include "store/database/write_permit.hpp"
#include "store/lifecycle/creation.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/values.hpp"

namespace xlstore {
namespace {

using test::soon;

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;
using test::ScratchDirectory;
using test::ScratchStore;

Result<std::unique_ptr<Store>> open(const std::string& directory)
{
    StoreOptions options;
    options.directory = directory;
    options.program = "test";
    return Store::open(options);
}

Result<std::unique_ptr<Store>> open_to_look(const std::string& directory)
{
    StoreOptions options;
    options.directory = directory;
    return Store::open_read_only(options);
}

/// Runs SQL in a database file without our library.
void raw_sql(const std::string& path, const std::string& sql)
{
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
    ASSERT_EQ(permit_writes(db), SQLITE_OK);
    char* message = nullptr;
    EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, &message), SQLITE_OK) << message;
    sqlite3_free(message);
    sqlite3_close(db);
}

unsigned mode_of(const std::string& path)
{
    struct stat st {};
    EXPECT_EQ(stat(path.c_str(), &st), 0) << path;
    return st.st_mode & 07777;
}

/// Both ways of opening refuse it with this code, and name `said`.
void expect_refused(const std::string& directory, Errc code, const std::string& said)
{
    for (const bool looking : {false, true}) {
        const auto store = looking ? open_to_look(directory) : open(directory);
        ASSERT_FALSE(store) << said << (looking ? ", looking" : "");
        EXPECT_EQ(store.error().code, code);
        EXPECT_NE(store.error().message.find(said), std::string::npos) << store.error().message;
    }
}

/// In a forked child; true if it says so.
bool in_child(const std::function<bool()>& act)
{
    const pid_t pid = fork();
    if (pid == 0) _exit(act() ? 0 : 1);
    int status = 0;
    EXPECT_EQ(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// ---- Making one ----

TEST(StoreInitTest, MakesAPrivateStoreOnce)
{
    const ScratchDirectory directory;
    const auto path = directory / "new";
    ASSERT_TRUE(Store::init(path));
    EXPECT_EQ(mode_of(path), 0700U);
    for (const char* name : {"/store.db", "/locks", "/slow"})
        EXPECT_EQ(mode_of(path + name), 0600U) << name;
    EXPECT_EQ(mode_of(path + "/run"), 0700U);
    const auto before = test::read_file(path + "/store.db");
    const auto again = Store::init(path);
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, Errc::exists);
    EXPECT_EQ(test::read_file(path + "/store.db"), before);
    EXPECT_TRUE(open(path));
}

TEST(StoreInitTest, ReadingGroupMayReadAndNotWrite)
{
    const ScratchDirectory directory;
    const auto path = directory / "new";
    ASSERT_TRUE(Store::init(path, getegid()));
    EXPECT_EQ(mode_of(path), 0750U);
    EXPECT_EQ(mode_of(path + "/store.db"), 0640U);
    // A read lock of a member's would keep every writer out; what a member needs is seen without.
    for (const char* name : {"/locks", "/slow"})
        EXPECT_EQ(mode_of(path + name), 0600U) << name;
    // What SQLite makes beside the database takes its mode from it, and is there: who may only read
    // could not make it.
    for (const char* name : {"/store.db-wal", "/store.db-shm"})
        EXPECT_EQ(mode_of(path + name), 0640U) << name;
}

TEST(StoreInitTest, LockFilesOfRelease01AreClosedToTheReadingGroup)
{
    const ScratchDirectory directory;
    const auto path = directory / "new";
    ASSERT_TRUE(Store::init(path, getegid()));
    for (const char* name : {"/locks", "/slow"})
        ASSERT_EQ(chmod((path + name).c_str(), 0640), 0);
    StoreOptions options;
    options.directory = path;
    ASSERT_TRUE(Store::open_read_only(options));
    EXPECT_EQ(mode_of(path + "/locks"), 0640U);  // only looked at
    ASSERT_TRUE(open(path));
    for (const char* name : {"/locks", "/slow"})
        EXPECT_EQ(mode_of(path + name), 0600U) << name;
    // Made anew, too.
    fs::remove(path + "/slow");
    ASSERT_TRUE(open(path));
    EXPECT_EQ(mode_of(path + "/slow"), 0600U);
}

TEST(StoreInitTest, TakesAnEmptyDirectoryAndNoOther)
{
    const ScratchDirectory directory;
    const auto path = directory / "there";
    fs::create_directory(path);
    chmod(path.c_str(), 0700);
    test::write_file(path + "/precious", "x");
    const auto full = Store::init(path);
    ASSERT_FALSE(full);
    EXPECT_EQ(full.error().code, Errc::store);
    EXPECT_NE(full.error().message.find("precious"), std::string::npos);
    EXPECT_FALSE(fs::exists(path + "/locks"));
    fs::remove(path + "/precious");
    EXPECT_TRUE(Store::init(path));
}

TEST(StoreInitTest, FinishesWhatAKilledInitLeft)
{
    const ScratchDirectory directory;
    const auto path = directory / "there";
    fs::create_directory(path);
    chmod(path.c_str(), 0700);
    for (const char* name : {"/locks", "/slow", "/store.db.new", "/store.db.new-journal"})
        test::write_file(path + name, name == std::string("/store.db.new") ? "half" : "");
    EXPECT_TRUE(Store::init(path));
    EXPECT_TRUE(open(path));
    EXPECT_FALSE(fs::exists(path + "/store.db.new"));
}

TEST(StoreInitTest, RefusesSymlinkWideModeAndMissingParent)
{
    const ScratchDirectory directory;
    const auto path = directory / "there";
    fs::create_directory(path);
    chmod(path.c_str(), 0755);
    EXPECT_EQ(Store::init(path).error().code, Errc::store);
    chmod(path.c_str(), 0700);
    fs::create_symlink(path, directory / "link");
    EXPECT_EQ(Store::init(directory / "link").error().code, Errc::store);
    EXPECT_EQ(Store::init(directory / "no/such").error().code, Errc::io);
    test::write_file(directory / "file", "");
    EXPECT_EQ(Store::init(directory / "file").error().code, Errc::store);
    EXPECT_TRUE(fs::is_empty(path));
}

// ---- Opening what is not as it should be ----

class StoreOpenTest : public testing::Test {
protected:
    [[nodiscard]] std::string file(const std::string& name) const
    {
        return store_.path() + "/" + name;
    }
    ScratchStore store_;
};

TEST_F(StoreOpenTest, MissingStoreIsRefused)
{
    expect_refused(store_.directory() / "none", Errc::store, "none");
    fs::rename(file("store.db"), file("away"));
    expect_refused(store_.path(), Errc::store, "store.db");
    EXPECT_FALSE(fs::exists(file("store.db"))) << "made anew";
    fs::rename(file("away"), file("store.db"));
    EXPECT_TRUE(open(store_.path()));
}

// They hold no data. A process that holds locks in one that is gone does not exclude the users of a new one.
TEST_F(StoreOpenTest, MissingLockFileIsMadeAnewByAWriterOnceNoProcessHasTheStoreOpen)
{
    for (const char* name : {"locks", "slow"}) {
        {
            const auto writing = open(store_.path());
            ASSERT_TRUE(writing);
            fs::remove(file(name));
            const auto busy = open(store_.path());
            ASSERT_FALSE(busy);
            EXPECT_EQ(busy.error().code, Errc::busy) << busy.error().message;
            EXPECT_NE(busy.error().message.find(name), std::string::npos);
            EXPECT_NE(busy.error().message.find(std::to_string(getpid())), std::string::npos)
                << busy.error().message;
        }
        EXPECT_FALSE(open_to_look(store_.path()));
        EXPECT_FALSE(fs::exists(file(name)));
        EXPECT_TRUE(open(store_.path()));
        EXPECT_TRUE(fs::exists(file(name)));
        EXPECT_TRUE(open_to_look(store_.path()));
    }
}

// It has sockets and logs alone, which went with it: without it no domain could be created any more.
TEST_F(StoreOpenTest, MissingRunDirectoryIsMadeAnewByAWriter)
{
    fs::remove_all(file("run"));
    EXPECT_TRUE(open_to_look(store_.path()));
    EXPECT_FALSE(fs::exists(file("run"))) << "looking makes nothing";
    EXPECT_TRUE(open(store_.path()));
    EXPECT_EQ(fs::status(file("run")).permissions(), fs::perms::owner_all);
}

TEST_F(StoreOpenTest, ModesThatLetOthersInAreRefused)
{
    for (const unsigned mode : {0707U, 0755U, 0770U, 0701U}) {
        chmod(store_.path().c_str(), mode);
        expect_refused(store_.path(), Errc::store, store_.path());
    }
    chmod(store_.path().c_str(), 0700);
    for (const char* name : {"store.db", "locks", "slow"})
        for (const unsigned mode : {0644U, 0660U, 0602U, 0700U}) {
            chmod(file(name).c_str(), mode);
            expect_refused(store_.path(), Errc::store, file(name));
            chmod(file(name).c_str(), 0600);
        }
    EXPECT_TRUE(open(store_.path()));
}

TEST_F(StoreOpenTest, ForeignOwnerIsRefused)
{
    if (geteuid() != 0) GTEST_SKIP() << "only root can give files away";
    for (const auto& path : {store_.path(), file("store.db"), file("locks"), file("slow")}) {
        ASSERT_EQ(chown(path.c_str(), 12345, getegid()), 0);
        const auto store = open(store_.path());
        ASSERT_FALSE(store) << path;
        EXPECT_EQ(store.error().code, Errc::store);
        EXPECT_NE(store.error().message.find(path), std::string::npos) << store.error().message;
        EXPECT_NE(store.error().message.find("12345"), std::string::npos);
        ASSERT_EQ(chown(path.c_str(), geteuid(), getegid()), 0);
    }
    EXPECT_TRUE(open(store_.path()));
}

TEST_F(StoreOpenTest, SymlinksAreRefused)
{
    fs::create_symlink(store_.path(), store_.directory() / "link");
    expect_refused(store_.directory() / "link", Errc::store, "link");
    for (const char* name : {"store.db", "locks", "slow"}) {
        fs::rename(file(name), store_.directory() / "away");
        fs::create_symlink(store_.directory() / "away", file(name));
        expect_refused(store_.path(), Errc::store, file(name));
        fs::remove(file(name));
        fs::rename(store_.directory() / "away", file(name));
    }
    EXPECT_TRUE(open(store_.path()));
}

// A file that is not ours is not touched: not even its journal mode is set.
TEST_F(StoreOpenTest, ForeignDatabaseIsRefusedAndLeftAsItIs)
{
    for (const char* name : {"store.db", "store.db-wal", "store.db-shm"})
        fs::remove(file(name));
    raw_sql(file("store.db"), "CREATE TABLE precious (a); INSERT INTO precious VALUES (1)");
    chmod(file("store.db").c_str(), 0600);
    const auto before = test::read_file(file("store.db"));
    expect_refused(store_.path(), Errc::store, "store.db");
    EXPECT_EQ(test::read_file(file("store.db")), before);
    EXPECT_FALSE(fs::exists(file("store.db-wal")));
}

// Our tables prove nothing: another program may have tables of these names.
TEST_F(StoreOpenTest, DatabaseWithoutOurApplicationIdIsRefused)
{
    raw_sql(file("store.db"), "PRAGMA application_id = 0");
    const auto before = test::read_file(file("store.db"));
    expect_refused(store_.path(), Errc::store, "not of xlstore");
    EXPECT_EQ(test::read_file(file("store.db")), before);
}

TEST_F(StoreOpenTest, NewerSchemaIsRefusedByItsNumber)
{
    raw_sql(file("store.db"), "PRAGMA user_version = 4711");
    const auto before = test::read_file(file("store.db"));
    expect_refused(store_.path(), Errc::store, "4711");
    EXPECT_EQ(test::read_file(file("store.db")), before);
}

TEST_F(StoreOpenTest, WhatIsNoDatabaseIsRefused)
{
    const auto good = test::read_file(file("store.db"));
    ASSERT_GT(good.size(), 8192U);
    const struct {
        const char* what;
        std::string bytes;
    } cases[] = {
        {"empty", ""},
        {"text",
         "this is no database, and long enough to have a header of one hundred bytes ........."
         "..................."},
        {"header only", good.substr(0, 100)},
        {"one page", good.substr(0, 4096)},
        {"torn page", good.substr(0, 5000)},
        {"half of its pages", good.substr(0, 16 * 4096)},
        {"zeros", std::string(good.size(), '\0')},
    };
    for (const auto& [what, bytes] : cases) {
        test::write_file(file("store.db"), bytes);
        for (const bool looking : {false, true}) {
            const auto store = looking ? open_to_look(store_.path()) : open(store_.path());
            ASSERT_FALSE(store) << what;
            EXPECT_EQ(store.error().code, Errc::store) << what << store.error().message;
            EXPECT_NE(store.error().message.find("store.db"), std::string::npos);
        }
        EXPECT_EQ(test::read_file(file("store.db")), bytes) << what;
    }
    test::write_file(file("store.db"), good);
    EXPECT_TRUE(open(store_.path()));
}

// Byte-range locks and shared memory do not hold there between hosts.
TEST_F(StoreOpenTest, NetworkFileSystemIsRefused)
{
    for (const char* type : {"6969", "517b", "ff534d42", "fe534d42", "01021997", "00c36400"}) {
        const test::Environment environment = {{"LD_PRELOAD", XLSTORE_FAKE_STATFS},
                                               {"FAKE_STATFS_TYPE", type},
                                               {"ASAN_OPTIONS", "verify_asan_link_order=0"}};
        for (const test::Words& words :
             {test::Words{"--json", "init"}, {"--json", "list"}, {"--json", "recover"}}) {
            const bool init = words[1] == "init";
            const auto where = init ? store_.directory() / "new" : store_.path();
            const auto ran = test::xlstore(where, words, environment);
            EXPECT_TRUE(test::ended(ran, 1)) << type;
            EXPECT_EQ(test::json_at(ran.out, "$.error.code"), "store");
            EXPECT_TRUE(test::contains(test::json_at(ran.out, "$.error.message"), where));
            EXPECT_TRUE(test::contains(ran.out, "network file system"));
        }
        EXPECT_FALSE(fs::exists(store_.directory() / "new/store.db"));
    }
    const test::Environment local = {{"LD_PRELOAD", XLSTORE_FAKE_STATFS},
                                     {"FAKE_STATFS_TYPE", "ef53"},
                                     {"ASAN_OPTIONS", "verify_asan_link_order=0"}};
    EXPECT_TRUE(test::ended(test::xlstore(store_.path(), {"list"}, local), 0));
}

TEST(StoreDirectoryTest, IsNamedByTheEnvironment)
{
    const char* set = std::getenv("XLSTORE_DIR");
    const std::string before = set ? set : "";
    setenv("XLSTORE_DIR", "/some/where", 1);
    EXPECT_STREQ(default_directory(), "/some/where");
    setenv("XLSTORE_DIR", "", 1);
    EXPECT_STREQ(default_directory(), "/var/lib/xlstore");
    unsetenv("XLSTORE_DIR");
    EXPECT_STREQ(default_directory(), "/var/lib/xlstore");
    if (set) setenv("XLSTORE_DIR", before.c_str(), 1);
}

// ---- An open one ----

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

// DESIGN 4: checkpoints are ours to make, under the writer lock; without them the log would only
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
