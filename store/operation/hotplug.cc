// SPDX-License-Identifier: MIT
// A script is run once or twice (store/classes/hotplug_script.hpp), one run behind the other, each
// with what is left of its 40 seconds. Before the first one, /proc is searched for a run that a
// dead process started: two at once would undo one another. When it fails, the script's own word
// for it, hotplug-error in xenstore, is the message.
#include "store/operation/hotplug.hpp"

#include <algorithm>
#include <filesystem>

#include "store/base/limits.hpp"
#include "store/classes/xenstore_device.hpp"
#include "store/core/domain.hpp"
#include "store/operation/grace.hpp"
#include "store/operation/nodes_fate.hpp"
#include "store/os/program.hpp"
#include "store/testing/crash_point.hpp"
#include "store/text/json_text.hpp"
#include "store/text/plain_text.hpp"

namespace xlstore {

namespace {

constexpr auto kBackEndWait = std::chrono::seconds(10);  // both are libxl's own
constexpr auto kScriptTime = std::chrono::seconds(40);
constexpr auto kFirstLook = std::chrono::milliseconds(5);
constexpr auto kLastLook = std::chrono::milliseconds(100);
constexpr std::size_t kWordShown = 400;

// From "waits for its script" to "connected".
bool is_ready(const std::optional<std::string>& state)
{
    return state && (*state == "2" || *state == "3" || *state == "4");
}

// What the script itself has to say of its failure.
Task<std::string> word_of_script(xenstore::Client& client, const ScriptedDevice& device,
                                 Deadline until)
{
    if (!client.usable()) co_return std::string();
    auto word = co_await client.read(device.back + "/hotplug-error", 0, until);
    if (!word || !*word || (*word)->empty()) co_return std::string();
    co_return ": " + json_shown(plain_text(**word, kWordShown));
}

// By two names it may be one. A name in another process's working directory tells nothing.
bool is_another_socket(const std::string& one, const std::string& other)
{
    if (one == other || !one.starts_with('/') || !other.starts_with('/')) return false;
    std::error_code error;
    return !std::filesystem::equivalent(one, other, error);
}

// A script of the device that another process started; by all appearances that one is gone.
std::optional<Error> runs_yet(std::string_view back)
{
    const auto place = place_of_script(back);
    if (place.empty()) return std::nullopt;
    const auto socket = xenstore::socket_path();
    const auto pid = find_program([&](const VariableOf& of) -> std::optional<std::string_view> {
        if (of(kScriptPlace) != place) return std::nullopt;
        const auto its_own = xenstore::socket_path_of(of(xenstore::kSocketVariable).value_or(""));
        if (is_another_socket(its_own, socket)) return std::nullopt;
        return of(kScriptVariable);
    });
    if (!pid) return std::nullopt;
    const auto number = std::to_string(*pid);
    return Error(Errc::busy,
                 "its hotplug script runs yet, started by another process (pid " + number + ")",
                 "wait for its end, or end process " + number +
                     " if it hangs and the process that started it is gone; then try again");
}

Task<Result<void>> run_one_by_one(Store& store, std::vector<ScriptRun> runs, Deadline until)
{
    for (auto& run : runs) {
        SpawnRequest request;
        request.argv = std::move(run.argv);
        request.environment = std::move(run.environment);
        XLSTORE_CRASH_POINT("hotplug.before_script");
        auto ended = co_await run_program(store.loop(), std::move(request), until);
        XLSTORE_CRASH_POINT("hotplug.after_script");
        if (!ended) co_return ended;
    }
    co_return Result<void>();
}

// A destruction waits for no lock of this one's: where it took the device out before the script
// began, the script has made nodes anew, and they go. Value: so it was.
Task<bool> was_taken_out(xenstore::Client& client, const ScriptedDevice& device, Deadline until)
{
    if (!client.usable()) co_return false;
    auto late = co_await remove_late_back_end(
        client, xenstore::device_paths(device.domid, device.backend_kind, device.number), until);
    co_return late&&* late;
}

}  // namespace

bool runs_scripts(Store& store, DomainId domain)
{
    if (!store.host().runs_scripts) return false;
    auto row = store.db()
                   .prepare("SELECT text FROM document_member WHERE domain = ? AND key = 'c_info'")
                   .bind(value_of(domain));
    if (!row.step()) return true;
    const auto word =
        json_get_string(row.maybe_text(0).value_or("{}"), "run_hotplug_scripts").value_or("");
    return !word.starts_with(
        'F');  // a defbool is told by its beginning, and true if it is not given
}

Task<Result<void>> wait_for_back_end(Store& store, xenstore::Client& client, ScriptedDevice device,
                                     Deadline until)
{
    const Deadline end = std::min(until, Clock::now() + kBackEndWait);
    for (auto pause = kFirstLook;; pause = std::min(2 * pause, kLastLook)) {
        auto state = co_await client.read(device.back + "/state", 0, probe_deadline(until));
        if (!state) co_return std::move(state).error();
        if (is_ready(*state)) co_return Result<void>();
        if (Clock::now() >= end)
            co_return Error(Errc::refused,
                            "its back end has not come to state 2, but to " +
                                (*state ? json_shown(plain_text(**state, kWordShown)) : "none") +
                                ": no driver serves " + device.back);
        (void)co_await store.loop().sleep(std::min(end, Clock::now() + pause));
    }
}

Task<Result<void>> let_script_end(Store& store, xenstore::DevicePaths paths, Deadline until)
{
    const auto back =
        paths.back.empty() ? xenstore::back_end_by_driver(paths.own) : std::move(paths.back);
    for (auto pause = kFirstLook;; pause = std::min(2 * pause, kLastLook)) {
        auto other = runs_yet(back);
        if (!other) co_return Result<void>();
        if (Clock::now() >= until) co_return *std::move(other);
        (void)co_await store.loop().sleep(std::min(until, Clock::now() + pause));
    }
}

Task<Result<void>> let_scripts_end(Store& store, DomainRow domain, Deadline until)
{
    if (!runs_scripts(store, domain.id)) co_return Result<void>();
    for (const auto& thing : read_things(store.db(), domain.id)) {
        const auto kind = xenstore_kind(thing.name.device_class);
        if (thing.primary != "xenstore" || kind.empty()) continue;
        const auto number = xenstore_number(thing.name.device_class, thing.json);
        if (!number) continue;  // without one it cannot have been attached
        auto ended = co_await let_script_end(
            store, xenstore::device_paths(domain.domid, kind, *number), until);
        if (ended) continue;
        ended.error().message = thing.name.text() + ": " + ended.error().message;
        co_return ended;
    }
    co_return Result<void>();
}

Task<Result<std::string>> run_script(Store& store, xenstore::Client& client, ScriptedDevice device,
                                     ScriptAction action, Deadline until)
{
    auto stub = co_await client.read(
        "/local/domain/" + std::to_string(device.domid) + "/image/device-model-domid", 0,
        probe_deadline(until));
    if (!stub) co_return std::move(stub).error();
    if (auto other = runs_yet(device.back)) co_return *std::move(other);
    auto ran = co_await run_one_by_one(store, script_runs(device, action, stub->has_value()),
                                       std::min(until, Clock::now() + kScriptTime));
    const Deadline behind = probe_deadline(until);  // it may have used up all of its time
    if (!ran) {
        ran.error().message = "its hotplug script: " + ran.error().message;
        ran.error().message += co_await word_of_script(client, device, behind);
    }
    const bool is_out = co_await was_taken_out(client, device, behind);
    if (!ran) co_return std::move(ran).error();
    if (action == ScriptAction::remove) co_return std::string();
    if (is_out)
        co_return Error(Errc::refused, "the device was taken out while its hotplug script ran",
                        "attach it again if it is to be there");
    auto status = co_await client.read(device.back + "/hotplug-status", 0, behind);
    if (!status) co_return std::move(status).error();
    co_return *status && !(*status)->empty()
        ? std::string("; its hotplug script is through")
        : "; its hotplug script ended, but left no word that it did its work: " + device.script;
}

}  // namespace xlstore
