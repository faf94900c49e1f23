// SPDX-License-Identifier: MIT
// xlfsck -n writes nothing at all: every byte below the store, on a read-only mount, as a user
// who may only read, beside what a killed writer left, and by its system calls.
#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <set>
#include <sstream>

#include "tests/support/domain_test.hpp"

namespace xlstore::test {
namespace {

namespace fs = std::filesystem;

// Everything below a directory: names, owners, modes, times, and a hash of the bytes. As root
// SQLite gives its log to the owner of the database, whose it is already: that moves the time of
// its last change of status, and nothing else.
std::string everything_below(const std::string& directory)
{
    std::set<std::string> lines;
    for (const auto& entry : fs::recursive_directory_iterator(directory)) {
        struct stat st {};
        EXPECT_EQ(lstat(entry.path().c_str(), &st), 0);
        std::ostringstream line;
        line << entry.path().string() << ' ' << st.st_ino << ' ' << st.st_mode << ' ' << st.st_uid
             << ' ' << st.st_size << ' ' << st.st_mtim.tv_sec << '.' << st.st_mtim.tv_nsec << ' ';
        if (S_ISREG(st.st_mode)) line << std::hash<std::string>{}(read_file(entry.path()));
        lines.insert(line.str());
    }
    std::string all;
    for (const auto& line : lines)
        all += line + "\n";
    return all;
}

class LookTest : public DomainTest {
protected:
    // An open intent of a process that was killed when QEMU had acted, and an unmanaged device in
    // QEMU.
    void SetUp() override
    {
        ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet("tab")}, crash_at("commit.before", 3)),
                          kKilled));
        ASSERT_TRUE(contains(qmp(domain_.judge(), "chardev-add",
                                 R"({"id":"unmanaged","backend":{"type":"null","data":{}}})"),
                             "return"));
        ASSERT_TRUE(fs::exists(store_.path() + "/store.db-wal"));
        ASSERT_TRUE(fs::exists(store_.path() + "/store.db-shm"));
    }
    /// Runs it as `before` says, and nothing may have changed.
    Ran look(const Words& before = {})
    {
        Words words = before;
        const Words own = {binary("xlfsck"), "--store", store_.path(), "-n", "--json"};
        words.insert(words.end(), own.begin(), own.end());
        const auto files = everything_below(store_.path());
        const auto qemu = state_of(domain_.judge());
        Ran ran = run(words);
        EXPECT_EQ(everything_below(store_.path()), files);
        EXPECT_EQ(state_of(domain_.judge()), qemu);
        return ran;
    }
    void found_both(const Ran& ran)
    {
        EXPECT_TRUE(ended(ran, 4));
        EXPECT_TRUE(contains(ran.out, R"("problem":"intent_done")"));
        EXPECT_TRUE(contains(ran.out, R"("problem":"thing_unknown")"));
    }
};

TEST_F(LookTest, LeavesEveryByteBesideAKilledWritersLog)
{
    found_both(look());
    // The same without the log's index, and in the middle of the work of another.
    fs::remove(store_.path() + "/store.db-shm");
    found_both(look());
    EXPECT_FALSE(fs::exists(store_.path() + "/store.db-shm"));
    const auto open = store_.open();
    found_both(look());
}

TEST_F(LookTest, NoCopyIsLeft)
{
    fs::remove(store_.path() + "/store.db-shm");
    const auto place = store_.directory() / "tmp";
    fs::create_directory(place);
    found_both(look({"env", "TMPDIR=" + place}));
    EXPECT_TRUE(fs::is_empty(place));
}

TEST_F(LookTest, ReadOnlyMountWillDo)
{
    const auto missing =
        why_not({"unshare", "-m", "mount", "--bind", store_.path(), store_.path()});
    if (!missing.empty()) GTEST_SKIP() << "no mount namespace here: " << missing;
    const std::string mount =
        "mount --bind \"$0\" \"$0\" && mount -o remount,ro,bind \"$0\" && "
        "! touch \"$0/x\" 2>/dev/null && exec \"$@\"";
    const Words before = {"unshare", "-m", "sh", "-c", mount, store_.path()};
    found_both(look(before));
    fs::remove(store_.path() + "/store.db-shm");
    found_both(look(before));
}

