// SPDX-License-Identifier: MIT
// Where libxl owns a domain's QEMU, closing its document and a soft reset take libxl's locks with
// the slow lock: xl may be at work on its devices.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>

#include "store/core/closed_document.hpp"
#include "store/core/registration_row.hpp"
#include "store/libxl/host_lock.hpp"
#include "store/lifecycle/creation.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "store/operation/closing.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/scripted_peer.hpp"
#include "tests/support/values.hpp"

namespace xlstore {
namespace {

class LibxlQemuTest : public testing::Test {
protected:
    LibxlQemuTest() : store_(scratch_.open())
    {
        std::filesystem::create_directories(where_.lib());
        std::filesystem::create_directories(std::filesystem::path(where_.monitor(7)).parent_path());
        peer_.emplace(where_.monitor(7), test::handshake());
        auto domain = store_->loop().wait_for(
            import_domain(*store_, 7, test::hvm_document("web", test::kUuid, "/a.iso"), "document",
                          test::soon()));
        EXPECT_TRUE(domain);
        qmp::Registration registration;
        registration.qemu = *identify(peer_->pid());
        registration.path = where_.monitor(7);
        registration.socket = *file_identity(registration.path);
        registration.peer = qmp::Peer{peer_->pid(), geteuid(), getegid()};
        EXPECT_TRUE(store_->loop().wait_for(
            store_->with_writer_lock("test", test::soon(), [&](const WriterHold&) {
                return put_registration(store_->db(), domain->id, registration, "");
            })));
        domain_ = *read_domain(store_->db(), domain->id);
    }

    /// As xl holds it.
    [[nodiscard]] Fd held(libxl::HostLockKind kind) const
    {
        const auto path = lock_path(where_, libxl::FileOwner{7, test::kUuid}, kind);
        Fd fd(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
        EXPECT_EQ(flock(fd.get(), LOCK_EX | LOCK_NB), 0);
        return fd;
    }
    template <class T>
    void is_refused(const Result<T>& result)
    {
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().code, Errc::timeout) << result.error().message;
        EXPECT_NE(result.error().message.find("libxl's lock"), std::string::npos)
            << result.error().message;
        EXPECT_FALSE(closed_by(store_->db(), domain_.id));
        EXPECT_EQ(life_of(domain_.registration->qemu), Life::alive);
    }
    Result<Closed> close(Deadline until)
    {
        return store_->loop().wait_for(close_document(*store_, domain_, "test", until));
    }
    Result<Creation> reset(Deadline until)
    {
        return store_->loop().wait_for(Creation::begin_again(*store_, domain_, until));
    }

    test::ScratchStore scratch_;
    libxl::HostDirectories where_{scratch_.directory().path()};
    std::unique_ptr<Store> store_;
    std::optional<test::ScriptedPeer> peer_;
    DomainRow domain_;
};

constexpr libxl::HostLockKind kBoth[] = {libxl::HostLockKind::device_changes,
                                         libxl::HostLockKind::qmp_socket};

TEST_F(LibxlQemuTest, IsNotClosedBesideXl)
{
    for (const auto kind : kBoth) {
        const auto as_xl = held(kind);
        is_refused(close(Clock::now()));
    }
    const auto closed = close(test::soon());
    ASSERT_TRUE(closed) << closed.error().message;
    EXPECT_TRUE(closed_by(store_->db(), domain_.id));
}

TEST_F(LibxlQemuTest, IsNotReplacedBesideXl)
{
    for (const auto kind : kBoth) {
        const auto as_xl = held(kind);
        is_refused(reset(Clock::now()));
    }
    const auto begun = reset(test::soon());
    ASSERT_TRUE(begun) << begun.error().message;
    EXPECT_EQ(life_of(domain_.registration->qemu), Life::dead);
}

}  // namespace
}  // namespace xlstore
