// SPDX-License-Identifier: MIT
// Failing calls: each operation is run again and again, and the 1st, 2nd, 3rd ... call of one kind
// fails in it, until a run has had no such call any more. The kinds (trap.hpp) are each call of
// SQLite's to its files, SQLite's memory, C++'s memory, and descriptors. Besides, every
// operation is run on a disk that has less and less left.
//
// A run is a forked child on a copy of the operation's store. Afterwards nothing fails any more,
// and the parent looks. The child ended with success or an error that names the object; only where
// C++'s own memory failed it may have died. The rows are those after one of the operation's
// commits, and after the last one if it was acknowledged; a copy of a document (R22) is one of them.
// Recovery goes on with the next domain where a repair fails at one: of it, the rows of each domain
// are those that this domain has after one of the commits, apart from the others. On a full disk a
// destruction may go without the copy, if its line of history says so (R21). The store opens and is
// sound, and the operation, done once more, goes through.
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <optional>
#include <utility>

#include "recovery/runs/recover.hpp"
#include "store/core/intent_rows.hpp"
#include "store/operation/operation.hpp"
#include "tests/crash/store_rows.hpp"
#include "tests/crash/trap.hpp"
#include "tests/crash/work.hpp"
#include "tests/support/sqlite_calls.hpp"

