// SPDX-License-Identifier: MIT
// A creation in steps, for embedders that start QEMU themselves.
#include "store/lifecycle/creation.hpp"

#include <unistd.h>

#include "store/base/limits.hpp"
#include "store/capi/handle.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::capi {

/// A creation in the embedder's hands. An operation under way shares it.
class Making final : public Dependent {
public:
    Making(std::shared_ptr<State> state, Creation creation)
        : state_(std::move(state)), id_(creation.domain().id), creation_(std::move(creation))
    {}
    void let_go() noexcept override { creation_.reset(); }
    /// Error order: its store was closed, it is over, or this is a forked child.
    Result<Creation*> creation()
    {
        is_for(state_);
        if (state_->closed) return closed_error();
        if (auto ok = state_->store->check_fork(); !ok) return ok.error();
        if (!creation_) return Error(Errc::order, "the creation is over", "free it");
        return &*creation_;
    }
    /// For finish(). REQUIRES creation().
    std::unique_ptr<Creation> take()
    {
        auto taken = std::make_unique<Creation>(*std::move(creation_));
        creation_.reset();
        return taken;
    }
    void put_back(Creation creation) { creation_.emplace(std::move(creation)); }
    [[nodiscard]] const std::shared_ptr<State>& state() noexcept { return state_; }
    [[nodiscard]] DomainId id() const noexcept { return id_; }

private:
    std::shared_ptr<State> state_;
    DomainId id_;
    std::optional<Creation> creation_;
};

}  // namespace xlstore::capi

struct xlstore_creation {
    std::shared_ptr<xlstore::capi::Making> making;
};

