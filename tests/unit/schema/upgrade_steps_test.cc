// SPDX-License-Identifier: MIT
// What the steps make of a store of release 0.1.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <string>
#include <string_view>

#include "schema/steps.hpp"

namespace xlstore {
namespace {

constexpr const char* kUpgradedUuid = "8f2c7d10-4b6e-4a51-9d3c-000000000007";

class SchemaUpgradeTest : public testing::Test {
protected:
    SchemaUpgradeTest() { EXPECT_EQ(sqlite3_open(":memory:", &db_), SQLITE_OK); }
    ~SchemaUpgradeTest() override { sqlite3_close(db_); }

    void must(const std::string& sql)
    {
        char* message = nullptr;
        EXPECT_EQ(sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, &message), SQLITE_OK)
            << sql << ": " << (message ? message : "");
        sqlite3_free(message);
    }
    void step(std::string_view name)
    {
        for (const auto& one : schema::steps())
            if (one.name.find(name) != std::string_view::npos) must(std::string(one.sql));
    }
    /// Every cell, with a blank behind it.
    std::string rows(const std::string& sql)
    {
        std::string text;
        sqlite3_exec(
            db_, sql.c_str(),
            [](void* all, int columns, char** row, char**) {
                for (int i = 0; i < columns; ++i)
                    *static_cast<std::string*>(all) += std::string(row[i] ? row[i] : "-") + " ";
                return 0;
            },
            &text, nullptr);
        return text;
    }

private:
    sqlite3* db_ = nullptr;
};

// Nothing of a store of release 0.1 is lost.
TEST_F(SchemaUpgradeTest, ProductsAndIntentsOfRelease01AreKept)
{
    for (const char* name : {"0001", "0002", "0003"})
        step(name);
    must("PRAGMA foreign_keys = ON");
    must("INSERT INTO session VALUES (1, 100, 1, 1, 'boot', 'test', 1)");
    for (const char* domain : {"1, 7", "2, 8"})
        must(std::string("INSERT INTO domain (id, domid, uuid, name, state, layout, boot_id, "
                         "created_us, changed_us) VALUES (") +
             domain + ", '" + kUpgradedUuid + "', 'web', 'running', 'yajl', 'boot', 1, 1)");
    must(
        "INSERT INTO thing VALUES (1, 1, 'qemu', 'gone', 0, 'qemu', 'stale', '{}', 1),"
        "(2, 1, 'qemu', 'leaves', 1, 'qemu', 'removing', '{}', 1),"
        "(3, 1, 'qemu', 'comes', 2, 'qemu', 'adding', '{\"new\":1}', 1),"
        "(4, 2, 'vkbs', '#0', 0, 'xenstore', 'present', '{}', 1),"
        "(5, 2, 'p9s', '#3', 0, 'xenstore', 'present', '{}', 1)");
    must(
        "INSERT INTO product VALUES (1, 'device', 'd1', 1), (1, 'device', 'd2', 2),"
        "(1, 'node', 'n2', 2), (1, 'device', 'd3', 3)");
    must(
        "INSERT INTO intent (domain, thing, owner, operation, image_before, image_after, "
        "image_stale, plan, probe, monitor_path, epoch, opened_us, asked_us) VALUES "
        "(1, 2, 1, 'remove', '{}', NULL, NULL, '[]', '{}', '/m', 1, 1, 55),"
        "(1, 3, 1, 'add', NULL, '{}', '{\"old\":1}', '[]', '{}', '/m', 1, 1, NULL)");

    step("0005");

    EXPECT_EQ(rows("SELECT thing, kind, name, image, claimed, undo, asked_us FROM product "
                   "ORDER BY thing, kind"),
              "1 device d1  0 - - 2 device d2  1 - 55 2 node n2  1 - - 3 device d3  1 - - ");
    EXPECT_EQ(rows("SELECT operation, replaced_state, image_stale FROM intent ORDER BY id"),
              R"(remove - - add stale {"old":1} )");
    EXPECT_EQ(rows("SELECT next_key FROM domain ORDER BY id"), "0 4 ");
    EXPECT_EQ(rows("SELECT key, products FROM things WHERE class = 'qemu'"),
              "gone - leaves device:d2 node:n2 comes device:d3 ");
}

// A store of release 0.1 has its things in the order of their ids; nothing else of it changes.
TEST_F(SchemaUpgradeTest, ThingsKeepTheOrderInWhichTheyCame)
{
    const auto steps = schema::steps();
    constexpr std::size_t kFirstRelease = 3;
    for (std::size_t i = 0; i < kFirstRelease; ++i)
        must(std::string(steps[i].sql));
    const std::string domain =
        "INSERT INTO domain (id, domid, uuid, name, state, layout, boot_id, created_us, changed_us) "
        "VALUES (";
    must(domain + "1, 7, '" + kUpgradedUuid + "', 'web', 'running', 'yajl', 'boot', 1, 1)");
    must(domain + "2, 8, '" + kUpgradedUuid + "', 'db', 'running', 'yajl', 'boot', 1, 1)");
    for (const char* values : {"(5, 1, 'usbctrls', '0'", "(6, 1, 'qemu', 'tab'",
                               "(7, 2, 'nics', '0'", "(9, 1, 'disks', 'hdc'"})
        must(std::string("INSERT INTO thing (id, domain, class, key, position, primary_at, state, "
                         "json, changed_us) VALUES ") +
             values + ", 0, 'qemu', 'present', '{}', 1)");
    must("UPDATE domain SET state = 'destroying' WHERE id = 2");

    for (std::size_t i = kFirstRelease; i < steps.size(); ++i)
        must(std::string(steps[i].sql));

    must(
        "INSERT INTO thing (domain, class, key, position, primary_at, state, json, changed_us) "
        "VALUES (1, 'qemu', 'new', 1, 'qemu', 'stale', '{}', 1)");
    EXPECT_EQ(rows("SELECT domid || key || coalesce(address, '') FROM things_as_made"),
              "70 7tab 7hdc 7new 80 ");
}

}  // namespace
}  // namespace xlstore
