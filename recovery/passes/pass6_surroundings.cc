// SPDX-License-Identifier: MIT
// Pass 6: what lies and runs round the store.
//
// Checks     that sockets and logs in run/ belong to a domain              (6001, 6002, 6004);
//            that a QEMU whose monitor is in run/ is the one that a row registered     (6003).
// Relies on  pass 3, which finishes creations and destructions and speaks of rows whose QEMU is
//            dead.
// Leaves     sockets at which a process listens, every process, logs of failed creations (they
//            tell why), and what has no name that the store gives: that is another program's.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string_view>

#include "recovery/passes/passes.hpp"
#include "store/core/domain.hpp"
#include "store/core/run_directory.hpp"
#include "store/model/store_paths.hpp"
#include "store/os/listener.hpp"

namespace xlstore::recovery {

namespace {

namespace fs = std::filesystem;

// As it stands in an option of QEMU's, where a comma is doubled.
std::string as_option(const std::string& path)
{
    std::string text = "path=";
    for (const char c : path)
        text.append(c == ',' ? 2 : 1, c);
    return text;
}

struct File {
    std::string path;
    FileIdentity identity;
    DomainId domain;
};

struct Surroundings {
    std::vector<File> sockets;
    std::vector<File> logs;
    std::vector<pid_t> qemus;  ///< by their command line
    std::string unseen;        ///< why run/ could not be listed
};

Surroundings look_around(const std::string& run)
{
    Surroundings there;
    std::error_code error;
    for (fs::directory_iterator i(run, error), end; !error && i != end; i.increment(error)) {
        const std::string path = i->path().string();
        const std::string name = i->path().filename().string();
        struct stat st {};
        if (lstat(path.c_str(), &st) != 0) continue;
        const auto identity = file_identity(path);
        if (!identity) continue;
        if (const auto domain = incarnation_in(name, "qmp-"); domain && S_ISSOCK(st.st_mode))
            there.sockets.push_back(File{path, *identity, *domain});
        if (const auto domain = incarnation_in(name, "qemu-"); domain && S_ISREG(st.st_mode))
            there.logs.push_back(File{path, *identity, *domain});
    }
    if (error) there.unseen = error.message();
    const std::string monitor = as_option(run + "/qmp-");
    for (const pid_t pid : processes())
        if (mentions(pid, monitor)) there.qemus.push_back(pid);
    return there;
}

// A row that is being created or destroyed may have more processes than the one that it registered,
// and a pid of another namespace is another number here.
bool has_process(const DomainRow& row, pid_t pid)
{
    if (!row.registration) return false;
    const Life life = life_of(row.registration->qemu);
    if (life == Life::alive && row.registration->qemu.pid == pid) return true;
    return (life == Life::unknown || row.state != DomainState::running) &&
           mentions(pid, as_option(row.registration->path));
}

// R14: that very file, and no process uses it. The id that it is named after is never used again.
void remove(Check& check, Code code, const File& file, const Subject& about)
{
    if (!check.ask(code, about)) return;
    if (file_identity(file.path) != file.identity) return;  // another process was faster
    if (unlink(file.path.c_str()) == 0 || errno == ENOENT)
        check.fixed(code, about);
    else
        check.failed(code, about, Error(Errc::io, std::string("unlink: ") + errno_text(errno)));
}

}  // namespace

void pass6_surroundings(Check& check, Store& store)
{
    // The rows after the rest: a row is there before its QEMU, its socket and its log are.
    const StorePaths paths(store.directory());
    const auto there = look_around(paths.run());
    if (store.is_behind()) return;  // the rows are older than what was seen
    const auto rows = living_domains(store.db());
    // A QEMU that was given a new row keeps socket and log of the old one.
    const auto is_gone = [&](const File& file) {
        return std::ranges::none_of(rows, [&](const DomainRow& row) {
            return row.id == file.domain || row.log_path == file.path ||
                   (row.registration && row.registration->path == file.path);
        });
    };
    if (!there.unseen.empty())
        check.report(Code::surroundings_unseen, Subject{paths.run(), there.unseen});

    std::vector<pid_t> unknown;
    for (const pid_t pid : there.qemus) {
        if (std::ranges::any_of(rows, [&](const auto& row) { return has_process(row, pid); }))
            continue;
        // It may have been destroyed, row and all, since it was seen.
        if (!mentions(pid, as_option(paths.monitor_stem()))) continue;
        unknown.push_back(pid);
        check.report(Code::qemu_unknown,
                     Subject{"pid " + std::to_string(pid) + " (" + program_of(pid) + ")",
                             "its monitor is in " + paths.run()});
    }
    // Named already, with all that is its own.
    const auto is_of_unknown = [&](const std::string& monitor) {
        return std::ranges::any_of(unknown,
                                   [&](pid_t pid) { return mentions(pid, as_option(monitor)); });
    };
    for (const auto& socket : there.sockets) {
        if (!is_gone(socket)) continue;
        if (is_of_unknown(socket.path)) continue;  // it may be about to listen
        const auto listener = who_listens(socket.path);
        Subject about{socket.path};
        if (listener) {
            about.evidence = *listener > 0 ? "pid " + std::to_string(*listener) + " (" +
                                                 program_of(*listener) + ")"
                                           : "its queue is full";
            check.report(Code::socket_served, about);
        } else if (file_identity(socket.path) == socket.identity) {
            remove(check, Code::socket_left, socket, about);
        }
    }
    for (const auto& log : there.logs) {
        const auto monitor = paths.monitor(value_of(log.domain));
        if (!is_gone(log) || is_of_unknown(monitor)) continue;
        const auto row = read_domain(store.db(), log.domain);
        if (row && !row->has_run) continue;  // it tells why the creation failed
        remove(check, Code::log_left, log, Subject{log.path});
    }
}

}  // namespace xlstore::recovery
