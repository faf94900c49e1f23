// SPDX-License-Identifier: MIT
#include "recovery/runs/displaced_store.hpp"

#include <sys/stat.h>

#include "store/core/domain.hpp"
#include "store/model/store_paths.hpp"
#include "store/os/process.hpp"

namespace xlstore::recovery {

namespace {

// As it stands in an option of QEMU's, where a comma is doubled.
std::string monitor_option(const std::string& directory)
{
    std::string text = "path=";
    for (const char c : StorePaths(directory).monitor_stem())
        text.append(c == ',' ? 2 : 1, c);
    return text;
}

bool has_content(const std::string& path)
{
    struct stat st {};
    return lstat(path.c_str(), &st) == 0 && st.st_size > 0;
}

// A store keeps its log, and what was committed last is there alone; a backup has none, and its
// header says so.
bool came_without_its_log(Store& store)
{
    if (has_content(StorePaths(store.directory()).log())) return false;
    auto mode = store.db().prepare("PRAGMA journal_mode");
    return mode.step() && mode.text(0) == "wal";
}

std::string missing_log(const std::string& directory, const std::string& original)
{
    std::string text =
        "; there is no " + StorePaths(directory).log() + ": copy that as well, or take a backup";
    if (original.empty() || !has_content(StorePaths(original).log())) return text;
    return text + " there; the original's is " + StorePaths(original).log();
}

Code code_of(const Displaced& why, bool lives)
{
    switch (why.why) {
    case Displaced::Why::older:
    case Displaced::Why::beside_a_log:
        break;
    case Displaced::Why::copied:
        if (!lives) return Code::store_moved;
        return why.original.empty() ? Code::store_moved_in_use : Code::store_is_copy;
    case Displaced::Why::other_machine:
        return Code::store_of_another_machine;
    }
    return lives ? Code::database_older_in_use : Code::database_older;
}

}  // namespace

std::map<std::int64_t, std::string> living_qemus(const std::string& directory,
                                                 std::initializer_list<Db*> databases)
{
    std::map<std::int64_t, std::string> living;
    for (Db* db : databases) {
        auto rows = living_domains(*db);
        std::erase_if(rows, [](const DomainRow& row) {
            return !row.registration || !of_this_boot(row.registration->qemu);
        });
        std::vector<ProcessId> qemus;
        for (const auto& row : rows)
            qemus.push_back(row.registration->qemu);
        auto lives = lives_of(qemus);
        lives.resize(rows.size(), Life::unknown);
        for (std::size_t i = 0; i < rows.size(); ++i) {
            if (lives[i] == Life::dead) continue;
            const bool seen = lives[i] == Life::alive;
            const auto pid = qemus[i].pid;
            living.emplace(pid, "QEMU " + std::to_string(pid) + " of " + rows[i].subject() +
                                    (seen ? "" : ", which could not be looked at"));
        }
    }
    for (const pid_t pid : processes())
        if (!living.contains(pid) && mentions(pid, monitor_option(directory)))
            living.emplace(pid, "QEMU " + std::to_string(pid) + ", which no row knows");
    return living;
}

DisplacedStore look_at_displaced(Store& store)
{
    const auto living = living_qemus(store.directory(), {&store.db()});
    const Displaced& why = *store.displaced();
    Subject about{store.directory(), why.text};
    Code code = code_of(why, !living.empty());
    if (why.why == Displaced::Why::copied && came_without_its_log(store)) {
        about.evidence += missing_log(store.directory(), why.original);
        if (code == Code::store_moved) code = Code::copy_without_log;
    }
    for (const char* before = "; living: "; const auto& [pid, qemu] : living) {
        about.evidence += before + qemu;
        before = ", ";
    }
    return DisplacedStore{code, std::move(about)};
}

bool has_own_row(Db& db)
{
    return db.pragma_integer("SELECT count(*) FROM store") == 1;
}

}  // namespace xlstore::recovery
