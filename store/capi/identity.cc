// SPDX-License-Identifier: MIT
// What a domain is called, and its document on the way to another store, closed while it goes
// there.
#include "store/operation/identity.hpp"

#include "store/base/limits.hpp"
#include "store/base/random.hpp"
#include "store/capi/handle.hpp"
#include "store/operation/closing.hpp"
#include "store/operation/migration.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::capi {

namespace {

// The name that the domain has to have still: one that the caller named it by. `word` fitted it.
std::optional<std::string> name_in(std::string_view word, const DomainRow& domain)
{
    if (word != domain.name && word != "name:" + domain.name) return std::nullopt;
    return domain.name;
}

Work rename_work(Store& store, DomainRow domain, std::optional<std::string> old, std::string name,
                 std::int64_t revision, Deadline until)
{
    const std::string before = domain.subject();
    auto renamed = co_await rename_domain(store, std::move(domain), std::move(old), std::move(name),
                                          revision, until);
    if (!renamed) co_return std::move(renamed).error();
    Answer answer;
    in_words(answer, [&](Answer& words) {
        words.message = before + " is now " + renamed->subject();
        words.json = json_object({{"result", json_quote("done")},
                                  {"domid", std::to_string(renamed->domid)},
                                  {"name", json_quote(renamed->name)}});
    });
    co_return answer;
}

Work preserve_work(Store& store, DomainRow domain, std::optional<std::string> old, std::string name,
                   std::string uuid, Deadline until)
{
    const std::string before = domain.subject();
    auto kept = co_await preserve_domain(store, std::move(domain), std::move(old), std::move(name),
                                         std::move(uuid), until);
    if (!kept) co_return std::move(kept).error();
    Answer answer;
    in_words(answer, [&](Answer& words) {
        words.message = before + " is kept as " + kept->subject() + ", uuid " + *kept->vm_uuid;
        words.json = json_object({{"result", json_quote("done")},
                                  {"domid", std::to_string(kept->domid)},
                                  {"name", json_quote(kept->name)},
                                  {"vm_uuid", json_quote(*kept->vm_uuid)}});
    });
    co_return answer;
}

Result<Work> rename_of(State& state, const char* domain, const char* name, int64_t revision,
                       const xlstore_call* call)
{
    auto text = text_of(name, "name");
    if (!text) return text.error();
    if (revision < 0) return Error(Errc::invalid, "revision: negative");
    const auto until = deadline_of(call, limits::operation_timeout);
    if (!until) return until.error();
    auto row = domain_of(state, domain);
    if (!row) return row.error();
    auto old = name_in(domain, *row);
    return rename_work(*state.store, *std::move(row), std::move(old), *std::move(text), revision,
                       *until);
}

Result<Work> preserve_of(State& state, const char* domain, const char* name, const char* uuid,
                         const xlstore_call* call)
{
    auto text = text_of(name, "name");
    if (!text) return text.error();
    const auto until = deadline_of(call, limits::operation_timeout);
    if (!until) return until.error();
    auto row = domain_of(state, domain);
    if (!row) return row.error();
    auto old = name_in(domain, *row);
    return preserve_work(*state.store, *std::move(row), std::move(old), *std::move(text),
                         // libxl gives a preserved domain a uuid of its own as well: the old one is
                         // the new domain's.
                         uuid ? std::string(uuid) : random_uuid(), *until);
}

std::string quoted(const std::vector<std::string>& texts)
{
    std::vector<std::string> all;
    all.reserve(texts.size());
    for (const auto& text : texts)
        all.push_back(json_quote(text));
    return joined(all);
}

Work close_work(Store& store, DomainRow domain, std::string reason, Deadline until)
{
    auto closed = co_await close_document(store, std::move(domain), std::move(reason), until);
    if (!closed) co_return std::move(closed).error();
    Answer answer;
    in_words(answer, [&](Answer& words) {
        words.message = closed->domain.subject() + ": its document is closed";
        words.json = json_object({{"result", json_quote("done")},
                                  {"domid", std::to_string(closed->domain.domid)},
                                  {"notes", quoted(closed->notes)}});
    });
    co_return answer;
}

Work reopen_work(Store& store, DomainRow domain, Deadline until)
{
    auto opened = co_await reopen_document(store, std::move(domain), until);
    if (!opened) co_return std::move(opened).error();
    Answer answer;
    in_words(answer, [&](Answer& words) {
        words.message = opened->subject() + ": its document is open";
        words.json =
            json_object({{"result", json_quote("done")}, {"domid", std::to_string(opened->domid)}});
    });
    co_return answer;
}

Result<Work> close_of(State& state, const char* domain, const char* reason,
                      const xlstore_call* call)
{
    auto text = text_of(reason, "reason");
    if (!text) return text.error();
    const auto until = deadline_of(call, limits::operation_timeout);
    if (!until) return until.error();
    auto row = domain_of(state, domain);
    if (!row) return row.error();
    const DomainId id = row->id;
    return gone_with_its_domain(
        *state.store, id, close_work(*state.store, *std::move(row), *std::move(text), *until));
}

Result<Work> reopen_of(State& state, const char* domain, const xlstore_call* call)
{
    const auto until = deadline_of(call, limits::operation_timeout);
    if (!until) return until.error();
    auto row = domain_of(state, domain);
    if (!row) return row.error();
    return reopen_work(*state.store, *std::move(row), *until);
}

}  // namespace

}  // namespace xlstore::capi

