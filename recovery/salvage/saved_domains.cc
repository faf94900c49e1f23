// SPDX-License-Identifier: MIT
// Sessions and domains of a damaged database. A domain whose row is lost is made again from the
// indexes that name its uuid and domid, and from the name in its document; what is known of its
// QEMU is lost. Of two rows with one domid the one whose place is proved goes in first. A session
// comes over only where a domain or an intent names it.
#include <algorithm>

#include "recovery/salvage/mended_row.hpp"
#include "recovery/salvage/transfer.hpp"
#include "schema/steps.hpp"
#include "store/base/clock.hpp"
#include "store/model/numbers.hpp"
#include "store/os/process.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::recovery {

// What is destroyed needs no entry any more.
bool Transfer::is_over(std::int64_t domain) const
{
    const auto at = domains_.find(domain);
    return at != domains_.end() && at->second.text("state") == "destroyed";
}

// Each advance of an epoch or a revision was a commit of its own.
std::int64_t Transfer::generation_above() const
{
    std::int64_t most = commits_;
    for (const auto& [id, row] : domains_)
        for (const char* column : {"epoch", "revision"})
            if (const auto value = row.integer(column); value <= Numbers::kMostCommits)
                most = std::max(most, value);
    return most + kEpochsAhead;
}

// Boots that rows name whole.
std::set<std::string> Transfer::boots_known() const
{
    std::set<std::string> boots;
    for (const auto* rows : {&domains_, &sessions_})
        for (const auto& [id, row] : *rows)
            if (!is_damaged_boot(row.text("boot_id"), current_boot_id()))
                boots.insert(row.text("boot_id"));
    return boots;
}

// By the last line of history that names both.
std::map<std::int64_t, std::int64_t> Transfer::domids_told()
{
    std::map<std::int64_t, std::int64_t> domids;
    from_.rows_from_both_ends(
        "history",
        "SELECT id, domain, domid FROM history NOT INDEXED WHERE domain IS NOT NULL AND "
        "domid IS NOT NULL",
        "id %s", [&](const Row& row) { domids[row.integer("domain")] = row.integer("domid"); });
    return domids;
}

void Transfer::mend_domains()
{
    std::map<std::int64_t, std::string> uuids;
    from_.rows_from_both_ends("domain", "SELECT id, uuid FROM domain INDEXED BY domain_uuid",
                              "uuid %s, id %s",
                              [&](const Row& row) { uuids[row.integer("id")] = row.text("uuid"); });
    std::map<std::int64_t, std::int64_t> domids;
    const bool whole = from_.rows_from_both_ends(
        "domain",
        "SELECT id, domid FROM domain INDEXED BY domain_living WHERE state <> 'destroyed'",
        "domid %s", [&](const Row& row) { domids[row.integer("id")] = row.integer("domid"); });
    const auto above = generation_above();
    const auto boots = boots_known();
    const auto told = domids_told();
    for (auto& [id, row] : domains_) {
        DomainWitness witness;
        witness.above = above;
        if (const auto at = uuids.find(id); at != uuids.end()) witness.index_uuid = at->second;
        if (const auto at = domids.find(id); at != domids.end()) witness.index_domid = at->second;
        witness.index_of_living = whole;
        if (const auto at = told.find(id); at != told.end()) witness.history_domid = at->second;
        witness.boot_id = current_boot_id();
        witness.known_boots = boots;
        if (const auto c_info = c_info_of(id)) {
            witness.document_uuid = json_get_string(*c_info, "uuid");
            witness.document_name = json_get_string(*c_info, "name");
        }
        const auto mended = mend_domain(row, witness);
        tell_mended(name_of(id), row, mended);
    }
}

void Transfer::rebuild_domains()
{
    if (!damaged_.contains("domain")) return;
    std::map<std::int64_t, std::string> uuids;
    from_.rows_from_both_ends("domain", "SELECT id, uuid FROM domain INDEXED BY domain_uuid",
                              "uuid %s, id %s",
                              [&](const Row& row) { uuids[row.integer("id")] = row.text("uuid"); });
    std::set<std::string> strays;  // of rows that the index has under another number, if at all
    for (const auto& [id, row] : domains_)
        if (!uuids.contains(id)) strays.insert(row.text("uuid"));
    const bool all_named = from_.rows_from_both_ends(
        "domain",
        "SELECT id, domid FROM domain INDEXED BY domain_living WHERE state <> 'destroyed'",
        "domid %s", [&](const Row& row) {
            const auto id = row.integer("id");
            note_id("domain", id);
            const auto uuid = uuids.find(id);
            if (domains_.contains(id) || uuid == uuids.end()) return;
            Row domain;
            for (const char* column :
                 {"vm_uuid", "creator", "qemu_pid", "qemu_start_time", "qemu_pid_namespace",
                  "monitor_path", "monitor_device", "monitor_inode", "peer_pid", "peer_uid",
                  "peer_gid", "log_path"})
                domain.set(column, std::monostate());
            domain.set(has_column("domain", "initial_from") ? "initial_from" : "baseline",
                       std::monostate());
            domain.set("id", id);
            domain.set("domid", row.integer("domid"));
            domain.set("uuid", uuid->second);
            domain.set("name", "domain-" + std::to_string(row.integer("domid")));
            // The passes that follow ask what there is of it. A row that called it over would let
            // its document go.
            domain.set("state", "running");
            domain.set("epoch", generation_above());
            domain.set("revision", generation_above());
            domain.set("layout", "yajl");
            domain.set("boot_id", current_boot_id());
            domain.set("monitor_handed_in", std::int64_t{0});
            for (const char* column : {"created_us", "changed_us", "born_us"})
                domain.set(column, now_us());
            domains_.emplace(id, std::move(domain));
            rebuilt_domains_.insert(id);
            uuids.erase(uuid);
        });
    if (!all_named) not_all("domains", !domains_.empty());
    for (const auto& [id, uuid] : uuids)
        if (!domains_.contains(id) && !strays.contains(uuid))
            lost("incarnation " + std::to_string(id), "uuid " + uuid);
}

