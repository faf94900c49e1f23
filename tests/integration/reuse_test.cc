// SPDX-License-Identifier: MIT
// A step of an old incarnation that comes late, when domid, uuid, image and monitor of the judge
// are a new one's: it touches nothing of it, neither its QEMU, nor its socket, nor its document.
#include <unistd.h>

#include <filesystem>
#include <optional>

#include "tests/support/scratch.hpp"
#include "tests/support/stopping.hpp"

namespace xlstore::test {
namespace {

class ReuseTest : public testing::Test {
protected:
    Ran xl(const Words& words, const Environment& environment = {})
    {
        return xlstore(store_.path(), words, environment);
    }
    Ran fsck(const Words& words) { return xlfsck(store_.path(), words); }
    std::string cell(const std::string& query) { return sql(store_.path(), query); }
    std::vector<pid_t> qemus() { return qemus_with(store_.directory().path() + "/"); }

    Words creation() { return create_words(7, material_, material_.qemu()); }
    /// The domain is destroyed, and created anew; it has another medium than the initial one.
    void make_anew()
    {
        ASSERT_TRUE(ended(xl({"destroy", "7"}), 0));
        ASSERT_TRUE(qemus().empty());
        ASSERT_TRUE(ended(xl(creation()), 0));
        ASSERT_TRUE(ended(xl({"eject", "7", "hdc"}), 0));
        seen_ = look();
    }
    /// Everything of the living incarnation.
    std::string look()
    {
        const auto id = cell("SELECT id FROM domain WHERE state <> 'destroyed'");
        const auto socket = cell("SELECT monitor_path FROM domain WHERE id = " + id);
        std::string text = id + " " +
                           cell(
                               "SELECT state || ' ' || qemu_pid || ' ' || epoch || ' ' || revision "
                               "FROM domain WHERE id = " +
                               id);
        text += std::filesystem::exists(socket) ? " socket\n" : " no socket\n";
        text += cell("SELECT count(*) FROM history WHERE domain = " + id) + "\n";
        return text + xl({"export", "7"}).out + state_of(material_.judge);
    }
    void expect_untouched()
    {
        EXPECT_EQ(look(), seen_);
        EXPECT_EQ(qemus().size(), 1U);
        EXPECT_TRUE(processes_with(store_.directory().path() + "/") == qemus());
        EXPECT_TRUE(ended(fsck({"-n"}), 0));
        EXPECT_TRUE(store_and_qemu_agree(store_.path(), material_.judge));
    }
    /// Runs a command that is stopped at each passing of the point in turn, and goes on when its
    /// domain has a successor. The number of passings.
    int each_passing(const Words& words, const std::string& point)
    {
        for (int passing = 1;; ++passing) {
            SCOPED_TRACE(point + ":" + std::to_string(passing));
            begin();
            Stopping late(store_, words, point, passing);
            if (!late.stopped()) {
                late.finish();
                xl({"destroy", "7"});
                return passing - 1;
            }
            make_anew();
            if (HasFatalFailure()) return 0;
            const Ran ran = late.finish();
            if (late_status_) {
                EXPECT_EQ(ran.status, *late_status_) << ran.out;
            }
            expect_untouched();
            EXPECT_TRUE(ended(xl({"destroy", "7"}), 0));
        }
    }
    virtual void begin() { ASSERT_TRUE(ended(xl(creation()), 0)); }

