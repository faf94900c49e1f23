// SPDX-License-Identifier: MIT
// Locks between real commands on a real QEMU: who holds, who waits, what a holder that is stopped
// or killed or robbed of its lock does to others, and to itself when it goes on.
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <regex>

#include "store/core/domain.hpp"
#include "store/qmp/monitor.hpp"
#include "store/testing/crash_point.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/stopping.hpp"

namespace xlstore::test {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::seconds;

class LocksCommandTest : public testing::Test {
protected:
    LocksCommandTest()
    {
        if (!crash_points_active()) skip_ = true;
    }
    void SetUp() override
    {
        if (skip_) GTEST_SKIP() << "built without crash points";
    }
    Ran xl(const Words& words) { return xlstore(store_.path(), words); }
    std::string cell(const std::string& query) { return sql(store_.path(), query); }
    std::string code(const Ran& ran) { return json_at(ran.out, "$.error.code"); }
    std::string message(const Ran& ran) { return json_at(ran.out, "$.error.message"); }
    /// What `xlstore --json locks` says of one lock; "" when nothing.
    std::string lock(const std::string& name)
    {
        const Ran locks = xl({"--json", "locks"});
        EXPECT_TRUE(ended(locks, 0));
        for (int i = 0;; ++i) {
            const std::string one = json_at(locks.out, "$[" + std::to_string(i) + "]");
            if (one.empty() || json_at(one, "$.lock") == name) return one;
        }
    }
    bool settled()
    {
        EXPECT_LE(xlfsck(store_.path(), {"-p"}).status, 1);
        return store_and_qemu_agree(store_.path(), domain_.judge());
    }
    Words insert(char which) { return {"insert", "7", "hdc", domain_.image(which)}; }

