// SPDX-License-Identifier: MIT
// All that the child needs is made before fork(), because between fork and exec only
// async-signal-safe calls are allowed. A socket pair is the start barrier (start_barrier), of which
// parent and child have an end each:
//
//   1. The child begins a session, resets its signals, finds its program, sets up its standard
//      streams, closes every descriptor that it is not to keep, says that it is there, and reads.
//      The end of the stream means that the creator died or gave up: it exits (R13).
//   2. The creator commits the child's pid, and sends one byte.
//   3. The child says that it is through, and calls execve(), which closes its end: that the
//      creator reads the end of the stream now, and not before "through", is the proof that the
//      program runs. A step that fails is reported with its errno, in place of these words.
#include "store/os/spawn.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <system_error>
#include <utility>

#include "store/os/log_keeper.hpp"
#include "store/testing/crash_point.hpp"

namespace xlstore {

namespace {

constexpr std::chrono::seconds kEndWait{1};
constexpr int kNotRun = 127;  // as a shell's, for "never ran the program"

/// What a child says on its way, through the socket of the start barrier: there are never more than
/// three, so that it always takes them whole and at once.
enum class ChildStep : int {
    session,
    signals,
    program,
    log,
    stdio,
    descriptors,
    at_the_barrier,
    through_the_barrier,
    exec
};
struct Report {
    ChildStep step;
    int error;  // 0 for those at and through the start barrier
};

const char* step_name(ChildStep step)
{
    switch (step) {
    case ChildStep::session:
        return "cannot begin a session";
    case ChildStep::signals:
        return "cannot reset signals";
    case ChildStep::program:
        return "cannot find it";
    case ChildStep::log:
        return "cannot open its log file";
    case ChildStep::stdio:
        return "cannot set up standard input and output";
    case ChildStep::descriptors:
        return "cannot close or keep descriptors";
    case ChildStep::at_the_barrier:
    case ChildStep::through_the_barrier:
        break;
    case ChildStep::exec:
        return "cannot run it";
    }
    return "?";
}

/// Where execvp() would look for a program, in order. Made before the fork, since it allocates.
std::vector<std::string> candidates_of(const std::string& name)
{
    std::vector<std::string> candidates;
    if (name.find('/') != std::string::npos) {
        candidates.push_back(name);
        return candidates;
    }
    const char* variable = std::getenv("PATH");
    const std::string path = variable ? variable : "/bin:/usr/bin";
    for (std::size_t from = 0; from <= path.size();) {
        const std::size_t to = std::min(path.find(':', from), path.size());
        const std::string directory = path.substr(from, to - from);
        candidates.push_back(directory.empty() ? "./" + name : directory + "/" + name);
        from = to + 1;
    }
    return candidates;
}

/// Everything the child needs, made before the fork: between fork and exec only async-signal-safe
/// calls are allowed, since another thread may have held any lock (the allocator's, for one).
struct ChildPlan {
    char* const* candidates;  // paths of the program; ends with nullptr
    char* const* argv;
    char* const* environment;
    int start_barrier;
    const char* log;  // nullptr: output is thrown away
    const int* keep;  // made inheritable
    std::size_t keep_count;
    const int* survivors;  // keep and start barrier, ascending: the rest is closed
    std::size_t survivor_count;
};

/// Whether it is heard makes no difference: past the start barrier the creator may die at any time,
/// and the program is to run then all the same (no SIGPIPE).
void say(const ChildPlan& plan, ChildStep step, int error)
{
    const Report report{step, error};
    ::send(plan.start_barrier, &report, sizeof report, MSG_NOSIGNAL);
}

[[noreturn]] void fail(const ChildPlan& plan, ChildStep step, int error)
{
    say(plan, step, error);
    ::_exit(kNotRun);
}

/// The first of the candidates that can be run.
const char* find_program(const ChildPlan& plan)
{
    int error = ENOENT;
    for (char* const* candidate = plan.candidates; *candidate; ++candidate) {
        struct stat st {};
        if (::stat(*candidate, &st) == 0) {
            if (S_ISREG(st.st_mode) && ::faccessat(AT_FDCWD, *candidate, X_OK, AT_EACCESS) == 0)
                return *candidate;
            error = EACCES;
        } else if (errno == EACCES) {
            error = EACCES;
        }
    }
    fail(plan, ChildStep::program, error);
}

void redirect_stdio(const ChildPlan& plan)
{
    const int null = above_stdio(::open("/dev/null", O_RDWR | O_CLOEXEC));
    int log = null;
    if (plan.log) {
        log = above_stdio(start_log_keeper(plan.log));
        if (log < 0) fail(plan, ChildStep::log, errno);
    }
    if (::dup2(null, STDIN_FILENO) < 0 || ::dup2(log, STDOUT_FILENO) < 0 ||
        ::dup2(log, STDERR_FILENO) < 0)
        fail(plan, ChildStep::stdio, errno);
}

void close_the_rest(const ChildPlan& plan)
{
    unsigned first = STDERR_FILENO + 1;
    for (std::size_t i = 0; i <= plan.survivor_count; ++i) {
        const bool more = i < plan.survivor_count;
        const unsigned end = more ? static_cast<unsigned>(plan.survivors[i]) : UINT_MAX;
        if (first < end && ::syscall(SYS_close_range, first, more ? end - 1 : end, 0u) != 0)
            fail(plan, ChildStep::descriptors, errno);
        first = end + 1;
    }
    for (std::size_t i = 0; i < plan.keep_count; ++i)
        if (::fcntl(plan.keep[i], F_SETFD, 0) != 0) fail(plan, ChildStep::descriptors, errno);
}

[[noreturn]] void run_child(const ChildPlan& plan)
{
    // A session of its own: neither the terminal's hang-up nor a signal to the creator's process
    // group reaches it.
    if (::setsid() < 0) fail(plan, ChildStep::session, errno);

    // All signals are blocked since before the fork, so no handler of the embedder's has run here
    // (it would have acted on the parent's pipes). Ignored signals would survive exec as ignored.
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    for (int signal = 1; signal < NSIG; ++signal)
        ::sigaction(signal, &standard, nullptr);  // fails for SIGKILL, SIGSTOP and libc's own two
    sigset_t none;
    ::sigemptyset(&none);
    if (::sigprocmask(SIG_SETMASK, &none, nullptr) != 0) fail(plan, ChildStep::signals, errno);

    const char* const program = find_program(plan);
    redirect_stdio(plan);
    close_the_rest(plan);

    say(plan, ChildStep::at_the_barrier, 0);
    char byte = 0;
    ssize_t n = 0;
    do
        n = ::read(plan.start_barrier, &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n != 1) ::_exit(kNotRun);  // R13: the creator is gone, or has thought better of it

    say(plan, ChildStep::through_the_barrier, 0);
    ::execve(program, plan.argv,
             plan.environment);  // closes the start barrier: the creator reads its end
    fail(plan, ChildStep::exec, errno);
}

Error cannot_start(const std::string& program, const std::string& why)
{
    return Error(Errc::io, "cannot start " + program + ": " + why);
}

/// Why the child did not come to its start barrier.
Error not_at_the_barrier(const SpawnRequest& request, const Report& report)
{
    const std::string& program = request.argv[0];
    if (report.step == ChildStep::program && report.error == ENOENT)
        return Error(Errc::not_found, "there is no program " + program);
    if (report.step == ChildStep::program)
        return Error(Errc::refused, "program " + program + " is not executable");
    const std::string what = report.step == ChildStep::log ? "log file " + request.log_path
                                                      : std::string(step_name(report.step));
    return cannot_start(program, what + ": " + errno_text(report.error));
}

/// What the child says next; nothing: it has let go of the start barrier, by exec or by its end.
/// Error in_doubt: no word by the deadline.
Task<Result<std::optional<Report>>> hear(Loop& loop, int start_barrier, Deadline until)
{
    for (;;) {
        if (!co_await loop.readable(start_barrier, until))
            co_return Error(Errc::in_doubt, "no word in time",
                            "see whether the file system it is on answers");
        Report report{};
        const ssize_t n = ::recv(start_barrier, &report, sizeof report, MSG_DONTWAIT);
        if (n == sizeof report) co_return std::optional(report);
        // ECONNRESET: it ended without having read the byte.
        if (n == 0 || (n < 0 && errno == ECONNRESET)) co_return std::optional<Report>();
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            throw IoError(errno, "cannot hear of a child");
    }
}

Result<void> check_request(const SpawnRequest& request)
{
    if (request.argv.empty()) return Error(Errc::invalid, "no program was named");
    for (const std::string& argument : request.argv)
        if (argument.find('\0') != std::string::npos)
            return Error(Errc::invalid, "an argument of " + request.argv[0] + " holds a zero byte");
    if (request.argv[0].empty()) return Error(Errc::invalid, "the name of the program is empty");
    for (const int fd : request.keep_fds) {
        const std::string name = "descriptor " + std::to_string(fd);
        const std::string advice = "name open descriptors of your own, above 2";
        if (fd <= STDERR_FILENO)
            return Error(Errc::invalid, name + " cannot be kept for a child", advice);
        if (::fcntl(fd, F_GETFD) < 0) return Error(Errc::invalid, name + " is not open", advice);
        if (is_fork_closed(fd))
            return Error(Errc::invalid, name + " never outlives a fork", advice);
    }
    return {};
}

/// Pointers to each of the words, as exec wants them, which changes none of them; `first` before.
std::vector<char*> pointers_to(const std::vector<std::string>& words, std::vector<char*> first = {})
{
    for (const std::string& word : words)
        first.push_back(const_cast<char*>(word.c_str()));
    first.push_back(nullptr);
    return first;
}

// Has `given` a value for the variable of `entry`, "NAME=VALUE"? Of two the first would count.
bool is_given_anew(std::string_view entry, const std::vector<std::string>& given)
{
    const auto name = entry.substr(0, entry.find('=') + 1);  // with the '='; "": it has none
    return !name.empty() &&
           std::ranges::any_of(given, [&](const auto& one) { return one.starts_with(name); });
}

struct Forked {
    ChildProcess child;
    ForkClosedFd start_barrier;
};
Result<Forked> fork_to_start_barrier(const SpawnRequest& request)
{
    const std::string& program = request.argv[0];
    std::vector<int> keep = request.keep_fds;
    std::ranges::sort(keep);
    keep.erase(std::unique(keep.begin(), keep.end()), keep.end());
    const auto paths = candidates_of(program);
    const auto candidates = pointers_to(paths);
    const auto argv = pointers_to(request.argv);
    std::vector<char*> inherited;
    for (char** entry = environ; entry && *entry; ++entry)
        if (!is_given_anew(*entry, request.environment)) inherited.push_back(*entry);
    const auto environment = pointers_to(request.environment, std::move(inherited));

    // From the making of the two ends to the closing of the child's: no other thread's child gets a
    // copy. A copy of our end would keep the start barrier from closing when we die, a copy of the
    // child's would keep open_start_barrier() from seeing the exec.
    const NoFork no_fork;

    // A socket pair and not pipes: writing to a child that was killed is an error to report, and
    // for a pipe it is, besides, a SIGPIPE to the embedder.
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return cannot_start(program, "socketpair: " + errno_text(errno));
    const Fd barrier_of_child(above_stdio(ends[0]));
    ForkClosedFd start_barrier(above_stdio(ends[1]));
    if (!barrier_of_child || !start_barrier)
        return cannot_start(program, "start barrier: " + errno_text(errno));

    std::vector<int> survivors = keep;
    survivors.push_back(barrier_of_child.get());
    std::ranges::sort(survivors);
    const ChildPlan plan{.candidates = candidates.data(),
                         .argv = argv.data(),
                         .environment = environment.data(),
                         .start_barrier = barrier_of_child.get(),
                         .log = request.log_path.empty() ? nullptr : request.log_path.c_str(),
                         .keep = keep.data(),
                         .keep_count = keep.size(),
                         .survivors = survivors.data(),
                         .survivor_count = survivors.size()};
    XLSTORE_CRASH_POINT("spawn.before_fork");
    auto child = ChildProcess::fork([&plan] { run_child(plan); });
    if (!child) return cannot_start(program, child.error().message);
    XLSTORE_CRASH_POINT("spawn.after_fork");
    return Forked{*std::move(child), std::move(start_barrier)};
}

}  // namespace

Task<Result<WaitingChild>> spawn_waiting(Loop& loop, SpawnRequest request, Deadline until)
{
    if (auto ok = check_request(request); !ok) co_return std::move(ok).error();
    const std::string& program = request.argv[0];
    auto forked = fork_to_start_barrier(request);
    if (!forked) co_return std::move(forked).error();
    WaitingChild child(std::move(forked->child), std::move(forked->start_barrier), program);
    // At its start barrier it is in a session of its own: from here on no signal to ours reaches
    // it.
    const auto word = co_await hear(loop, child.start_barrier_.get(), until);
    if (!word)
        co_return Error(
            Errc::timeout,
            "cannot start " + program + ": its process did not come to its start barrier in time",
            "see whether the file systems of the program and of its log answer");
    if (*word && (*word)->step == ChildStep::at_the_barrier) co_return std::move(child);
    (void)co_await child.pidfd().ended(loop, std::min(until, Clock::now() + kEndWait));
    if (!*word)
        co_return cannot_start(program, "its process ended before it came to its start barrier");
    co_return not_at_the_barrier(request, **word);
}

WaitingChild::WaitingChild(ChildProcess child, ForkClosedFd start_barrier, std::string program)
    : child_(std::move(child)),
      start_barrier_(std::move(start_barrier)),
      program_(std::move(program))
{}

Task<Result<void>> WaitingChild::open_start_barrier(Loop& loop, Deadline until)
{
    if (opened_ || !child_.is_ours() || !start_barrier_)
        co_return Error(Errc::order, "the start barrier of " + program_ +
                                         " was opened before, or belongs to another process");

    XLSTORE_CRASH_POINT("spawn.before_start_barrier");
    const char byte = 1;
    ssize_t sent = 0;
    do
        sent = ::send(start_barrier_.get(), &byte, 1, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    // EPIPE: the child has ended, and its report, if it made one, says why.
    if (sent < 0 && errno != EPIPE)
        throw IoError(errno, "cannot open the start barrier of " + program_);
    opened_ = sent == 1;
    if (opened_) child_.let_go();
    XLSTORE_CRASH_POINT("spawn.after_start_barrier");

    auto word = co_await hear(loop, start_barrier_.get(), until);
    if (word && *word && (*word)->step == ChildStep::through_the_barrier) {
        word = co_await hear(loop, start_barrier_.get(), until);
        if (word && !*word) {  // exec's doing; an end of file before it would be the child's death
            start_barrier_.reset();
            co_return Result<void>();
        }
    }
    if (!word)
        co_return Error(Errc::in_doubt,
                        program_ +
                            " has not begun in time, and its start barrier "
                            "is open",
                        word.error().advice);
    // It is about to end by itself; stopped, it is helped.
    (void)co_await child_.pidfd().ended(loop, std::min(until, Clock::now() + kEndWait));
    child_.kill();
    if (*word)
        co_return Error(Errc::refused, "cannot start " + program_ + ": " +
                                           step_name((*word)->step) + ": " +
                                           errno_text((*word)->error));
    co_return Error(Errc::refused, "cannot start " + program_ + ": its process " +
                                       child_.how_it_ended().value_or("ended") +
                                       " before it began");
}

}  // namespace xlstore
