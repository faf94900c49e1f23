// SPDX-License-Identifier: MIT
// No memory: operations of the C interface on a real QEMU, in which allocations fail, several in a
// row: from the nth on, the next k of C++'s memory, of SQLite's, or of both.
//
// A run is a forked child on a copy of the store: it opens it, the allocations fail within the one
// call, and it says what that call answered. Then the parent looks. The child never died. Done:
// QEMU has what was asked for, and no intent is open. In doubt: with the number of an intent that
// the store knows. Anything else: QEMU is as it was, and no intent is open. An operation that was
// started ended with its callback, once. In each case the invariant holds, and recovery settles
// it.
#include <poll.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <new>
#include <string>
#include <vector>

#include "tests/crash/work.hpp"
#include "xlstore/xlstore.h"

namespace xlstore::test {
namespace {

/// Which allocations fail. One in a process, since operator new has no other way to find it.
struct Trap {
    bool of_cxx = false;
    bool of_sqlite = false;
    std::size_t from = 0;  ///< the first that fails; 0: none
    std::size_t count = 0;
    std::size_t calls = 0;
    bool springs(bool counts)
    {
        if (from == 0 || !counts) return false;
        ++calls;
        return calls >= from && calls < from + count;
    }
};
Trap trap;

sqlite3_mem_methods sqlite_memory;

void* sqlite_allocate(int size)
{
    return trap.springs(trap.of_sqlite) ? nullptr : sqlite_memory.xMalloc(size);
}
void* sqlite_reallocate(void* old, int size)
{
    return trap.springs(trap.of_sqlite) ? nullptr : sqlite_memory.xRealloc(old, size);
}

/// REQUIRES that SQLite was not used yet.
void watch_sqlite_memory()
{
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sqlite_memory);
    sqlite3_mem_methods watched = sqlite_memory;
    watched.xMalloc = sqlite_allocate;
    watched.xRealloc = sqlite_reallocate;
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &watched) != SQLITE_OK)
        throw std::runtime_error("SQLite's memory cannot be watched");
}

void* allocate_or_null(std::size_t size)
{
    return trap.springs(trap.of_cxx) ? nullptr : std::malloc(size == 0 ? 1 : size);
}

void* allocate(std::size_t size)
{
    if (void* memory = allocate_or_null(size)) return memory;
    throw std::bad_alloc();
}

}  // namespace
}  // namespace xlstore::test