namespace xlstore::test {
namespace {

namespace fs = std::filesystem;

// ---- The operations ----

/// What happens when the log has its reserve: nothing, or the disk is filled.
std::function<void()> with_reserve = [] {};

struct Operation {
    std::string name;
    std::function<void(const std::string& directory)> prepare;
    std::function<void(const std::string& directory)> act;
    /// From any state that act() can leave, to where act() ends.
    std::function<void(const std::string& directory)> again;
    bool reserved = false;  ///< calls with_reserve(), and needs no room on the disk from then on
    bool goes_on = false;   ///< where it fails at one domain, with the next
};

constexpr const char* kOldBoot = "5d0c6a1e-93f7-4b28-8e14-c07a52b9d3f1";

std::optional<DomainRow> domain(Work& work, int domid)
{
    auto found = find_domain(work.store().db(), "domid:" + std::to_string(domid));
    if (!found) return std::nullopt;
    return *std::move(found);
}

void two_domains(const std::string& directory)
{
    must(Store::init(directory));
    Work work(directory);
    work.import(1, "web");
    work.import(2, "mail");
}

void import_third(const std::string& directory)
{
    Work(directory).import(3, "news");
}

void edit_web(const std::string& directory)
{
    Work work(directory);
    work.edit(domain(work, 1)->id, "\"on_crash\":\"restart\"", "\"on_crash\":\"destroy\"");
}

// Both commits of an operation, and then one that finds the log long enough to start it anew.
void change_medium(const std::string& directory)
{
    Work work(directory);
    const auto web = domain(work, 1)->id;
    work.settle(web, work.open_intents(web, work.insertion(web, "/srv/b.iso")), Image::after);
    work.restart_log();
}

void settle_web(const std::string& directory)
{
    Work work(directory);
    work.restart_log();  // its blocks stay, and are the reserve
    with_reserve();
    const auto web = domain(work, 1)->id;
    if (auto intent = open_intent_of(work.store().db(), web, ThingName{"disks", "hdc"}))
        work.settle(web, {*intent}, Image::after);
}

void recover(const std::string& directory)
{
    const auto store = open_for_work(directory);
    recovery::Options options;
    std::string failed;
    options.found = [&](const recovery::Finding& finding) {
        if (finding.action == recovery::Action::failed || finding.code < recovery::Code::log_race ||
            finding.code == recovery::Code::qemu_unseen ||
            finding.code == recovery::Code::primary_unseen)
            failed += finding.subject + ": " + finding.evidence + finding.error;
    };
    must(store->loop().wait_for(recovery::recover(*store, std::move(options))));
    if (!failed.empty()) throw std::runtime_error(failed);
}

std::vector<Operation> operations()
{
    return {
        {"init", [](const std::string& directory) { mkdir(directory.c_str(), 0700); },
         [](const std::string& directory) { must(Store::init(directory)); },
         [](const std::string& directory) {
             if (!fs::exists(directory + "/store.db")) must(Store::init(directory));
         }},
        {"open", two_domains, [](const std::string& directory) { Work work(directory); },
         [](const std::string& directory) { Work work(directory); }},
        {"import", two_domains, import_third,
         [](const std::string& directory) {
             Work work(directory);
             if (!domain(work, 3)) work.import(3, "news");
         }},
        {"edit", two_domains, edit_web,
         [](const std::string& directory) {
             Work work(directory);
             const auto web = domain(work, 1)->id;
             if (read_document(work.store().db(), web).find("\"on_crash\":\"restart\"") !=
                 std::string::npos)
                 work.edit(web, "\"on_crash\":\"restart\"", "\"on_crash\":\"destroy\"");
         }},
        {"change", two_domains, change_medium,
         [](const std::string& directory) {
             Work work(directory);
             const auto web = domain(work, 1)->id;
             const ThingName drive{"disks", "hdc"};
             if (auto intent = open_intent_of(work.store().db(), web, drive))
                 work.settle(web, {*intent}, Image::after);
             else if (read_thing(work.store().db(), web, drive)->json.find("/srv/b.iso") ==
                      std::string::npos)
                 work.settle(web, work.open_intents(web, work.insertion(web, "/srv/b.iso")),
                             Image::after);
         }},
        {"settle",
         [](const std::string& directory) {
             two_domains(directory);
             Work work(directory);
             const auto web = domain(work, 1)->id;
             work.open_intents(web, work.insertion(web, "/srv/b.iso"));
         },
         settle_web, settle_web, true},
        {"destroy", two_domains,
         [](const std::string& directory) {
             Work work(directory);
             work.destroy(domain(work, 2)->id);
         },
         [](const std::string& directory) {
             Work work(directory);
             if (const auto mail = domain(work, 2)) work.destroy(mail->id);
         }},
        {"recover",
         [](const std::string& directory) {
             setenv("XLSTORE_TEST_BOOT_ID", kOldBoot, 1);  // NOLINT(concurrency-mt-unsafe)
             two_domains(directory);
             {
                 Work work(directory);
                 const auto web = domain(work, 1)->id;
                 work.open_intents(web, work.insertion(web, "/srv/b.iso"));
             }
             unsetenv("XLSTORE_TEST_BOOT_ID");  // NOLINT(concurrency-mt-unsafe)
         },
         recover, recover, false, true},
    };
}

// ---- One run ----

struct Ending {
    bool done = false;
    bool hit = false;   ///< what was to fail has failed
    bool died = false;  ///< by a signal, or without a word
    std::string said;
};

/// Runs `act` in a forked child in which `arm` has been called.
Ending run_in_child(const std::function<void()>& arm, const std::function<void()>& act)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    const pid_t pid = fork();
    if (pid == 0) {
        std::string said = "D";
        try {
            FailingIo io;
            const Watching watching(io);
            try {
                arm();
                act();
            } catch (const std::exception& e) {
                let_all_succeed();
                said = std::string("E") + e.what();
            }
        } catch (...) {
            _exit(1);
        }
        said.insert(0, 1, has_failed() ? 'H' : '-');
        _exit(write(ends[1], said.data(), said.size()) > 0 ? 0 : 1);
    }
    close(ends[1]);
    std::string said;
    char buffer[4096];
    for (ssize_t n = 0; (n = read(ends[0], buffer, sizeof buffer)) > 0;)
        said.append(buffer, static_cast<std::size_t>(n));
    close(ends[0]);
    int status = 0;
    waitpid(pid, &status, 0);
    Ending ending;
    ending.died = status != 0 || said.size() < 2;
    if (ending.died) {
        ending.hit = true;
        return ending;
    }
    ending.hit = said[0] == 'H';
    ending.done = said[1] == 'D';
    ending.said = said.substr(2);
    return ending;
}

/// The rows after each of the operation's commits, the last one last.
std::vector<Rows> states_of(const Operation& operation, const std::string& directory)
{
    class Commits : public SqliteObserver {
    public:
        explicit Commits(const std::string& directory) : directory_(directory) { look(); }
        void writer_left(const std::string&) override
        {
            if (std::exchange(looking_, true)) return;
            look();
            looking_ = false;
        }
        void look()
        {
            auto now = rows(directory_);
            if (states.empty() || states.back() != now) states.push_back(std::move(now));
        }
        std::vector<Rows> states;

    private:
        const std::string& directory_;
        bool looking_ = false;
    };
    Commits commits(directory);
    {
        const Watching watching(commits);
        operation.act(directory);
    }
    commits.look();
    return commits.states;
}

/// Does an error say what it is about?
bool names_object(const std::string& said, const std::string& directory)
{
    for (const auto& object : {directory, std::string("store.db"), std::string("domain "),
                               std::string("disks/"), std::string("qemu/"), std::string("/proc")})
        if (said.find(object) != std::string::npos) return true;
    return false;
}

/// Are these rows that the operation may leave? On a full disk: `full`.
bool are_right(const Operation& operation, const Rows& left, const std::vector<Rows>& states, bool full)
{
    if (!operation.goes_on)
        return std::ranges::any_of(states, [&](const Rows& right) { return fit(left, right, full); });
    if (left.size() != states.back().size()) return false;
    return std::ranges::all_of(left, [&](const auto& of_one) {
        return std::ranges::any_of(states, [&](const Rows& right) {
            return fits(of_one.second, right.at(of_one.first), full);
        });
    });
}

/// What a run lets fail, as far as it decides what is right.
struct Failing {
    bool may_die = false;
    bool full_disk = false;
};

/// What is wrong with a store after the child's end; "" is nothing.
std::string judge(const Operation& operation, const std::string& directory,
                  const std::vector<Rows>& states, const Ending& ending, const Failing& failing)
try {
    if (ending.died && !failing.may_die) return "it died";
    if (!ending.died && !ending.done && !failing.may_die && !names_object(ending.said, directory))
        return "the error names no object: " + ending.said;
    const auto left = rows(directory);
    if (!are_right(operation, left, states, failing.full_disk))
        return "its rows are those of no commit:\n" + shown(left);
    if (ending.done && !fit(left, states.back(), failing.full_disk))
        return "what was acknowledged is not there";
    if (!left.empty()) {
        std::string wrong;
        const auto store = open_for_work(directory);
        recovery::Options options;
        options.mode = recovery::Mode::look;
        options.found = [&](const recovery::Finding& finding) {
            if (finding.code == recovery::Code::database_damaged ||
                finding.code == recovery::Code::database_breach)
                wrong += finding.subject + ": " + finding.evidence;
        };
        must(store->loop().wait_for(recovery::recover(*store, std::move(options))));
        if (!wrong.empty()) return wrong;
    }
    operation.again(directory);
    const auto end = rows(directory);
    if (!end_alike(end, states.back())) return "once more, it ends elsewhere:\n" + shown(end);
    return "";
} catch (const std::exception& e) {
    return std::string("once more, it fails: ") + e.what();
}

// ---- All runs ----

struct Counts {
    std::size_t runs = 0;
    std::size_t errors = 0;
    std::size_t done = 0;  ///< something failed, and the operation went through
    std::size_t died = 0;
    std::size_t wrong = 0;

