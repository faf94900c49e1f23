// SPDX-License-Identifier: MIT
// Pass 6: what xenstore has of domains that are over.
//
// Checks     that back ends, libxl's nodes and /vm belong to a domain                (6020);
//            that Xen has none of them                                             (6021).
// Relies on  pass 3.
// Leaves     nodes of which no one domain can be told that it is over.
//
// libxl writes /local/domain/7, /libxl/7 and /vm/UUID in one transaction, before anything else of a
// domain, and introduces it to xenstored much later. So a domain that is not introduced may be one
// that another process creates just now; one of which /local/domain/7 is missing is over. Where
// that node is there, the domain is over if it has the uuid of a row that is destroyed. Looked at
// and removed in one transaction: who writes any of it meanwhile wins.
//
// On a host without a store the hypervisor tells instead of rows: it has a domain before xenstore
// has any of it. One that it lacked after xenstore had been read is over.
//
// A PCI device that libxl counts as given to a domain that is over can be given to no other: the
// note names the domain by its number, and goes only while it names that one.
#include <algorithm>
#include <set>

#include "recovery/passes/kept_nodes.hpp"
#include "recovery/passes/passes.hpp"
#include "store/base/clock.hpp"
#include "store/core/domain.hpp"
#include "store/model/document.hpp"
#include "store/operation/host_xenstore.hpp"
#include "store/operation/hotplug.hpp"
#include "store/text/json_text.hpp"
#include "store/xenstore/client.hpp"
#include "store/xenstore/tree.hpp"
#include "store/xenstore/xen_device.hpp"

namespace xlstore::recovery {

namespace {

using xenstore::Client;
using xenstore::Transaction;

constexpr std::size_t kRowsMost = 1000;  // destroyed ones that are asked about, the newest

struct Over {
    std::int64_t domid = 0;
    std::string uuid;
};

// Those of this boot.
std::vector<Over> destroyed_rows(Db& db)
{
    auto rows = db.prepare(
                      "SELECT domid, coalesce(vm_uuid, uuid) FROM domain WHERE state = 'destroyed' "
                      "AND boot_id = ?1 ORDER BY id DESC LIMIT ?2")
                    .bind(current_boot_id())
                    .bind(static_cast<std::int64_t>(kRowsMost));
    std::vector<Over> over;
    while (rows.step())
        over.push_back({rows.integer(0), rows.text(1)});
    return over;
}

std::string home(std::int64_t domid)
{
    return "/local/domain/" + std::to_string(domid);
}

class Leftovers {
public:
    Leftovers(Check& check, Store& store, UndoRecorder* undo, Client& client, KnownDomains known)
        : check_(check),
          store_(store),
          undo_(undo),
          client_(client),
          until_(check.deadline()),
          living_(std::move(known.living)),
          gone_(std::move(known.over)),
          uuids_(std::move(known.uuids))
    {
        for (const auto& row : living_domains(store.db())) {
            living_.insert(row.domid);
            uuids_.insert(row.vm_uuid.value_or(row.uuid));
        }
        over_ = destroyed_rows(store.db());
    }

    Task<Result<void>> run()
    {
        auto listed = co_await list();
        if (!listed) co_return listed;
        for (const auto domid : domids_) {
            if (domid == 0 || living_.contains(domid)) continue;
            auto looked = co_await look_at(domid);
            if (!looked) co_return looked;
        }
        auto vms = co_await look_at_vms();
        if (!vms) co_return vms;
        co_return co_await survivors();
    }

private:
    Task<Result<std::vector<std::string>>> names(std::string path)
    {
        auto there = co_await client_.directory(path, 0, until_);
        if (!there) co_return std::move(there).error();
        co_return std::move(*there).value_or(std::vector<std::string>());
    }

    Task<Result<void>> note_domids(std::string directory)
    {
        auto there = co_await names(std::move(directory));
        if (!there) co_return std::move(there).error();
        for (const auto& name : *there)
            if (const auto domid = xenstore::number_of(name);
                domid && std::to_string(*domid) == name)
                domids_.insert(*domid);
        co_return Result<void>();
    }

    // Every number of a domain that stands in a place of a toolstack's, and what /vm has.
    Task<Result<void>> list()
    {
        std::vector<std::string> directories = {"/libxl", "/local/domain",
                                                "/local/domain/0/device-model",
                                                "/local/domain/0/backend/pci"};
        for (const auto& kind : xenstore::device_kinds())
            for (const auto back : kind.backs)
                directories.push_back("/local/domain/0/backend/" + std::string(back));
        for (auto& directory : directories) {
            auto noted = co_await note_domids(std::move(directory));
            if (!noted) co_return noted;
        }
        auto owners = co_await note_owners();
        if (!owners) co_return owners;
        auto vms = co_await names("/vm");
        if (!vms) co_return std::move(vms).error();
        vms_ = *std::move(vms);
        co_return Result<void>();
    }