    ScratchStore store_;
    ScratchDomain domain_{store_};

private:
    bool skip_ = false;
};

// ---- xlstore locks ----

TEST_F(LocksCommandTest, HolderAndWaitersAreListedAndNoneAfterAKill)
{
    Stopping holder(store_, insert('b'), "qmp.after_connect");
    ASSERT_TRUE(holder.stopped());
    Words words = {binary("xlstore"), "--store", store_.path(), "eject", "7", "hdc"};
    Child waiter(words);
    words[3] = "detach";
    words[5] = "qemu";
    words.emplace_back("none");
    Child another(words);
    ASSERT_TRUE(wait_until(seconds(20),
                           [&] { return !json_at(lock("slow lock"), "$.waiters[1]").empty(); }));

    std::string slow = lock("slow lock");
    EXPECT_EQ(json_at(slow, "$.subject"), "domain 7 (web)");
    EXPECT_EQ(json_at(slow, "$.domid"), "7");
    EXPECT_EQ(json_at(slow, "$.held"), "1");
    EXPECT_EQ(json_at(slow, "$.claim.pid"), holder.pid());
    EXPECT_EQ(json_at(slow, "$.claim.program"), "xlstore");
    EXPECT_EQ(json_at(slow, "$.claim.operation"), "insert disks/hdc");
    EXPECT_EQ(json_at(slow, "$.claim.lives"), "1");
    const auto waits = [&](pid_t pid, const std::string& operation) {
        for (const char* at : {"$.waiters[0]", "$.waiters[1]"}) {
            const auto one = json_at(slow, at);
            if (json_at(one, "$.pid") != std::to_string(pid)) continue;
            EXPECT_EQ(json_at(one, "$.operation"), operation);
            EXPECT_GE(std::stoll(json_at(one, "$.since_us")),
                      std::stoll(json_at(slow, "$.claim.since_us")));
            return true;
        }
        return false;
    };
    EXPECT_TRUE(waits(waiter.pid(), "eject disks/hdc")) << slow;
    EXPECT_TRUE(waits(another.pid(), "detach qemu/none")) << slow;
    const std::string text = xl({"locks"}).out;
    EXPECT_TRUE(contains(text, "insert disks/hdc (xlstore, pid " + holder.pid()));
    // The widths of the columns follow what is in them.
    EXPECT_TRUE(std::regex_search(text, std::regex("waits +eject disks/hdc \\(xlstore, pid ")))
        << text;

    // A waiter that is killed waits no more, though it could not say so.
    another.signal(SIGKILL);
    another.wait();
    slow = lock("slow lock");
    EXPECT_TRUE(waits(waiter.pid(), "eject disks/hdc"));
    EXPECT_EQ(json_at(slow, "$.waiters[1]"), "");
    waiter.signal(SIGKILL);
    waiter.wait();

    holder.kill();
    slow = lock("slow lock");
    EXPECT_EQ(json_at(slow, "$.held"), "0");
    EXPECT_EQ(json_at(slow, "$.claim.lives"), "0");
    EXPECT_EQ(json_at(slow, "$.kept_by[0]"), "");
    EXPECT_EQ(json_at(slow, "$.waiters[0]"), "");
    EXPECT_TRUE(contains(xl({"locks"}).out, "no process holds it"));
    EXPECT_FALSE(contains(xl({"locks"}).out, "held"));
    EXPECT_TRUE(settled());
}

// ---- xlstore locks --break ----

/// A process that dies with the slow lock, and a stray one with a copy of its descriptor: made
/// behind the C library's back, so that no fork handler closed it.
class Stray {
public:
    explicit Stray(const ScratchStore& scratch)
    {
        std::array<int, 2> said{};
        EXPECT_EQ(pipe2(said.data(), O_CLOEXEC), 0);
        const pid_t holder = fork();
        if (holder == 0) {
            const auto store = scratch.open();
            const auto domain = find_domain(store->db(), "domid:7");
            const auto hold = store->try_slow_lock(domain->id, "robbed");
            const auto copy =
                static_cast<pid_t>(hold && *hold ? syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) : -1);
            if (copy == 0)
                for (;;)
                    pause();
            if (write(said[1], &copy, sizeof copy) != sizeof copy) _exit(1);
            ::kill(getpid(), SIGKILL);
        }
        EXPECT_EQ(read(said[0], &pid_, sizeof pid_), static_cast<ssize_t>(sizeof pid_));
        EXPECT_GT(pid_, 0);
        waitpid(holder, nullptr, 0);
        close(said[0]);
        close(said[1]);
        holder_ = holder;
    }
    Stray(const Stray&) = delete;
    Stray& operator=(const Stray&) = delete;
    ~Stray()
    {
        if (pid_ > 0) ::kill(pid_, SIGKILL);
    }
    [[nodiscard]] std::string pid() const { return std::to_string(pid_); }
    [[nodiscard]] std::string holder() const { return std::to_string(holder_); }

private:
    pid_t pid_ = -1;
    pid_t holder_ = -1;
};

TEST_F(LocksCommandTest, LockThatAStrayProcessKeepsIsNamedAndBroken)
{
    const Stray stray(store_);
    const auto slow = lock("slow lock");
    EXPECT_EQ(json_at(slow, "$.held"), "1");
    EXPECT_EQ(json_at(slow, "$.claim.pid"), stray.holder());
    EXPECT_EQ(json_at(slow, "$.claim.lives"), "0");
    EXPECT_EQ(json_at(slow, "$.kept_by[0].pid"), stray.pid());
    EXPECT_EQ(json_at(slow, "$.kept_by[1]"), "");
    const auto text = xl({"locks"}).out;
    EXPECT_TRUE(contains(text, "held, holder dead"));
    EXPECT_TRUE(contains(text, "kept by pid " + stray.pid()));
    EXPECT_TRUE(ended(xl({"--timeout", "0.3", "eject", "7", "hdc"}), 1));
    Child waiter({binary("xlstore"), "--store", store_.path(), "eject", "7", "hdc"});
    ASSERT_TRUE(wait_until(seconds(20),
                           [&] { return !json_at(lock("slow lock"), "$.waiters[0]").empty(); }));

    const Ran broken = xl({"--json", "locks", "--break", "7"});

    EXPECT_TRUE(ended(broken, 0));
    EXPECT_EQ(json_at(broken.out, "$.broken"), "1");
    EXPECT_EQ(waiter.wait(), 0);
    EXPECT_EQ(domain_.medium(), "");
    const auto told = cell("SELECT evidence FROM history WHERE operation = 'break lock'");
    EXPECT_TRUE(contains(told, "robbed (test, pid " + stray.holder()));
    EXPECT_TRUE(contains(told, "pid " + stray.pid()));
    EXPECT_EQ(lock("slow lock"), "") << "the waiter has let go";
    // The next operation is one like any other, though the stray lives on.
    EXPECT_TRUE(ended(xl(insert('b')), 0));
    const Ran again = xl({"--json", "locks", "--break", "7"});
    EXPECT_TRUE(ended(again, 0));
    EXPECT_EQ(json_at(again.out, "$.broken"), "0");
    EXPECT_EQ(cell("SELECT count(*) FROM history WHERE operation = 'break lock'"), "1");
    EXPECT_TRUE(is_alive(std::stoi(stray.pid())));
    EXPECT_TRUE(settled());
}

