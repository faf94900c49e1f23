// SPDX-License-Identifier: MIT
// An intent may have been written by another release, or by a hand: each text of its row is checked
// as if it came from outside before anything is made of it.
#include "store/core/intent_rows.hpp"

#include "store/core/product.hpp"
#include "store/model/row_names.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

// In the order of the columns that read_intent() asks for.
namespace intent_column {
enum : int {
    domain,
    thing,
    operation,
    device_class,
    key,
    image_before,
    image_after,
    image_neither,
    plan,
    probe,
    monitor_path,
    owner,
    opened_us,
    asked_us,
    note,
    image_stale,
    batch,
    replaced_state,
    older_state,
    put_back,
};
}  // namespace intent_column

Error no_intent(IntentId id)
{
    return Error(Errc::not_found, "there is no open intent " + std::to_string(value_of(id)),
                 "'xlstore intents' lists the open ones, 'xlstore history' the closed ones");
}

std::vector<IntentId> numbers_from(Statement rows)
{
    std::vector<IntentId> ids;
    while (rows.step())
        ids.push_back(IntentId(rows.integer(0)));
    return ids;
}

}  // namespace

Result<IntentSubject> read_intent_subject(Db& db, IntentId id)
{
    auto row = db.prepare(
                     "SELECT i.domain, t.class, t.key, i.batch IS NOT NULL "
                     "FROM intent i JOIN thing t ON t.id = i.thing WHERE i.id = ?")
                   .bind(value_of(id));
    if (!row.step()) return no_intent(id);
    return IntentSubject{DomainId(row.integer(0)), ThingName{row.text(1), row.text(2)},
                         row.integer(3) != 0};
}

Result<Intent> read_intent(Db& db, IntentId id)
{
    auto row = db.prepare(
                     "SELECT i.domain, i.thing, i.operation, t.class, t.key, i.image_before, "
                     "i.image_after, "
                     "i.image_neither, i.plan, i.probe, i.monitor_path, i.owner, i.opened_us, "
                     "i.asked_us, i.note, i.image_stale, i.batch, i.replaced_state, "
                     "i.older_state, i.made IS NULL AND i.replaced_state IS NOT NULL "
                     "FROM intent i JOIN thing t ON t.id = i.thing WHERE i.id = ?")
                   .bind(value_of(id));
    if (!row.step()) return no_intent(id);
    const auto damaged = [&](const std::string& what) {
        return Error(
            Errc::store, "intent " + std::to_string(value_of(id)) + " cannot be read back: " + what,
            "the version of xlstore that wrote it may be able to; else the intent ends with "
            "its domain: 'xlstore destroy'");
    };
    const auto verb = verb_from_name(row.text(intent_column::operation));
    if (!verb) return damaged(verb.error().message);
    Draft draft{*verb,
                ThingName{row.text(intent_column::device_class), row.text(intent_column::key)},
                row.maybe_text(intent_column::image_before),
                row.maybe_text(intent_column::image_after),
                row.maybe_text(intent_column::image_neither),
                {}};
    auto plan = json_minify(row.text(intent_column::plan), "plan");
    if (!plan) return damaged(plan.error().message);
    auto steps = steps_from_json(*plan);
    if (!steps) return damaged(steps.error().message);
    auto probe_text = json_minify(row.text(intent_column::probe), "probe");
    if (!probe_text) return damaged(probe_text.error().message);
    auto probe = probe_from_json(*probe_text);
    if (!probe) return damaged(probe.error().message);
    draft.plan = Plan{*std::move(steps), *std::move(probe)};
    draft.image_stale = row.maybe_text(intent_column::image_stale);
    draft.replaced_state = row.maybe_text(intent_column::replaced_state);
    // Release 0.1 wrote neither; their absence says which of the two forms the row has.
    draft.put_back = row.integer(intent_column::put_back) != 0;
    Intent intent{id,
                  DomainId(row.integer(intent_column::domain)),
                  row.integer(intent_column::thing),
                  std::move(draft),
                  row.text(intent_column::monitor_path),
                  row.integer(intent_column::owner),
                  row.integer(intent_column::opened_us),
                  row.maybe_integer(intent_column::asked_us),
                  row.text(intent_column::note),
                  row.maybe_integer(intent_column::batch)};
    intent.asked = asked_products(db, intent.thing);
    intent.older_state = row.integer(intent_column::older_state) != 0;
    return intent;
}

Result<std::vector<Intent>> read_batch(Db& db, IntentId id)
{
    const ReadTransaction snapshot(db);  // R2: its owner may settle all of it meanwhile
    auto first = read_intent(db, id);
    if (!first) return std::move(first).error();
    std::vector<Intent> intents;
    if (!first->batch || first->older_state) {
        intents.push_back(*std::move(first));
        return intents;
    }
    // By the column: one beside them that cannot be read does not matter.
    const auto others =
        numbers_from(db.prepare("SELECT id FROM intent WHERE domain = ? AND batch = ? ORDER BY id")
                         .bind(value_of(first->domain))
                         .bind(*first->batch));
    for (const auto other : others) {
        auto intent = read_intent(db, other);
        if (!intent) return std::move(intent).error();
        intents.push_back(*std::move(intent));
    }
    return intents;
}

std::vector<IntentId> open_intents(Db& db, DomainId domain)
{
    return numbers_from(
        db.prepare("SELECT id FROM intent WHERE domain = ? ORDER BY id").bind(value_of(domain)));
}

std::optional<IntentId> open_intent_of(Db& db, DomainId domain, const ThingName& name)
{
    auto row = db.prepare(
                     "SELECT i.id FROM intent i JOIN thing t ON t.id = i.thing "
                     "WHERE t.domain = ? AND t.class = ? AND t.key = ?")
                   .bind(value_of(domain))
                   .lend(name.device_class)
                   .lend(name.key);
    if (!row.step()) return std::nullopt;
    return IntentId(row.integer(0));
}

}  // namespace xlstore
