// SPDX-License-Identifier: MIT
// export: a store of what a lost host had, for a spare one. What the fleet has of it becomes a
// backup, and `restore` puts that backup into a new directory by its own rules: numbers go on above
// those of the lost host, nothing is believed to run, and an intent that was open is open there
// until recovery closes it with its domain.
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>

#include "recovery/runs/restore.hpp"
#include "store/text/json_text.hpp"
#include "tools/fleet/database.hpp"
#include "tools/fleet/lost_host.hpp"
#include "tools/fleet/verbs.hpp"

namespace xlstore::fleet {

namespace {

// Beside the directory, and gone with this object.
class Scratch {
public:
    explicit Scratch(const std::string& directory) : directory_(directory + ".partial-XXXXXX")
    {
        if (mkdtemp(directory_.data()) == nullptr)
            throw IoError(errno, "cannot make a directory beside " + directory);
        backup_ = directory_ + "/backup";
    }
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;
    ~Scratch()
    {
        for (const char* suffix : {"", "-journal", "-wal", "-shm"})
            unlink((backup_ + suffix).c_str());
        rmdir(directory_.c_str());
    }
    [[nodiscard]] const std::string& backup() const { return backup_; }

private:
    std::string directory_, backup_;
};

Result<void> make_directory(const std::string& directory)
{
    if (mkdir(directory.c_str(), 0700) == 0) return {};
    const int error = errno;
    if (error == EEXIST)
        return Error(Errc::exists, "export: there is " + directory + " already",
                     "nothing was written; name a directory that is not there");
    return Error(Errc::io, "export: cannot make " + directory + ": " + std::strerror(error),
                 "nothing was written; name another directory");
}

// The file is gone afterwards: history names the host.
Result<void> restore_into(const std::string& directory, const std::string& backup,
                          const std::string& host)
{
    StoreOptions where;
    where.directory = directory;
    where.program = "xlstore-fleet";
    recovery::RestoreOptions options;
    options.file = backup;
    options.source = "what the fleet had of host " + tools::plain(host);
    std::optional<Error> failure;
    try {
        auto restored = recovery::restore(where, std::move(options));
        if (!restored) failure = std::move(restored).error();
    } catch (...) {
        failure = caught();
    }
    if (!failure) return {};
    Error error = *std::move(failure);
    error.advice = rmdir(directory.c_str()) == 0
                       ? "nothing was left; it may be tried again"
                       : "the store in " + directory + " is not whole: remove it, and export again";
    return error;
}

Result<void> make_store(const std::string& directory, const std::string& name, LostHost& host)
{
    const Scratch scratch(directory);
    write_backup(scratch.backup(), host);
    if (auto made = make_directory(directory); !made) return made;
    return restore_into(directory, scratch.backup(), name);
}

void tell(const Arguments& arguments, const LostHost& host)
{
    const auto& name = arguments.words[0];
    const auto& directory = arguments.words[1];
    for (const auto& note : host.notes)
        std::fprintf(stderr, "xlstore-fleet: note: %s\n", tools::plain(note).c_str());
    if (arguments.json) {
        std::printf("%s\n", json_object({{"host", json_quote(name)},
                                         {"commits", host.commits},
                                         {"seen", json_quote(host.seen)},
                                         {"behind", std::to_string(host.behind)},
                                         {"domains", std::to_string(host.domains.size())},
                                         {"intents", std::to_string(host.intents.size())},
                                         {"directory", json_quote(directory)}})
                                .c_str());
        return;
    }
    std::printf(
        "%s: %zu domains and %zu open intents of host %s as of its commit %s, seen %s\n"
        "next: 'xlfsck --store %s -n' says what was under way; 'xlfsck --store %s -p' keeps each "
        "document for 'xlstore export --retired', and frees its domid\n",
        directory.c_str(), host.domains.size(), host.intents.size(), tools::plain(name).c_str(),
        host.commits.c_str(), host.seen.c_str(), directory.c_str(), directory.c_str());
}

}  // namespace

Result<Status> run_export(const Arguments& arguments)
{
    auto database = open_fleet(arguments.database);
    if (!database) return database.error();
    const auto& name = arguments.words[0];
    LostHost host;
    auto done = in_transaction(**database, "export", [&](pqxx::work& work) -> Result<void> {
        work.exec0("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY");
        auto read = read_lost_host(work, name);
        if (!read) return read.error();
        host = *std::move(read);
        return {};
    });
    if (!done) return done.error();
    if (auto made = make_store(arguments.words[1], name, host); !made) return made.error();
    tell(arguments, host);
    return Status::done;
}

}  // namespace xlstore::fleet
