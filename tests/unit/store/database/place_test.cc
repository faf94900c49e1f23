// SPDX-License-Identifier: MIT
// R17: a database that went back to an older state, or was copied, is told from the one that its
// directory has seen; and files that go while the store is in use.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <unistd.h>

#include <filesystem>

#include "store/core/journal.hpp"
#include "store/database/displaced.hpp"
#include "store/database/store_numbers.hpp"
#include "store/lifecycle/destroy.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "tests/support/plain_database.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/values.hpp"

namespace xlstore {
namespace {

using test::soon;

namespace fs = std::filesystem;

StoreOptions in(const std::string& directory)
{
    StoreOptions options;
    options.directory = directory;
    options.program = "test";
    options.open_timeout = std::chrono::seconds(5);
    return options;
}

class PlaceTest : public testing::Test {
protected:
    PlaceTest() { write_line(store_.path()); }

    static Result<void> write_line(Store& store)
    {
        return store.loop().wait_for(
            store.with_writer_lock("test", soon(), [&](const WriterHold&) -> Result<void> {
                Journal(store).add_history(HistoryLine{{}, "test", {}, {}, "done", {}, "x"});
                return {};
            }));
    }
    static void write_line(const std::string& directory)
    {
        auto store = Store::open(in(directory));
        ASSERT_TRUE(store) << store.error().message;
        EXPECT_TRUE(write_line(**store));
    }
    /// As schema/README.md tells how a copy is made.
    void take_copy() const
    {
        auto store = Store::open_read_only(in(store_.path()));
        ASSERT_TRUE(store) << store.error().message;
        (*store)->db().prepare("VACUUM INTO ?").bind(copy()).run();
    }
    void put_back(bool leave_log = false) const
    {
        if (!leave_log)
            for (const char* suffix : {"-wal", "-shm"})
                fs::remove(file("store.db") + suffix);
        fs::copy_file(copy(), file("store.db"), fs::copy_options::overwrite_existing);
        fs::permissions(file("store.db"), fs::perms::owner_read | fs::perms::owner_write);
    }
    [[nodiscard]] std::string copy() const { return store_.directory() / "copy.db"; }
    [[nodiscard]] std::string file(const std::string& name) const
    {
        return store_.path() + "/" + name;
    }
    /// Writing is refused, saying so, and nothing changes; looking is not.
    static void expect_displaced(const std::string& directory, Displaced::Why why,
                                 const std::string& said)
    {
        const auto before = test::read_file(directory + "/store.db");
        const auto refused = Store::open(in(directory));
        ASSERT_FALSE(refused) << said;
        EXPECT_EQ(refused.error().code, Errc::store);
        EXPECT_TRUE(test::contains(refused.error().message, said));
        for (const auto open : {&Store::open_read_only, &Store::open_untouched}) {
            const auto looking = open(in(directory));
            ASSERT_TRUE(looking) << looking.error().message;
            ASSERT_TRUE((*looking)->displaced());
            EXPECT_EQ((*looking)->displaced()->why, why) << (*looking)->displaced()->text;
            EXPECT_GE((*looking)->db().pragma_integer("SELECT count(*) FROM history"), 1);
        }
        EXPECT_EQ(test::read_file(directory + "/store.db"), before);
    }
    static void expect_settles(const std::string& directory)
    {
        auto settled = Store::open_and_reconcile(in(directory));
        ASSERT_TRUE(settled) << settled.error().message;
        EXPECT_TRUE(write_line(**settled));
        settled->reset();
        write_line(directory);  // and is opened as ever from then on
    }
    test::ScratchStore store_;
};

TEST_F(PlaceTest, OlderCopyThatWasPutBackIsNotWrittenTo)
{
    take_copy();
    write_line(store_.path());
    put_back();
    expect_displaced(store_.path(), Displaced::Why::older, "an older copy was put back");
    expect_settles(store_.path());
}

// The spare file (R21) remembers it too.
TEST_F(PlaceTest, OlderCopyThatWasPutBackIsNoticedThoughBothLockFilesWereDeleted)
{
    take_copy();
    write_line(store_.path());
    put_back();
    fs::remove(file("locks"));
    fs::remove(file("slow"));
    const auto refused = Store::open(in(store_.path()));
    ASSERT_FALSE(refused);
    EXPECT_TRUE(test::contains(refused.error().message, "an older copy was put back"));
    expect_settles(store_.path());
}

TEST_F(PlaceTest, LockFilesThatWereDeletedAreMadeAnewBesideTheStoreAsItIs)
{
    fs::remove(file("locks"));
    fs::remove(file("slow"));
    write_line(store_.path());
}

TEST_F(PlaceTest, CopyOfTheLatestStateIsTheStore)
{
    take_copy();
    put_back();
    write_line(store_.path());
}

TEST_F(PlaceTest, LostLogIsNoticed)
{
    fs::remove(file("store.db-wal"));
    fs::remove(file("store.db-shm"));
    const auto refused = Store::open(in(store_.path()));
    ASSERT_FALSE(refused);
    EXPECT_TRUE(test::contains(refused.error().message, "its log was lost"));
    expect_settles(store_.path());
}

TEST_F(PlaceTest, LogThatWasCutOffIsNoticed)
{
    // Frames, and zeros behind them (R21).
    const auto end_of_frames = [&] {
        constexpr std::size_t kHeaderBytes = 32;
        constexpr std::size_t kFrame = 24 + 4096;
        const auto last = test::read_file(file("store.db-wal")).find_last_not_of('\0');
        return kHeaderBytes + (last - kHeaderBytes) / kFrame * kFrame + kFrame;
    };
    const auto whole = end_of_frames();
    write_line(store_.path());
    ASSERT_GT(end_of_frames(), whole);
    fs::resize_file(file("store.db-wal"), whole);
    fs::remove(file("store.db-shm"));
    expect_displaced(store_.path(), Displaced::Why::older, "its log was lost");
    expect_settles(store_.path());
}

// A boot makes no damage of a log one that may be left out.
TEST_F(PlaceTest, LogWithoutItsBeginningIsReadAndNotLeftOut)
{
    const auto log = file("store.db-wal");
    auto bytes = test::read_file(log);
    bytes.replace(0, 512, test::noise(512, 1));
    test::write_file(log, bytes);
    for (const auto age : {std::chrono::hours(0), std::chrono::hours(24 * 10'000)}) {
        fs::last_write_time(log, fs::file_time_type::clock::now() - age);
        for (const auto open : {&Store::open, &Store::open_and_reconcile}) {
            const auto refused = open(in(store_.path()));
            ASSERT_FALSE(refused);
            EXPECT_TRUE(test::contains(refused.error().message, "the header of its log is wrong"))
                << refused.error().message;
        }
        EXPECT_EQ(test::read_file(log), bytes);
    }
}

TEST_F(PlaceTest, LogThatCannotBeReadIsLookedPastAndKept)
{
    {
        auto store = Store::open(in(store_.path()));
        ASSERT_TRUE(store) << store.error().message;
        EXPECT_TRUE((*store)->loop().wait_for((*store)->empty_log(soon())));
    }
    write_line(store_.path());
    const auto log = file("store.db-wal");
    const auto bytes = test::noise(fs::file_size(log), 1);
    test::write_file(log, bytes);
    ASSERT_TRUE(fs::exists(file("store.db-shm")));
    expect_displaced(store_.path(), Displaced::Why::older, "its log was lost");
    auto settled = Store::open_and_reconcile(in(store_.path()));
    ASSERT_TRUE(settled) << settled.error().message;
    ASSERT_NE((*settled)->kept_log(), "");
    EXPECT_EQ(test::read_file(file((*settled)->kept_log())), bytes);  // R22
    settled->reset();
    write_line(store_.path());
}

// What is read in full is in the database, and needs no copy.
TEST_F(PlaceTest, LogThatIsReadIsNotKept)
{
    const auto copy = store_.directory() / "copy";
    fs::copy(store_.path(), copy, fs::copy_options::recursive);
    fs::remove_all(store_.path());
    const auto settled = Store::open_and_reconcile(in(copy));
    ASSERT_TRUE(settled) << settled.error().message;
    EXPECT_EQ((*settled)->kept_log(), "");
}

TEST_F(PlaceTest, BackupBesideTheLogOfAnotherStateIsLookedAtAlone)
{
    take_copy();
    write_line(store_.path());
    const auto log = test::read_file(file("store.db-wal"));
    ASSERT_FALSE(log.empty());
    put_back(true);
    expect_displaced(store_.path(), Displaced::Why::beside_a_log,
                     "the log of another state lies beside it");
    EXPECT_EQ(test::read_file(file("store.db-wal")), log);
    expect_settles(store_.path());
    bool kept = false;  // R22
    for (const auto& entry : fs::directory_iterator(store_.path()))
        kept = kept || (entry.path().string().ends_with("Z-wal") &&
                        test::read_file(entry.path().string()) == log);
    EXPECT_TRUE(kept);
}

TEST_F(PlaceTest, EmptyDatabaseIsRefusedAndItsLogIsLeftAlone)
{
    const auto log = test::read_file(file("store.db-wal"));
    fs::resize_file(file("store.db"), 0);
    for (const auto open : {&Store::open, &Store::open_read_only, &Store::open_untouched}) {
        const auto refused = open(in(store_.path()));
        ASSERT_FALSE(refused);
        EXPECT_TRUE(test::contains(refused.error().message, "is empty"));
    }
    EXPECT_EQ(test::read_file(file("store.db-wal")), log);
}

TEST_F(PlaceTest, CopyOfTheDirectoryNamesItsOriginal)
{
    const auto copy = store_.directory() / "copy";
    fs::copy(store_.path(), copy, fs::copy_options::recursive);
    expect_displaced(copy, Displaced::Why::copied, store_.path());
    write_line(store_.path());  // the original is what it was
    // With the original gone it is a store that was moved.
    fs::remove_all(store_.path());
    expect_displaced(copy, Displaced::Why::copied, "which is gone from there");
    expect_settles(copy);
}

TEST_F(PlaceTest, DirectoryThatIsCalledOtherwiseIsTheSameStore)
{
    const auto away = store_.directory() / "away";
    fs::rename(store_.path(), away);
    write_line(away);
    EXPECT_EQ(test::sql(away, "SELECT directory FROM store"), away);
}

TEST_F(PlaceTest, FilesThatWerePutBackIntoTheDirectoryWithTheLocksAreNotBelieved)
{
    const auto copy = store_.directory() / "copy";
    fs::copy(store_.path(), copy, fs::copy_options::recursive);
    write_line(store_.path());
    for (const auto& entry : fs::directory_iterator(copy)) {
        const auto to = store_.path() / entry.path().filename();
        fs::remove_all(to);
        fs::copy(entry.path(), to, fs::copy_options::recursive);
    }
    expect_displaced(store_.path(), Displaced::Why::older, "its lock files were put back, too");
    expect_settles(store_.path());
}

// "mv s s.orig; cp -a s.orig s": which of the two is the store, its directory tells, under any name.
TEST_F(PlaceTest, CopyInThePlaceOfItsOriginalNamesWhereThatIsNow)
{
    const auto original = store_.directory() / "s.orig";
    fs::rename(store_.path(), original);
    fs::copy(original, store_.path(), fs::copy_options::recursive);
    expect_displaced(store_.path(), Displaced::Why::copied, "which is " + original + " now");
    write_line(original);
    expect_displaced(store_.path(), Displaced::Why::copied, "which is " + original + " now");
}

// Not beside the copy: it is found while a process has a file of it open, as its QEMUs have their logs.
TEST_F(PlaceTest, OriginalThatIsSomewhereElseIsFoundByItsOpenFiles)
{
    const auto elsewhere = store_.directory() / "elsewhere";
    const auto original = elsewhere + "/below/s";
    fs::create_directories(elsewhere + "/below");
    fs::rename(store_.path(), original);
    fs::copy(original, store_.path(), fs::copy_options::recursive);
    const auto log = original + "/run/qemu-1.log";
    test::write_file(log, "");
    {
        const Fd of_a_qemu(::open(log.c_str(), O_WRONLY | O_CLOEXEC));
        expect_displaced(store_.path(), Displaced::Why::copied, "which is " + original + " now");
    }
    const auto refused = Store::open(in(store_.path()));
    ASSERT_FALSE(refused);
    EXPECT_FALSE(test::contains(refused.error().message, original));
}

/// ".restore FILE" of SQLite's shell, into a database that is in use.
void restore_by_hand(const std::string& from, const std::string& to)
{
    sqlite3* source = nullptr;
    sqlite3* target = nullptr;
    ASSERT_EQ(sqlite3_open(from.c_str(), &source), SQLITE_OK);
    ASSERT_EQ(sqlite3_open(to.c_str(), &target), SQLITE_OK);
    auto* backup = sqlite3_backup_init(target, "main", source, "main");
    ASSERT_NE(backup, nullptr);
    EXPECT_EQ(sqlite3_backup_step(backup, -1), SQLITE_DONE);
    EXPECT_EQ(sqlite3_backup_finish(backup), SQLITE_OK);
    sqlite3_close(target);
    sqlite3_close(source);
}

// Also what was opened as this place's store goes back under a process that has it open.
TEST_F(PlaceTest, OlderStateThatIsRestoredIntoAStoreInUseIsNotWrittenTo)
{
    auto store = Store::open(in(store_.path()));
    ASSERT_TRUE(store);
    take_copy();
    for (int i = 0; i < 3; ++i)
        ASSERT_TRUE(write_line(**store));
    restore_by_hand(copy(), file("store.db"));
    const auto lines = test::sql(store_.path(), "SELECT count(*) FROM history");
    const auto refused = write_line(**store);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::store);
    EXPECT_TRUE(test::contains(refused.error().message, "an older copy was put back"));
    EXPECT_EQ(test::sql(store_.path(), "SELECT count(*) FROM history"), lines);
    store->reset();
    expect_settles(store_.path());
}

// R17: no trigger guards sqlite_sequence, and rows that are gone tell of no number.
TEST_F(PlaceTest, NumbersThatAHandSetBackOrFarUpAreGivenByNoCommit)
{
    auto opened = Store::open(in(store_.path()));
    ASSERT_TRUE(opened);
    Store& store = **opened;
    const auto web = store.loop().wait_for(import_domain(
        store, 7, test::hvm_document("web", test::kUuid, "/a"), "document", soon()));
    ASSERT_TRUE(web);
    ASSERT_TRUE(store.loop().wait_for(destroy_domain(store, *read_domain(store.db(), web->id), soon())));
    const auto remembered = [&] { return Locks::open(store_.path(), false)->remembered().numbers; };
    const auto before = remembered();
    const auto given = std::to_string(before.ids[2]);  // of things
    ASSERT_NE(given, "0");
    const auto set = [&](const std::string& number) {
        Db(file("store.db"), Db::Mode::read_write)
            .execute("UPDATE sqlite_sequence SET seq = " + number + " WHERE name = 'thing'");
    };
    for (const auto& [number, said] :
         {std::pair{"0", "was set back by hand: it has 0, and " + given + " was given"},
          std::pair{"274877906944", std::string("was set far up by hand")}}) {
        SCOPED_TRACE(number);
        set(number);
        const auto refused = write_line(store);
        ASSERT_FALSE(refused);
        EXPECT_TRUE(test::contains(refused.error().message, said));
        EXPECT_TRUE(test::contains(refused.error().advice, "'xlfsck -p'"));
        EXPECT_EQ(remembered(), before);
    }
    set("549755813887");  // 2^39 - 1: none is left
    EXPECT_THROW((void)write_line(store), DbError);
    EXPECT_EQ(remembered(), before);
    set(given);
    EXPECT_TRUE(write_line(store)) << "and it goes on once that is put right";
}

class OtherMachineTest : public PlaceTest {
protected:
    void came_from(const std::string& machine, const std::string& boot) const
    {
        Db db(file("store.db"), Db::Mode::read_write);
        db.prepare("UPDATE store SET machine = ?, boot_id = ?").bind(machine).bind(boot).run();
    }
    static constexpr const char* kMachine = "00000000000000000000000000000001";
    static constexpr const char* kBoot = "00000000-0000-0000-0000-000000000001";
};

TEST_F(OtherMachineTest, StoreOfAnotherMachineIsNotWrittenTo)
{
    if (place_at(store_.path()).machine.empty()) GTEST_SKIP() << "this machine has no machine id";
    came_from(kMachine, kBoot);
    expect_displaced(store_.path(), Displaced::Why::other_machine, kMachine);
    expect_settles(store_.path());
}

TEST_F(OtherMachineTest, SameKernelOrSameMachineIsNoOther)
{
    came_from(kMachine, current_boot_id());  // a container may have a machine id of its own
    write_line(store_.path());
    came_from(place_at(store_.path()).machine, kBoot);  // booted since
    write_line(store_.path());
    came_from("", kBoot);
    write_line(store_.path());
}

// What the directory remembers is in both lock files.
TEST_F(PlaceTest, MemoryOutlivesEitherLockFile)
{
    for (const char* name : {"locks", "slow"}) {
        take_copy();
        write_line(store_.path());
        fs::remove(file(name));
        put_back();
        const auto refused = Store::open(in(store_.path()));
        ASSERT_FALSE(refused) << name;
        EXPECT_TRUE(test::contains(refused.error().message, "an older copy was put back"));
        expect_settles(store_.path());
        fs::remove(copy());
    }
}

// A kill between the commit and the memory of it leaves the memory behind, never ahead.
TEST_F(PlaceTest, CommitThatIsNotRememberedMakesNoStoreOld)
{
    const auto locks = test::read_file(file("locks"));
    const auto slow = test::read_file(file("slow"));
    write_line(store_.path());
    fs::resize_file(file("locks"), 0);
    fs::resize_file(file("slow"), 0);
    write_line(store_.path());
    test::write_file(file("locks"), locks);
    test::write_file(file("slow"), slow);
    write_line(store_.path());
}

// R17: ids and epochs go on above those that the lost commits gave.
TEST_F(PlaceTest, SettledStoreGivesNoIdTwice)
{
    const auto import = [this](Store& store, int domid) {
        const test::Material material(store_.directory(), domid, "web" + std::to_string(domid));
        auto row = store.loop().wait_for(import_domain(
            store, domid, test::read_file(material.document), "document", soon()));
        EXPECT_TRUE(row) << row.error().message;
        return *std::move(row);
    };
    std::int64_t epoch = 0;
    {
        auto store = store_.open();
        import(*store, 7);
        epoch = store->db().pragma_integer("SELECT epoch FROM domain");
    }
    take_copy();
    DomainId lost{};
    std::int64_t line = 0;
    {
        auto store = store_.open();
        lost = import(*store, 8).id;
        line = store->db().pragma_integer("SELECT max(id) FROM history");
    }
    put_back();
    auto settled = Store::open_and_reconcile(in(store_.path()));
    ASSERT_TRUE(settled) << settled.error().message;
    EXPECT_GT((*settled)->db().pragma_integer("SELECT epoch FROM domain"), epoch + 1);
    EXPECT_GT((*settled)->db().pragma_integer("SELECT max(id) FROM history"), line);
    EXPECT_GT(value_of(import(**settled, 9).id), value_of(lost));
}

// R17: which numbers the place that it comes from gave since, is not known.
TEST_F(PlaceTest, CopyGivesNoIdThatItsOriginalGivesLater)
{
    const std::string moved = store_.directory() / "moved";
    fs::copy(store_.path(), moved, fs::copy_options::recursive);
    for (int i = 0; i < 20; ++i)
        write_line(store_.path());
    const auto given = Locks::open(store_.path(), false)->remembered().numbers;
    fs::remove_all(store_.path());
    auto settled = Store::open_and_reconcile(in(moved));
    ASSERT_TRUE(settled) << settled.error().message;
    EXPECT_TRUE(write_line(**settled));
    const auto numbers = read_numbers((*settled)->db());
    for (std::size_t i = 0; i < Numbers::kTables.size(); ++i)
        EXPECT_GT(numbers.ids[i], given.ids[i] + 1000) << Numbers::kTables[i];
}

TEST_F(PlaceTest, StoreThatIsOpenIsNotSettledUnderItsUsers)
{
    take_copy();
    write_line(store_.path());
    put_back();
    auto locks = Locks::open(store_.path(), true);
    ASSERT_TRUE(locks);
    auto user = locks->try_new(LockKind::session, 77, Claim{});
    ASSERT_TRUE(user && *user);
    auto options = in(store_.path());
    options.open_timeout = std::chrono::milliseconds(100);
    const auto refused = Store::open_and_reconcile(options);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::busy);
    EXPECT_TRUE(test::contains(refused.error().message, std::to_string(getpid())));
    (*user)->release();
    expect_settles(store_.path());
}

// ---- While it is in use ----

class FileGoesTest : public PlaceTest, public testing::WithParamInterface<const char*> {};

TEST_P(FileGoesTest, NothingMoreIsCommitted)
{
    auto store = store_.open();
    ASSERT_TRUE(write_line(*store));
    fs::remove(file(GetParam()));
    EXPECT_EQ(store->check().error().code, Errc::lost);
    const auto written = write_line(*store);
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code, Errc::lost);
    EXPECT_TRUE(test::contains(written.error().message, file(GetParam())));
}

// It goes in the middle of a section, after the hold has been compared with what is there.
TEST_P(FileGoesTest, WhatIsUnderWayIsNotCommitted)
{
    auto store = store_.open();
    const auto written = store->loop().wait_for(
        store->with_writer_lock("test", soon(), [&](const WriterHold&) -> Result<void> {
            Journal(*store).add_history(HistoryLine{{}, "test", {}, {}, "done", {}, "x"});
            fs::remove(file(GetParam()));
            return {};
        }));
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code, Errc::lost);
    EXPECT_EQ(store->db().pragma_integer("SELECT count(*) FROM history"), 1);
}

INSTANTIATE_TEST_SUITE_P(OfTheDatabase, FileGoesTest,
                         testing::Values("store.db", "store.db-wal", "store.db-shm"));

}  // namespace
}  // namespace xlstore
