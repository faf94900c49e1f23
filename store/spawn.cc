// SPDX-License-Identifier: MIT
#include "store/spawn.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <mutex>
#include <system_error>

#include "store/crash_point.hpp"

namespace xlstore {

namespace {

constexpr std::chrono::milliseconds kExecWait{10'000};
constexpr int kNotRun = 127;  // as a shell's, for "never ran the program"

std::string error_text(int number)
{
    return std::generic_category().message(number);
}

/// What a child says on its way, through the gate's socket: there are never more than three, so
/// that it always takes them whole and at once.
enum class Step : int { session, signals, stdio, descriptors, at_the_gate, through_the_gate, exec };
struct Report {
    Step step;
    int error;  // 0 for those at and through the gate
};

const char* step_name(Step step)
{
    switch (step) {
    case Step::session:
        return "cannot begin a session";
    case Step::signals:
        return "cannot reset signals";
    case Step::stdio:
        return "cannot set up standard input and output";
    case Step::descriptors:
        return "cannot close or keep descriptors";
    case Step::at_the_gate:
    case Step::through_the_gate:
        break;
    case Step::exec:
        return "cannot run it";
    }
    return "?";
}

/// execvp()'s search, done before the fork: it may allocate, and a missing program is then an
/// ordinary error of the caller's.
Result<std::string> find_program(const std::string& name)
{
    if (name.empty()) return Error(Errc::invalid, "the name of the program is empty");
    int error = ENOENT;
    const auto runs = [&error](const std::string& path) {
        struct stat st {};
        if (::stat(path.c_str(), &st) == 0) {
            if (S_ISREG(st.st_mode) && ::faccessat(AT_FDCWD, path.c_str(), X_OK, AT_EACCESS) == 0)
                return true;
            error = EACCES;
        } else if (errno == EACCES) {
            error = EACCES;
        }
        return false;
    };
    if (name.find('/') != std::string::npos) {
        if (runs(name)) return name;
    } else {
        const char* variable = std::getenv("PATH");  // NOLINT(concurrency-mt-unsafe)
        const std::string path = variable ? variable : "/bin:/usr/bin";
        for (std::size_t from = 0; from <= path.size();) {
            const std::size_t to = std::min(path.find(':', from), path.size());
            const std::string directory = path.substr(from, to - from);
            std::string candidate = directory.empty() ? "./" + name : directory + "/" + name;
            if (runs(candidate)) return candidate;
            from = to + 1;
        }
    }
    if (error == EACCES) return Error(Errc::io, "program " + name + " is not executable");
    return Error(Errc::not_found, "there is no program " + name);
}

/// Everything the child needs, made before the fork: between fork and exec only async-signal-safe
/// calls are allowed, since another thread may have held any lock (the allocator's, for one).
struct ChildPlan {
    const char* path;
    char* const* argv;
    char* const* environment;
    int gate;
    int null;
    int log;
    const int* keep;  // made inheritable
    std::size_t keep_count;
    const int* survivors;  // keep and gate, ascending: the rest is closed
    std::size_t survivor_count;
};

/// Programs that were let go and outlived their GatedChild: this process is their parent as long as
/// it lives. By id and not by pidfd: a toolstack may have more QEMUs than descriptors to spare.
struct LetGo {
    std::mutex mutex;
    std::vector<ProcessId> programs;
};
LetGo& let_go()
{
    static LetGo one;
    return one;
}

/// True once there is nothing to reap any more. A pid may be another child's by now, if the
/// embedder reaps all of them: what is reaped is what the id names, held by a pidfd.
bool reap_program(const ProcessId& program)
{
    const auto pid = static_cast<pid_t>(program.pid);
    siginfo_t info{};
    if (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) != 0)
        return errno == ECHILD;
    if (info.si_pid == 0) return false;
    const Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0u)));
    if (!pidfd) return false;
    const auto now = identify(pid);
    if (!now) return false;
    if (*now == program)
        ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd.get()), &info,
                 WEXITED | WNOHANG);
    return true;
}

/// Whether anybody hears it makes no difference: past the gate the creator may die at any time, and
/// the program is to run then all the same (no SIGPIPE).
void say(const ChildPlan& plan, Step step, int error)
{
    const Report report{step, error};
    ::send(plan.gate, &report, sizeof report, MSG_NOSIGNAL);
}

[[noreturn]] void fail(const ChildPlan& plan, Step step, int error)
{
    say(plan, step, error);
    ::_exit(kNotRun);
}

