// SPDX-License-Identifier: MIT
// move-plan: what moving a domain to another host would meet there, as far as
// the fleet knows. It changes nothing; each point says what to do about it.
#include <cstdio>

#include "store/text/json_text.hpp"
#include "tools/fleet/database.hpp"
#include "tools/fleet/document_difference.hpp"
#include "tools/fleet/verbs.hpp"

namespace xlstore::fleet {

namespace {

constexpr const char* kPlaces =
    "SELECT l.host, l.domid, l.domain, l.uuid, l.state, l.closed, d.json, l.as_of_commit, "
    "l.host_id, l.generation, l.incarnation FROM fleet.living l LEFT JOIN fleet.document d ON "
    "d.host = l.host_id AND d.generation = l.generation AND d.incarnation = l.incarnation WHERE "
    "l.uuid = $1 OR l.domain = $1 ORDER BY l.host, l.domid";

// One column of words; $1: uuid, $2: name, $3: host it is on, $4: host it goes
// to.
constexpr const char* kPoints =
    "SELECT 'host ' || $4 || ' is ' || health || ', last seen ' || coalesce(last_seen::text, "
    "'never') FROM fleet.hosts WHERE host = $4 AND health IN ('never seen', 'silent', 'catching "
    "up') "
    "UNION ALL SELECT 'in doubt: ' || coalesce(class || '/' || key, 'the domain') || ' (' || "
    "operation || '): settle it before, on host ' || $3 || ': xlstore recover domid:' || domid "
    "FROM fleet.in_doubt WHERE host = $3 AND uuid = $1 "
    "UNION ALL SELECT 'another domain on host ' || $4 || ' has the name ' || domain || ' (domain ' "
    "|| domid || '): rename one of them' FROM fleet.living WHERE host = $4 AND domain = $2 AND "
    "uuid <> $1 "
    "UNION ALL SELECT 'image ' || image || ' is used by others, too: ' || used_by FROM "
    "fleet.images_in_use WHERE guests > 1 AND image IN (SELECT t.image FROM fleet.thing t JOIN "
    "fleet.living l ON l.host_id = t.host AND l.generation = t.generation AND l.incarnation = "
    "t.incarnation WHERE l.host = $3 AND l.uuid = $1) "
    "UNION ALL SELECT t.class || '/' || t.key || CASE WHEN t.class = 'qemu' THEN ' is in no "
    "document: on host ' || $3 || ' ''xlstore export --settled --things FILE'' takes it along' "
    "ELSE ' is a device of host ' || $3 || ': detach it there before' END FROM fleet.thing t JOIN "
    "fleet.living l ON l.host_id = t.host AND l.generation = t.generation AND l.incarnation = "
    "t.incarnation WHERE l.host = $3 AND l.uuid = $1 AND t.class IN ('pcidevs', 'usbdevs', "
    "'dtdevs', 'qemu') AND t.state <> 'stale' "
    "UNION ALL SELECT 'Xen is ' || a.xen || ' on host ' || a.host || ' and ' || b.xen || ' on host "
    "' || b.host FROM fleet.hosts a, fleet.hosts b WHERE a.host = $3 AND b.host = $4 AND a.xen <> "
    "b.xen "
    "UNION ALL SELECT 'the program is ' || a.program || ' on host ' || a.host || ' and ' || "
    "b.program || ' on host ' || b.host FROM fleet.hosts a, fleet.hosts b WHERE a.host = $3 AND "
    "b.host = $4 AND a.program <> b.program";

struct Plan {
    pqxx::result places;
    int from = -1, there = -1;  ///< rows of `places`
    std::vector<int> further;   ///< where it is besides these two
    std::string uuid;
    std::vector<std::string> points;
};

std::string place_text(const pqxx::row& place)
{
    return "domain " + place[1].as<std::string>() + " (" + place[2].as<std::string>() +
           ") on host " + place[0].as<std::string>() + ", " + place[4].as<std::string>() +
           (place[5].as<bool>() ? ", closed" : "") + ", as of commit " + place[7].as<std::string>();
}

Result<void> find_places(Plan& plan, const std::string& word, const std::string& target)
{
    for (int i = 0; i < static_cast<int>(plan.places.size()); ++i) {
        const auto place = plan.places[static_cast<pqxx::result::size_type>(i)];
        if (plan.uuid.empty()) plan.uuid = place[3].as<std::string>();
        if (place[3].as<std::string>() != plan.uuid)
            return Error(Errc::invalid,
                         word + " names several domains: " + place_text(plan.places[0]) + "; " +
                             place_text(place),
                         "name it by its uuid");
        auto& row = place[0].as<std::string>() == target ? plan.there : plan.from;
        if (row < 0)
            row = i;
        else
            plan.further.push_back(i);
    }
    if (plan.from >= 0) return {};
    if (plan.there >= 0)
        return Error(Errc::exists, word + " is on host " + target + " and on no other",
                     "there is nothing to move");
    return Error(Errc::not_found, "no host has a domain " + word,
                 "'xlstore-fleet query \"SELECT host, domain, uuid FROM fleet.living\"' lists "
                 "them");
}

Result<Plan> make_plan(pqxx::work& work, const std::string& word, const std::string& target)
{
    if (work.exec_params("SELECT 1 FROM fleet.host WHERE name = $1", target).empty())
        return Error(Errc::not_found, "the fleet has no host " + target,
                     "'xlstore-fleet status' lists them");
    Plan plan;
    plan.places = work.exec_params(kPlaces, word);
    if (auto found = find_places(plan, word, target); !found) return found.error();
    const auto from = plan.places[static_cast<pqxx::result::size_type>(plan.from)];
    for (const int row : plan.further)
        plan.points.push_back("it is in a further place, which this plan does not move: " +
                              place_text(plan.places[static_cast<pqxx::result::size_type>(row)]));
    if (!from[5].as<bool>())
        plan.points.push_back("its document is open: close it for the time of the move, on host " +
                              from[0].as<std::string>() + ": xlstore close domid:" +
                              from[1].as<std::string>() + " --reason migration");
    for (const auto& point : work.exec_params(kPoints, plan.uuid, from[2].as<std::string>(),
                                              from[0].as<std::string>(), target))
        plan.points.push_back(point[0].as<std::string>());
    if (plan.there >= 0) {
        const auto there = plan.places[static_cast<pqxx::result::size_type>(plan.there)];
        plan.points.push_back("it is there already: " + place_text(there));
        if (!from[6].is_null() && !there[6].is_null())
            for (const auto& line :
                 document_difference(from[6].as<std::string>(), there[6].as<std::string>()))
                plan.points.push_back("differs: " + line);
    }
    return plan;
}

std::string document_of(const Plan& plan, int place)
{
    if (place < 0) return "null";
    const auto field = plan.places[static_cast<pqxx::result::size_type>(place)][6];
    return field.is_null() ? "null" : field.as<std::string>();
}

void print_plan(const Plan& plan, bool json)
{
    if (json) {
        std::string points;
        for (const auto& point : plan.points)
            points += (points.empty() ? "" : ",") + json_quote(point);
        std::printf("%s\n", json_object({{"uuid", json_quote(plan.uuid)},
                                         {"points", "[" + points + "]"},
                                         {"here", document_of(plan, plan.from)},
                                         {"there", document_of(plan, plan.there)}})
                                .c_str());
        return;
    }
    const auto from = plan.places[static_cast<pqxx::result::size_type>(plan.from)];
    std::printf("%s, uuid %s\n", tools::plain(place_text(from)).c_str(), plan.uuid.c_str());
    for (const auto& point : plan.points)
        std::printf("- %s\n", tools::plain(point).c_str());
    std::printf("here:  %s\nthere: %s\n", tools::plain(document_of(plan, plan.from)).c_str(),
                plan.there < 0 ? "none" : tools::plain(document_of(plan, plan.there)).c_str());
}

}  // namespace

Result<Status> run_move_plan(const Arguments& arguments)
{
    auto database = open_fleet(arguments.database);
    if (!database) return database.error();
    auto done = in_transaction(**database, "move-plan", [&](pqxx::work& work) -> Result<void> {
        work.exec0("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY");
        const auto plan = make_plan(work, arguments.words[0], arguments.words[1]);
        if (!plan) return plan.error();
        print_plan(*plan, arguments.json);
        return {};
    });
    if (!done) return done.error();
    return Status::done;
}

}  // namespace xlstore::fleet
