// SPDX-License-Identifier: MIT
// The life of a domain.

#include <map>

#include "store/base/limits.hpp"
#include "store/capi/handle.hpp"
#include "store/lifecycle/creation.hpp"
#include "store/lifecycle/destroy.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "store/lifecycle/registration.hpp"
#include "store/lifecycle/tombstone.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::capi {

namespace {

// The members that every result has of which a running domain comes; the last three where it has a
// QEMU.
std::vector<std::pair<std::string, std::string>> running_members(const DomainRow& d)
{
    std::vector<std::pair<std::string, std::string>> members = {
        {"result", json_quote("done")},
        {"domid", std::to_string(d.domid)},
        {"incarnation", std::to_string(value_of(d.id))}};
    if (!d.registration) return members;
    members.emplace_back("qemu_pid", std::to_string(d.registration->qemu.pid));
    members.emplace_back("monitor", json_quote(d.registration->path));
    members.emplace_back("log", json_quote(d.log_path));
    return members;
}

std::string running_message(const DomainRow& d)
{
    if (!d.registration) return d.subject() + " runs, without a QEMU";
    return d.subject() + " runs: QEMU pid " + std::to_string(d.registration->qemu.pid) +
           ", monitor " + d.registration->path + (d.log_path.empty() ? "" : ", log " + d.log_path);
}

Answer created_answer(const Created& created)
{
    Answer answer;
    in_words(answer, [&](Answer& words) {
        std::vector<std::string> notes;
        for (const auto& note : created.notes)
            notes.push_back(json_quote(note));
        auto members = running_members(created.domain);
        members.emplace_back("notes", joined(notes));
        words.message = running_message(created.domain);
        words.json = json_object(members);
    });
    return answer;
}

// Each note twice: as an object in the list of what became of it, and as a line for people.
void write_report(const Registered& registered, Answer& words)
{
    std::map<std::string, std::vector<std::string>> lists;
    std::vector<std::string> notes;
    for (const auto& note : registered.notes) {
        const std::string became(became_name(note.became));
        std::vector<std::pair<std::string, std::string>> object;
        if (note.thing) {
            object.emplace_back("class", json_quote(note.thing->device_class));
            object.emplace_back("key", json_quote(note.thing->key));
        }
        object.emplace_back("evidence", json_quote(note.text));
        lists[became].push_back(json_object(object));
        notes.push_back(json_quote(
            became + (note.thing ? " " + note.thing->text() : std::string()) + ": " + note.text));
    }
    if (!registered.gap.empty())
        notes.push_back(json_quote("what QEMU was started with is not known: " + registered.gap));
    auto members = running_members(registered.domain);
    for (const char* became : {"adopted", "returned", "stale", "differs", "left"})
        members.emplace_back(became, joined(lists[became]));
    members.emplace_back("initial_devices_known", registered.gap.empty() ? "true" : "false");
    members.emplace_back("notes", joined(notes));
    words.message = running_message(registered.domain);
    for (const auto& [became, list] : lists)
        if (!list.empty()) words.message += "; " + became + ": " + std::to_string(list.size());
    words.json = json_object(members);
}

}  // namespace

Answer registered_answer(const Registered& registered)
{
    Answer answer;
    in_words(answer, [&](Answer& words) { write_report(registered, words); });
    return answer;
}

// Shared by a creation in one call and one in steps (creation.cc): the same result has the same
// members.
Work created_work(Task<Result<Created>> task)
{
    auto created = co_await std::move(task);
    if (!created) co_return std::move(created).error();
    co_return created_answer(*created);
}

