// SPDX-License-Identifier: MIT
// Level one, and waiting for an intent.
#include "store/operation/operation.hpp"

#include <algorithm>
#include <array>
#include <filesystem>

#include "store/base/limits.hpp"
#include "store/capi/handle.hpp"
#include "store/operation/wait.hpp"
#include "store/text/error_json.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::capi {

namespace {

// 0: a thing of xenstore has no intent.
std::int64_t number_of(const Done& done)
{
    return done.intents.empty() ? 0 : value_of(done.intents.front());
}

std::vector<std::pair<std::string, std::string>> members_of(const Done& done)
{
    std::vector<std::pair<std::string, std::string>> members = {{"result", json_quote("done")}};
    if (number_of(done) != 0) members.emplace_back("intent", std::to_string(number_of(done)));
    members.emplace_back("evidence", json_quote(done.evidence));
    return members;
}

Work done_work(std::string what, Task<Outcome> task)
{
    auto done = co_await std::move(task);
    if (!done) co_return std::move(done).error();
    Answer answer;
    answer.intent = number_of(*done);
    in_words(answer, [&](Answer& words) {
        words.message = std::move(what);
        words.json = json_object(members_of(*done));
    });
    co_return answer;
}

Work wait_work(Task<Outcome> task)
{
    auto done = co_await std::move(task);
    if (!done) co_return std::move(done).error();
    Answer answer;
    answer.intent = number_of(*done);
    in_words(answer, [&](Answer& words) {
        auto members = members_of(*done);
        members.emplace_back("outcome", json_quote("done"));
        words.json = json_object(members);
        words.message = "intent " + std::to_string(answer.intent) + ": done: " + done->evidence;
    });
    co_return answer;
}

// The embedder's hook as the library calls it.
Result<void> call_pci_hook(xlstore_pci_hook hook, void* userdata, const PciTask& task)
{
    const xlstore_pci_task given{sizeof(xlstore_pci_task), task.domid, task.assign ? 1 : 0,
                                 task.address.c_str(), task.json.c_str()};
    std::array<char, 512> why{};
    if (hook(&given, why.data(), why.size(), userdata) == 0) return {};
    why.back() = '\0';
    return Error(Errc::refused, why.front() != '\0' ? std::string(why.data())
                                                    : "the hypervisor's part was not done");
}

// One request of level one; its texts are checked here, all else by the operation itself.
Result<Work> request_work(State& state, const char* domain, Result<Request> request,
                          std::string done, const xlstore_call* call)
{
    if (!request) return request.error();
    // A tray is opened by force, or waited for, only where there is one.
    const bool tray =
        request->kind == Request::Kind::insert || request->kind == Request::Kind::eject;
    const auto until = deadline_of(call, limits::operation_timeout,
                                   tray ? XLSTORE_FORCE | XLSTORE_WAIT_FOR_GUEST : 0U);
    if (!until) return until.error();
    const std::uint32_t flags = flags_of(call);
    request->force = (flags & XLSTORE_FORCE) != 0;
    request->waits = (flags & XLSTORE_WAIT_FOR_GUEST) != 0;
    auto row = domain_of(state, domain);
    if (!row) return row.error();
    std::string what = row->subject() + ": " + std::move(done);
    return done_work(std::move(what),
                     perform(*state.store, *std::move(row), *std::move(request), *until));
}

constexpr std::array kOutcomes = {"done", "not done", "in doubt"};

std::size_t told(const RequestOutcome& outcome) noexcept
{
    if (outcome.done) return 0;
    return outcome.done.error().code == Errc::in_doubt ? 2 : 1;
}

std::string outcome_json(std::size_t number, std::string_view kind, const RequestOutcome& outcome)
{
    std::vector<std::pair<std::string, std::string>> members = {
        {"request", std::to_string(number)},
        {"operation", json_quote(kind)},
        {"thing", json_quote(outcome.thing)},
        {"outcome", json_quote(kOutcomes[told(outcome)])}};
    if (outcome.done) {
        if (number_of(*outcome.done) != 0)
            members.emplace_back("intent", std::to_string(number_of(*outcome.done)));
        members.emplace_back("evidence", json_quote(outcome.done->evidence));
    } else {
        members.emplace_back("error", error_json(outcome.done.error()));
    }
    return json_object(members);
}

// Of several, the first of the worst is the whole's; of those that are all done or none, none of
// them is: the error names the thing that it is about.
Answer whole_of(const std::string& subject, BatchMode mode, const std::vector<std::string>& kinds,
                const std::vector<RequestOutcome>& outcomes) noexcept
{
    // Of the same kind the first counts, which std::max_element() gives.
    const auto worst = std::max_element(
        outcomes.begin(), outcomes.end(),
        [](const RequestOutcome& a, const RequestOutcome& b) { return told(a) < told(b); });
    Answer answer;
    if (told(*worst) > 0) {
        answer.status = status_of(worst->done.error().code);
        answer.intent = worst->done.error().intent.value_or(0);
    }
    in_words(answer, [&](Answer& words) {
        std::vector<std::string> list;
        for (std::size_t i = 0; i < outcomes.size(); ++i)
            list.push_back(outcome_json(i + 1, kinds[i], outcomes[i]));
        words.json = json_object(
            {{"result", json_quote(kOutcomes[told(*worst)])}, {"outcomes", joined(list)}});
        if (told(*worst) == 0) {
            words.message = subject + ": all of " + std::to_string(outcomes.size()) + " done";
            return;
        }
        const std::string which = mode == BatchMode::all_or_none
                                      ? "all or none"
                                      : "request " + std::to_string(worst - outcomes.begin() + 1);
        words.message = subject + ": " + which + ": " + worst->done.error().message;
    });
    return answer;
}

Work batch_work(Store& store, DomainRow domain, std::vector<Request> requests, BatchMode mode,
                Deadline until)
{
    std::vector<std::string> kinds;
    kinds.reserve(requests.size());
    for (const auto& request : requests)
        kinds.emplace_back(kind_name(request.kind));
    const std::string subject = domain.subject();
    auto outcomes = co_await batch(store, std::move(domain), std::move(requests), mode, until);
    if (!outcomes) co_return std::move(outcomes).error();
    co_return whole_of(subject, mode, kinds, *outcomes);
}

Result<Work> attach_of(State& state, const char* domain, const char* device_class, const char* json,
                       const xlstore_call* call)
{
    auto name = text_of(device_class, "device_class");
    if (!name) return name.error();
    auto text = text_of(json, "json");
    if (!text) return text.error();
    return request_work(state, domain,
                        Request{Request::Kind::attach, *std::move(name), {}, *std::move(text)},
                        "attached", call);
}

Result<Work> detach_of(State& state, const char* domain, const char* device_class, const char* key,
                       const xlstore_call* call)
{
    auto name = text_of(device_class, "device_class");
    if (!name) return name.error();
    auto which = text_of(key, "key");
    if (!which) return which.error();
    std::string done = *name + "/" + *which + " detached";
    return request_work(state, domain,
                        Request{Request::Kind::detach, *std::move(name), *std::move(which), {}},
                        std::move(done), call);
}

Result<Work> insert_of(State& state, const char* domain, const char* vdev, const char* file,
                       const xlstore_call* call)
{
    auto drive = text_of(vdev, "vdev");
    if (!drive) return drive.error();
    auto path = path_of(file, "file");
    if (!path) return path.error();
    // Not resolved further: the document names the image as the caller does.
    *path = std::filesystem::absolute(*path).string();
    std::string done = *path + " is in " + *drive;
    return request_work(
        state, domain, Request{Request::Kind::insert, "disks", *std::move(drive), *std::move(path)},
        std::move(done), call);
}

Result<Work> eject_of(State& state, const char* domain, const char* vdev, const xlstore_call* call)
{
    auto drive = text_of(vdev, "vdev");
    if (!drive) return drive.error();
    std::string done = *drive + " is empty";
    return request_work(state, domain,
                        Request{Request::Kind::eject, "disks", *std::move(drive), {}},
                        std::move(done), call);
}

Result<Work> batch_of(State& state, const char* domain, const char* requests, uint32_t flags,
                      const xlstore_call* call)
{
    auto text = text_of(requests, "requests");
    if (!text) return text.error();
    if ((flags & ~XLSTORE_ALL_OR_NONE) != 0) return Error(Errc::invalid, "flags: unknown bits");
    auto all = requests_from_json(*text);
    if (!all) return all.error();
    // As insert_of() does.
    for (auto& request : *all) {
        if (request.kind != Request::Kind::insert) continue;
        auto path = path_of(request.text.c_str(), "file");
        if (!path) return path.error();
        request.text = std::filesystem::absolute(*path).string();
    }
    const auto until = deadline_of(call, limits::operation_timeout);
    if (!until) return until.error();
    auto row = domain_of(state, domain);
    if (!row) return row.error();
    const auto mode = (flags & XLSTORE_ALL_OR_NONE) != 0 ? BatchMode::all_or_none : BatchMode::each;
    return batch_work(*state.store, *std::move(row), *std::move(all), mode, *until);
}

Result<Work> wait_of(State& state, int64_t intent, const xlstore_call* call)
{
    const auto until = deadline_of(call, limits::wait_timeout);
    if (!until) return until.error();
    return wait_work(wait_for_intent(*state.store, IntentId(intent), *until));
}

}  // namespace

}  // namespace xlstore::capi

