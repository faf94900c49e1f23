// SPDX-License-Identifier: MIT
#include "store/os/process.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "store/testing/crash_point.hpp"

namespace xlstore {
namespace {

/// A child that waits for a signal, under a name of its own; killed and reaped at the end.
class Child {
public:
    explicit Child(const char* name = "child")
    {
        int ready[2];
        EXPECT_EQ(pipe2(ready, O_CLOEXEC), 0);
        pid_ = fork();
        if (pid_ == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            prctl(PR_SET_NAME, name);
            if (write(ready[1], "x", 1) != 1) _exit(1);
            for (;;)
                pause();
        }
        close(ready[1]);
        char byte = 0;
        EXPECT_EQ(read(ready[0], &byte, 1), 1);
        close(ready[0]);
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child()
    {
        if (pid_ == 0) return;
        kill(pid_, SIGKILL);
        reap();
    }
    /// Ends it; it stays a zombie.
    void end() const
    {
        kill(pid_, SIGKILL);
        siginfo_t info{};
        EXPECT_EQ(waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT), 0);
    }
    void reap()
    {
        EXPECT_EQ(waitpid(pid_, nullptr, 0), pid_);
        pid_ = 0;
    }
    [[nodiscard]] pid_t pid() const { return pid_; }

private:
    pid_t pid_ = 0;
};

ProcessId identified(pid_t pid)
{
    auto id = identify(pid);
    EXPECT_TRUE(id) << (id ? "" : id.error().message);
    return id ? *id : ProcessId{};
}

TEST(ProcessTest, IdentifiesItself)
{
    const ProcessId id = identified(getpid());
    EXPECT_EQ(id.pid, getpid());
    EXPECT_GT(id.start_time, 0u);
    EXPECT_EQ(id.boot_id, current_boot_id());
    EXPECT_EQ(id.boot_id.size(), 36u);
    EXPECT_EQ(id.pid_namespace, current_pid_namespace());
    EXPECT_EQ(id, identified(getpid()));
    EXPECT_EQ(life_of(id), Life::alive);
}

// R11: every way to be dead, one after the other.
TEST(ProcessTest, ChildIsAliveThenAZombieThenGone)
{
    Child child;
    const ProcessId id = identified(child.pid());
    EXPECT_EQ(life_of(id), Life::alive);
    const auto pidfd = open_pidfd(id);
    ASSERT_TRUE(pidfd);
    EXPECT_FALSE(pidfd->dead());

    child.end();
    EXPECT_EQ(life_of(id), Life::dead) << "a zombie";
    EXPECT_TRUE(pidfd->dead());
    EXPECT_EQ(identified(child.pid()), id) << "a zombie has still a name";
    EXPECT_EQ(open_pidfd(id).error().code, Errc::not_found);

    child.reap();
    EXPECT_EQ(life_of(id), Life::dead) << "no such process";
    EXPECT_TRUE(pidfd->dead());
    EXPECT_EQ(open_pidfd(id).error().code, Errc::not_found);
    EXPECT_EQ(identify(static_cast<pid_t>(id.pid)).error().code, Errc::not_found);
}

// A pid that was used again: the number lives, the process that was meant does not.
TEST(ProcessTest, KnowsWhetherAProcessIsStopped)
{
    const pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    const auto id = identify(child);
    ASSERT_TRUE(id);
    EXPECT_FALSE(is_stopped(*id));
    ASSERT_EQ(kill(child, SIGSTOP), 0);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, WUNTRACED), child);
    EXPECT_TRUE(is_stopped(*id));
    ProcessId other = *id;
    ++other.start_time;
    EXPECT_FALSE(is_stopped(other)) << "a successor's state is not its own";
    ASSERT_EQ(kill(child, SIGCONT), 0);
    ASSERT_EQ(waitpid(child, &status, WCONTINUED), child);
    EXPECT_FALSE(is_stopped(*id));
    ASSERT_EQ(kill(child, SIGKILL), 0);
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_FALSE(is_stopped(*id)) << "it is gone";
}

TEST(ProcessTest, ProcessWithAnotherStartTimeIsNotTheOneMeant)
{
    const Child child;
    ProcessId earlier = identified(child.pid());
    earlier.start_time -= 1;
    EXPECT_EQ(life_of(earlier), Life::dead);
    const auto pidfd = open_pidfd(earlier);
    ASSERT_FALSE(pidfd) << "an unrelated process would be signalled";
    EXPECT_EQ(pidfd.error().code, Errc::not_found);
}