[[noreturn]] void run_child(const ChildPlan& plan)
{
    // A session of its own: neither the terminal's hang-up nor a signal to the creator's process
    // group reaches it.
    if (::setsid() < 0) fail(plan, Step::session, errno);

    // All signals are blocked since before the fork, so no handler of the embedder's has run here
    // (it would have acted on the parent's pipes). Ignored signals would survive exec as ignored.
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    for (int signal = 1; signal < NSIG; ++signal)
        ::sigaction(signal, &standard, nullptr);  // fails for SIGKILL, SIGSTOP and libc's own two
    sigset_t none;
    ::sigemptyset(&none);
    if (::sigprocmask(SIG_SETMASK, &none, nullptr) != 0) fail(plan, Step::signals, errno);

    if (::dup2(plan.null, STDIN_FILENO) < 0 || ::dup2(plan.log, STDOUT_FILENO) < 0 ||
        ::dup2(plan.log, STDERR_FILENO) < 0)
        fail(plan, Step::stdio, errno);

    unsigned first = STDERR_FILENO + 1;
    for (std::size_t i = 0; i <= plan.survivor_count; ++i) {
        const bool more = i < plan.survivor_count;
        const unsigned end = more ? static_cast<unsigned>(plan.survivors[i]) : UINT_MAX;
        if (first < end && ::syscall(SYS_close_range, first, more ? end - 1 : end, 0u) != 0)
            fail(plan, Step::descriptors, errno);
        first = end + 1;
    }
    for (std::size_t i = 0; i < plan.keep_count; ++i)
        if (::fcntl(plan.keep[i], F_SETFD, 0) != 0) fail(plan, Step::descriptors, errno);

    say(plan, Step::at_the_gate, 0);
    char byte = 0;
    ssize_t n = 0;
    do
        n = ::read(plan.gate, &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n != 1) ::_exit(kNotRun);  // R13: the creator is gone, or has thought better of it

    say(plan, Step::through_the_gate, 0);
    ::execve(plan.path, plan.argv, plan.environment);  // closes the gate: the creator reads the end of file
    fail(plan, Step::exec, errno);
}

/// The same file at a number that the child's stdin, stdout and stderr do not overwrite (the
/// embedder may have closed those).
int above_stdio(int fd) noexcept
{
    if (fd < 0 || fd > STDERR_FILENO) return fd;
    const int higher = ::fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    const int saved = errno;
    ::close(fd);
    errno = saved;
    return higher;
}

Error cannot_start(const std::string& program, const std::string& why)
{
    return Error(Errc::io, "cannot start " + program + ": " + why);
}

/// What the child says next; nothing: it has let go of the gate, by exec or by its end.
/// Error in_doubt: no word within the time.
Result<std::optional<Report>> hear(int gate, const std::string& program)
{
    const auto until = std::chrono::steady_clock::now() + kExecWait;
    for (;;) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
        pollfd entry{gate, POLLIN, 0};
        const int ready = ::poll(&entry, 1, static_cast<int>(std::max<long long>(left.count(), 0)));
        if (ready < 0 && errno == EINTR) continue;
        if (ready < 0) throw IoError(errno, "cannot wait for " + program);
        if (ready == 0)
            return Error(Errc::in_doubt, program + " was let go and has not begun within 10 s",
                         "see whether the file system it is on answers");

        Report report{};
        const ssize_t n = ::read(gate, &report, sizeof report);
        if (n == sizeof report) return std::optional(report);
        // ECONNRESET: it ended without having read the byte.
        if (n == 0 || (n < 0 && errno == ECONNRESET)) return std::optional<Report>();
        if (n < 0 && errno != EINTR) throw IoError(errno, "cannot hear of " + program);
    }
}

void wait_for_child(pid_t pid) noexcept
{
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
}

/// For its scope every signal waits (of this thread), so that the child starts with none handled.
class AllSignalsBlocked {
public:
    AllSignalsBlocked() noexcept
    {
        sigset_t all;
        ::sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    AllSignalsBlocked(const AllSignalsBlocked&) = delete;
    AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;
    ~AllSignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

private:
    sigset_t before_;
};

}  // namespace

