// SPDX-License-Identifier: MIT
// xlfsck and `xlstore recover` beside the living, with the real commands.
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <algorithm>
#include <sstream>

#include "recovery/runs/recover.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore::test {
namespace {

using std::chrono::seconds;

class RecoveryTest : public testing::Test {
protected:
    Ran xl(const Words& words, const Environment& environment = {})
    {
        return xlstore(store_.path(), words, environment);
    }
    Ran fsck(const Words& words) { return xlfsck(store_.path(), words); }
    std::string cell(const std::string& query) { return sql(store_.path(), query); }
    [[nodiscard]] Words xl_words(const Words& words) const
    {
        Words all = {binary("xlstore"), "--store", store_.path()};
        all.insert(all.end(), words.begin(), words.end());
        return all;
    }
    bool slow_lock_is_held()
    {
        const Ran locks = xl({"--json", "locks"});
        return locks.out.find(R"("lock":"slow lock")") != std::string::npos &&
               locks.out.find(R"("held":true)") != std::string::npos;
    }
    /// Leaves an open intent of a process that was killed after QEMU had acted.
    void leave_an_intent(const ScratchDomain& domain)
    {
        ASSERT_TRUE(ended(
            xl({"attach", domain.word(), "qemu", tablet("tab")}, crash_at("commit.before", 3)),
            kKilled));
        ASSERT_TRUE(contains(domain.devices(), "tab"));
        ASSERT_NE(cell("SELECT count(*) FROM intent"), "0");
    }
    /// Every byte of the files that matter. The index of the log (-shm) is a cache of readers.
    std::string bytes()
    {
        std::string all;
        for (const char* name : {"store.db", "store.db-wal", "locks", "slow"})
            all += std::string(name) + ":" + read_file(store_.path() + "/" + name) + "\n";
        return all;
    }

