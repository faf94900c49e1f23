// SPDX-License-Identifier: MIT
// A store that is made, and the opening of what is not as it should be.
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
#include "tests/support/scratch.hpp"
#include "tests/support/values.hpp"
#include "tests/unit/store/core/store_test.hpp"

namespace xlstore {
namespace {

using test::soon;

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;
using test::open_store;
using test::open_to_look;
using test::raw_sql;
using test::ScratchDirectory;
using test::ScratchStore;

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
        const auto store = looking ? open_to_look(directory) : open_store(directory);
        ASSERT_FALSE(store) << said << (looking ? ", looking" : "");
        EXPECT_EQ(store.error().code, code);
        EXPECT_NE(store.error().message.find(said), std::string::npos) << store.error().message;
    }
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
    EXPECT_TRUE(open_store(path));
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
    ASSERT_TRUE(open_store(path));
    for (const char* name : {"/locks", "/slow"})
        EXPECT_EQ(mode_of(path + name), 0600U) << name;
    // Made anew, too.
    fs::remove(path + "/slow");
    ASSERT_TRUE(open_store(path));
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
    EXPECT_TRUE(open_store(path));
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
    EXPECT_TRUE(open_store(store_.path()));
}

// They hold no data. A process that holds locks in one that is gone does not exclude the users of a
// new one.
TEST_F(StoreOpenTest, MissingLockFileIsMadeAnewByAWriterOnceNoProcessHasTheStoreOpen)
{
    for (const char* name : {"locks", "slow"}) {
        {
            const auto writing = open_store(store_.path());
            ASSERT_TRUE(writing);
            fs::remove(file(name));
            const auto busy = open_store(store_.path());
            ASSERT_FALSE(busy);
            EXPECT_EQ(busy.error().code, Errc::busy) << busy.error().message;
            EXPECT_NE(busy.error().message.find(name), std::string::npos);
            EXPECT_NE(busy.error().message.find(std::to_string(getpid())), std::string::npos)
                << busy.error().message;
        }
        EXPECT_FALSE(open_to_look(store_.path()));
        EXPECT_FALSE(fs::exists(file(name)));
        EXPECT_TRUE(open_store(store_.path()));
        EXPECT_TRUE(fs::exists(file(name)));
        EXPECT_TRUE(open_to_look(store_.path()));
    }
}

// It has sockets and logs alone, which went with it: without it no domain could be created any
// more.
TEST_F(StoreOpenTest, MissingRunDirectoryIsMadeAnewByAWriter)
{
    fs::remove_all(file("run"));
    EXPECT_TRUE(open_to_look(store_.path()));
    EXPECT_FALSE(fs::exists(file("run"))) << "looking makes nothing";
    EXPECT_TRUE(open_store(store_.path()));
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
    EXPECT_TRUE(open_store(store_.path()));
}

TEST_F(StoreOpenTest, ForeignOwnerIsRefused)
{
    if (geteuid() != 0) GTEST_SKIP() << "only root can give files away";
    for (const auto& path : {store_.path(), file("store.db"), file("locks"), file("slow")}) {
        ASSERT_EQ(chown(path.c_str(), 12345, getegid()), 0);
        const auto store = open_store(store_.path());
        ASSERT_FALSE(store) << path;
        EXPECT_EQ(store.error().code, Errc::store);
        EXPECT_NE(store.error().message.find(path), std::string::npos) << store.error().message;
        EXPECT_NE(store.error().message.find("12345"), std::string::npos);
        ASSERT_EQ(chown(path.c_str(), geteuid(), getegid()), 0);
    }
    EXPECT_TRUE(open_store(store_.path()));
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
    EXPECT_TRUE(open_store(store_.path()));
}

TEST_F(StoreOpenTest, DirectoriesThatLeadToItMayBeSymlinks)
{
    const auto& real = store_.directory().path();
    const auto link = store_.directory() / "link";
    fs::create_directory(real + "/deep");
    fs::create_directory_symlink(real + "/deep", link);
    fs::create_directory_symlink(link, store_.directory() / "twice");
    ASSERT_TRUE(Store::init(link + "/s"));
    for (const auto& where : {real + "/deep/s", link + "/s", store_.directory() / "twice/s/"}) {
        EXPECT_TRUE(open_store(where)) << where;
        StoreOptions options;
        options.directory = where;
        for (const auto open : {&Store::open, &Store::open_read_only, &Store::open_untouched}) {
            const auto store = open(options);
            ASSERT_TRUE(store) << where << ": " << store.error().message;
            // By which the processes of its QEMUs are found.
            EXPECT_EQ((*store)->directory(), real + "/deep/s");
        }
    }
    // In the place of the store itself one is refused, with a slash behind it as well.
    fs::create_directory_symlink(real + "/deep/s", store_.directory() / "last");
    for (const auto* name : {"last", "last/"})
        expect_refused(store_.directory() / name, Errc::store, "last is a symbolic link");
    // What the caller named is what an error names.
    fs::remove(real + "/deep/s/store.db");
    expect_refused(link + "/s", Errc::store, link + "/s");
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
            const auto store = looking ? open_to_look(store_.path()) : open_store(store_.path());
            ASSERT_FALSE(store) << what;
            EXPECT_EQ(store.error().code, Errc::store) << what << store.error().message;
            EXPECT_NE(store.error().message.find("store.db"), std::string::npos);
        }
        EXPECT_EQ(test::read_file(file("store.db")), bytes) << what;
    }
    test::write_file(file("store.db"), good);
    EXPECT_TRUE(open_store(store_.path()));
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

}  // namespace
}  // namespace xlstore
