// SPDX-License-Identifier: MIT
// Pass 5: what is in QEMU.
//
// Checks     that QEMU can be looked into                                    (5001-5002);
//            that all it has it was born with, or an entry or open intent has (5003-5004);
//            that it has what entries call present, and only that             (5005-5007);
//            that each CD drive holds what its entry names                    (5008-5010).
// Relies on  pass 4: intents that can be settled are; the slow lock has been held since before
// that. Leaves     nothing in QEMU without an entry, but for what was answered no, and for 5009.
//
// What is no finding, because it belongs to somebody who is looked at: what QEMU was born with (the
// row's baseline); block nodes with a name that QEMU gave ("#block…"), and those that a known node
// or drive stands on; descriptor sets, which are a means, and which QEMU itself drops; everything
// below /machine/unattached, which QEMU made for a device of its own.
#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "recovery/passes.hpp"
#include "recovery/proposal.hpp"
#include "store/class_rebuild.hpp"
#include "store/inventory.hpp"
#include "store/json_text.hpp"

namespace xlstore::recovery {

namespace {

// What the store says of one domain's QEMU.
struct Book {
    struct Line {
        ThingRow entry;
        std::vector<Product> products;  // what it is made of in QEMU
        bool open = false;              // an intent is open: either image may be there
    };
    std::vector<Line> lines;
    std::set<std::pair<std::string, std::string>> known;  // kind and name

    void know(const std::vector<Product>& products)
    {
        for (const auto& product : products)
            known.emplace(product.kind, product.name);
    }
    [[nodiscard]] bool knows(std::string_view kind, const std::string& name) const
    {
        return known.contains({std::string(kind), name});
    }
};

Book read_book(Store& store, DomainId domain)
{
    Book book;
    for (auto& entry : read_things(store.db(), domain)) {
        if (entry.primary != "qemu") continue;
        Book::Line line;
        // A name that another entry claims is that one's alone: a stale entry may
        // remember it.
        line.products = made_of(store.db(), domain, entry).products;
        line.open = open_intent_of(store.db(), domain, entry.name).has_value();
        line.entry = std::move(entry);
        book.know(line.products);
        book.lines.push_back(std::move(line));
    }
    for (const auto id : open_intents(store.db(), domain))
        if (const auto intent = read_intent(store.db(), id))
            book.know(intent->draft.plan.probe.products);
    return book;
}

// One domain, looked into.
class Primary {
public:
    Primary(Check& check, Store& store, const DomainRow& domain, Reached& reached)
        : check_(check), store_(store), domain_(domain), reached_(reached)
    {}

    Task<Result<void>> run()
    {
        auto born = inventory_from_json(read_baseline(store_.db(), domain_.id));
        if (!born) co_return std::move(born).error();
        born_ = *std::move(born);
        book_ = read_book(store_, domain_.id);
        auto there = co_await take_inventory(reached_.monitor(), reached_.deadline());
        if (!there) co_return std::move(there).error();
        there_ = *std::move(there);
        auto drives = co_await look_at_drives(reached_.monitor(), true, reached_.deadline());
        if (!drives) co_return std::move(drives).error();
        drives_ = *std::move(drives);

        const std::function<bool(const ThingName&)> taken = [this](const ThingName& name) {
            return is_taken(name);
        };
        auto proposals =
            co_await propose(reached_.monitor(), strangers(), taken, reached_.deadline());
        if (!proposals) co_return std::move(proposals).error();
        for (auto& proposal : *proposals)
            co_await take_in(std::move(proposal));
        for (auto& line : book_.lines)
            co_await compare(line);
        for (auto& drive : drives_.drives)
            co_await compare_drive(drive);
        co_return Result<void>();
    }

private:
    [[nodiscard]] Subject subject(const std::string& what, std::string evidence) const
    {
        return Subject{domain_.subject() + ": " + what, std::move(evidence), domain_.domid, {}};
    }

    [[nodiscard]] bool is_taken(const ThingName& name) const
    {
        return read_thing(store_.db(), domain_.id, name).has_value();
    }

