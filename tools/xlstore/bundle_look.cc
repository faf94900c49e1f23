// SPDX-License-Identifier: MIT
#include "tools/xlstore/bundle_look.hpp"

#include <poll.h>

#include <algorithm>
#include <functional>
#include <sstream>

#include "tools/common/bundle_file.hpp"
#include "tools/common/child_output.hpp"
#include "tools/common/finding_line.hpp"
#include "tools/common/json_value.hpp"
#include "tools/xlstore/status_facts.hpp"
#include "xlstore/recovery.h"

namespace xlstore::tools {

namespace {

using Until = std::chrono::steady_clock::time_point;

constexpr const char* kBlind = "something could not be looked at";

void keep_finding(const xlstore_finding* f, void* list)
{
    constexpr const char* kActions[] = {"none", "fixed", "left", "failed"};
    static_cast<Json*>(list)->push_back({{"code", f->code},
                                         {"problem", f->problem},
                                         {"subject", plain(f->subject)},
                                         {"message", f->message},
                                         {"evidence", plain(f->evidence)},
                                         {"action", kActions[f->action]},
                                         {"if_left", f->if_left},
                                         {"line", plain(finding_line(*f))}});
}

struct Ended {
    bool ended = false;
    int32_t status = 0;
    std::string message;
    std::string json;
};

void keep_end(xlstore_result* result, void* userdata)
{
    auto& end = *static_cast<Ended*>(userdata);
    end = {true, xlstore_result_status(result), xlstore_result_message(result),
           xlstore_result_json(result)};
}

std::int64_t ms_left(Until until)
{
    return std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now())
        .count();
}

// Runs what `start` begins to its end, or until the time is over: then it is cancelled.
using Start = std::function<int32_t(xlstore_callback, void*, xlstore_op**)>;
Ended run_until(xlstore_store* store, Until until, const Start& start)
{
    Ended end;
    xlstore_op* op = nullptr;
    if (start(keep_end, &end, &op) != XLSTORE_OK) return {true, -1, last_error().message, {}};
    bool cancelled = false;
    while (!end.ended) {
        const auto left = ms_left(until);
        if (left <= 0 && !cancelled) {
            xlstore_op_cancel(op);
            cancelled = true;
        }
        pollfd ready{xlstore_fd(store), POLLIN, 0};
        constexpr std::int64_t day_ms = 86'400'000;
        (void)poll(&ready, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, day_ms)));
        if (xlstore_dispatch(store) != XLSTORE_OK) return {true, -1, last_error().message, {}};
    }
    if (cancelled) end.message = "the time was over: give it longer with --timeout";
    return end;
}

// One line of 'xlfsck --json' as the library would have told it.
Json finding_of_line(const Json& told)
{
    const auto text = [&](const char* name) { return told.value(name, std::string()); };
    std::string line = text("subject") + ": " + text("message");
    if (!text("evidence").empty()) line += " (" + text("evidence") + ")";
    Json finding = told;
    finding["line"] = plain(line) + ".";
    return finding;
}

}  // namespace

std::string findings_until(xlstore_store* store, Until until)
{
    Json findings = Json::array();
    xlstore_recover_options options = XLSTORE_RECOVER_OPTIONS_INIT;
    options.mode = XLSTORE_RECOVER_LOOK;
    constexpr std::int64_t each_ms = 10'000;
    options.timeout_ms =
        static_cast<uint32_t>(std::clamp<std::int64_t>(ms_left(until), 1, each_ms));
    options.found = keep_finding;
    options.userdata = &findings;
    const auto end = run_until(store, until, [&](auto callback, void* userdata, auto** op) {
        return xlstore_recover_start(store, &options, callback, userdata, op);
    });
    // In doubt and refused: it ran, and something is left.
    const bool ran = end.status == XLSTORE_OK || end.status == XLSTORE_E_IN_DOUBT ||
                     end.status == XLSTORE_E_REFUSED;
    Json error;
    if (!ran)
        error = plain(end.message);
    else if ((json_value(end.json).value("fsck_status", 0) & XLSTORE_FSCK_BLIND) != 0)
        error = kBlind;
    return json_text({{"status", end.status}, {"error", error}, {"findings", findings}});
}

std::string findings_of_xlfsck(const std::string& directory, Until until)
{
    const auto seconds = std::to_string(std::max<std::int64_t>(ms_left(until) / 1000, 1));
    const auto said = output_of({program_beside("xlfsck"), "-n", "-v", "--json", "--timeout",
                                 seconds, "--store", directory},
                                until, kBundleBytesMax);
    if (!said)
        return json_text(
            {{"status", -1}, {"error", said.error().message}, {"findings", Json::array()}});
    Json findings = Json::array();
    Json error;
    std::istringstream lines(said->text);
    for (std::string line; std::getline(lines, line);) {
        const auto told = Json::parse(line, nullptr, false);
        if (!told.is_object()) continue;
        if (told.contains("error") && told["error"].is_object())
            error = plain(told["error"].value("message", std::string()));
        else if (told.contains("code"))
            findings.push_back(finding_of_line(told));
    }
    if (error.is_null() && (said->status & XLSTORE_FSCK_BLIND) != 0) error = kBlind;
    if (!said->in_time) error = "the time was over: give it longer with --timeout";
    return json_text({{"status", said->status}, {"error", error}, {"findings", findings}});
}

Result<std::string> facts_until(const Arguments& arguments, xlstore_store* store, Until until)
{
    constexpr std::int64_t each_ms = 2'000;
    xlstore_call call = XLSTORE_CALL_INIT;
    call.timeout_ms =
        static_cast<uint32_t>(std::clamp<std::int64_t>(ms_left(until) / 2, 1, each_ms));
    const auto end = run_until(store, until, [&](auto callback, void* userdata, auto** op) {
        return xlstore_look_at_qemus_start(store, nullptr, &call, callback, userdata, op);
    });
    const bool ran = end.status == XLSTORE_OK;
    return status_facts_with(ran ? json_text(json_value(end.json)["domains"]) : "[]", arguments,
                             store);
}

}  // namespace xlstore::tools