using namespace xlstore::capi;  // NOLINT(google-build-using-namespace): this is its C face

int32_t xlstore_set_pci_hook(xlstore_store* store, xlstore_pci_hook hook, const char* sysfs,
                             void* userdata)
{
    return guarded([&]() -> xlstore::Result<void> {
        const auto state = state_of(store);
        if (!state) return state.error();
        auto& hooks = (*state)->store->host();
        hooks.sysfs = sysfs ? sysfs : xlstore::HostHooks().sysfs;
        hooks.pci = {};
        if (hook)
            // Without a hook the hypervisor's part is the caller's to do, and the library says so.
            hooks.pci = [hook, userdata](const xlstore::PciTask& task) {
                return call_pci_hook(hook, userdata, task);
            };
        return {};
    });
}

int32_t xlstore_set_hotplug_scripts(xlstore_store* store, int32_t run, const char* directory)
{
    return guarded([&]() -> xlstore::Result<void> {
        const auto state = state_of(store);
        if (!state) return state.error();
        if (directory && *directory != '/')
            return xlstore::Error(xlstore::Errc::invalid, "directory: it is no absolute path");
        auto& hooks = (*state)->store->host();
        hooks.runs_scripts = run != 0;
        hooks.scripts = directory ? directory : xlstore::HostHooks().scripts;
        return {};
    });
}

