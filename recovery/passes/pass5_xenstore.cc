// SPDX-License-Identifier: MIT
// Pass 5, its other half: what is in xenstore.
//
// Checks     that xenstore can be looked into                              (5020, 5021);
//            that Xen has a domain that no QEMU stands for                 (3011);
//            that each device has an entry, and each entry its device      (5022-5024);
//            that devices are whole, and none is left on its way out       (5025-5028);
//            that its copies of what QEMU has are as QEMU showed           (5029);
//            that a device can be told by its nodes                         (5030);
//            that no PCI device is noted as the domain's without being its  (5031).
// Relies on  the half that asks QEMU, for what is QEMU's.
// Leaves     no device without an entry (R1), but for what was answered no, and for 5030.
//
// A first look takes no lock and no snapshot. What it seems to show is looked for again under the
// fast lock, the thing lock of these things (R3), in one snapshot: only what that shows is told.
// After a yes it is looked for once more under one fast lock that lasts until the entry is written.
// Nodes that go are copied first (R22); a node is absent only when the daemon says so twice, the
// second time after it was made and taken away, so that no unfinished transaction can bring it
// back.
#include <algorithm>

#include "recovery/passes/kept_nodes.hpp"
#include "recovery/passes/passes.hpp"
#include "recovery/passes/xenstore_glance.hpp"
#include "recovery/passes/xenstore_survey.hpp"
#include "store/core/domain.hpp"
#include "store/core/journal.hpp"
#include "store/lifecycle/destroy.hpp"
#include "store/operation/edit.hpp"
#include "store/operation/host_xenstore.hpp"
#include "store/operation/hotplug.hpp"
#include "store/operation/other_primary.hpp"
#include "store/operation/pci_nodes.hpp"
#include "store/operation/pci_owner.hpp"
#include "store/os/host_usb.hpp"
#include "store/os/program.hpp"
#include "store/text/json_text.hpp"
#include "store/xenstore/client.hpp"
#include "store/xenstore/device_nodes.hpp"
#include "store/xenstore/xen_device.hpp"

namespace xlstore::recovery {

namespace {

using Then = XenstoreFinding::Then;
constexpr auto kScriptTime = std::chrono::seconds(40);  // libxl's own
using xenstore::Tree;

class XenstoreCheck {
public:
    XenstoreCheck(Check& check, Store& store, const DomainRow& domain, UndoRecorder* undo,
                  bool qemu_was_seen, bool holds_slow_lock, xenstore::Client& client,
                  Deadline until)
        : check_(check),
          store_(store),
          domain_(domain),
          undo_(undo),
          holds_slow_lock_(holds_slow_lock),
          client_(client),
          deadline_(until - check.asked_for())
    {
        survey_.domid = domain.domid;
        survey_.qemu_was_seen = qemu_was_seen;
        survey_.runs_scripts = runs_scripts(store, domain.id);
        survey_.has_pci_hook = static_cast<bool>(store.host().pci);
        survey_.usb_name = [sysfs = store.host().sysfs](std::int64_t bus, std::int64_t address) {
            return find_usb_port(sysfs, HostUsb{bus, address});
        };
        survey_.usb_at =
            [sysfs = store.host().sysfs](
                const std::string& port) -> std::optional<std::pair<std::int64_t, std::int64_t>> {
            const auto found = find_usb_device(sysfs, port);
            if (!found) return std::nullopt;
            return std::pair{found->bus, found->address};
        };
    }

    Task<Result<void>> run()
    {
        auto well = co_await is_well();
        if (!well) co_return std::move(well).error();
        if (*well) co_return Result<void>();
        auto sure = co_await look_under_lock();
        if (!sure) co_return std::move(sure).error();
        for (auto& finding : *sure)
            co_await judge(std::move(finding));
        co_return Result<void>();
    }

private:
    [[nodiscard]] Deadline until() const { return deadline_ + check_.asked_for(); }
    [[nodiscard]] Subject subject(const XenstoreFinding& finding) const
    {
        const bool named = !finding.name.device_class.empty();
        return Subject{domain_.subject() + ": " + finding.subject,
                       finding.evidence,
                       domain_.domid,
                       {},
                       named ? std::optional(finding.name) : std::nullopt};
    }

