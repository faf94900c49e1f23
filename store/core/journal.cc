// SPDX-License-Identifier: MIT
// Every commit of a slow hold goes through commit(): fast lock, writer lock, one transaction. In it
//
//   1. advance() compares the epoch with the one that the hold last saw, and adds one (R15). The
//      same statement requires that the domain is not being destroyed (R8). No row changed: lost()
//      says why.
//   2. the section writes: an entry with its intent, an outcome, a note.
//   3. After the commit, and only then, the hold remembers the new epoch.
//
// Opening an intent takes the disk's ordinary room. Settling, noting, adopting and marking stale
// may take the reserve (R21), since each of them ends or explains what is under way. An intent goes
// only in the transaction that writes the line of history which closes it.
#include "store/core/journal.hpp"

#include "store/base/clock.hpp"
#include "store/base/limits.hpp"
#include "store/classes/class_plan.hpp"
#include "store/classes/libxl_defaults.hpp"
#include "store/core/closed_document.hpp"
#include "store/core/entry_rows.hpp"
#include "store/core/initial_devices.hpp"
#include "store/core/intent_rows.hpp"
#include "store/core/product.hpp"
#include "store/model/device_class.hpp"
#include "store/testing/mutation.hpp"
#include "store/testing/trace.hpp"
#include "store/text/json_text.hpp"
#include "store/text/plain_text.hpp"
#include "store/text/raw_bytes.hpp"

