// SPDX-License-Identifier: MIT
#include "tests/support/scripted_peer.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace xlstore::test {
namespace {

using namespace std::chrono_literals;

class ScriptedPeerTest : public testing::Test {
protected:
    ScriptedPeerTest()
    {
        directory_ = "/tmp/xlstore.XXXXXX";
        EXPECT_NE(mkdtemp(directory_.data()), nullptr);
        path_ = directory_ + "/q";
    }
    ~ScriptedPeerTest() override
    {
        unlink(path_.c_str());
        rmdir(directory_.c_str());
    }
    /// A client; -1 and errno when it was refused.
    [[nodiscard]] int client(int flags = 0) const
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, path_.c_str(), path_.size());
        Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
        if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
            return -1;
        return fd.release();
    }

    std::string directory_;
    std::string path_;
};

void say(const Fd& fd, const std::string& bytes)
{
    ASSERT_EQ(send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
}
std::string command(const std::string& name, const std::string& id)
{
    return R"({"execute":")" + name + R"(","arguments":{"id":"x"},"id":)" + id + "}\r\n";
}
/// The next line with its end, or what came before the peer hung up.
std::string hear(const Fd& fd)
{
    std::string line;
    char c = 0;
    while (!line.ends_with('\n') && recv(fd.get(), &c, 1, 0) == 1)
        line += c;
    return line;
}

TEST_F(ScriptedPeerTest, IsTheProcessThatTheSocketNames)
{
    const ScriptedPeer peer(path_, {step::accept()});
    const Fd fd(client());
    ucred credentials{};
    socklen_t size = sizeof credentials;
    ASSERT_EQ(getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size), 0);

    EXPECT_EQ(credentials.pid, peer.pid());
    EXPECT_NE(credentials.pid, getpid());
    EXPECT_EQ(credentials.uid, getuid());
    EXPECT_TRUE(peer.wait_until_done());
}

TEST_F(ScriptedPeerTest, PlaysAConversationAndRecordsIt)
{
    const ScriptedPeer peer(path_, script({handshake(),
                                           {step::send("{\"event\": \"STOP\"}\r\n"), step::line(),
                                            step::refuse("GenericError", "no"), step::line(),
                                            step::send_bytewise("half of $id"), step::close()}}));
    const Fd fd(client());

    EXPECT_EQ(hear(fd), greeting());
    say(fd, command("qmp_capabilities", "\"p-1\""));
    EXPECT_EQ(hear(fd), "{\"return\": {}, \"id\": \"p-1\"}\r\n");
    EXPECT_EQ(hear(fd), "{\"event\": \"STOP\"}\r\n");
    say(fd, command("device_add", "2") + command("device_del", "\"p-3\""));
    EXPECT_EQ(hear(fd), R"({"error": {"class": "GenericError", "desc": "no"}, "id": 2})"
                        "\r\n");
    EXPECT_EQ(hear(fd), "half of \"p-3\"");
    EXPECT_TRUE(peer.wait_until_done());
    EXPECT_EQ(peer.commands(),
              (std::vector<std::string>{"qmp_capabilities", "device_add", "device_del"}));
    EXPECT_EQ(peer.received().at(1).line + "\r\n", command("device_add", "2"));
}

TEST_F(ScriptedPeerTest, ServesAnswersInTurnAndStopsWhereTold)
{
    const ScriptedPeer peer(
        path_, script({handshake(),
                       {step::serve({returns("query-block", "[1]"), returns("query-block", "[2]"),
                                     refuses("qom-list", "DeviceNotFound", "gone")},
                                    "device_add"),
                        step::reply("\"stopped\"")}}));
    const Fd fd(client());
    (void)hear(fd);
    const auto ask = [&](const std::string& name) {
        say(fd, command(name, "1"));
        return hear(fd);
    };

    (void)ask("qmp_capabilities");
    EXPECT_EQ(ask("query-block"), "{\"return\": [1], \"id\": 1}\r\n");
    EXPECT_EQ(ask("qom-list"), R"({"error": {"class": "DeviceNotFound", "desc": "gone"}, "id": 1})"
                               "\r\n");
    EXPECT_EQ(ask("query-block"), "{\"return\": [2], \"id\": 1}\r\n");
    EXPECT_EQ(ask("query-block"), "{\"return\": [2], \"id\": 1}\r\n");
    EXPECT_EQ(ask("stop"), "{\"return\": {}, \"id\": 1}\r\n");
    EXPECT_EQ(ask("device_add"), "{\"return\": \"stopped\", \"id\": 1}\r\n");
    EXPECT_TRUE(peer.wait_until_done());
}

