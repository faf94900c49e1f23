// SPDX-License-Identifier: MIT
// What the commands show and take: that a QEMU is dead, domains that are over, who asked, output
// that cannot be written, command lines as people type them, advice that can be followed.
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>

#include "tests/support/domain_test.hpp"

namespace xlstore::test {
namespace {

namespace fs = std::filesystem;

class FacesTest : public DomainTest {
protected:
    void kill_qemu()
    {
        ASSERT_EQ(kill(domain_.qemu_pid(), SIGKILL), 0);
        ASSERT_TRUE(wait_until(std::chrono::seconds(20),
                               [&] { return !is_alive(domain_.qemu_pid()); }));
    }
    /// A line of sh, with $X and $F for the two programs and their store.
    Ran sh(const std::string& line)
    {
        return run({"sh", "-c",
                    "X='" + binary("xlstore") + " --store " + store_.path() + "'; F='" +
                        binary("xlfsck") + " --store " + store_.path() + "'; " + line});
    }
};

TEST_F(FacesTest, LivingQemuIsSeenAlive)
{
    const Ran list = xl({"--json", "list"});
    EXPECT_EQ(json_at(list.out, "$[0].qemu"), "alive");
    EXPECT_GT(std::stoll(json_at(list.out, "$[0].looked_us")), 0);
    EXPECT_TRUE(contains(xl({"list"}).out, " running "));
    EXPECT_FALSE(contains(xl({"list"}).out, "QEMU alive"));
    EXPECT_TRUE(contains(xl({"show", "7"}).out, "QEMU alive (looked at "));
}

TEST_F(FacesTest, DeadQemuIsNotCalledRunning)
{
    kill_qemu();
    for (const Words& look : {Words{"list"}, Words{"show", "7"}}) {
        const Ran ran = xl(look);
        EXPECT_TRUE(ended(ran, 0));
        EXPECT_TRUE(contains(ran.out, "running, QEMU dead (looked at ")) << look[0];
    }
    EXPECT_TRUE(contains(xl({"things", "7"}).out, "present, QEMU dead (looked at "));
    EXPECT_EQ(json_at(xl({"--json", "list"}).out, "$[0].qemu"), "dead");
    EXPECT_EQ(json_at(xl({"--json", "show", "7"}).out, "$.qemu"), "dead");
    EXPECT_EQ(json_at(xl({"--json", "show", "7"}).out, "$.state"), "running");  // as committed
    EXPECT_EQ(json_at(xl({"--json", "things", "7"}).out, "$[0].qemu"), "dead");
    EXPECT_EQ(cell("SELECT state FROM domain"), "running");  // looking changes nothing
}

TEST_F(FacesTest, UnregisteredQemuIsNotCalledRunning)
{
    kill_qemu();
    EXPECT_TRUE(ended(fsck({"-p"}), 1));
    EXPECT_TRUE(contains(xl({"list"}).out, "running, no QEMU"));
    EXPECT_TRUE(contains(xl({"show", "7"}).out, "running, no QEMU"));
    EXPECT_EQ(json_at(xl({"--json", "list"}).out, "$[0].qemu"), "none");
}

// Not seen is not dead.
TEST_F(FacesTest, QemuOfAnotherBootIsNotCalledDead)
{
    const Environment later = {{"XLSTORE_TEST_BOOT_ID", "00000000-1111-4222-8333-444444444444"}};
    const Ran list = xl({"list"}, later);
    EXPECT_TRUE(contains(list.out, "running, could not look: it was registered in another boot"));
    EXPECT_EQ(json_at(xl({"--json", "list"}, later).out, "$[0].qemu"), "unseen");
}

TEST_F(FacesTest, HistoryAndShowAnswerForADestroyedDomain)
{
    const auto uuid = cell("SELECT uuid FROM domain");
    const auto id = cell("SELECT id FROM domain");
    ASSERT_TRUE(ended(xl({"destroy", "7"}), 0));
    for (const std::string& word : {std::string("7"), std::string("domid:7"), std::string("web"),
                                    "uuid:" + uuid, uuid, "id:" + id}) {
        const Ran history = xl({"history", word});
        EXPECT_TRUE(ended(history, 0)) << word;
        EXPECT_TRUE(contains(history.out, "destroy"));
        const Ran show = xl({"--json", "show", word});
        EXPECT_TRUE(ended(show, 0)) << word;
        EXPECT_EQ(json_at(show.out, "$.state"), "destroyed");
        EXPECT_EQ(json_at(show.out, "$.uuid"), uuid);
        EXPECT_NE(json_at(show.out, "$.destroyed"), "");
    }
    for (const Words& other : {Words{"things", "7"}, Words{"export", "7"}, Words{"intents", "7"}})
        EXPECT_TRUE(ended(xl(other), 4)) << other[0];
    EXPECT_TRUE(ended(xl({"history", "name:never"}), 4));
}

TEST_F(FacesTest, OtherIncarnationsAreNamed)
{
    ASSERT_TRUE(ended(xl({"destroy", "7"}), 0));
    const ScratchDomain again(store_, 7, "web");
    ASSERT_TRUE(ended(xl({"destroy", "7"}), 0));
    const Ran history = xl({"history", "web"});
    EXPECT_TRUE(ended(history, 0));
    EXPECT_TRUE(contains(history.err, "this is id:2, the newest"));
    EXPECT_TRUE(contains(history.err, "id:1"));
    EXPECT_EQ(json_at(xl({"--json", "history", "web"}).out, "$[0].incarnation"), "2");
    EXPECT_EQ(json_at(xl({"--json", "history", "id:1"}).out, "$[0].incarnation"), "1");
    EXPECT_EQ(xl({"history", "id:1"}).err, "");
}

TEST_F(FacesTest, HistorySaysWhoAskedAndWhatWasInTheDrive)
{
    ASSERT_TRUE(ended(xl({"insert", "7", "hdc", domain_.image('b')}), 0));
    const std::string last = " FROM history ORDER BY id DESC LIMIT 1";
    EXPECT_EQ(cell("SELECT medium_before || ' ' || medium_after" + last),
              domain_.image('a') + " " + domain_.image('b'));
    EXPECT_EQ(cell("SELECT uid || ' ' || author_uid || ' ' || (pid = author_pid)" + last),
              std::to_string(getuid()) + " " + std::to_string(getuid()) + " 1");
    ASSERT_TRUE(ended(xl({"eject", "7", "hdc"}), 0));
    EXPECT_EQ(cell("SELECT medium_before || '|' || medium_after" + last),
              domain_.image('b') + "|");
    EXPECT_TRUE(contains(xl({"history", "7"}).out, domain_.image('b') + " -> empty"));
    EXPECT_EQ(json_at(xl({"--json", "history", "7"}).out, "$[#-1].medium_before"),
              domain_.image('b'));
}

// Recovery settles; the process that asked is still named.
TEST_F(FacesTest, SettleByRecoveryKeepsTheAuthor)
{
    ASSERT_TRUE(ended(xl({"insert", "7", "hdc", domain_.image('b')}, crash_at("commit.before", 3)),
                      kKilled));
    const auto author = cell("SELECT pid FROM session JOIN intent ON owner = session.id");
    ASSERT_NE(author, "");
    EXPECT_TRUE(ended(fsck({"-p"}), 1));
    EXPECT_EQ(cell("SELECT program || ' ' || author_program || ' ' || author_pid FROM history "
                   "WHERE operation = 'change'"),
              "xlfsck xlstore " + author);
    EXPECT_TRUE(contains(xl({"history", "7"}).out, " for xlstore " + author));
}

TEST_F(FacesTest, IntentOfADestroyedDomainKeepsItsAuthor)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet("t")}, crash_at("commit.before", 3)),
                      kKilled));
    const auto author = cell("SELECT pid FROM session JOIN intent ON owner = session.id");
    ASSERT_TRUE(ended(xl({"destroy", "7"}), 0));
    EXPECT_EQ(cell("SELECT author_pid FROM history WHERE operation = 'add'"), author);
}

