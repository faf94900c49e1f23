// SPDX-License-Identifier: MIT
// R20: what a file system, a program or another process takes its time for is waited for on the
// loop; nothing but a commit keeps it. A file system that never answers costs the deadline.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "store/core/domain.hpp"
#include "store/lifecycle/creation.hpp"
#include "store/lifecycle/destroy.hpp"
#include "store/operation/operation.hpp"
#include "tests/support/dead_server.hpp"
#include "tests/support/loop_watchdog.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore::test {
namespace {

using std::chrono::seconds;

/// Another process has a lease on the file, as a file server has: exec and open() of it wait until
/// it is given back (fcntl(2), F_SETLEASE). stat() does not.
class Leased {
public:
    explicit Leased(const std::string& path)
    {
        int ready[2];
        if (pipe(ready) != 0) return;
        pid_ = fork();
        if (pid_ == 0) {
            signal(SIGIO, SIG_IGN);
            const int fd = open(path.c_str(), O_RDONLY);
            const char byte = fd >= 0 && fcntl(fd, F_SETLEASE, F_WRLCK) == 0 ? 'y' : 'n';
            (void)!write(ready[1], &byte, 1);
            for (;;)
                pause();
        }
        char byte = 0;
        taken_ = read(ready[0], &byte, 1) == 1 && byte == 'y';
        close(ready[0]);
        close(ready[1]);
    }
    Leased(const Leased&) = delete;
    Leased& operator=(const Leased&) = delete;
    ~Leased() { give_up(); }
    explicit operator bool() const { return taken_; }
    void give_up()
    {
        if (pid_ <= 0) return;
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
        pid_ = -1;
    }

private:
    pid_t pid_ = -1;
    bool taken_ = false;
};

class HeldLoopTest : public testing::Test {
protected:
    static Deadline soon() { return Clock::now() + seconds(2); }
    Result<Creation> begin(Store& store)
    {
        return store.loop().wait_for(Creation::begin(store, 7, read_file(material_.document),
                                                     "document", Clock::now() + seconds(30)));
    }
    Result<ProcessId> spawn(LoopWatchdog& watchdog, Store& store, Creation& creation,
                            SpawnRequest request)
    {
        return watchdog.run(store.loop(), creation.spawn(std::move(request),
                                                         creation.monitor_path(), false, soon()));
    }
    std::string cell(const std::string& query) { return sql(store_.path(), query); }
    /// No child of this process is left, once those that hung were let go and have been reaped.
    static void expect_no_children()
    {
        EXPECT_TRUE(wait_until(seconds(20), [] {
            reap_programs();
            siginfo_t info{};
            return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0;
        }));
    }