// Those first whose place is proved: of two with one domid they are the living one.
void Transfer::domains()
{
    std::erase_if(domains_, [&](const auto& entry) {
        return is_doubtful("domain", entry.first) && entry.second.text("state") == "destroyed";
    });
    for (const bool doubtful : {false, true})
        put_domains(doubtful);
}

void Transfer::put_domains(bool doubtful)
{
    for (auto& [id, row] : domains_) {
        if (is_doubtful("domain", id) != doubtful) continue;
        const auto state = row.text("state");
        // Only a creation that is under way has one, and it is ended without one as well.
        if (!row.is_null("creator") && (state != "creating" || !need_session(row, "creator")))
            row.set("creator", std::monostate());
        // R15: a hold that began in the damaged database must not commit in this one.
        row.set("epoch", row.integer("epoch") + kEpochsAhead);
        Row first = row;
        if (state == "destroying") first.set("state", "running");      // R8: its rows come yet
        if (is_closed(row)) first.set("closed_us", std::monostate());  // as well
        if (rebuilt_domains_.contains(id)) {
            first.set("name", name_in_document(id, row.text("name")));
            row = first;
            rebuilt(name_of(id),
                    "domid and uuid from the indexes, the name from its document; nothing is "
                    "known of its QEMU: register it");
        }
        if (std::ranges::count(row.damaged(), "domid") != 0 && row.integer("domid") == 0) {
            quarantine_row("domain", row, name_of(id), "its domid is not known");
            continue;
        }
        if (!put("domain", first, name_of(id))) continue;
        kept_.insert(id);
        if (doubtful) rebuilt(name_of(id), std::string(kDoubtful) + "the other passes ask");
    }
}

std::optional<std::string> Transfer::c_info_of(std::int64_t domain)
{
    std::optional<std::string> c_info;
    from_.rows_from_both_ends(
        "document_member",
        "SELECT text FROM document_member WHERE key = 'c_info' AND domain = " +
            std::to_string(domain),
        "rank %s", [&](const Row& row) {
            auto text = json_minify(row.text("text"), "c_info");
            if (text) c_info = *std::move(text);
        });
    if (c_info) return c_info;
    // Not by its tree, then from any page that has it.
    for (const auto& row : from_.scanned("document_member")) {
        if (row.integer("domain") != domain || row.text("key") != "c_info") continue;
        if (auto text = json_minify(row.text("text"), "c_info")) return *std::move(text);
    }
    return std::nullopt;
}

std::string Transfer::name_in_document(std::int64_t domain, const std::string& otherwise)
{
    const auto c_info = c_info_of(domain);
    return c_info ? json_get_string(*c_info, "name").value_or(otherwise) : otherwise;
}

// R17: what no session can have had is damaged, and the store would go on above it. In its place
// one that none has.
std::int64_t Transfer::session_given(std::int64_t id) const
{
    const auto told = sequences_.find("session");
    const bool is_told =
        told != sequences_.end() && told->second > 0 && told->second <= Numbers::kHighestId;
    const auto most = is_told ? told->second : Numbers::kMostAtOnce;
    if (id > 0 && id <= most + kIdsAhead) return id;
    std::int64_t unused = 1;
    for (const auto& [given, row] : sessions_)
        if (given <= most) unused = std::max(unused, given + 1);
    return unused;
}

// Of an intent, or of a creation. False: the store's rules do not let it in.
bool Transfer::need_session(Row& owned, const char* by)
{
    const auto id = session_given(owned.integer(by));
    owned.set(by, id);
    const auto [needed, is_first] = needed_.emplace(id, false);
    if (!is_first) return needed->second;
    const auto at = sessions_.find(id);
    Row row;
    if (at != sessions_.end() && at->second.damaged().empty()) {
        row = at->second;
    } else {
        row.set("id", id);
        for (const char* column : {"pid", "start_time", "pid_namespace", "opened_us"})
            row.set(column, std::int64_t{0});
        row.set("boot_id", "");
        // No process has pid 0: the session is dead, and what it left is settled as that of any
        // dead one.
        row.set("program", "lost");
    }
    // A trigger keeps out sessions that begin with no version; these have begun.
    if (has_column("session", "schema") &&
        (!row.cells().contains("schema") || row.is_null("schema")))
        row.set("schema", schema::newest_version());
    return needed->second = put("session", row, "session " + std::to_string(id));
}

void Transfer::settle_states()
{
    for (const auto& [id, row] : domains_)
        if (row.text("state") == "destroying" && kept_.contains(id))
            into_.prepare("UPDATE domain SET state = 'destroying' WHERE id = ?").bind(id).run();
    for (const auto& [id, row] : domains_)
        if (is_closed(row) && kept_.contains(id)) close_again(id, row);
}

// Tables of release 0.1 do not know that.
bool Transfer::is_closed(const Row& row)
{
    return row.cells().contains("closed_us") && !row.is_null("closed_us");
}

void Transfer::close_again(std::int64_t id, const Row& row)
{
    into_
        .prepare(
            "UPDATE domain SET closed_us = ?1 WHERE id = ?2 AND state = 'running' AND NOT "
            "EXISTS (SELECT 1 FROM intent WHERE domain = ?2)")
        .bind(row.integer("closed_us"))
        .bind(id)
        .run();
    if (into_.changes() == 0)
        lost(name_of(id) + ": that its document is closed", "it has an open intent");
}

}  // namespace xlstore::recovery