namespace xlstore::capi {

namespace {

// Done, with words that are made last and may be missing (R18).
template <class Message>
Answer done_answer(Message message) noexcept
{
    Answer answer;
    in_words(answer, [&](Answer& words) {
        words.message = message();
        words.json = json_object({{"result", json_quote("done")}});
    });
    return answer;
}

Work begin_work(std::shared_ptr<State> state, Task<Result<Creation>> task)
{
    auto creation = co_await std::move(task);
    if (!creation) co_return std::move(creation).error();
    Answer answer;
    in_words(answer, [&](Answer& words) {
        const DomainRow& d = creation->domain();
        words.message = d.subject() + " is being created";
        words.json = json_object(
            {{"result", json_quote("done")}, {"incarnation", std::to_string(value_of(d.id))}});
    });
    std::optional<Error> failure;
    try {
        // The handle is made after the row: where there is no memory for it the creation is given
        // up, since no handle would be left to end it by.
        state->dependents.reserve(state->dependents.size() + 1);
        answer.made = std::make_shared<Making>(state, *std::move(creation));
        depend(*state, answer.made);
    } catch (const std::bad_alloc&) {
        failure = caught();  // the creation was not moved yet
    }
    if (failure)  // NOLINTNEXTLINE(bugprone-use-after-move): see above
        co_return co_await creation->give_up(*std::move(failure));
    co_return answer;
}

Result<Work> begin_of(const std::shared_ptr<State>& state, int32_t domid, const char* document,
                      const xlstore_call* call)
{
    auto text = text_of(document, "document");
    if (!text) return text.error();
    const auto until = deadline_of(call, limits::operation_timeout);
    if (!until) return until.error();
    return begin_work(state, Creation::begin(*state->store, domid, *std::move(text),
                                             document_name(call), *until, things_with(call)));
}

Result<Work> begin_again_of(const std::shared_ptr<State>& state, const char* domain,
                            const xlstore_call* call)
{
    const auto until = deadline_of(call, limits::operation_timeout);
    if (!until) return until.error();
    auto row = domain_of(*state, domain);
    if (!row) return row.error();
    return begin_work(state, Creation::begin_again(*state->store, *std::move(row), *until));
}

/// A creation out of its handle, where it is over. One that is cancelled before its finish has
/// begun is put back: nothing was changed.
class Taken {
public:
    explicit Taken(std::shared_ptr<Making> making)
        : making_(std::move(making)), creation_(making_->take())
    {}
    Taken(Taken&& other) noexcept = default;
    Taken& operator=(Taken&& other) = delete;
    Taken(const Taken&) = delete;
    Taken& operator=(const Taken&) = delete;
    ~Taken()
    {
        if (creation_) making_->put_back(std::move(*creation_));
    }
    /// From here on it ends, whether this succeeds or not.
    std::unique_ptr<Creation> begin() noexcept { return std::move(creation_); }

private:
    std::shared_ptr<Making> making_;  // its store lasts as long as this
    std::unique_ptr<Creation> creation_;
};

Work finish_work(Taken taken, Deadline until)
{
    const auto creation = taken.begin();
    auto answer = co_await created_work(creation->finish(until));
    co_return answer;
}

Result<Work> finish_of(const xlstore_creation* creation, const xlstore_call* call)
{
    if (!creation) return Error(Errc::invalid, "creation: NULL");
    if (auto ok = creation->making->creation(); !ok) return ok.error();
    const auto until = deadline_of(call, limits::create_timeout);
    if (!until) return until.error();
    return finish_work(Taken(creation->making), *until);
}

// What a waiting call on a creation needs besides its own arguments.
struct Step {
    Creation* creation;
    Deadline until;
    std::string monitor_path;
    std::string log_path;
    bool handed_in;
};

Result<Step> step_of(const xlstore_creation* creation, const char* monitor_path,
                     const char* log_path, uint32_t flags, const xlstore_call* call)
{
    if (!creation) return Error(Errc::invalid, "creation: NULL");
    auto open = creation->making->creation();
    if (!open) return open.error();
    auto path = monitor_path_of(monitor_path);
    if (!path) return path.error();
    if ((flags & ~XLSTORE_HANDED_IN) != 0) return Error(Errc::invalid, "flags: unknown bits");
    const auto until = deadline_of(call, limits::operation_timeout);
    if (!until) return until.error();
    return Step{*open, *until, *std::move(path), log_path ? absolute_path(log_path) : "",
                (flags & XLSTORE_HANDED_IN) != 0};
}

Work child_work(Step step, ProcessId qemu)
{
    const std::string subject = step.creation->domain().subject();
    auto done = co_await step.creation->child(std::move(qemu), std::move(step.monitor_path),
                                              std::move(step.log_path), step.handed_in, step.until);
    if (!done) co_return std::move(done).error();
    co_return done_answer([&] { return subject + ": its QEMU is registered"; });
}

Result<Work> child_of(const xlstore_creation* creation, int64_t pid, const char* monitor_path,
                      const char* log_path, uint32_t flags, const xlstore_call* call)
{
    auto step = step_of(creation, monitor_path, log_path, flags, call);
    if (!step) return step.error();
    auto qemu = identify(pid);
    if (!qemu) return qemu.error();
    // R11: a child that is not reaped keeps its pid; of any other process the number proves
    // nothing.
    if (parent_of(static_cast<pid_t>(pid)) != getpid())
        return Error(Errc::invalid,
                     "pid: process " + std::to_string(pid) + " is not a child of this process",
                     "xlstore_register takes a QEMU that another program started");
    return child_work(*std::move(step), *std::move(qemu));
}

Work without_qemu_work(Creation& creation, Deadline until)
{
    const std::string subject = creation.domain().subject();
    auto done = co_await creation.without_qemu(until);
    if (!done) co_return std::move(done).error();
    co_return done_answer([&] { return subject + " is created without a QEMU"; });
}

Result<Work> without_qemu_of(const xlstore_creation* creation, const xlstore_call* call)
{
    if (!creation) return Error(Errc::invalid, "creation: NULL");
    auto open = creation->making->creation();
    if (!open) return open.error();
    const auto until = deadline_of(call, limits::operation_timeout);
    if (!until) return until.error();
    return without_qemu_work(**open, *until);
}

Work spawn_work(Step step, SpawnRequest request, int64_t* pid_out)
{
    const std::string subject = step.creation->domain().subject();
    auto qemu = co_await step.creation->spawn(std::move(request), std::move(step.monitor_path),
                                              step.handed_in, step.until);
    if (!qemu && qemu.error().code == Errc::in_doubt)
        qemu.error().advice += "; xlstore_creation_finish waits for it, xlstore_destroy ends it";
    if (!qemu) co_return std::move(qemu).error();
    if (pid_out) *pid_out = qemu->pid;
    co_return done_answer(
        [&] { return subject + ": QEMU " + std::to_string(qemu->pid) + " runs"; });
}

Result<Work> spawn_of(const xlstore_creation* creation, const char* const* command,
                      const char* monitor_path, const char* log_path, const int* keep_fds,
                      size_t keep_fds_count, uint32_t flags, const xlstore_call* call,
                      int64_t* pid_out)
{
    auto step = step_of(creation, monitor_path, log_path, flags, call);
    if (!step) return step.error();
    auto words = texts_of(command, "command");
    if (!words) return words.error();
    if (keep_fds_count > 0 && !keep_fds) return Error(Errc::invalid, "keep_fds: NULL");
    SpawnRequest request;
    request.argv = *std::move(words);
    if (keep_fds_count > 0) request.keep_fds.assign(keep_fds, keep_fds + keep_fds_count);
    request.log_path = step->log_path;
    return spawn_work(*std::move(step), std::move(request), pid_out);
}

// A step that waits: its store is the creation's. `in_order`: R7.
template <class Prepare>
int32_t wait_step(const xlstore_creation* creation, xlstore_result** out, Prepare prepare,
                  Result<void> (*in_order)() = LockOrder::may_block) noexcept
{
    int32_t outcome = XLSTORE_OK;
    const int32_t called = guarded([&]() -> Result<void> {
        if (creation) is_for(creation->making->state());
        if (creation && creation->making->state()->closed) return closed_error();
        if (auto order = in_order(); !order) return order;
        auto work = prepare();
        if (!work) return work.error();
        outcome = finish_waiting(*creation->making->state(), *std::move(work), out);
        return {};
    });
    if (called == XLSTORE_OK) return outcome;
    if (out && !*out) *out = failed_result();
    return called;
}

int32_t hand_over(int32_t status, xlstore_result* result,
                  std::unique_ptr<xlstore_creation> creation, xlstore_creation** out)
{
    if (status == XLSTORE_OK) {
        creation->making = std::move(result->made);
        *out = creation.release();
    }
    xlstore_result_free(result);
    return status;
}

int32_t no_out(const xlstore_store* store)
{
    return guarded([&]() -> Result<void> {
        if (auto state = state_of(store); !state) return state.error();
        return Error(Errc::invalid, "creation_out: NULL");
    });
}

}  // namespace

}  // namespace xlstore::capi