    ScratchStore store_;
};

// A device that the guest has to let go of: its detach waits for some seconds, with the intent
// committed and the slow lock held. Time enough to stop it.
constexpr const char* kRng = R"({"key":"rng","steps":[{"execute":"device_add","arguments":)"
                             R"({"driver":"virtio-rng-pci","id":"rng"}}]})";

TEST_F(RecoveryTest, LiveOwnerIsNamedAndLeftAlone)
{
    const ScratchDomain domain(store_);
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", kRng}), 0));
    Child owner(xl_words({"--timeout", "60", "detach", "7", "qemu", "rng"}));
    ASSERT_TRUE(wait_until(seconds(20), [&] {
        return cell("SELECT count(*) FROM intent") == "1" &&
               qmp(domain.judge(), "query-status").find("return") != std::string::npos;
    }));
    owner.signal(SIGSTOP);
    ASSERT_TRUE(slow_lock_is_held());
    const auto before = dump(store_.path());
    const auto pid = std::to_string(owner.pid());

    for (const char* mode : {"-n", "-p", "-y"}) {
        const Ran ran = fsck({mode, "-v"});
        EXPECT_TRUE(ended(ran, 0)) << mode << ": an intent of a live owner sets no bit";
        EXPECT_TRUE(contains(ran.out, "a living process is at work on it"));
        EXPECT_TRUE(contains(ran.out, "pid " + pid));
    }
    EXPECT_TRUE(ended(xl({"recover"}), 0));
    EXPECT_EQ(dump(store_.path()), before);
    EXPECT_EQ(cell("SELECT count(*) FROM session"), "1") << "the owner's session was removed";

    const Ran busy = xl({"--json", "--timeout", "0.5", "insert", "7", "hdc", domain.image('b')});
    EXPECT_TRUE(ended(busy, 1));
    EXPECT_EQ(json_at(busy.out, "$.error.code"), "timeout");
    EXPECT_TRUE(contains(json_at(busy.out, "$.error.message"), "pid " + pid));
    EXPECT_TRUE(contains(json_at(busy.out, "$.error.message"), "detach qemu/rng"));
    EXPECT_TRUE(contains(xl({"locks"}).out, "pid " + pid));

    // Killed while it is stopped: no process is at work on it any more.
    owner.signal(SIGKILL);
    owner.wait();
    EXPECT_TRUE(fsck({"-p"}).status <= 2);
    EXPECT_FALSE(slow_lock_is_held());
    EXPECT_TRUE(ended(xl({"insert", "7", "hdc", domain.image('b')}), 0));
}

// R9: a destruction needs no slow lock. Its holder finds out at its next commit.
TEST_F(RecoveryTest, DestroyGoesThroughBesideAStoppedOwner)
{
    const ScratchDomain domain(store_);
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", kRng}), 0));
    Child owner(xl_words({"--timeout", "60", "detach", "7", "qemu", "rng"}));
    // It waits for its guest, and commits nothing meanwhile.
    const auto looking = store_.open();
    ASSERT_TRUE(wait_until(seconds(60), [&] {
        return cell("SELECT count(*) FROM pending_intents WHERE waits_for <> 'open'") == "1" &&
               !*looking->locks().is_held(LockKind::writer, 0);
    }));
    owner.signal(SIGSTOP);

    EXPECT_TRUE(ended(xl({"--timeout", "20", "destroy", "7"}), 0));

    EXPECT_FALSE(is_alive(domain.qemu_pid()));
    owner.signal(SIGCONT);
    EXPECT_NE(owner.wait(), 0);
    EXPECT_EQ(cell("SELECT state FROM domain"), "destroyed");
    EXPECT_EQ(cell("SELECT count(*) FROM intent"), "0");
    EXPECT_LE(fsck({"-p"}).status, 1);
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
}

TEST_F(RecoveryTest, CreationOfALivingProcessIsLeftAlone)
{
    // A program that is no QEMU and never answers: its creator waits.
    const Material material(store_.directory(), 7, "web");
    const auto program = store_.directory() / "qemu";
    write_file(program, "#!/bin/sh\nexec sleep 1000 # " + store_.path() + "\n");
    chmod(program.c_str(), 0700);
    Child creator(xl_words(create_words(7, material, {program})));
    ASSERT_TRUE(wait_until(seconds(20), [&] {
        return cell("SELECT count(*) FROM domain WHERE qemu_pid IS NOT NULL") == "1";
    }));
    const auto before = dump(store_.path());

    const Ran preened = fsck({"-p", "-v"});

    EXPECT_TRUE(ended(preened, 0));
    EXPECT_TRUE(contains(preened.out, "pid " + std::to_string(creator.pid())));
    EXPECT_EQ(dump(store_.path()), before);

    // Its creator dies: the program runs, and never answers. Nothing is killed, nothing guessed.
    const pid_t pid = std::stoi(cell("SELECT qemu_pid FROM domain"));
    creator.signal(SIGKILL);
    creator.wait();
    EXPECT_TRUE(ended(fsck({"-p", "--timeout", "0.5"}), 8));
    EXPECT_TRUE(is_alive(pid));
    EXPECT_TRUE(ended(xl({"destroy", "7"}), 0));
    EXPECT_FALSE(is_alive(pid));
    EXPECT_LE(fsck({"-p"}).status, 1);
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
}

TEST_F(RecoveryTest, RecoverOfOneDomainLeavesOthersAlone)
{
    const ScratchDomain web(store_);
    const ScratchDomain mail(store_, 8, "mail");
    leave_an_intent(web);
    leave_an_intent(mail);
    ASSERT_EQ(cell("SELECT count(*) FROM intent"), "2");

    const Ran ran = xl({"recover", "name:mail"});

    EXPECT_TRUE(ended(ran, 0));
    EXPECT_TRUE(contains(ran.out, "domain 8 (mail)"));
    EXPECT_EQ(cell("SELECT d.name FROM intent i JOIN domain d ON d.id = i.domain"), "web");
    EXPECT_EQ(cell("SELECT count(*) FROM intent"), "1");
    EXPECT_TRUE(ended(xl({"recover", "name:missing"}), 4));
    const Ran all = xl({"--json", "recover"});
    EXPECT_TRUE(ended(all, 0));
    EXPECT_EQ(json_at(all.out, "$.fsck_status"), "1");
    EXPECT_EQ(cell("SELECT count(*) FROM intent"), "0");
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
}

// One domain that cannot be looked at does not keep another from being settled.
TEST_F(RecoveryTest, StoppedDomainBlocksNoOther)
{
    const ScratchDomain web(store_);
    const ScratchDomain mail(store_, 8, "mail");
    leave_an_intent(web);
    leave_an_intent(mail);
    kill(web.qemu_pid(), SIGSTOP);

    const Ran ran = fsck({"-p", "--timeout", "0.5"});

    EXPECT_TRUE(ended(ran, 8 + 1));
    EXPECT_EQ(cell("SELECT d.name FROM intent i JOIN domain d ON d.id = i.domain"), "web");
    kill(web.qemu_pid(), SIGCONT);
    EXPECT_TRUE(ended(fsck({"-p"}), 1));
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
}

TEST_F(RecoveryTest, LookingWritesNothingAtAll)
{
    const ScratchDomain domain(store_);
    leave_an_intent(domain);
    const Material half(store_.directory(), 9, "half");
    ASSERT_TRUE(
        ended(xl(create_words(9, half, half.qemu()), crash_at("spawn.before_fork")), kKilled));
    const auto before = bytes();
    const auto qemu = state_of(domain.judge());

    const Ran looked = fsck({"-n", "-v"});
    EXPECT_TRUE(ended(looked, 4));
    EXPECT_TRUE(contains(looked.out, "domain 7 (web): qemu/tab"));
    EXPECT_TRUE(contains(looked.out, "domain 9 (half)"));
    EXPECT_TRUE(ended(fsck({"-n", "--json"}), 4));
    for (const Words& words : {Words{"list"}, Words{"show", "7"}, Words{"things", "7"},
                               Words{"intents"}, Words{"history"}, Words{"locks"},
                               Words{"export", "7"}, Words{"sql", "SELECT count(*) FROM things"}})
        EXPECT_TRUE(ended(xl(words), 0)) << words[0];
    const Ran change = xl({"sql", "DELETE FROM intent"});
    EXPECT_TRUE(ended(change, 1));

    EXPECT_EQ(bytes(), before);
    EXPECT_EQ(state_of(domain.judge()), qemu);
}

TEST_F(RecoveryTest, SecondRunFindsNothing)
{
    const ScratchDomain domain(store_);
    leave_an_intent(domain);
    ASSERT_TRUE(
        ended(xl({"insert", "7", "hdc", domain.image('b')}, crash_at("commit.after", 2)), kKilled));

    const Ran first = fsck({"-p"});
    EXPECT_TRUE(ended(first, 1));
    EXPECT_TRUE(contains(first.out, "SETTLED"));
    const auto after = bytes();
    for (const char* mode : {"-n", "-p", "-y"}) {
        const Ran again = fsck({mode});
        EXPECT_TRUE(ended(again, 0)) << mode;
        EXPECT_TRUE(contains(again.out, "0 open intents"));
        EXPECT_TRUE(contains(again.out, "0 corrected"));
    }
    EXPECT_TRUE(store_and_qemu_agree(store_.path(), domain.judge()));
    EXPECT_EQ(cell("SELECT state FROM thing WHERE key = 'tab'"), "present");
    EXPECT_EQ(domain.medium(), domain.image('a'));
}

// R20: an embedder's loop is not kept by the reading of a long history.
TEST_F(RecoveryTest, EveryPageIsReadOnlyWhereThatIsAskedFor)
{
    // An index that was made for other columns, which no query of recovery meets.
    const auto as_made = [this](const char* columns) {
        sqlite3* db = nullptr;
        ASSERT_EQ(sqlite3_open((store_.path() + "/store.db").c_str(), &db), SQLITE_OK);
        const std::string sql = std::string("PRAGMA writable_schema = ON; UPDATE sqlite_schema ") +
                                "SET sql = 'CREATE INDEX history_domain ON history (" + columns +
                                ")' WHERE name = 'history_domain'";
        EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
        sqlite3_close(db);
    };
    const ScratchDomain domain(store_);
    as_made("domid");
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open((store_.path() + "/store.db").c_str(), &db), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(db, "REINDEX history_domain", nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(db);
    as_made("domain");

    const auto store = store_.open();
    for (const bool every_page : {false, true}) {
        recovery::Options options;
        options.mode = recovery::Mode::look;
        options.every_page = every_page;
        bool told = false;
        options.found = [&](const recovery::Finding& finding) {
            told = told || finding.code == recovery::Code::index_damaged;
        };
        ASSERT_TRUE(store->loop().wait_for(recovery::recover(*store, options)));
        EXPECT_EQ(told, every_page);
    }
    EXPECT_TRUE(ended(fsck({"-y"}), 1));
}

// A crash of recovery itself, at each of its commits, changes nothing about the end.
TEST_F(RecoveryTest, MayBeKilledAtEachOfItsCommits)
{
    const ScratchDomain domain(store_);
    int passing = 1;
    for (;; ++passing) {
        SCOPED_TRACE(passing);
        const Words attach = {"attach", "7", "qemu", tablet("t" + std::to_string(passing))};
        ASSERT_TRUE(ended(xl(attach, crash_at("commit.before", 3)), kKilled));
        const Ran ran = xlfsck(store_.path(), {"-p"}, crash_at("commit.after", passing));
        if (ran.status != kKilled) {
            EXPECT_TRUE(ended(ran, 1));
            break;
        }
        ASSERT_TRUE(invariant_holds(store_.path(), domain.judge()));
        EXPECT_LE(fsck({"-p"}).status, 1);
        EXPECT_TRUE(store_and_qemu_agree(store_.path(), domain.judge()));
        EXPECT_TRUE(ended(fsck({"-n"}), 0));
    }
    EXPECT_GT(passing, 2);
}

TEST_F(RecoveryTest, JsonIsOneObjectALineAndTheLastTheSummary)
{
    const ScratchDomain domain(store_);
    leave_an_intent(domain);

    const Ran ran = fsck({"-p", "--json"});

    EXPECT_TRUE(ended(ran, 1));
    std::istringstream lines(ran.out);
    std::string last;
    bool settled = false;
    for (std::string line; std::getline(lines, line); last = line) {
        EXPECT_EQ(json_at(line, "$.summary").empty(), json_at(line, "$.code") != "");
        settled =
            settled || (json_at(line, "$.problem") == "intent_done" &&
                        json_at(line, "$.action") == "fixed" && json_at(line, "$.domid") == "7");
    }
    EXPECT_TRUE(settled) << ran.out;
    EXPECT_EQ(json_at(last, "$.summary.status"), "1");
    EXPECT_EQ(json_at(last, "$.summary.open_intents"), "0");
    EXPECT_EQ(json_at(last, "$.summary.domains"), "1");
    EXPECT_NE(json_at(last, "$.summary.corrected"), "0");
}

TEST_F(RecoveryTest, UsageErrorsEndWithSixteen)
{
    for (const Words& words :
         {Words{"-n", "-p"}, Words{"-q"}, Words{"--no-such-option"}, Words{"-C"},
          Words{"-p", "-C", "x"}, Words{"-p", "--timeout", "soon"}, Words{"-p", "a", "b"}, Words{},
          Words{"--json"}, Words{"-p", "--evict"}, Words{"-p", "--rebuild"}}) {
        const Ran ran = fsck(words);
        EXPECT_TRUE(ended(ran, 16)) << (words.empty() ? "" : words[0]);
        EXPECT_TRUE(contains(ran.err, "; try 'xlfsck --help'\n"));
        EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1) << ran.err;
    }
    EXPECT_TRUE(ended(fsck({"--help"}), 0));
    EXPECT_TRUE(ended(xlfsck(store_.directory() / "none", {"-p"}), 8));  // could not look
    EXPECT_TRUE(ended(fsck({"-p", "name:missing"}), 8));
    EXPECT_TRUE(ended(fsck({"-npf"}), 16));
    EXPECT_TRUE(ended(fsck({"-fp"}), 0));
}

TEST_F(RecoveryTest, ProgressGoesToTheDescriptor)
{
    const Material material(store_.directory(), 7, "web");
    ASSERT_TRUE(ended(xl({"import", "7", material.document}), 0));
    const auto file = store_.directory() / "progress";
    const Ran ran =
        run({"sh", "-c", binary("xlfsck") + " --store " + store_.path() + " -p -C 9 9>" + file});
    EXPECT_TRUE(ended(ran, 0));
    EXPECT_TRUE(contains(read_file(file), "3 0 1\n"));
}

}  // namespace
}  // namespace xlstore::test