    ScratchStore store_;
    Material material_{store_.directory(), 7, "web"};
    std::string seen_;
    std::optional<int> late_status_ = 1;  ///< nothing: what it had seen before decides
};

TEST_F(ReuseTest, LateDestroyerTouchesNothingOfTheNextDomain)
{
    late_status_ = 0;  // what it was to destroy is destroyed
    for (const Words& words :
         {Words{"destroy", "7"}, Words{"destroy", "7", "--uuid", material_.uuid}})
        EXPECT_EQ(each_passing(words, "destroy.before_mark"), 1);
}

TEST_F(ReuseTest, LateInsertTouchesNothingOfTheNextDomain)
{
    const Words insert = {"insert", "7", "hdc", material_.images['b']};
    EXPECT_EQ(each_passing(insert, "qmp.before_connect"), 1);
    EXPECT_GT(each_passing(insert, "qmp.before_send"), 3);
}

TEST_F(ReuseTest, LateAttachTouchesNothingOfTheNextDomain)
{
    EXPECT_GT(each_passing({"attach", "7", "qemu", tablet("t1")}, "qmp.after_receive"), 3);
}

/// No domain before the late command: it is the creator.
class LateCreatorTest : public ReuseTest, public testing::WithParamInterface<const char*> {
protected:
    void begin() override {}
};

TEST_P(LateCreatorTest, TouchesNothingOfTheNextDomain)
{
    EXPECT_GE(each_passing(creation(), GetParam()), 1);
}
INSTANTIATE_TEST_SUITE_P(Points, LateCreatorTest,
                         testing::Values("spawn.before_fork", "spawn.after_fork",
                                         "spawn.before_start_barrier", "spawn.after_start_barrier",
                                         "qmp.before_connect", "qmp.before_send"),
                         [](const auto& one) {
                             std::string name = one.param;
                             return name.replace(name.find('.'), 1, "_");
                         });

/// An intent is open that a recovery is to settle.
class LateRecoveryTest : public ReuseTest {
protected:
    void begin() override
    {
        ASSERT_TRUE(ended(xl(creation()), 0));
        for (int passing = 1; cell("SELECT count(*) FROM intent") == "0"; ++passing)
            ASSERT_TRUE(ended(
                xl({"attach", "7", "qemu", tablet("t1")}, crash_at("qmp.before_send", passing)),
                kKilled));
    }
};

TEST_F(LateRecoveryTest, TouchesNothingOfTheNextDomain)
{
    late_status_.reset();  // it was overtaken before or after it had looked
    EXPECT_GE(each_passing({"recover"}, "qmp.before_connect"), 1);
    EXPECT_GT(each_passing({"recover"}, "qmp.before_send"), 1);
}

// Two destroyers: the second waits for the first, which is named; when that dies it goes on.
TEST_F(ReuseTest, DestroyerThatIsStoppedKeepsTheDomidUntilItEndsOrDies)
{
    for (const std::string point :
         {"destroy.before_kill", "destroy.before_unlink", "destroy.before_end"}) {
        for (const bool dies : {false, true}) {
            SCOPED_TRACE(point + (dies ? ", killed" : ", continued"));
            begin();
            Stopping first(store_, {"destroy", "7"}, point);
            ASSERT_TRUE(first.stopped());
            const Ran second = xl({"--timeout", "1", "--json", "destroy", "7"});
            // R18: the mark is committed, so that the second destruction is not "not done".
            EXPECT_TRUE(ended(second, 3));
            EXPECT_EQ(json_at(second.out, "$.error.code"), "unfinished");
            EXPECT_TRUE(contains(json_at(second.out, "$.error.message"), first.pid()));
            EXPECT_TRUE(ended(xl(creation()), 1));  // the domid is taken
            if (dies) {
                first.kill();
                EXPECT_TRUE(ended(xl({"destroy", "7"}), 0));
            } else {
                EXPECT_EQ(first.finish().status, 0);
            }
            EXPECT_TRUE(qemus().empty());
            EXPECT_TRUE(ended(fsck({"-n"}), 0));
        }
    }
}

TEST_F(ReuseTest, TwoCreatorsOfADomidMakeOneDomain)
{
    for (const std::string point :
         {"spawn.before_fork", "spawn.before_start_barrier", "qmp.before_send"}) {
        SCOPED_TRACE(point);
        Stopping first(store_, creation(), point);
        ASSERT_TRUE(first.stopped());
        const Ran second = xl({"--json", "create", "7", material_.document, "--", "true"});
        EXPECT_TRUE(ended(second, 1));
        EXPECT_EQ(json_at(second.out, "$.error.code"), "exists");
        EXPECT_TRUE(contains(json_at(second.out, "$.error.advice"), "recover"));
        EXPECT_EQ(first.finish().status, 0);
        EXPECT_EQ(qemus().size(), 1U);
        EXPECT_TRUE(store_and_qemu_agree(store_.path(), material_.judge));
        EXPECT_TRUE(ended(xl({"destroy", "7"}), 0));
    }
}

// In a pid namespace of its own a pid can be given out again: QEMU's goes to an unrelated process,
// which is then neither asked nor killed.
TEST_F(ReuseTest, PidThatPassedToAnUnrelatedProcessIsNotItsQemu)
{
    const std::string script = R"(
import os, signal, subprocess, sys, time
store, xlstore, document, medium = sys.argv[1:5]
def xl(*words):
    return subprocess.run([xlstore, "--store", store, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
def sql(query):
    return xl("sql", query).stdout.strip()
made = xl("create", "7", document, "--", *sys.argv[5:])
assert made.returncode == 0, made.stdout
pid = int(sql("SELECT qemu_pid FROM domain"))
os.kill(pid, signal.SIGKILL)
while os.waitpid(pid, 0)[0] != pid:      # pid 1 here: it was left to us
    pass
for _ in range(50):     # a dead thread's number is given back a little later
    try:
        with open("/proc/sys/kernel/ns_last_pid", "w") as file:
            file.write(str(pid - 1))
    except OSError as error:
        print("SKIP", error)
        sys.exit(0)
    other = subprocess.Popen(["sleep", "1000"])
    if other.pid == pid:
        break
    other.kill()
    other.wait()
    time.sleep(0.1)
assert other.pid == pid, (other.pid, pid)
insert = xl("insert", "7", "hdc", medium)
assert insert.returncode == 1 and "dead" in insert.stdout, insert.stdout
destroyed = xl("destroy", "7")
assert destroyed.returncode == 0, destroyed.stdout
assert other.poll() is None, "the unrelated process was killed"
assert sql("SELECT state FROM domain") == "destroyed"
other.kill()
print("GOOD")
)";
    const auto missing = why_not({"unshare", "--pid", "--fork", "--mount-proc", "true"});
    if (!missing.empty()) GTEST_SKIP() << "no pid and mount namespaces here: " << missing;
    const auto file = store_.directory() / "reuse.py";
    write_file(file, script);
    Words words = {"unshare",
                   "--pid",
                   "--fork",
                   "--mount-proc",
                   "python3",
                   "-I",
                   file,
                   store_.path(),
                   binary("xlstore"),
                   material_.document,
                   material_.images['b']};
    for (const auto& word : material_.qemu())
        words.push_back(word);
    const Ran ran = run(words);
    if (contains(ran.out, "SKIP")) GTEST_SKIP() << ran.out << ran.err;
    EXPECT_TRUE(contains(ran.out, "GOOD")) << ran.out << ran.err;
}

}  // namespace
}  // namespace xlstore::test