    // Is there anything to look at?
    Task<Result<bool>> is_well()
    {
        read_rows();
        auto tree = co_await glance(client_, domain_.domid, has_media(), until());
        if (!tree) co_return std::move(tree).error();
        co_return compare(survey_, *tree).empty();
    }

    // A drive of QEMU's, of which xenstore has a copy, or one that is xenstore's.
    [[nodiscard]] bool has_media() const
    {
        return survey_.traits.has_device_model() ||
               std::ranges::any_of(survey_.things, [](const ThingRow& thing) {
                   return json_get_integer(thing.json, "is_cdrom").value_or(0) != 0;
               });
    }

    Task<Result<std::vector<XenstoreFinding>>> look()
    {
        auto roots = xenstore::device_roots(domain_.domid);
        roots.emplace_back("/libxl/pci");
        auto tree = co_await xenstore::read_tree(client_, roots, until());
        if (!tree) co_return std::move(tree).error();
        const auto more = xenstore::driver_domain_roots(*tree, domain_.domid);
        if (!more.empty()) {
            roots.insert(roots.end(), more.begin(), more.end());
            tree = co_await xenstore::read_tree(client_, roots, until());
            if (!tree) co_return std::move(tree).error();
        }
        tree_ = *std::move(tree);
        read_rows();
        co_return compare(survey_, tree_);
    }

    void read_rows()
    {
        survey_.things = read_things(store_.db(), domain_.id);
        survey_.traits = read_traits(store_.db(), domain_.id);
        survey_.open.clear();
        auto open = store_.db()
                        .prepare("SELECT thing FROM intent WHERE domain = ?")
                        .bind(value_of(domain_.id));
        while (open.step())
            survey_.open.push_back(open.integer(0));
    }

    // Who only looks takes the lock in shared mode, and waits for no process.
    Task<Result<std::vector<XenstoreFinding>>> look_under_lock()
    {
        if (!check_.looking_only()) {
            auto lock = co_await store_.fast_lock(store_.loop(), domain_.id, "recover", until());
            if (!lock) co_return std::move(lock).error();
            co_return co_await look();
        }
        std::optional<ByteLock> shared;
        if (store_.locks().may_lock()) {
            auto lock = store_.locks().try_shared(LockKind::fast, value_of(domain_.id));
            if (!lock || !*lock) {
                check_.report(Code::primary_owned,
                              Subject{domain_.subject() + ": xenstore",
                                      store_.locks().holder(LockKind::fast, value_of(domain_.id)),
                                      domain_.domid,
                                      {}});
                co_return std::vector<XenstoreFinding>();
            }
            shared.emplace(**std::move(lock));
        }
        co_return co_await look();
    }

    Task<void> judge(XenstoreFinding finding)
    {
        const Subject about = subject(finding);
        if (!finding.can_be_fixed) {
            check_.report(finding.code, about);
            co_return;
        }
        if (!check_.ask(finding.code, about)) co_return;
        const Code code = finding.code;
        Result<void> done = co_await run_script_of(finding);
        if (done && (code != Code::device_unconnected)) done = co_await act(std::move(finding));
        if (done)
            check_.fixed(code, about);
        else
            check_.failed(code, about, done.error());
    }

    // Nothing in it: the slow lock is this run's already.
    Result<std::optional<SlowHold>> keep_others_out()
    {
        if (holds_slow_lock_) return std::optional<SlowHold>();
        auto taken = store_.try_slow_lock(domain_.id, "recover");
        if (taken && !*taken)
            return Error(Errc::busy, "another process is at work on the domain",
                         "run xlfsck again");
        return taken;
    }

    // No fast lock is held while a script runs. The slow lock is, as by those who attach and
    // detach, and what a dead one of them started has ended: it runs once at a time.
    Task<Result<void>> run_script_of(const XenstoreFinding& finding)
    {
        if (!finding.script) co_return Result<void>();
        const auto slow = keep_others_out();
        if (!slow) co_return slow.error();
        auto again = co_await look_under_lock();
        if (!again) co_return std::move(again).error();
        if (std::ranges::none_of(*again, [&](const XenstoreFinding& one) {
                return is_same(one, finding) && one.script;
            }))
            co_return changed_meanwhile();
        auto ran = co_await run_script(store_, client_, *finding.script, finding.script_action,
                                       Clock::now() + kScriptTime);
        if (!ran) co_return std::move(ran).error();
        if (finding.script_action == ScriptAction::remove) co_return Result<void>();
        auto status = co_await client_.read(finding.script->back + "/hotplug-status", 0, until());
        if (!status) co_return std::move(status).error();
        if (*status && !(*status)->empty()) co_return Result<void>();
        co_return Error(Errc::refused,
                        finding.script->script + " ended, but left no word that it did its work",
                        "detach it and attach it again");
    }