using namespace xlstore::capi;  // NOLINT(google-build-using-namespace): this is its C face

int32_t xlstore_creation_begin(xlstore_store* store, int32_t domid, const char* document,
                               const xlstore_call* call, xlstore_creation** creation_out)
{
    if (!creation_out) return no_out(store);
    std::unique_ptr<xlstore_creation> creation(new (std::nothrow) xlstore_creation);
    if (!creation) return no_memory(store);
    xlstore_result* result = nullptr;
    const int32_t status = wait_without_slow(
        store, &result, [&](State&) { return begin_of(store->state, domid, document, call); });
    return hand_over(status, result, std::move(creation), creation_out);
}

int32_t xlstore_creation_begin_start(xlstore_store* store, int32_t domid, const char* document,
                                     const xlstore_call* call, xlstore_callback callback,
                                     void* userdata, xlstore_op** op_out)
{
    return start(store, callback, userdata, op_out,
                 [&](State&) { return begin_of(store->state, domid, document, call); });
}

int32_t xlstore_creation_begin_again(xlstore_store* store, const char* domain,
                                     const xlstore_call* call, xlstore_creation** creation_out)
{
    if (!creation_out) return no_out(store);
    std::unique_ptr<xlstore_creation> creation(new (std::nothrow) xlstore_creation);
    if (!creation) return no_memory(store);
    xlstore_result* result = nullptr;
    const int32_t status = wait_for(
        store, &result, [&](State&) { return begin_again_of(store->state, domain, call); });
    return hand_over(status, result, std::move(creation), creation_out);
}

