// SPDX-License-Identifier: MIT
// Level two for a client that cannot look itself: the store connects, looks, writes, hangs up.
#include "store/operation/external_looks.hpp"

#include <algorithm>
#include <new>
#include <type_traits>

#include "store/base/limits.hpp"
#include "store/capi/doubt.hpp"
#include "store/capi/handle.hpp"
#include "store/core/on_cancel.hpp"
#include "store/core/registration_row.hpp"
#include "store/libxl/host_hold.hpp"
#include "store/lifecycle/adoption.hpp"
#include "store/lifecycle/destroy.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::capi {

namespace {

// A hold, lent to work of the store's own, and its engine over a connection of the store's own. It
// goes back when this ends.
class Lent {
public:
    explicit Lent(std::shared_ptr<Held> held) : held_(std::move(held)) {}
    Lent(const Lent&) = delete;
    Lent& operator=(const Lent&) = delete;
    ~Lent()
    {
        if (engine_)
            held_->give_back(std::move(engine_->hold()));
        else if (hold_)
            held_->give_back(*std::move(hold_));
    }
    Result<void> take()
    {
        auto own = held_->lend();
        if (!own) return std::move(own).error();
        hold_.emplace(*std::move(own));
        held_->lent_to(*hold_);
        return {};
    }
    void begin(DomainRow row, qmp::Monitor monitor, libxl::HostHold host)
    {
        engine_.emplace(HeldQemu(*held_->state().store, std::move(row), *std::move(hold_),
                                 std::move(monitor), std::move(host)));
        held_->lent_to(engine_->hold());
    }
    Engine& operator*() noexcept { return *engine_; }
    Engine* operator->() noexcept { return &*engine_; }

private:
    std::shared_ptr<Held> held_;
    std::optional<SlowHold> hold_;
    std::optional<Engine> engine_;
};

// From its beginning on nothing else is done under the hold: the connection keeps all others out.
Task<Result<std::unique_ptr<Lent>>> borrow(std::shared_ptr<Held> held, Deadline until)
{
    auto lent = std::make_unique<Lent>(held);
    if (auto taken = lent->take(); !taken) co_return std::move(taken).error();
    Store& store = *held->state().store;
    auto row = read_domain(store.db(), held->domain().id);
    if (!row || row->state == DomainState::destroying || row->state == DomainState::destroyed)
        co_return Error(Errc::gone,
                        held->domain().subject() + " was destroyed or is being destroyed (R8)");
    if (auto ok = Journal(store).still_held(held->current()); !ok) co_return std::move(ok).error();
    if (!row->registration) co_return no_qemu_of(*row, store.self().boot_id);
    libxl::FileOwner libxl_domain{row->domid, row->uuid};
    auto host = co_await libxl::HostHold::take(store.loop(), row->registration->path,
                                               std::move(libxl_domain), until);
    if (!host) co_return std::move(host).error();
    auto monitor =
        co_await qmp::Monitor::connect(store.loop(), *row->registration, row->subject(), until);
    if (!monitor) co_return std::move(monitor).error();
    lent->begin(*std::move(row), *std::move(monitor), *std::move(host));
    co_return std::move(lent);
}

Result<Intention> intention_of(const xlstore_intention& given)
{
    Intention intention{};
    switch (given.operation) {
    case XLSTORE_ADD:
        intention.verb = Verb::add;
        break;
    case XLSTORE_REMOVE:
        intention.verb = Verb::remove;
        break;
    case XLSTORE_CHANGE:
        intention.verb = Verb::change;
        break;
    default:
        return Error(Errc::invalid,
                     "intention: operation is none of XLSTORE_ADD, _REMOVE, _CHANGE");
    }
    auto device_class = text_of(given.device_class, "intention: device_class");
    if (!device_class) return std::move(device_class).error();
    if ((intention.verb == Verb::add) == (given.key != nullptr))
        return Error(Errc::invalid, "intention: key is NULL for an add, and for nothing else");
    if ((intention.verb == Verb::remove) != (given.json == nullptr))
        return Error(Errc::invalid, "intention: json is NULL for a removal, and for nothing else");
    intention.device_class = *std::move(device_class);
    if (given.key) intention.key = given.key;
    if (given.json) intention.json = given.json;
    if (given.plan) intention.plan = given.plan;
    return intention;
}

// The structs of an array lie as far apart as the caller's are large, which the first one says.
template <class T>
T* element_at(T* first, std::size_t index) noexcept
{
    using Byte = std::conditional_t<std::is_const_v<T>, const std::byte, std::byte>;
    return reinterpret_cast<T*>(reinterpret_cast<Byte*>(first) + index * first->struct_size);
}

template <class T>
Result<T> taken_at(const T* first, std::size_t index, T standard, const char* what)
{
    if (first->struct_size % alignof(T) == 0) {
        auto one = taken(element_at(first, index), standard, what);
        if (!one || one->struct_size == first->struct_size) return one;
    }
    return Error(Errc::invalid,
                 std::string(what) + ": struct_size differs within the array, or is that of none",
                 "begin each with its _INIT");
}

Result<std::vector<Intention>> intentions_of(const xlstore_intention* given, std::size_t count)
{
    if (!given || count == 0) return Error(Errc::invalid, "intentions: there are none");
    std::vector<Intention> all;
    for (std::size_t i = 0; i < count; ++i) {
        auto one = taken_at(given, i, xlstore_intention XLSTORE_INTENTION_INIT, "intention");
        if (!one) return one.error();
        auto intention = intention_of(*one);
        if (!intention) return std::move(intention).error();
        all.push_back(*std::move(intention));
    }
    return all;
}

Work intend_by_look(std::shared_ptr<Held> held, std::vector<Intention> wanted, int64_t* out,
                    Deadline until)
{
    auto lent = co_await borrow(std::move(held), until);
    if (!lent) co_return std::move(lent).error();
    auto ids = co_await look_and_open(***lent, std::move(wanted), until);
    if (!ids) co_return std::move(ids).error();
    Answer answer;
    for (const auto id : *ids)
        *out++ = value_of(id);
    answer.intent = value_of(ids->front());
    in_words(answer, [&](Answer& words) {
        std::vector<std::string> numbers;
        std::string all;
        for (const auto id : *ids) {
            numbers.push_back(std::to_string(value_of(id)));
            all += (all.empty() ? "" : ", ") + numbers.back();
        }
        words.message = (**lent)->domain().subject() + ": open: intent " + all;
        words.json = json_object({{"result", json_quote("done")}, {"intents", joined(numbers)}});
    });
    co_return answer;
}

Result<std::vector<CarriedOut>> carried_out(const xlstore_carried_out* given, std::size_t count)
{
    if (!given || count == 0) return Error(Errc::invalid, "carried_out: there are none");
    std::vector<CarriedOut> all;
    for (std::size_t i = 0; i < count; ++i) {
        auto one = taken_at(given, i, xlstore_carried_out XLSTORE_CARRIED_OUT_INIT, "carried_out");
        if (!one) return one.error();
        auto evidence = text_of(one->evidence, "carried_out: evidence");
        if (!evidence) return std::move(evidence).error();
        CarriedOut done{IntentId(one->intent), *std::move(evidence), one->asked != 0, std::nullopt};
        if (one->json) done.json = one->json;
        all.push_back(std::move(done));
    }
    return all;
}

int32_t seen_of(const std::optional<Image>& image)
{
    if (!image) return XLSTORE_SEEN_NOTHING;
    return *image == Image::before  ? XLSTORE_SEEN_BEFORE
           : *image == Image::after ? XLSTORE_SEEN_AFTER
                                    : XLSTORE_SEEN_NEITHER;
}

// What an embedder says of several intents, and how far the looks at them have come: beside the
// work, for the answer when that breaks off.
struct Settling {
    std::shared_ptr<Held> held;
    std::vector<CarriedOut> done;
    xlstore_carried_out* given;
    std::vector<LookedAt> looked_at = {};  ///< in the order of `done`; has room for all
};

// R18: in doubt, with the number of the first that stays open, and why: nothing was proved of it,
// or the look at it failed.
Error doubt_of(const Settling& settling, Error failed) noexcept
{
    const DomainRow& domain = settling.held->domain();
    const auto& looked_at = settling.looked_at;
    const auto open = std::ranges::find_if(looked_at, [](const LookedAt& l) { return !l.image; });
    if (open == looked_at.end())
        return still_open(domain, settling.done[looked_at.size()].intent, std::move(failed));
    failed.intent = value_of(open->intent);
    if (failed.code == Errc::gone) return failed;
    // Also where the caller is at fault with another one.
    failed.code = Errc::in_doubt;
    try {
        std::string message = domain.subject() + ": intent " +
                              std::to_string(value_of(open->intent)) +
                              " stays open: " + open->reason;
        if (!failed.message.empty()) message += "; " + failed.message;
        failed.message = std::move(message);
        failed.advice = "wait for it ('xlstore wait'), or leave it to recovery";
    } catch (const std::bad_alloc&) {
        failed.message.clear();
    }
    return failed;
}

Result<void> take_looks(Settling& settling, Result<LookedAt> looked)
{
    if (!looked) return std::move(looked).error();
    element_at(settling.given, settling.looked_at.size())->seen = seen_of(looked->image);
    if (looked->image)
        std::erase_if(settling.held->opened,
                      [&](const auto& it) { return it.intent.id == looked->intent; });
    settling.looked_at.push_back(*std::move(looked));
    return {};
}

Work look_at_each(std::shared_ptr<Settling> settling, Deadline until)
{
    auto lent = co_await borrow(settling->held, until);
    if (!lent) co_return std::move(lent).error();
    for (auto& one : settling->done) {
        auto looked = co_await look_and_settle(***lent, std::move(one), until);
        if (auto ok = take_looks(*settling, std::move(looked)); !ok) co_return ok.error();
    }
    Answer answer;
    answer.intent = value_of(settling->done.front().intent);
    in_words(answer, [&](Answer& words) {
        std::vector<std::string> members;
        std::string all;
        for (const auto& one : settling->looked_at) {
            const auto number = std::to_string(value_of(one.intent));
            const std::string image(one.image ? image_name(*one.image) : "");
            members.push_back(json_object({{"intent", number}, {"seen", json_quote(image)}}));
            all += (all.empty() ? "" : ", ") + ("intent " + number + " " + image);
        }
        words.message = (**lent)->domain().subject() + ": settled: " + all;
        words.json = json_object({{"result", json_quote("done")}, {"intents", joined(members)}});
    });
    co_return answer;
}

Work settle_by_look(std::shared_ptr<Settling> settling, Deadline until)
{
    Result<Answer> answer = Error(Errc::in_doubt, {});
    try {
        answer = co_await look_at_each(settling, until);
    } catch (...) {
        answer = caught();
    }
    if (!answer)
        co_return doubt_of(
            *settling, gone_if_destroyed(*settling->held->state().store,
                                         settling->held->domain().id, std::move(answer).error()));
    const auto& looked_at = settling->looked_at;
    if (std::ranges::any_of(looked_at, [](const LookedAt& one) { return !one.image; }))
        co_return doubt_of(*settling, Error(Errc::in_doubt, {}));
    co_return answer;
}

Work follow_work(std::shared_ptr<Held> held, std::optional<Document> external, Deadline until)
{
    auto lent = co_await borrow(std::move(held), until);
    if (!lent) co_return std::move(lent).error();
    Engine& qemu = ***lent;
    auto followed = co_await follow_qemu(qemu.store(), qemu.hold(), qemu.monitor(), qemu.domain(),
                                         std::move(external), until);
    if (!followed) co_return std::move(followed).error();
    co_return registered_answer(*followed);
}

Work adopt_work(Task<Result<Registered>> task)
{
    auto adopted = co_await std::move(task);
    if (!adopted) co_return std::move(adopted).error();
    co_return registered_answer(*adopted);
}

Work mark_work(Store& store, DomainRow domain, Deadline until)
{
    Answer answer;
    in_words(answer, [&](Answer& words) {
        words.message = domain.subject() + " is to be destroyed";
        words.json =
            json_object({{"result", json_quote("done")}, {"domid", std::to_string(domain.domid)}});
    });
    auto marked = co_await mark_destroying(store, std::move(domain), until);
    if (!marked) co_return std::move(marked).error();
    co_return answer;
}

// The waiting form of work under a hold, whose store is the hold's.
template <class Prepare>
int32_t wait_under_hold(xlstore_hold* hold, xlstore_result** out, Prepare prepare) noexcept
{
    int32_t outcome = XLSTORE_OK;
    const int32_t called = guarded([&]() -> Result<void> {
        auto held = held_of(hold);
        if (!held) return held.error();
        auto work = prepare(*held);
        if (!work) return work.error();
        if (auto order = LockOrder::may_block(); !order) return order;
        State& state = (*held)->state();
        outcome = finish_waiting(
            state,
            gone_with_its_domain(*state.store, (*held)->domain().id, *std::move(work)), out);
        return {};
    });
    if (called == XLSTORE_OK) return outcome;
    if (out && !*out) *out = failed_result();
    return called;
}

template <class Prepare>
int32_t start_under_hold(xlstore_hold* hold, xlstore_callback callback, void* userdata,
                         xlstore_op** out, Prepare prepare) noexcept
{
    return guarded([&]() -> Result<void> {
        auto held = held_of(hold);
        if (!held) return held.error();
        if (!callback) return Error(Errc::invalid, "callback: NULL");
        auto work = prepare(*held);
        if (!work) return work.error();
        State& state = (*held)->state();
        return begin(state,
                     gone_with_its_domain(*state.store, (*held)->domain().id, *std::move(work)),
                     callback, userdata, out);
    });
}

// What both forms of each do first: the arguments are checked, and the work is made.
Result<Work> intending(const std::shared_ptr<Held>& held, const xlstore_intention* intentions,
                       size_t count, const xlstore_call* call, int64_t* intents_out)
{
    if (!intents_out) return Error(Errc::invalid, "intents_out: NULL");
    auto wanted = intentions_of(intentions, count);
    if (!wanted) return wanted.error();
    const auto until = deadline_of(call, limits::operation_timeout);
    if (!until) return until.error();
    return intend_by_look(held, *std::move(wanted), intents_out, *until);
}

Result<Work> settling(const std::shared_ptr<Held>& held, xlstore_carried_out* carried, size_t count,
                      const xlstore_call* call)
{
    auto done = carried_out(carried, count);
    if (!done) return done.error();
    for (size_t i = 0; i < count; ++i)
        element_at(carried, i)->seen = XLSTORE_SEEN_NOTHING;
    const auto until = deadline_of(call, limits::operation_timeout);
    if (!until) return until.error();
    auto all = std::make_shared<Settling>(Settling{held, *std::move(done), carried});
    all->looked_at.reserve(count);
    auto given_up = [all, cancelled = Error(Errc::cancelled, "it was cancelled")]() mutable {
        return doubt_of(*all, std::move(cancelled));
    };
    return or_when_given_up(*held->state().store, Errc::in_doubt, std::move(given_up),
                            settle_by_look(all, *until));
}

Result<Work> following(const std::shared_ptr<Held>& held, const char* document,
                       const xlstore_call* call)
{
    std::optional<Document> external;
    const auto until = deadline_of(call, limits::operation_timeout);
    if (!until) return until.error();
    if (document) {
        auto parsed = parse_document(document, document_name(call));
        if (!parsed) return std::move(parsed).error();
        external = *std::move(parsed);
    }
    return follow_work(held, std::move(external), *until);
}

Result<Work> adopting(State& state, int32_t domid, const char* document, const char* monitor_path,
                      const xlstore_call* call)
{
    auto text = text_of(document, "document");
    if (!text) return std::move(text).error();
    std::optional<std::string> monitor;
    if (monitor_path) {  // NULL: it has no QEMU
        auto path = monitor_path_of(monitor_path);
        if (!path) return std::move(path).error();
        monitor = *std::move(path);
    }
    const auto until = deadline_of(call, limits::operation_timeout);
    if (!until) return until.error();
    Adoption adoption{domid, *std::move(text), document_name(call), std::move(monitor)};
    return adopt_work(adopt_domain(*state.store, std::move(adoption), *until));
}

Result<Work> marking(State& state, const char* domain, const xlstore_call* call)
{
    const auto until = deadline_of(call, limits::operation_timeout);
    if (!until) return until.error();
    auto row = domain_of(state, domain);
    if (!row) return row.error();
    return mark_work(*state.store, *std::move(row), *until);
}

}  // namespace

}  // namespace xlstore::capi

