// SPDX-License-Identifier: MIT
// How a call gets in and out. A waiting call runs its task on the store's loop until it has ended.
// A started one is an xlstore_op in the list of running ones; it waits one turn of the loop before
// its work begins, so that the caller has its handle first, moves to the list of ended ones, and is
// delivered by xlstore_dispatch() alone, with no lock held. One that is cancelled ends at once,
// with what it left with the store (store/core/on_cancel.hpp), and is delivered in the same way.
// Status and intent are written first and need no memory; words follow as far as memory lasts.
// Closing cancels what runs; holds and fast locks that outlive the store refuse from then on.
#include "store/capi/handle.hpp"

#include <cstddef>
#include <new>

#include "store/base/limits.hpp"
#include "store/operation/outcome.hpp"
#include "store/text/error_json.hpp"
#include "store/text/json_text.hpp"
#include "store/text/plain_text.hpp"

namespace xlstore::capi {

namespace {

thread_local xlstore_error last_error = XLSTORE_ERROR_INIT;
// The store that the call under way was found to be for.
thread_local std::shared_ptr<State> called_for;

// Keys, names and paths are quoted in messages as they were given. Where all of it is printable, no
// memory is needed.
std::string printable(std::string words)
{
    if (is_plain_text(words, limits::error_bytes_max)) return words;
    return plain_text(words, limits::error_bytes_max);
}

// Status and intent always get through; of the words, what there is memory for.
void tell(xlstore_result& result, Result<Answer> answer) noexcept
{
    if (answer) {
        result.status = answer->status;
        try {
            result.message = printable(std::move(answer->message));
        } catch (const std::bad_alloc&) {
            result.message.clear();
        }
        result.json = std::move(answer->json);
        result.intent = answer->intent;
        result.held = std::move(answer->held);
        result.made = std::move(answer->made);
        return;
    }
    Error& error = answer.error();
    result.status = status_of(error.code);
    result.intent = error.intent.value_or(0);
    try {
        result.json = json_object({{"error", error_json(error)}});
    } catch (const std::exception&) {
        result.json.clear();
    }
    try {
        result.message = printable(std::move(error.message));
        result.advice = printable(std::move(error.advice));
    } catch (const std::bad_alloc&) {
        result.advice.clear();
    }
}

// Ends with the answer in `out`, also when an exception is thrown on the way.
Task<void> answer_into(Result<Answer>& out, Work work)
{
    try {
        out = co_await std::move(work);
    } catch (...) {
        out = caught();
    }
}

// Nothing has been heard of it yet, in as many words as need no memory.
Error unheard() noexcept
{
    return Error(Errc::no_memory, "out of memory");
}

using Ops = std::list<std::unique_ptr<xlstore_op>>;
Ops::iterator find_op(Ops& ops, const xlstore_op* op)
{
    return std::ranges::find(ops, op, [](const auto& one) { return one.get(); });
}

// Of one that was given up before its first commit.
Error cancelled_early() noexcept
{
    try {
        return Error(Errc::cancelled, "it was cancelled before anything was changed");
    } catch (const std::bad_alloc&) {
        return Error(Errc::cancelled, {});
    }
}

// Makes the embedder call xlstore_dispatch(). A failure of the timer only delays the callback.
void ring(State& state) noexcept
{
    try {
        state.store->loop().ring();
    } catch (const IoError&) {  // NOLINT(bugprone-empty-catch)
        // The next timer or event brings it.
    }
}

// An operation that was started. Its callback is called by dispatch alone, so it waits one turn.
Task<void> drive(State& state, xlstore_op& op, Work work)
{
    Result<Answer> answer = unheard();
    try {
        (void)co_await state.store->loop().sleep(Clock::now());
        answer = co_await std::move(work);
    } catch (...) {
        answer = caught();
    }
    tell(op.result, std::move(answer));
    // Nothing from here on may throw: the callback would never come.
    const auto place = find_op(state.running, &op);
    state.ended.splice(state.ended.end(), state.running, place);
}

void deliver(State& state)
{
    struct Delivering {
        explicit Delivering(bool& delivering) : flag(delivering) { flag = true; }
        ~Delivering() { flag = false; }
        bool& flag;
    } const delivering(state.delivering);
    while (!state.closed && !state.ended.empty()) {
        const auto op = std::move(state.ended.front());
        state.ended.pop_front();
        op->delivered = true;
        op->callback(&op->result, op->userdata);
    }
    const auto tellers = state.tellers;  // a callback may begin or end one
    for (const auto& teller : tellers)
        if (!state.closed) teller->deliver();
}

void shut(State& state) noexcept
{
    state.running.clear();
    state.ended.clear();
    for (const auto& one : state.dependents)
        if (const auto dependent = one.lock()) dependent->let_go();
    state.dependents.clear();
    state.tellers.clear();
    state.store.reset();
}

}  // namespace

int32_t status_of(Errc code) noexcept
{
    static_assert(-1 - static_cast<int32_t>(Errc::invalid) == XLSTORE_E_INVALID);
    static_assert(-1 - static_cast<int32_t>(Errc::in_doubt) == XLSTORE_E_IN_DOUBT);
    static_assert(-1 - static_cast<int32_t>(Errc::io) == XLSTORE_E_IO);
    static_assert(-1 - static_cast<int32_t>(Errc::no_memory) == XLSTORE_E_NO_MEMORY);
    static_assert(-1 - static_cast<int32_t>(Errc::conflict) == XLSTORE_E_CONFLICT);
    static_assert(-1 - static_cast<int32_t>(Errc::unfinished) == XLSTORE_E_UNFINISHED);
    static_assert(-1 - static_cast<int32_t>(Errc::timeout) == XLSTORE_E_TIMEOUT);
    static_assert(-1 - static_cast<int32_t>(Errc::readonly) == XLSTORE_E_READONLY);
    return -1 - static_cast<int32_t>(code);
}

void remember(int32_t status, std::int64_t intent, std::string_view message,
              std::string_view advice) noexcept
{
    last_error.status = status;
    last_error.intent = intent;
    write_plain_text(last_error.message, message);
    write_plain_text(last_error.advice, advice);
    if (called_for) called_for->error = last_error;
}

CallScope::CallScope() noexcept : outer_(std::exchange(called_for, nullptr))
{
    remember(XLSTORE_OK);
}

CallScope::~CallScope()
{
    called_for = std::move(outer_);
}

void is_for(const std::shared_ptr<State>& state) noexcept
{
    if (called_for == state) return;
    called_for = state;
    state->error = last_error;
}

int32_t give_error(const xlstore_error& error, xlstore_error* out) noexcept
{
    if (!out || out->struct_size < sizeof(xlstore_error)) return XLSTORE_E_INVALID;
    out->status = error.status;
    out->intent = error.intent;
    copy_text(out->message, error.message);
    copy_text(out->advice, error.advice);
    return XLSTORE_OK;
}

void give_error_to(xlstore_error* out) noexcept
{
    if (out) (void)give_error(last_error, out);
}

xlstore_result* failed_result() noexcept
{
    try {
        auto result = std::make_unique<xlstore_result>();
        Error error(static_cast<Errc>(-1 - last_error.status), last_error.message,
                    last_error.advice);
        if (last_error.intent != 0) error.intent = last_error.intent;
        tell(*result, std::move(error));
        return result.release();
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

void copy_text(std::span<char> to, std::string_view text) noexcept
{
    const auto whole = whole_characters(text, to.size() - 1);
    std::ranges::copy(whole, to.begin());
    to[whole.size()] = '\0';
}

Work gone_with_its_domain(Store& store, DomainId domain, Work work)
{
    auto answer = co_await std::move(work);
    if (!answer) co_return gone_if_destroyed(store, domain, std::move(answer).error());
    co_return answer;
}

std::string joined(const std::vector<std::string>& values)
{
    std::string text = "[";
    for (const auto& value : values)
        text += (text.size() > 1 ? "," : "") + value;
    return text + "]";
}

char* new_string(std::string_view text)
{
    char* copy = new char[text.size() + 1];
    copy_text(std::span(copy, text.size() + 1), text);
    return copy;
}

int32_t no_memory(const xlstore_store* store) noexcept
{
    return guarded([&]() -> Result<void> {
        if (auto state = state_of(store); !state) return state.error();
        return unheard();
    });
}

void depend(State& state, const std::shared_ptr<Dependent>& dependent)
{
    std::erase_if(state.dependents, [](const auto& one) { return one.expired(); });
    state.dependents.push_back(dependent);
}

Error closed_error()
{
    return Error(Errc::order, "the store was closed", "nothing was done; open it again");
}

Result<State*> state_of(const xlstore_store* store)
{
    if (!store) return Error(Errc::invalid, "store: NULL");
    State& state = *store->state;
    is_for(store->state);
    if (state.closed) return closed_error();
    if (auto ok = state.store->check_fork(); !ok) return ok.error();
    return &state;
}

Result<State*> writer_of(const xlstore_store* store)
{
    auto state = state_of(store);
    if (state && (*state)->store->session() == 0)
        return Error(Errc::readonly, "the store was opened read-only",
                     "nothing was changed; open it without read_only to change it");
    return state;
}

Result<void> Held::check_open()
{
    is_for(state_);
    if (!hold_ && !lent_) return closed_error();
    return state_->store->check_fork();
}

Result<Held::Use> Held::use()
{
    if (auto open = check_open(); !open) return open.error();
    if (hold_) return Use(*this);
    return Error(
        Errc::busy,
        domain_.subject() + ": an operation that looks at QEMU under this hold is under way",
        "wait until it has ended, then call again");
}

Result<SlowHold> Held::lend()
{
    if (auto open = check_open(); !open) return open.error();
    if (hold_ && uses_ == 0) return *std::exchange(hold_, std::nullopt);
    return Error(Errc::busy, domain_.subject() + ": another operation under this hold is under way",
                 "wait until it has ended, then call again");
}

Result<std::shared_ptr<Held>> held_of(const xlstore_hold* hold)
{
    if (!hold) return Error(Errc::invalid, "hold: NULL");
    if (auto open = hold->held->check_open(); !open) return open.error();
    return hold->held;
}

Result<std::string> text_of(const char* text, const char* what)
{
    if (!text) return Error(Errc::invalid, std::string(what) + ": NULL");
    return std::string(text);
}

Result<std::string> path_of(const char* path, const char* what)
{
    if (path && *path) return std::string(path);
    return Error(Errc::invalid, std::string(what) + ": NULL or empty",
                 "nothing was changed; name one");
}

Result<std::string> monitor_path_of(const char* path)
{
    auto given = path_of(path, "monitor_path");
    if (!given) return given;
    return absolute_path(*std::move(given));
}

Result<std::vector<std::string>> texts_of(const char* const* texts, const char* what)
{
    if (!texts || !*texts) return Error(Errc::invalid, std::string(what) + ": NULL or empty");
    std::vector<std::string> all;
    for (; *texts; ++texts)
        all.emplace_back(*texts);
    return all;
}

Result<DomainRow> domain_of(State& state, const char* word)
{
    auto text = text_of(word, "domain");
    if (!text) return text.error();
    return find_domain(state.store->db(), *text);
}

Result<Deadline> deadline_of(const xlstore_call* call, std::chrono::milliseconds standard,
                             std::uint32_t flags_taken)
{
    auto options =
        taken(call, xlstore_call XLSTORE_CALL_INIT, "call", offsetof(xlstore_call, things));
    if (!options) return options.error();
    if ((options->flags & ~flags_taken) != 0)
        return Error(Errc::invalid, "call: flags has bits that this call does not take");
    if ((options->flags & XLSTORE_TRY) != 0) return kOneTry;
    return Clock::now() +
           (options->timeout_ms ? std::chrono::milliseconds(options->timeout_ms) : standard);
}

std::uint32_t flags_of(const xlstore_call* call)
{
    return call && call->struct_size >= sizeof *call ? call->flags : 0;
}

std::string document_name(const xlstore_call* call)
{
    return call && call->document_name ? call->document_name : "document";
}

std::string things_with(const xlstore_call* call)
{
    const bool told = call && call->struct_size >= sizeof(xlstore_call) && call->things;
    return told ? call->things : "";
}

// From within a callback nothing can be delivered; the dispatch that called it ends with this, too.
void ring_if_due(State& state) noexcept
{
    if (state.closed || state.delivering) return;
    const auto is_due = [](const auto& teller) { return teller->is_due(); };
    if (!state.ended.empty() || std::ranges::any_of(state.tellers, is_due)) ring(state);
}

int32_t finish_waiting(State& state, Work work, xlstore_result** out)
{
    // All that is needed for the answer is there before anything is done.
    auto result = std::make_unique<xlstore_result>();
    Result<Answer> answer = unheard();
    run_on_loop(state, answer_into(answer, std::move(work)));
    tell(*result, std::move(answer));
    const int32_t status = result->status;
    if (status != XLSTORE_OK) remember(status, result->intent, result->message, result->advice);
    if (out) *out = result.release();
    return status;
}

Result<void> begin(State& state, Work work, xlstore_callback callback, void* userdata,
                   xlstore_op** out)
{
    std::unique_ptr<xlstore_op> op(new xlstore_op{state, callback, userdata});
    xlstore_op& started = *op;
    started.task.emplace(drive(state, started, std::move(work)));
    state.running.push_back(std::move(op));
    if (out) *out = &started;
    started.task->start();
    // It may have ended at once, with nothing that would wake the embedder for its callback.
    ring_if_due(state);
    return {};
}

}  // namespace xlstore::capi

using namespace xlstore;        // NOLINT(google-build-using-namespace): the C names of both
using namespace xlstore::capi;  // NOLINT(google-build-using-namespace)

const char* xlstore_status_name(int32_t status)
{
    if (status == XLSTORE_OK) return "done";
    if (status > XLSTORE_E_INVALID || status < XLSTORE_E_READONLY) return "unknown";
    return errc_name(static_cast<Errc>(-1 - status)).data();
}

int32_t xlstore_last_error(xlstore_error* error_out)
{
    return give_error(last_error, error_out);
}

int32_t xlstore_store_error(const xlstore_store* store, xlstore_error* error_out)
{
    return store ? give_error(store->state->error, error_out) : XLSTORE_E_INVALID;
}

void xlstore_string_free(char* text)
{
    delete[] text;
}

const char* xlstore_default_directory(void)
{
    return default_directory();
}

int32_t xlstore_init(const char* directory, const xlstore_init_options* options)
{
    const int32_t status = guarded([&]() -> Result<void> {
        auto where = path_of(directory, "directory");
        if (!where) return where.error();
        auto given = taken(options, xlstore_init_options XLSTORE_INIT_OPTIONS_INIT, "options",
                           offsetof(xlstore_init_options, error));
        if (!given) return given.error();
        return Store::init(
            *where, given->has_reading_group ? std::optional(given->reading_group) : std::nullopt,
            given->power ? Durability::power : Durability::process);
    });
    if (options && options->struct_size >= sizeof *options) give_error_to(options->error);
    return status;
}

int32_t xlstore_open(const char* directory, const xlstore_open_options* options,
                     xlstore_store** store_out)
{
    const int32_t status = guarded([&]() -> Result<void> {
        auto where = path_of(directory, "directory");
        if (!where) return where.error();
        if (!store_out) return Error(Errc::invalid, "store_out: NULL");
        auto given = taken(options, xlstore_open_options XLSTORE_OPEN_OPTIONS_INIT, "options",
                           offsetof(xlstore_open_options, error));
        if (!given) return given.error();
        StoreOptions how;
        how.directory = *std::move(where);
        how.program = given->program ? given->program : "libxlstore";
        if (given->timeout_ms) how.open_timeout = std::chrono::milliseconds(given->timeout_ms);
        if (given->log) {
            if (given->log_least < XLSTORE_LOG_DEBUG || given->log_least > XLSTORE_LOG_ERROR)
                return Error(Errc::invalid, "options: log_least is no XLSTORE_LOG_ level");
            const auto log = [function = given->log, userdata = given->log_userdata](
                                 LogLevel level, std::string_view line) {
                function(static_cast<int32_t>(level), std::string(line).c_str(), userdata);
            };
            how.log = std::make_shared<const Log>(log, static_cast<LogLevel>(given->log_least));
        }
        auto store = given->read_only ? Store::open_read_only(how) : Store::open(how);
        if (!store) return store.error();
        auto state = std::make_shared<State>();
        state->store = *std::move(store);
        *store_out = new xlstore_store{std::move(state)};
        return {};
    });
    if (options && options->struct_size >= sizeof *options) give_error_to(options->error);
    return status;
}

void xlstore_close(xlstore_store* store)
{
    if (!store) return;
    const auto state = std::move(store->state);
    delete store;
    state->closed = true;
    if (!state->delivering) shut(*state);
}

int xlstore_fd(const xlstore_store* store)
{
    int fd = -1;
    (void)guarded([&]() -> Result<void> {
        auto state = state_of(store);
        if (!state) return state.error();
        fd = (*state)->store->loop().fd();
        return {};
    });
    return fd;
}

int32_t xlstore_dispatch(xlstore_store* store)
{
    return guarded([&]() -> Result<void> {
        auto found = state_of(store);
        if (!found) return found.error();
        if (auto order = LockOrder::may_dispatch(); !order) return order;
        const auto state = store->state;  // a callback may close the store
        const LoopRun run(*state);
        state->store->loop().dispatch();
        if (state->delivering) return {};  // called from a callback: the caller of that delivers
        deliver(*state);
        if (state->closed) shut(*state);
        return {};
    });
}

int32_t xlstore_context_enter(void)
{
    return guarded([] { return LockOrder::context_enter(); });
}

int32_t xlstore_context_leave(void)
{
    return guarded([] { return LockOrder::context_leave(); });
}

int32_t xlstore_result_status(const xlstore_result* result)
{
    return result ? result->status : XLSTORE_E_INVALID;
}

const char* xlstore_result_message(const xlstore_result* result)
{
    return result ? result->message.c_str() : "";
}

const char* xlstore_result_advice(const xlstore_result* result)
{
    return result ? result->advice.c_str() : "";
}

int64_t xlstore_result_intent(const xlstore_result* result)
{
    return result ? result->intent : 0;
}

const char* xlstore_result_json(const xlstore_result* result)
{
    return result ? result->json.c_str() : "";
}

void xlstore_result_free(xlstore_result* result)
{
    delete result;
}

void xlstore_op_cancel(xlstore_op* op)
{
    if (!op || op->delivered) return;
    State& state = op->state;
    const auto place = find_op(state.running, op);
    if (place == state.running.end()) return;  // it has ended, and its callback is to come
    state.store->take_left_answer();
    op->task.reset();
    tell(op->result, state.store->take_left_answer().value_or(cancelled_early()));
    state.ended.splice(state.ended.end(), state.running, place);
    ring_if_due(state);
}

void xlstore_op_forget(xlstore_op* op)
{
    if (!op || op->delivered) return;
    State& state = op->state;
    const auto same = [&](const auto& one) { return one.get() == op; };
    std::erase_if(state.running, same);
    std::erase_if(state.ended, same);
}