    void add(const Ending& ending)
    {
        ++runs;
        ++(ending.died ? died : ending.done ? done : errors);
    }
};

/// What is run of the whole, which takes hours: every Nth pair of operation and kind, and of its
/// calls the first ones and then ever fewer.
struct Share {
    std::size_t start = 0;
    std::size_t of = 1;
    bool every_call = true;
    std::size_t pair = 0;

    bool has_next_pair() { return (start + pair++) % of == 0; }
    std::size_t first() const { return every_call ? 1 : 1 + start / of % 4; }
    std::size_t after(std::size_t number) const
    {
        return number + (every_call ? 1 : 1 + number / 2);
    }
};

/// A run in which `arm` lets something fail; false if nothing did.
bool try_one(const Operation& operation, const std::string& base, const std::string& directory,
             const std::vector<Rows>& states, const std::function<void()>& arm,
             const std::string& what, const Failing& failing, Counts& counts)
{
    copy_store(base, directory);
    const auto ending = run_in_child(arm, [&] { operation.act(directory); });
    counts.add(ending);
    const auto wrong = judge(operation, directory, states, ending, failing);
    if (!wrong.empty()) {
        ++counts.wrong;
        std::printf("VIOLATION: %s, %s: %s\n", operation.name.c_str(), what.c_str(), wrong.c_str());
    }
    return ending.hit;
}

void print(const Operation& operation, const std::string& what, const Counts& counts)
{
    std::printf("%s, %s: %zu runs, %zu errors, %zu went through, %zu died\n",
                operation.name.c_str(), what.c_str(), counts.runs, counts.errors, counts.done,
                counts.died);
    std::fflush(stdout);
}

/// Each kind, each number of the share until a run survives. How many runs went wrong.
std::size_t fail_calls(const Operation& operation, const std::string& base,
                       const std::string& directory, const std::vector<Rows>& states,
                       Share& share)
{
    std::size_t wrong = 0;
    for (const auto& kind : kinds()) {
        if (!share.has_next_pair()) continue;
        Counts counts;
        for (std::size_t number = share.first();; number = share.after(number))
            if (!try_one(
                    operation, base, directory, states, [&] { kind.arm(number); },
                    kind.name + " " + std::to_string(number), {kind.may_die, false}, counts))
                break;
        print(operation, kind.name, counts);
        wrong += counts.wrong;
    }
    return wrong;
}

/// Ever more descriptors, until they are enough.
std::size_t run_out_of_descriptors(const Operation& operation, const std::string& base,
                                   const std::string& directory,
                                   const std::vector<Rows>& states)
{
    constexpr rlim_t kEnough = 100;
    Counts counts;
    for (rlim_t most = 0; most < kEnough && counts.done == 0; ++most) {
        const auto arm = [most] {
            const rlimit limit{most, most};
            if (setrlimit(RLIMIT_NOFILE, &limit) != 0) _exit(1);
        };
        (void)try_one(operation, base, directory, states, arm,
                      std::to_string(most) + " descriptors", {}, counts);
    }
    print(operation, "descriptors", counts);
    return counts.wrong + (counts.done == 0 ? 1 : 0);
}

// ---- A full disk ----

constexpr std::size_t kDiskBytes = 4 << 20;
constexpr std::size_t kPage = 4096;

std::size_t bytes_free(const std::string& disk)
{
    struct statvfs fs {};
    if (statvfs(disk.c_str(), &fs) != 0) throw std::runtime_error("cannot ask " + disk);
    return fs.f_bavail * fs.f_bsize;
}

/// Ever more room, until it is enough.
std::size_t fill_disk(const Operation& operation, const std::string& base, const std::string& disk,
                      const std::vector<Rows>& states)
{
    const std::string directory = disk + "/store";
    const std::string filler = disk + "/filler";
    Counts counts;
    for (std::size_t room = 0; counts.done == 0 && room < kDiskBytes; room += kPage) {
        copy_store(base, directory);
        const auto fill = [&] {
            const std::size_t before = bytes_free(disk);
            write_file(filler, std::string(before - std::min(before, room), 'x'));
        };
        const auto arm = [&] {
            if (operation.reserved)
                with_reserve = fill;
            else
                fill();
        };
        const auto ending = run_in_child(arm, [&] { operation.act(directory); });
        counts.add(ending);
        fs::remove(filler);
        const auto wrong = judge(operation, directory, states, ending, {false, true});
        if (wrong.empty()) continue;
        ++counts.wrong;
        std::printf("VIOLATION: %s, disk with %zu bytes left: %s\n", operation.name.c_str(), room,
                    wrong.c_str());
    }
    print(operation, "full disk", counts);
    if (operation.reserved && counts.errors != 0) {
        std::printf("VIOLATION: %s needed room on the disk\n", operation.name.c_str());
        ++counts.wrong;
    }
    return counts.wrong + (counts.done == 0 ? 1 : 0);
}

/// A small file system of our own at `disk`; false, with the reason printed, where that is not
/// allowed.
bool mount_disk(const std::string& disk)
{
    if (unshare(CLONE_NEWNS) != 0) {
        std::printf("full disk: SKIPPED, no mount namespace: %s\n", std::strerror(errno));
        return false;
    }
    fs::create_directory(disk);
    const std::string size = "size=" + std::to_string(kDiskBytes) + ",mode=0700";
    if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
        mount("tmpfs", disk.c_str(), "tmpfs", 0, size.c_str()) == 0)
        return true;
    std::printf("full disk: SKIPPED, no tmpfs: %s\n", std::strerror(errno));
    return false;
}

