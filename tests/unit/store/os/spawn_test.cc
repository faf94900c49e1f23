// SPDX-License-Identifier: MIT
#include "store/os/spawn.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "store/os/child_process.hpp"
#include "store/os/log_keeper.hpp"
#include "store/testing/crash_point.hpp"
#include "tests/support/process.hpp"

namespace xlstore {
namespace {

constexpr auto kLimit = std::chrono::seconds(60);

Result<WaitingChild> spawn(SpawnRequest request)
{
    Loop loop;
    return loop.wait_for(spawn_waiting(loop, std::move(request), Clock::now() + kLimit));
}

Result<void> open_start_barrier(WaitingChild& child)
{
    Loop loop;
    return loop.wait_for(child.open_start_barrier(loop, Clock::now() + kLimit));
}

using namespace std::chrono_literals;

/// Waits until the process has ended.
bool ends(const PidFd& pidfd, std::chrono::milliseconds within = 10s)
{
    return pidfd.ended_within(static_cast<int>(within.count()));
}

/// Of a log: once all that its programs printed is in it.
std::string content_of(const std::string& path)
{
    for (int tries = 0; tries < 5000 && !log_is_complete(path); ++tries)
        std::this_thread::sleep_for(2ms);
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

class SpawnTest : public testing::Test {
protected:
    SpawnTest()
    {
        std::string name = testing::TempDir() + "xlstore-spawn-XXXXXX";
        EXPECT_NE(mkdtemp(name.data()), nullptr);
        directory_ = name;
    }
    ~SpawnTest() override { std::filesystem::remove_all(directory_); }

    [[nodiscard]] std::string file(const std::string& name) const
    {
        return directory_ + "/" + name;
    }
    [[nodiscard]] SpawnRequest logged(std::vector<std::string> argv) const
    {
        return {.argv = std::move(argv), .keep_fds = {}, .log_path = file("log")};
    }
    [[nodiscard]] SpawnRequest shell(const std::string& script) const
    {
        return logged({"sh", "-c", script});
    }
    static SpawnRequest unlogged(std::vector<std::string> argv)
    {
        return {.argv = std::move(argv), .keep_fds = {}, .log_path = {}};
    }
    /// Runs the request to its end, and returns what it printed.
    [[nodiscard]] std::string output_of(const SpawnRequest& request) const
    {
        auto child = spawn(request);
        if (!child) return "error: " + child.error().message;
        const auto opened = open_start_barrier(*child);
        if (!opened) return "error: " + opened.error().message;
        EXPECT_TRUE(ends(child->pidfd()));
        EXPECT_TRUE(child->reap_if_dead());
        return content_of(file("log"));
    }

    /// A creator in a process of its own, which is killed (by us or by a crash point) while its
    /// child waits or runs. The creator writes the child's pid to the descriptor it is given; who
    /// that was goes to `child_out`.
    template <class Creator>
    void run_creator(Creator creator, ProcessId* child_out)
    {
        int pipe_ends[2];
        ASSERT_EQ(pipe2(pipe_ends, O_CLOEXEC), 0);
        const pid_t pid = fork();
        if (pid == 0) {
            creator(pipe_ends[1]);
            for (;;)
                pause();
        }
        close(pipe_ends[1]);
        pid_t waiting = 0;
        const auto n = read(pipe_ends[0], &waiting, sizeof waiting);
        if (n == sizeof waiting) {
            auto id = identify(waiting);
            ASSERT_TRUE(id) << (id ? "" : id.error().message);
            *child_out = *id;
        }
        kill(pid, SIGKILL);
        ASSERT_EQ(waitpid(pid, nullptr, 0), pid);
        close(pipe_ends[0]);
    }

    static bool dies(const ProcessId& id)
    {
        for (int tries = 0; tries < 5000; ++tries) {
            if (life_of(id) == Life::dead) return true;
            std::this_thread::sleep_for(2ms);
        }
        return false;
    }

    std::string directory_;
};

// R13: no program before the start barrier, the program after it.
TEST_F(SpawnTest, RunsTheProgramOnlyOnceTheStartBarrierIsOpen)
{
    auto child = spawn(shell("touch " + file("marker")));
    ASSERT_TRUE(child) << (child ? "" : child.error().message);
    EXPECT_EQ(life_of(child->id()), Life::alive);
    EXPECT_EQ(child->id().pid, child->pid());
    std::this_thread::sleep_for(50ms);
    EXPECT_FALSE(std::filesystem::exists(file("marker")));
    EXPECT_FALSE(child->reap_if_dead());

    ASSERT_TRUE(open_start_barrier(*child));

    ASSERT_TRUE(ends(child->pidfd()));
    EXPECT_TRUE(std::filesystem::exists(file("marker")));
    EXPECT_TRUE(child->reap_if_dead());
    EXPECT_EQ(child->how_it_ended(), "exited with status 0");
    EXPECT_EQ(open_start_barrier(*child).error().code, Errc::order);
}

TEST_F(SpawnTest, DroppedBeforeTheStartBarrierTheChildEndsAndIsReaped)
{
    ProcessId id;
    {
        const auto child = spawn(shell("touch " + file("marker")));
        ASSERT_TRUE(child);
        id = child->id();
        kill(child->pid(), SIGSTOP);  // nor does a stopped one hold us up
    }
    // At once, as a rule; on a busy machine by the next that starts a program.
    EXPECT_TRUE(test::wait_until(kLimit, [&] {
        reap_programs();
        return kill(static_cast<pid_t>(id.pid), 0) == -1;
    })) << "reaped, not only dead";
    EXPECT_EQ(life_of(id), Life::dead);
    EXPECT_FALSE(std::filesystem::exists(file("marker")));
}

// R13: if the creator dies, the child exits. A process forked off the creator meanwhile, which
// lives on, does not keep the start barrier from closing.
TEST_F(SpawnTest, ChildExitsWhenItsCreatorIsKilledBeforeTheStartBarrier)
{
    int bystander_stop[2];
    ASSERT_EQ(pipe2(bystander_stop, O_CLOEXEC), 0);
    ProcessId waiting;
    run_creator(
        [&](int report) {
            auto child = spawn(shell("touch " + file("marker")));
            if (!child) _exit(1);
            if (fork() == 0) {
                close(bystander_stop[1]);
                close(report);
                char byte = 0;
                _exit(static_cast<int>(read(bystander_stop[0], &byte, 1)));
            }
            const pid_t pid = child->pid();
            if (write(report, &pid, sizeof pid) != sizeof pid) _exit(1);
            for (;;)
                pause();
        },
        &waiting);
    ASSERT_NE(waiting.pid, 0);

    EXPECT_TRUE(dies(waiting));

    EXPECT_FALSE(std::filesystem::exists(file("marker")));
    close(bystander_stop[0]);
    close(bystander_stop[1]);
}

TEST_F(SpawnTest, ProgramOutlivesItsCreator)
{
    ProcessId waiting;
    run_creator(
        [&](int report) {
            auto child = spawn(shell("while ! test -e " + file("go") +
                                     "; do sleep 0.01; done; touch " + file("marker")));
            if (!child || !open_start_barrier(*child)) _exit(1);
            const pid_t pid = child->pid();
            if (write(report, &pid, sizeof pid) != sizeof pid) _exit(1);
            for (;;)
                pause();
        },
        &waiting);
    ASSERT_NE(waiting.pid, 0);

    EXPECT_EQ(life_of(waiting), Life::alive);
    std::ofstream(file("go")).close();
    EXPECT_TRUE(dies(waiting));
    EXPECT_TRUE(std::filesystem::exists(file("marker")));
}

// Past the start barrier the creator's end is no matter, not even while the child is on its way to
// exec.
TEST_F(SpawnTest, ProgramBeginsThoughItsCreatorDiedRightAfterOpeningTheStartBarrier)
{
    if (!crash_points_active()) GTEST_SKIP() << "built without crash points";
    int pipe_ends[2];
    ASSERT_EQ(pipe2(pipe_ends, O_CLOEXEC), 0);
    const pid_t creator = fork();
    if (creator == 0) {
        setenv("XLSTORE_CRASH_AT", "spawn.after_start_barrier", 1);
        auto child = spawn(shell("touch " + file("marker")));
        if (!child) _exit(1);
        const pid_t pid = child->pid();
        kill(pid, SIGSTOP);
        siginfo_t info{};
        waitid(P_PID, static_cast<id_t>(pid), &info, WSTOPPED);
        if (write(pipe_ends[1], &pid, sizeof pid) != sizeof pid) _exit(1);
        (void)open_start_barrier(*child);
        _exit(1);
    }
    close(pipe_ends[1]);
    pid_t pid = 0;
    ASSERT_EQ(read(pipe_ends[0], &pid, sizeof pid), static_cast<ssize_t>(sizeof pid));
    close(pipe_ends[0]);
    const auto id = identify(pid);
    int status = 0;
    ASSERT_EQ(waitpid(creator, &status, 0), creator);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    ASSERT_TRUE(id);

    const auto pidfd = open_pidfd(*id);
    ASSERT_TRUE(pidfd && pidfd->send_signal(SIGCONT));

    EXPECT_TRUE(ends(*pidfd));
    EXPECT_TRUE(std::filesystem::exists(file("marker")));
}

TEST_F(SpawnTest, CrashPointsLetTheProgramRunOnlyPastTheStartBarrier)
{
    if (!crash_points_active()) GTEST_SKIP() << "built without crash points";
    for (const std::string point : {"spawn.before_fork", "spawn.after_fork",
                                    "spawn.before_start_barrier", "spawn.after_start_barrier"}) {
        const std::string marker = file(point);
        const pid_t creator = fork();
        if (creator == 0) {
            setenv("XLSTORE_CRASH_AT", point.c_str(), 1);
            auto child = spawn(shell("touch " + marker));
            if (child) (void)open_start_barrier(*child);
            _exit(0);
        }
        int status = 0;
        ASSERT_EQ(waitpid(creator, &status, 0), creator);
        EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << point;

        const bool expected = point == "spawn.after_start_barrier";
        for (int tries = expected ? 5000 : 50; tries > 0; --tries) {
            if (std::filesystem::exists(marker)) break;
            std::this_thread::sleep_for(2ms);
        }
        EXPECT_EQ(std::filesystem::exists(marker), expected) << point;
    }
}

TEST_F(SpawnTest, ProgramHasItsStandardThreeAndWhatItIsGivenAndNothingElse)
{
    // Plain descriptors without close-on-exec: only close_range() keeps these from QEMU.
    const Fd stray(open("/dev/null", O_RDONLY));
    const Fd given(fcntl(stray.get(), F_DUPFD_CLOEXEC, 40));
    const Fd also(fcntl(stray.get(), F_DUPFD_CLOEXEC, 41));
    const Fd high(fcntl(stray.get(), F_DUPFD, 100));
    SpawnRequest request = logged({"ls", "-U", "/proc/self/fd"});
    request.keep_fds = {also.get(), given.get(), also.get()};

    std::istringstream printed(output_of(request));

    std::set<int> open_there;
    for (int fd = 0; printed >> fd;)
        open_there.insert(fd);
    // ls itself reads the directory through the lowest free one.
    EXPECT_EQ(open_there, (std::set<int>{0, 1, 2, 3, given.get(), also.get()}));
    EXPECT_TRUE(fcntl(given.get(), F_GETFD) & FD_CLOEXEC) << "the caller's own copy is as it was";
}

TEST_F(SpawnTest, KeptDescriptorIsTheSameFile)
{
    const Fd data(open(file("data").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    // One digit: sh knows no longer numbers in a redirection.
    const Fd given(fcntl(data.get(), F_DUPFD_CLOEXEC, 7));
    ASSERT_TRUE(given);
    auto request = shell("echo hello >&" + std::to_string(given.get()));
    request.keep_fds = {given.get()};
    EXPECT_EQ(output_of(request), "");
    EXPECT_EQ(content_of(file("data")), "hello\n");
}

TEST_F(SpawnTest, WorksInAProcessWhoseStandardDescriptorsAreClosed)
{
    const auto request = shell("echo out; echo err >&2; readlink /proc/self/fd/0");
    const pid_t creator = fork();
    if (creator == 0) {
        for (int fd = 0; fd <= 2; ++fd)
            close(fd);
        auto child = spawn(request);
        if (!child || !open_start_barrier(*child) || !ends(child->pidfd())) _exit(1);
        _exit(0);
    }
    int status = -1;
    ASSERT_EQ(waitpid(creator, &status, 0), creator);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(content_of(file("log")), "out\nerr\n/dev/null\n");
}

TEST_F(SpawnTest, LogIsAppendedAndPrivate)
{
    const mode_t before = umask(0);
    EXPECT_EQ(output_of(shell("echo one")), "one\n");
    umask(before);
    struct stat st {};
    ASSERT_EQ(stat(file("log").c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777, 0600u);
    EXPECT_EQ(output_of(shell("echo two >&2")), "one\ntwo\n");
}

TEST_F(SpawnTest, ProgramLeadsASessionOfItsOwn)
{
    // Field 6 of stat: the session; sh prints its own pid beside it.
    std::istringstream printed(
        output_of(shell("read -r line </proc/$$/stat; echo $$ ${line##*) }")));
    long pid = 0;
    std::string state;
    long parent = 0;
    long group = 0;
    long session = 0;
    ASSERT_TRUE(printed >> pid >> state >> parent >> group >> session);
    EXPECT_EQ(session, pid);
    EXPECT_EQ(group, pid);
    EXPECT_EQ(parent, getpid());
}

// An ignored signal stays ignored over exec, and a blocked one blocked.
// What was let go and has not run yet must not go with a signal to its creator's group.
TEST_F(SpawnTest, ChildAtItsStartBarrierLeadsItsSessionAlready)
{
    for (int i = 0; i < 50; ++i) {
        const auto child = spawn(shell("true"));
        ASSERT_TRUE(child);
        ASSERT_EQ(getsid(child->pid()), child->pid());
    }
}

TEST_F(SpawnTest, SignalsAreAtTheirDefaultAndUnblocked)
{
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    struct sigaction old_pipe {};
    sigaction(SIGPIPE, &ignore, &old_pipe);
    sigset_t blocked;
    sigset_t old_mask;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &blocked, &old_mask);

    const std::string printed =
        output_of(logged({"sed", "-n", "/^Sig[BIC]/p", "/proc/self/status"}));

    sigset_t now;
    pthread_sigmask(SIG_SETMASK, &old_mask, &now);
    sigaction(SIGPIPE, &old_pipe, nullptr);
    EXPECT_EQ(printed,
              "SigBlk:\t0000000000000000\n"
              "SigIgn:\t0000000000000000\n"
              "SigCgt:\t0000000000000000\n");
    EXPECT_TRUE(sigismember(&now, SIGTERM)) << "the caller's mask is as it was";
    EXPECT_FALSE(sigismember(&now, SIGINT));
}

TEST_F(SpawnTest, MissingProgramIsFoundOutBeforeTheStartBarrier)
{
    for (const std::string name : {"no-such-program-of-xlstore", "/nonexistent/program"}) {
        const auto child = spawn(unlogged({name}));
        ASSERT_FALSE(child);
        EXPECT_EQ(child.error().code, Errc::not_found);
        EXPECT_NE(child.error().message.find(name), std::string::npos);
    }
    std::ofstream(file("plain")) << "text";
    EXPECT_EQ(spawn(unlogged({file("plain")})).error().code, Errc::refused);
    // A child that did not end within a moment is left to reap_programs().
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    siginfo_t left{};
    while (waitid(P_ALL, 0, &left, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           std::chrono::steady_clock::now() < deadline) {
        reap_programs();
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    EXPECT_NE(waitid(P_ALL, 0, &left, WEXITED | WNOHANG | WNOWAIT), 0)
        << "a process was left behind";
}

TEST_F(SpawnTest, EnvironmentIsAddedToOnesOwn)
{
    setenv("XLSTORE_TEST_OWN", "kept", 1);  // NOLINT(concurrency-mt-unsafe)
    SpawnRequest request = shell("echo $XLSTORE_TEST_OWN $XLSTORE_TEST_MORE > " + file("seen") +
                                 "; mv " + file("seen") + " " + file("marker"));
    request.environment = {"XLSTORE_TEST_MORE=added"};
    auto child = spawn(request);
    ASSERT_TRUE(child && open_start_barrier(*child) && ends(child->pidfd()));
    std::string first;
    std::string second;
    std::ifstream(file("marker")) >> first >> second;
    EXPECT_EQ(first + " " + second, "kept added");
}

TEST_F(SpawnTest, BadRequestsAreRefused)
{
    const ForkClosedFd ends_at_fork(open("/dev/null", O_RDONLY | O_CLOEXEC));
    const auto code = [](const SpawnRequest& request) { return spawn(request).error().code; };
    EXPECT_EQ(code({}), Errc::invalid);
    EXPECT_EQ(code(unlogged({""})), Errc::invalid);
    EXPECT_EQ(code(unlogged({"true", std::string("a\0b", 3)})), Errc::invalid);
    for (const int fd : {-1, 0, 2, 999, ends_at_fork.get()})
        EXPECT_EQ(code({.argv = {"true"}, .keep_fds = {fd}, .log_path = {}}), Errc::invalid) << fd;
    const auto not_open = spawn({.argv = {"true"}, .keep_fds = {999}, .log_path = {}}).error();
    EXPECT_NE(not_open.advice.find("descriptors"), std::string::npos)
        << "no fault of the program: " << not_open.advice;
    EXPECT_EQ(code({.argv = {"true"}, .keep_fds = {}, .log_path = file("no/such/log")}), Errc::io);
}

TEST_F(SpawnTest, FailedExecIsReportedAndReaped)
{
    std::ofstream(file("program")) << "#!/nonexistent/interpreter\n";
    std::filesystem::permissions(file("program"), std::filesystem::perms::owner_all);
    auto child = spawn(unlogged({file("program")}));
    ASSERT_TRUE(child);

    const auto opened = open_start_barrier(*child);

    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, Errc::refused);
    EXPECT_NE(opened.error().message.find(file("program")), std::string::npos);
    EXPECT_NE(opened.error().message.find("No such file"), std::string::npos)
        << opened.error().message;
    EXPECT_TRUE(child->reap_if_dead());
    EXPECT_EQ(kill(child->pid(), 0), -1);
}

// Neither a SIGPIPE to the embedder nor a success.
TEST_F(SpawnTest, ChildThatWasKilledAtItsStartBarrierIsAnError)
{
    auto child = spawn(shell("true"));
    ASSERT_TRUE(child);
    kill(child->pid(), SIGKILL);
    ASSERT_TRUE(ends(child->pidfd()));

    const auto opened = open_start_barrier(*child);

    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, Errc::refused);
    EXPECT_NE(opened.error().message.find("killed by signal 9"), std::string::npos)
        << opened.error().message;
    EXPECT_EQ(open_start_barrier(*child).error().code, Errc::order);
}

TEST_F(SpawnTest, ChildKilledWithTheStartBarrierOpenButNotYetPassedIsAnError)
{
    auto child = spawn(shell("true"));
    ASSERT_TRUE(child);
    kill(child->pid(), SIGSTOP);
    std::thread killer([&child] {
        std::this_thread::sleep_for(100ms);
        kill(child->pid(), SIGKILL);
    });

    const auto opened = open_start_barrier(*child);

    killer.join();
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, Errc::refused);
}

// A child that another thread forks meanwhile must get neither end of the start barrier: it would
// keep open_start_barrier() from seeing the exec, and the start barrier from closing.
TEST_F(SpawnTest, ForksOfOtherThreadsGetNoEndOfTheStartBarrier)
{
    int stop[2];
    ASSERT_EQ(pipe2(stop, O_CLOEXEC), 0);
    std::vector<pid_t> bystanders;
    std::atomic<bool> enough{false};
    std::thread forker([&] {
        while (!enough && bystanders.size() < 300) {
            const pid_t pid = fork();
            if (pid == 0) {
                close(stop[1]);
                char byte = 0;
                _exit(static_cast<int>(read(stop[0], &byte, 1)));
            }
            bystanders.push_back(pid);
        }
    });

    for (int round = 0; round < 40; ++round) {
        auto child = spawn(unlogged({"true"}));
        EXPECT_TRUE(child);
        if (!child) break;
        const auto opened = open_start_barrier(*child);
        EXPECT_TRUE(opened) << (opened ? "" : opened.error().message);
        EXPECT_TRUE(ends(child->pidfd()));
        EXPECT_TRUE(child->reap_if_dead());
        if (!opened) break;
    }

    enough = true;
    forker.join();
    close(stop[1]);
    for (const pid_t pid : bystanders)
        EXPECT_EQ(waitpid(pid, nullptr, 0), pid);
    close(stop[0]);
}

TEST_F(SpawnTest, ForkedCopyOfTheHandleNeitherOpensNorEndsTheChild)
{
    auto child = spawn(shell("true"));
    ASSERT_TRUE(child);
    const pid_t fork_pid = fork();
    if (fork_pid == 0) {
        const auto opened = open_start_barrier(*child);
        const bool refused =
            !opened && opened.error().code == Errc::order && !child->reap_if_dead();
        {
            const WaitingChild dropped(*std::move(child));
        }
        _exit(refused ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(waitpid(fork_pid, &status, 0), fork_pid);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(life_of(child->id()), Life::alive);
    EXPECT_TRUE(open_start_barrier(*child));
    EXPECT_TRUE(ends(child->pidfd()));
}

TEST_F(SpawnTest, DroppedAfterTheStartBarrierTheProgramRunsOn)
{
    ProcessId id;
    {
        auto child = spawn(unlogged({"sleep", "60"}));
        ASSERT_TRUE(child && open_start_barrier(*child));
        WaitingChild moved(*std::move(child));
        id = moved.id();
    }
    EXPECT_EQ(life_of(id), Life::alive);
    const auto pidfd = open_pidfd(id);
    ASSERT_TRUE(pidfd && pidfd->send_signal(SIGKILL));
    EXPECT_EQ(waitpid(static_cast<pid_t>(id.pid), nullptr, 0), id.pid);
}

// An embedder that ignores SIGCHLD has its children reaped by the kernel; the pid is then free.
TEST_F(SpawnTest, ChildReapedByTheKernelCountsAsReaped)
{
    struct sigaction ignore {};
    ignore.sa_handler = SIG_IGN;
    struct sigaction before {};
    sigaction(SIGCHLD, &ignore, &before);
    auto child = spawn(shell("true"));
    const bool ran = child && open_start_barrier(*child) && ends(child->pidfd());
    const bool reaped = ran && child->reap_if_dead();
    sigaction(SIGCHLD, &before, nullptr);
    EXPECT_TRUE(ran);
    EXPECT_TRUE(reaped);
    EXPECT_FALSE(child->how_it_ended());
}

}  // namespace
}  // namespace xlstore
