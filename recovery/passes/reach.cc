// SPDX-License-Identifier: MIT
// Three ways to a QEMU. Who may not even take a lock asks whether it is held, and goes no further.
// A run that only looks takes the slow lock shared: it keeps out writers, whose QEMU would hear two
// clients, and no other looker. A run that may act takes it for itself, once, without waiting; a
// process that holds it will settle what is its own.
#include "recovery/passes/reach.hpp"

namespace xlstore::recovery {

Task<Reached> Reached::reach(const Check& check, Store& store, DomainRow domain)
{
    Reached reached(check);
    const auto owned = [&] {
        reached.owned_ = true;
        reached.why_ = store.locks().holder(LockKind::slow, value_of(domain.id));
    };
    if (check.looking_only() && !store.locks().may_lock()) {
        const auto held = store.locks().is_held(LockKind::slow, value_of(domain.id));
        if (held && *held)
            owned();
        else
            reached.why_ =
                "only the owner of the store may take the lock that a look into QEMU "
                "needs";
        co_return reached;
    }
    if (check.looking_only()) {
        auto lock = store.locks().try_shared(LockKind::slow, value_of(domain.id));
        if (!lock || !*lock) {
            owned();
            co_return reached;
        }
        reached.shared_.emplace(**std::move(lock));
        const libxl::FileOwner owner{domain.domid, domain.uuid};
        auto beside = co_await libxl::HostHold::take(store.loop(), domain.registration->path, owner,
                                                     reached.deadline());
        if (!beside) {
            reached.why_ = beside.error().message;
            co_return reached;
        }
        reached.beside_ = *std::move(beside);
        reached.beside_.leave_as_found();
        auto monitor = co_await qmp::Monitor::connect(store.loop(), *domain.registration,
                                                      domain.subject(), reached.deadline());
        if (monitor)
            reached.looker_.emplace(*std::move(monitor));
        else
            reached.why_ = monitor.error().message;
        co_return reached;
    }
    auto hold = store.try_slow_lock(domain.id, "recover");
    if (!hold || !*hold) {
        owned();
        co_return reached;
    }
    auto engine =
        co_await Engine::begin_under(store, domain, **std::move(hold), reached.deadline());
    if (engine) {
        reached.engine_.emplace(*std::move(engine));
        if (check.options().leave_as_found) reached.engine_->beside().leave_as_found();
    } else {
        reached.why_ = engine.error().message;
    }
    co_return reached;
}

}  // namespace xlstore::recovery