    Task<Result<void>> note_owners()
    {
        auto devices = co_await names("/libxl/pci");
        if (!devices) co_return std::move(devices).error();
        for (const auto& device : *devices) {
            std::string note = "/libxl/pci/" + device + "/domid";
            auto owner = co_await client_.read(note, 0, until_);
            if (!owner) co_return std::move(owner).error();
            const auto domid = xenstore::number_of(owner->value_or(""));
            if (!domid || std::to_string(*domid) != **owner) continue;
            domids_.insert(*domid);
            owner_notes_.emplace(std::move(note), *domid);
        }
        co_return Result<void>();
    }

    [[nodiscard]] std::vector<std::string> places(std::int64_t domid) const
    {
        const std::string number = std::to_string(domid);
        std::vector<std::string> all;
        for (const auto& kind : xenstore::device_kinds())
            for (const auto back : kind.backs)
                all.push_back("/local/domain/0/backend/" + std::string(back) + "/" + number);
        all.push_back("/local/domain/0/backend/pci/" + number);
        all.push_back("/local/domain/0/device-model/" + number);
        all.push_back(home(domid));
        all.push_back("/libxl/" + number);
        for (const auto& [note, owner] : owner_notes_)
            if (owner == domid) all.push_back(note);
        return all;
    }

    // "": it cannot be told that the domain is over.
    Task<Result<std::string>> why_over(std::int64_t domid, Transaction in)
    {
        const std::string vm = home(domid) + "/vm";
        auto there = co_await client_.read(home(domid), in, until_);
        if (!there) co_return std::move(there).error();
        if (!*there) co_return "there is no " + home(domid);
        auto of = co_await client_.read(vm, in, until_);
        if (!of) co_return std::move(of).error();
        // A new domain may have got the number since the hypervisor was asked.
        if (const auto gone = gone_.find(domid);
            gone != gone_.end() &&
            of->value_or("") == (gone->second.empty() ? "" : "/vm/" + gone->second))
            co_return "Xen has no domain " + std::to_string(domid);
        for (const auto& row : over_)
            if (*of && row.domid == domid && **of == "/vm/" + row.uuid)
                co_return "domain " + std::to_string(domid) + " with uuid " + row.uuid +
                    " is destroyed";
        co_return std::string();
    }

    // Those of its places that are there, if it is over.
    Task<Result<std::vector<std::string>>> left_of(std::int64_t domid, Transaction in,
                                                   std::string& why)
    {
        auto known =
            co_await client_.is_domain_introduced(static_cast<std::uint32_t>(domid), until_);
        if (!known) co_return std::move(known).error();
        if (*known) co_return std::vector<std::string>();
        auto over = co_await why_over(domid, in);
        if (!over) co_return std::move(over).error();
        why = *std::move(over);
        std::vector<std::string> left;
        if (why.empty()) co_return left;
        for (auto& place : places(domid)) {
            auto there = co_await client_.read(place, in, until_);
            if (!there) co_return std::move(there).error();
            if (*there) left.push_back(std::move(place));
        }
        co_return left;
    }

    Task<Result<void>> look_at(std::int64_t domid)
    {
        std::string why;
        auto left = co_await left_of(domid, 0, why);
        if (!left) co_return std::move(left).error();
        for (const auto& place : *left) {
            const Subject about{place, why, domid, {}};
            if (!check_.ask(Code::nodes_left, about)) continue;
            auto removed = co_await let_scripts_end(place);
            if (removed) removed = co_await remove(place, domid);
            say(about, removed);
        }
        co_return Result<void>();
    }

    // Of the back ends in that place: what one writes would make its nodes anew.
    Task<Result<void>> let_scripts_end(std::string place)
    {
        auto numbers = co_await names(place);
        if (!numbers) co_return std::move(numbers).error();
        for (const auto& number : *numbers) {
            xenstore::DevicePaths paths;
            paths.back = place + "/" + number;
            auto ended = co_await let_script_end(store_, std::move(paths), Clock::now());
            if (!ended) co_return ended;
        }
        co_return Result<void>();
    }

    void say(const Subject& about, const Result<void>& done)
    {
        if (done)
            check_.fixed(Code::nodes_left, about);
        else
            check_.failed(Code::nodes_left, about, done.error());
    }

    // The kind's node of a domain's back ends; nothing for another place.
    static std::vector<std::string> kind_above(const std::string& place)
    {
        if (!place.starts_with("/local/domain/0/backend/")) return {};
        return {place.substr(0, place.rfind('/'))};
    }

