// SPDX-License-Identifier: MIT
// A look in which SQLite's integrity check has a thread of its own tells what one tells that does
// one after the other: the same lines, counts and progress in the same order, of a sound database
// and of damaged ones.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <fstream>
#include <utility>

#include "recovery/runs/recover.hpp"
#include "store/core/domain.hpp"
#include "store/database/page_head.hpp"
#include "store/lifecycle/destroy.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/values.hpp"

namespace xlstore::recovery {
namespace {

using test::soon;

std::string big_endian_of(std::int64_t value, int bytes)
{
    std::string text;
    while (bytes-- > 0)
        text += static_cast<char>(value >> (8 * bytes));
    return text;
}

// An inner page of a table, all of whose places name one page.
std::string page_over(std::int64_t child)
{
    constexpr std::int64_t kCells = 250;
    constexpr std::int64_t kCell = 6;  // a page, and a row's id in two bytes
    constexpr auto kSize = static_cast<std::int64_t>(kPageSize);
    std::string places;
    std::string cells;
    for (std::int64_t i = 1; i <= kCells; ++i) {
        places += big_endian_of(kSize - kCell * i, 2);
        cells.insert(0,
                     big_endian_of(child, 4) + big_endian_of(0x8000 | i / 128 << 8 | i % 128, 2));
    }
    auto page = big_endian_of(5, 1) + big_endian_of(0, 2) + big_endian_of(kCells, 2) +
                big_endian_of(kSize - kCell * kCells, 2) + big_endian_of(0, 1) +
                big_endian_of(child, 4) + places;
    page.resize(kPageSize - cells.size());
    return page + cells;
}

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
    void with_sqlite_alone(const std::string& sql)
    {
        sqlite3* db = nullptr;
        ASSERT_EQ(sqlite3_open(database().c_str(), &db), SQLITE_OK);
        EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK);
        sqlite3_close(db);
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
        const auto as_made = [this](const std::string& columns) {
            with_sqlite_alone(
                "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE INDEX "
                "history_domain ON history (" +
                columns + ")' WHERE name = 'history_domain'");
        };
        as_made("domid");
        with_sqlite_alone("REINDEX history_domain");
        as_made("domain");
    }
    [[nodiscard]] std::int64_t root_of(const std::string& table)
    {
        empty_log();
        std::int64_t root = 0;
        {
            const auto store = scratch_.open();
            root = store->db().pragma_integer(
                ("SELECT rootpage FROM sqlite_schema WHERE name = '" + table + "'").c_str());
        }
        empty_log();
        return root;
    }
    void overwrite_root_of(const std::string& table)
    {
        const auto root = root_of(table);
        std::fstream file(database(), std::ios::in | std::ios::out | std::ios::binary);
        file.seekp((root - 1) * static_cast<std::int64_t>(kPageSize));
        file << std::string(kPageSize, 'x');
        ASSERT_TRUE(file.flush());
    }

    /// The pages of a table, of which each names one of the next level 250 times: 250^8 rows.
    void multiply(const std::string& table)
    {
        const auto root = root_of(table);
        with_sqlite_alone("PRAGMA user_version");  // its log goes, which says how many there are
        std::fstream file(database(), std::ios::in | std::ios::out | std::ios::binary);
        const auto at = [&](std::int64_t page) -> std::fstream& {
            file.seekp((page - 1) * static_cast<std::int64_t>(kPageSize));
            return file;
        };
        std::string leaf(kPageSize, 0);
        file.seekg((root - 1) * static_cast<std::int64_t>(kPageSize));
        ASSERT_TRUE(file.read(leaf.data(), static_cast<std::streamsize>(leaf.size())));
        ASSERT_EQ(leaf[0], 13) << "not a leaf of a table";
        file.seekp(0, std::ios::end);
        std::int64_t child = file.tellp() / static_cast<std::int64_t>(kPageSize) + 1;
        at(child) << leaf;
        for (int level = 0; level < 7; ++level, ++child)
            at(child + 1) << page_over(child);
        at(root) << page_over(child);
        file.seekp(28);  // how many pages there are
        file << big_endian_of(child, 4);
        ASSERT_TRUE(file.flush());
    }

