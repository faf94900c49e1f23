// SPDX-License-Identifier: MIT
// export: a store of what a lost host had, for a spare one. As with a backup
// that is put back, nothing of it is believed to run: documents are imported
// without a QEMU, and what was open is told, never settled by guess. What a
// document cannot hold stands in a file beside the directory.
#include <cstdio>

#include "store/text/json_text.hpp"
#include "tools/common/whole_file.hpp"
#include "tools/fleet/database.hpp"
#include "tools/fleet/host_store.hpp"
#include "tools/fleet/verbs.hpp"

namespace xlstore::fleet {

namespace {

struct LostDomain {
    std::int32_t domid = 0;
    std::string name, document;
};
struct LostHost {
    std::string seen, commits, left;  ///< `left`: JSON, what no document holds
    std::int64_t behind = 0;
    std::vector<LostDomain> domains;
    std::vector<std::string> notes;
};

constexpr const char* kHost =
    "SELECT last_seen::text, as_of_commit::text, behind, health NOT IN ('silent', 'never seen'), "
    "coalesce(lag::text, '') FROM fleet.hosts WHERE host = $1";
constexpr const char* kDomains =
    "SELECT l.domid, l.domain, l.state, d.json FROM fleet.living l LEFT JOIN fleet.document d ON "
    "d.host = l.host_id AND d.generation = l.generation AND d.incarnation = l.incarnation WHERE "
    "l.host = $1 ORDER BY l.domid";
constexpr const char* kLeft =
    "SELECT json_build_object('intents', (SELECT coalesce(json_agg(row_to_json(i)), '[]') FROM "
    "fleet.in_doubt i WHERE i.host = $1), 'things', (SELECT "
    "coalesce(json_agg(json_build_object('domid', l.domid, 'class', t.class, 'key', t.key, "
    "'state', t.state, 'primary', t.primary_at, 'json', t.json) ORDER BY l.domid, t.position), "
    "'[]') FROM fleet.thing t JOIN fleet.living l ON l.host_id = t.host AND l.generation = "
    "t.generation AND l.incarnation = t.incarnation WHERE l.host = $1))::text";
constexpr const char* kDoubts =
    "SELECT 'domain ' || domid || ' (' || domain || '): ' || coalesce(class || '/' || key || ': "
    "intent ' || intent || ' (' || operation || ') was open: the guest may have had either image "
    "of it', 'its ' || CASE operation WHEN 'create' THEN 'creation' ELSE 'destruction' END || ' "
    "was not finished') FROM fleet.in_doubt WHERE host = $1 ORDER BY domid, intent";

Result<LostHost> read_host(pqxx::work& work, const std::string& name)
{
    const auto row = work.exec_params(kHost, name);
    if (row.empty())
        return Error(Errc::not_found, "the fleet has no host " + name,
                     "'xlstore-fleet status' lists them");
    if (row[0][1].is_null())
        return Error(Errc::not_found, "host " + name + " has sent nothing whole yet",
                     "nothing was written; 'xlstore-fleet push' on it sends what it has");
    LostHost host;
    host.seen = row[0][0].as<std::string>();
    host.commits = row[0][1].as<std::string>();
    host.behind = row[0][2].as<std::int64_t>(0);
    if (row[0][3].as<bool>())
        host.notes.push_back("host " + name + " was seen " + row[0][4].as<std::string>() +
                             " ago and may live: a domain must not run on both");
    for (const auto& domain : work.exec_params(kDomains, name)) {
        const auto subject =
            "domain " + domain[0].as<std::string>() + " (" + domain[1].as<std::string>() + ")";
        if (domain[2].as<std::string>() == "destroying")
            host.notes.push_back(subject + " was being destroyed, and is left out");
        else if (domain[3].is_null())
            host.notes.push_back(subject + " has no document in the fleet, and is left out");
        else
            host.domains.push_back(
                {domain[0].as<int>(), domain[1].as<std::string>(), domain[3].as<std::string>()});
    }
    for (const auto& doubt : work.exec_params(kDoubts, name))
        host.notes.push_back(doubt[0].as<std::string>());
    host.left = work.exec_params1(kLeft, name)[0].as<std::string>();
    return host;
}

Result<void> make_store(const std::string& directory, const LostHost& host)
{
    if (xlstore_init(directory.c_str(), nullptr) != XLSTORE_OK) return last_error();
    xlstore_open_options options = XLSTORE_OPEN_OPTIONS_INIT;
    options.program = "xlstore-fleet";
    xlstore_store* opened = nullptr;
    if (xlstore_open(directory.c_str(), &options, &opened) != XLSTORE_OK) return last_error();
    const StoreHandle store(opened);
    for (const auto& domain : host.domains) {
        xlstore_call call = XLSTORE_CALL_INIT;
        call.flags = XLSTORE_FORCE;
        const auto name =
            "document of domain " + std::to_string(domain.domid) + " (" + domain.name + ")";
        call.document_name = name.c_str();
        xlstore_result* result = nullptr;
        const auto status =
            xlstore_import(store.get(), domain.domid, domain.document.c_str(), &call, &result);
        const ResultHandle told(result);
        if (status != XLSTORE_OK) {
            auto error = last_error();
            error.advice = "the store in " + directory +
                           " is not whole: remove it, and export again elsewhere";
            return error;
        }
    }
    return {};
}

// It may hold what --with-secrets sent.
Result<void> write_left(const std::string& path, const std::string& left)
{
    auto written = tools::write_whole_file(path, left + "\n", tools::IfThere::refuse);
    if (written) return written;
    auto error = written.error();
    error.advice = "no store was made; name another directory, or move that file away";
    return error;
}

}  // namespace

Result<Status> run_export(const Arguments& arguments)
{
    auto database = open_fleet(arguments.database);
    if (!database) return database.error();
    const auto& name = arguments.words[0];
    const auto& directory = arguments.words[1];
    LostHost host;
    auto done = in_transaction(**database, "export", [&](pqxx::work& work) -> Result<void> {
        work.exec0("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY");
        auto read = read_host(work, name);
        if (!read) return read.error();
        host = *std::move(read);
        return {};
    });
    if (!done) return done.error();
    const auto beside = directory + ".left.json";
    if (auto written = write_left(beside, host.left); !written) return written.error();
    if (auto made = make_store(directory, host); !made) {
        static_cast<void>(std::remove(beside.c_str()));
        return made.error();
    }
    for (const auto& note : host.notes)
        std::fprintf(stderr, "xlstore-fleet: note: %s\n", tools::plain(note).c_str());
    if (arguments.json)
        std::printf("%s\n", json_object({{"host", json_quote(name)},
                                         {"commits", host.commits},
                                         {"seen", json_quote(host.seen)},
                                         {"behind", std::to_string(host.behind)},
                                         {"domains", std::to_string(host.domains.size())},
                                         {"directory", json_quote(directory)},
                                         {"left", json_quote(beside)}})
                                .c_str());
    else
        std::printf(
            "%s: %zu domains of host %s as of its commit %s, seen %s; what no document holds is in "
            "%s\n",
            directory.c_str(), host.domains.size(), name.c_str(), host.commits.c_str(),
            host.seen.c_str(), beside.c_str());
    return Status::done;
}

}  // namespace xlstore::fleet