    // `domid`: nothing for a node of /vm, which no domain names.
    Task<Result<void>> remove(std::string place, std::optional<std::int64_t> domid)
    {
        auto copied = co_await keep(place);
        if (!copied) co_return copied;
        auto in = co_await client_.begin(until_);
        if (!in) co_return std::move(in).error();
        bool over = true;
        if (domid) {
            auto why = co_await why_over(*domid, *in);
            over = why && !why->empty();
            if (over && owner_notes_.contains(place)) {
                auto owner = co_await client_.read(place, *in, until_);
                over = owner && *owner == std::to_string(*domid);
            }
        } else {
            auto named = co_await named_vms(*in);
            over = named && !named->contains(place);
        }
        Result<void> gone = Error(Errc::busy, "another process writes there", "run xlfsck again");
        std::vector<std::string> roots;
        roots.push_back(place);
        KeptNodes kept(check_.options(), client_, domid, std::move(roots));
        if (over) gone = co_await kept.look(*in, until_);
        if (over && gone) gone = co_await client_.remove(place, *in, until_);
        if (over && gone) gone = co_await remove_empty(client_, kind_above(place), *in, until_);
        if (over && gone) gone = co_await kept.keep(*in, until_);
        if (!gone) {
            co_await kept.abort(*in, until_);
            co_return gone;
        }
        auto made = co_await kept.commit(*in, until_);
        if (!made) co_return std::move(made).error();
        if (*made) co_return Result<void>();
        co_return Error(Errc::busy, "another process writes there", "run xlfsck again");
    }

    // R22, in the store
    Task<Result<void>> keep(std::string place)
    {
        if (!undo_) co_return Result<void>();
        std::vector<std::string> roots;
        roots.push_back(place);
        auto tree = co_await xenstore::read_tree(client_, roots, until_);
        if (!tree) co_return std::move(tree).error();
        const std::string operation("recover");
        co_return co_await store_.with_writer_lock(
            operation, until_,
            [&](const WriterHold&) -> Result<void> {
                for (const auto& [path, value] : tree->nodes)
                    undo_->keep_node({}, json_object({{"path", json_quote(path)},
                                                      {"value", json_quote(value)}}));
                return {};
            },
            Room::reserve);
    }

    // "/vm/UUID" of each domain that has one.
    Task<Result<std::set<std::string>>> named_vms(Transaction in)
    {
        std::set<std::string> named;
        auto domains = co_await client_.directory("/local/domain", in, until_);
        if (!domains) co_return std::move(domains).error();
        if (!*domains) co_return named;
        for (const auto& domid : **domains) {
            auto vm = co_await client_.read("/local/domain/" + domid + "/vm", in, until_);
            if (!vm) co_return std::move(vm).error();
            if (*vm) named.insert(**vm);
        }
        co_return named;
    }

    Task<Result<void>> look_at_vms()
    {
        auto named = co_await named_vms(0);
        if (!named) co_return std::move(named).error();
        for (const auto& name : vms_) {
            const std::string path = "/vm/" + name;
            if (!normal_uuid(name) || name == kNilUuid || uuids_.contains(name) ||
                named->contains(path))
                continue;
            const Subject about{path, "no domain names it"};
            if (!check_.ask(Code::nodes_left, about)) continue;
            auto removed = co_await remove(path, {});
            say(about, removed);
        }
        co_return Result<void>();
    }

    // A destruction that ended before its last step, or before its first: without a node that names
    // it xl shows the domain as (null).
    Task<Result<void>> survivors()
    {
        std::set<std::int64_t> asked;
        for (const auto& row : over_) {
            if (living_.contains(row.domid) || !asked.insert(row.domid).second) continue;
            auto known = co_await client_.is_domain_introduced(
                static_cast<std::uint32_t>(row.domid), until_);
            if (!known) co_return std::move(known).error();
            if (!*known) continue;
            auto there = co_await client_.read(home(row.domid), 0, until_);
            if (!there) co_return std::move(there).error();
            auto vm = co_await client_.read(home(row.domid) + "/vm", 0, until_);
            if (!vm) co_return std::move(vm).error();
            if (*there && *vm != "/vm/" + row.uuid) continue;  // another one has the number now
            check_.report(
                Code::domain_survives,
                Subject{"domain " + std::to_string(row.domid),
                        (*there ? "uuid " : "xenstore has nothing of it; uuid ") + row.uuid +
                            "; 'xl destroy " + std::to_string(row.domid) + "' ends it",
                        row.domid,
                        {}});
        }
        co_return Result<void>();
    }

    Check& check_;
    Store& store_;
    UndoRecorder* undo_;
    Client& client_;
    Deadline until_;
    std::set<std::int64_t> living_;
    std::map<std::int64_t, std::string> gone_;
    std::set<std::string> uuids_;
    std::vector<Over> over_;
    std::set<std::int64_t> domids_;
    std::map<std::string, std::int64_t> owner_notes_;  // of PCI devices: the domain that each names
    std::vector<std::string> vms_;
};

}  // namespace

Task<void> pass6_xenstore(Check& check, Store& store, UndoRecorder* undo,
                          const KnownDomains* known)
{
    if (!has_host_xenstore()) co_return;
    const std::string path = xenstore::socket_path();
    auto client = co_await Client::connect(store.loop(), path, check.deadline());
    Result<void> looked = client ? Result<void>() : Result<void>(client.error());
    if (client) {
        Leftovers leftovers(check, store, undo, *client, known ? *known : KnownDomains{});
        looked = co_await leftovers.run();
    }
    if (!looked) check.report(Code::xenstore_unseen, Subject{path, looked.error().message});
}

}  // namespace xlstore::recovery
