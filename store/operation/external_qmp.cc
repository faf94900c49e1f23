// SPDX-License-Identifier: MIT
// What can be checked of a client outside: the plan compiles as any other, or is the class's; an
// entry that is present is covered by what was looked for (R16); the monitor is the registered one
// and leads to the registered, living QEMU (R11); and the descriptor, if one is given, is connected
// to it and stays the same connection, known by its socket cookie, from intend to settle (R12).
#include "store/operation/external_qmp.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "store/base/limits.hpp"
#include "store/classes/class_plan.hpp"
#include "store/core/product.hpp"
#include "store/core/registration_row.hpp"
#include "store/os/process.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

// R16: what was seen of the new image says nothing of an entry that is made of something else.
Result<void> covers_entry(const Draft& draft, const ThingRow& entry, const MadeOf& made)
{
    if (entry.state != "present") return {};
    const auto& looked_for = draft.plan.probe.products;
    const bool covered =
        made.products.empty()
            ? !made.of_others.empty() || entry.json == draft.image_after
            : std::all_of(made.products.begin(), made.products.end(),
                          [&](const Product& p) { return has_product(looked_for, p); });
    if (covered) return {};
    std::string of;
    for (const auto& product : made.products)
        of += (of.empty() ? ", made of " : ", ") + product.kind + " " + json_shown(product.name);
    return Error(Errc::exists,
                 entry.name.text() + " is present" + of + ", which was not looked for (R16)",
                 "nothing was changed; remove that one first, by an intention of its own");
}

Result<Draft> draft_of_add(Db& db, DomainId domain, const Intention& intention)
{
    Result<Draft> draft = Error(Errc::invalid, "");
    if (intention.plan) {
        auto name = name_of_attach(intention.device_class, intention.json);
        if (!name) return std::move(name).error();
        auto json = json_minify(intention.json, "json", limits::thing_bytes_max);
        if (!json) return std::move(json).error();
        auto text = json_minify(*intention.plan, "plan", limits::thing_bytes_max);
        if (!text) return std::move(text).error();
        auto plan = compile_plan(*text);
        if (!plan) return std::move(plan).error();
        draft = Draft{Verb::add,        *std::move(name), std::nullopt,
                      *std::move(json), std::nullopt,     *std::move(plan)};
    } else {
        draft = draft_hot_plug(intention.device_class, intention.json);
    }
    if (!draft) return draft;
    // The embedder probed for the new image alone; what is there may be the old one.
    if (const auto entry = read_thing(db, domain, draft->thing))
        if (auto ok = covers_entry(*draft, *entry, made_of(db, domain, *entry)); !ok)
            return std::move(ok).error();
    return draft;
}

}  // namespace

Result<Draft> draft_of(Db& db, DomainId domain, const Intention& intention)
{
    if (intention.verb == Verb::add) return draft_of_add(db, domain, intention);
    const ThingName name{intention.device_class, intention.key};
    const auto entry = read_thing(db, domain, name);
    if (!entry)
        return Error(Errc::not_found, "there is no " + name.text() + " in the store",
                     "'xlstore things DOM' shows what it has");
    if (entry->primary == "none")
        return Error(Errc::refused,
                     name.text() + " is in no primary: there is nothing of it but its entry",
                     "nothing was changed; xlstore_fast_put_thing() and "
                     "xlstore_fast_remove_thing() change the entry");
    if (entry->primary != "qemu")
        return Error(Errc::refused, name.text() + " is not QEMU's but " + entry->primary + "'s",
                     "nothing was changed; the program that writes xenstore takes it out or "
                     "changes it, and its entry follows with xlstore_fast_remove_thing() or "
                     "xlstore_fast_put_thing()");
    Result<Draft> draft = Error(Errc::invalid, "");
    if (intention.verb == Verb::remove) {
        draft = draft_detach(*entry, made_of(db, domain, *entry));
    } else {
        auto json = json_minify(intention.json, "json", limits::thing_bytes_max);
        if (!json) return std::move(json).error();
        draft = draft_change(*entry, *std::move(json));
    }
    if (!draft || !intention.plan) return draft;
    // Its own steps, with the probe that the class and the store know.
    auto text = json_minify(*intention.plan, "plan", limits::thing_bytes_max);
    if (!text) return std::move(text).error();
    auto steps = steps_from_json(json_find(*text, "steps").value_or("null"));
    if (!steps) return std::move(steps).error();
    draft->plan.steps = *std::move(steps);
    return draft;
}

Result<void> check_monitor(const DomainRow& domain, const std::string& path,
                           HeldProcesses& processes)
{
    if (!domain.registration) return no_qemu_of(domain, current_boot_id());
    const auto& registered = *domain.registration;
    const auto refused = [&](const std::string& what) {
        return Error(Errc::refused, domain.subject() + ": " + what + " (R11)",
                     "nothing was changed; if that should not be so, run 'xlfsck -n'");
    };
    // By the socket, not by its name: /var/run/xen is /run/xen.
    if (path != registered.path && file_identity(path) != registered.socket)
        return refused("the monitor " + json_shown(path) + " is not the registered one, " +
                       registered.path);
    switch (processes.life_of(registered.qemu)) {
    case Life::alive:
        break;
    case Life::dead:
        return Error(Errc::no_qemu,
                     domain.subject() + ": its QEMU (pid " + std::to_string(registered.qemu.pid) +
                         ") is dead",
                     "run 'xlstore recover'");
    case Life::unknown:
        return refused("its QEMU (pid " + std::to_string(registered.qemu.pid) +
                       ") cannot be looked at from here");
    }
    if (file_identity(registered.path) != registered.socket)
        return refused("the socket " + registered.path + " is not the one that was registered");
    return {};
}

Result<std::uint64_t> check_connection(const DomainRow& domain, int fd)
{
    const auto refused = [&](const std::string& what) {
        return Error(
            Errc::refused,
            domain.subject() + ": descriptor " + std::to_string(fd) + " " + what + " (R11, R12)",
            "stay connected to the registered monitor from before intend until settle");
    };
    ucred peer{};
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        return refused(std::string("is no connected socket: ") + errno_text(errno));
    if (qmp::Peer{peer.pid, peer.uid, peer.gid} != domain.registration->peer)
        return refused("leads to pid " + std::to_string(peer.pid) + ", not to the registered QEMU");
    // Who hung up cannot have kept other clients away since (R12).
    pollfd state{fd, POLLRDHUP, 0};
    if (poll(&state, 1, 0) < 0 || (state.revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0)
        return refused("is not connected any more");
    std::uint64_t socket = 0;
    size = sizeof socket;
    // The socket's own number: the descriptor's may belong to another connection by the time of
    // settle.
    if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &socket, &size) != 0)
        return refused(std::string("cannot be told from others: ") + errno_text(errno));
    return socket;
}

}  // namespace xlstore
