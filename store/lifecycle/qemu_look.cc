// SPDX-License-Identifier: MIT
#include "store/lifecycle/qemu_look.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "store/base/limits.hpp"
#include "store/libxl/host_hold.hpp"
#include "store/os/process.hpp"
#include "store/qmp/monitor.hpp"
#include "store/text/plain_text.hpp"

namespace xlstore {

namespace {

constexpr std::size_t kLooksSideBySide = 100;

// The member "status" of what query-status returns; "": it has none.
std::string run_state_of(const qmp::Reply& reply)
{
    const auto value = nlohmann::json::parse(reply.value, nullptr, false);
    if (!value.is_object()) return {};
    const auto status = value.find("status");
    if (status == value.end() || !status->is_string()) return {};
    return plain_text(status->get_ref<const std::string&>(), limits::qmp_text_bytes_max);
}

Task<void> ask(Store& store, const DomainRow& domain, Deadline until, QemuLook& look)
{
    look.answer = QemuLook::Answer::silent;
    const libxl::FileOwner owner{domain.domid, domain.uuid};
    auto beside =
        co_await libxl::HostHold::take(store.loop(), domain.registration->path, owner, until);
    if (!beside) {
        look.answer = QemuLook::Answer::busy;
        look.why = beside.error().message;
        co_return;
    }
    beside->leave_as_found();
    auto monitor = co_await qmp::Monitor::connect(store.loop(), *domain.registration,
                                                  domain.subject(), until);
    if (!monitor) {
        look.why = monitor.error().message;
        co_return;
    }
    auto reply = co_await monitor->execute("query-status", "", until);
    if (!reply) {
        look.why = reply.error().message;
        co_return;
    }
    look.run_state = run_state_of(*reply);
    if (look.run_state.empty()) {
        look.why = "QEMU does not say in what state it is";
        co_return;
    }
    look.answer = QemuLook::Answer::answered;
}

Task<void> look_at(Store& store, DomainRow domain, std::chrono::milliseconds each, QemuLook& look)
{
    look.life = qemu_life_of(domain);
    if (look.life.seen != QemuLife::Seen::alive) co_return;
    look.stopped = is_stopped(domain.registration->qemu);
    if (!store.locks().may_lock()) {
        look.answer = QemuLook::Answer::unasked;
        look.why = "only the owner of the store may take the lock that a look into QEMU needs";
        co_return;
    }
    auto lock = store.locks().try_shared(LockKind::slow, value_of(domain.id));
    if (!lock || !*lock) {
        look.answer = QemuLook::Answer::busy;
        look.why = lock ? store.locks().holder(LockKind::slow, value_of(domain.id))
                        : lock.error().message;
        co_return;
    }
    co_await ask(store, domain, Clock::now() + each, look);
}

// Takes one domain after the other, beside others that do the same.
Task<void> looker(Store& store, std::vector<DomainRow>& domains, std::vector<QemuLook>& looks,
                  std::size_t& next, std::chrono::milliseconds each)
{
    while (next < domains.size()) {
        const std::size_t place = next++;
        co_await look_at(store, std::move(domains[place]), each, looks[place]);
    }
}

}  // namespace

std::string QemuLook::doing() const
{
    switch (life.seen) {
    case QemuLife::Seen::none:
        return "no QEMU";
    case QemuLife::Seen::dead:
        return "QEMU dead";
    case QemuLife::Seen::unseen:
        return "could not look";
    case QemuLife::Seen::alive:
        break;
    }
    if (answer == Answer::answered) return run_state;
    if (stopped) return "stopped by a signal";
    switch (answer) {
    case Answer::silent:
        return "does not answer";
    case Answer::busy:
        return "at work";
    default:
        return "alive, not asked";
    }
}

Task<std::vector<QemuLook>> look_at_qemus(Store& store, std::vector<DomainRow> domains,
                                          std::chrono::milliseconds each)
{
    std::vector<QemuLook> looks(domains.size());
    std::size_t next = 0;
    std::vector<Task<void>> lookers;
    for (std::size_t i = 0; i < std::min(kLooksSideBySide, domains.size()); ++i)
        lookers.push_back(looker(store, domains, looks, next, each));
    for (auto& one : lookers)
        one.start();
    for (auto& one : lookers)
        co_await one.join();
    co_return looks;
}

}  // namespace xlstore