TEST_F(LocksCommandTest, LockOfALivingHolderIsBrokenByForceOnly)
{
    Stopping holder(store_, insert('b'), "qmp.before_connect");
    ASSERT_TRUE(holder.stopped());
    const auto before = dump(store_.path());
    const Ran refused = xl({"--json", "locks", "--break", "7"});
    EXPECT_TRUE(ended(refused, 1));
    EXPECT_EQ(code(refused), "refused");
    EXPECT_TRUE(contains(message(refused), "pid " + holder.pid()));
    EXPECT_EQ(dump(store_.path()), before);
    EXPECT_TRUE(ended(xl({"--timeout", "0.3", "eject", "7", "hdc"}), 1));

    const Ran broken = xl({"--json", "locks", "--break", "7", "--force"});

    EXPECT_TRUE(ended(broken, 0));
    EXPECT_TRUE(contains(json_at(broken.out, "$.text"), "pid " + holder.pid()));
    EXPECT_TRUE(contains(cell("SELECT evidence FROM history WHERE operation = 'break lock'"),
                         "pid " + holder.pid()));
    EXPECT_TRUE(ended(xl({"eject", "7", "hdc"}), 0));
    const auto rows = dump(store_.path());
    const Ran lost = holder.finish();
    EXPECT_TRUE(ended(lost, 1));
    EXPECT_EQ(code(lost), "lost");
    EXPECT_EQ(dump(store_.path()), rows);
    EXPECT_EQ(domain_.medium(), "");
    EXPECT_TRUE(settled());
}

TEST_F(LocksCommandTest, BreakNeedsADomainAndForceNeedsABreak)
{
    EXPECT_TRUE(ended(xl({"locks", "--break", "missing"}), 4));
    EXPECT_TRUE(ended(xl({"locks", "--break", "7"}), 0));
    EXPECT_TRUE(ended(xl({"locks", "--force"}), 2));
    EXPECT_EQ(cell("SELECT count(*) FROM history WHERE operation = 'break lock'"), "0");
}

// ---- A holder that is stopped ----

// In the slow lock: others wait, are told by whom, and go on when it goes on.
TEST_F(LocksCommandTest, StoppedInTheSlowLock)
{
    Stopping holder(store_, insert('b'), "qmp.before_send", 2);
    ASSERT_TRUE(holder.stopped());
    const Ran busy = xl({"--json", "--timeout", "0.5", "eject", "7", "hdc"});
    EXPECT_TRUE(ended(busy, 1));
    EXPECT_EQ(code(busy), "timeout");
    EXPECT_TRUE(contains(message(busy), "slow lock of domain 7 (web)"));
    EXPECT_TRUE(contains(message(busy), "insert disks/hdc (xlstore, pid " + holder.pid()));
    EXPECT_TRUE(contains(message(busy), "), which is stopped"));
    EXPECT_EQ(json_at(lock("slow lock"), "$.claim.stopped"), "1");
    EXPECT_TRUE(contains(xl({"locks"}).out, "held, holder stopped"));
    // Recovery leaves it alone, and says to whom, also to a person who did not ask for notes.
    const Ran recovery = xlfsck(store_.path(), {"-p"});
    EXPECT_TRUE(ended(recovery, 0));
    EXPECT_TRUE(contains(recovery.out, "pid " + holder.pid()));
    EXPECT_TRUE(contains(recovery.out, "), which is stopped"));
    EXPECT_TRUE(ended(holder.finish(), 0));
    EXPECT_EQ(lock("slow lock"), "");
    EXPECT_EQ(domain_.medium(), domain_.image('b'));
    EXPECT_TRUE(ended(xl({"eject", "7", "hdc"}), 0));
    EXPECT_TRUE(settled());
}

