// SPDX-License-Identifier: MIT
// R11: a process that is not proved to be the row's QEMU is sent nothing, is never signalled, and
// keeps its socket.
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "store/base/file_identity.hpp"
#include "store/lifecycle/creation.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/scripted_peer.hpp"

namespace xlstore::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

/// A listening socket at `path`, in this process.
Fd listen_at(const std::string& path)
{
    Fd fd(::socket(AF_UNIX, SOCK_STREAM, 0));  // inherited by a QEMU that it is handed in to
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size());
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen(fd.get(), 4), 0);
    return fd;
}

/// From now on the command line of this process is `text`, as that of a toolstack may be which was
/// told about a path. (What /proc shows is the memory that exec has put it into.)
void be_called(const std::string& text)
{
    std::string stat = read_file("/proc/self/stat");
    std::istringstream fields(stat.substr(stat.rfind(')') + 2));
    std::vector<std::uint64_t> values;
    std::string field;
    while (fields >> field)
        values.push_back(field == "S" || field == "R" ? 0 : std::stoull(field));
    char* const start = reinterpret_cast<char*>(values.at(48 - 3));
    char* const end = reinterpret_cast<char*>(values.at(49 - 3));
    const auto room = static_cast<std::size_t>(end - start);
    std::memset(start, 0, room);
    std::memcpy(start, text.c_str(), std::min(text.size(), room - 1));
}

class PeersTest : public testing::Test {
protected:
    Ran xl(const Words& words, const Environment& environment = {})
    {
        return xlstore(store_.path(), words, environment);
    }
    Ran fsck(const Words& words) { return xlfsck(store_.path(), words); }
    std::string cell(const std::string& query) { return sql(store_.path(), query); }
    std::vector<pid_t> qemus() { return qemus_with(store_.directory().path() + "/"); }
    Words at(const std::string& monitor) const
    {
        Words command = material_.qemu();
        command.insert(command.end(), {"-qmp", "unix:" + monitor + ",server=on,wait=off"});
        return command;
    }
    /// A QEMU started by hand, its monitor at `path`; returns when it listens.
    std::unique_ptr<Child> by_hand(const std::string& path)
    {
        std::filesystem::remove(path);
        auto child = std::make_unique<Child>(at(path));
        EXPECT_TRUE(wait_until(seconds(30), [&] { return std::filesystem::exists(path); }));
        return child;
    }
    Result<Creation> begin(Store& store)
    {
        return store.loop().wait_for(Creation::begin(store, 7, read_file(material_.document),
                                                     "document", Clock::now() + seconds(30)));
    }
    Result<ProcessId> spawn(Store& store, Creation& creation, const Words& argv,
                            const std::string& monitor, bool handed_in,
                            const std::vector<int>& keep = {})
    {
        SpawnRequest request;
        request.argv = argv;
        request.keep_fds = keep;
        return store.loop().wait_for(
            creation.spawn(request, monitor, handed_in, Clock::now() + seconds(30)));
    }

    ScratchStore store_;
    Material material_{store_.directory(), 7, "web"};
};

// ---- Nothing is said to a peer that is not proved ------------------------------------------------

TEST_F(PeersTest, CreationWhoseMonitorIsAnothersSaysNothingToIt)
{
    const auto store = store_.open();
    auto creation = begin(*store);
    ASSERT_TRUE(creation);
    const auto monitor = creation->monitor_path();
    ASSERT_TRUE(spawn(*store, *creation, {"sleep", "60"}, monitor, false));
    const ScriptedPeer peer(monitor,
                            script({{step::accept(), step::send(greeting()), step::serve({})}}));

    const auto finished = store->loop().wait_for(creation->finish(Clock::now() + seconds(30)));

    ASSERT_FALSE(finished);
    EXPECT_EQ(finished.error().code, Errc::refused);
    EXPECT_TRUE(contains(finished.error().message, std::to_string(peer.pid())));
    EXPECT_TRUE(peer.commands().empty()) << "first: " << peer.commands().front();
    EXPECT_TRUE(is_alive(peer.pid()));
    EXPECT_TRUE(std::filesystem::exists(monitor)) << "the socket of a process that listens";
    EXPECT_EQ(cell("SELECT state FROM domain"), "destroyed");
    EXPECT_TRUE(contains(cell("SELECT evidence FROM history WHERE operation = 'destroy' ORDER BY "
                              "id DESC LIMIT 1"),
                         std::to_string(peer.pid())));
}

