// SPDX-License-Identifier: MIT
// The document, and things under the fast lock.
#include "store/operation/edit.hpp"

#include <functional>

#include "store/base/limits.hpp"
#include "store/capi/handle.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::capi {

/// An explicit fast lock. Its loop is its own: while it waits for the writer lock, nothing else
/// runs.
class FastHeld final : public Dependent {
public:
    FastHeld(std::shared_ptr<State> state, FastLock lock, std::string operation, Deadline until)
        : state_(std::move(state)),
          operation_(std::move(operation)),
          until_(until),
          lock_(std::move(lock)),
          held_(std::in_place)
    {}
    void let_go() noexcept override
    {
        lock_.reset();
        held_.reset();
    }

    Result<State*> state()
    {
        is_for(state_);
        if (!lock_) return Error(Errc::order, "the store was closed", "nothing was done");
        if (auto ok = state_->store->check_fork(); !ok) return ok.error();
        return state_.get();
    }
    [[nodiscard]] const FastLock& lock() const noexcept { return *lock_; }

    /// One commit of it.
    Result<void> commit(const std::function<Result<void>(Store&, const FastHold&)>& edit)
    {
        auto ours = state();
        if (!ours) return ours.error();
        Store& store = *(*ours)->store;
        // The caller may hold the lock for longer than its deadline; its commit still has a moment
        // for the writer lock.
        const auto until = std::max(until_, Clock::now() + std::chrono::seconds(1));
        return loop_.wait_for(store.with_held_fast_lock(
            loop_, *lock_, operation_, until, [&](const FastHold& fast) -> Result<void> {
                if (auto begun = begin_edit(store, fast, 0); !begun) return begun.error();
                return edit(store, fast);
            }));
    }

private:
    std::shared_ptr<State> state_;
    Loop loop_;
    std::string operation_;
    Deadline until_;
    std::optional<FastLock> lock_;
    std::optional<LockOrder::FastHeld> held_;
};

}  // namespace xlstore::capi

struct xlstore_fast {
    std::shared_ptr<xlstore::capi::FastHeld> held;
};

