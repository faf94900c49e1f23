// SPDX-License-Identifier: MIT
// How long recovery takes on a large host, with the real xlfsck of this build as a process of its
// own.
//
//   look      xlfsck -n on 10,000 domains, 100,000 things, 1,000 open intents whose QEMUs are dead.
//             Bar: 200 MB, and 1.3 times the CPU of PRAGMA integrity_check and one read of each row
//             of the same file.
//   recover   xlfsck -p --timeout 2 on 200 domains with an open intent each and a monitor that
//             answers as QEMU does, 10 of them stopped. Bar: 4 s.
//
//   recovery [--xlfsck PROGRAM]
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "store/classes/class_plan.hpp"
#include "store/core/journal.hpp"
#include "store/core/store.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "store/operation/edit.hpp"
#include "tests/bench/bench_host.hpp"

namespace {

using namespace xlstore;
using namespace xlstore::bench;

constexpr int kDomains = 10'000;
constexpr int kThings = 10;  // of each
constexpr int kIntents = 1'000;
constexpr int kMonitors = 200;
constexpr int kHung = 10;

double cpu_of(const rusage& usage)
{
    const auto seconds = [](const timeval& time) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    };
    return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

/// Seconds of CPU.
double run(const char* what, std::vector<std::string> words, int expected)
{
    std::vector<char*> argv;
    for (auto& word : words)
        argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", 1 /* O_WRONLY */, 0);
    const auto begun = std::chrono::steady_clock::now();
    pid_t pid = -1;
    if (posix_spawn(&pid, argv[0], &actions, nullptr, argv.data(), environ) != 0)
        throw std::runtime_error("cannot run " + words[0]);
    int status = 0;
    rusage usage{};
    wait4(pid, &status, 0, &usage);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    std::printf("%-8s %5.2f s (%.2f s of CPU), %4ld MB, exit status %d\n", what, took.count(),
                cpu_of(usage), usage.ru_maxrss / 1024,
                WEXITSTATUS(status));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != expected)
        throw std::runtime_error("it should end with " + std::to_string(expected));
    return cpu_of(usage);
}

/// What SQLite itself takes to check the file and to read all of it once. Seconds of CPU.
double check_by_sqlite(const std::string& database)
{
    rusage before{};
    getrusage(RUSAGE_SELF, &before);
    {
        Db db(database, Db::Mode::read_only);
        if (db.prepare("PRAGMA integrity_check").step() == false)
            throw std::runtime_error("integrity_check says nothing");
        std::vector<std::string> tables;
        {
            auto rows = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'");
            while (rows.step())
                tables.push_back("SELECT * FROM \"" + rows.text(0) + "\"");
        }
        for (const auto& sql : tables) {
            auto rows = db.prepare(sql.c_str());
            while (rows.step())
                (void)rows.text(0);
        }
    }
    rusage after{};
    getrusage(RUSAGE_SELF, &after);
    return cpu_of(after) - cpu_of(before);
}

std::string document_of(int domid, int things)
{
    std::string text = R"({"c_info":{"type":"hvm","name":"d)" + std::to_string(domid) +
                       R"(","uuid":")" + uuid_of(domid) + R"("},"b_info":{"type.hvm":{}},"nics":[)";
    for (int i = 0; i < things; ++i)
        text += (i > 0 ? "," : "") + (R"({"devid":)" + std::to_string(i) + R"(,"model":"e1000"})");
    return text + "]}";
}

const std::string kThing =
    R"({"key":"tab","steps":[{"execute":"device_add","arguments":{"driver":"usb-tablet","id":"tab"}}]})";

void insert_thing(Db& db, std::int64_t domain, const std::string& device_class,
                  const std::string& key, std::int64_t position, std::string_view primary,
                  std::string_view state, const std::string& json)
{
    db.prepare(
          "INSERT INTO thing (domain, class, key, position, primary_at, state, json, changed_us) "
          "VALUES (?, ?, ?, ?, ?, ?, ?, 0)")
        .bind(domain)
        .bind(device_class)
        .bind(key)
        .bind(position)
        .bind(primary)
        .bind(state)
        .bind(json)
        .run();
}