TEST_F(FacesTest, MediumThatRecoveryFindsIsToldBeforeAndAfter)
{
    ASSERT_TRUE(contains(qmp(domain_.judge(), "blockdev-change-medium",
                             "{\"id\":\"ide-5632\",\"filename\":\"" + domain_.image('b') +
                                 "\",\"format\":\"raw\",\"force\":true}"),
                         "return"));
    EXPECT_TRUE(ended(fsck({"-p"}), 1));
    EXPECT_EQ(cell("SELECT medium_before || ' ' || medium_after FROM history WHERE operation = "
                   "'adopt' AND key = 'hdc'"),
              domain_.image('a') + " " + domain_.image('b'));
}

TEST_F(FacesTest, OutputThatCannotBeWrittenIsAnError)
{
    for (const char* verb : {"list", "--json list", "--json show 7", "show 7", "things 7",
                             "sql 'SELECT * FROM domains'", "--json sql 'SELECT 1'", "history",
                             "locks", "--json locks", "export 7", "crash-points", "--version"}) {
        const Ran full = sh("$X " + std::string(verb) + " > /dev/full");
        EXPECT_TRUE(ended(full, 5)) << verb;
        const Ran closed = sh("$X " + std::string(verb) + " >&-");
        EXPECT_TRUE(ended(closed, 5)) << verb;
    }
    EXPECT_TRUE(contains(sh("$X list > /dev/full").err,
                         "cannot write to standard output: No space left on device"));
    for (const char* words : {"-n", "-n --json", "-n -v", "--version", "--explain=4002", "--help"}) {
        EXPECT_TRUE(ended(sh("$F " + std::string(words) + " > /dev/full"), 8)) << words;
        EXPECT_TRUE(ended(sh("$F " + std::string(words) + " >&-"), 8)) << words;
    }
}