// What would write says so, with what helps, and has changed nothing.
TEST_F(LookTest, WhatWritesOnAReadOnlyMountSaysThatItIsReadOnly)
{
    const auto missing =
        why_not({"unshare", "-m", "mount", "--bind", store_.path(), store_.path()});
    if (!missing.empty()) GTEST_SKIP() << "no mount namespace here: " << missing;
    const std::string mount =
        "mount --bind \"$0\" \"$0\" && mount -o remount,ro,bind \"$0\" && exec \"$@\"";
    const auto files = everything_below(store_.path());
    for (const Words& command : {Words{"rename", "7", "other"}, Words{"eject", "7", "hdc"},
                                 Words{"destroy", "7"}, Words{"recover"}}) {
        Words words = {"unshare",         "-m",      "sh",          "-c",    mount, store_.path(),
                       binary("xlstore"), "--store", store_.path(), "--json"};
        words.insert(words.end(), command.begin(), command.end());
        const Ran ran = run(words);
        EXPECT_TRUE(ended(ran, 1)) << command[0];
        EXPECT_EQ(json_at(ran.out, "$.error.code"), "readonly") << ran.out;
        EXPECT_TRUE(contains(json_at(ran.out, "$.error.advice"), "writable")) << ran.out;
    }
    EXPECT_EQ(everything_below(store_.path()), files);
}

// Its owner took his own right to write away: by the directory's mode, or that of a file.
TEST_F(LookTest, OwnerWhoMayNotWriteIsToldSo)
{
    if (geteuid() != 0) GTEST_SKIP() << "not root: another user cannot be played";
    for (const auto& entry : fs::recursive_directory_iterator(store_.path()))
        ASSERT_EQ(lchown(entry.path().c_str(), 65534, 65534), 0);
    ASSERT_EQ(chown(store_.path().c_str(), 65534, 65534), 0);
    ASSERT_EQ(chmod(store_.directory().path().c_str(), 0755), 0);
    for (const std::string name : {"", "/store.db", "/locks", "/slow"}) {
        const std::string path = store_.path() + name;
        ASSERT_EQ(chmod(path.c_str(), name.empty() ? 0500 : 0400), 0);
        const Ran ran =
            run({"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", binary("xlstore"),
                 "--store", store_.path(), "--json", "rename", "7", "other"});
        EXPECT_TRUE(ended(ran, 1)) << name;
        EXPECT_EQ(json_at(ran.out, "$.error.code"), "readonly") << name << ": " << ran.out;
        ASSERT_EQ(chmod(path.c_str(), name.empty() ? 0700 : 0600), 0);
    }
}

TEST_F(LookTest, UserWhoMayOnlyReadCanLook)
{
    const auto* group = getgrnam("nogroup");
    if (geteuid() != 0 || !group) GTEST_SKIP() << "not root: another user cannot be played";
    for (const auto& entry : fs::recursive_directory_iterator(store_.path()))
        if (entry.is_regular_file()) {
            ASSERT_EQ(chown(entry.path().c_str(), 0, group->gr_gid), 0);
            ASSERT_EQ(chmod(entry.path().c_str(), 0640), 0);
        }
    ASSERT_EQ(chown(store_.path().c_str(), 0, group->gr_gid), 0);
    ASSERT_EQ(chmod(store_.path().c_str(), 0750), 0);
    ASSERT_EQ(chmod(store_.directory().path().c_str(), 0755), 0);
    const Words before = {"setpriv", "--reuid=65534", "--regid=" + std::to_string(group->gr_gid),
                          "--clear-groups"};
    // It may read the store, and neither see nor ask root's QEMU: that is said, and nothing
    // guessed.
    for (const bool with_index : {true, false}) {
        if (!with_index) fs::remove(store_.path() + "/store.db-shm");
        const Ran ran = look(before);
        EXPECT_EQ(ran.status & 8, 8) << ran.out << ran.err;
        EXPECT_TRUE(contains(ran.out, R"("problem":"intent_in_doubt")"));
        EXPECT_TRUE(contains(ran.out, R"("open_intents":1)"));
    }
}