namespace xlstore::capi {

namespace {

// What an edit writes, after its text was checked: a text that is refused takes no lock.
using Edit = std::function<Result<void>(Store&, const FastHold&)>;

Edit writing(Document document)
{
    return [document = std::move(document)](Store& store, const FastHold& fast) {
        return write_document(store, fast, document);
    };
}

Result<Edit> writing(const char* json)
{
    auto text = text_of(json, "json");
    if (!text) return text.error();
    auto document = parse_document(*text, "document");
    if (!document) return document.error();
    return writing(*std::move(document));
}

Result<Edit> putting(const char* device_class, const char* json)
{
    auto name = text_of(device_class, "device_class");
    if (!name) return name.error();
    auto text = text_of(json, "json");
    if (!text) return text.error();
    return Edit([name = *name, text = *text](Store& store, const FastHold& fast) {
        return put_thing(store, fast, name, text);
    });
}

Result<Edit> removing(const char* device_class, const char* key)
{
    auto name = text_of(device_class, "device_class");
    if (!name) return name.error();
    auto which = text_of(key, "key");
    if (!which) return which.error();
    return Edit([thing = ThingName{*name, *which}](Store& store, const FastHold& fast) {
        return remove_thing(store, fast, thing);
    });
}

Task<Result<std::int64_t>> edit_once(Store& store, DomainRow domain, std::int64_t revision,
                                     Edit edit, Deadline until)
{
    Loop& loop = store.loop();
    const auto fast = co_await store.fast_lock(loop, domain.id, "edit", until);
    if (!fast) co_return fast.error();
    co_return co_await store.with_held_fast_lock(loop, *fast, "edit", until,
                                                 [&](const FastHold& held) -> Result<std::int64_t> {
                                                     auto next = begin_edit(store, held, revision);
                                                     if (!next) return next;
                                                     if (auto ok = edit(store, held); !ok)
                                                         return ok.error();
                                                     return next;
                                                 });
}

Work edit_work(Store& store, DomainRow domain, std::int64_t revision, Edit edit, Deadline until)
{
    const std::string subject = domain.subject();
    auto written = co_await edit_once(store, std::move(domain), revision, std::move(edit), until);
    if (!written) co_return std::move(written).error();
    const auto number = std::to_string(*written);
    Answer answer;
    in_words(answer, [&](Answer& words) {
        words.message = subject + ": its document has revision " + number;
        words.json = json_object({{"result", json_quote("done")}, {"revision", number}});
    });
    co_return answer;
}

// What both forms need; `make` checks what is to be written.
struct Prepared {
    DomainRow domain;
    Edit edit;
    Deadline until;
};
Result<Prepared> prepare(State& state, const char* domain, std::int64_t revision, Result<Edit> edit,
                         const xlstore_call* call)
{
    if (!edit) return edit.error();
    if (revision < 0) return Error(Errc::invalid, "revision: negative");
    const auto until = deadline_of(call, limits::operation_timeout);
    if (!until) return until.error();
    auto row = domain_of(state, domain);
    if (!row) return row.error();
    return Prepared{*std::move(row), *std::move(edit), *until};
}

// The form that waits. It needs no loop of the embedder's, and may be called from a callback.
template <class Make>
int32_t edit_now(xlstore_store* store, const char* domain, std::int64_t revision,
                 const xlstore_call* call, int64_t* revision_out, Make make) noexcept
{
    return guarded([&]() -> Result<void> {
        auto state = writer_of(store);
        if (!state) return state.error();
        if (auto order = LockOrder::may_take(LockKind::fast); !order) return order;
        auto prepared = prepare(**state, domain, revision, make(), call);
        if (!prepared) return prepared.error();
        // An operation under way may hold the fast lock, and has to get on for it to become free.
        auto written =
            run_on_loop(**state, edit_once(*(*state)->store, std::move(prepared->domain), revision,
                                           std::move(prepared->edit), prepared->until));
        if (!written) return written.error();
        if (revision_out) *revision_out = *written;
        return {};
    });
}

Result<Work> edit_of(State& state, const char* domain, std::int64_t revision,
                     const xlstore_call* call, Result<Edit> edit)
{
    auto prepared = prepare(state, domain, revision, std::move(edit), call);
    if (!prepared) return prepared.error();
    return edit_work(*state.store, std::move(prepared->domain), revision, std::move(prepared->edit),
                     prepared->until);
}

Result<std::int64_t> revision_of(Db& db, DomainId domain)
{
    auto row = db.prepare("SELECT revision FROM domain WHERE id = ?").bind(value_of(domain));
    if (!row.step()) return Error(Errc::gone, "the domain is gone");
    return row.integer(0);
}

// A look at one moment (R2); `read` gives the text.
template <class Read>
int32_t read_now(xlstore_store* store, const char* domain, char** json_out, int64_t* revision_out,
                 Read read) noexcept
{
    return guarded([&]() -> Result<void> {
        auto state = state_of(store);
        if (!state) return state.error();
        if (!json_out) return Error(Errc::invalid, "json_out: NULL");
        Db& db = (*state)->store->db();
        const ReadTransaction snapshot(db);
        auto row = domain_of(**state, domain);
        if (!row) return row.error();
        auto revision = revision_of(db, row->id);
        if (!revision) return revision.error();
        auto text = read(db, *row);
        if (!text) return text.error();
        *json_out = new_string(*text);
        if (revision_out) *revision_out = *revision;
        return {};
    });
}

Result<FastHeld*> fast_of(const xlstore_fast* fast)
{
    if (!fast) return Error(Errc::invalid, "fast: NULL");
    return fast->held.get();
}

template <class Make>
int32_t commit_under(xlstore_fast* fast, Make make) noexcept
{
    return guarded([&]() -> Result<void> {
        auto held = fast_of(fast);
        if (!held) return held.error();
        if (auto state = (*held)->state(); !state) return state.error();
        auto edit = make();
        if (!edit) return edit.error();
        return (*held)->commit(*edit);
    });
}

}  // namespace

}  // namespace xlstore::capi

using namespace xlstore;        // NOLINT(google-build-using-namespace): this is its C face
using namespace xlstore::capi;  // NOLINT(google-build-using-namespace)

int32_t xlstore_document(xlstore_store* store, const char* domain, char** json_out,
                         int64_t* revision_out)
{
    return read_now(store, domain, json_out, revision_out,
                    [](Db& db, const DomainRow& row) -> Result<std::string> {
                        return export_document(db, row);
                    });
}

int32_t xlstore_thing(xlstore_store* store, const char* domain, const char* device_class,
                      const char* key, char** json_out, int64_t* revision_out)
{
    return read_now(store, domain, json_out, revision_out,
                    [&](Db& db, const DomainRow& row) -> Result<std::string> {
                        auto name = text_of(device_class, "device_class");
                        if (!name) return name.error();
                        auto which = text_of(key, "key");
                        if (!which) return which.error();
                        const ThingName wanted{*name, *which};
                        auto thing = read_thing(db, row.id, wanted);
                        if (!thing)
                            return Error(Errc::not_found,
                                         row.subject() + " has no " + wanted.text());
                        auto read = check_readable(row, wanted.text(), thing->json);
                        if (!read) return std::move(read).error();
                        return thing->json;
                    });
}