    [[nodiscard]] std::vector<Product> strangers() const
    {
        std::vector<Product> found;
        for (const auto& [kind, names] : there_.names)
            for (const auto& name : names)
                if (!born_.has(kind, name) && !book_.knows(kind, name) && !name.starts_with('#'))
                    found.push_back(with_undo(Product{kind, name, std::nullopt}));
        return found;
    }

    // Something that no entry has: an entry for it, or out with it.
    Task<void> take_in(Proposal proposal)
    {
        const Subject about = subject(
            proposal.seen, "the entry would be " + proposal.name.text() + " " + proposal.json);
        const bool evict = check_.options().evict;
        const Code code = evict ? Code::thing_unwanted : Code::thing_unknown;
        if (!check_.ask(code, about)) co_return;
        auto adopted = co_await reached_.engine()->journal().adopt(
            reached_.engine()->hold(), proposal.name, proposal.json, proposal.products,
            "QEMU has " + proposal.seen, reached_.deadline());
        if (adopted && evict) {
            // By its entry from here on: it is looked for once more, and whatever happens on the
            // way, the entry or the intent has it.
            adopted = co_await take_out(proposal.name);
        }
        say(code, about, adopted);
    }

    Task<Result<void>> take_out(ThingName name)
    {
        Engine& engine = *reached_.engine();
        const auto entry = read_thing(store_.db(), domain_.id, name);
        if (!entry) co_return Error(Errc::lost, name.text() + " was removed meanwhile");
        auto draft = drive_of(*entry)
                         ? draft_eject(*entry)
                         : draft_detach(*entry, made_of(store_.db(), domain_.id, *entry));
        if (!draft) co_return std::move(draft).error();
        auto done = co_await engine.operate(*std::move(draft), reached_.deadline());
        if (!done) co_return std::move(done).error();
        co_return Result<void>();
    }

    void say(Code code, const Subject& about, const Result<void>& done)
    {
        if (done) {
            check_.fixed(code, about);
        } else if (done.error().code == Errc::in_doubt && done.error().intent) {
            Subject waits = about;
            waits.evidence = done.error().message;
            waits.intent = done.error().intent;
            check_.report(Code::intent_waits, waits);
        } else {
            check_.failed(code, about, done.error());
        }
    }

    Task<void> make_stale(Code code, ThingName name, Subject about)
    {
        if (!check_.ask(code, about)) co_return;
        const auto done = co_await reached_.engine()->journal().make_stale(
            reached_.engine()->hold(), name, about.evidence, reached_.deadline());
        say(code, about, done);
    }

    Task<void> make_present(Code code, ThingName name, std::string json,
                            std::vector<Product> products, Subject about)
    {
        if (!check_.ask(code, about)) co_return;
        const auto done = co_await reached_.engine()->journal().adopt(
            reached_.engine()->hold(), name, json, std::move(products), about.evidence,
            reached_.deadline());
        say(code, about, done);
    }

    // An entry against the lists.
    Task<void> compare(const Book::Line& line)
    {
        std::string has;
        std::string has_not;
        for (const auto& product : line.products) {
            if (is_fdset(product)) continue;
            std::string& list = there_.has(product.kind, product.name) ? has : has_not;
            list += (list.empty() ? "" : ", ") + product.kind + " " + json_shown(product.name);
        }
        if (line.open || (has.empty() && has_not.empty())) co_return;
        const auto& name = line.entry.name;
        if (!has.empty() && !has_not.empty()) {
            check_.report(Code::thing_partial,
                          subject(name.text(), "QEMU has " + has + ", but no " + has_not +
                                                   "; detaching it takes out the rest"));
        } else if (line.entry.state == "present" && has.empty()) {
            co_await make_stale(Code::thing_absent, name,
                                subject(name.text(), "QEMU has no " + has_not));
        } else if (line.entry.state == "stale" && has_not.empty()) {
            co_await make_present(Code::thing_back, name, line.entry.json, line.products,
                                  subject(name.text(), "QEMU has " + has));
        }
    }