void look(const std::string& xlfsck)
{
    const Directory place;
    const auto directory = place / "store";
    must(Store::init(directory));
    {
        const auto store = open_store(directory);
        // Processes of this boot that are dead, each domain's its own (R11): numbers so high are
        // given last.
        constexpr int kDead = 4'000'000;
        const auto qemu = must(identify(getpid()));
        // As the library commits them, but all at once.
        Db& db = store->db();
        db.execute("BEGIN IMMEDIATE");
        for (int domid = 1; domid <= kDomains; ++domid) {
            db.prepare(
                  "INSERT INTO domain (domid, uuid, name, state, layout, boot_id, created_us, "
                  "changed_us, born_us, qemu_pid, qemu_start_time, qemu_pid_namespace, "
                  "monitor_path, monitor_device, monitor_inode, peer_pid, peer_uid, peer_gid) "
                  "VALUES (?1, ?2, ?3, 'running', 'yajl', ?4, 0, 0, 0, ?5, ?6, ?7, ?8, 1, ?1, ?5, "
                  "0, 0)")
                .bind(domid)
                .bind(uuid_of(domid))
                .bind("d" + std::to_string(domid))
                .bind(qemu.boot_id)
                .bind(kDead + domid)
                .bind(static_cast<std::int64_t>(qemu.start_time))
                .bind(static_cast<std::int64_t>(qemu.pid_namespace))
                .bind("/nowhere/" + std::to_string(domid))
                .run();
            const auto id = db.last_insert_id();
            const auto document = must(parse_document(document_of(domid, kThings - 1), "bench"));
            insert_members(db, DomainId(id), document.members);
            for (const auto& nic : document.things)
                insert_thing(db, id, nic.device_class, nic.key, nic.position, "xenstore", "present",
                             nic.json);
            const bool pending = domid <= kIntents;
            insert_thing(db, id, "qemu", "tab", 0, "qemu", pending ? "adding" : "present", kThing);
            if (!pending) continue;
            const auto draft = must(draft_attach("qemu", kThing));
            db.prepare(
                  "INSERT INTO intent (domain, thing, owner, operation, image_after, plan, "
                  "probe, monitor_path, epoch, opened_us) VALUES (?, ?, ?, 'add', ?, ?, ?, "
                  "'/m', 1, 0)")
                .bind(id)
                .bind(db.last_insert_id())
                .bind(store->session())
                .bind(kThing)
                .bind(steps_to_json(draft.plan.steps))
                .bind(probe_to_json(draft.plan.probe))
                .run();
        }
        db.execute("COMMIT");
        must(store->loop().wait_for(store->empty_log(soon())));
    }
    const double ours = run("look", {xlfsck, "--store", directory, "-n"}, 4);
    const double least = check_by_sqlite(directory + "/store.db");
    std::printf("         integrity_check and one read of each row: %.2f s of CPU; %.2f times that\n",
                least, ours / least);
}

void recover(const std::string& xlfsck)
{
    const Directory place;
    const auto directory = place / "store";
    must(Store::init(directory));
    EmptyQemus monitors;
    for (int domid = 1; domid <= kMonitors; ++domid)
        monitors.start(place / ("m" + std::to_string(domid)), 1);
    {
        const auto store = open_store(directory);
        for (int domid = 1; domid <= kMonitors; ++domid) {
            const auto path = place / ("m" + std::to_string(domid));
            auto domain = must(store->loop().wait_for(
                import_domain(*store, domid, document_of(domid, kThings), "document", soon())));
            register_monitor(*store, domain, path);
            auto hold = must(
                store->loop().wait_for(store->slow_lock(domain.id, "domain", "bench", soon())));
            std::vector<Draft> drafts;
            drafts.push_back(must(draft_attach("qemu", kThing)));
            Journal journal(*store);
            (void)must(store->loop().wait_for(journal.open(hold, std::move(drafts), path, soon())));
        }
    }
    for (int i = 0; i < kHung; ++i)
        monitors.stop(static_cast<std::size_t>(i * kMonitors / kHung));
    run("recover", {xlfsck, "--store", directory, "-p", "--timeout", "2"}, 1 + 8);
}

}  // namespace

int main(int argc, char** argv)
{
    const std::string own = std::filesystem::read_symlink("/proc/self/exe").parent_path();
    const std::string xlfsck =
        argc == 3 && std::string(argv[1]) == "--xlfsck" ? argv[2] : own + "/xlfsck";
    try {
        look(xlfsck);
        recover(xlfsck);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "recovery: %s\n", e.what());
        return 1;
    }
    return 0;
}