using namespace xlstore::capi;  // NOLINT(google-build-using-namespace): this is its C face

int32_t xlstore_look_and_intend(xlstore_hold* hold, const xlstore_intention* intentions,
                                size_t count, const xlstore_call* call, int64_t* intents_out)
{
    return wait_under_hold(hold, nullptr, [&](const std::shared_ptr<Held>& held) {
        return intending(held, intentions, count, call, intents_out);
    });
}

int32_t xlstore_look_and_intend_start(xlstore_hold* hold, const xlstore_intention* intentions,
                                      size_t count, const xlstore_call* call, int64_t* intents_out,
                                      xlstore_callback callback, void* userdata,
                                      xlstore_op** op_out)
{
    return start_under_hold(hold, callback, userdata, op_out,
                            [&](const std::shared_ptr<Held>& held) {
                                return intending(held, intentions, count, call, intents_out);
                            });
}

int32_t xlstore_look_and_settle(xlstore_hold* hold, xlstore_carried_out* carried, size_t count,
                                const xlstore_call* call)
{
    const int32_t status = wait_under_hold(hold, nullptr, [&](const std::shared_ptr<Held>& held) {
        return settling(held, carried, count, call);
    });
    return or_in_doubt(carried && count > 0 ? carried->intent : 0, status);
}

