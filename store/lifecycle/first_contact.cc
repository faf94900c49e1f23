// SPDX-License-Identifier: MIT
// A QEMU that is starting does not listen yet, and one that was named may never do. So: wait until
// a process listens at the path, as long as the expected process lives; connect; take the
// credentials of the peer; ask for the greeting and the barrier. An attempt that fails is made
// again until the deadline, unless its error is final: another process answered, or the expected
// one is dead. Of a socket that was handed in the first connection may be older than QEMU's own
// listen(), so that a second one is made, whose credentials are QEMU's.
#include "store/lifecycle/first_contact.hpp"

#include <algorithm>
#include <fstream>

#include "store/base/file_identity.hpp"
#include "store/os/listener.hpp"
#include "store/os/log_keeper.hpp"
#include "store/qmp/protocol.hpp"

namespace xlstore {

namespace {

constexpr auto kMonitorPoll = std::chrono::milliseconds(10);
constexpr std::size_t kLogTail = 300;
// Until what a QEMU that has ended printed is in its log.
constexpr auto kLastWords = std::chrono::seconds(1);
constexpr auto kLastWordsPoll = std::chrono::milliseconds(5);

// QEMU's last words, for the error that says it died. Its text is quoted and bounded.
std::string log_tail(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    std::string text;
    file.seekg(0, std::ios::end);
    const auto size = static_cast<std::streamoff>(file.tellg());
    file.seekg(std::max<std::streamoff>(0, size - static_cast<std::streamoff>(kLogTail)));
    std::string line;
    while (std::getline(file, line))
        if (!line.empty()) text = line;
    return text.empty() ? "it wrote nothing" : "its log ends with " + qmp::printable(text);
}

// Nothing that a later attempt could mend.
bool is_final(const Error& error)
{
    return error.code == Errc::timeout || error.code == Errc::refused ||
           error.code == Errc::invalid;
}

// Waits until the monitor of `expected`, which may not listen yet, answers, or the process is dead.
Task<Result<qmp::Monitor::Introduced>> first_answer(Store& store, qmp::Expected expected,
                                                    std::string path, std::string subject,
                                                    Deadline until)
{
    const std::optional<qmp::Expected> by(expected);
    for (;;) {
        // Asked before the attempt: its last chance.
        const bool dead = life_of(expected.qemu) == Life::dead;
        if (file_identity(path)) {
            auto introduced =
                co_await qmp::Monitor::introduce(store.loop(), path, subject, by, until);
            if (introduced || is_final(introduced.error())) co_return introduced;
        }
        if (dead)
            co_return Error(Errc::no_qemu, subject + ": QEMU (pid " +
                                               std::to_string(expected.qemu.pid) + ") is dead");
        if (Clock::now() >= until)
            co_return Error(Errc::timeout,
                            subject + ": QEMU's monitor " + path + " did not answer in time",
                            "nothing was sent; see whether QEMU is stopped, or its monitor is "
                            "elsewhere");
        (void)co_await store.loop().sleep(std::min(until, Clock::now() + kMonitorPoll));
    }
}

// Waits until a process listens at `path`, as long as `qemu` lives.
Task<Result<void>> listens(Store& store, ProcessId qemu, std::string path, std::string subject,
                           Deadline until)
{
    for (;;) {
        const bool dead = life_of(qemu) == Life::dead;
        if (who_listens(path)) co_return Result<void>();
        if (dead)
            co_return Error(Errc::no_qemu,
                            subject + ": pid " + std::to_string(qemu.pid) +
                                " has ended, and no "
                                "process listens at " +
                                path,
                            "nothing was changed");
        if (Clock::now() >= until)
            co_return Error(Errc::timeout,
                            subject + ": no process listens at " + path + "; pid " +
                                std::to_string(qemu.pid) + " lives",
                            "nothing was changed; see whether that is the path of its monitor");
        (void)co_await store.loop().sleep(std::min(until, Clock::now() + kMonitorPoll));
    }
}

// Of one that is starting every attempt but a final one is made again.
Task<Result<qmp::Monitor::Introduced>> answer_of(Store& store, qmp::Expected expected,
                                                 std::string path, std::string subject,
                                                 bool starting, Deadline until)
{
    if (starting)
        co_return co_await first_answer(store, std::move(expected), std::move(path),
                                        std::move(subject), until);
    std::optional<qmp::Expected> by(std::move(expected));
    co_return co_await qmp::Monitor::introduce(store.loop(), std::move(path), std::move(subject),
                                               std::move(by), until);
}

// The same with the credentials of QEMU's own listen(). They are those of the process that called
// it last: a connection to a socket that was handed in may be older than QEMU's call. QEMU has
// answered by then, so the next one is not.
Task<Result<qmp::Monitor::Introduced>> answer_of_listener(Store& store, qmp::Expected expected,
                                                          std::string path, std::string subject,
                                                          bool starting, Deadline until)
{
    auto answer = co_await answer_of(store, expected, path, subject, starting, until);
    if (!answer || !expected.handed_in || answer->peer.pid == expected.qemu.pid)
        co_return std::move(answer);
    {
        const auto hung_up = std::move(*answer);
    }
    co_return co_await answer_of(store, std::move(expected), std::move(path), std::move(subject),
                                 starting, until);
}

// The process that is at `path`, if none was named.
Task<Result<qmp::Monitor::Introduced>> answer_of_any(Store& store, std::string path,
                                                     std::string subject, Deadline until)
{
    std::optional<qmp::Expected> any;
    co_return co_await qmp::Monitor::introduce(store.loop(), std::move(path), std::move(subject),
                                               std::move(any), until);
}

Task<Result<qmp::Monitor::Introduced>> introduced_by(Store& store, std::string subject,
                                                     std::string path,
                                                     std::optional<ProcessId> qemu, bool handed_in,
                                                     Deadline until)
{
    if (!qemu) co_return co_await answer_of_any(store, std::move(path), std::move(subject), until);
    if (auto there = co_await listens(store, *qemu, path, subject, until); !there)
        co_return std::move(there).error();
    qmp::Expected expected{*std::move(qemu), handed_in};
    co_return co_await answer_of_listener(store, std::move(expected), std::move(path),
                                          std::move(subject), false, until);
}

}  // namespace

Task<Error> died_while_starting(Loop& loop, DomainRow domain)
{
    const auto last_words = Clock::now() + kLastWords;
    while (!log_is_complete(domain.log_path) && Clock::now() < last_words)
        (void)co_await loop.sleep(std::min(last_words, Clock::now() + kLastWordsPoll));
    co_return Error(Errc::refused,
                    domain.subject() + ": QEMU (pid " +
                        std::to_string(domain.registration->qemu.pid) +
                        ") died while starting: " + log_tail(domain.log_path),
                    "its log is " + domain.log_path);
}

Task<Result<qmp::Registration>> meet(Store& store, DomainRow domain, Deadline until)
{
    qmp::Registration registration = *domain.registration;
    qmp::Expected expected{registration.qemu, registration.handed_in};
    auto answer = co_await answer_of_listener(store, std::move(expected), registration.path,
                                              domain.subject(), true, until);
    if (!answer) {
        Error error = std::move(answer).error();
        if (error.code == Errc::no_qemu)
            co_return co_await died_while_starting(store.loop(), domain);
        if (error.code == Errc::refused && !registration.handed_in)
            error.advice +=
                "; give the command of QEMU itself: no -daemonize, no wrapper, and a monitor that "
                "no other program has";
        co_return error;
    }
    registration.peer = answer->peer;
    registration.socket = answer->socket;
    co_return registration;
}

Task<Result<FirstContact>> contact_running(Store& store, std::string subject, std::string path,
                                           std::optional<ProcessId> qemu, bool handed_in,
                                           Deadline until)
{
    if (handed_in && !qemu)
        co_return Error(Errc::invalid, subject + ": a monitor that was handed in needs QEMU's pid",
                        "name it with --pid");
    auto introduced = co_await introduced_by(store, subject, path, qemu, handed_in, until);
    if (!introduced) co_return std::move(introduced).error();
    const auto peer = introduced->peer;
    if (!qemu) {
        auto there = identify(peer.pid);
        if (!there)
            co_return Error(Errc::refused,
                            subject + ": the process behind " + path +
                                " is not known: " + there.error().message,
                            "nothing was changed; run it in the pid namespace of that process, or "
                            "one above");
        qemu = *std::move(there);
    }
    qmp::Registration registration;
    registration.qemu = *std::move(qemu);
    registration.path = std::move(path);
    registration.socket = introduced->socket;
    registration.peer = peer;
    registration.handed_in = handed_in;
    FirstContact met{std::move(introduced->monitor), std::move(registration)};
    co_return std::move(met);
}

}  // namespace xlstore
