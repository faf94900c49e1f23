// SPDX-License-Identifier: MIT
// Level two: slow lock, intend, settle.
#include "store/operation/external_qmp.hpp"

#include <new>

#include "store/base/limits.hpp"
#include "store/capi/doubt.hpp"
#include "store/capi/handle.hpp"
#include "store/core/intent_rows.hpp"
#include "store/core/journal.hpp"
#include "store/core/on_cancel.hpp"
#include "store/operation/engine.hpp"
#include "store/operation/host_usb_port.hpp"
#include "store/operation/in_qemu.hpp"
#include "store/qmp/address.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::capi {

namespace {

// Hands the hold over in `*out` when the caller waits for it, else in the answer.
Work slow_lock_work(std::shared_ptr<State> state, DomainRow domain, std::string operation,
                    Deadline until)
{
    Store& store = *state->store;
    DomainRow row;  // as it is under the lock: another process may have changed it meanwhile
    auto hold =
        co_await store.slow_lock(domain.id, domain.subject(), std::move(operation), until, &row);
    if (!hold) co_return std::move(hold).error();
    if (row.state == DomainState::destroying || row.state == DomainState::destroyed)
        co_return Error(Errc::gone, domain.subject() + " was destroyed or is being destroyed (R8)");
    Answer answer;
    in_words(answer, [&](Answer& words) {
        words.message = row.subject() + ": the slow lock is held";
        words.json = json_object({{"result", json_quote("done")}});
    });
    answer.held = std::make_shared<Held>(state, std::move(row), *std::move(hold));
    depend(*state, answer.held);
    co_return answer;
}

Result<Work> slow_lock_of(const std::shared_ptr<State>& state, const char* domain,
                          const char* operation, const xlstore_call* call)
{
    auto what = text_of(operation, "operation");
    if (!what) return what.error();
    const auto until = deadline_of(call, limits::operation_timeout, XLSTORE_TRY);
    if (!until) return until.error();
    auto row = domain_of(*state, domain);
    if (!row) return row.error();
    const DomainId id = row->id;
    return gone_with_its_domain(
        *state->store, id, slow_lock_work(state, *std::move(row), *std::move(what), *until));
}

std::string done_json(IntentId id)
{
    return json_object({{"result", json_quote("done")}, {"intent", std::to_string(value_of(id))}});
}

// What was seen under the hold has to allow the intent (R16): nothing of an add, something of all
// else.
Result<void> check_seen(const DomainRow& domain, Draft& draft, int32_t seen)
{
    const std::string subject = domain.subject() + ": " + draft.thing.text();
    if (seen == XLSTORE_SEEN_NOTHING)
        return Error(Errc::in_doubt, subject + ": the caller has not seen what QEMU has of it",
                     "nothing was changed; look again");
    if (draft.verb == Verb::add && seen != XLSTORE_SEEN_BEFORE)
        return Error(Errc::exists, subject + " is in QEMU already (R16)",
                     "nothing was changed; detach it first, or run xlfsck");
    if (draft.verb == Verb::remove && seen == XLSTORE_SEEN_AFTER) draft.plan.steps.clear();
    return {};
}

struct Checked {
    Draft draft;
    std::string monitor_path;
    int fd;
    std::uint64_t socket;
};

Result<Verb> verb_of(int32_t operation)
{
    switch (operation) {
    case XLSTORE_ADD:
        return Verb::add;
    case XLSTORE_REMOVE:
        return Verb::remove;
    case XLSTORE_CHANGE:
        return Verb::change;
    default:
        return Error(Errc::invalid,
                     "intention: operation is none of XLSTORE_ADD, _REMOVE, _CHANGE");
    }
}

Result<Checked> check_intention(Held& held, const xlstore_intention& given)
{
    Store& store = *held.state().store;
    auto verb = verb_of(given.operation);
    if (!verb) return verb.error();
    if (given.seen < XLSTORE_SEEN_NOTHING || given.seen > XLSTORE_SEEN_NEITHER)
        return Error(Errc::invalid, "intention: seen is none of XLSTORE_SEEN_");
    auto device_class = text_of(given.device_class, "intention: device_class");
    if (!device_class) return device_class.error();
    auto path = text_of(given.monitor_path, "intention: monitor_path");
    if (!path) return path.error();
    if ((*verb == Verb::add) == (given.key != nullptr))
        return Error(Errc::invalid, "intention: key is NULL for an add, and for nothing else");
    if ((*verb == Verb::remove) != (given.json == nullptr))
        return Error(Errc::invalid, "intention: json is NULL for a removal, and for nothing else");

    // As it was when the slow lock was taken: no other process can have registered another QEMU
    // since, and whether it is being destroyed is asked by the commit.
    const DomainRow& row = held.domain();
    if (auto ok = check_monitor(row, *path, store.qemus()); !ok) return ok.error();
    std::uint64_t socket = 0;
    // 0 is what a struct full of zeros has, and no connection to QEMU.
    if (given.monitor_fd > 0) {
        auto seen = check_connection(row, given.monitor_fd);
        if (!seen) return seen.error();
        socket = *seen;
    }
    Intention intention{*verb, *std::move(device_class), given.key ? given.key : "",
                        given.json ? given.json : "",
                        given.plan ? std::optional<std::string>(given.plan) : std::nullopt};
    const auto text = json_minify(intention.json, "json", limits::thing_bytes_max);
    if (text && intention.verb == Verb::add) {  // what is no JSON is refused below
        auto whole = with_usb_address(store.host().sysfs, intention.device_class, *text);
        if (!whole) return std::move(whole).error();
        intention.json = *std::move(whole);
    }
    const ReadTransaction snapshot(store.db());
    auto draft = draft_of(store.db(), row.id, intention);
    if (!draft) return draft.error();
    if (auto ok = check_in_qemu(store.db(), row, *draft); !ok) return ok.error();
    if (const auto open = open_intent_of(store.db(), row.id, draft->thing)) {
        Error error(Errc::exists,
                    row.subject() + ": " + draft->thing.text() + " has an open intent, " +
                        std::to_string(value_of(*open)),
                    "settle that one first");
        error.intent = value_of(*open);
        return error;
    }
    if (auto ok = check_seen(row, *draft, given.seen); !ok) return ok.error();
    return Checked{*std::move(draft), *std::move(path), socket ? given.monitor_fd : -1, socket};
}

Work intend_work(std::shared_ptr<Held> held, Checked checked, Deadline until)
{
    auto hold = held->use();
    if (!hold) co_return hold.error();
    Journal journal(*held->state().store);
    std::vector<Draft> drafts;
    drafts.push_back(std::move(checked.draft));
    // Room for each that is under way: after its commit it is not to fail for want of memory.
    held->opened.reserve(held->opened.size() + held->uses());
    auto intents = co_await journal.open(**hold, std::move(drafts), checked.monitor_path, until);
    if (!intents) co_return std::move(intents).error();
    const IntentId id = intents->front().id;
    held->opened.push_back(
        Held::Opened{std::move(intents->front()), checked.fd, checked.socket});
    Answer answer;
    answer.intent = value_of(id);
    in_words(answer, [&](Answer& words) {
        // With the key that it was given, if its JSON has none.
        words.message = held->domain().subject() + ": " +
                        held->opened.back().intent.draft.thing.text() + ": intent " +
                        std::to_string(value_of(id)) + " is open";
        words.json = done_json(id);
    });
    co_return answer;
}

Result<Work> intend_of(const xlstore_hold* hold, const xlstore_intention* intention,
                       const xlstore_call* call)
{
    auto held = held_of(hold);
    if (!held) return held.error();
    if (!intention) return Error(Errc::invalid, "intention: NULL");
    auto given = taken(intention, xlstore_intention XLSTORE_INTENTION_INIT, "intention");
    if (!given) return given.error();
    const auto until = deadline_of(call, limits::operation_timeout);
    if (!until) return until.error();
    auto checked = check_intention(**held, *given);
    if (!checked)
        return gone_if_destroyed(*(*held)->state().store, (*held)->domain().id,
                                 std::move(checked).error());
    return intend_work(*std::move(held), *std::move(checked), *until);
}

// What was seen over a connection counts only if that very one lasted until now (R12).
Result<void> check_still_connected(Held& held, IntentId intent)
{
    const auto* opened = held.find_opened(intent);
    if (!opened || opened->fd < 0) return {};
    auto socket = check_connection(held.domain(), opened->fd);
    if (!socket) return socket.error();
    if (*socket == opened->socket) return {};
    return Error(Errc::refused,
                 held.domain().subject() + ": descriptor " + std::to_string(opened->fd) +
                     " is not the connection that intend saw (R12)",
                 "the intent stays open; take the slow lock, connect, look, and settle");
}

// What the settling of an intent is about. One that was opened under this hold is as it was then:
// it need not be read, and whether it is still open is asked by the commit.
Result<IntentSubject> subject_under(Held& held, IntentId id)
{
    const auto* opened = held.find_opened(id);
    if (!opened) return read_intent_subject(held.state().store->db(), id);
    const Intent& intent = opened->intent;
    return IntentSubject{intent.domain, intent.draft.thing, intent.batch.has_value()};
}

// The intent as it is settled, with the places that the embedder saw.
Result<std::vector<Intent>> placed_intent(Held& held, IntentId id, const std::string& places)
{
    const auto* opened = held.find_opened(id);
    Result<Intent> intent =
        opened ? Result<Intent>(opened->intent) : read_intent(held.state().store->db(), id);
    if (!intent) return std::move(intent).error();
    intent->address = places;
    std::vector<Intent> alone;
    alone.push_back(*std::move(intent));
    return alone;
}

/// What an embedder says of an intent.
struct Said {
    int32_t seen;
    bool asked;  ///< only that the guest was
    std::string evidence;
    std::string places;  ///< minified, or ""
};

Work settle_under(Held& held, IntentId id, Said said, Deadline until)
{
    const auto& [seen, asked, evidence, places] = said;
    auto hold = held.use();
    if (!hold) co_return hold.error();
    Store& store = *held.state().store;
    auto intent = subject_under(held, id);
    if (!intent) co_return std::move(intent).error();
    if (intent->domain != held.domain().id)
        co_return Error(Errc::invalid, "intent " + std::to_string(value_of(id)) +
                                           " is another domain's than the hold's");
    const std::string subject = held.domain().subject() + ": " + intent->thing.text();
    if (intent->in_batch)
        co_return Error(Errc::refused,
                        subject + ": intent " + std::to_string(value_of(id)) +
                            " is one of a batch, which is settled as one",
                        "nothing was changed; xlstore_wait or recovery settles it");
    Journal journal(store);
    const std::vector<IntentId> ids(1, id);
    Answer answer;
    answer.intent = value_of(id);
    if (asked || seen == XLSTORE_SEEN_NOTHING) {
        // Which of its devices it asked for the embedder does not say: for each.
        std::optional<std::vector<Product>> devices;
        if (asked) {
            auto open = read_intent(store.db(), id);
            if (!open) co_return std::move(open).error();
            devices = std::move(open->draft.plan.probe.products);
            std::erase_if(*devices, [](const Product& p) { return !is_device(p); });
        }
        auto noted = co_await journal.note(**hold, ids, evidence, std::move(devices), until);
        if (!noted) co_return std::move(noted).error();
        if (!asked)
            co_return Error(
                Errc::in_doubt,
                subject + ": intent " + std::to_string(value_of(id)) + " is in doubt: " + evidence,
                "it stays open: settle it again, or 'xlstore wait " + std::to_string(value_of(id)) +
                    "'");
        in_words(answer, [&](Answer& words) {
            words.message = subject + ": noted that the guest was asked";
            words.json = done_json(id);
        });
        co_return answer;
    }
    if (auto same = check_still_connected(held, id); !same) co_return same.error();
    const Image image = seen == XLSTORE_SEEN_BEFORE  ? Image::before
                        : seen == XLSTORE_SEEN_AFTER ? Image::after
                                                     : Image::neither;
    auto placed = placed_intent(held, id, places);
    if (!placed) co_return std::move(placed).error();
    auto settled =
        co_await journal.settle(**hold, *std::move(placed), image, evidence, until);
    if (!settled) co_return std::move(settled).error();
    std::erase_if(held.opened, [&](const auto& one) { return one.intent.id == id; });
    in_words(answer, [&](Answer& words) {
        words.message = subject + ": settled, " + std::string(image_name(image));
        words.json = done_json(id);
    });
    co_return answer;
}

Work settle_work(std::shared_ptr<Held> held, IntentId id, Said said, Deadline until)
{
    Result<Answer> answer = Error(Errc::in_doubt, {});
    try {
        answer = co_await settle_under(*held, id, std::move(said), until);
    } catch (...) {
        answer = caught();
    }
    if (answer) co_return answer;
    Error error =
        gone_if_destroyed(*held->state().store, held->domain().id, std::move(answer).error());
    if (error.code ==
        Errc::refused) {  // what the caller has to mend first; it says that it is open
        error.intent = value_of(id);
        co_return error;
    }
    co_return still_open(held->domain(), id, std::move(error));
}

Result<Work> settle_of(const xlstore_hold* hold, int64_t intent, int32_t seen, bool asked,
                       const char* evidence, const xlstore_call* call)
{
    auto held = held_of(hold);
    if (!held) return held.error();
    if (seen < XLSTORE_SEEN_NOTHING || seen > XLSTORE_SEEN_NEITHER)
        return Error(Errc::invalid, "seen is none of XLSTORE_SEEN_");
    auto text = text_of(evidence, "evidence");
    if (!text) return text.error();
    const auto until = deadline_of(call, limits::operation_timeout);
    if (!until) return until.error();
    std::string places;
    if (call && call->struct_size >= sizeof *call && call->places) {
        auto minified = json_minify(call->places, "places", limits::thing_bytes_max);
        if (!minified) return minified.error();
        if (auto ok = check_addresses(*minified); !ok) return ok.error();
        places = *std::move(minified);
    }
    Said said{seen, asked, *std::move(text), std::move(places)};
    Store& store = *(*held)->state().store;
    const auto id = IntentId(intent);
    Error cancelled(Errc::cancelled, "it was cancelled");
    auto given_up = [open = still_open((*held)->domain(), id, std::move(cancelled))]() mutable {
        return std::move(open);
    };
    return or_when_given_up(store, Errc::in_doubt, std::move(given_up),
                            settle_work(*std::move(held), id, std::move(said), *until));
}

// The waiting and the other form of an operation of a hold: its store is the hold's.
template <class Prepare>
int32_t wait_under(xlstore_hold* hold, xlstore_result** out, Prepare prepare) noexcept
{
    int32_t outcome = XLSTORE_OK;
    const int32_t called = guarded([&]() -> Result<void> {
        auto work = prepare();
        if (!work) return work.error();
        if (auto order = LockOrder::may_dispatch(); !order) return order;
        outcome = finish_waiting(hold->held->state(), *std::move(work), out);
        return {};
    });
    return called == XLSTORE_OK ? outcome : called;
}

template <class Prepare>
int32_t start_under(xlstore_hold* hold, xlstore_callback callback, void* userdata, xlstore_op** out,
                    Prepare prepare) noexcept
{
    return guarded([&]() -> Result<void> {
        if (auto held = held_of(hold); !held) return held.error();
        if (!callback) return Error(Errc::invalid, "callback: NULL");
        auto work = prepare();
        if (!work) return work.error();
        return begin(hold->held->state(), *std::move(work), callback, userdata, out);
    });
}

}  // namespace

}  // namespace xlstore::capi