// An error that was to be JSON is not lost with the output.
TEST_F(FacesTest, ErrorThatCannotBePrintedAsJsonIsSaidInWords)
{
    const Ran ran = sh("$X --json show 99 > /dev/full");
    EXPECT_TRUE(ended(ran, 4));
    EXPECT_TRUE(contains(ran.err, "99"));
}

TEST_F(FacesTest, OperationWhoseAnswerCannotBeWrittenIsDone)
{
    const Ran ran = sh("$X attach 7 qemu '" + tablet("t") + "' > /dev/full");
    EXPECT_TRUE(ended(ran, 5));
    EXPECT_EQ(entry("t"), "present");
    EXPECT_TRUE(store_and_qemu_agree(store_.path(), domain_.judge()));
}

// With standard output closed its number would be given to the database.
TEST_F(FacesTest, ClosedStandardDescriptorsAreNotGivenToFilesOfTheStore)
{
    const Ran ran = sh("$X attach 7 qemu '" + tablet("t") + "' <&- >&- 2>&-");
    EXPECT_TRUE(ended(ran, 5));
    EXPECT_TRUE(ended(sh("$F -f -n -v <&- 2>&-"), 0));
    EXPECT_TRUE(all_is_settled());
}

TEST_F(FacesTest, StoreNamedByARelativePathIsKnownByItsWholePath)
{
    const auto parent = fs::path(store_.path()).parent_path().string();
    const auto name = fs::path(store_.path()).filename().string();
    const std::string in_it = "cd '" + parent + "' && ";
    for (const std::string& word : {name, "./" + name}) {
        EXPECT_TRUE(ended(run({"sh", "-c", in_it + binary("xlstore") + " --store=" + word +
                                               " list"}),
                          0));
        EXPECT_TRUE(ended(run({"sh", "-c", in_it + binary("xlfsck") + " --store=" + word + " -n"}),
                          0));
    }
    const Material material(store_.directory(), 9, "nine");
    std::string command;
    for (const auto& word : create_words(9, material, material.qemu()))
        command += " '" + word + "'";
    const Ran made =
        run({"sh", "-c", in_it + binary("xlstore") + " --store " + name + command});
    EXPECT_TRUE(ended(made, 0));
    EXPECT_EQ(cell("SELECT monitor_path FROM domain WHERE domid = 9"),
              store_.path() + "/run/qmp-2");
    EXPECT_EQ(cell("SELECT log_path FROM domain WHERE domid = 9"),
              store_.path() + "/run/qemu-2.log");
    EXPECT_TRUE(ended(xl({"attach", "9", "qemu", tablet("t")}), 0));
}