int32_t xlstore_look_and_settle_start(xlstore_hold* hold, xlstore_carried_out* carried,
                                      size_t count, const xlstore_call* call,
                                      xlstore_callback callback, void* userdata,
                                      xlstore_op** op_out)
{
    return start_under_hold(
        hold, callback, userdata, op_out,
        [&](const std::shared_ptr<Held>& held) { return settling(held, carried, count, call); });
}

int32_t xlstore_follow(xlstore_hold* hold, const char* document, const xlstore_call* call,
                       xlstore_result** result_out)
{
    return wait_under_hold(hold, result_out, [&](const std::shared_ptr<Held>& held) {
        return following(held, document, call);
    });
}

int32_t xlstore_follow_start(xlstore_hold* hold, const char* document, const xlstore_call* call,
                             xlstore_callback callback, void* userdata, xlstore_op** op_out)
{
    return start_under_hold(
        hold, callback, userdata, op_out,
        [&](const std::shared_ptr<Held>& held) { return following(held, document, call); });
}

int32_t xlstore_adopt(xlstore_store* store, int32_t domid, const char* document,
                      const char* monitor_path, const xlstore_call* call,
                      xlstore_result** result_out)
{
    return wait_for(store, result_out, [&](State& state) {
        return adopting(state, domid, document, monitor_path, call);
    });
}

int32_t xlstore_adopt_start(xlstore_store* store, int32_t domid, const char* document,
                            const char* monitor_path, const xlstore_call* call,
                            xlstore_callback callback, void* userdata, xlstore_op** op_out)
{
    return start(store, callback, userdata, op_out, [&](State& state) {
        return adopting(state, domid, document, monitor_path, call);
    });
}

int32_t xlstore_mark_destroying(xlstore_store* store, const char* domain, const xlstore_call* call,
                                xlstore_result** result_out)
{
    return wait_without_slow(store, result_out,
                             [&](State& state) { return marking(state, domain, call); });
}

int32_t xlstore_mark_destroying_start(xlstore_store* store, const char* domain,
                                      const xlstore_call* call, xlstore_callback callback,
                                      void* userdata, xlstore_op** op_out)
{
    return start(store, callback, userdata, op_out,
                 [&](State& state) { return marking(state, domain, call); });
}