TEST(ProcessTest, NumberThatIsNowAThreadIsNotTheProcessMeant)
{
    pid_t tid = 0;
    int ready[2];
    int stop[2];
    ASSERT_EQ(pipe2(ready, O_CLOEXEC), 0);
    ASSERT_EQ(pipe2(stop, O_CLOEXEC), 0);
    std::thread thread([&] {
        tid = static_cast<pid_t>(syscall(SYS_gettid));
        char byte = 0;
        EXPECT_EQ(write(ready[1], "x", 1), 1);
        EXPECT_EQ(read(stop[0], &byte, 1), 0);
    });
    char byte = 0;
    EXPECT_EQ(read(ready[0], &byte, 1), 1);

    EXPECT_EQ(identify(tid).error().code, Errc::not_found);
    ProcessId id = identified(getpid());
    id.pid = tid;
    id.start_time = 1;
    EXPECT_EQ(life_of(id), Life::dead);

    close(stop[1]);
    thread.join();
    for (const int fd : {ready[0], ready[1], stop[0]})
        close(fd);
}

// /proc calls it a zombie (Z) from the moment its first thread ends; its others go on.
TEST(ProcessTest, ProcessWhoseFirstThreadEndedLivesOn)
{
    const pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pthread_t thread{};
        pthread_create(
            &thread, nullptr,
            [](void*) -> void* {
                for (;;)
                    pause();
            },
            nullptr);
        syscall(SYS_exit, 0);  // of this thread only
    }
    const ProcessId id = identified(child);
    char state = 0;
    for (int tries = 0; tries < 5000 && state != 'Z'; ++tries) {
        std::ifstream stat("/proc/" + std::to_string(child) + "/stat");
        std::string line;
        std::getline(stat, line);
        state = line.at(line.rfind(')') + 2);
        usleep(1000);
    }
    ASSERT_EQ(state, 'Z');

    EXPECT_EQ(life_of(id), Life::alive);

    kill(child, SIGKILL);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
    EXPECT_EQ(life_of(id), Life::dead);
}

/// Everything on the machine is seen from here.
bool sees_all()
{
    return current_pid_namespace() == 0xEFFFFFFCU;
}

TEST(ProcessTest, OtherBootAndNamespaceThatIsNotSeenAreUnknown)
{
    const ProcessId self = identified(getpid());

    ProcessId other_boot = self;
    other_boot.boot_id = "00000000-0000-0000-0000-000000000000";
    EXPECT_EQ(life_of(other_boot), Life::unknown);
    EXPECT_FALSE(of_this_boot(other_boot));
    EXPECT_TRUE(of_this_boot(self));
    EXPECT_EQ(open_pidfd(other_boot).error().code, Errc::io);

    ProcessId other_namespace = self;
    other_namespace.pid_namespace += 1;
    // No process is in it: that proves something only where all would be seen.
    const Life life = sees_all() ? Life::dead : Life::unknown;
    EXPECT_EQ(life_of(other_namespace), life);
    other_namespace.start_time += 1;
    EXPECT_EQ(life_of(other_namespace), life);
    EXPECT_EQ(open_pidfd(other_namespace).error().code, sees_all() ? Errc::not_found : Errc::io);
}

