// SPDX-License-Identifier: MIT
#include "tools/fleet/push.hpp"

#include <cstdio>
#include <utility>

#include "store/text/json_text.hpp"
#include "tools/fleet/batch.hpp"
#include "tools/fleet/database.hpp"
#include "tools/fleet/findings.hpp"
#include "tools/fleet/host_facts.hpp"
#include "tools/fleet/verbs.hpp"

namespace xlstore::fleet {

namespace {

// Two machines that use one role would take the store of the other for one that
// was replaced.
Result<void> check_machine(const Known& known, bool new_machine)
{
    const auto here = machine_id();
    if (new_machine || known.machine_id.empty() || known.machine_id == here) return {};
    return Error(
        Errc::refused,
        "host " + known.host + " is the machine " + known.machine_id + ", and this is " + here,
        "nothing was sent; a host of its own: 'xlstore-fleet init --host NAME'; in the place of "
        "that machine: --new-machine");
}

Result<Batch> read_batch(pqxx::work& work, xlstore_store* store, const PushOptions& options,
                         const Known& known)
{
    const auto state = read_state(store);
    if (!state) return state.error();
    auto begins = begins_anew(work, store, known, *state);
    if (!begins) return begins.error();
    static const std::map<std::int64_t, std::string> kNone;
    const auto read = [&](bool anew) {
        return read_changes(store, *begins ? (*begins)->after : known.line,
                            anew ? kNone : known.living, options.limits, options.with_secrets);
    };
    auto snapshot = read(begins->has_value());
    if (!snapshot) return snapshot.error();
    const auto& lines = snapshot->lines;
    if (!*begins && !known.expects_restore && !lines.empty() && lines.front().restore) {
        *begins = Begin{known.line, known.anchor, "a backup was put back", false};
        snapshot = read(true);
        if (!snapshot) return snapshot.error();
    }
    return make_batch(known, std::move(*begins), *std::move(snapshot));
}

}  // namespace

Result<Pushed> push_batch(pqxx::connection& database, xlstore_store* store,
                          const PushOptions& options)
{
    Pushed pushed;
    auto done = in_transaction(database, "push", [&](pqxx::work& work) -> Result<void> {
        const auto known = begin_push(work);
        if (!known) return known.error();
        if (auto ours = check_machine(*known, options.new_machine); !ours) return ours;
        const auto batch = read_batch(work, store, options, *known);
        if (!batch) return batch.error();
        work.exec_params("SELECT fleet.take($1::json)", batch_json(*batch, options.directory));
        pushed.host = known->host;
        pushed.generation = batch->generation;
        pushed.lines = static_cast<std::int64_t>(batch->snapshot.lines.size());
        pushed.domains =
            static_cast<std::int64_t>(batch->snapshot.changed.size() + batch->snapshot.gone.size());
        pushed.line = batch->line;
        pushed.commits = batch->snapshot.state.commits;
        if (batch->gap) std::tie(pushed.gap_first, pushed.gap_last) = *batch->gap;
        if (batch->begins) pushed.began = batch->begins->why;
        pushed.more = batch->snapshot.more;
        return {};
    });
    if (!done) return done.error();
    return pushed;
}

Result<Pushed> push_all(pqxx::connection& database, xlstore_store* store,
                        const PushOptions& options)
{
    Pushed all;
    do {
        auto pushed = push_batch(database, store, options);
        if (!pushed) return pushed;
        pushed->lines += all.lines;
        pushed->domains += all.domains;
        if (pushed->began.empty()) pushed->began = all.began;
        if (pushed->gap_first == 0) {
            pushed->gap_first = all.gap_first;
            pushed->gap_last = all.gap_last;
        }
        all = *std::move(pushed);
    } while (all.more);
    return all;
}

std::string in_words(const Pushed& pushed)
{
    std::string text = "host " + pushed.host + ": generation " + std::to_string(pushed.generation) +
                       ", " + std::to_string(pushed.lines) + " lines, " +
                       std::to_string(pushed.domains) + " domains, as of commit " +
                       std::to_string(pushed.commits);
    if (pushed.generation > 1 && !pushed.began.empty())
        text += "; a new generation: " + pushed.began;
    if (pushed.gap_first > 0)
        text += "; lines " + std::to_string(pushed.gap_first) + " to " +
                std::to_string(pushed.gap_last) + " were pruned here before they were sent";
    return text;
}

Result<Status> run_push(const Arguments& arguments)
{
    PushOptions options;
    options.directory = arguments.store;
    options.limits.lines = arguments.lines;
    options.with_secrets = arguments.with_secrets;
    options.new_machine = arguments.new_machine;
    if (arguments.follow) {
        options.findings = arguments.findings;
        options.every = std::chrono::seconds(arguments.every_seconds);
        if (auto ended = follow(arguments.database, options); !ended) return ended.error();
        return Status::done;
    }
    auto findings = read_findings(arguments.findings, arguments.with_secrets);
    if (!findings) return findings.error();
    auto store = open_read_only(arguments.store);
    if (!store) return store.error();
    auto database = open_fleet(arguments.database);
    if (!database) return database.error();
    const auto pushed = push_all(**database, store->get(), options);
    if (!pushed) return pushed.error();
    if (*findings)
        if (auto sent = send_findings(**database, **findings); !sent) return sent.error();
    if (arguments.json)
        std::printf("%s\n",
                    json_object({{"host", json_quote(pushed->host)},
                                 {"generation", std::to_string(pushed->generation)},
                                 {"began", json_quote(pushed->began)},
                                 {"lines", std::to_string(pushed->lines)},
                                 {"domains", std::to_string(pushed->domains)},
                                 {"line", std::to_string(pushed->line)},
                                 {"commits", std::to_string(pushed->commits)},
                                 {"gap", pushed->gap_first == 0
                                             ? "null"
                                             : "[" + std::to_string(pushed->gap_first) + "," +
                                                   std::to_string(pushed->gap_last) + "]"}})
                        .c_str());
    else
        std::printf("%s\n", tools::plain(in_words(*pushed)).c_str());
    return Status::done;
}

}  // namespace xlstore::fleet