// In a section, where it has the fast lock and the writer lock.
TEST_F(LocksCommandTest, StoppedInTheFastLockAndInTheWriterLock)
{
    const auto store = store_.open();
    const auto row = find_domain(store->db(), "domid:7");
    ASSERT_TRUE(row);
    const auto nothing = [](const auto&) -> Result<void> { return {}; };
    const auto fast = [&](milliseconds time) {
        return store->loop().wait_for(
            store->with_fast_lock(row->id, "test", Clock::now() + time, nothing));
    };
    const auto writer = [&](milliseconds time) {
        return store->loop().wait_for(
            store->with_writer_lock("test", Clock::now() + time, nothing));
    };
    Stopping holder(store_, insert('b'), "commit.before", 2);
    ASSERT_TRUE(holder.stopped());

    const auto no_fast = fast(milliseconds(200));
    ASSERT_FALSE(no_fast);
    EXPECT_EQ(no_fast.error().code, Errc::timeout);
    EXPECT_TRUE(contains(no_fast.error().message, "fast lock of domain 7 (web)"));
    EXPECT_TRUE(contains(no_fast.error().message, "(xlstore, pid " + holder.pid()));
    const auto no_writer = writer(milliseconds(200));
    ASSERT_FALSE(no_writer);
    EXPECT_EQ(no_writer.error().code, Errc::timeout);
    EXPECT_TRUE(contains(no_writer.error().message, "writer lock"));
    EXPECT_TRUE(contains(no_writer.error().message, "(xlstore, pid " + holder.pid()));
    const Ran busy = xl({"--json", "--timeout", "0.5", "eject", "7", "hdc"});
    EXPECT_TRUE(ended(busy, 1));
    EXPECT_EQ(code(busy), "timeout");
    EXPECT_TRUE(contains(message(busy), "pid " + holder.pid()));
    // Who only looks is not held up.
    EXPECT_TRUE(ended(xl({"list"}), 0));
    EXPECT_EQ(json_at(lock("fast lock"), "$.held"), "1");
    EXPECT_EQ(json_at(lock("write gate"), "$.held"), "1");
    EXPECT_EQ(json_at(lock("write gate"), "$.claim.pid"), holder.pid());

    EXPECT_TRUE(ended(holder.finish(), 0));
    EXPECT_TRUE(fast(seconds(20)));
    EXPECT_TRUE(writer(seconds(20)));
    EXPECT_TRUE(ended(xl({"eject", "7", "hdc"}), 0));
    EXPECT_TRUE(settled());
}

// ---- Fork ----

// A child that outlives its parent keeps nothing of it: no session, no lock, no monitor.
TEST_F(LocksCommandTest, ForkedChildKeepsNothingOfItsDeadParent)
{
    std::array<int, 2> said{};
    std::array<int, 2> leash{};  // the child ends with us
    ASSERT_EQ(pipe2(said.data(), O_CLOEXEC), 0);
    ASSERT_EQ(pipe2(leash.data(), O_CLOEXEC), 0);
    const pid_t parent = fork();
    if (parent == 0) {
        const auto store = store_.open();
        const auto domain = find_domain(store->db(), "domid:7");
        const auto hold = store->try_slow_lock(domain->id, "parent");
        const auto monitor = store->loop().wait_for(qmp::Monitor::connect(
            store->loop(), *domain->registration, domain->subject(), Clock::now() + seconds(20)));
        char ok = hold && *hold && monitor ? 'y' : 'n';
        if (fork() == 0) {
            close(leash[1]);
            close(said[1]);
            _exit(read(leash[0], &ok, 1) == 0 ? 0 : 1);
        }
        if (write(said[1], &ok, 1) != 1) _exit(1);
        for (;;)
            pause();
    }
    char ok = 'n';
    ASSERT_EQ(read(said[0], &ok, 1), 1);
    ASSERT_EQ(ok, 'y');
    EXPECT_EQ(json_at(lock("slow lock"), "$.held"), "1");
    EXPECT_EQ(cell("SELECT count(*) FROM session"), "1");

    ::kill(parent, SIGKILL);
    waitpid(parent, nullptr, 0);

    EXPECT_EQ(json_at(lock("slow lock"), "$.held"), "0");
    const Ran ran = xl({"--timeout", "20", "eject", "7", "hdc"});
    // QEMU serves one client: a copy of the connection would keep us waiting.
    EXPECT_TRUE(ended(ran, 0)) << "the child has the monitor or the lock";
    EXPECT_EQ(xlfsck(store_.path(), {"-p"}).status, 1);
    EXPECT_EQ(cell("SELECT count(*) FROM session"), "0") << "the child has the session's byte";
    for (const int fd : {said[0], said[1], leash[0], leash[1]})
        close(fd);
}