TEST(ProcessTest, NonsenseIsUnknownAndNeverDead)
{
    EXPECT_EQ(life_of(ProcessId{}), Life::unknown);
    for (const std::int64_t pid :
         {std::int64_t{0}, std::int64_t{-1}, (std::int64_t{1} << 32) + 0x3ff'ffff}) {
        ProcessId id = identified(getpid());
        id.pid = pid;
        EXPECT_EQ(life_of(id), Life::unknown) << pid;
    }
    EXPECT_EQ(identify(0).error().code, Errc::invalid);
    EXPECT_EQ(identify(-1).error().code, Errc::invalid);
    EXPECT_THROW((void)PidFd().dead(), IoError);
}

// Out of descriptors nothing can be looked at, and nothing may be called dead.
TEST(ProcessTest, WithoutDescriptorsALivingProcessIsUnknown)
{
    const Child child;
    const ProcessId id = identified(child.pid());
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    const rlimit none{0, before.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    const Life life = life_of(id);
    const auto pidfd = open_pidfd(id);
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);

    EXPECT_EQ(life, Life::unknown);
    EXPECT_EQ(pidfd.error().code, Errc::io);
}

/// From now on this process has no pidfds: the kernel answers with `error`. False: no seccomp.
bool answer_pidfds_with(unsigned error)
{
    sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_send_signal, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{5, filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// What a process is held by then tells the same of it.
int hold_without_pidfds()
{
    if (!answer_pidfds_with(ENOSYS)) return 2;
    const pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    const auto id = identify(child);
    const auto held = open_pidfd(*id);
    Loop loop;
    if (!held || held->dead() || life_of(*id) != Life::alive) return 3;
    if (loop.wait_for(held->ended(loop, Clock::now() + std::chrono::milliseconds(20)))) return 4;
    std::atomic<pid_t> thread = 0;
    std::atomic<bool> over = false;
    std::thread other([&] {
        thread = static_cast<pid_t>(syscall(SYS_gettid));
        while (!over)
            std::this_thread::yield();
    });
    while (thread == 0)
        std::this_thread::yield();
    const bool thread_is_none = !identify(thread);
    over = true;
    other.join();
    if (!thread_is_none || identify(getpid())->pid != getpid()) return 5;
    siginfo_t info{};
    if (!held->reap(info) || info.si_pid != 0) return 6;  // it lives
    if (!held->send_signal(SIGKILL)) return 7;
    if (!loop.wait_for(held->ended(loop, Clock::now() + std::chrono::seconds(20)))) return 8;
    if (!held->dead() || life_of(*id) != Life::dead) return 9;  // a zombie
    if (!held->reap(info) || info.si_pid != child || info.si_status != SIGKILL) return 10;
    const auto again = held->send_signal(SIGKILL);
    if (again || again.error().code != Errc::not_found || !held->ended_within(1)) return 11;
    return life_of(*id) == Life::dead && !identify(child) ? 0 : 12;
}

TEST(ProcessTest, WithoutPidfdsTheDirectoryInProcHoldsIt)
{
    const pid_t asker = fork();
    if (asker == 0) _exit(hold_without_pidfds());
    int status = -1;
    ASSERT_EQ(waitpid(asker, &status, 0), asker);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2) GTEST_SKIP() << "no seccomp";
    EXPECT_EQ(status, 0) << WEXITSTATUS(status);
}

// A sandbox that forbids the question has not answered it.
TEST(ProcessTest, RefusedPidfdOpenIsUnknown)
{
    const Child child;
    const ProcessId id = identified(child.pid());
    const pid_t asker = fork();
    if (asker == 0) {
        if (!answer_pidfds_with(EPERM)) _exit(2);
        ProcessId earlier = id;
        earlier.start_time -= 1;
        const bool good = life_of(id) == Life::unknown && open_pidfd(id).error().code == Errc::io &&
                          identify(child.pid()).error().code == Errc::io &&
                          life_of(earlier) == Life::dead;  // its pid has plainly passed on
        _exit(good ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(waitpid(asker, &status, 0), asker);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2) GTEST_SKIP() << "no seccomp";
    EXPECT_EQ(status, 0);
}

// The name stands in /proc/PID/stat before the fields that are counted.
TEST(ProcessTest, NameWithSpacesAndParenthesesDoesNotShiftTheFields)
{
    const ProcessId plain = identified(getpid());
    const Child child("x) R 1 2 (3 ) 4");
    const ProcessId id = identified(child.pid());
    EXPECT_GE(id.start_time, plain.start_time);
    EXPECT_LT(id.start_time, plain.start_time + 360'000) << "an hour of ticks later at most";
    EXPECT_EQ(life_of(id), Life::alive);
    EXPECT_EQ(program_of(child.pid()), "x) R 1 2 (3 ) 4");
}

TEST(ProcessTest, NameIsMadePrintable)
{
    const Child child("a\n\x1b[31m\xc3\xa9\x7f");
    EXPECT_EQ(program_of(child.pid()), "a??[31m???");
    EXPECT_EQ(program_of(-1), "unknown");
}

TEST(ProcessTest, PidFdSignalsThatVeryProcess)
{
    Child child;
    const auto pidfd = open_pidfd(identified(child.pid()));
    ASSERT_TRUE(pidfd);
    for (int fd = 3; fd < 1024; ++fd) {
        char kind[64] = "";
        const std::string link = "/proc/self/fd/" + std::to_string(fd);
        if (readlink(link.c_str(), kind, sizeof kind - 1) < 0 || strstr(kind, "[pidfd]") == nullptr)
            continue;
        EXPECT_TRUE(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    }
    EXPECT_EQ(pidfd->send_signal(-1).error().code, Errc::io);
    EXPECT_TRUE(pidfd->send_signal(SIGKILL));
    child.reap();
    const auto again = pidfd->send_signal(SIGKILL);
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, Errc::not_found);
}

/// A forked child that has the same pid here and in the namespace one level up; -1: not to be had.
pid_t fork_with_equal_pids()
{
    for (pid_t wanted = 20'000; wanted < 20'100; ++wanted) {
        const pid_t pids[] = {wanted, wanted};
        clone_args arguments{};
        arguments.exit_signal = SIGCHLD;
        arguments.set_tid = reinterpret_cast<std::uintptr_t>(pids);
        arguments.set_tid_size = 2;
        const long child = syscall(SYS_clone3, &arguments, sizeof arguments);
        if (child >= 0 || errno != EEXIST) return static_cast<pid_t>(child);
    }
    return -1;
}

// Below a /proc of another namespace the numbers are other processes'.
TEST(ProcessTest, ForeignProcIsNotBelieved)
{
    const ProcessId self = identified(getpid());
    const pid_t outer = fork();
    if (outer == 0) {
        if (unshare(CLONE_NEWPID) != 0) _exit(2);
        const pid_t inner = fork();  // pid 1 of a new namespace, with our /proc
        if (inner == 0) {
            ProcessId one = self;
            one.pid = 1;
            one.start_time = 0;
            one.pid_namespace = current_pid_namespace();
            const bool good = life_of(one) == Life::unknown && life_of(self) == Life::unknown &&
                              !identify(1) && identify(1).error().code == Errc::io;
            if (!good) _exit(1);
            // Even if one's own number happens to be right.
            const pid_t twin = fork_with_equal_pids();
            if (twin < 0) _exit(2);
            if (twin == 0) _exit(identify(getpid()) ? 1 : 0);
            int twin_status = -1;
            waitpid(twin, &twin_status, 0);
            _exit(twin_status == 0 ? 0 : 1);
        }
        int status = -1;
        waitpid(inner, &status, 0);
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 3);
    }
    int status = -1;
    ASSERT_EQ(waitpid(outer, &status, 0), outer);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2) GTEST_SKIP() << "not permitted here";
    EXPECT_EQ(status, 0);
}

/// What a process in a pid namespace of its own, below ours, says of two others: one beside it, and
/// one in a namespace still further below, both named by their numbers in its own namespace.
class NamespaceBelow {
public:
    NamespaceBelow()
    {
        int there[2];
        int back[2];
        if (pipe(there) != 0 || pipe(back) != 0) return;
        outer_ = fork();
        if (outer_ == 0) {
            close(there[0]);
            close(back[1]);
            if (unshare(CLONE_NEWPID | CLONE_NEWNS) != 0) _exit(2);
            const pid_t first = fork();
            if (first == 0) run_first(there[1], back[0]);
            int status = -1;
            waitpid(first, &status, 0);
            _exit(0);
        }
        close(there[1]);
        close(back[0]);
        leash_.reset(back[1]);
        const Fd from(there[0]);
        ok_ = read_id(from.get(), beside_) && read_id(from.get(), below_);
    }
    ~NamespaceBelow() { end(); }
    void end()
    {
        leash_.reset();
        if (outer_ > 0) waitpid(outer_, nullptr, 0);
        outer_ = -1;
    }
    explicit operator bool() const { return ok_; }
    [[nodiscard]] const ProcessId& beside() const { return beside_; }
    [[nodiscard]] const ProcessId& below() const { return below_; }

private:
    // Pid 1 of the namespace: its end ends the others.
    [[noreturn]] static void run_first(int to, int leash)
    {
        if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
            mount("proc", "/proc", "proc", 0, nullptr) != 0)
            _exit(2);
        const pid_t one = fork();
        if (one == 0) {
            for (;;)
                pause();
        }
        if (unshare(CLONE_NEWPID) != 0) _exit(2);
        const pid_t two = fork();
        if (two == 0) {
            for (;;)
                pause();
        }
        for (const pid_t pid : {one, two}) {
            const auto id = identify(pid);
            if (!id) _exit(3);
            const std::string text = std::to_string(id->pid) + " " +
                                     std::to_string(id->start_time) + " " +
                                     std::to_string(id->pid_namespace) + "\n";
            if (write(to, text.data(), text.size()) < 0) _exit(3);
        }
        char byte = 0;
        (void)!read(leash, &byte, 1);
        _exit(0);
    }
    static bool read_id(int from, ProcessId& id)
    {
        std::string line;
        for (char c = 0; read(from, &c, 1) == 1 && c != '\n';)
            line += c;
        std::istringstream fields(line);
        id.boot_id = current_boot_id();
        return static_cast<bool>(fields >> id.pid >> id.start_time >> id.pid_namespace);
    }
    pid_t outer_ = -1;
    Fd leash_;
    bool ok_ = false;
    ProcessId beside_;
    ProcessId below_;
};

TEST(ProcessTest, ProcessOfANamespaceBelowIsSeenHeldAndProvedDead)
{
    NamespaceBelow space;
    if (!space) GTEST_SKIP() << "no pid namespaces for this user";
    for (const ProcessId& id : {space.beside(), space.below()}) {
        EXPECT_NE(id.pid_namespace, current_pid_namespace());
        EXPECT_EQ(life_of(id), Life::alive) << id.pid;
        ProcessId earlier = id;
        earlier.start_time -= 1;
        EXPECT_EQ(life_of(earlier), Life::dead) << "another had that pid before";
        ProcessId other = id;
        other.pid += 1000;
        EXPECT_EQ(life_of(other), Life::dead);
        const auto held = open_pidfd(id);
        ASSERT_TRUE(held) << held.error().message;
        EXPECT_FALSE(held->dead());
        ASSERT_TRUE(held->send_signal(SIGKILL));
        for (int i = 0; i < 1000 && life_of(id) != Life::dead; ++i)
            usleep(10'000);
        EXPECT_EQ(life_of(id), Life::dead) << "and its namespace goes on";
    }
}

// Where the namespace has ended nothing of it is seen. In the initial namespace it would be; in any
// other it may be one that was never below.
TEST(ProcessTest, NamespaceThatHasEndedProvesDeathWhereEverythingIsSeen)
{
    NamespaceBelow space;
    if (!space) GTEST_SKIP() << "no pid namespaces for this user";
    const ProcessId id = space.beside();
    space.end();
    EXPECT_EQ(life_of(id), sees_all() ? Life::dead : Life::unknown);
    EXPECT_EQ(open_pidfd(id).error().code, sees_all() ? Errc::not_found : Errc::io);
    EXPECT_EQ(why_unknown(id).empty(), sees_all());
}

// There the same process shows another start time, and would be taken for a successor: dead.
TEST(ProcessTest, ShiftedClockOfATimeNamespaceIsNotBelieved)
{
    const ProcessId self = identified(getpid());
    const pid_t outer = fork();
    if (outer == 0) {
        if (unshare(CLONE_NEWTIME) != 0) _exit(2);
        std::ofstream offsets("/proc/self/timens_offsets");
        if (!(offsets << "boottime 1000 0\n" << std::flush)) _exit(2);
        const pid_t inner = fork();
        if (inner == 0)
            _exit(life_of(self) == Life::unknown && identify(getppid()).error().code == Errc::io
                      ? 0
                      : 1);
        int status = -1;
        waitpid(inner, &status, 0);
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 3);
    }
    int status = -1;
    ASSERT_EQ(waitpid(outer, &status, 0), outer);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2) GTEST_SKIP() << "not permitted here";
    EXPECT_EQ(status, 0);
}

TEST(ProcessTest, TestBootIdIsHonouredOnlyWithCrashPoints)
{
    const std::string real = current_boot_id();
    setenv("XLSTORE_TEST_BOOT_ID", "another-boot", 1);
    const std::string seen = current_boot_id();
    unsetenv("XLSTORE_TEST_BOOT_ID");
    EXPECT_EQ(seen, crash_points_active() ? "another-boot" : real);
}

}  // namespace
}  // namespace xlstore