int32_t xlstore_attach(xlstore_store* store, const char* domain, const char* device_class,
                       const char* json, const xlstore_call* call, xlstore_result** result_out)
{
    return wait_for(store, result_out, [&](State& state) {
        return attach_of(state, domain, device_class, json, call);
    });
}

int32_t xlstore_attach_start(xlstore_store* store, const char* domain, const char* device_class,
                             const char* json, const xlstore_call* call, xlstore_callback callback,
                             void* userdata, xlstore_op** op_out)
{
    return start(store, callback, userdata, op_out,
                 [&](State& state) { return attach_of(state, domain, device_class, json, call); });
}

int32_t xlstore_detach(xlstore_store* store, const char* domain, const char* device_class,
                       const char* key, const xlstore_call* call, xlstore_result** result_out)
{
    return wait_for(store, result_out, [&](State& state) {
        return detach_of(state, domain, device_class, key, call);
    });
}

int32_t xlstore_detach_start(xlstore_store* store, const char* domain, const char* device_class,
                             const char* key, const xlstore_call* call, xlstore_callback callback,
                             void* userdata, xlstore_op** op_out)
{
    return start(store, callback, userdata, op_out,
                 [&](State& state) { return detach_of(state, domain, device_class, key, call); });
}

int32_t xlstore_insert(xlstore_store* store, const char* domain, const char* vdev, const char* file,
                       const xlstore_call* call, xlstore_result** result_out)
{
    return wait_for(store, result_out,
                    [&](State& state) { return insert_of(state, domain, vdev, file, call); });
}

int32_t xlstore_insert_start(xlstore_store* store, const char* domain, const char* vdev,
                             const char* file, const xlstore_call* call, xlstore_callback callback,
                             void* userdata, xlstore_op** op_out)
{
    return start(store, callback, userdata, op_out,
                 [&](State& state) { return insert_of(state, domain, vdev, file, call); });
}

int32_t xlstore_eject(xlstore_store* store, const char* domain, const char* vdev,
                      const xlstore_call* call, xlstore_result** result_out)
{
    return wait_for(store, result_out,
                    [&](State& state) { return eject_of(state, domain, vdev, call); });
}

int32_t xlstore_eject_start(xlstore_store* store, const char* domain, const char* vdev,
                            const xlstore_call* call, xlstore_callback callback, void* userdata,
                            xlstore_op** op_out)
{
    return start(store, callback, userdata, op_out,
                 [&](State& state) { return eject_of(state, domain, vdev, call); });
}

int32_t xlstore_batch(xlstore_store* store, const char* domain, const char* requests,
                      uint32_t flags, const xlstore_call* call, xlstore_result** result_out)
{
    return wait_for(store, result_out,
                    [&](State& state) { return batch_of(state, domain, requests, flags, call); });
}

int32_t xlstore_batch_start(xlstore_store* store, const char* domain, const char* requests,
                            uint32_t flags, const xlstore_call* call, xlstore_callback callback,
                            void* userdata, xlstore_op** op_out)
{
    return start(store, callback, userdata, op_out,
                 [&](State& state) { return batch_of(state, domain, requests, flags, call); });
}

int32_t xlstore_wait(xlstore_store* store, int64_t intent, const xlstore_call* call,
                     xlstore_result** result_out)
{
    return wait_for(store, result_out, [&](State& state) { return wait_of(state, intent, call); });
}

int32_t xlstore_wait_start(xlstore_store* store, int64_t intent, const xlstore_call* call,
                           xlstore_callback callback, void* userdata, xlstore_op** op_out)
{
    return start(store, callback, userdata, op_out,
                 [&](State& state) { return wait_of(state, intent, call); });
}