namespace {

// What is done with a domid and a result of no members but that.
Answer domid_answer(std::string message, std::int64_t domid) noexcept
{
    Answer answer;
    answer.message = std::move(message);
    in_words(answer, [&](Answer& words) {
        words.json =
            json_object({{"result", json_quote("done")}, {"domid", std::to_string(domid)}});
    });
    return answer;
}

Work register_work(Task<Result<Registered>> task)
{
    auto registered = co_await std::move(task);
    if (!registered) co_return std::move(registered).error();
    co_return registered_answer(*registered);
}

Work import_work(Task<Result<DomainRow>> task)
{
    auto domain = co_await std::move(task);
    if (!domain) co_return std::move(domain).error();
    // The import is done. Words that cannot be had must not turn it into a failure.
    std::string message;
    try {
        message = domain->subject() + " imported";
    } catch (const std::bad_alloc&) {
        message.clear();
    }
    co_return domid_answer(std::move(message), domain->domid);
}

Work destroy_work(Store& store, DomainRow domain, bool assume_dead, Deadline until)
{
    // Made now, because the row goes, and not copied later: memory that cannot be had must not turn
    // what is done into a failure (R18).
    std::string message = domain.subject() + " destroyed";
    const auto domid = domain.domid;
    auto task = assume_dead ? destroy_assumed_dead(store, std::move(domain), until)
                            : destroy_domain(store, std::move(domain), until);
    auto destroyed = co_await std::move(task);
    if (!destroyed) co_return std::move(destroyed).error();
    co_return domid_answer(std::move(message), domid);
}

Work destroy_domid_work(Store& store, std::int64_t domid, std::string uuid, Deadline until)
{
    const std::string subject = "domain " + std::to_string(domid) + " (uuid " + uuid + ")";
    auto there = co_await destroy_or_forestall(store, domid, std::move(uuid), until);
    if (!there) co_return std::move(there).error();
    Answer answer;
    in_words(answer, [&](Answer& words) {
        words.message = subject + (*there ? " destroyed"
                                          : " is not in the store; its creation is refused for the "
                                            "next 60 s");
        words.json =
            json_object({{"result", json_quote("done")}, {"row", *there ? "true" : "false"}});
    });
    co_return answer;
}

Result<Work> create_of(State& state, int32_t domid, const char* document,
                       const char* const* command, const xlstore_call* call)
{
    auto text = text_of(document, "document");
    if (!text) return text.error();
    auto words = texts_of(command, "command");
    if (!words) return words.error();
    const auto until = deadline_of(call, limits::create_timeout);
    if (!until) return until.error();
    return created_work(create_domain(*state.store, domid, *std::move(text), document_name(call),
                                      *std::move(words), *until, things_with(call)));
}

Result<Work> soft_reset_of(State& state, const char* domain, const char* const* command,
                           const xlstore_call* call)
{
    auto words = texts_of(command, "command");
    if (!words) return words.error();
    const auto until = deadline_of(call, limits::create_timeout);
    if (!until) return until.error();
    auto row = domain_of(state, domain);
    if (!row) return row.error();
    const DomainId id = row->id;
    return gone_with_its_domain(
        *state.store, id,
        created_work(soft_reset(*state.store, *std::move(row), *std::move(words), *until)));
}

Result<Work> import_of(State& state, int32_t domid, const char* document, const xlstore_call* call)
{
    auto text = text_of(document, "document");
    if (!text) return text.error();
    const auto until = deadline_of(call, limits::operation_timeout, XLSTORE_FORCE);
    if (!until) return until.error();
    return import_work(import_domain(*state.store, domid, *std::move(text), document_name(call),
                                     *until, things_with(call),
                                     (flags_of(call) & XLSTORE_FORCE) != 0));
}

Result<Work> register_of(State& state, const char* domain, const char* monitor_path, int64_t pid,
                         uint32_t flags, const xlstore_call* call)
{
    auto path = monitor_path_of(monitor_path);
    if (!path) return path.error();
    if ((flags & ~(XLSTORE_HANDED_IN | XLSTORE_REGISTER_ONLY)) != 0)
        return Error(Errc::invalid, "flags: unknown bits");
    if (pid < 0) return Error(Errc::invalid, "pid: negative");
    const auto until = deadline_of(call, limits::operation_timeout);
    if (!until) return until.error();
    auto row = domain_of(state, domain);
    if (!row) return row.error();
    RegisterRequest request;
    request.monitor_path = *std::move(path);
    if (pid > 0) request.pid = pid;
    request.handed_in = (flags & XLSTORE_HANDED_IN) != 0;
    request.follow = (flags & XLSTORE_REGISTER_ONLY) == 0;
    const DomainId id = row->id;
    return gone_with_its_domain(
        *state.store, id,
        register_work(register_qemu(*state.store, *std::move(row), std::move(request), *until)));
}

Result<Work> destroy_of(State& state, const char* domain, uint32_t flags, const xlstore_call* call)
{
    if ((flags & ~XLSTORE_ASSUME_DEAD) != 0) return Error(Errc::invalid, "flags: unknown bits");
    const auto until = deadline_of(call, limits::operation_timeout);
    if (!until) return until.error();
    auto row = domain_of(state, domain);
    if (!row) return row.error();
    return destroy_work(*state.store, *std::move(row), (flags & XLSTORE_ASSUME_DEAD) != 0, *until);
}

Result<Work> destroy_domid_of(State& state, int32_t domid, const char* uuid,
                              const xlstore_call* call)
{
    auto text = text_of(uuid, "uuid");
    if (!text) return text.error();
    const auto until = deadline_of(call, limits::operation_timeout);
    if (!until) return until.error();
    return destroy_domid_work(*state.store, domid, *std::move(text), *until);
}

}  // namespace

}  // namespace xlstore::capi