TEST_F(PeersTest, RecoveryThatFinishesACreationSaysNothingToAnother)
{
    {
        const auto store = store_.open();
        auto creation = begin(*store);
        ASSERT_TRUE(creation);
        ASSERT_TRUE(spawn(*store, *creation, {"sleep", "60"}, creation->monitor_path(), false));
    }
    const auto qemu = static_cast<pid_t>(std::stoi(cell("SELECT qemu_pid FROM domain")));
    const auto monitor = cell("SELECT monitor_path FROM domain");
    const ScriptedPeer peer(monitor,
                            script({{step::accept(), step::send(greeting()), step::serve({})}}));

    const Ran ran = fsck({"-p"});

    EXPECT_TRUE(ended(ran, 4));
    EXPECT_TRUE(contains(ran.out, std::to_string(peer.pid())));
    EXPECT_TRUE(peer.commands().empty()) << "first: " << peer.commands().front();
    EXPECT_TRUE(is_alive(peer.pid()));
    EXPECT_TRUE(is_alive(qemu)) << "recovery kills nothing";
    EXPECT_TRUE(ended(xl({"destroy", "7"}), 0));
    EXPECT_TRUE(is_alive(peer.pid()));
    EXPECT_FALSE(is_alive(qemu));
}

// It was handed in to a process that does not have it: the one that answers is another.
TEST_F(PeersTest, HandedInSocketThatAnotherHasIsNotBelieved)
{
    const auto store = store_.open();
    auto creation = begin(*store);
    ASSERT_TRUE(creation);
    const auto monitor = store_.directory() / "handed";
    const ScriptedPeer peer(monitor,
                            script({{step::accept(), step::send(greeting()), step::serve({})}}));
    ASSERT_TRUE(spawn(*store, *creation, {"sleep", "60"}, monitor, true));

    const auto finished = store->loop().wait_for(creation->finish(Clock::now() + seconds(30)));

    ASSERT_FALSE(finished);
    EXPECT_EQ(finished.error().code, Errc::refused);
    EXPECT_TRUE(peer.commands().empty()) << "first: " << peer.commands().front();
    EXPECT_TRUE(is_alive(peer.pid()));
}

// ---- Names are not used again --------------------------------------------------------------------

TEST_F(PeersTest, CreationAfterAnOlderCopyWasPutBackLeavesALivingQemuAlone)
{
    const ScratchDomain first(store_, 1, "one");
    const auto copy = store_.directory() / "copy.db";
    (void)sql(store_.path(), "VACUUM INTO '" + copy + "'");
    const ScratchDomain second(store_, 2, "two");
    const auto monitor = cell("SELECT monitor_path FROM domain WHERE domid = 2");
    const auto socket = file_identity(monitor);
    std::filesystem::remove(store_.path() + "/store.db-wal");
    std::filesystem::remove(store_.path() + "/store.db-shm");
    std::filesystem::copy_file(copy, store_.path() + "/store.db",
                               std::filesystem::copy_options::overwrite_existing);

    // Refused or not (an older copy may be refused by name), the guest does not notice.
    const Ran ran = xl(create_words(7, material_, material_.qemu()));

    EXPECT_TRUE(is_alive(second.qemu_pid())) << ran.err;
    EXPECT_EQ(file_identity(monitor), socket);
    EXPECT_EQ(state_of(second.judge()).empty(), false);
    if (ran.status == 0) {
        EXPECT_NE(cell("SELECT monitor_path FROM domain WHERE domid = 7"), monitor);
        EXPECT_NE(cell("SELECT log_path FROM domain WHERE domid = 7"),
                  store_.path() + "/run/qemu-2.log");
    }
    kill(second.qemu_pid(), SIGKILL);
}