using namespace xlstore::capi;  // NOLINT(google-build-using-namespace): this is its C face

int32_t xlstore_rename(xlstore_store* store, const char* domain, const char* name, int64_t revision,
                       const xlstore_call* call, xlstore_result** result_out)
{
    return wait_without_slow(store, result_out, [&](State& state) {
        return rename_of(state, domain, name, revision, call);
    });
}

int32_t xlstore_rename_start(xlstore_store* store, const char* domain, const char* name,
                             int64_t revision, const xlstore_call* call, xlstore_callback callback,
                             void* userdata, xlstore_op** op_out)
{
    return start(store, callback, userdata, op_out,
                 [&](State& state) { return rename_of(state, domain, name, revision, call); });
}

int32_t xlstore_preserve(xlstore_store* store, const char* domain, const char* name,
                         const char* uuid, const xlstore_call* call, xlstore_result** result_out)
{
    return wait_without_slow(store, result_out, [&](State& state) {
        return preserve_of(state, domain, name, uuid, call);
    });
}

int32_t xlstore_preserve_start(xlstore_store* store, const char* domain, const char* name,
                               const char* uuid, const xlstore_call* call,
                               xlstore_callback callback, void* userdata, xlstore_op** op_out)
{
    return start(store, callback, userdata, op_out,
                 [&](State& state) { return preserve_of(state, domain, name, uuid, call); });
}

int32_t xlstore_outgoing_domain(xlstore_store* store, const char* domain, const char* name,
                                char** json_out, char** things_out, char** notes_out)
{
    return guarded([&]() -> xlstore::Result<void> {
        auto state = state_of(store);
        if (!state) return state.error();
        if (!json_out) return xlstore::Error(xlstore::Errc::invalid, "json_out: NULL");
        auto row = domain_of(**state, domain);
        if (!row) return row.error();
        auto outgoing = xlstore::outgoing_document(
            (*state)->store->db(), *row, name ? std::optional<std::string>(name) : std::nullopt);
        if (!outgoing) return outgoing.error();
        // All strings are made before one is given: what fails must not leave a half-filled answer.
        std::unique_ptr<char[]> json(new_string(outgoing->text));
        std::unique_ptr<char[]> things(things_out ? new_string(outgoing->things) : nullptr);
        if (notes_out)
            *notes_out = new_string(quoted(things_out ? outgoing->unknown : outgoing->notes));
        *json_out = json.release();
        if (things_out) *things_out = things.release();
        return {};
    });
}

int32_t xlstore_outgoing_document(xlstore_store* store, const char* domain, const char* name,
                                  char** json_out, char** notes_out)
{
    return xlstore_outgoing_domain(store, domain, name, json_out, nullptr, notes_out);
}

int32_t xlstore_close_document(xlstore_store* store, const char* domain, const char* reason,
                               const xlstore_call* call, xlstore_result** result_out)
{
    return wait_for(store, result_out,
                    [&](State& state) { return close_of(state, domain, reason, call); });
}

int32_t xlstore_close_document_start(xlstore_store* store, const char* domain, const char* reason,
                                     const xlstore_call* call, xlstore_callback callback,
                                     void* userdata, xlstore_op** op_out)
{
    return start(store, callback, userdata, op_out,
                 [&](State& state) { return close_of(state, domain, reason, call); });
}

int32_t xlstore_reopen_document(xlstore_store* store, const char* domain, const xlstore_call* call,
                                xlstore_result** result_out)
{
    return wait_without_slow(store, result_out,
                             [&](State& state) { return reopen_of(state, domain, call); });
}

int32_t xlstore_reopen_document_start(xlstore_store* store, const char* domain,
                                      const xlstore_call* call, xlstore_callback callback,
                                      void* userdata, xlstore_op** op_out)
{
    return start(store, callback, userdata, op_out,
                 [&](State& state) { return reopen_of(state, domain, call); });
}