int32_t xlstore_creation_begin_again_start(xlstore_store* store, const char* domain,
                                           const xlstore_call* call, xlstore_callback callback,
                                           void* userdata, xlstore_op** op_out)
{
    return start(store, callback, userdata, op_out,
                 [&](State&) { return begin_again_of(store->state, domain, call); });
}

xlstore_creation* xlstore_result_take_creation(xlstore_result* result)
{
    if (!result || !result->made) return nullptr;
    std::unique_ptr<xlstore_creation> creation(new (std::nothrow) xlstore_creation);
    if (creation) creation->making = std::move(result->made);
    return creation.release();
}

int64_t xlstore_creation_id(const xlstore_creation* creation)
{
    return creation ? xlstore::value_of(creation->making->id()) : 0;
}

int32_t xlstore_creation_paths(const xlstore_creation* creation, char** monitor_out, char** log_out)
{
    return guarded([&]() -> xlstore::Result<void> {
        if (!creation) return xlstore::Error(xlstore::Errc::invalid, "creation: NULL");
        auto open = creation->making->creation();
        if (!open) return open.error();
        std::unique_ptr<char[]> monitor(new_string((*open)->monitor_path()));
        if (log_out) *log_out = new_string((*open)->log_path());
        if (monitor_out) *monitor_out = monitor.release();
        return {};
    });
}

int32_t xlstore_creation_child(xlstore_creation* creation, int64_t pid, const char* monitor_path,
                               const char* log_path, uint32_t flags, const xlstore_call* call)
{
    return wait_step(
        creation, nullptr,
        [&] { return child_of(creation, pid, monitor_path, log_path, flags, call); },
        LockOrder::may_dispatch);
}

int32_t xlstore_creation_without_qemu(xlstore_creation* creation, const xlstore_call* call)
{
    return wait_step(
        creation, nullptr, [&] { return without_qemu_of(creation, call); },
        LockOrder::may_dispatch);
}

int32_t xlstore_creation_spawn(xlstore_creation* creation, const char* const* command,
                               const char* monitor_path, const char* log_path, const int* keep_fds,
                               size_t keep_fds_count, uint32_t flags, const xlstore_call* call,
                               int64_t* pid_out)
{
    return wait_step(creation, nullptr, [&] {
        return spawn_of(creation, command, monitor_path, log_path, keep_fds, keep_fds_count, flags,
                        call, pid_out);
    });
}

int32_t xlstore_creation_finish(xlstore_creation* creation, const xlstore_call* call,
                                xlstore_result** result_out)
{
    return wait_step(creation, result_out, [&] { return finish_of(creation, call); });
}

int32_t xlstore_creation_finish_start(xlstore_creation* creation, const xlstore_call* call,
                                      xlstore_callback callback, void* userdata,
                                      xlstore_op** op_out)
{
    return guarded([&]() -> xlstore::Result<void> {
        if (creation) is_for(creation->making->state());
        if (!callback) return xlstore::Error(xlstore::Errc::invalid, "callback: NULL");
        auto work = finish_of(creation, call);
        if (!work) return work.error();
        return begin(*creation->making->state(), *std::move(work), callback, userdata, op_out);
    });
}

void xlstore_creation_free(xlstore_creation* creation)
{
    delete creation;
}