TEST_F(PeersTest, IdIsTakenAboveEveryNameInRunAndAPathThatIsThereIsRefused)
{
    write_file(store_.path() + "/run/qemu-41.log", "of a QEMU that no row knows");
    ASSERT_TRUE(ended(xl(create_words(7, material_, material_.qemu())), 0));
    EXPECT_EQ(cell("SELECT max(id) FROM domain"), "42");
    ASSERT_TRUE(ended(xl({"destroy", "7"}), 0));

    const auto store = store_.open();
    const auto path = store_.directory() / "taken";
    const auto qemu = by_hand(path);
    const auto socket = file_identity(path);
    auto creation = begin(*store);
    ASSERT_TRUE(creation);
    const auto spawned = spawn(*store, *creation, at(path), path, false);
    ASSERT_FALSE(spawned);
    EXPECT_EQ(spawned.error().code, Errc::exists);
    EXPECT_TRUE(contains(spawned.error().message, std::to_string(qemu->pid())));
    EXPECT_EQ(file_identity(path), socket);
    EXPECT_TRUE(is_alive(qemu->pid()));
}

// ---- Signals go to what is proved ----------------------------------------------------------------

// The toolstack has the socket, and the path on its command line.
TEST_F(PeersTest, HandedInQemuThatDiesBeforeItListensDoesNotTakeTheToolstackWithIt)
{
    const pid_t toolstack = fork();
    if (toolstack == 0) {
        const auto store = store_.open();
        auto creation = begin(*store);
        if (!creation) _exit(2);
        const auto monitor = creation->monitor_path();
        be_called(monitor);
        const Fd socket = listen_at(monitor);
        if (!spawn(*store, *creation, {"false"}, monitor, true, {socket.get()})) _exit(3);
        const auto finished = store->loop().wait_for(creation->finish(Clock::now() + seconds(30)));
        _exit(!finished && finished.error().code == Errc::refused &&
                      std::filesystem::exists(monitor)
                  ? 0
                  : 4);
    }
    int status = -1;
    ASSERT_EQ(waitpid(toolstack, &status, 0), toolstack);
    EXPECT_FALSE(WIFSIGNALED(status)) << "killed by signal " << WTERMSIG(status);
    EXPECT_EQ(WEXITSTATUS(status), 0);
    EXPECT_EQ(cell("SELECT state FROM domain"), "destroyed");
}

TEST_F(PeersTest, WhatAWrapperStartedBearsTheMarkAndIsEndedEvenIfTheCreatorDied)
{
    Words command = {"sh", "-c", "(exec \"$@\") & wait", "wrapper"};
    const Words qemu = material_.qemu();
    command.insert(command.end(), qemu.begin(), qemu.end());
    ASSERT_TRUE(
        ended(xl(create_words(7, material_, command), crash_at("qmp.before_connect")), kKilled));
    ASSERT_TRUE(wait_until(seconds(30), [&] { return !qemus().empty(); }));

    EXPECT_TRUE(ended(xl({"destroy", "7"}), 0));

    EXPECT_TRUE(processes_with(store_.directory().path() + "/").empty());
    EXPECT_EQ(cell("SELECT creation_mark IS NULL FROM domain"), "1");
}

// A wrapper that clears the environment: what it starts cannot be proved, so it is named and left.
TEST_F(PeersTest, QemuWithoutTheMarkIsNamedAndNotSignalled)
{
    Words command = {"sh", "-c", "env -i PATH=\"$PATH\" \"$@\" & wait", "wrapper"};
    const Words qemu = material_.qemu();
    command.insert(command.end(), qemu.begin(), qemu.end());

    const Ran ran = xl(create_words(7, material_, command));

    EXPECT_TRUE(ended(ran, 1));
    const auto left = qemus();
    ASSERT_EQ(left.size(), 1U);
    EXPECT_TRUE(contains(ran.err, std::to_string(left.front())));
    EXPECT_TRUE(std::filesystem::exists(store_.path() + "/run/qmp-1"));
    const Ran looked = fsck({"-n"});
    EXPECT_TRUE(contains(looked.out, std::to_string(left.front())));
    kill(left.front(), SIGKILL);
}