// What it asks the kernel for, below the store, and QEMU.
TEST_F(LookTest, ItsSystemCallsChangeNothing)
{
    if (!strace_works()) GTEST_SKIP() << "no strace, or it may not trace";
    const auto trace = store_.directory() / "trace";
    found_both(
        look({"env", "ASAN_OPTIONS=detect_leaks=0", "strace", "-f", "-s", "200", "-o", trace, "-e",
              "trace=%file,write,pwrite64,writev,pwritev,sendto,sendmsg,ftruncate,fallocate,"
              "fchmod,fchown,openat,unlinkat,renameat2,mkdirat"}));
    std::istringstream lines(read_file(trace));
    int opened = 0;
    std::set<std::string> asked;
    for (std::string line; std::getline(lines, line);) {
        if (line.find("\\\"execute\\\"") != std::string::npos) {
            const auto at = line.find("\\\"execute\\\":") + 12;
            const auto from = line.find("\\\"", at) + 2;
            asked.insert(line.substr(from, line.find("\\\"", from) - from));
            continue;
        }
        if (line.find(store_.path()) == std::string::npos) continue;
        // The log is there, and SQLite opens it as it always does; its bytes are compared.
        if (line.find("store.db-wal") != std::string::npos) continue;
        for (const char* change :
             {"unlink", "rename", "mkdir", "rmdir", "chmod", "chown", "truncate", "utime", " link(",
              "linkat(", "symlink", "O_CREAT", "O_TRUNC"})
            EXPECT_EQ(line.find(change), std::string::npos) << line;
        EXPECT_EQ(line.find("O_RDWR"), std::string::npos) << line;
        EXPECT_EQ(line.find("O_WRONLY"), std::string::npos) << line;
        opened += line.find("O_RDONLY") != std::string::npos;
    }
    EXPECT_GE(opened, 3);
    asked.erase("qmp_capabilities");
    EXPECT_FALSE(asked.empty());
    for (const auto& command : asked)
        EXPECT_TRUE(command.starts_with("query-") || command.starts_with("x-debug-query-") ||
                    command == "qom-list" || command == "qom-get" ||
                    command == "human-monitor-command")
            << command;
}

// What tools/systemd leaves for monitoring.
TEST_F(LookTest, MetricsSayWhatWasSeen)
{
    const auto file = store_.directory() / "xlstore.prom";
    const auto rows = dump(store_.path());
    const std::string bin = fs::path(binary("xlfsck")).parent_path();
    const Words words = {"env",     "PATH=" + bin + ":/usr/bin:/bin",
                         "sh",      XLSTORE_SOURCE_DIR "/tools/systemd/xlstore-metrics",
                         "--store", store_.path(),
                         file};
    EXPECT_TRUE(ended(run(words), 0));
    std::map<std::string, std::string> metrics;
    std::istringstream lines(read_file(file));
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with("# HELP xlstore_") || line.starts_with("# TYPE xlstore_")) continue;
        const auto blank = line.find(' ');
        ASSERT_NE(blank, std::string::npos) << line;
        EXPECT_TRUE(metrics.emplace(line.substr(0, blank), line.substr(blank + 1)).second) << line;
    }
    EXPECT_EQ(metrics["xlstore_fsck_status"], "4");
    EXPECT_EQ(metrics["xlstore_domains"], "1");
    EXPECT_EQ(metrics["xlstore_open_intents"], "1");
    EXPECT_EQ(metrics["xlstore_waiting_for_guest"], "0");
    EXPECT_EQ(metrics["xlstore_unknown_things"], "1");
    EXPECT_EQ(metrics["xlstore_stale_things"], "0");
    EXPECT_TRUE(metrics.contains("xlstore_oldest_intent_seconds"));
    EXPECT_GT(metrics["xlstore_fsck_time_seconds"].size(), 9u);
    EXPECT_EQ(dump(store_.path()), rows);

    // A database that is lost is no reason to leave the old figures.
    fs::remove(store_.path() + "/store.db");
    EXPECT_TRUE(ended(run(words), 0));
    EXPECT_TRUE(contains(read_file(file), "xlstore_fsck_status 4\n"));
    EXPECT_EQ(read_file(file).find("open_intents"), std::string::npos);
    EXPECT_TRUE(ended(run({"sh", XLSTORE_SOURCE_DIR "/tools/systemd/xlstore-metrics"}), 2));
}