Result<GatedChild> spawn_gated(const SpawnRequest& request)
{
    if (request.argv.empty()) return Error(Errc::invalid, "no program was named");
    for (const std::string& argument : request.argv)
        if (argument.find('\0') != std::string::npos)
            return Error(Errc::invalid, "an argument of " + request.argv[0] + " holds a zero byte");
    const auto path = find_program(request.argv[0]);
    if (!path) return path.error();

    std::vector<int> keep = request.keep_fds;
    std::ranges::sort(keep);
    keep.erase(std::unique(keep.begin(), keep.end()), keep.end());
    for (const int fd : keep) {
        const std::string name = "descriptor " + std::to_string(fd);
        if (fd <= STDERR_FILENO) return Error(Errc::invalid, name + " cannot be kept for a child");
        if (::fcntl(fd, F_GETFD) < 0) return Error(Errc::invalid, name + " is not open");
        if (is_fork_closed(fd)) return Error(Errc::invalid, name + " never outlives a fork");
    }

    const Fd null(above_stdio(::open("/dev/null", O_RDWR | O_CLOEXEC)));
    if (!null) return cannot_start(*path, "/dev/null: " + error_text(errno));
    Fd log;
    if (!request.log_path.empty()) {
        constexpr int kFlags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;
        log.reset(above_stdio(::open(request.log_path.c_str(), kFlags, 0600)));
        if (!log)
            return cannot_start(*path, "log file " + request.log_path + ": " + error_text(errno));
    }
    std::vector<char*> argv;  // execve() changes none of its words
    for (const std::string& argument : request.argv)
        argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    std::vector<char*> environment;
    for (char** entry = environ; entry && *entry; ++entry)
        environment.push_back(*entry);
    for (const std::string& entry : request.environment)
        environment.push_back(const_cast<char*>(entry.c_str()));
    environment.push_back(nullptr);

    ForkClosedFd gate;
    pid_t pid = -1;
    {
        // From the making of the two ends to the closing of the child's: no other thread's child
        // gets a copy. A copy of our end would keep the gate from closing when we die, a copy of
        // the child's would keep open_gate() from seeing the exec.
        const NoFork no_fork;

        // A socket pair and not pipes: writing to a child that was killed is an error to report,
        // and for a pipe it is, besides, a SIGPIPE to the embedder.
        int ends[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
            return cannot_start(*path, "socketpair: " + error_text(errno));
        const Fd gate_of_child(above_stdio(ends[0]));
        gate = ForkClosedFd(above_stdio(ends[1]));
        if (!gate_of_child || !gate) return cannot_start(*path, "gate: " + error_text(errno));

        std::vector<int> survivors = keep;
        survivors.push_back(gate_of_child.get());
        std::ranges::sort(survivors);
        const ChildPlan plan{.path = path->c_str(),
                             .argv = argv.data(),
                             .environment = environment.data(),
                             .gate = gate_of_child.get(),
                             .null = null.get(),
                             .log = log ? log.get() : null.get(),
                             .keep = keep.data(),
                             .keep_count = keep.size(),
                             .survivors = survivors.data(),
                             .survivor_count = survivors.size()};

        XLSTORE_CRASH_POINT("spawn.before_fork");
        const AllSignalsBlocked blocked;
        pid = ::fork();
        if (pid == 0) run_child(plan);  // never returns, so that nothing of ours is destroyed there
        if (pid < 0) return cannot_start(*path, "fork: " + error_text(errno));
    }
    XLSTORE_CRASH_POINT("spawn.after_fork");

    // Ours and not reaped, so the number is still its own, even if it has ended already.
    auto id = identify(pid);
    Fd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0u)));
    if (!id || !pidfd) {
        const std::string why = id ? "pidfd_open: " + error_text(errno) : id.error().message;
        gate.reset();
        wait_for_child(pid);
        return cannot_start(*path, why);
    }
    GatedChild child(*std::move(id), PidFd(std::move(pidfd)), std::move(gate), *path);
    // At its gate it is in a session of its own: from here on no signal to ours reaches it.
    const auto word = hear(child.gate_.get(), *path);
    if (!word) return cannot_start(*path, "its process has not come to its gate within 10 s");
    if (!*word) return cannot_start(*path, "its process ended before it came to its gate");
    if ((*word)->step != Step::at_the_gate)
        return cannot_start(
            *path, std::string(step_name((*word)->step)) + ": " + error_text((*word)->error));
    return child;
}

GatedChild::GatedChild(ProcessId id, PidFd pidfd, ForkClosedFd gate, std::string program)
    : id_(std::move(id)),
      pidfd_(std::move(pidfd)),
      gate_(std::move(gate)),
      program_(std::move(program))
{}