TEST_F(FacesTest, CommandLinesAreTakenAsPeopleTypeThem)
{
    const std::string x = binary("xlstore");
    EXPECT_TRUE(ended(run({x, "--store=" + store_.path(), "list"}), 0));
    EXPECT_TRUE(ended(run({x, "list", "--store=" + store_.path()}), 0));
    EXPECT_TRUE(ended(run({x, "--store", store_.path(), "show", "--", "web"}), 0));
    EXPECT_TRUE(ended(run({x, "--store", store_.path(), "--", "show", "web"}), 0));
    EXPECT_TRUE(ended(run({x, "--verbose", "--store", store_.path(), "list"}), 0));
    // What stands behind -- is a word, also if it looks like an option.
    const Ran odd = run({x, "--store", store_.path(), "show", "--", "--json"});
    EXPECT_TRUE(ended(odd, 4));
    EXPECT_TRUE(contains(odd.err, "--json"));
    // A domain may be called as a verb is.
    ASSERT_TRUE(ended(xl({"rename", "7", "list"}), 0));
    EXPECT_TRUE(ended(xl({"show", "list"}), 0));
    const std::string f = binary("xlfsck");
    EXPECT_TRUE(ended(run({f, "--store=" + store_.path(), "-a"}), 0));
    EXPECT_TRUE(ended(run({f, "--store=" + store_.path(), "-n", "--verbose", "-C0", "--", "list"}),
                      0));
}

TEST_F(FacesTest, UsageIsToldInOneLineThatNamesHelp)
{
    const auto one_line = [](const Ran& ran) {
        return !ran.err.empty() && ran.err.find('\n') == ran.err.size() - 1 && ran.out.empty();
    };
    const struct {
        Words words;
        std::string said;
    } cases[] = {
        {{"lsit"}, "did you mean 'list'?"},
        {{"attatch", "7"}, "did you mean 'attach'?"},
        {{"hist"}, "did you mean 'history'?"},
        {{"frobnicate"}, "there is no verb \"frobnicate\"; try 'xlstore --help'"},
        {{}, "no verb was given"},
        {{"show"}, "show takes DOM, not 0 words; try 'xlstore show --help'"},
        {{"insert", "7", "hdc"}, "insert takes DOM VDEV FILE [--force] [--wait], not 2 words"},
        {{"list", "7"}, "list does not take 7"},
        {{"list", "--nonsense"}, "list does not take --nonsense"},
        {{"--timeout", "soon", "list"}, "--timeout"},
        {{"show", "7", "--", "x"}, "show takes DOM, not 2 words"},
    };
    for (const auto& [words, said] : cases) {
        const Ran ran = xl(words);
        EXPECT_TRUE(ended(ran, 2));
        EXPECT_TRUE(one_line(ran)) << ran.err;
        EXPECT_TRUE(contains(ran.err, said));
        EXPECT_TRUE(contains(ran.err, "--help'"));
    }
    for (const Words& words : {Words{"-x"}, Words{"a", "b"}, Words{"--explain=77"}}) {
        const Ran ran = fsck(words);
        EXPECT_TRUE(ended(ran, 16));
        EXPECT_TRUE(one_line(ran)) << ran.err;
        EXPECT_TRUE(contains(ran.err, "try 'xlfsck --help'"));
    }
}

TEST_F(FacesTest, ExplainPrintsTheManualsEntryByNumberAndByName)
{
    const Ran by_number = fsck({"--explain", "4002"});
    EXPECT_TRUE(ended(by_number, 0));
    EXPECT_TRUE(contains(by_number.out, "4002 intent_done\n"));
    EXPECT_TRUE(contains(by_number.out, "(SETTLED)"));
    EXPECT_EQ(fsck({"--explain=intent_done"}).out, by_number.out);
}

TEST_F(FacesTest, TotalsAreThoseOfTheDomainThatIsNamed)
{
    const Material material(store_.directory(), 8, "eight");
    ASSERT_TRUE(ended(xl({"import", "8", material.document}), 0));
    const auto summary = [](const Ran& ran) {
        return ran.out.substr(ran.out.rfind("{\"summary\""));
    };
    const Ran all = fsck({"-n", "--json"});
    EXPECT_EQ(json_at(summary(all), "$.summary.domains"), "2") << all.out;
    const Ran one = fsck({"-n", "--json", "8"});
    EXPECT_EQ(json_at(summary(one), "$.summary.domains"), "1") << one.out;
    EXPECT_EQ(json_at(summary(one), "$.summary.things"),
              cell("SELECT count(*) FROM thing WHERE domain = 2"));
}

TEST_F(FacesTest, CleanStoreHasNoFindings)
{
    EXPECT_TRUE(contains(fsck({"-n"}).out, "; 0 found, 0 corrected\n"));
    EXPECT_TRUE(contains(fsck({"-n", "-v"}).out, "; 0 found, 0 corrected, "));
}