    static bool is_same(const XenstoreFinding& one, const XenstoreFinding& other)
    {
        return one.code == other.code && one.subject == other.subject && one.can_be_fixed;
    }
    static Error changed_meanwhile()
    {
        return Error(Errc::busy, "another process changed it meanwhile", "run xlfsck again");
    }

    // What a dead client's script writes behind the end of its device would make nodes anew.
    Task<Result<void>> let_its_script_end(const XenstoreFinding& finding)
    {
        if (!survey_.runs_scripts) co_return Result<void>();
        xenstore::DevicePaths paths;
        paths.own = finding.absent;
        for (const auto& change : finding.nodes) {
            if (change.value) continue;
            if (!place_of_script(change.path).empty()) paths.back = change.path;
            if (!xenstore::back_end_by_driver(change.path).empty()) paths.own = change.path;
        }
        co_return co_await let_script_end(store_, std::move(paths), Clock::now());
    }

    Task<Result<void>> act(XenstoreFinding finding)
    {
        if (auto ended = co_await let_its_script_end(finding); !ended) co_return ended;
        // The hypervisor's part of a PCI device is done between two holds of the fast lock.
        auto slow = finding.pci ? keep_others_out() : std::optional<SlowHold>();
        if (!slow) co_return std::move(slow).error();
        auto lock = co_await store_.fast_lock(store_.loop(), domain_.id, "recover", until());
        if (!lock) co_return std::move(lock).error();
        auto again = co_await look();
        if (!again) co_return std::move(again).error();
        const auto same = std::ranges::find_if(
            *again, [&](const XenstoreFinding& one) { return is_same(one, finding); });
        if (same == again->end()) co_return changed_meanwhile();
        finding = *same;
        if (auto kept = co_await keep(*lock, finding); !kept) co_return kept;
        auto changes = finding.nodes;
        auto written = co_await change_and_keep(check_.options(), client_, domain_.domid,
                                                std::move(changes), until());
        if (!written) co_return written;
        if (auto listed = co_await write_pci_list(finding); !listed) co_return listed;
        if (auto proved = co_await prove_absent(finding.absent); !proved) co_return proved;
        co_return co_await write_entry(*lock, std::move(finding));
    }

    // R22 in the store: what goes, node by node.
    Task<Result<void>> keep(const FastLock& lock, const XenstoreFinding& finding)
    {
        std::vector<std::string> copies;
        for (const auto& change : finding.nodes) {
            for (const auto& [path, value] : tree_.nodes) {
                const bool below = path.starts_with(change.path + "/") && !change.value;
                if (path != change.path && !below) continue;
                auto copy = co_await copy_of(path, value);
                if (!copy) co_return std::move(copy).error();
                copies.push_back(*std::move(copy));
            }
        }
        if (copies.empty() || !undo_) co_return Result<void>();
        const std::string operation("recover");
        co_return co_await store_.with_held_fast_lock(
            store_.loop(), lock, operation, until(),
            [&](const FastHold& fast) -> Result<void> {
                for (const auto& copy : copies)
                    undo_->keep_node(fast.domain(), copy);
                return {};
            },
            Room::reserve);
    }

    // "n0,r7"; "": the node has gone meanwhile.
    Task<Result<std::string>> shown_permissions(std::string path)
    {
        auto permissions = co_await client_.permissions(std::move(path), 0, until());
        if (!permissions) co_return std::move(permissions).error();
        co_return *permissions ? xenstore::shown(**permissions) : std::string();
    }

    Task<Result<std::string>> copy_of(std::string path, std::string value)
    {
        auto shown = co_await shown_permissions(path);
        if (!shown) co_return std::move(shown).error();
        std::vector<std::pair<std::string, std::string>> members;
        members.emplace_back("path", json_quote(path));
        members.emplace_back("value", json_quote(value));
        members.emplace_back("permissions", json_quote(*shown));
        co_return json_object(members);
    }