using namespace xlstore::capi;  // NOLINT(google-build-using-namespace): this is its C face

int32_t xlstore_slow_lock(xlstore_store* store, const char* domain, const char* operation,
                          const xlstore_call* call, xlstore_hold** hold_out)
{
    if (!hold_out)
        return guarded([&]() -> xlstore::Result<void> {
            if (auto state = state_of(store); !state) return state.error();
            return xlstore::Error(xlstore::Errc::invalid, "hold_out: NULL");
        });
    std::unique_ptr<xlstore_hold> hold(new (std::nothrow) xlstore_hold);
    if (!hold) return no_memory(store);
    xlstore_result* result = nullptr;
    const int32_t status = wait_for(store, &result, [&](State&) {
        return slow_lock_of(store->state, domain, operation, call);
    });
    if (status == XLSTORE_OK) {
        hold->held = std::move(result->held);
        *hold_out = hold.release();
    }
    xlstore_result_free(result);
    return status;
}

int32_t xlstore_slow_lock_start(xlstore_store* store, const char* domain, const char* operation,
                                const xlstore_call* call, xlstore_callback callback, void* userdata,
                                xlstore_op** op_out)
{
    return start(store, callback, userdata, op_out,
                 [&](State&) { return slow_lock_of(store->state, domain, operation, call); });
}