void* operator new(std::size_t size)
{
    return xlstore::test::allocate(size);
}
void* operator new[](std::size_t size)
{
    return xlstore::test::allocate(size);
}
// The sanitizer's own would hand out memory that `delete` below may not free.
void* operator new(std::size_t size, const std::nothrow_t&) noexcept
{
    return xlstore::test::allocate_or_null(size);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept
{
    return xlstore::test::allocate_or_null(size);
}
void operator delete(void* memory) noexcept
{
    std::free(memory);
}
void operator delete[](void* memory) noexcept
{
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept
{
    std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept
{
    std::free(memory);
}

namespace xlstore::test {
namespace {

/// What a call answered.
struct Answer {
    int32_t status = 1;
    long intent = 0;
    int callbacks = 1;  ///< of a call that ends with one; else 1
};

/// The call, with the trap set around it: in the child.
using Call = std::function<Answer(xlstore_store*, const std::function<void()>& arm)>;

struct Operation {
    std::string name;
    std::vector<Words> before;  ///< commands that make the state it begins with
    Call call;
    std::function<bool()> fulfilled;
    bool in_parts = false;  ///< some of it may be done although the whole is not
};

Answer waited(const std::function<void()>& arm,
              const std::function<int32_t(xlstore_result**)>& call)
{
    xlstore_result* result = nullptr;
    Answer answer;
    arm();
    answer.status = call(&result);
    trap.from = 0;
    xlstore_error error = XLSTORE_ERROR_INIT;
    xlstore_last_error(&error);
    answer.intent = answer.status == XLSTORE_OK ? xlstore_result_intent(result) : error.intent;
    xlstore_result_free(result);
    return answer;
}

Answer started(xlstore_store* store, const std::function<void()>& arm,
               const std::function<int32_t(xlstore_callback, void*)>& call)
{
    Answer answer;
    answer.callbacks = 0;
    const auto heard = [](xlstore_result* result, void* userdata) {
        auto& to = *static_cast<Answer*>(userdata);
        ++to.callbacks;
        to.status = xlstore_result_status(result);
        to.intent = xlstore_result_intent(result);
    };
    arm();
    const int32_t begun = call(heard, &answer);
    if (begun != XLSTORE_OK) {
        answer = Answer{begun, 0, 1};
    } else {
        while (answer.callbacks == 0) {
            pollfd ready{xlstore_fd(store), POLLIN, 0};
            if (poll(&ready, 1, 20'000) == 0) break;  // it never comes
            (void)xlstore_dispatch(store);
        }
    }
    trap.from = 0;
    return answer;
}

class World {
public:
    std::vector<Operation> operations()
    {
        const auto has_tablet = [this] { return devices().find(" t ") != std::string::npos; };
        const std::string both = R"([{"attach":"qemu","thing":)" + tablet("t") +
                                 R"(},{"attach":"qemu","thing":)" + chardev("c") + "}]";
        const Words attach = {"attach", "7", "qemu", tablet("t")};
        return {
            {"attach",
             {},
             [](xlstore_store* store, const auto& arm) {
                 return waited(arm, [&](xlstore_result** out) {
                     return xlstore_attach(store, "domid:7", "qemu", tablet_.c_str(), nullptr, out);
                 });
             },
             has_tablet},
            {"attach, started",
             {},
             [](xlstore_store* store, const auto& arm) {
                 return started(store, arm, [&](xlstore_callback heard, void* userdata) {
                     return xlstore_attach_start(store, "domid:7", "qemu", tablet_.c_str(), nullptr,
                                                 heard, userdata, nullptr);
                 });
             },
             has_tablet},
            {"detach",
             {attach},
             [](xlstore_store* store, const auto& arm) {
                 return waited(arm, [&](xlstore_result** out) {
                     return xlstore_detach(store, "domid:7", "qemu", "t", nullptr, out);
                 });
             },
             [=] { return !has_tablet(); }},
            {"insert",
             {},
             [this](xlstore_store* store, const auto& arm) {
                 return waited(arm, [&](xlstore_result** out) {
                     return xlstore_insert(store, "domid:7", "hdc", domain_.image('b').c_str(),
                                           nullptr, out);
                 });
             },
             [this] { return domain_.medium() == domain_.image('b'); }},
            {"eject",
             {},
             [](xlstore_store* store, const auto& arm) {
                 return waited(arm, [&](xlstore_result** out) {
                     return xlstore_eject(store, "domid:7", "hdc", nullptr, out);
                 });
             },
             [this] { return domain_.medium().empty(); }},
            {"batch, all or none",
             {},
             [both](xlstore_store* store, const auto& arm) {
                 return waited(arm, [&](xlstore_result** out) {
                     return xlstore_batch(store, "domid:7", both.c_str(), XLSTORE_ALL_OR_NONE,
                                          nullptr, out);
                 });
             },
             has_tablet},
            {"batch",
             {},
             [both](xlstore_store* store, const auto& arm) {
                 return waited(arm, [&](xlstore_result** out) {
                     return xlstore_batch(store, "domid:7", both.c_str(), 0, nullptr, out);
                 });
             },
             has_tablet,
             true},
            {"rename",
             {},
             [](xlstore_store* store, const auto& arm) {
                 return waited(arm, [&](xlstore_result** out) {
                     return xlstore_rename(store, "domid:7", "other", 0, nullptr, out);
                 });
             },
             [this] { return sql(copy_, "SELECT name FROM domain WHERE domid = 7") == "other"; }},
            {"external QMP client",
             {},
             [this](xlstore_store* store, const auto& arm) { return intended(store, arm); },
             [this] {
                 return sql(copy_, "SELECT count(*) FROM intent") == "0" &&
                        sql(copy_, "SELECT count(*) FROM thing WHERE key = 't'") == "0";
             },
             true},
            {"external client, the store looks",
             {},
             [this](xlstore_store* store, const auto& arm) { return looked(store, arm); },
             [this] {
                 return sql(copy_, "SELECT count(*) FROM intent") == "0" &&
                        sql(copy_, "SELECT count(*) FROM thing WHERE key IN ('t', 'c')") == "0";
             },
             true},
            {"destroy",
             {},
             [](xlstore_store* store, const auto& arm) {
                 return waited(arm, [&](xlstore_result** out) {
                     return xlstore_destroy(store, "domid:8", nullptr, out);
                 });
             },
             [this] {
                 return sql(copy_, "SELECT state FROM domain WHERE domid = 8") == "destroyed";
             }},
        };
    }

    /// One run; false when nothing failed in it any more.
    bool run(const Operation& operation, const Trap& set)
    {
        copy_store(store_.path(), copy_);
        for (const auto& words : operation.before)
            if (xlstore(copy_, words).status != 0) throw std::runtime_error("cannot prepare");
        const auto before = state_of(domain_.judge());
        const Told told = in_child(operation, set);
        ++runs;
        const auto wrong = judge(operation, told, before);
        if (!wrong.empty()) {
            ++violations;
            std::printf("VIOLATION: %s, %s%s from %zu, %zu of them: %s\n", operation.name.c_str(),
                        set.of_cxx ? "C++" : "", set.of_sqlite ? "SQLite" : "", set.from, set.count,
                        wrong.c_str());
            std::fflush(stdout);
        }
        tidy();
        return told.hit;
    }

    std::size_t runs = 0;
    std::size_t violations = 0;

private:
    struct Told {
        bool hit = true;
        bool died = true;
        Answer answer;
    };

    std::string devices() { return " " + domain_.devices() + " "; }

    // The embedder's own exchange, which sends nothing: it says so, and that is settled.
    Answer intended(xlstore_store* store, const std::function<void()>& arm)
    {
        const std::string monitor = sql(copy_, "SELECT monitor_path FROM domain WHERE domid = 7");
        xlstore_intention intention = XLSTORE_INTENTION_INIT;
        intention.operation = XLSTORE_ADD;
        intention.device_class = "qemu";
        intention.json = tablet_.c_str();
        intention.monitor_path = monitor.c_str();
        intention.seen = XLSTORE_SEEN_BEFORE;
        xlstore_hold* hold = nullptr;
        Answer answer;
        int64_t intent = 0;
        arm();
        answer.status = xlstore_slow_lock(store, "domid:7", "test", nullptr, &hold);
        if (answer.status == XLSTORE_OK) {
            answer.status = xlstore_intend(hold, &intention, nullptr, &intent);
            if (answer.status == XLSTORE_OK)
                answer.status = xlstore_settle(hold, intent, XLSTORE_SEEN_BEFORE, "none", nullptr);
        }
        trap.from = 0;
        xlstore_error error = XLSTORE_ERROR_INIT;
        xlstore_last_error(&error);
        answer.intent = error.intent;
        if (intent != 0 && answer.status != XLSTORE_OK && answer.status != XLSTORE_E_IN_DOUBT)
            answer.callbacks = 0;  // it was committed: nothing else may be said
        xlstore_hold_release(hold);
        return answer;
    }

    // The store looks for it, at two things at once.
    Answer looked(xlstore_store* store, const std::function<void()>& arm)
    {
        const std::string other = chardev("c");
        xlstore_intention both[2] = {XLSTORE_INTENTION_INIT, XLSTORE_INTENTION_INIT};
        xlstore_carried_out done[2] = {XLSTORE_CARRIED_OUT_INIT, XLSTORE_CARRIED_OUT_INIT};
        for (int i = 0; i < 2; ++i) {
            both[i].operation = XLSTORE_ADD;
            both[i].device_class = "qemu";
            both[i].json = i == 0 ? tablet_.c_str() : other.c_str();
            done[i].evidence = "none";
        }
        xlstore_hold* hold = nullptr;
        Answer answer;
        int64_t numbers[2] = {};
        arm();
        answer.status = xlstore_slow_lock(store, "domid:7", "test", nullptr, &hold);
        if (answer.status == XLSTORE_OK)
            answer.status = xlstore_look_and_intend(hold, both, 2, nullptr, numbers);
        if (answer.status == XLSTORE_OK) {
            done[0].intent = numbers[0];
            done[1].intent = numbers[1];
            answer.status = xlstore_look_and_settle(hold, done, 2, nullptr);
        }
        trap.from = 0;
        xlstore_error error = XLSTORE_ERROR_INIT;
        xlstore_last_error(&error);
        answer.intent = error.intent;
        xlstore_hold_release(hold);
        if (answer.status != XLSTORE_OK && answer.status != XLSTORE_E_IN_DOUBT &&
            sql(copy_, "SELECT count(*) FROM intent") != "0")
            answer.callbacks = 0;  // they were committed: nothing else may be said
        return answer;
    }

    Told in_child(const Operation& operation, const Trap& set)
    {
        int ends[2];
        if (pipe(ends) != 0) throw std::runtime_error("no pipe");
        const pid_t pid = fork();
        if (pid == 0) {
            xlstore_store* store = nullptr;
            if (xlstore_open(copy_.c_str(), nullptr, &store) != XLSTORE_OK) _exit(1);
            const Answer answer = operation.call(store, [&] { trap = set; });
            const bool hit = trap.calls >= set.from;
            const auto said = std::to_string(int{hit}) + " " + std::to_string(answer.status) + " " +
                              std::to_string(answer.intent) + " " +
                              std::to_string(answer.callbacks) + "\n";
            const bool written = write(ends[1], said.data(), said.size()) > 0;
            xlstore_close(store);
            _exit(written ? 0 : 1);
        }
        close(ends[1]);
        std::string said;
        char buffer[256];
        for (ssize_t n = 0; (n = read(ends[0], buffer, sizeof buffer)) > 0;)
            said.append(buffer, static_cast<std::size_t>(n));
        close(ends[0]);
        int status = 0;
        waitpid(pid, &status, 0);
        Told told;
        int hit = 1;
        told.died =
            status != 0 || std::sscanf(said.c_str(), "%d %d %ld %d", &hit, &told.answer.status,
                                       &told.answer.intent, &told.answer.callbacks) != 4;
        told.hit = hit != 0;
        return told;
    }

    std::string judge(const Operation& operation, const Told& told, const std::string& before)
    {
        if (told.died) return "it died";
        const Answer& answer = told.answer;
        if (answer.callbacks != 1)
            return "callbacks " + std::to_string(answer.callbacks) + ", status " +
                   std::to_string(answer.status);
        if (const auto kept = invariant_holds(copy_, domain_.judge()); !kept) return kept.message();
        const bool open = sql(copy_, "SELECT count(*) FROM intent") != "0";
        const std::string said = "it answered " + std::to_string(answer.status) + ", and ";
        if (answer.status == XLSTORE_OK) {
            if (!operation.fulfilled()) return said + "it is not done";
            return open ? said + "an intent is open" : "";
        }
        if (answer.status == XLSTORE_E_IN_DOUBT) {
            const auto number = std::to_string(answer.intent);
            return sql(copy_, "SELECT count(*) FROM intent WHERE id = " + number) +
                               sql(copy_,
                                   "SELECT count(*) FROM history WHERE intent = " + number) ==
                           "00"
                       ? said + "there is no intent " + number
                       : "";
        }
        if (operation.in_parts || answer.status == XLSTORE_E_UNFINISHED) return "";
        if (open) return said + "an intent is open";
        if (operation.fulfilled()) return said + "it is done";
        const auto now = state_of(domain_.judge());
        return now == before ? "" : said + "QEMU is not as it was:\n" + before + "now:\n" + now;
    }

    /// Back to what all runs begin with, by the copy's own means.
    void tidy()
    {
        const auto checked = xlfsck(copy_, {"-p"});
        if (checked.status > 1) {
            ++violations;
            std::printf("VIOLATION: xlfsck -p: %d: %s\n", checked.status, checked.out.c_str());
        }
        (void)xlstore(copy_, {"detach", "7", "qemu", "t"});
        (void)xlstore(copy_, {"detach", "7", "qemu", "c"});
        // By a name of its own each time, so only where it is not there.
        if (domain_.medium() != domain_.image('a'))
            (void)xlstore(copy_, {"insert", "7", "hdc", domain_.image('a')});
        if (domain_.medium() == domain_.image('a') && domain_.devices() == devices_) return;
        ++violations;
        std::printf("VIOLATION: afterwards QEMU is not as it was\n");
    }

    ScratchStore store_;
    ScratchDomain domain_{store_};
    const bool imported_ = xlstore(store_.path(), {"import", "8", domain_of_no_qemu()}).status == 0;
    const std::string copy_ = store_.directory() / "copy";
    static inline const std::string tablet_ = tablet("t");
    const std::string devices_ = domain_.devices();

    std::string domain_of_no_qemu()
    {
        const auto path = store_.directory() / "other.json";
        write_file(path, hvm_document("idle", "8f2c7d10-4b6e-4a51-9d3c-000000000008", "/none"));
        return path;
    }
};

int usage()
{
    std::fputs("usage: no_memory [--share 1/N] [--operation NAME]\n", stderr);
    return 2;
}

int no_memory(const Words& words)
{
    if (words.size() % 2 != 0) return usage();
    std::size_t of = 1;
    std::size_t start = 0;
    std::string only;
    for (std::size_t i = 0; i < words.size(); i += 2)
        if (words[i] == "--share" && words[i + 1].starts_with("1/")) {
            of = std::stoul(words[i + 1].substr(2));
            start = turn();
            std::printf("share 1/%zu, start %zu\n", of, start % of);
        } else if (words[i] == "--operation") {
            only = words[i + 1];
        } else {
            return usage();
        }
    watch_sqlite_memory();
    World world;
    constexpr std::size_t kForGood = 1'000'000;
    for (const auto& operation : world.operations()) {
        if (!only.empty() && only != operation.name) continue;
        for (const auto& [of_cxx, of_sqlite] :
             {std::pair(true, false), std::pair(false, true), std::pair(true, true)})
            for (const std::size_t count :
                 {std::size_t{1}, std::size_t{2}, std::size_t{5}, std::size_t{40}, kForGood}) {
                if (start++ % of != 0) continue;
                const auto before = world.runs;
                // Of the calls the first ones and then ever fewer.
                for (std::size_t from = 1 + start % 3;; from += 1 + from / 6)
                    if (!world.run(operation, Trap{of_cxx, of_sqlite, from, count})) break;
                std::printf("%s, %s%s, %zu in a row: %zu runs\n", operation.name.c_str(),
                            of_cxx ? "C++" : "", of_sqlite ? "SQLite" : "", count,
                            world.runs - before);
                std::fflush(stdout);
            }
    }
    std::printf("%zu runs, %zu violations\n", world.runs, world.violations);
    return world.violations == 0 && world.runs > 0 ? 0 : 1;
}

}  // namespace
}  // namespace xlstore::test

int main(int argc, char** argv)
{
    return xlstore::test::no_memory(xlstore::test::Words(argv + 1, argv + argc));
}