GatedChild::GatedChild(GatedChild&& other) noexcept = default;

GatedChild& GatedChild::operator=(GatedChild&& other) noexcept
{
    if (this == &other) return *this;
    abandon();
    id_ = std::move(other.id_);
    pidfd_ = std::move(other.pidfd_);
    gate_ = std::move(other.gate_);
    program_ = std::move(other.program_);
    generation_ = other.generation_;
    opened_ = other.opened_;
    reaped_ = other.reaped_;
    end_code_ = other.end_code_;
    end_status_ = other.end_status_;
    return *this;
}

GatedChild::~GatedChild()
{
    abandon();
}

void GatedChild::abandon() noexcept
{
    if (!pidfd_ || reaped_) return;
    if (fork_poisoned(generation_)) return;  // our parent's child: neither to end nor to reap
    if (opened_) {
        if (reap(WNOHANG)) return;
        const NoFork no_fork;  // no child gets the mutex locked
        const std::lock_guard lock(let_go().mutex);
        try {
            let_go().programs.push_back(id_);
        } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch)
            // It stays a zombie until this process ends.
        }
        return;
    }
    gate_.reset();
    reap_now();
}

/// The child has not begun, or is about to exit. SIGKILL lets it end without asking, so that the
/// wait is short even for one that someone has stopped.
void GatedChild::reap_now() noexcept
{
    ::syscall(SYS_pidfd_send_signal, pidfd_.fd(), SIGKILL, nullptr, 0u);
    reap(0);
}

/// True if the child is reaped, by now and by anyone. By pidfd: if the embedder reaps all children,
/// the pid may be a stranger's, or another child's.
bool GatedChild::reap(int options) noexcept
{
    siginfo_t info{};
    int result = 0;
    do
        result = ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(pidfd_.fd()), &info,
                          WEXITED | options);
    while (result != 0 && errno == EINTR);
    if (result != 0) return reaped_ = errno == ECHILD;
    if (info.si_pid == 0) return false;
    reaped_ = true;
    end_code_ = info.si_code;
    end_status_ = info.si_status;
    return true;
}

void reap_programs() noexcept
{
    const NoFork no_fork;
    const std::lock_guard lock(let_go().mutex);
    std::erase_if(let_go().programs, [](const ProcessId& program) {
        try {
            return reap_program(program);
        } catch (const std::exception&) {
            return false;  // it could not be looked at now; the next call looks again
        }
    });
}

std::optional<std::string> GatedChild::how_it_ended() const
{
    if (end_code_ == 0) return std::nullopt;
    const char* how = end_code_ == CLD_EXITED ? "exited with status " : "was killed by signal ";
    return how + std::to_string(end_status_);
}

bool GatedChild::reap_if_dead()
{
    if (reaped_) return true;
    if (!pidfd_ || fork_poisoned(generation_) || !pidfd_.dead()) return false;
    return reap(WNOHANG);
}

Result<void> GatedChild::open_gate()
{
    if (fork_poisoned(generation_))
        return Error(Errc::order, "the gate of " + program_ + " belongs to another process");
    if (opened_ || reaped_ || !pidfd_)
        return Error(Errc::order, "the gate of " + program_ + " was opened before");

    XLSTORE_CRASH_POINT("spawn.before_gate");
    const char byte = 1;
    ssize_t sent = 0;
    do
        sent = ::send(gate_.get(), &byte, 1, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    // EPIPE: the child has ended, and its report, if it made one, says why.
    if (sent < 0 && errno != EPIPE) throw IoError(errno, "cannot open the gate of " + program_);
    opened_ = sent == 1;
    XLSTORE_CRASH_POINT("spawn.after_gate");

    auto word = hear(gate_.get(), program_);
    if (word && *word && (*word)->step == Step::through_the_gate) {
        word = hear(gate_.get(), program_);
        if (word && !*word) {  // exec's doing; an end of file before it would be the child's death
            gate_.reset();
            return {};
        }
    }
    if (!word) return std::move(word).error();
    reap_now();
    if (*word)
        return Error(Errc::refused, "cannot start " + program_ + ": " + step_name((*word)->step) +
                                        ": " + error_text((*word)->error));
    return Error(Errc::refused, "cannot start " + program_ + ": its process " +
                                    how_it_ended().value_or("ended") + " before it began");
}

}  // namespace xlstore
