// SPDX-License-Identifier: MIT
// The directory's name has this process's pid, start time and pid namespace in it: by it, the next
// one knows which are left of processes that are dead, and takes those away.
#include "recovery/libxl/private_store.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <vector>

#include "store/os/process.hpp"

namespace xlstore::recovery {

namespace {

namespace fs = std::filesystem;

// xlfsck-host-PID-START-NAMESPACE-XXXXXX: whose it is stands in its name.
constexpr std::string_view kStem = "xlfsck-host-";

std::vector<std::string> places()
{
    std::vector<std::string> all;
    if (const char* chosen = std::getenv("TMPDIR"); chosen && *chosen) all.emplace_back(chosen);
    all.emplace_back("/dev/shm");
    all.emplace_back("/tmp");
    return all;
}

// A number and the '-' behind it, which `at` is set behind.
template <class Number>
bool read_part(const char*& at, const char* end, Number& number)
{
    const auto read = std::from_chars(at, end, number);
    if (read.ec != std::errc() || read.ptr == end || *read.ptr != '-') return false;
    at = read.ptr + 1;
    return true;
}

// Is this the name of a directory whose maker is dead?
bool is_left(const std::string& name)
{
    if (!name.starts_with(kStem)) return false;
    ProcessId maker{};
    const char* at = name.data() + kStem.size();
    const char* const end = name.data() + name.size();
    if (!read_part(at, end, maker.pid) || !read_part(at, end, maker.start_time) ||
        !read_part(at, end, maker.pid_namespace))
        return false;
    maker.boot_id = current_boot_id();
    return life_of(maker) == Life::dead;
}

// Those of this user alone. A maker in another pid namespace may be beyond what can be looked at.
void sweep(const std::string& place)
{
    std::error_code error;
    for (fs::directory_iterator at(place, error), end; !error && at != end; at.increment(error)) {
        const std::string path = at->path().string();
        struct stat st {};
        if (!is_left(at->path().filename().string()) || lstat(path.c_str(), &st) != 0) continue;
        std::error_code ignored;
        if (S_ISDIR(st.st_mode) && st.st_uid == geteuid()) fs::remove_all(path, ignored);
    }
}

}  // namespace

Result<std::unique_ptr<PrivateStore>> PrivateStore::make(std::shared_ptr<const Log> log)
{
    auto self = identify(getpid());
    if (!self) return std::move(self).error();
    int failure = 0;
    for (const auto& place : places()) {
        std::string name = place + "/" + std::string(kStem) + std::to_string(self->pid) + "-" +
                           std::to_string(self->start_time) + "-" +
                           std::to_string(self->pid_namespace) + "-XXXXXX";
        if (!mkdtemp(name.data())) {
            failure = errno;
            continue;
        }
        sweep(place);
        std::unique_ptr<PrivateStore> made(new PrivateStore(name));
        StoreOptions options;
        options.directory = name + "/store";
        options.program = "xlfsck";
        options.log = std::move(log);
        if (auto begun = Store::init(options.directory); !begun) return std::move(begun).error();
        auto store = Store::open(options);
        if (!store) return std::move(store).error();
        made->store_ = *std::move(store);
        return made;
    }
    return Error(Errc::io,
                 "no directory can be made for what is looked at: " + errno_text(failure),
                 "set TMPDIR to a directory with 4 MiB of room");
}

PrivateStore::~PrivateStore()
{
    store_.reset();
    std::error_code ignored;
    fs::remove_all(directory_, ignored);
}

}  // namespace xlstore::recovery