xlstore_hold* xlstore_result_take_hold(xlstore_result* result)
{
    if (!result || !result->held) return nullptr;
    std::unique_ptr<xlstore_hold> hold(new (std::nothrow) xlstore_hold);
    if (hold) hold->held = std::move(result->held);
    return hold.release();
}

void xlstore_hold_release(xlstore_hold* hold)
{
    delete hold;
}

int32_t xlstore_hold_check(const xlstore_hold* hold)
{
    return guarded([&]() -> xlstore::Result<void> {
        auto held = held_of(hold);
        if (!held) return held.error();
        return xlstore::Journal(*(*held)->state().store).still_held((*held)->current());
    });
}

int32_t xlstore_intend(xlstore_hold* hold, const xlstore_intention* intention,
                       const xlstore_call* call, int64_t* intent_out)
{
    xlstore_result* result = nullptr;
    const int32_t status =
        wait_under(hold, &result, [&] { return intend_of(hold, intention, call); });
    if (status == XLSTORE_OK && intent_out) *intent_out = result->intent;
    xlstore_result_free(result);
    return status;
}

int32_t xlstore_intend_start(xlstore_hold* hold, const xlstore_intention* intention,
                             const xlstore_call* call, xlstore_callback callback, void* userdata,
                             xlstore_op** op_out)
{
    return start_under(hold, callback, userdata, op_out,
                       [&] { return intend_of(hold, intention, call); });
}