int32_t xlstore_write_document(xlstore_store* store, const char* domain, const char* json,
                               int64_t revision, const xlstore_call* call, int64_t* revision_out)
{
    return edit_now(store, domain, revision, call, revision_out, [&] { return writing(json); });
}

int32_t xlstore_write_document_start(xlstore_store* store, const char* domain, const char* json,
                                     int64_t revision, const xlstore_call* call,
                                     xlstore_callback callback, void* userdata, xlstore_op** op_out)
{
    return start(store, callback, userdata, op_out, [&](State& state) {
        return edit_of(state, domain, revision, call, writing(json));
    });
}

int32_t xlstore_put_thing(xlstore_store* store, const char* domain, const char* device_class,
                          const char* json, int64_t revision, const xlstore_call* call,
                          int64_t* revision_out)
{
    return edit_now(store, domain, revision, call, revision_out,
                    [&] { return putting(device_class, json); });
}

int32_t xlstore_put_thing_start(xlstore_store* store, const char* domain, const char* device_class,
                                const char* json, int64_t revision, const xlstore_call* call,
                                xlstore_callback callback, void* userdata, xlstore_op** op_out)
{
    return start(store, callback, userdata, op_out, [&](State& state) {
        return edit_of(state, domain, revision, call, putting(device_class, json));
    });
}

int32_t xlstore_remove_thing(xlstore_store* store, const char* domain, const char* device_class,
                             const char* key, int64_t revision, const xlstore_call* call,
                             int64_t* revision_out)
{
    return edit_now(store, domain, revision, call, revision_out,
                    [&] { return removing(device_class, key); });
}

int32_t xlstore_remove_thing_start(xlstore_store* store, const char* domain,
                                   const char* device_class, const char* key, int64_t revision,
                                   const xlstore_call* call, xlstore_callback callback,
                                   void* userdata, xlstore_op** op_out)
{
    return start(store, callback, userdata, op_out, [&](State& state) {
        return edit_of(state, domain, revision, call, removing(device_class, key));
    });
}

int32_t xlstore_fast_lock(xlstore_store* store, const char* domain, const char* operation,
                          const xlstore_call* call, xlstore_fast** fast_out)
{
    return guarded([&]() -> Result<void> {
        auto state = writer_of(store);
        if (!state) return state.error();
        if (!fast_out) return Error(Errc::invalid, "fast_out: NULL");
        if (auto order = LockOrder::may_take(LockKind::fast); !order) return order;
        auto what = text_of(operation, "operation");
        if (!what) return what.error();
        const auto until = deadline_of(call, limits::operation_timeout, XLSTORE_TRY);
        if (!until) return until.error();
        auto row = domain_of(**state, domain);
        if (!row) return row.error();
        Store& own = *(*state)->store;
        auto lock = run_on_loop(**state, own.fast_lock(own.loop(), row->id, *what, *until));
        if (!lock) return lock.error();
        // R8, and that the incarnation is still that of the name, now that no other process can
        // change it.
        const auto now = read_domain(own.db(), row->id);
        if (!now || now->state == DomainState::destroying || now->state == DomainState::destroyed)
            return Error(Errc::gone, row->subject() + " was destroyed or is being destroyed (R8)");
        auto held = std::make_shared<FastHeld>(store->state, *std::move(lock), *what, *until);
        depend(*store->state, held);
        *fast_out = new xlstore_fast{std::move(held)};
        return {};
    });
}

void xlstore_fast_release(xlstore_fast* fast)
{
    delete fast;
}

int32_t xlstore_fast_document(xlstore_fast* fast, char** json_out)
{
    return guarded([&]() -> Result<void> {
        auto held = fast_of(fast);
        if (!held) return held.error();
        auto state = (*held)->state();
        if (!state) return state.error();
        if (!json_out) return Error(Errc::invalid, "json_out: NULL");
        Db& db = (*state)->store->db();
        const ReadTransaction snapshot(db);
        const auto row = read_domain(db, (*held)->lock().domain());
        if (!row) return Error(Errc::gone, "the domain is gone");
        auto text = export_document(db, *row);
        if (!text) return text.error();
        *json_out = new_string(*text);
        return {};
    });
}

int32_t xlstore_fast_write_document(xlstore_fast* fast, const char* json)
{
    return commit_under(fast, [&] { return writing(json); });
}

int32_t xlstore_fast_put_thing(xlstore_fast* fast, const char* device_class, const char* json)
{
    return commit_under(fast, [&] { return putting(device_class, json); });
}

int32_t xlstore_fast_remove_thing(xlstore_fast* fast, const char* device_class, const char* key)
{
    return commit_under(fast, [&] { return removing(device_class, key); });
}
