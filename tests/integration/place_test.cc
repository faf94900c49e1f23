// SPDX-License-Identifier: MIT
// R17 with a real QEMU: a database that goes back or is copied harms no guest, and a backup is put
// back under living ones.
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

#include "store/database/displaced.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/values.hpp"

namespace xlstore::test {
namespace {

namespace fs = std::filesystem;

class PlaceQemuTest : public testing::Test {
protected:
    Ran xl(const Words& words) { return xlstore(store_.path(), words); }
    [[nodiscard]] std::string cell(const std::string& query) const
    {
        return sql(store_.path(), query);
    }
    [[nodiscard]] std::string file(const std::string& name) const
    {
        return store_.path() + "/" + name;
    }
    [[nodiscard]] std::string backup() const { return store_.directory() / "backup.db"; }
    void put_back() const
    {
        for (const char* suffix : {"-wal", "-shm"})
            fs::remove(file("store.db") + suffix);
        fs::copy_file(backup(), file("store.db"), fs::copy_options::overwrite_existing);
        fs::permissions(file("store.db"), fs::perms::owner_read | fs::perms::owner_write);
    }
    ScratchStore store_;
};

// Each command that would write is refused; the guests are as they were.
TEST_F(PlaceQemuTest, NothingIsDoneByAnOlderDatabase)
{
    const ScratchDomain web(store_, 7, "web");
    (void)sql(store_.path(), "VACUUM INTO '" + backup() + "'");
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet("t1")}), 0));
    put_back();
    const auto before = state_of(web.judge());
    for (const auto& words :
         {Words{"attach", "7", "qemu", tablet("t2")}, Words{"detach", "7", "qemu", "t1"},
          Words{"eject", "7", "hdc"}, Words{"destroy", "7"}, Words{"recover"}}) {
        const auto ran = xl(words);
        EXPECT_TRUE(ended(ran, 1)) << words[0];
        EXPECT_TRUE(contains(ran.err, "xlfsck -p")) << words[0];
    }
    EXPECT_EQ(state_of(web.judge()), before);
    EXPECT_TRUE(is_alive(web.qemu_pid()));
    EXPECT_TRUE(contains(xl({"list"}).out, "web"));
    // Agreed to, the QEMU is asked, and what is in it and in no entry is adopted (R1).
    const auto settled = xlfsck(store_.path(), {"-y"});
    EXPECT_TRUE(ended(settled, 1)) << settled.out;
    EXPECT_TRUE(contains(settled.out, "SETTLED"));
    EXPECT_TRUE(invariant_holds(store_.path(), web.judge()));
    EXPECT_TRUE(ended(xl({"detach", "7", "qemu", "t1"}), 0));
}

// The log goes while a client has the store open: it learns so, and QEMU hears nothing.
TEST_F(PlaceQemuTest, AttachBesideALogThatWentIsNotAnsweredDone)
{
    const ScratchDomain web(store_, 7, "web");
    const auto before = state_of(web.judge());
    auto client = store_.open();
    for (const char* name : {"store.db-wal", "store.db-shm"})
        fs::remove(file(name));
    const auto hold = client->try_slow_lock(DomainId{1}, "test");
    ASSERT_FALSE(hold);
    EXPECT_EQ(hold.error().code, Errc::lost);
    client.reset();
    EXPECT_TRUE(ended(xl({"attach", "7", "qemu", tablet("t1")}), 1));
    EXPECT_EQ(state_of(web.judge()), before);
}

// The copy of a whole store may not act on the guests of its original.
TEST_F(PlaceQemuTest, CopyOfTheDirectoryHarmsNoGuestOfTheOriginal)
{
    const ScratchDomain web(store_, 7, "web");
    const auto copy = store_.directory() / "copy";
    fs::create_directory(copy, store_.path());  // with its mode
    fs::create_directory(copy + "/run", file("run"));
    for (const char* name : {"store.db", "store.db-wal", "locks", "slow"})
        fs::copy_file(file(name), copy + "/" + name);
    const auto refused = xlstore(copy, {"destroy", "7"});
    EXPECT_TRUE(ended(refused, 1));
    EXPECT_TRUE(contains(refused.err, store_.path()));
    for (const char* mode : {"-p", "-y"})
        EXPECT_TRUE(ended(xlfsck(copy, {mode}), 4)) << mode;
    EXPECT_TRUE(is_alive(web.qemu_pid()));
    EXPECT_TRUE(ended(xl({"attach", "7", "qemu", tablet("t1")}), 0));
}

// "mv s s.orig; cp -a s.orig s" beside a living QEMU: the copy is none of its stores.
TEST_F(PlaceQemuTest, CopyInThePlaceOfItsOriginalHarmsNoGuest)
{
    const ScratchDomain web(store_, 7, "web");
    const std::string original = store_.directory() / "s.orig";
    fs::rename(store_.path(), original);
    ASSERT_TRUE(ended(run({"cp", "-a", original, store_.path()}), 0));
    const auto refused = xl({"destroy", "7"});
    EXPECT_TRUE(ended(refused, 1));
    EXPECT_TRUE(contains(refused.err, "work on that one"));
    EXPECT_TRUE(contains(refused.err, original));
    for (const char* mode : {"-p", "-y"}) {
        const auto checked = xlfsck(store_.path(), {mode});
        EXPECT_TRUE(ended(checked, 4)) << mode;
        EXPECT_TRUE(contains(checked.out, original)) << mode;
    }
    EXPECT_TRUE(is_alive(web.qemu_pid()));
    EXPECT_TRUE(contains(xlstore(original, {"list"}).out, "web"));
}

// Two stores that both have it would act on one guest, and the one that destroys it ends the other's.
TEST_F(PlaceQemuTest, MonitorOfAnotherStoreIsNotRegisteredWhileThatIsThere)
{
    const ScratchDomain web(store_, 7, "web");
    const ScratchStore other;
    const auto document = other.directory() / "web.json";
    write_file(document, hvm_document("web", kUuid, "/srv/a.iso"));
    ASSERT_TRUE(ended(xlstore(other.path(), {"import", "7", document}), 0));
    const Words words = {"register", "7", "--monitor", file("run/qmp-1")};
    const auto refused = xlstore(other.path(), words);
    EXPECT_TRUE(ended(refused, 1));
    EXPECT_TRUE(contains(refused.err, "of the store in " + store_.path()));
    EXPECT_EQ(sql(other.path(), "SELECT count(*) FROM domain WHERE qemu_pid IS NOT NULL"), "0");
    fs::rename(file("store.db"), file("not-used.db"));
    EXPECT_TRUE(ended(xlstore(other.path(), words), 0));
    EXPECT_TRUE(ended(xlstore(other.path(), {"destroy", "7"}), 0));
}

}  // namespace
}  // namespace xlstore::test