    // What leaves goes in the order of a detach: list, hypervisor, owner.
    Task<Result<void>> write_pci_list(const XenstoreFinding& finding)
    {
        if (!finding.pci) co_return Result<void>();
        NodesFate fate(NodesFate::there);
        std::string json = finding.json;
        const std::string domid = std::to_string(domain_.domid);
        std::vector<std::string> roots{"/local/domain/0/backend/pci/" + domid,
                                       "/local/domain/" + domid + "/device/pci"};
        KeptNodes kept(check_.options(), client_, domain_.domid, std::move(roots));
        const PciListWitness witness = [&kept, this](xenstore::Transaction in,
                                                     bool is_changed) -> Task<Result<void>> {
            return is_changed ? kept.keep(in, until()) : kept.look(in, until());
        };
        if (finding.pci_leaves)
            fate =
                co_await unlist_pci_device(client_, domain_.domid, *finding.pci, until(), witness);
        else
            fate = co_await list_pci_device(client_, domain_, *finding.pci, std::move(json),
                                            until(), witness);
        co_await kept.settle(fate.fate == NodesFate::written   ? KeptNodes::Fate::made
                             : fate.fate == NodesFate::unknown ? KeptNodes::Fate::unknown
                                                               : KeptNodes::Fate::not_made,
                             until());
        const bool is_out = finding.pci_leaves && fate.fate == NodesFate::there;
        if (fate.fate != NodesFate::written && !is_out)
            co_return Error(Errc::busy,
                            fate.why.empty() ? "another process changed it meanwhile" : fate.why,
                            "run xlfsck again");
        if (!finding.pci_leaves) co_return Result<void>();
        auto taken = call_pci_hook(store_, domain_, false, finding.pci->text(), finding.json);
        if (!taken) co_return taken;
        co_return co_await free_pci_device(store_.loop(), *finding.pci, domain_.domid, until());
    }

    // A transaction that a dead client left open and that holds this node fails at its end from now
    // on. What was made for it on the way goes with it, unless another client has used it since.
    Task<Result<void>> prove_absent(std::string node)
    {
        if (node.empty()) co_return Result<void>();
        std::vector<std::string> made{node};
        for (auto at = node.rfind('/'); at > 0; at = node.rfind('/', at - 1)) {
            std::string parent = node.substr(0, at);
            auto there = co_await client_.read(parent, 0, until());
            if (!there) co_return std::move(there).error();
            if (*there) break;
            made.push_back(std::move(parent));
        }
        auto in = co_await client_.read(node, 0, until());
        if (!in) co_return std::move(in).error();
        if (*in) co_return made_meanwhile(node);
        auto done = co_await client_.make(node, 0, until());
        if (!done) co_return done;
        const XenstoreChange take_back = [&made](xenstore::Client& with, xenstore::Transaction of,
                                                 Deadline limit) -> Task<Result<TransactionEnd>> {
            auto removed = co_await remove_empty(with, made, of, limit);
            if (!removed) co_return std::move(removed).error();
            auto left = co_await with.read(made.front(), of, limit);
            if (!left) co_return std::move(left).error();
            if (*left) co_return made_meanwhile(made.front());
            co_return TransactionEnd::commit;
        };
        auto taken = co_await in_xenstore_transaction(client_, take_back, until());
        if (!taken) co_return std::move(taken).error();
        co_return Result<void>();
    }
    static Error made_meanwhile(const std::string& node)
    {
        return Error(Errc::busy, "another process made " + node + " meanwhile", "run xlfsck again");
    }

    Task<Result<void>> write_entry(const FastLock& lock, XenstoreFinding finding)
    {
        if (finding.then == Then::keep) co_return Result<void>();
        const std::string operation("recover");
        co_return co_await store_.with_held_fast_lock(
            store_.loop(), lock, operation, until(),
            [&](const FastHold& fast) -> Result<void> {
                if (auto live = advance_revision(store_, fast, 0); !live)
                    return std::move(live).error();
                Journal journal(store_);
                switch (finding.then) {
                case Then::adopt:
                    return put_thing(store_, fast, finding.name.device_class, finding.json);
                case Then::stale:
                    return journal.write_stale(fast, finding.name, finding.evidence);
                case Then::present:
                    return journal.write_back(fast, finding.name, finding.evidence);
                case Then::keep:
                    break;
                }
                return {};
            },
            Room::reserve);
    }

