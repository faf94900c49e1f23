// SPDX-License-Identifier: MIT
#include "store/qmp/silence.hpp"

#include "store/os/socket_clients.hpp"

namespace xlstore::qmp {

namespace {

// Who is connected is found out in pieces, so that an embedder's loop has its turn in between
// (R20), and in vain on a host with more descriptors than can be looked at in this time.
constexpr auto kSearchPiece = std::chrono::milliseconds(10);
constexpr auto kSearchWhole = std::chrono::seconds(1);

}  // namespace

Task<Silence> why_silent(Loop& loop, std::optional<ProcessId> qemu, std::string path, int own)
{
    if (qemu && is_stopped(*qemu)) {
        const std::string pid = std::to_string(qemu->pid);
        co_return Silence("its QEMU (pid " + pid + ") is stopped",
                          "let it run again ('kill -CONT " + pid +
                              "', or end the debugger that holds it), then run this again");
    }
    auto others = clients_of_socket(path, own);
    if (!others)
        co_return Silence(
            "its QEMU is not stopped; the kernel does not tell who else is connected to it",
            "see whether another program holds its monitor, or QEMU hangs");
    if (others->connections == 0)
        co_return Silence(
            "its QEMU is not stopped, and no other client of this monitor can be seen: it hangs, "
            "is very busy, or a process of another network namespace is connected",
            "look at QEMU itself; run this again once it answers");
    const auto end = Clock::now() + kSearchWhole;
    while (!others->processes.go_on(Clock::now() + kSearchPiece) && Clock::now() < end)
        (void)co_await loop.sleep(Clock::now());
    std::string who;
    for (const auto& process : others->processes.found()) {
        who += (who.empty() ? "" : ", ") + describe(process);
        const auto id = identify(process.pid);
        if (id && is_stopped(*id)) who += ", which is stopped,";
    }
    if (who.empty()) who = "a process that /proc does not show";
    co_return Silence(who + " is connected to it, and a monitor serves one client at a time",
                      "wait until that process hangs up, or end it, then run this again");
}

}  // namespace xlstore::qmp