// ---- A lock that is lost, R15 and R17 ----

enum class Loss { broken, slow_replaced, locks_moved, store_moved };

struct LossCase {
    const char* operation;
    const char* point;
    Loss loss;
};

std::string name_of(Loss loss)
{
    switch (loss) {
    case Loss::broken:
        return "broken";
    case Loss::slow_replaced:
        return "slow_replaced";
    case Loss::locks_moved:
        return "locks_moved";
    case Loss::store_moved:
        break;
    }
    return "store_moved";
}

class LossTest : public LocksCommandTest, public testing::WithParamInterface<LossCase> {
protected:
    [[nodiscard]] std::string file(const char* name) const { return store_.path() + "/" + name; }
    /// The operation that is robbed, and what another process does to the same thing meanwhile.
    Words robbed()
    {
        if (GetParam().operation == std::string("insert")) return insert('b');
        if (GetParam().operation == std::string("attach"))
            return {"attach", "7", "qemu", tablet("tab")};
        return {"detach", "7", "qemu", "tab"};
    }
    Words meanwhile()
    {
        if (GetParam().operation == std::string("insert"))
            return {"--json", "--timeout", "0.7", "eject", "7", "hdc"};
        return {"--json", "--timeout", "0.7", "attach", "7", "qemu", tablet("other")};
    }
    void make_ready()
    {
        const auto there = [&](const std::string& key) {
            return !cell("SELECT 1 FROM thing WHERE key = '" + key + "'").empty();
        };
        if (there("other")) {
            ASSERT_TRUE(ended(xl({"detach", "7", "qemu", "other"}), 0));
        }
        const bool wanted = GetParam().operation == std::string("detach");
        if (there("tab") && !wanted) {
            ASSERT_TRUE(ended(xl({"detach", "7", "qemu", "tab"}), 0));
        }
        if (!there("tab") && wanted) {
            ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet("tab")}), 0));
        }
        if (domain_.medium() != domain_.image('a')) {
            ASSERT_TRUE(ended(xl(insert('a')), 0));
        }
    }
    /// Where a stopped operation is.
    struct Place {
        bool slow;         ///< it has the slow lock
        bool section;      ///< it has the writer lock: it is about to commit, or has just done so
        bool last_commit;  ///< it is the settle, which no check comes behind
    };
    Place place_of(const Stopping& one)
    {
        StoreOptions options;
        options.directory = store_.path();
        const auto store = Store::open_read_only(options);
        if (!store) throw std::runtime_error(store.error().message);
        const Locks& locks = (*store)->locks();
        const auto row = find_domain((*store)->db(), "domid:7");
        const auto claim = locks.claim(LockKind::slow, value_of(row->id));
        Place place{};
        place.slow = *locks.is_held(LockKind::slow, value_of(row->id)) && claim &&
                     std::to_string(claim->pid) == one.pid();
        place.section = *locks.is_held(LockKind::writer, 0);
        const bool intent = cell("SELECT count(*) FROM intent") == "1";
        const bool before = GetParam().point == std::string("commit.before");
        place.last_commit = place.section && intent == before;
        return place;
    }
    /// Takes the lock from under its holder. True: a commit of it is still to come, and must fail.
    bool lose(const Place& place)
    {
        switch (GetParam().loss) {
        case Loss::broken: {
            const Ran ran = xl({"--json", "locks", "--break", "7", "--force"});
            EXPECT_TRUE(ended(ran, 0));
            return json_at(ran.out, "$.broken") == "1";
        }
        case Loss::slow_replaced:
            fs::rename(file("slow"), store_.directory() / "slow.away");
            LockFile::create(file("slow"), 0600);
            break;
        case Loss::locks_moved:
            fs::rename(file("locks"), store_.directory() / "locks.away");
            break;
        case Loss::store_moved:
            fs::rename(store_.path(), store_.directory() / "store.away");
            break;
        }
        return place.slow && !place.last_commit;
    }
    void put_back()
    {
        if (GetParam().loss == Loss::locks_moved)
            fs::rename(store_.directory() / "locks.away", file("locks"));
        if (GetParam().loss == Loss::store_moved)
            fs::rename(store_.directory() / "store.away", store_.path());
    }
};