int32_t xlstore_settle(xlstore_hold* hold, int64_t intent, int32_t seen, const char* evidence,
                       const xlstore_call* call)
{
    return or_in_doubt(intent, wait_under(hold, nullptr, [&] {
                           return settle_of(hold, intent, seen, false, evidence, call);
                       }));
}

int32_t xlstore_settle_start(xlstore_hold* hold, int64_t intent, int32_t seen, const char* evidence,
                             const xlstore_call* call, xlstore_callback callback, void* userdata,
                             xlstore_op** op_out)
{
    return start_under(hold, callback, userdata, op_out,
                       [&] { return settle_of(hold, intent, seen, false, evidence, call); });
}

int32_t xlstore_asked(xlstore_hold* hold, int64_t intent, const char* evidence,
                      const xlstore_call* call)
{
    return or_in_doubt(intent, wait_under(hold, nullptr, [&] {
                           return settle_of(hold, intent, XLSTORE_SEEN_NOTHING, true, evidence,
                                            call);
                       }));
}

int32_t xlstore_asked_start(xlstore_hold* hold, int64_t intent, const char* evidence,
                            const xlstore_call* call, xlstore_callback callback, void* userdata,
                            xlstore_op** op_out)
{
    return start_under(hold, callback, userdata, op_out, [&] {
        return settle_of(hold, intent, XLSTORE_SEEN_NOTHING, true, evidence, call);
    });
}

int32_t xlstore_intent_plan(xlstore_store* store, int64_t intent, char** json_out)
{
    return guarded([&]() -> xlstore::Result<void> {
        using xlstore::json_quote;
        auto state = state_of(store);
        if (!state) return state.error();
        if (!json_out) return xlstore::Error(xlstore::Errc::invalid, "json_out: NULL");
        auto open = xlstore::read_intent((*state)->store->db(), xlstore::IntentId(intent));
        if (!open) return open.error();
        const auto& draft = open->draft;
        *json_out =
            new_string(xlstore::json_object({{"intent", std::to_string(intent)},
                                             {"operation", json_quote(verb_name(draft.verb))},
                                             {"class", json_quote(draft.thing.device_class)},
                                             {"key", json_quote(draft.thing.key)},
                                             {"steps", steps_to_json(draft.plan.steps)},
                                             {"probe", probe_to_json(draft.plan.probe)}}));
        return {};
    });
}