// ---- Registering ---------------------------------------------------------------------------------

class RegisterPeersTest : public PeersTest {
protected:
    void SetUp() override { ASSERT_TRUE(ended(xl({"import", "7", material_.document}), 0)); }
    Ran register_it(const std::string& monitor, std::int64_t pid, bool handed_in = true)
    {
        Words words = {"--json", "register",         "7", "--monitor", monitor,
                       "--pid",  std::to_string(pid)};
        if (handed_in) words.emplace_back("--handed-in");
        return xl(words);
    }
    void refused(const Ran& ran, const std::string& said)
    {
        EXPECT_NE(ran.status, 0);
        EXPECT_TRUE(contains(json_at(ran.out, "$.error.message"), said));
        EXPECT_EQ(cell("SELECT qemu_pid IS NULL FROM domain"), "1");
        EXPECT_EQ(cell("SELECT state FROM domain"), "running");
    }
};

TEST_F(RegisterPeersTest, PidThatDoesNotHoldTheSocketIsRefused)
{
    const auto monitor = store_.directory() / "m";
    const auto qemu = by_hand(monitor);
    const Child sleeper({"sleep", "60"});

    refused(register_it(monitor, sleeper.pid()), "does not hold");
    refused(register_it(monitor, sleeper.pid(), false), "R11");

    EXPECT_TRUE(ended(xl({"destroy", "7"}), 0));
    EXPECT_TRUE(is_alive(sleeper.pid()));
    EXPECT_TRUE(is_alive(qemu->pid()));
}

TEST_F(RegisterPeersTest, PidIsNeverCutToOneThatFits)
{
    const auto monitor = store_.directory() / "m";
    const auto qemu = by_hand(monitor);
    const auto rows = dump(store_.path());
    const auto misused = [](const Ran& ran) {
        EXPECT_TRUE(ended(ran, 2));
        EXPECT_TRUE(contains(ran.err, "is not a process id"));
    };
    for (const bool handed_in : {true, false})
        misused(register_it(monitor, (std::int64_t{1} << 32) + qemu->pid(), handed_in));
    misused(register_it(monitor, 0, false));
    EXPECT_TRUE(is_alive(qemu->pid()));
    EXPECT_EQ(dump(store_.path()), rows);
}

TEST_F(RegisterPeersTest, QemuThatHoldsASocketMadeForItIsTheOneThatDestroyKills)
{
    const auto monitor = store_.directory() / "handed";
    Fd socket = listen_at(monitor);
    Words command = material_.qemu();
    command.insert(command.end(),
                   {"-chardev", "socket,id=m,server=on,wait=off,fd=" + std::to_string(socket.get()),
                    "-mon", "chardev=m,mode=control"});
    Child qemu(command);
    const Child sleeper({"sleep", "60"});

    refused(register_it(monitor, sleeper.pid()), "does not hold");
    EXPECT_TRUE(ended(register_it(monitor, qemu.pid()), 0));
    EXPECT_TRUE(ended(xl({"eject", "7", "hdc"}), 0));
    EXPECT_TRUE(ended(xl({"destroy", "7"}), 0));

    EXPECT_EQ(qemu.wait(), kKilled);
    EXPECT_TRUE(is_alive(sleeper.pid()));
    EXPECT_TRUE(std::filesystem::exists(monitor)) << "a socket of the toolstack's";
}