TEST(UnitsTest, SystemdTakesThem)
{
    if (run({"sh", "-c", "command -v systemd-analyze"}).status != 0)
        GTEST_SKIP() << "there is no systemd-analyze";
    const ScratchDirectory place;
    const std::string units = XLSTORE_SOURCE_DIR "/tools/systemd/";
    for (const char* unit : {"xlstore-recover.service.in", "xlstore-look.service.in",
                             "xlstore-look-libxl.service.in", "xlstore-prune.service.in"}) {
        std::string text = read_file(units + unit);
        for (auto at = text.find('@'); at != std::string::npos; at = text.find('@', at)) {
            const auto slash = text.find('/', at);
            const auto end = text.find_first_of(" :\n", slash);
            text.replace(at, end - at, "/bin/true");  // a program that is there
        }
        write_file(place / fs::path(unit).stem(), text);
    }
    for (const std::string timer :
         {"xlstore-look.timer", "xlstore-look-libxl.timer", "xlstore-prune.timer"})
        write_file(place / timer, read_file(units + timer));
    write_file(place / "toolstack.service", "[Service]\nExecStart=/bin/true\n");
    fs::create_directory(place / "toolstack.service.d");
    write_file(place / "toolstack.service.d/guests.conf", read_file(units + "guests.conf"));
    for (const char* unit :
         {"xlstore-recover.service", "xlstore-look.service", "xlstore-look.timer",
          "xlstore-look-libxl.service", "xlstore-look-libxl.timer", "xlstore-prune.service",
          "xlstore-prune.timer", "toolstack.service"}) {
        const Ran ran = run({"systemd-analyze", "verify", "--man=no", place / unit});
        EXPECT_TRUE(ended(ran, 0));
        EXPECT_EQ(ran.err, "");
    }
}

// After a salvage that was killed there is no store.db, and after the loss of store.db only its log.
TEST(UnitsTest, TheyRunForWhatIsLeftOfADatabase)
{
    if (!why_not({"systemd-analyze", "condition", "ConditionPathExists=/"}).empty())
        GTEST_SKIP() << "there is no systemd-analyze that evaluates conditions";
    for (const char* unit :
         {"xlstore-recover.service.in", "xlstore-look.service.in", "xlstore-prune.service.in"}) {
        const ScratchDirectory place;
        Words command = {"systemd-analyze", "condition"};
        std::istringstream text(
            read_file(std::string(XLSTORE_SOURCE_DIR "/tools/systemd/") + unit));
        for (std::string line; std::getline(text, line);) {
            const std::string there = "/var/lib/xlstore";
            if (!line.starts_with("Condition")) continue;
            command.push_back(line.replace(line.find(there), there.size(), place.path()));
        }
        EXPECT_NE(run(command).status, 0) << unit;
        for (const char* name : {"store.db", "store.db.saving", "store.db-wal"}) {
            write_file(place / name, "");
            EXPECT_TRUE(ended(run(command), 0)) << unit << ' ' << name;
            fs::remove(place / name);
        }
    }
}

}  // namespace
}  // namespace xlstore::test