    Check& check_;
    Store& store_;
    const DomainRow& domain_;
    UndoRecorder* undo_;
    const bool holds_slow_lock_;  // for its QEMU
    xenstore::Client& client_;
    Deadline deadline_;
    XenstoreSurvey survey_;
    Tree tree_;
};

// Things that xenstore has, and domains of which only Xen could tell that they live.
bool needs_xenstore(Store& store, const DomainRow& domain)
{
    if (!domain.registration) return true;
    auto row = store.db()
                   .prepare("SELECT 1 FROM thing WHERE domain = ? AND primary_at = 'xenstore'")
                   .bind(value_of(domain.id));
    return row.step();
}

// As R11, where no process stands for the domain. A xenstored that was started anew knows none:
// no unattended run ends a domain by its word.
Task<void> without_domain(Check& check, Store& store, DomainRow domain)
{
    const Subject about{
        domain.subject(), "xenstored says that it is not introduced", domain.domid, {}};
    if (!check.ask(Code::domain_unknown, about)) co_return;
    auto hold = store.try_slow_lock(domain.id, "recover");
    const bool ours = hold && *hold;
    const auto now = read_domain(store.db(), domain.id);
    if (!ours || !now || now->state != DomainState::running || now->registration) {
        check.failed(Code::domain_unknown, about,
                     Error(Errc::busy, "another process is at work on it", "run xlfsck again"));
        co_return;
    }
    const std::string why("Xen has no such domain");
    auto gone = co_await let_scripts_end(store, *now, Clock::now());
    if (gone) gone = co_await archive_domain(store, *now, why, check.deadline());
    if (gone)
        check.fixed(Code::domain_unknown, about);
    else
        check.failed(Code::domain_unknown, about, gone.error());
}

}  // namespace

void note_xenstore_absent(Check& check, Store& store)
{
    if (has_host_xenstore()) return;
    auto row = store.db().prepare(
        "SELECT count(*), count(DISTINCT t.domain) FROM thing t JOIN domain d ON d.id = t.domain "
        "WHERE d.state = 'running' AND t.primary_at = 'xenstore'");
    if (!row.step() || row.integer(0) == 0) return;
    check.report(Code::xenstore_absent,
                 Subject{xenstore::socket_path(), std::to_string(row.integer(0)) + " entries of " +
                                                      std::to_string(row.integer(1)) +
                                                      " domains were not looked for"});
}

Task<void> pass5_xenstore(Check& check, Store& store, DomainRow domain, UndoRecorder* undo,
                          Reached* reached, bool qemu_was_seen)
{
    if (!has_host_xenstore()) co_return;
    const Deadline until = check.deadline();
    Subject about{domain.subject(), {}, domain.domid, {}};
    auto client = co_await xenstore::Client::connect(store.loop(), xenstore::socket_path(), until);
    Result<bool> known = client ? Result<bool>(false) : Result<bool>(client.error());
    if (client)
        known =
            co_await client->is_domain_introduced(static_cast<std::uint32_t>(domain.domid), until);
    if (known && !*known && !domain.registration) {
        co_await without_domain(check, store, std::move(domain));
        co_return;
    }
    Result<void> looked = known ? Result<void>() : Result<void>(known.error());
    if (known && !*known) {
        auto there = co_await client->read("/libxl/" + std::to_string(domain.domid), 0, until);
        if (there && !*there) {
            about.evidence = "xenstored does not know the domain, and there is nothing of it";
            if (needs_xenstore(store, domain)) check.report(Code::xenstore_absent, about);
            co_return;
        }
        if (!there) looked = there.error();
    }
    if (looked) {
        const bool holds_slow_lock = reached && reached->engine();
        XenstoreCheck domain_check(check, store, domain, undo, qemu_was_seen, holds_slow_lock,
                                   *client, until);
        looked = co_await domain_check.run();
    }
    if (looked || !needs_xenstore(store, domain)) co_return;
    about.evidence = looked.error().message;
    check.report(Code::xenstore_unseen, about);
}

}  // namespace xlstore::recovery
