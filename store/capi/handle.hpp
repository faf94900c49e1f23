// SPDX-License-Identifier: MIT
// What stands behind the handles of xlstore.h, and the one way from C into the library and back:
// guarded() around each call, wait_for() and start() around each operation.
#ifndef XLSTORE_STORE_CAPI_HANDLE_HPP_
#define XLSTORE_STORE_CAPI_HANDLE_HPP_

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "store/core/domain.hpp"
#include "store/core/store.hpp"
#include "store/lifecycle/finish_creation.hpp"
#include "store/lifecycle/registration.hpp"
#include "xlstore/xlstore.h"

namespace xlstore::capi {

/// Something made from a store that has to let go of it before the store ends.
class Dependent {
public:
    Dependent() = default;
    Dependent(const Dependent&) = delete;
    Dependent& operator=(const Dependent&) = delete;
    virtual ~Dependent() = default;
    virtual void let_go() noexcept = 0;
};

/// What xlstore_dispatch() tells the embedder of besides the ends of operations.
class Teller : public Dependent {
public:
    /// With no lock held; the embedder may do anything meanwhile, ending this one included.
    virtual void deliver() = 0;
    /// There is something to tell, and deliver() has not just failed to.
    [[nodiscard]] virtual bool is_due() const noexcept = 0;
};

/// An open store with what is under way on it.
struct State {
    std::unique_ptr<Store> store;
    std::list<std::unique_ptr<xlstore_op>> running;
    std::list<std::unique_ptr<xlstore_op>> ended;  ///< their callbacks are to come
    std::list<std::shared_ptr<Teller>> tellers;
    std::vector<std::weak_ptr<Dependent>> dependents;
    bool delivering = false;
    bool closed = false;
    bool recovering = false;  ///< xlstore_recover() is at work
    xlstore_error error = XLSTORE_ERROR_INIT;  ///< of the last call that failed
};

/// A slow hold in the embedder's hands. Operations under way share it, so that releasing the handle
/// takes nothing away from under them: any number that commit, or one that looks at QEMU, which has
/// it alone (a monitor serves one client: R12).
class Held final : public Dependent {
public:
    Held(std::shared_ptr<State> state, DomainRow domain, SlowHold hold)
        : state_(std::move(state)), domain_(std::move(domain)), hold_(std::move(hold))
    {}
    void let_go() noexcept override { hold_.reset(); }
    /// Error order: its store was closed, or it is used in a forked child.
    Result<void> check_open();
    /// As an operation under way has left it. REQUIRES check_open().
    [[nodiscard]] const SlowHold& current() const noexcept { return lent_ ? *lent_ : *hold_; }

    /// An operation's share in it.
    class Use {
    public:
        explicit Use(Held& held) noexcept : held_(&held) { ++held_->uses_; }
        Use(Use&& other) noexcept : held_(std::exchange(other.held_, nullptr)) {}
        Use& operator=(Use&&) = delete;
        ~Use()
        {
            if (held_) --held_->uses_;
        }
        SlowHold& operator*() const noexcept { return *held_->hold_; }

    private:
        Held* held_;
    };
    /// It has to outlive the use. Errors: as of check_open(); busy, an operation looks under it.
    Result<Use> use();
    [[nodiscard]] std::size_t uses() const noexcept { return uses_; }
    /// For work of the store's own under it. Errors as of check_open(), and busy: another operation
    /// is under way.
    Result<SlowHold> lend();
    /// Where it is meanwhile; give_back() ends that.
    void lent_to(const SlowHold& hold) noexcept { lent_ = &hold; }
    void give_back(SlowHold hold) noexcept
    {
        lent_ = nullptr;
        hold_.emplace(std::move(hold));
    }
    [[nodiscard]] State& state() noexcept { return *state_; }
    [[nodiscard]] const DomainRow& domain() const noexcept { return domain_; }

