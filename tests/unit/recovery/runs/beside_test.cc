// SPDX-License-Identifier: MIT
// A look in which SQLite's integrity check has a thread of its own tells what one tells that does
// one after the other: the same lines, counts and progress in the same order, of a sound database
// and of damaged ones.
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <fstream>

#include "recovery/runs/recover.hpp"
#include "store/database/page_head.hpp"
#include "store/lifecycle/creation.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/values.hpp"

namespace xlstore::recovery {
namespace {

using test::soon;

class BesideTest : public testing::Test {
protected:
    BesideTest()
    {
        const auto store = scratch_.open();
        for (const std::string number : {"7", "8"}) {
            const auto made = store->loop().wait_for(import_domain(
                *store, std::stoi(number),
                test::hvm_document("d" + number, "8f2c7d10-4b6e-4a51-9d3c-00000000000" + number,
                                   "/srv/a.iso"),
                "test", soon()));
            EXPECT_TRUE(made) << (made ? "" : made.error().message);
        }
    }

    [[nodiscard]] std::string database() const { return scratch_.path() + "/store.db"; }
    /// As any program would, which keeps to no guard.
    void by_hand(const std::string& sql)
    {
        const auto store = scratch_.open();
        store->db().execute("PRAGMA foreign_keys = OFF");
        store->db().execute(sql);
    }
    void empty_log()
    {
        const auto store = scratch_.open();
        EXPECT_TRUE(store->loop().wait_for(store->empty_log(soon())));
    }
    /// 1001 of pass 1, in each domain.
    void spoil_entries()
    {
        by_hand("UPDATE thing SET json = '{\"vdev\":' || key || '}' WHERE class = 'disks'");
    }
    /// An index that was made for other columns.
    void spoil_index()
    {
        empty_log();
        const auto as_made = [this](const std::string& columns, const char* then) {
            sqlite3* db = nullptr;
            ASSERT_EQ(sqlite3_open(database().c_str(), &db), SQLITE_OK);
            const std::string sql =
                "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE INDEX "
                "history_domain ON history (" +
                columns + ")' WHERE name = 'history_domain'";
            EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
            sqlite3_close(db);
            ASSERT_EQ(sqlite3_open(database().c_str(), &db), SQLITE_OK);
            EXPECT_EQ(sqlite3_exec(db, then, nullptr, nullptr, nullptr), SQLITE_OK);
            sqlite3_close(db);
        };
        as_made("domid", "REINDEX history_domain");
        as_made("domain", "");
    }
    void overwrite_root_of(const std::string& table)
    {
        empty_log();
        std::int64_t root = 0;
        {
            const auto store = scratch_.open();
            root = store->db().pragma_integer(
                ("SELECT rootpage FROM sqlite_schema WHERE name = '" + table + "'").c_str());
        }
        empty_log();
        std::fstream file(database(), std::ios::in | std::ios::out | std::ios::binary);
        file.seekp((root - 1) * static_cast<std::int64_t>(kPageSize));
        file << std::string(kPageSize, 'x');
        ASSERT_TRUE(file.flush());
    }

    /// All that a caller gets of it, a line each.
    std::string look(bool threads, const std::function<bool()>& cancelled = {})
    {
        std::string told;
        Options options;
        options.mode = Mode::look;
        options.threads = threads;
        options.timeout_each = std::chrono::milliseconds(200);
        options.cancelled = cancelled;
        options.found = [&](const Finding& f) {
            told += std::to_string(static_cast<int>(f.code)) + " " + f.subject + ": " + f.evidence +
                    "\n";
        };
        options.progress = [&](int pass, int done, int of) {
            told += "pass " + std::to_string(pass) + " " + std::to_string(done) + "/" +
                    std::to_string(of) + "\n";
        };
        StoreOptions where;
        where.directory = scratch_.path();
        const auto store = Store::open_untouched(where);
        EXPECT_TRUE(store) << (store ? "" : store.error().message);
        if (!store) return told;
        EXPECT_NE((*store)->connect_beside(), nullptr) << "this would compare nothing";
        Check check(std::move(options));
        const auto damage = (*store)->loop().wait_for(run_passes(check, **store));
        const auto report = check.so_far();
        return told + "damage: " + damage.value_or("none") + "\nstatus " +
               std::to_string(report.exit_bits) + ", " + std::to_string(report.found) + " found, " +
               std::to_string(report.notes) + " notes\n";
    }

