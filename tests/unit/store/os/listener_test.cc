// SPDX-License-Identifier: MIT
#include "store/os/listener.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "store/base/fd.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore::test {
namespace {

sockaddr_un address_of(const std::string& path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size());
    return address;
}

Fd bound(const std::string& path, int type)
{
    const auto address = address_of(path);
    Fd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
}

Fd connected(const std::string& path)
{
    const auto address = address_of(path);
    Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return fd;
}

class ListenerTest : public testing::Test {
protected:
    ScratchDirectory directory_;
    const std::string path_ = directory_ / "s";
};

TEST_F(ListenerTest, OnlyWhatTheKernelRefusesIsNoProcess)
{
    EXPECT_EQ(who_listens(path_), std::nullopt) << "nothing is there";
    {
        const Fd listener = bound(path_, SOCK_STREAM);
        ASSERT_EQ(listen(listener.get(), 0), 0);
        EXPECT_EQ(who_listens(path_), getpid());  // what it asked with fills the queue
        EXPECT_EQ(who_listens(path_), 0) << "its queue is full: a process has it";
    }
    EXPECT_EQ(who_listens(path_), std::nullopt) << "its process has closed it";
}

// A socket of another kind is a process's, too: a guess would call it left over.
TEST_F(ListenerTest, SocketOfAnotherTypeIsSomeProcesss)
{
    const Fd datagrams = bound(path_, SOCK_DGRAM);
    EXPECT_EQ(who_listens(path_), 0);
}

TEST_F(ListenerTest, HolderOfTheOtherEndIsWhoAccepted)
{
    const Fd listener = bound(path_, SOCK_STREAM);
    ASSERT_EQ(listen(listener.get(), 4), 0);
    const Fd ours = connected(path_);
    const auto before = holds_other_end(ours.get(), getpid());
    ASSERT_TRUE(before) << before.error().message;
    EXPECT_FALSE(*before) << "not accepted yet";

    const Child sleeper({"sleep", "60"});
    const Fd accepted(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    EXPECT_TRUE(*holds_other_end(ours.get(), getpid()));
    EXPECT_FALSE(*holds_other_end(ours.get(), sleeper.pid()));
    EXPECT_FALSE(*holds_other_end(ours.get(), (std::int64_t{1} << 32) + getpid()));
}

}  // namespace
}  // namespace xlstore::test
