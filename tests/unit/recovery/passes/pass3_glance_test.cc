// SPDX-License-Identifier: MIT
// What one who only looks sees of many domains at once, against a real database and real locks.
// Whole runs: tests/fsck.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "recovery/passes/passes.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/values.hpp"

namespace xlstore::recovery {
namespace {

using test::soon;

class GlanceTest : public testing::Test {
protected:
    GlanceTest() : store_(scratch_.open()) {}

    DomainRow domain(std::int64_t domid)
    {
        const std::string number = std::to_string(domid);
        auto made = store_->loop().wait_for(import_domain(
            *store_, domid,
            test::hvm_document("d" + number, "8f2c7d10-4b6e-4a51-9d3c-00000000000" + number,
                               "/srv/a.iso"),
            "test", soon()));
        EXPECT_TRUE(made) << (made ? "" : made.error().message);
        return *made;
    }
    /// Of this boot and namespace; `start_time`: another process, if it is not the one that has
    /// the pid now.
    void register_qemu(const DomainRow& domain, pid_t pid, std::uint64_t start_time)
    {
        const auto self = *identify(getpid());
        store_->db()
            .prepare("UPDATE domain SET qemu_pid = ?1, qemu_start_time = ?2, qemu_pid_namespace = "
                     "?3, monitor_path = '/m', monitor_device = 1, monitor_inode = 1, peer_pid = "
                     "?1, peer_uid = 0, peer_gid = 0 WHERE id = ?4")
            .bind(std::int64_t{pid})
            .bind(static_cast<std::int64_t>(start_time))
            .bind(static_cast<std::int64_t>(self.pid_namespace))
            .bind(value_of(domain.id))
            .run();
    }
    void set(const DomainRow& domain, const std::string& what)
    {
        store_->db().execute("UPDATE domain SET " + what +
                             " WHERE id = " + std::to_string(value_of(domain.id)));
    }
    // A process of that pid that has ended: its number is ours by now, with another start time.
    DomainRow with_dead_qemu(std::int64_t domid)
    {
        const auto made = domain(domid);
        register_qemu(made, getpid(), static_cast<std::uint64_t>(domid));
        return *read_domain(store_->db(), made.id);
    }

    // "domid code", one a line; which of them are in which part.
    LivesSeen look(std::vector<DomainRow> domains)
    {
        Options options;
        options.mode = Mode::look;
        options.found = [&](const Finding& finding) {
            told_ += std::to_string(*finding.domid) + " " +
                     std::string(problem(finding.code).name) + "\n";
        };
        Check check(std::move(options));
        return glance_at_lives(check, *store_, std::move(domains));
    }
    static std::string domids(const std::vector<DomainRow>& rows)
    {
        std::string text;
        for (const auto& row : rows)
            text += std::to_string(row.domid) + " ";
        return text;
    }

    test::ScratchStore scratch_;
    std::unique_ptr<Store> store_;
    std::string told_;
};

TEST_F(GlanceTest, ADeadQemuIsToldAndALivingOneIsNot)
{
    const auto none = domain(1);
    const auto living = domain(2);
    register_qemu(living, getpid(), identify(getpid())->start_time);
    const auto dead = with_dead_qemu(3);
    const auto glance = look({none, *read_domain(store_->db(), living.id), dead});
    EXPECT_EQ(domids(glance.living), "1 2 ");
    EXPECT_EQ(domids(glance.without_qemu), "3 ");
    EXPECT_EQ(domids(glance.others), "");
    EXPECT_EQ(told_, "3 qemu_dead\n");
}

TEST_F(GlanceTest, WhatAnotherProcessHoldsIsLeftToALookAtItAlone)
{
    const auto dead = with_dead_qemu(3);
    const auto held = with_dead_qemu(4);
    const auto other = scratch_.open();
    const auto lock =
        other->loop().wait_for(other->slow_lock(held.id, "domain", "test", soon()));
    ASSERT_TRUE(lock);
    const auto glance = look({dead, held});
    EXPECT_EQ(domids(glance.without_qemu), "3 ");
    EXPECT_EQ(domids(glance.others), "4 ");
    EXPECT_EQ(told_, "3 qemu_dead\n");
}

// The list was made before: another process has registered a new QEMU since, or ended the domain.
TEST_F(GlanceTest, ARowThatHasChangedSinceItWasListedIsLeftToALookAtItAlone)
{
    const auto anew = with_dead_qemu(3);
    const auto ended = with_dead_qemu(4);
    const auto unchanged = with_dead_qemu(5);
    register_qemu(anew, getpid(), identify(getpid())->start_time);
    set(ended, "state = 'destroying'");
    const auto glance = look({anew, ended, unchanged});
    EXPECT_EQ(domids(glance.without_qemu), "5 ");
    EXPECT_EQ(domids(glance.living), "");
    EXPECT_EQ(domids(glance.others), "3 4 ");
    EXPECT_EQ(told_, "5 qemu_dead\n");
}

TEST_F(GlanceTest, OtherStatesBootsAndNamespacesAreLeftToALookAtEachAlone)
{
    auto older = domain(3);
    older.boot_id = "00000000-0000-0000-0000-000000000000";
    auto creating = domain(4);
    creating.state = DomainState::creating;
    const auto elsewhere = with_dead_qemu(5);
    set(elsewhere, "qemu_pid_namespace = 1");
    const auto glance = look({older, creating, *read_domain(store_->db(), elsewhere.id)});
    // In a namespace of which nothing is seen; where all are seen, it is dead.
    const bool unseen = life_of(read_domain(store_->db(), elsewhere.id)->registration->qemu) ==
                        Life::unknown;
    EXPECT_EQ(domids(glance.others), unseen ? "3 4 5 " : "3 4 ");
    EXPECT_EQ(domids(glance.without_qemu), unseen ? "" : "5 ");
}

TEST_F(GlanceTest, ADocumentThatIsClosedIsNamed)
{
    const auto open = domain(3);
    const auto closed = domain(4);
    set(closed, "closed_us = 1, closed_pid = 1, closed_program = 'xl', closed_reason = 'r'");
    const auto glance = look({open, closed});
    EXPECT_EQ(domids(glance.living), "3 4 ");
    EXPECT_EQ(told_, "4 document_closed\n");
}

}  // namespace
}  // namespace xlstore::recovery