using namespace xlstore::capi;  // NOLINT(google-build-using-namespace): this is its C face

int32_t xlstore_create(xlstore_store* store, int32_t domid, const char* document,
                       const char* const* command, const xlstore_call* call,
                       xlstore_result** result_out)
{
    return wait_for(store, result_out,
                    [&](State& state) { return create_of(state, domid, document, command, call); });
}

int32_t xlstore_create_start(xlstore_store* store, int32_t domid, const char* document,
                             const char* const* command, const xlstore_call* call,
                             xlstore_callback callback, void* userdata, xlstore_op** op_out)
{
    return start(store, callback, userdata, op_out,
                 [&](State& state) { return create_of(state, domid, document, command, call); });
}

int32_t xlstore_soft_reset(xlstore_store* store, const char* domain, const char* const* command,
                           const xlstore_call* call, xlstore_result** result_out)
{
    return wait_for(store, result_out,
                    [&](State& state) { return soft_reset_of(state, domain, command, call); });
}

int32_t xlstore_soft_reset_start(xlstore_store* store, const char* domain,
                                 const char* const* command, const xlstore_call* call,
                                 xlstore_callback callback, void* userdata, xlstore_op** op_out)
{
    return start(store, callback, userdata, op_out,
                 [&](State& state) { return soft_reset_of(state, domain, command, call); });
}

int32_t xlstore_import(xlstore_store* store, int32_t domid, const char* document,
                       const xlstore_call* call, xlstore_result** result_out)
{
    return wait_without_slow(store, result_out,
                             [&](State& state) { return import_of(state, domid, document, call); });
}

int32_t xlstore_import_start(xlstore_store* store, int32_t domid, const char* document,
                             const xlstore_call* call, xlstore_callback callback, void* userdata,
                             xlstore_op** op_out)
{
    return start(store, callback, userdata, op_out,
                 [&](State& state) { return import_of(state, domid, document, call); });
}

int32_t xlstore_register(xlstore_store* store, const char* domain, const char* monitor_path,
                         int64_t pid, uint32_t flags, const xlstore_call* call,
                         xlstore_result** result_out)
{
    return wait_for(store, result_out, [&](State& state) {
        return register_of(state, domain, monitor_path, pid, flags, call);
    });
}

int32_t xlstore_register_start(xlstore_store* store, const char* domain, const char* monitor_path,
                               int64_t pid, uint32_t flags, const xlstore_call* call,
                               xlstore_callback callback, void* userdata, xlstore_op** op_out)
{
    return start(store, callback, userdata, op_out, [&](State& state) {
        return register_of(state, domain, monitor_path, pid, flags, call);
    });
}

int32_t xlstore_destroy(xlstore_store* store, const char* domain, const xlstore_call* call,
                        xlstore_result** result_out)
{
    return xlstore_destroy_with(store, domain, 0, call, result_out);
}

int32_t xlstore_destroy_start(xlstore_store* store, const char* domain, const xlstore_call* call,
                              xlstore_callback callback, void* userdata, xlstore_op** op_out)
{
    return xlstore_destroy_with_start(store, domain, 0, call, callback, userdata, op_out);
}

int32_t xlstore_destroy_with(xlstore_store* store, const char* domain, uint32_t flags,
                             const xlstore_call* call, xlstore_result** result_out)
{
    return wait_without_slow(store, result_out,
                             [&](State& state) { return destroy_of(state, domain, flags, call); });
}

int32_t xlstore_destroy_with_start(xlstore_store* store, const char* domain, uint32_t flags,
                                   const xlstore_call* call, xlstore_callback callback,
                                   void* userdata, xlstore_op** op_out)
{
    return start(store, callback, userdata, op_out,
                 [&](State& state) { return destroy_of(state, domain, flags, call); });
}

int32_t xlstore_destroy_domid(xlstore_store* store, int32_t domid, const char* uuid,
                              const xlstore_call* call, xlstore_result** result_out)
{
    return wait_without_slow(store, result_out, [&](State& state) {
        return destroy_domid_of(state, domid, uuid, call);
    });
}

int32_t xlstore_destroy_domid_start(xlstore_store* store, int32_t domid, const char* uuid,
                                    const xlstore_call* call, xlstore_callback callback,
                                    void* userdata, xlstore_op** op_out)
{
    return start(store, callback, userdata, op_out,
                 [&](State& state) { return destroy_domid_of(state, domid, uuid, call); });
}