    /// What was opened under this hold, which no other process can rewrite (R10, R15); and the
    /// embedder's connection, as intend saw it: a descriptor and the socket behind it.
    struct Opened {
        Intent intent;
        int fd;  ///< -1: intend was given none
        std::uint64_t socket;
    };
    std::vector<Opened> opened;
    /// Null: it was opened otherwise, or is settled.
    [[nodiscard]] const Opened* find_opened(IntentId id) const noexcept
    {
        const auto found =
            std::ranges::find(opened, id, [](const Opened& one) { return one.intent.id; });
        return found == opened.end() ? nullptr : &*found;
    }

private:
    std::shared_ptr<State> state_;
    DomainRow domain_;
    std::optional<SlowHold> hold_;
    const SlowHold* lent_ = nullptr;
    std::size_t uses_ = 0;
};

/// What stands behind it. Errors: invalid (NULL), and as of Held::check_open().
Result<std::shared_ptr<Held>> held_of(const xlstore_hold* hold);

class Making;

/// What an operation ends with, when it ends well or with an outcome of its own.
struct Answer {
    std::string message;
    std::string json;
    std::int64_t intent = 0;
    int32_t status = XLSTORE_OK;
    std::shared_ptr<Held> held = {};
    std::shared_ptr<Making> made = {};
};
using Work = Task<Result<Answer>>;

[[nodiscard]] int32_t status_of(Errc code) noexcept;
/// For xlstore_last_error(), of this thread; and for the store that the call was found to be for.
void remember(int32_t status, std::int64_t intent = 0, std::string_view message = {},
              std::string_view advice = {}) noexcept;
/// The words of an Answer. What was done stays done where there is no memory for them: `write` is
/// called, and what it could not finish is missing.
template <class Write>
void in_words(Answer& answer, Write write) noexcept
{
    try {
        write(answer);
    } catch (const std::exception&) {
        answer.message.clear();
        answer.json.clear();
    }
}

/// One call, from here to the end of the scope: nothing is remembered of the one before. In a
/// callback of another call it is inside of that one, which goes on as it was.
class CallScope {
public:
    CallScope() noexcept;
    CallScope(const CallScope&) = delete;
    CallScope& operator=(const CallScope&) = delete;
    ~CallScope();

private:
    std::shared_ptr<State> outer_;
};
/// The boundary: nothing that is thrown crosses it. `body` returns Result<void>.
template <class F>
int32_t guarded(F body) noexcept
{
    const CallScope call;
    const auto result = [&]() noexcept -> Result<void> {
        try {
            return body();
        } catch (...) {
            return caught();
        }
    }();
    if (result) return XLSTORE_OK;
    const int32_t status = status_of(result.error().code);
    const Error& error = result.error();
    remember(status, error.intent.value_or(0), error.message, error.advice);
    return status;
}

/// The store that the call of this thread is for, which keeps its error as well.
void is_for(const std::shared_ptr<State>& state) noexcept;
/// As remembered last, into a struct of the caller's, whose struct_size is set.
int32_t give_error(const xlstore_error& error, xlstore_error* out) noexcept;
/// The result of a call that failed before its operation ran. Nothing: there is no memory for it.
[[nodiscard]] xlstore_result* failed_result() noexcept;
/// What xlstore_last_error() says, for a call that has no store that could be asked. NULL: not
/// wanted.
void give_error_to(xlstore_error* out) noexcept;

/// Says that there was no memory for what the caller is to get.
int32_t no_memory(const xlstore_store* store) noexcept;

/// Lets go of it when the store is closed.
void depend(State& state, const std::shared_ptr<Dependent>& dependent);
[[nodiscard]] Error closed_error();

/// The state behind a handle. Errors: invalid (NULL), order (closed, or in a forked child).
Result<State*> state_of(const xlstore_store* store);
/// The same, for what writes. Errors besides: invalid (the store is open read-only).
Result<State*> writer_of(const xlstore_store* store);
/// A text that must be there. Error invalid.
Result<std::string> text_of(const char* text, const char* what);
/// The path of a file, as it was given. Error invalid: NULL or empty.
Result<std::string> path_of(const char* path, const char* what);
/// The path of a monitor, made absolute: the store may be used from another directory later. Error
/// invalid: NULL or empty.
Result<std::string> monitor_path_of(const char* path);
/// NULL-terminated, at least one. Error invalid.
Result<std::vector<std::string>> texts_of(const char* const* texts, const char* what);
Result<DomainRow> domain_of(State& state, const char* word);
/// "domain 7 (web) runs: ...", with its members. From what a creation ended with.
Work created_work(Task<Result<Created>> task);
/// What became of each thing, as xlstore_register() gives it.
Answer registered_answer(const Registered& registered);
/// The same work; what fails because its domain was destroyed meanwhile, by this process or another
/// one, fails as gone (R8).
Work gone_with_its_domain(Store& store, DomainId domain, Work work);
/// A JSON array of these values.
[[nodiscard]] std::string joined(const std::vector<std::string>& values);
[[nodiscard]] char* new_string(std::string_view text);
/// As much of it as fits, cut between two characters.
void copy_text(std::span<char> to, std::string_view text) noexcept;

/// A struct that the caller filled, or `standard` for NULL. Error invalid: its size is none of
/// ours, or it has a tail that this release does not know.
template <class T>
Result<T> taken(const T* given, T standard, const char* what, std::size_t earlier = sizeof(T))
{
    if (!given) return standard;
    const std::size_t size = given->struct_size;
    const auto* bytes = reinterpret_cast<const unsigned char*>(given);
    const std::size_t known = std::min(size, sizeof(T));
    if ((size < sizeof(T) && size != earlier) || size > 4096 ||
        std::any_of(bytes + known, bytes + size, [](unsigned char c) { return c != 0; }))
        return Error(Errc::invalid,
                     std::string(what) + ": struct_size " + std::to_string(size) +
                         " is that of no release that this one knows",
                     "begin with its _INIT");
    std::memcpy(&standard, given, known);
    return standard;
}
/// A struct of ours into one of the caller's, whose struct_size says how much there is. `least`:
/// its size in the first release that had it; an older program gets as much as it knows.
template <class T>
Result<void> give(T* out, T value, const char* what, std::size_t least = sizeof(T))
{
    if (!out || (out->struct_size < sizeof(T) && out->struct_size != least))
        return Error(Errc::invalid, std::string(what) + ": NULL, or its struct_size is too small",
                     "begin with its _INIT");
    value.struct_size = out->struct_size;
    std::memcpy(out, &value, std::min<std::size_t>(out->struct_size, sizeof(T)));
    return {};
}

/// A struct of the caller's as its _INIT has it, as far as the caller knows it: `size` bytes.
/// REQUIRES that `standard` has static storage: what lies between its members is zero then, which a
/// later release may make a member of.
template <class T>
void init(T* to, std::size_t size, const T& standard) noexcept
{
    if (!to || size < sizeof standard.struct_size) return;
    std::memset(static_cast<void*>(to), 0, size);
    std::memcpy(static_cast<void*>(to), &standard, std::min(size, sizeof standard));
    to->struct_size = static_cast<std::uint32_t>(size);
}

/// With XLSTORE_TRY: now. Error invalid: it has flags that this call does not take.
Result<Deadline> deadline_of(const xlstore_call* call, std::chrono::milliseconds standard,
                             std::uint32_t flags_taken = 0);
/// The flags of a call that was found good.
[[nodiscard]] std::uint32_t flags_of(const xlstore_call* call);
/// What messages call the document of a call that was found good.
[[nodiscard]] std::string document_name(const xlstore_call* call);
/// What came with that document from another store; "": nothing.
[[nodiscard]] std::string things_with(const xlstore_call* call);

/// Makes the embedder call xlstore_dispatch() if a callback is to come.
void ring_if_due(State& state) noexcept;
/// A stretch in which the store's loop runs. It uses up the ring that was meant for the embedder,
/// and may end other operations; so each of them ends with a ring of its own.
class LoopRun {
public:
    explicit LoopRun(State& state) noexcept : state_(state) {}
    LoopRun(const LoopRun&) = delete;
    LoopRun& operator=(const LoopRun&) = delete;
    ~LoopRun() { ring_if_due(state_); }

private:
    State& state_;
};
/// Runs `task` to its end on the store's loop, on which all others of this store go on: one of them
/// may hold what it waits for. Callbacks wait for xlstore_dispatch().
template <class T>
T run_on_loop(State& state, Task<T> task)
{
    const LoopRun run(state);
    return state.store->loop().wait_for(std::move(task));
}
/// Runs it to its end on the store's loop.
int32_t finish_waiting(State& state, Work work, xlstore_result** out);
/// Starts it at the next dispatch.
Result<void> begin(State& state, Work work, xlstore_callback callback, void* userdata,
                   xlstore_op** out);

/// The waiting form of an operation: `prepare(State&)` checks the arguments and makes the Work.
/// `open`: state_of for one that may only look. `in_order`: R7.
template <class Prepare>
int32_t wait_for(const xlstore_store* store, xlstore_result** out, Prepare prepare,
                 Result<State*> (*open)(const xlstore_store*) = writer_of,
                 Result<void> (*in_order)() = LockOrder::may_block) noexcept
{
    int32_t outcome = XLSTORE_OK;
    const int32_t called = guarded([&]() -> Result<void> {
        auto state = open(store);
        if (!state) return state.error();
        if (auto order = in_order(); !order) return order;
        auto work = prepare(**state);
        if (!work) return work.error();
        outcome = finish_waiting(**state, *std::move(work), out);
        return {};
    });
    if (called == XLSTORE_OK) return outcome;
    if (out && !*out) *out = failed_result();
    return called;
}

/// The same for one that waits for no slow lock and none of libxl's: it may be made under the
/// embedder's context lock (R7).
template <class Prepare>
int32_t wait_without_slow(const xlstore_store* store, xlstore_result** out, Prepare prepare,
                          Result<State*> (*open)(const xlstore_store*) = writer_of) noexcept
{
    return wait_for(store, out, std::move(prepare), open, LockOrder::may_dispatch);
}

/// The form that returns at once.
template <class Prepare>
int32_t start(const xlstore_store* store, xlstore_callback callback, void* userdata,
              xlstore_op** out, Prepare prepare,
              Result<State*> (*open)(const xlstore_store*) = writer_of) noexcept
{
    return guarded([&]() -> Result<void> {
        auto state = open(store);
        if (!state) return state.error();
        if (!callback) return Error(Errc::invalid, "callback: NULL");
        auto work = prepare(**state);
        if (!work) return work.error();
        return begin(**state, *std::move(work), callback, userdata, out);
    });
}

}  // namespace xlstore::capi

struct xlstore_store {
    std::shared_ptr<xlstore::capi::State> state;
};

struct xlstore_result {
    int32_t status = XLSTORE_OK;
    std::string message;
    std::string advice;
    std::string json;
    std::int64_t intent = 0;
    std::shared_ptr<xlstore::capi::Held> held;
    std::shared_ptr<xlstore::capi::Making> made;
};

struct xlstore_op {
    xlstore::capi::State& state;
    xlstore_callback callback;
    void* userdata;
    xlstore_result result = {};
    std::optional<xlstore::Task<void>> task = {};
    bool delivered = false;
};

struct xlstore_hold {
    std::shared_ptr<xlstore::capi::Held> held;
};

#endif  // XLSTORE_STORE_CAPI_HANDLE_HPP_