    // Was this in the drive when QEMU was born, and has nobody changed it through the store since?
    [[nodiscard]] bool born_with(const Drives::Drive& drive, const ThingName& name) const
    {
        const auto same = [&](const Drives::Drive& d) {
            return d.id == drive.id && d.file == drive.file;
        };
        if (std::none_of(born_.drives.begin(), born_.drives.end(), same)) return false;
        auto changed = store_.db()
                           .prepare(
                               "SELECT 1 FROM history WHERE domain = ? AND class = ? AND key = ? "
                               "AND operation IN ('change', 'adopt')")
                           .bind(value_of(domain_.id))
                           .bind(name.device_class)
                           .bind(name.key);
        return !changed.step();
    }

    Task<void> compare_drive(const Drives::Drive& drive)
    {
        const auto line =
            std::find_if(book_.lines.begin(), book_.lines.end(),
                         [&](const Book::Line& l) { return drive_of(l.entry) == drive.id; });
        if (line == book_.lines.end()) {
            co_await compare_unnamed_drive(drive);
            co_return;
        }
        if (line->open) co_return;
        const ThingName& name = line->entry.name;
        const std::string holds = "drive " + json_shown(drive.id) + " holds ";
        const auto named = medium_of(line->entry.json);
        if (!drive.file) {
            if (named && line->entry.state == "present")
                co_await make_stale(
                    Code::medium_gone, name,
                    subject(name.text(), "drive " + json_shown(drive.id) + " is empty, not " +
                                             json_shown(*named)));
            co_return;
        }
        if (named && drives_.is_medium(*drive.file, *named)) {
            if (line->entry.state == "stale")
                co_await make_present(Code::thing_back, name, line->entry.json, {},
                                      subject(name.text(), holds + json_shown(*named)));
            co_return;
        }
        if (born_with(drive, name)) co_return;
        const auto medium = split_medium(drives_.medium_in(drive));
        const std::string evidence =
            holds + drives_.shown(*drive.file) + (named ? ", not " + json_shown(*named) : "");
        if (!medium) {
            check_.report(Code::medium_unknown, subject(name.text(), evidence));
            co_return;
        }
        const auto json = with_medium(line->entry.json, medium->path, medium->format);
        if (!check_.options().evict) {
            co_await make_present(Code::medium_other, name, json, {},
                                  subject(name.text(), evidence));
            co_return;
        }
        Proposal unwanted{name, json, {}, name.text() + ": " + evidence};
        co_await take_in(std::move(unwanted));
    }

    // A drive that no entry has: born with what is in it, part of a device that is looked at on its
    // own, or of libxl's own kind.
    Task<void> compare_unnamed_drive(const Drives::Drive& drive)
    {
        if (!drive.file) co_return;
        const std::string device = drive.id.substr(0, drive.id.find('/'));
        if (there_.has("device", device) && !born_.has("device", device)) co_return;
        if (drive.id.starts_with('/')) co_return;  // behind a device without id: as before
        auto rebuilt = rebuild_drive(drive.id, drives_.medium_in(drive));
        if (born_with(drive, rebuilt ? rebuilt->name : ThingName{})) co_return;
        const std::string seen =
            "drive " + json_shown(drive.id) + " with " + drives_.shown(*drive.file);
        if (!rebuilt || is_taken(rebuilt->name)) {
            check_.report(Code::medium_unknown, subject(seen, "no entry of class disks has it"));
            co_return;
        }
        Proposal proposal{rebuilt->name, rebuilt->json, {}, seen};
        co_await take_in(std::move(proposal));
    }

    Check& check_;
    Store& store_;
    const DomainRow& domain_;
    Reached& reached_;
    Inventory born_;
    Inventory there_;
    Drives drives_;
    Book book_;
};

}  // namespace

Task<void> pass5_primaries(Check& check, Store& store, DomainRow domain, Reached& reached)
{
    Subject about{domain.subject(), reached.why(), domain.domid, {}};
    if (!reached) {
        // With an intent of its own to speak of, pass 4 has said it.
        if (open_intents(store.db(), domain.id).empty())
            check.report(reached.owned() ? Code::primary_owned : Code::primary_unseen, about);
        co_return;
    }
    if (reached.rest_is_left()) co_return;
    Primary primary(check, store, domain, reached);
    auto looked = co_await primary.run();
    if (looked) co_return;
    about.evidence = looked.error().message;
    check.report(Code::primary_unseen, about);
}

}  // namespace xlstore::recovery