// At each passing of the point in turn, until the operation gets through without stopping.
TEST_P(LossTest, NothingIsInQemuWithoutAnEntryAndTheHolderLearnsOfIt)
{
    int times_lost = 0;
    for (int passing = 1;; ++passing) {
        SCOPED_TRACE(std::string(GetParam().point) + ":" + std::to_string(passing));
        ASSERT_NO_FATAL_FAILURE(make_ready());
        Stopping one(store_, robbed(), GetParam().point, passing);
        if (!one.stopped()) {
            EXPECT_TRUE(ended(one.finish(), 0));
            break;
        }
        ASSERT_TRUE(invariant_holds(store_.path(), domain_.judge()));

        const bool lost = lose(place_of(one));
        // It may be kept from it: by the writer lock, or by the monitor, which serves one client.
        const Ran theirs = xl(meanwhile());
        EXPECT_TRUE(theirs.status == 0 || !code(theirs).empty()) << theirs.out << theirs.err;
        if (GetParam().loss != Loss::store_moved) {
            EXPECT_TRUE(invariant_holds(store_.path(), domain_.judge()));
        }
        const Ran ran = one.finish();
        put_back();

        EXPECT_TRUE(invariant_holds(store_.path(), domain_.judge())) << ran.out;
        if (lost) {
            ++times_lost;
            // Nothing was sent, or QEMU has it and the intent is open.
            EXPECT_TRUE(ended(ran, code(ran) == "lost" ? 1 : 3));
            EXPECT_TRUE(code(ran) == "lost" || code(ran) == "in_doubt") << ran.out;
            if (ran.status == 3) {
                EXPECT_TRUE(contains(message(ran), "could not be settled"));
            }
        }
        ASSERT_TRUE(settled()) << ran.out;
    }
    EXPECT_GT(times_lost, 0) << "it never held the lock: nothing was tested";
}
constexpr LossCase kLossCases[] = {
    {"insert", "qmp.before_connect", Loss::broken},
    {"insert", "qmp.before_send", Loss::broken},
    {"insert", "qmp.after_send", Loss::broken},
    {"insert", "qmp.before_send", Loss::slow_replaced},
    {"insert", "commit.before", Loss::slow_replaced},
    {"insert", "commit.after", Loss::slow_replaced},
    {"insert", "qmp.before_send", Loss::locks_moved},
    {"insert", "qmp.after_send", Loss::store_moved},
    {"insert", "commit.before", Loss::store_moved},
    {"insert", "commit.after", Loss::locks_moved},
    {"attach", "qmp.before_send", Loss::broken},
    {"attach", "commit.after", Loss::store_moved},
    {"detach", "qmp.before_send", Loss::broken},
};
INSTANTIATE_TEST_SUITE_P(Steps, LossTest, testing::ValuesIn(kLossCases), [](const auto& one) {
    std::string point = one.param.point;
    point.replace(point.find('.'), 1, "_");
    return std::string(one.param.operation) + "_" + point + "_" + name_of(one.param.loss);
});

}  // namespace
}  // namespace xlstore::test