TEST_F(RegisterPeersTest, QemuThatListensLaterIsWaitedForAndADeadOneIsNot)
{
    const auto monitor = store_.directory() / "late";
    const auto go = store_.directory() / "go";
    Words command = {"sh", "-c", "until test -e \"$0\"; do sleep 0.05; done; exec \"$@\"", go};
    const Words qemu_words = at(monitor);
    command.insert(command.end(), qemu_words.begin(), qemu_words.end());
    const Child qemu(command);
    Child registering({binary("xlstore"), "--store", store_.path(), "--timeout", "60", "register",
                       "7", "--monitor", monitor, "--pid", std::to_string(qemu.pid())});
    // It waits under the slow lock.
    ASSERT_TRUE(wait_until(seconds(30), [&] {
        return contains(xl({"locks"}).out, "register") == testing::AssertionSuccess();
    }));
    write_file(go, "");
    EXPECT_EQ(registering.wait(), 0);
    EXPECT_EQ(cell("SELECT qemu_pid FROM domain"), std::to_string(qemu.pid()));
    ASSERT_TRUE(ended(xl({"destroy", "7"}), 0));

    ASSERT_TRUE(ended(xl({"import", "7", material_.document}), 0));
    const Child ended_soon({"sh", "-c", "until test -e \"$0\"; do sleep 0.05; done", go + "2"});
    Child waiting({binary("xlstore"), "--store", store_.path(), "--timeout", "100", "register", "7",
                   "--monitor", store_.directory() / "never", "--pid",
                   std::to_string(ended_soon.pid())});
    ASSERT_TRUE(wait_until(seconds(30), [&] {
        return contains(xl({"locks"}).out, "register") == testing::AssertionSuccess();
    }));
    write_file(go + "2", "");
    EXPECT_NE(waiting.wait(), 0) << "the process has ended: there is nothing to wait for";
}

// ---- Sockets are not taken away ------------------------------------------------------------------

class SocketTest : public PeersTest {
protected:
    /// The domain's QEMU is dead, and another one, started by hand, listens at its path; the file
    /// system has given the inode number out again.
    void replace()
    {
        ASSERT_TRUE(ended(xl(create_words(7, material_, material_.qemu())), 0));
        monitor_ = cell("SELECT monitor_path FROM domain");
        const auto pid = static_cast<pid_t>(std::stoi(cell("SELECT qemu_pid FROM domain")));
        kill(pid, SIGKILL);
        ASSERT_TRUE(wait_until(seconds(20), [&] { return !is_alive(pid); }));
        other_ = by_hand(monitor_);
        socket_ = file_identity(monitor_);
        ASSERT_TRUE(socket_);
        const auto store = store_.open();
        const auto given_again = [&](const FastHold&) -> Result<void> {
            store->db()
                .prepare("UPDATE domain SET monitor_device = ?, monitor_inode = ?")
                .bind(static_cast<std::int64_t>(socket_->device))
                .bind(static_cast<std::int64_t>(socket_->inode))
                .run();
            return {};
        };
        ASSERT_TRUE(store->loop().wait_for(
            store->with_fast_lock(DomainId{1}, "test", Clock::now() + seconds(30), given_again)));
    }
    void expect_untouched()
    {
        EXPECT_TRUE(is_alive(other_->pid()));
        EXPECT_EQ(file_identity(monitor_), socket_);
    }
    std::string monitor_;
    std::unique_ptr<Child> other_;
    std::optional<FileIdentity> socket_;
};

TEST_F(SocketTest, DestroyLeavesTheSocketOfAProcessThatListens)
{
    ASSERT_NO_FATAL_FAILURE(replace());
    EXPECT_TRUE(ended(xl({"destroy", "7"}), 0));
    expect_untouched();
}

TEST_F(SocketTest, StrikingOffADeadQemuLeavesTheSocketOfAProcessThatListens)
{
    ASSERT_NO_FATAL_FAILURE(replace());
    (void)fsck({"-p"});
    EXPECT_EQ(cell("SELECT qemu_pid IS NULL FROM domain"), "1");
    expect_untouched();
    (void)fsck({"-y"});
    expect_untouched();
}

}  // namespace
}  // namespace xlstore::test