    /// All that a caller gets of it, a line each.
    std::string look(bool threads, const std::function<bool()>& cancelled = {},
                     const std::function<void(int pass)>& begun = {})
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
            if (begun) begun(pass);
        };
        StoreOptions where;
        where.directory = scratch_.path();
        const auto store = Store::open_untouched(where);
        EXPECT_TRUE(store) << (store ? "" : store.error().message);
        if (!store) return told;
        // SQLite keeps its descriptor for the next.
        if (!begun) {
            EXPECT_NE((*store)->connect_beside(), nullptr) << "this would compare nothing";
        }
        Check check(std::move(options));
        const auto damage = (*store)->loop().wait_for(run_passes(check, **store));
        const auto report = check.so_far();
        return told + "damage: " + damage.value_or("none") + "\nstatus " +
               std::to_string(report.exit_bits) + ", " + std::to_string(report.found) + " found, " +
               std::to_string(report.notes) + " notes\n";
    }

    /// The same, once it is open, with so many descriptors to be had.
    std::string look_with_room_for(rlim_t room, bool threads)
    {
        rlimit before{};
        EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
        std::string told;
        try {
            told = look(threads, {}, [&, limited = false](int) mutable {
                if (std::exchange(limited, true)) return;  // pass 0, before anything is read
                const Fd next(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0));
                rlimit now = before;
                now.rlim_cur = static_cast<rlim_t>(next.get()) + room;
                EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &now), 0);
            });
        } catch (const std::exception& e) {
            told = e.what();
        }
        EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
        return told;
    }

    test::ScratchStore scratch_;
};

// What of a row a look tells of, when no process is at work on its domain.
class BesideEndedTest : public BesideTest, public testing::WithParamInterface<const char*> {
protected:
    /// A look between whose list of domains and pass 3 another connection ends that one.
    std::string look_while_it_ends(bool threads, std::int64_t domid)
    {
        bool ended = false;
        // Before the one that only looks: in one process it would be as read-only as that one.
        const auto other = scratch_.open();
        const auto end = [&](int pass) {
            if (pass != 3 || std::exchange(ended, true)) return;
            const auto row = find_domain(other->db(), "domid:" + std::to_string(domid));
            ASSERT_TRUE(row);
            ASSERT_TRUE(other->loop().wait_for(archive_domain(*other, *row, "test", soon())));
        };
        auto told = look(threads, {}, end);
        EXPECT_TRUE(ended) << told;
        return told;
    }
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

// A scan of such a table has no end, in neither thread.
TEST_F(BesideTest, PagesThatAreNamedOverAndOverKeepNoLookBusy)
{
    multiply("thing");
    const auto told = look(true);
    EXPECT_TRUE(tells(told, "2nd reference to page")) << told;
    EXPECT_FALSE(tells(told, "domain 7")) << told;
    EXPECT_EQ(told, look(false));
}

// Of the descriptors that a look needs, a second connection needs two once more.
TEST_F(BesideTest, WithFewDescriptorsItTellsWhatOneTellsThatDoesOneAfterTheOther)
{
    spoil_entries();
    std::string told;
    for (rlim_t room = 0; room < 12; ++room) {
        told = look_with_room_for(room, true);
        EXPECT_EQ(told, look_with_room_for(room, false)) << "with " << room << " descriptors";
    }
    EXPECT_TRUE(tells(told, "damage: none\nstatus 4, ")) << told;
}

TEST_P(BesideEndedTest, WhatHasEndedSinceItWasListedIsNotToldOf)
{
    by_hand(std::string("UPDATE domain SET ") + GetParam());
    auto told = look(true);
    EXPECT_TRUE(tells(told, "domain 7 (d7)") && tells(told, "domain 8 (d8)")) << told;
    told = look_while_it_ends(true, 7);
    EXPECT_TRUE(!tells(told, "domain 7") && tells(told, "domain 8 (d8)")) << told;
    told = look_while_it_ends(false, 8);
    EXPECT_TRUE(!tells(told, "domain 8") && tells(told, "status 0, ")) << told;
}

INSTANTIATE_TEST_SUITE_P(Kinds, BesideEndedTest,
                         testing::Values("state = 'destroying'", "state = 'creating'",
                                         "boot_id = '58066a8b-90ad-43e9-b4ba-aaaaaaaaaaaa'"));

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
