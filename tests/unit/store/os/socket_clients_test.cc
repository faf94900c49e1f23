// SPDX-License-Identifier: MIT
#include "store/os/socket_clients.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "store/base/fd.hpp"
#include "tests/support/holder.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore {
namespace {

using test::Holder;
using test::ScratchDirectory;

class SocketClientsTest : public testing::Test {
protected:
    SocketClientsTest() : listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))
    {
        const auto address = address_of(path_);
        EXPECT_EQ(
            bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        EXPECT_EQ(listen(listener_.get(), 8), 0);
    }
    void SetUp() override
    {
        if (!clients_of_socket(path_, -1)) GTEST_SKIP() << "no sock_diag of Unix sockets here";
    }
    static sockaddr_un address_of(const std::string& path)
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, path.c_str(), path.size());
        return address;
    }
    [[nodiscard]] static Fd connected(const std::string& path)
    {
        Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const auto address = address_of(path);
        if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
            fd.reset();
        return fd;
    }
    [[nodiscard]] Fd accepted() const
    {
        return Fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    }
    [[nodiscard]] SocketClients clients(int own = -1) const
    {
        auto found = clients_of_socket(path_, own);
        EXPECT_TRUE(found);
        found->processes.go_on(Deadline::max());
        return *std::move(found);
    }

    ScratchDirectory directory_;
    std::string path_ = directory_ / "monitor";
    Fd listener_;
};

TEST_F(SocketClientsTest, NamesTheProcessThatIsConnected)
{
    EXPECT_EQ(clients().connections, 0U);
    const Holder other([&] { return connected(path_).release() >= 0; });
    EXPECT_EQ(clients().connections, 0U) << "in the accept queue it is no client yet";
    const Fd served = accepted();
    const auto found = clients();
    EXPECT_EQ(found.connections, 1U);
    ASSERT_EQ(found.processes.found().size(), 1U);
    EXPECT_EQ(found.processes.found()[0].pid, other.pid());
    EXPECT_EQ(describe(found.processes.found()),
              "pid " + std::to_string(other.pid()) + " (unit_tests)");
}

TEST_F(SocketClientsTest, OurOwnConnectionDoesNotCount)
{
    const Fd own = connected(path_);
    const Fd served = accepted();
    EXPECT_EQ(clients(own.get()).connections, 0U);
    EXPECT_EQ(clients().connections, 1U);
}

TEST_F(SocketClientsTest, AnotherSocketsClientsAreNotThisOnes)
{
    ScratchDirectory elsewhere;
    const std::string path = elsewhere / "monitor";
    const Fd other_listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto address = address_of(path);
    ASSERT_EQ(
        bind(other_listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(listen(other_listener.get(), 8), 0);
    const Fd client = connected(path);
    const Fd served(accept4(other_listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    EXPECT_EQ(clients().connections, 0U);
}

TEST_F(SocketClientsTest, SearchesInPieces)
{
    const Fd client = connected(path_);
    const Fd served = accepted();
    auto found = clients_of_socket(path_, -1);
    ASSERT_TRUE(found);
    int pieces = 1;
    while (!found->processes.go_on(Clock::now()))
        ++pieces;
    EXPECT_GT(pieces, 1) << "one process a piece";
    ASSERT_EQ(found->processes.found().size(), 1U);
    EXPECT_EQ(found->processes.found()[0].pid, getpid());
}

}  // namespace
}  // namespace xlstore