    test::ScratchStore scratch_;
};

bool tells(const std::string& told, const char* what)
{
    return told.find(what) != std::string::npos;
}

TEST_F(BesideTest, ASoundDatabaseIsToldOfAsOneAfterTheOther)
{
    spoil_entries();
    const auto told = look(true);
    EXPECT_TRUE(tells(told, "1001 domain 7 (d7)") && tells(told, "pass 1 1/2")) << told;
    EXPECT_TRUE(tells(told, "damage: none\nstatus 4, ")) << told;
    EXPECT_EQ(told, look(false));
}

TEST_F(BesideTest, NothingIsToldOfRowsWhereAnIndexIsDamaged)
{
    spoil_entries();
    spoil_index();
    const auto told = look(true);
    EXPECT_TRUE(tells(told, "store.db: row ")) << told;
    EXPECT_FALSE(tells(told, "domain 7") || tells(told, "pass 1")) << told;
    EXPECT_TRUE(tells(told, "status 4, 1 found, 0 notes")) << told;
    EXPECT_EQ(told, look(false));
}

TEST_F(BesideTest, WhatIsThrownAtRowsOfADamagedDatabaseIsDropped)
{
    spoil_entries();
    overwrite_root_of("thing");
    const auto told = look(true);
    EXPECT_FALSE(tells(told, "damage: none") || tells(told, "domain 7")) << told;
    EXPECT_EQ(told, look(false));
}

TEST_F(BesideTest, ARowThatNamesAMissingOneIsToldBeforeTheRest)
{
    spoil_entries();
    by_hand("INSERT INTO product (domain, kind, name, thing) VALUES (1, 'device', 'tablet', 999)");
    const auto told = look(true);
    const auto dangling = told.find("a row of product names a missing row of thing");
    ASSERT_NE(dangling, std::string::npos) << told;
    EXPECT_LT(dangling, told.find("1001 domain 7")) << told;
    EXPECT_EQ(told, look(false));
}

TEST_F(BesideTest, ACancelledLookTellsOfDamageAllTheSame)
{
    spoil_index();
    const auto at_once = [] { return true; };
    const auto told = look(true, at_once);
    EXPECT_TRUE(tells(told, "store.db: row ") && tells(told, "status 4, ")) << told;
    EXPECT_EQ(told, look(false, at_once));
}

// A row of a damaged database leads to no QEMU.
TEST_F(BesideTest, NoMonitorIsConnectedToBeforeTheDatabaseIsFoundSound)
{
    const std::string path = scratch_.path() + "/run/m";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    ASSERT_LT(path.size(), sizeof address.sun_path);
    path.copy(address.sun_path, path.size());
    const Fd monitor(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    ASSERT_EQ(bind(monitor.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(listen(monitor.get(), 8), 0);
    const auto self = *identify(getpid());
    const auto socket = *file_identity(path);
    const std::string pid = std::to_string(self.pid);
    by_hand("UPDATE domain SET qemu_pid = " + pid +
            ", qemu_start_time = " + std::to_string(self.start_time) +
            ", qemu_pid_namespace = " + std::to_string(self.pid_namespace) + ", monitor_path = '" +
            path + "', monitor_device = " + std::to_string(socket.device) +
            ", monitor_inode = " + std::to_string(socket.inode) + ", peer_pid = " + pid +
            ", peer_uid = " + std::to_string(getuid()) +
            ", peer_gid = " + std::to_string(getgid()) + " WHERE domid = 7");
    const auto was_called = [&] { return bool{Fd(accept(monitor.get(), nullptr, nullptr))}; };
    (void)look(true);
    EXPECT_TRUE(was_called());
    while (was_called()) {
    }
    spoil_index();
    (void)look(true);
    EXPECT_FALSE(was_called());
}

}  // namespace
}  // namespace xlstore::recovery