TEST_F(FacesTest, FindingsOfADomainStandTogetherInTheOrderOfDomid)
{
    const ScratchDomain five(store_, 5, "five");
    const ScratchDomain nine(store_, 9, "nine");
    for (const auto* judge : {&nine.judge(), &five.judge(), &domain_.judge()})
        for (const char* id : {"x1", "x2"})
            ASSERT_TRUE(contains(qmp(*judge, "chardev-add",
                                     "{\"id\":\"" + std::string(id) +
                                         R"(","backend":{"type":"null","data":{}}})"),
                                 "return"));
    const Ran first = fsck({"-n"});
    std::string domids;
    std::istringstream lines(first.out);
    for (std::string line; std::getline(lines, line);)
        if (line.starts_with("domain ")) domids += line.substr(7, 1);
    EXPECT_EQ(domids, "557799") << first.out;
    EXPECT_EQ(fsck({"-n"}).out, first.out);
}

class AdviceTest : public testing::Test {
protected:
    static Ran look(const std::string& directory)
    {
        return run({binary("xlstore"), "--store", directory, "list"});
    }
    ScratchStore store_;
};

// Its mode is right as it is: another program's directory is no store.
TEST_F(AdviceTest, DirectoryWithoutAStoreIsNotToBeChanged)
{
    for (const char* verb : {"list", "init", "recover"}) {
        const Ran ran = run({binary("xlstore"), "--store", "/etc", verb});
        EXPECT_TRUE(ended(ran, 1));
        EXPECT_FALSE(contains(ran.err, "chmod")) << ran.err;
    }
    EXPECT_TRUE(contains(look("/etc").err, "/etc holds no store"));
    EXPECT_FALSE(contains(run({binary("xlfsck"), "--store", "/etc", "-n"}).err, "chmod"));
    ASSERT_EQ(chmod(store_.path().c_str(), 0755), 0);
    EXPECT_TRUE(contains(look(store_.path()).err, "chmod 0700"));
    ASSERT_EQ(chmod(store_.path().c_str(), 0700), 0);
}

TEST_F(AdviceTest, UserWhoMayNotLookIsNotToldToInit)
{
    if (geteuid() != 0) GTEST_SKIP() << "needs root, to become another user";
    const Ran ran = run({"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                         binary("xlstore"), "--store", store_.path(), "list"});
    if (ran.status == 126 || ran.status == 127) GTEST_SKIP() << ran.err;
    EXPECT_TRUE(ended(ran, 1));
    EXPECT_TRUE(contains(ran.err, "run as the owner of the store"));
    EXPECT_FALSE(contains(ran.err, "xlstore init"));
}

TEST_F(AdviceTest, MissingLockFileIsMadeByTheNextWriter)
{
    for (const char* name : {"/locks", "/slow"}) {
        fs::remove(store_.path() + name);
        const Ran looked = look(store_.path());
        EXPECT_TRUE(ended(looked, 1));
        EXPECT_TRUE(contains(looked.err, name)) << looked.err;
        EXPECT_TRUE(contains(looked.err, "xlstore recover"));
        EXPECT_TRUE(ended(xlstore(store_.path(), {"recover"}), 0));
        EXPECT_TRUE(ended(look(store_.path()), 0));
        struct stat st {};
        ASSERT_EQ(stat((store_.path() + name).c_str(), &st), 0);
        EXPECT_EQ(st.st_mode & 0777U, 0600U);
    }
    EXPECT_TRUE(ended(xlfsck(store_.path(), {"-n"}), 0));
}

TEST_F(AdviceTest, PrivateCopyIsNotNamedForTheDatabase)
{
    const std::string database = store_.path() + "/store.db";
    for (const char* suffix : {"-wal", "-shm"})
        fs::remove(database + suffix);
    auto bytes = read_file(database);
    bytes.replace(0, 16, "no database here");
    write_file(database, bytes);
    for (const Words& words : {Words{"-n"}, Words{"-n", "--json"}}) {
        const Ran ran = xlfsck(store_.path(), words);
        EXPECT_FALSE(contains(ran.out + ran.err, "xlstore-copy-")) << ran.out << ran.err;
    }
}

}  // namespace
}  // namespace xlstore::test
