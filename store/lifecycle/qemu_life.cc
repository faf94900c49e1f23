// SPDX-License-Identifier: MIT
#include "store/lifecycle/qemu_life.hpp"

#include <ctime>

#include "store/base/clock.hpp"
#include "store/os/process.hpp"

namespace xlstore {

namespace {

// life_of() says that it does not know; the caller wants to know why.
std::string why_unseen(const ProcessId& qemu)
{
    if (!of_this_boot(qemu)) return "it was registered in another boot, or on another host";
    if (qemu.pid_namespace != current_pid_namespace())
        return "it was registered in another pid namespace";
    return "/proc does not show it to this process";
}

}  // namespace

std::string QemuLife::text() const
{
    std::string what = "no QEMU";
    switch (seen) {
    case Seen::none:
        return what;
    case Seen::alive:
        what = "QEMU alive";
        break;
    case Seen::dead:
        what = "QEMU dead";
        break;
    case Seen::unseen:
        what = "could not look: " + why;
        break;
    }
    const std::time_t seconds = at_us / 1'000'000;
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    char when[16];
    (void)std::strftime(when, sizeof when, "%H:%M:%S", &utc);
    return what + " (looked at " + when + " UTC)";
}

QemuLife qemu_life_of(const DomainRow& domain)
{
    QemuLife life;
    life.at_us = now_us();
    if (!domain.registration) return life;
    const ProcessId& qemu = domain.registration->qemu;
    switch (life_of(qemu)) {
    case Life::alive:
        life.seen = QemuLife::Seen::alive;
        break;
    case Life::dead:
        life.seen = QemuLife::Seen::dead;
        break;
    case Life::unknown:
        life.seen = QemuLife::Seen::unseen;
        life.why = why_unseen(qemu);
        break;
    }
    return life;
}

}  // namespace xlstore
