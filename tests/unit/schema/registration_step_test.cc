// SPDX-License-Identifier: MIT
// What the step that gives the initial devices a table makes of a store of release 0.1.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "schema/steps.hpp"
#include "store/core/initial_devices.hpp"

namespace xlstore {
namespace {

class RegistrationStepTest : public testing::Test {
protected:
    RegistrationStepTest() : db_(":memory:", Db::Mode::create)
    {
        for (const auto& step : schema::steps()) {
            if (step.name.starts_with("0004")) break;
            if (step.name.starts_with("0006")) break;
            db_.execute(std::string(step.sql));
        }
    }
    void row(int id, const std::string& state, const std::string& baseline,
             const std::string& log_path, bool with_qemu = true)
    {
        db_.execute(
            "INSERT INTO domain (id, domid, uuid, name, state, layout, boot_id, created_us, "
            "changed_us, born_us, qemu_pid, monitor_inode, baseline, log_path) VALUES (" +
            std::to_string(id) + ", " + std::to_string(id) +
            ", '8f2c7d10-4b6e-4a51-9d3c-000000000007', 'web', '" + state +
            "', 'yajl', 'boot', 1, 1, 1, " + (with_qemu ? "100" : "NULL") + ", 5, " + baseline +
            ", " + log_path + ")");
    }
    void take_step()
    {
        bool taken = false;
        for (const auto& step : schema::steps())
            if (step.name.starts_with("0006")) {
                db_.execute(std::string(step.sql));
                taken = true;
            }
        ASSERT_TRUE(taken);
    }
    std::string cell(const std::string& query)
    {
        auto row = db_.prepare(texts_.insert(query).first->c_str());
        return row.step() ? row.text(0) : std::string();
    }

    Db db_;
    std::set<std::string> texts_;  // a statement is known by the address of its text
};

constexpr const char* kBaseline =
    R"('{"device":["ide-5632","nic"],"anonymous":[],"node":[],"chardev":["c"],"object":[],)"
    R"("netdev":[],"drive":[{"id":"ide-5632","file":"/a.iso"},{"id":"empty","file":null}]}')";

TEST_F(RegistrationStepTest, KeepsWhatTheRowHad)
{
    row(1, "running", kBaseline, "'/run/qemu-1.log'");
    take_step();
    const auto initial = read_initial_devices(db_, DomainId(1));
    EXPECT_EQ(initial.from, InitialDevices::From::creation);
    EXPECT_TRUE(initial.has("device", "nic"));
    EXPECT_TRUE(initial.has("device", "ide-5632"));
    EXPECT_TRUE(initial.has("chardev", "c"));
    EXPECT_EQ(initial.media, (std::map<std::string, std::string>{{"ide-5632", "/a.iso"}}));
}

TEST_F(RegistrationStepTest, SaysOnWhatTheListRests)
{
    row(1, "running", kBaseline, "''");      // registered: it lists all that was there
    row(2, "running", "'{rubbish}'", "''");  // damaged by hand
    row(3, "running", "NULL", "'/l'");       // never written
    row(4, "running", "NULL", "''", false);  // no QEMU
    row(5, "creating", "NULL", "'/l'");      // a soft reset that has not met its QEMU
    take_step();
    EXPECT_EQ(cell("SELECT initial_from FROM domain WHERE id = 1"), "listed");
    EXPECT_EQ(cell("SELECT initial_from FROM domain WHERE id = 2"), "unknown");
    EXPECT_EQ(cell("SELECT initial_from FROM domain WHERE id = 3"), "unknown");
    EXPECT_EQ(cell("SELECT initial_from FROM domain WHERE id = 4"), "");
    EXPECT_EQ(cell("SELECT initial_from FROM domain WHERE id = 5"), "");
    EXPECT_EQ(cell("SELECT state FROM domain WHERE id = 5"), "creating");
}

// Recovery finishes a creation, and attaches its document: not to a QEMU that ran before.
TEST_F(RegistrationStepTest, ARegistrationThatBrokeOffIsNoCreation)
{
    row(1, "creating", "NULL", "''");
    take_step();
    EXPECT_EQ(cell("SELECT state FROM domain"), "running");
    EXPECT_EQ(cell("SELECT initial_from FROM domain"), "unknown");
}

}  // namespace
}  // namespace xlstore