namespace xlstore {

namespace {

std::string_view state_during(Verb verb)
{
    switch (verb) {
    case Verb::add:
        return "adding";
    case Verb::remove:
        return "removing";
    case Verb::change:
        break;
    }
    return "changing";
}

std::optional<std::int64_t> thing_of(Db& db, IntentId id)
{
    auto row = db.prepare("SELECT thing FROM intent WHERE id = ?").bind(value_of(id));
    return row.step() ? std::optional(row.integer(0)) : std::nullopt;
}

// What a drive holds is from now on what its entry says, or was put there by an intent: no longer
// what its QEMU was started with.
void follow_medium(Db& db, DomainId domain, const ThingName& thing, const std::string& json)
{
    ThingRow entry;
    entry.name = thing;
    entry.json = json;
    if (const auto drive = drive_of(entry)) forget_initial_medium(db, domain, *drive);
}

// The JSON of that image; nothing: the thing is absent then.
const std::optional<std::string>& shown_by(const Draft& draft, Image image)
{
    return image == Image::after    ? draft.image_after
           : image == Image::before ? draft.image_before
                                    : draft.image_neither;
}

}  // namespace

// R15: compare and advance. R8: the state is read in the same transaction, so that either of a
// destruction and this commit comes first, the other sees it. That the document is open is a
// condition of the same statement: to ask for it costs one more.
bool Journal::advanced(const FastHold& fast, const SlowHold& hold, Document document)
{
    Db& db = store_.db();
    db.prepare(
          "UPDATE domain SET epoch = epoch + 1, revision = revision + 1, changed_us = ?1 "
          "WHERE id = ?2 AND (epoch = ?3 OR ?4) AND (state IN ('creating', 'running') OR ?5) "
          "AND (?6 OR closed_us IS NULL OR state <> 'running')")
        .bind(now_us())
        .bind(value_of(fast.domain()))
        .bind(hold.epoch())
        .bind(std::int64_t{XLSTORE_MUTATION("epoch check")})
        .bind(std::int64_t{XLSTORE_MUTATION("state at commit")})
        .bind(std::int64_t{document == Document::any || XLSTORE_MUTATION("closed document")})
        .run();
    return db.changes() == 1;
}

Result<void> Journal::advance(const FastHold& fast, const SlowHold& hold, Document document)
{
    if (advanced(fast, hold, document)) return {};
    // Which of the two: what this does is rolled back with the rest.
    if (document == Document::open && advanced(fast, hold, Document::any))
        if (auto open = check_open(store_.db(), fast.domain()); !open) return open;
    XLSTORE_TRACE("refused", value_of(fast.domain()));
    return lost(hold);
}

Result<void> Journal::still_held(const SlowHold& hold) const
{
    if (auto here = store_.check(); !here) return here;
    auto row = store_.db()
                   .prepare(
                       "SELECT 1 FROM domain WHERE id = ? AND epoch = ? AND state IN ('creating', "
                       "'running')")
                   .bind(value_of(hold.domain()))
                   .bind(hold.epoch());
    if (row.step() || XLSTORE_MUTATION("epoch check")) return {};
    return lost(hold);
}

// Why a hold may not go on.
Error Journal::lost(const SlowHold& hold) const
{
    const auto row = read_domain(store_.db(), hold.domain());
    if (!row) return Error(Errc::gone, "the domain is no longer in the store");
    if (row->state == DomainState::destroying || row->state == DomainState::destroyed)
        return Error(Errc::gone,
                     row->subject() + " is " + std::string(state_name(row->state)) + " (R8)");
    return Error(Errc::lost,
                 row->subject() +
                     ": the slow lock was lost to another process, which has changed the domain "
                     "since",
                 "nothing more was done; run 'xlstore recover' and look at 'xlstore history'");
}

Task<Result<void>> Journal::commit_if(Document document, SlowHold& hold, std::string operation,
                                      Deadline until,
                                      std::function<Result<void>(const FastHold&)> section,
                                      Room room)
{
    auto done = co_await store_.with_fast_lock(
        hold.domain(), operation, until,
        [&](const FastHold& fast) -> Result<void> {
            if (auto ok = advance(fast, hold, document); !ok) return ok;
            if (auto ok = section(fast); !ok) return ok;
            XLSTORE_TRACE("commit", value_of(fast.domain()),
                          "epoch=" + std::to_string(hold.epoch() + 1) + " " + operation);
            return {};
        },
        room);
    if (done) ++hold.epoch_;
    co_return done;
}

// R1: what is evicted has an entry from the same moment on as the intent that takes it out.
Result<void> Journal::take_in(const FastHold& fast, Draft& draft)
{
    const auto existing = read_thing(store_.db(), fast.domain(), draft.thing);
    draft.replaced_state = existing ? existing->state : "adding";
    return write_present(fast, draft.thing, *draft.image_before, draft.taken_in->products,
                         draft.taken_in->evidence);
}

// The entry says what is about to happen, and the products of the intent are claimed. Its row.
Result<std::int64_t> Journal::write_entry(const FastHold& fast, Draft& draft)
{
    Db& db = store_.db();
    const auto domain = fast.domain();
    const auto& products = draft.plan.probe.products;
    if (draft.thing.key.empty()) draft.thing.key = new_key(db, domain);
    if (draft.taken_in)
        if (auto taken = take_in(fast, draft); !taken) return std::move(taken).error();
    if (draft.verb != Verb::add) {
        const auto thing = entry_row_id(db, domain, draft.thing);
        if (!thing)
            return Error(Errc::not_found, "there is no " + draft.thing.text() + " any more");
        update_entry_row(db, *thing, state_during(draft.verb),
                         draft.image_after ? *draft.image_after : *draft.image_before);
        auto claimed = claim_products(db, domain, *thing, draft.thing, products);
        if (!claimed) return std::move(claimed).error();
        return *thing;
    }
    const auto existing = read_thing(db, domain, draft.thing);
    const auto thing =
        existing ? existing->id
                 : insert_entry_row(db, domain, draft.thing, "adding", *draft.image_after);
    if (existing) {
        // R16: the probe under this hold said that QEMU has nothing of it. What it is and what it
        // is made of comes back, exactly, should the add fail.
        draft.image_stale = existing->json;
        draft.replaced_state = existing->state;
        auto claimed = claim_second_image(db, domain, thing, draft.thing, products);
        if (!claimed) return std::move(claimed).error();
        db.prepare("UPDATE thing SET state = 'stale' WHERE id = ? AND state <> 'stale'")
            .bind(thing)
            .run();
        update_entry_row(db, thing, "adding", *draft.image_after);
    } else {
        auto claimed = claim_products(db, domain, thing, draft.thing, products);
        if (!claimed) return std::move(claimed).error();
    }
    follow_vcpu(db, domain, draft.thing, true);
    return thing;
}

Result<Intent> Journal::open_one(const FastHold& fast, const SlowHold& hold, Draft draft,
                                 const std::string& monitor_path, bool in_batch)
{
    Db& db = store_.db();
    const auto domain = value_of(fast.domain());
    auto thing = write_entry(fast, draft);
    if (!thing) return std::move(thing).error();
    // Nothing: it keeps its place in the order of making.
    std::optional<std::int64_t> made;
    // The epoch moves with every commit: no two batches of a domain have the same.
    const auto batch = in_batch ? std::optional(hold.epoch()) : std::nullopt;
    const auto now = now_us();
    if (draft.verb == Verb::add && draft.replaced_state && !draft.put_back)
        made = next_made(db, fast.domain());
    db.prepare(
          "INSERT INTO intent (domain, thing, owner, operation, image_before, image_after, "
          "image_neither, image_stale, replaced_state, plan, probe, monitor_path, epoch, "
          "opened_us, batch, made) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
        .bind(domain)
        .bind(*thing)
        .bind(store_.session())
        .lend(verb_name(draft.verb))
        .lend(draft.image_before)
        .lend(draft.image_after)
        .lend(draft.image_neither)
        .lend(draft.image_stale)
        .lend(draft.replaced_state)
        .lend(steps_to_json(draft.plan.steps))
        .lend(probe_to_json(draft.plan.probe))
        .lend(monitor_path)
        .bind(hold.epoch())
        .bind(now)
        .bind(batch)
        .bind(made)
        .run();
    const auto id = db.last_insert_id();
    XLSTORE_TRACE("intent", domain,
                  "intent=" + std::to_string(id) + " verb=" + std::string(verb_name(draft.verb)) +
                      " thing=" + draft.thing.text());
    return Intent{IntentId(id), fast.domain(),
                  *thing,       std::move(draft),
                  monitor_path, store_.session(),
                  now,          {},
                  {},           batch};
}

Task<Result<std::vector<Intent>>> Journal::open(SlowHold& hold, std::vector<Draft> drafts,
                                                std::string monitor_path, Deadline until,
                                                Ending ending)
{
    std::vector<Intent> intents;
    auto done = co_await commit_if(
        Document::open, hold, "open intent", until,
        [&](const FastHold& fast) -> Result<void> {
            const bool in_batch = drafts.size() > 1 && ending == Ending::as_one;
            for (auto& draft : drafts) {
                auto intent = open_one(fast, hold, std::move(draft), monitor_path, in_batch);
                if (!intent) return std::move(intent).error();
                intents.push_back(*std::move(intent));
            }
            return {};
        },
        Room::ordinary);
    if (!done) co_return std::move(done).error();
    for (const auto& intent : intents)
        store_.log(LogLevel::debug, [&] {
            return "opened intent=" + std::to_string(value_of(intent.id)) +
                   " operation=" + std::string(verb_name(intent.draft.verb)) +
                   " thing=" + json_shown(intent.draft.thing.text());
        });
    co_return std::move(intents);
}

// The entry as the image that was seen makes it. The intent is closed already.
void Journal::write_outcome(DomainId domain, const Intent& intent, Image image)
{
    Db& db = store_.db();
    const Draft& draft = intent.draft;
    const bool added = draft.verb == Verb::add && image == Image::after;
    keep_products_of_one(db, intent.thing, added);
    if (draft.verb == Verb::add && !added && draft.image_stale) {
        // R16: what the add was to replace is there again, in each respect.
        update_entry_row(db, intent.thing, draft.replaced_state.value_or("stale"),
                         *draft.image_stale);
    } else if ((draft.verb == Verb::add && !added) ||
               (draft.verb == Verb::remove &&
                (image == Image::after || XLSTORE_MUTATION("seen absent")))) {
        // R5: seen absent under a slow hold that has not been broken since (the epoch says so).
        db.prepare("DELETE FROM thing WHERE id = ?").bind(intent.thing).run();
        follow_vcpu(db, domain, draft.thing, false);
    } else if (draft.image_stale && image == Image::neither) {
        // What the change was to put back was stale before, and is again.
        update_entry_row(db, intent.thing, "stale", *draft.image_stale);
    } else {
        update_entry_row(db, intent.thing, "present", *shown_by(draft, image));
    }
}

Result<void> Journal::settle_one(const FastHold& fast, Intent intent, Image image,
                                 const std::string& evidence)
{
    Db& db = store_.db();
    const IntentId id = intent.id;
    Draft& draft = intent.draft;
    if (image == Image::neither && !draft.image_neither)
        return Error(Errc::invalid, draft.thing.text() + " has no image 'neither' to settle with",
                     "only a drive can hold neither of two images");
    XLSTORE_TRACE(
        "settled", value_of(fast.domain()),
        "intent=" + std::to_string(value_of(id)) + " image=" + std::string(image_name(image)));
    if (draft.verb == Verb::add && image == Image::after) {
        write_made(db, intent);
        if (!intent.address.empty() && draft.image_after && !draft.put_back)
            draft.image_after =
                with_place_of(draft.thing.device_class, *draft.image_after, intent.address);
    }
    const auto& shown = shown_by(draft, image);
    HistoryLine line{fast.domain(),
                     std::string(verb_name(draft.verb)),
                     draft.thing,
                     id,
                     image == Image::after ? "done" : "not done",
                     image,
                     evidence};
    line.author = intent.owner;
    if (draft.image_before) line.medium_before = medium_in(draft.thing, *draft.image_before);
    if (const auto& drive = draft.plan.probe.drive; drive && drive->seen_medium)
        line.medium_before =  // QEMU's, should they differ
            path_of_medium(drive->seen_medium->substr(drive->seen_medium->find(':') + 1));
    if (shown) line.medium_after = medium_in(draft.thing, *shown);
    line.asked = command_names(draft.plan);
    add_history(line);  // first: an intent goes only with the line that closes it
    db.prepare("DELETE FROM intent WHERE id = ?").bind(value_of(id)).run();
    if (db.changes() != 1)
        if (const auto open = read_intent_subject(db, id); !open) return open.error();
    write_outcome(fast.domain(), intent, image);
    if (draft.verb == Verb::change && image != Image::before)
        follow_medium(db, fast.domain(), draft.thing, *draft.image_after);
    return {};
}

Task<Result<void>> Journal::settle(SlowHold& hold, std::vector<IntentId> intents, Image image,
                                   std::string evidence, Deadline until)
{
    auto done = co_await commit(
        hold, "settle intent", until,
        [&](const FastHold& fast) -> Result<void> {
            for (const auto id : intents) {
                const auto intent = read_intent(store_.db(), id);
                if (!intent) return intent.error();
                if (auto ok = settle_one(fast, *intent, image, evidence); !ok) return ok;
            }
            return {};
        },
        Room::reserve);
    if (done) log_settled(intents, image);
    co_return done;
}

Task<Result<void>> Journal::settle(SlowHold& hold, std::vector<Intent> intents, Image image,
                                   std::string evidence, Deadline until)
{
    const auto ids = ids_of(intents);
    auto done = co_await commit(
        hold, "settle intent", until,
        [&](const FastHold& fast) -> Result<void> {
            for (auto& intent : intents)
                if (auto ok = settle_one(fast, std::move(intent), image, evidence); !ok) return ok;
            return {};
        },
        Room::reserve);
    if (done) log_settled(ids, image);
    co_return done;
}

void Journal::log_settled(const std::vector<IntentId>& intents, Image image)
{
    for (const auto id : intents)
        store_.log(LogLevel::info, [&] {
            return "settled intent=" + std::to_string(value_of(id)) +
                   " image=" + std::string(image_name(image));
        });
}

namespace {

Error has_open_intent(const ThingName& name)
{
    return Error(Errc::refused, name.text() + " has an open intent, which comes first",
                 "nothing was changed");
}

}  // namespace

Result<void> Journal::write_present(const FastHold& fast, const ThingName& name,
                                    const std::string& json, const std::vector<Product>& products,
                                    const std::string& evidence)
{
    Db& db = store_.db();
    if (open_intent_of(db, fast.domain(), name)) return has_open_intent(name);
    HistoryLine line{fast.domain(), "adopt", name, {}, "done", {}, evidence};
    line.medium_after = medium_in(name, json);
    const auto existing = read_thing(db, fast.domain(), name);
    if (existing) {
        line.medium_before = medium_in(name, existing->json);
        update_entry_row(db, existing->id, "present", json);
        // Who put it there is not known, and so is not where: it is asked when it is needed.
        db.prepare("UPDATE thing SET address = NULL, primary_at = 'qemu' WHERE id = ?")
            .bind(existing->id)
            .run();
    }
    const auto thing =
        existing ? existing->id : insert_entry_row(db, fast.domain(), name, "present", json);
    follow_vcpu(db, fast.domain(), name, true);
    follow_medium(db, fast.domain(), name, json);
    auto written = replace_products(db, fast.domain(), thing, name, products);
    if (written && !evidence.empty()) add_history(line);
    return written;
}

Task<Result<void>> Journal::adopt(SlowHold& hold, ThingName name, std::string json,
                                  std::vector<Product> products, std::string evidence,
                                  Deadline until)
{
    co_return co_await commit(
        hold, "adopt", until,
        [&](const FastHold& fast) -> Result<void> {
            return write_present(fast, name, json, products, evidence);
        },
        Room::reserve);
}

Result<void> Journal::write_stale(const FastHold& fast, const ThingName& name,
                                  const std::string& evidence)
{
    Db& db = store_.db();
    if (open_intent_of(db, fast.domain(), name)) return has_open_intent(name);
    const auto existing = read_thing(db, fast.domain(), name);
    if (!existing) return {};
    update_entry_row(db, existing->id, "stale", existing->json);
    HistoryLine line{fast.domain(), "make stale", name, {}, "done", {}, evidence};
    line.medium_before = medium_in(name, existing->json);
    if (line.medium_before) line.medium_after = "";
    if (!evidence.empty()) add_history(line);
    return {};
}

void Journal::write_claimed(const FastHold& fast, const ThingName& name, const std::string& json)
{
    if (read_thing(store_.db(), fast.domain(), name)) return;
    insert_entry_row(store_.db(), fast.domain(), name, "stale", json);
    add_history(HistoryLine{fast.domain(), "claim", name, {}, "done", {},
                            "an external document has it; it is not looked for yet"});
}

Result<void> Journal::write_back(const FastHold& fast, const ThingName& name,
                                 const std::string& evidence)
{
    Db& db = store_.db();
    if (open_intent_of(db, fast.domain(), name)) return has_open_intent(name);
    const auto existing = read_thing(db, fast.domain(), name);
    if (!existing || (existing->state != "stale" && existing->state != "removing")) return {};
    update_entry_row(db, existing->id, "present", existing->json);
    HistoryLine line{fast.domain(), "adopt", name, {}, "done", {}, evidence};
    line.medium_after = medium_in(name, existing->json);
    add_history(line);
    return {};
}

Task<Result<void>> Journal::make_stale(SlowHold& hold, ThingName name, std::string evidence,
                                       Deadline until)
{
    co_return co_await commit(
        hold, "make stale", until,
        [&](const FastHold& fast) -> Result<void> { return write_stale(fast, name, evidence); },
        Room::reserve);
}

Task<Result<void>> Journal::note(SlowHold& hold, std::vector<IntentId> intents, std::string text,
                                 std::optional<std::vector<Product>> asked, Deadline until)
{
    co_return co_await commit(
        hold, "note intent", until,
        [&](const FastHold& fast) -> Result<void> {
            const bool any = asked && !asked->empty();
            for (const auto id : intents) {
                XLSTORE_TRACE("noted", value_of(fast.domain()),
                              "intent=" + std::to_string(value_of(id)) +
                                  " asked=" + std::to_string(int{any}));
                store_.db()
                    .prepare(
                        "UPDATE intent SET note = ?1, asked_us = CASE WHEN ?2 THEN "
                        "coalesce(asked_us, ?3) ELSE asked_us END WHERE id = ?4")
                    .bind(plain_text(text, limits::evidence_bytes_max))
                    .bind(std::int64_t{any})
                    .bind(now_us())
                    .bind(value_of(id))
                    .run();
                if (asked)
                    if (const auto thing = thing_of(store_.db(), id))
                        write_asked(store_.db(), *thing, *asked);
            }
            return {};
        },
        Room::reserve);
}

}  // namespace xlstore