// ---- With a QEMU ----

/// Some failures of each kind while a device is put into a real QEMU and taken out again.
class WithQemu {
public:
    std::size_t fail_calls(Share& share)
    {
        std::size_t wrong = 0;
        for (const auto& kind : kinds()) {
            if (!share.has_next_pair()) continue;
            Counts counts;
            for (std::size_t number = share.first();; number = share.after(number)) {
                copy_store(store_.path(), copy_);
                const auto ending = run_in_child([&] { kind.arm(number); }, [&] { act(); });
                counts.add(ending);
                const auto said = judge(ending, kind.may_die);
                if (!said.empty()) {
                    ++counts.wrong;
                    std::printf("VIOLATION: attach, %s %zu: %s\n", kind.name.c_str(), number,
                                said.c_str());
                }
                if (!ending.hit) break;
            }
            print({"attach and detach in QEMU", {}, {}, {}}, kind.name, counts);
            wrong += counts.wrong;
        }
        return wrong;
    }

private:
    void act()
    {
        Work work(copy_);
        auto& store = work.store();
        const auto web = *domain(work, 7);
        must(store.loop().wait_for(attach(store, web, "qemu", tablet("t"), soon())));
        must(store.loop().wait_for(detach(store, web, thing_, soon())));
    }
    void take_out_what_is_left()
    {
        Work work(copy_);
        auto& store = work.store();
        const auto web = *domain(work, 7);
        const auto left = read_thing(store.db(), web.id, thing_);
        if (left) must(store.loop().wait_for(detach(store, web, thing_, soon())));
    }
    std::string judge(const Ending& ending, bool may_die)
    try {
        if (ending.died && !may_die) return "it died";
        if (!ending.died && !ending.done && !may_die && !names_object(ending.said, copy_))
            return "the error names no object: " + ending.said;
        const auto kept = invariant_holds(copy_, domain_.judge());
        if (!kept) return kept.message();
        if (ending.done && state_of(domain_.judge()) != before_) return "QEMU is not as it was";
        recover(copy_);
        const auto agree = store_and_qemu_agree(copy_, domain_.judge());
        if (!agree) return agree.message();
        take_out_what_is_left();
        if (state_of(domain_.judge()) != before_) return "taken out, QEMU is not as it was";
        return "";
    } catch (const std::exception& e) {
        return std::string("afterwards it fails: ") + e.what();
    }

