// SPDX-License-Identifier: MIT
// look_at_process() is the one place that decides whether a process lives (R11):
//
//   1. Of another boot, or where /proc is not that of this pid namespace: unknown. That a process
//      of an older boot is gone is decided by its callers, who compare the boot id.
//   2. Of this pid namespace: pidfd_open() first, and the start time of /proc/PID/stat with the
//      process held, so that a pid that was passed on is noticed. No such process, or another start
//      time: dead. The pidfd, and not the state letter, tells a zombie.
//   3. Of another namespace: its processes are looked for by pid, start time and namespace among
//      those that are seen from here; absence proves death only where they would be seen.
//   4. What /proc hides is unknown, and no caller takes that for dead.
#include "store/os/process.hpp"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string_view>
#include <system_error>

#include "store/os/proc_text.hpp"

namespace xlstore {

namespace {

std::optional<std::uint64_t> start_time_of(std::string_view stat)
{
    const auto field = field_of(stat, 22);
    if (!field) return std::nullopt;
    std::uint64_t ticks = 0;
    const auto [end, error] = std::from_chars(field->data(), field->data() + field->size(), ticks);
    if (error != std::errc{} || end != field->data() + field->size()) return std::nullopt;
    return ticks;
}

/// Nothing, with errno, if it cannot be read.
std::optional<std::uint64_t> read_start_time(std::int64_t pid)
{
    const auto stat = read_proc_file(proc_path(pid, "stat").c_str());
    if (!stat) return std::nullopt;
    errno = EPROTO;
    return start_time_of(*stat);
}

/// What keeps /proc from telling of pids and start times as we mean them; empty: nothing does.
std::string read_whether_unusable()
{
    // The numbers of /proc are those of the namespace it was mounted in. NSpid lists our own pid in
    // that one and in each below it, down to ours: one number means that it is ours.
    const auto status = read_proc_file("/proc/self/status");
    if (!status) return "/proc cannot be read: " + errno_text(errno);
    const auto at = status->find("\nNSpid:");
    if (at == std::string::npos) return "/proc tells nothing of pid namespaces";
    std::istringstream numbers(status->substr(at + 7, status->find('\n', at + 1) - at - 7));
    std::int64_t pid = 0;
    std::int64_t inner = 0;
    if (!(numbers >> pid) || pid != ::getpid() || numbers >> inner)
        return "/proc belongs to another pid namespace";

    // A start time is shown with the offset of the reader's time namespace: two readers would see
    // two, and each take the process for another one. So there must be no offset.
    if (const auto offsets = read_proc_file("/proc/self/timens_offsets")) {
        std::istringstream fields(*offsets);
        std::string clock;
        long long seconds = 0;
        long long nanoseconds = 0;
        while (fields >> clock >> seconds >> nanoseconds)
            if (clock == "boottime" && (seconds != 0 || nanoseconds != 0))
                return "the time namespace shifts start times";
    }
    return {};
}

/// What the answer to that depends on: which procfs this is, and the namespaces we are in.
struct ProcView {
    pid_t self;
    dev_t procfs;
    ino_t pid_namespace;
    ino_t time_namespace;
    bool operator==(const ProcView&) const = default;
};

std::optional<ProcView> proc_view()
{
    struct stat procfs {};
    struct stat pids {};
    struct stat times {};
    if (::stat("/proc", &procfs) != 0 || ::stat("/proc/self/ns/pid", &pids) != 0 ||
        ::stat("/proc/self/ns/time", &times) != 0)
        return std::nullopt;
    return ProcView{::getpid(), procfs.st_dev, pids.st_ino, times.st_ino};
}

/// The same, read once for each view: it is asked before every look at a process.
std::string proc_unusable(const std::optional<ProcView>& view)
{
    thread_local std::optional<ProcView> found_usable;
    if (view && view == found_usable) return {};
    std::string why = read_whether_unusable();
    found_usable = why.empty() ? view : std::nullopt;
    return why;
}

std::string read_boot_id()
{
    constexpr const char* kPath = "/proc/sys/kernel/random/boot_id";
    auto text = read_proc_file(kPath);
    if (!text)
        throw IoError(errno, std::string("/proc does not tell which boot this is; mount it (mount "
                                         "-t proc proc /proc) and try again: ") +
                                 kPath);
    while (!text->empty() && text->back() == '\n')
        text->pop_back();
    // An empty id would make all boots one.
    if (text->size() != 36) throw IoError(EPROTO, std::string(kPath) + " is not a boot id");
    return *std::move(text);
}

bool is_pid(std::int64_t pid)
{
    return pid > 0 && pid <= std::numeric_limits<pid_t>::max();
}

struct Look {
    Life life = Life::unknown;
    PidFd pidfd;         // of that very process, if alive
    std::string reason;  // if unknown
};

/// The numbers of a process, from our namespace's down to that of its innermost one.
std::vector<std::int64_t> numbers_of(pid_t pid)
{
    std::vector<std::int64_t> numbers;
    const auto status = read_proc_file(proc_path(pid, "status").c_str());
    const auto at = status ? status->find("\nNSpid:") : std::string::npos;
    if (at == std::string::npos) return numbers;
    std::istringstream fields(status->substr(at + 7, status->find('\n', at + 1) - at - 7));
    for (std::int64_t number = 0; fields >> number;)
        numbers.push_back(number);
    return numbers;
}

/// Its number in a namespace that it is in, be it its innermost one or one above; 0: it is in no
/// such one that can be seen from here. Nothing: the kernel does not say.
std::optional<std::int64_t> number_in(pid_t pid, std::uint64_t space)
{
    const auto numbers = numbers_of(pid);
    Fd at(::open(proc_path(pid, "ns/pid").c_str(), O_RDONLY | O_CLOEXEC));
    for (std::size_t up = 0; up < numbers.size(); ++up) {
        struct stat st {};
        if (!at || ::fstat(at.get(), &st) != 0) return std::nullopt;
        if (st.st_ino == space) return numbers[numbers.size() - 1 - up];
        at.reset(::ioctl(at.get(), NS_GET_PARENT));
        if (!at && errno == EPERM) return 0;  // above our own
    }
    if (numbers.empty()) return std::nullopt;
    return 0;
}

std::optional<std::uint64_t> pid_namespace_of(pid_t pid)
{
    struct stat st {};
    if (::stat(proc_path(pid, "ns/pid").c_str(), &st) != 0) return std::nullopt;
    return st.st_ino;
}

/// A mount of /proc that hides processes from some of its readers (the last one counts).
bool proc_may_hide()
{
    std::ifstream mounts("/proc/self/mounts");
    std::string device;
    std::string where;
    std::string type;
    std::string options;
    std::string rest;
    bool seen = false;
    bool hides = false;
    while (mounts >> device >> where >> type >> options && std::getline(mounts, rest)) {
        if (where != "/proc" || type != "proc") continue;
        seen = true;
        const auto at = options.find("hidepid=");
        hides = at != std::string::npos && options.compare(at + 8, 1, "0") != 0 &&
                options.compare(at + 8, 3, "off") != 0;
    }
    return hides || !seen;
}

/// Everything on the machine is in it or below it. (PROC_PID_INIT_INO: the kernel's own number.)
bool is_initial_pid_namespace(std::uint64_t inode)
{
    return inode == 0xEFFFFFFCU;
}

/// R11 for a process of another namespace, which `id.pid` is a number in. From a namespace above,
//its / processes are seen, each with its number in there: pid, start time and namespace name one
/// process, since an inode goes to a new namespace only once the old one has ended with all its
/// processes, and none of the new one began in the same clock tick. It is dead if it is not among
/// those that are seen, and it would be: because this is the initial namespace, or because others
//of / its namespace (or of one that got the number after it) are seen. A namespace that is not
//below / this one shows nothing: unknown.
Look look_below(const ProcessId& id, std::uint64_t own_namespace)
{
    bool would_be_seen = is_initial_pid_namespace(own_namespace);
    for (const pid_t pid : processes()) {
        const auto space = pid_namespace_of(pid);
        would_be_seen = would_be_seen || space == id.pid_namespace;
        const auto start_time = read_start_time(pid);
        if (start_time != id.start_time) {
            if (start_time || errno == ENOENT || errno == ESRCH) continue;  // another, or gone
            return {Life::unknown, {}, "/proc hides processes: " + errno_text(errno)};
        }
        PidFd pidfd = PidFd::of(pid);
        if (!pidfd) {
            if (errno == ESRCH) continue;
            return {Life::unknown, {}, "pidfd_open: " + errno_text(errno)};
        }
        if (pidfd.dead()) continue;
        // It is held, and so what is asked now is answered of this very process.
        const auto number = number_in(pid, id.pid_namespace);
        if (!number) return {Life::unknown, {}, "/proc hides which namespaces a process is in"};
        if (*number == id.pid && read_start_time(pid) == id.start_time)
            return {Life::alive, std::move(pidfd), {}};
    }
    if (!would_be_seen)
        return {Life::unknown,
                {},
                "it belongs to another pid namespace, of which nothing is seen "
                "from this one"};
    if (proc_may_hide()) return {Life::unknown, {}, "/proc may hide processes (hidepid)"};
    return {Life::dead, {}, {}};
}

/// The one place that decides R11. `view`: what /proc is, as far as that could be seen just now.
Look look_at_process(const ProcessId& id, const std::optional<ProcView>& view)
{
    if (!is_pid(id.pid)) return {Life::unknown, {}, "it has no pid"};
    if (!of_this_boot(id)) return {Life::unknown, {}, "it belongs to another boot"};
    if (std::string why = proc_unusable(view); !why.empty())
        return {Life::unknown, {}, std::move(why)};
    const auto own = view ? view->pid_namespace : current_pid_namespace();
    if (id.pid_namespace != own) return look_below(id, own);

    PidFd pidfd = PidFd::of(id.pid);
    const int open_error = errno;
    if (!pidfd && open_error == ESRCH) return {Life::dead, {}, {}};

    // Only now, with the process held: were the pid passed on between the two, the start time
    // would be the successor's, and the descriptor is thrown away. Without a descriptor (the number
    // is a thread's by now: EINVAL or ENOENT, as the kernel's age has it; or none to be had) it
    // tells a successor all the same.
    const auto start_time = read_start_time(id.pid);
    const int read_error = errno;
    if (start_time && *start_time != id.start_time) return {Life::dead, {}, {}};
    if (!pidfd) return {Life::unknown, {}, "pidfd_open: " + errno_text(open_error)};

    // The state letter of /proc/PID/stat is no evidence: it is Z, too, for a process whose first
    // thread has ended while others run. The pidfd is readable for a zombie, and not for that.
    if (pidfd.dead()) return {Life::dead, {}, {}};
    if (!start_time) return {Life::unknown, {}, "/proc hides it: " + errno_text(read_error)};
    return {Life::alive, std::move(pidfd), {}};
}

Look look_at_process(const ProcessId& id)
{
    return look_at_process(id, proc_view());
}

}  // namespace

std::string current_boot_id()
{
#ifdef XLSTORE_CRASH_POINTS
    if (const char* test = std::getenv("XLSTORE_TEST_BOOT_ID"); test && *test) return test;
#endif
    static const std::string id = read_boot_id();  // no process outlives its boot
    return id;
}

std::uint64_t current_pid_namespace()
{
    struct stat st {};
    if (::stat("/proc/self/ns/pid", &st) != 0)
        throw IoError(errno, "cannot stat /proc/self/ns/pid");
    return st.st_ino;
}

Result<ProcessId> identify(std::int64_t pid)
{
    const std::string name = "process " + std::to_string(pid);
    if (!is_pid(pid)) return Error(Errc::invalid, name + " is not a process id");
    if (const std::string why = proc_unusable(proc_view()); !why.empty())
        return Error(Errc::io, name + " cannot be identified: " + why);

    const PidFd pidfd = PidFd::of(pid);
    if (!pidfd) {
        // EINVAL and ENOENT: the number is a thread's, which is no process.
        if (errno == ESRCH || errno == EINVAL || errno == ENOENT)
            return Error(Errc::not_found, "there is no " + name);
        return Error(Errc::io, name + " cannot be identified: pidfd_open: " + errno_text(errno));
    }
    const auto start_time = read_start_time(pid);
    if (!start_time) {
        const int read_error = errno;
        if (pidfd.dead()) return Error(Errc::not_found, "there is no " + name);
        return Error(Errc::io,
                     name + " cannot be identified: /proc hides it: " + errno_text(read_error));
    }
    return ProcessId{pid, *start_time, current_boot_id(), current_pid_namespace()};
}

bool of_this_boot(const ProcessId& id)
{
    return id.boot_id == current_boot_id();
}

Life life_of(const ProcessId& id) noexcept
{
    try {
        return look_at_process(id).life;
    } catch (const std::exception&) {
        return Life::unknown;  // could not look; never a guess towards death
    }
}

std::vector<Life> lives_of(const std::vector<ProcessId>& ids) noexcept
{
    std::vector<Life> lives;
    try {
        lives.assign(ids.size(), Life::unknown);
        const auto view = proc_view();
        for (std::size_t i = 0; i < ids.size(); ++i)
            lives[i] = look_at_process(ids[i], view).life;
        if (view && proc_view() == view) return lives;
    } catch (const std::exception&) {
        // One by one, so that what cannot be looked at is unknown of that one alone.
    }
    for (std::size_t i = 0; i < lives.size(); ++i)
        lives[i] = life_of(ids[i]);
    return lives;
}

bool is_stopped(const ProcessId& id) noexcept
{
    try {
        if (!is_pid(id.pid) || !of_this_boot(id)) return false;
        if (id.pid_namespace != current_pid_namespace() || !proc_unusable(proc_view()).empty())
            return false;
        const auto stat = read_proc_file(proc_path(id.pid, "stat").c_str());
        if (!stat || start_time_of(*stat) != id.start_time) return false;
        const auto state = field_of(*stat, 3);
        return state == "T" || state == "t";
    } catch (const std::exception&) {
        return false;
    }
}

std::string why_unknown(const ProcessId& id)
{
    try {
        return look_at_process(id).reason;
    } catch (const std::exception& error) {
        return error.what();
    }
}

Result<PidFd> open_pidfd(const ProcessId& id)
{
    const std::string name = "process " + std::to_string(id.pid);
    Look look;
    try {
        look = look_at_process(id);
    } catch (const IoError& error) {
        look.reason = error.what();
    }
    switch (look.life) {
    case Life::alive:
        return std::move(look.pidfd);
    case Life::dead:
        return Error(Errc::not_found, name + " is dead");
    case Life::unknown:
        break;
    }
    return Error(Errc::io, name + " cannot be looked at: " + look.reason);
}

std::string command_line(pid_t pid)
{
    return read_proc_file(proc_path(pid, "cmdline").c_str()).value_or("");
}

bool mentions(pid_t pid, const std::string& text)
{
    return command_line(pid).find(text) != std::string::npos;
}

std::vector<pid_t> processes()
{
    std::vector<pid_t> pids;
    std::error_code error;
    for (std::filesystem::directory_iterator i("/proc", error), end; !error && i != end;
         i.increment(error)) {
        const std::string name = i->path().filename().string();
        pid_t pid = 0;
        const auto [rest, wrong] = std::from_chars(name.data(), name.data() + name.size(), pid);
        if (wrong == std::errc() && *rest == '\0') pids.push_back(pid);
    }
    if (error) throw IoError(error.value(), "cannot list /proc");
    return pids;
}

std::string environment_of(pid_t pid)
{
    return read_proc_file(proc_path(pid, "environ").c_str()).value_or("");
}

bool has_program(pid_t pid)
{
    char path[1];
    return ::readlink(proc_path(pid, "exe").c_str(), path, sizeof path) >= 0;
}

std::optional<pid_t> parent_of(pid_t pid)
{
    const auto stat = read_proc_file(proc_path(pid, "stat").c_str());
    const auto field = stat ? field_of(*stat, 4) : std::nullopt;
    pid_t parent = 0;
    if (!field ||
        std::from_chars(field->data(), field->data() + field->size(), parent).ec != std::errc())
        return std::nullopt;
    return parent;
}

std::string program_of(pid_t pid)
{
    auto text = read_proc_file(proc_path(pid, "comm").c_str());
    if (!text || text->empty()) return "unknown";
    if (text->back() == '\n') text->pop_back();
    for (char& c : *text)
        if (c < 0x20 || c > 0x7e) c = '?';
    return *std::move(text);
}

}  // namespace xlstore
