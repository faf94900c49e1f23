// SPDX-License-Identifier: MIT
// What the creator of a domain leaves behind: where QEMU's socket and log are, how long the log
// stays, no zombies, and a QEMU that does not care for the creator's terminal.
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "store/lifecycle/creation.hpp"
#include "store/lifecycle/destroy.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore::test {
namespace {

using std::chrono::seconds;

class CreatorTest : public testing::Test {
protected:
    Ran xl(const Words& words) { return xlstore(store_.path(), words); }
    Ran create(const Words& command) { return xl(create_words(7, material_, command)); }
    std::string cell(const std::string& query) { return sql(store_.path(), query); }
    std::vector<pid_t> qemus() { return qemus_with(store_.directory().path() + "/"); }

    ScratchStore store_;
    Material material_{store_.directory(), 7, "web"};
};

TEST_F(CreatorTest, SaysWhereSocketAndLogAre)
{
    Words words = create_words(7, material_, material_.qemu());
    words.insert(words.begin(), "--json");
    const Ran as_json = xl(words);
    ASSERT_TRUE(ended(as_json, 0));
    const auto log = json_at(as_json.out, "$.log");
    const auto monitor = json_at(as_json.out, "$.monitor");
    EXPECT_TRUE(std::filesystem::is_regular_file(log)) << log;
    EXPECT_TRUE(std::filesystem::is_socket(monitor)) << monitor;
    EXPECT_EQ(json_at(xl({"--json", "show", "7"}).out, "$.log"), log);
    ASSERT_TRUE(ended(xl({"destroy", "7"}), 0));

    const Ran as_text = create(material_.qemu());
    ASSERT_TRUE(ended(as_text, 0));
    EXPECT_TRUE(contains(as_text.out, "monitor " + cell("SELECT monitor_path FROM domains")));
    EXPECT_TRUE(contains(as_text.out, "log " + cell("SELECT log_path FROM domains")));
}

TEST_F(CreatorTest, LogGoesWithADomainThatRanAndStaysWithOneThatFailed)
{
    ASSERT_TRUE(ended(create(material_.qemu()), 0));
    const auto log = cell("SELECT log_path FROM domains");
    ASSERT_TRUE(std::filesystem::exists(log));
    ASSERT_TRUE(ended(xl({"destroy", "7"}), 0));
    EXPECT_FALSE(std::filesystem::exists(log));

    Words bad = material_.qemu();
    bad.push_back("-no-such-option");
    const Ran failed = create(bad);
    EXPECT_TRUE(ended(failed, 1));
    const auto kept = cell("SELECT log_path FROM domain ORDER BY id DESC LIMIT 1");
    EXPECT_TRUE(contains(failed.err, kept));
    EXPECT_TRUE(contains(read_file(kept), "no-such-option"));

    // Killed between the mark and the end: the process that goes on does the same.
    ASSERT_TRUE(ended(create(material_.qemu()), 0));
    const auto late = cell("SELECT log_path FROM domains");
    ASSERT_TRUE(
        ended(xlstore(store_.path(), {"destroy", "7"}, crash_at("destroy.after_kill")), kKilled));
    EXPECT_TRUE(std::filesystem::exists(late));
    EXPECT_TRUE(ended(xlfsck(store_.path(), {"-p"}), 1));
    EXPECT_FALSE(std::filesystem::exists(late));
    EXPECT_TRUE(std::filesystem::exists(kept));
}

bool is_gone(pid_t pid)
{
    return kill(pid, 0) != 0 && errno == ESRCH;
}

// QEMU stays the creator's child for as long as that lives.
TEST_F(CreatorTest, LongLivedCreatorKeepsNoZombies)
{
    const auto store = store_.open();
    const auto create_one = [&](Words command) {
        return store->loop().wait_for(create_domain(*store, 7, read_file(material_.document),
                                                    "document", std::move(command),
                                                    Clock::now() + seconds(60)));
    };
    const auto destroy = [&](const DomainRow& domain) {
        return store->loop().wait_for(destroy_domain(*store, domain, Clock::now() + seconds(60)));
    };
    const pid_t own = fork();  // the embedder's own child, and its own to reap
    if (own == 0) _exit(3);

    auto first = create_one(material_.qemu());
    ASSERT_TRUE(first) << first.error().message;
    const auto killed = static_cast<pid_t>(first->domain.registration->qemu.pid);
    ASSERT_TRUE(destroy(first->domain));
    EXPECT_TRUE(is_gone(killed)) << "destroyed";

    auto second = create_one(material_.qemu());
    ASSERT_TRUE(second) << second.error().message;
    const auto died = static_cast<pid_t>(second->domain.registration->qemu.pid);
    ASSERT_EQ(kill(died, SIGKILL), 0);
    ASSERT_TRUE(wait_until(seconds(20), [&] { return !is_alive(died); }));
    EXPECT_FALSE(is_gone(died)) << "no process has looked after it yet";
    ASSERT_TRUE(destroy(second->domain));
    EXPECT_TRUE(is_gone(died)) << "died by itself";

    Words bad = material_.qemu();
    bad.push_back("-no-such-option");
    EXPECT_FALSE(create_one(bad));
    siginfo_t info{};
    ASSERT_EQ(waitid(P_PID, static_cast<id_t>(own), &info, WEXITED), 0);
    EXPECT_EQ(info.si_status, 3);
}

/// A shell on a terminal of its own, as a person uses it.
class Terminal {
public:
    Terminal(const std::string& script, const Environment& environment)
    {
        pid_ = forkpty(&master_, nullptr, nullptr, nullptr);
        if (pid_ == 0) {
            for (const auto& [name, value] : environment)
                setenv(name.c_str(), value.c_str(), 1);  // NOLINT(concurrency-mt-unsafe)
            execl("/bin/sh", "sh", "-c", script.c_str(), nullptr);
            _exit(127);
        }
    }
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;
    ~Terminal()
    {
        close_it();
        if (pid_ > 0) {
            kill(pid_, SIGKILL);
            wait();
        }
    }
    [[nodiscard]] pid_t pid() const { return pid_; }
    void type(const std::string& keys) const
    {
        EXPECT_EQ(write(master_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
    }
    /// Reads what is printed until it holds `text`.
    [[nodiscard]] testing::AssertionResult says(const std::string& text)
    {
        std::array<char, 4096> buffer{};
        while (said_.find(text) == std::string::npos) {
            const auto n = read(master_, buffer.data(), buffer.size());
            if (n <= 0) return testing::AssertionFailure() << "it ended with: " << said_;
            said_.append(buffer.data(), static_cast<std::size_t>(n));
        }
        return testing::AssertionSuccess();
    }
    void close_it()
    {
        if (master_ >= 0) ::close(master_);
        master_ = -1;
    }
    int wait()
    {
        int status = 0;
        waitpid(pid_, &status, 0);
        pid_ = -1;
        return status;
    }

private:
    int master_ = -1;
    pid_t pid_ = -1;
    std::string said_;
};

std::string quoted(const Words& words)
{
    std::string line;
    for (const auto& word : words)
        line += "'" + word + "' ";
    return line;
}

class TerminalTest : public CreatorTest {
protected:
    std::string create_line()
    {
        Words words = create_words(7, material_, material_.qemu());
        words.insert(words.begin(), {binary("xlstore"), "--store", store_.path()});
        return quoted(words);
    }
    /// It has no part in any terminal: a session of its own without one, and no descriptor of it.
    void expect_away_from_terminals(pid_t qemu)
    {
        const auto log = cell("SELECT log_path FROM domains");
        const std::string proc = "/proc/" + std::to_string(qemu);
        EXPECT_EQ(getsid(qemu), qemu);
        std::string stat = read_file(proc + "/stat");
        std::istringstream fields(stat.substr(stat.rfind(')') + 1));
        std::string state;
        int ppid = 0;
        int group = 0;
        int session = 0;
        int terminal = -1;
        fields >> state >> ppid >> group >> session >> terminal;
        EXPECT_EQ(terminal, 0) << stat;
        EXPECT_EQ(std::filesystem::read_symlink(proc + "/fd/0"), "/dev/null");
        // The pipe of the log's keeper.
        const auto out = std::filesystem::read_symlink(proc + "/fd/1");
        EXPECT_TRUE(out.string().starts_with("pipe:")) << out;
        EXPECT_EQ(std::filesystem::read_symlink(proc + "/fd/2"), out);
        EXPECT_TRUE(std::filesystem::exists(log)) << log;
    }
};

TEST_F(TerminalTest, QemuOutlivesTheTerminalItWasCreatedOn)
{
    Terminal terminal(create_line() +
                          "&& trap 'echo interrupted' INT && echo ready; "
                          "while :; do sleep 0.1; done",
                      {});
    ASSERT_TRUE(terminal.says("ready"));
    ASSERT_EQ(qemus().size(), 1U);
    const pid_t qemu = qemus().front();
    expect_away_from_terminals(qemu);

    terminal.type("\x03");  // to what runs in the foreground
    ASSERT_TRUE(terminal.says("interrupted"));
    EXPECT_TRUE(is_alive(qemu));
    terminal.close_it();  // hangs up
    const int status = terminal.wait();

    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGHUP) << status;
    EXPECT_FALSE(state_of(material_.judge).empty());  // it answers
    EXPECT_TRUE(ended(xl({"insert", "7", "hdc", material_.images['b']}), 0));
    EXPECT_TRUE(store_and_qemu_agree(store_.path(), material_.judge));
}

class InterruptTest : public TerminalTest, public testing::WithParamInterface<const char*> {};

// ^C while it creates is a crash like any other (R13): before the start barrier no QEMU has run,
// after it recovery finishes the creation.
TEST_P(InterruptTest, LeavesWhatRecoveryCanSettle)
{
    const std::string point = GetParam();
    Terminal terminal("exec " + create_line(), {{"XLSTORE_STOP_AT", point}});
    int status = 0;
    ASSERT_EQ(waitpid(terminal.pid(), &status, WUNTRACED), terminal.pid());
    ASSERT_TRUE(WIFSTOPPED(status));
    const auto interrupted = [&] {
        std::ifstream file("/proc/" + std::to_string(terminal.pid()) + "/status");
        for (std::string line; std::getline(file, line);)
            if (line.starts_with("ShdPnd:"))
                return (std::stoull(line.substr(7), nullptr, 16) >> (SIGINT - 1) & 1U) != 0;
        return false;
    };

    const bool let_go = point == "spawn.after_start_barrier";
    const auto monitor = store_.path() + "/run/qmp-1";
    if (let_go) {
        ASSERT_TRUE(wait_until(seconds(60), [&] { return std::filesystem::exists(monitor); }));
    }

    terminal.type("\x03");
    ASSERT_TRUE(wait_until(seconds(20), interrupted));
    kill(terminal.pid(), SIGCONT);
    status = terminal.wait();

    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT) << status;
    const auto all = [&] { return processes_with(store_.directory().path() + "/"); };
    if (!let_go) {
        EXPECT_TRUE(wait_until(seconds(20), [&] { return all().empty(); }));
    }
    const Ran preened = xlfsck(store_.path(), {"-p"});
    EXPECT_TRUE(ended(preened, 1));
    EXPECT_TRUE(contains(preened.out, let_go ? "FINISHED" : "MARKED DESTROYED"));
    ASSERT_EQ(qemus().size(), let_go ? 1U : 0U);
    EXPECT_EQ(cell("SELECT state FROM domain"), let_go ? "running" : "destroyed");
    if (let_go) {
        expect_away_from_terminals(qemus().front());
        EXPECT_TRUE(store_and_qemu_agree(store_.path(), material_.judge));
    }
    EXPECT_TRUE(ended(xlfsck(store_.path(), {"-n"}), 0));
}
INSTANTIATE_TEST_SUITE_P(Points, InterruptTest,
                         testing::Values("spawn.before_start_barrier", "spawn.after_start_barrier"),
                         [](const auto& one) {
                             std::string name = one.param;
                             return name.replace(name.find('.'), 1, "_");
                         });

}  // namespace
}  // namespace xlstore::test