    ScratchStore store_;
    Material material_{store_.directory(), 7, "web"};
};

// The watchdog itself.
Task<void> sleeps_in_a_call(Loop& loop)
{
    (void)co_await loop.sleep(Clock::now());
    usleep(200'000);
}
Task<void> waits_on_the_loop(Loop& loop)
{
    (void)co_await loop.sleep(Clock::now() + std::chrono::milliseconds(200));
}

TEST_F(HeldLoopTest, SleepWithinDispatchIsSeenAndAWaitOnTheLoopIsNone)
{
    Loop loop;
    LoopWatchdog good;
    good.run(loop, waits_on_the_loop(loop));
    EXPECT_TRUE(good.never_held());
    LoopWatchdog bad;
    bad.run(loop, sleeps_in_a_call(loop));
    EXPECT_FALSE(bad.never_held());
}

TEST_F(HeldLoopTest, CreationAndOperationsOfAHealthyDomainKeepNoLoop)
{
    const auto store = store_.open();
    LoopWatchdog watchdog;
    auto created = watchdog.run(store->loop(),
                                create_domain(*store, 7, read_file(material_.document), "document",
                                              material_.qemu(), Clock::now() + seconds(120)));
    ASSERT_TRUE(created) << created.error().message;
    auto inserted = watchdog.run(
        store->loop(), insert_medium(*store, created->domain, "hdc", material_.images.at('b'),
                                     Clock::now() + seconds(60)));
    EXPECT_TRUE(inserted);
    auto destroyed = watchdog.run(
        store->loop(), destroy_domain(*store, created->domain, Clock::now() + seconds(60)));
    EXPECT_TRUE(destroyed);
    EXPECT_TRUE(watchdog.never_held());
}

TEST_F(HeldLoopTest, ImageThatCannotBeOpenedCostsTheDeadlineAndChangesNothing)
{
    const ScratchDomain domain(store_);
    const auto store = store_.open();
    DeadServer dead(store_.directory());
    if (!dead) GTEST_SKIP() << "no FUSE for this user";
    const auto rows = dump(store_.path());
    const auto qemu = state_of(domain.judge());
    LoopWatchdog watchdog([&dead] { dead.give_up(); });

    const auto inserted =
        watchdog.run(store->loop(), insert_medium(*store, *find_domain(store->db(), domain.word()),
                                                  "hdc", dead / "image", soon()));

    EXPECT_TRUE(watchdog.never_held());
    ASSERT_FALSE(inserted);
    EXPECT_EQ(inserted.error().code, Errc::timeout) << inserted.error().message;
    EXPECT_TRUE(contains(inserted.error().message, "not opened in time"));
    EXPECT_EQ(dump(store_.path()), rows);
    EXPECT_EQ(state_of(domain.judge()), qemu);
    dead.give_up();
    expect_no_children();
}

TEST_F(HeldLoopTest, ProgramOrLogThatHangsCostsTheDeadline)
{
    const auto store = store_.open();
    DeadServer dead(store_.directory());
    if (!dead) GTEST_SKIP() << "no FUSE for this user";
    LoopWatchdog watchdog([&dead] { dead.give_up(); });
    auto creation = begin(*store);
    ASSERT_TRUE(creation);
    SpawnRequest program;
    program.argv = {dead / "qemu"};
    SpawnRequest log;
    log.argv = {"true"};
    log.log_path = dead / "log";
    for (const auto& request : {program, log}) {
        const auto spawned = spawn(watchdog, *store, *creation, request);
        ASSERT_FALSE(spawned);
        EXPECT_EQ(spawned.error().code, Errc::timeout) << spawned.error().message;
        EXPECT_TRUE(contains(spawned.error().advice, "file system")) << spawned.error().advice;
        EXPECT_EQ(cell("SELECT qemu_pid IS NULL FROM domain"), "1");
    }
    EXPECT_TRUE(watchdog.never_held());
    dead.give_up();
    expect_no_children();
}

// The start barrier is open, and exec itself does not come back.
TEST_F(HeldLoopTest, ExecThatHangsCostsTheDeadlineAndNothingIsLeft)
{
    const auto program = store_.directory() / "program";
    std::filesystem::copy_file("/bin/true", program);
    Leased leased(program);
    if (!leased) GTEST_SKIP() << "no leases on this file system";
    const auto store = store_.open();
    LoopWatchdog watchdog([&leased] { leased.give_up(); });
    auto creation = begin(*store);
    ASSERT_TRUE(creation);
    SpawnRequest request;
    request.argv = {program};

    const auto spawned = spawn(watchdog, *store, *creation, request);

    ASSERT_FALSE(spawned);
    EXPECT_EQ(spawned.error().code, Errc::in_doubt) << spawned.error().message;
    const auto child = static_cast<pid_t>(std::stoi(cell("SELECT qemu_pid FROM domain")));
    EXPECT_TRUE(is_alive(child)) << "registered, let go, and not begun";
    const auto given_up = watchdog.run(store->loop(), creation->give_up(spawned.error()));
    EXPECT_EQ(given_up.code, Errc::timeout) << "proved not done";
    EXPECT_TRUE(contains(given_up.message, "domain 7 (web): ")) << given_up.message;
    EXPECT_TRUE(watchdog.never_held());
    EXPECT_FALSE(is_alive(child));
    EXPECT_EQ(cell("SELECT state FROM domain"), "destroyed");
}

// Images of a batch, and those that a creation puts in, are opened the same way.
TEST_F(HeldLoopTest, CreationWhoseImageHangsRunsWithoutIt)
{
    const auto store = store_.open();
    DeadServer dead(store_.directory());
    if (!dead) GTEST_SKIP() << "no FUSE for this user";
    const auto document = hvm_document("web", material_.uuid, dead / "image");
    LoopWatchdog watchdog([&dead] { dead.give_up(); });
    const auto created =
        watchdog.run(store->loop(), create_domain(*store, 7, document, "document", material_.qemu(),
                                                  Clock::now() + seconds(90)));
    EXPECT_TRUE(watchdog.never_held());
    dead.give_up();
    ASSERT_TRUE(created) << created.error().message;
    EXPECT_FALSE(created->notes.empty()) << "it is told what was not put in";
    EXPECT_EQ(cell("SELECT state FROM thing WHERE key = 'hdc'"), "stale");
    expect_no_children();
}

}  // namespace
}  // namespace xlstore::test