    ScratchStore store_;
    ScratchDomain domain_{store_};
    const std::string copy_ = store_.directory() / "copy";
    const ThingName thing_{"qemu", "t"};
    const std::string before_ = state_of(domain_.judge());
};

int usage()
{
    std::fputs("usage: failing_calls [--share 1/N [--every]] [--operation NAME]\n", stderr);
    return 2;
}

int failing_calls(Words words)
{
    // A share of the kinds of calls, and of these each call: together such shares are the whole.
    const bool every = std::erase(words, "--every") > 0;
    if (words.size() % 2 != 0) return usage();
    Share share;
    std::string only;
    for (std::size_t i = 0; i < words.size(); i += 2)
        if (words[i] == "--share" && words[i + 1].starts_with("1/")) {
            share.of = std::stoul(words[i + 1].substr(2));
            share.start = turn();
            share.every_call = every;
            std::printf("share 1/%zu, start %zu\n", share.of, share.start);
        } else if (words[i] == "--operation") {
            only = words[i + 1];
        } else {
            return usage();
        }
    watch_sqlite_memory();
    const ScratchDirectory scratch;
    const std::string disk = scratch / "disk";
    const bool mounted = mount_disk(disk);
    std::size_t wrong = 0;
    for (const auto& operation : operations()) {
        if (!only.empty() && only != operation.name) continue;
        const std::string base = scratch / operation.name;
        const std::string directory = scratch / "run";
        operation.prepare(base);
        copy_store(base, directory);
        const auto states = states_of(operation, directory);
        wrong += fail_calls(operation, base, directory, states, share);
        if (share.has_next_pair())
            wrong += run_out_of_descriptors(operation, base, directory, states);
        if (mounted && share.has_next_pair()) wrong += fill_disk(operation, base, disk, states);
    }
    if (only.empty() || only == "attach") {
        share.every_call = false;  // a run takes long
        wrong += WithQemu().fail_calls(share);
    }
    if (mounted) umount2(disk.c_str(), MNT_DETACH);
    return wrong == 0 ? 0 : 1;
}

}  // namespace
}  // namespace xlstore::test

int main(int argc, char** argv)
{
    return xlstore::test::failing_calls(xlstore::test::Words(argv + 1, argv + argc));
}