TEST_F(ScriptedPeerTest, GoesOnWithTheNextClientWhenOneHangsUp)
{
    const ScriptedPeer peer(path_, script({handshake(),
                                           {step::line(), step::reply("{}"), step::send("never")},
                                           {step::accept(), step::send("second\n")}}));
    {
        const Fd first(client());
        EXPECT_EQ(hear(first), greeting());
        say(first, command("qmp_capabilities", "1") + "half a line");
        (void)hear(first);
    }
    const Fd second(client());

    EXPECT_EQ(hear(second), "second\n");
    EXPECT_EQ(peer.received().size(), 1U);
}

TEST_F(ScriptedPeerTest, CountsDescriptorsWithTheirLine)
{
    const ScriptedPeer peer(path_, {step::accept(), step::line(), step::line(), step::line()});
    const Fd fd(client());
    say(fd, "first\n");
    std::string text = "second\n";
    iovec piece{text.data(), text.size()};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    const int passed = STDERR_FILENO;
    std::memcpy(CMSG_DATA(head), &passed, sizeof passed);
    ASSERT_GT(sendmsg(fd.get(), &message, 0), 0);
    say(fd, "third\n");

    ASSERT_TRUE(peer.wait_for_lines(3));
    EXPECT_EQ(peer.received()[0].descriptors, 0);
    EXPECT_EQ(peer.received()[1].line, "second");
    EXPECT_EQ(peer.received()[1].descriptors, 1);
    EXPECT_EQ(peer.received()[2].descriptors, 0);
}

TEST_F(ScriptedPeerTest, FillsItsQueueAndMakesRoomAgain)
{
    const ScriptedPeer peer(path_, {step::fill_queue(), step::sleep(100ms), step::drain_queue(),
                                    step::accept(), step::send("welcome\n")});

    EXPECT_EQ(client(SOCK_NONBLOCK), -1);
    EXPECT_EQ(errno, EAGAIN);
    const Fd patient(client());  // a blocking one waits for room
    EXPECT_EQ(hear(patient), "welcome\n");
}

TEST_F(ScriptedPeerTest, StaysSilentWithAFullQueueForEver)
{
    const ScriptedPeer peer(path_, {step::fill_queue()});

    EXPECT_TRUE(peer.wait_until_done());
    EXPECT_EQ(client(SOCK_NONBLOCK), -1);
    EXPECT_EQ(errno, EAGAIN);
}

TEST_F(ScriptedPeerTest, DiesOnRequestAndLeavesItsPath)
{
    ScriptedPeer peer(path_, {step::accept(), step::send("x"), step::die()});
    const Fd fd(client());

    EXPECT_EQ(hear(fd), "x");
    EXPECT_FALSE(peer.wait_until_done(20ms));
    EXPECT_EQ(client(), -1);
    EXPECT_EQ(errno, ECONNREFUSED);
    EXPECT_EQ(access(path_.c_str(), F_OK), 0);
    peer.kill();
    EXPECT_EQ(::kill(peer.pid(), 0), -1) << "reaped";
}

TEST_F(ScriptedPeerTest, KeepsNoDescriptorOfItsParent)
{
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe(ends.data()), 0);
    Fd reader(ends[0]);
    Fd writer(ends[1]);
    const ScriptedPeer peer(path_, {});
    writer.reset();
    char c = 0;

    EXPECT_EQ(read(reader.get(), &c, 1), 0) << "the peer holds the other end open";
}

TEST_F(ScriptedPeerTest, EndsWithItsObject)
{
    pid_t pid = -1;
    {
        const ScriptedPeer peer(path_, {step::sleep(1h)});
        pid = peer.pid();
        ASSERT_EQ(::kill(pid, SIGSTOP), 0);
    }

    EXPECT_EQ(::kill(pid, 0), -1);
    EXPECT_NE(access(path_.c_str(), F_OK), 0);
}

TEST_F(ScriptedPeerTest, SaysWhenItCannotListen)
{
    const ScriptedPeer peer(path_, {});

    EXPECT_THROW(ScriptedPeer(path_, {}), std::runtime_error);
    EXPECT_EQ(::kill(peer.pid(), 0), 0);
    EXPECT_EQ(access(path_.c_str(), F_OK), 0) << "the first one's path";
    EXPECT_THROW(ScriptedPeer(std::string(200, 'x'), {}), std::runtime_error);
}

}  // namespace
}  // namespace xlstore::test
