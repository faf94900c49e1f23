// SPDX-License-Identifier: MIT
// Transfer reads first and writes then. Sessions, domains, intents and things are read whole, each
// with the ids that an index names, so that a row that is lost is known by its number. mend_* fill
// damaged columns from indexes and documents; rebuild_* make rows for what is named and cannot be
// read (R1: an entry that is too many harms nothing, one that is missing does). Then rows are
// inserted in the order of their foreign keys, under the store's own rules: what a rule refuses is
// quarantined in table set_aside, with the reason. At last the numbers of each table are set above
// all that can have been given (R17).
#include "recovery/salvage/saved_rows.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <set>

#include "recovery/base/quarantine.hpp"
#include "recovery/salvage/mended_row.hpp"
#include "schema/steps.hpp"
#include "store/base/clock.hpp"
#include "store/base/random.hpp"
#include "store/classes/class_rebuild.hpp"
#include "store/model/device_class.hpp"
#include "store/model/numbers.hpp"
#include "store/os/process.hpp"
#include "store/qmp/protocol.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::recovery {

namespace {

// R17. More ids and epochs than can have been given in commits that are lost: the log is started
// anew long before it holds as many.
constexpr std::int64_t kIdsAhead = 100'000;
constexpr std::int64_t kEpochsAhead = 1'000'000;
constexpr std::int64_t kMostCommits = std::int64_t{1} << 53;

// R1 R5. Neither taken for present, since it may have been removed, nor left out.
constexpr const char* kDoubtful =
    "it was read where nothing proves that it had not been removed before; ";

using Key = std::pair<std::int64_t, std::string>;

class Transfer {
public:
    Transfer(DamagedDatabase& from, Db& into, std::int64_t ids_from)
        : from_(from), into_(into), ids_from_(ids_from)
    {}

    std::vector<Loss> run()
    {
        read_sequences();
        store_row();
        loose_rows("set_aside");  // those of today come after it
        read(sessions_, "session");
        read(domains_, "domain", "domain_uuid", "uuid %s, id %s");
        read(intents_, "intent", "sqlite_autoindex_intent_1", "thing %s");
        read(things_, "thing", "sqlite_autoindex_thing_1", "domain %s, class %s, key %s");
        read_products();
        mend_domains();
        mend_things();
        rebuild_domains();
        rebuild_things();
        domains();
        members();
        things();
        products();
        initial_devices();
        intents();
        settle_states();
        loose_rows("tombstone");
        loose_rows("history");
        retired_documents();
        undo_rows();
        sequences();
        return std::move(losses_);
    }

private:
    using Rows = std::map<std::int64_t, Row>;

    void lost(const std::string& what, const std::string& why)
    {
        losses_.push_back({Code::row_lost, what, why});
    }
    void rebuilt(const std::string& what, const std::string& why)
    {
        losses_.push_back({Code::row_rebuilt, what, why});
    }

    // Neither table nor index could be read to its end. What was found page by page came back all the
    // same: that it is lost is said only where there is nothing of it.
    void not_all(const std::string& what, const std::string& table)
    {
        if (from_.scanned(table).empty())
            lost(what, "table and index are damaged, and no page has one: whether there were any, is not known");
        else
            rebuilt(what, "table and index are damaged: rows were read page by page; whether there were more, "
                          "is not known");
    }

    // Where to stop looking behind the damage.
    [[nodiscard]] std::int64_t highest(const std::string& table) const
    {
        const auto known = ids_.find(table);
        return known != ids_.end() ? known->second : ids_from_ + kIdsAhead;
    }

    void read(Rows& rows, const std::string& table, const char* index = nullptr,
              const char* order = nullptr)
    {
        const auto named =
            index != nullptr ? ids_in(table, index, order) : std::set<std::int64_t>();
        const bool whole = from_.rows_by_id(table, highest(table), [&](Row row) {
            const auto id = row.integer("id");
            note_id(table, id);
            if (!row.proved() && !named.contains(id)) doubtful_[table].insert(id);
            rows.insert_or_assign(id, std::move(row));
        });
        if (!whole) damaged_.insert(table);
    }

    // What an index names has not been deleted.
    std::set<std::int64_t> ids_in(const std::string& table, const std::string& index,
                                  const std::string& order)
    {
        std::set<std::int64_t> ids;
        from_.rows_from_both_ends(table, "SELECT id FROM " + table + " INDEXED BY " + index, order,
                                  [&](const Row& row) { ids.insert(row.integer("id")); });
        return ids;
    }

    [[nodiscard]] bool is_doubtful(const std::string& table, std::int64_t id) const
    {
        const auto ids = doubtful_.find(table);
        return ids != doubtful_.end() && ids->second.contains(id);
    }

    void note_id(const std::string& table, std::int64_t id)
    {
        auto& most = ids_[table];
        most = std::max(most, id);
    }

    void read_sequences()
    {
        from_.rows_from_both_ends(
            "sqlite_sequence", "SELECT name, seq FROM sqlite_sequence", "rowid %s",
            [&](const Row& row) { sequences_[row.text("name")] = row.integer("seq"); });
    }

    // Its statement stays prepared: Db knows it by the address of its text. A row that was rebuilt
    // may lack columns of those that were read.
    Statement inserting(const std::string& table, const Row& row)
    {
        std::string names;
        std::string marks;
        for (const auto& [column, cell] : row.cells()) {
            names += (names.empty() ? "" : ", ") + column;
            marks += marks.empty() ? "?" : ", ?";
        }
        auto& sql = inserts_[table + " " + names];
        if (sql.empty()) sql = "INSERT INTO " + table + " (" + names + ") VALUES (" + marks + ")";
        auto statement = into_.prepare(sql.c_str());
        for (const auto& [column, cell] : row.cells()) {
            if (const auto* number = std::get_if<std::int64_t>(&cell))
                statement.bind(*number);
            else if (const auto* text = std::get_if<std::string>(&cell))
                statement.bind(*text);
            else
                statement.bind(nullptr);
        }
        return statement;
    }

    // False: the store's rules do not let it in, and it is quarantined.
    bool put(const std::string& table, const Row& row, const std::string& what)
    {
        try {
            inserting(table, row).run();
            return true;
        } catch (const DbError& e) {
            // What a rule, a key or a type is against; a full disk is no reason to go on.
            const int code = e.extended_code() & 0xff;
            if (code != SQLITE_CONSTRAINT && code != SQLITE_MISMATCH) throw;
            quarantine_row(table, row, what, e.reason());
            return false;
        }
    }

    void quarantine_row(const std::string& table, const Row& row, const std::string& what,
                        const std::string& why)
    {
        const bool of_domain = row.cells().contains("domain") && !row.is_null("domain");
        quarantine(into_, of_domain ? std::optional(DomainId(row.integer("domain"))) : std::nullopt,
                   "row of " + table, why, row.json());
        losses_.push_back({Code::row_set_aside, what, why});
    }

    [[nodiscard]] std::string name_of(std::int64_t domain) const
    {
        const auto at = domains_.find(domain);
        if (at == domains_.end()) return "incarnation " + std::to_string(domain);
        return "domain " + std::to_string(at->second.integer("domid")) + " (" +
               at->second.text("name") + ")";
    }
    [[nodiscard]] std::string name_of(const Row& thing) const
    {
        return name_of(thing.integer("domain")) + ": " + thing.text("class") + "/" +
               thing.text("key");
    }

    void store_row()
    {
        Row row;
        bool there = false;
        from_.rows_by_id("store", 1, [&](Row read) {
            row = std::move(read);
            there = true;
        });
        if (!there) {
            row.set("id", std::int64_t{1});
            row.set("created_us", now_us());
            row.set("durability", "power");
            row.set("history_pruned_below", std::int64_t{0});
            rebuilt("the store's own row",
                    "its durability is not known: 'power', the stronger one, was taken");
        }
        if (there && has_column("store", "commits") && !row.is_null("commits"))
            if (const auto told = row.integer("commits"); told > 0 && told <= kMostCommits)
                commits_ = told;
        row.set("uuid", random_uuid());  // R17: it is another database
        put("store", row, "the store's own row");
    }

    // What is destroyed needs no entry any more.
    [[nodiscard]] bool is_over(std::int64_t domain) const
    {
        const auto at = domains_.find(domain);
        return at != domains_.end() && at->second.text("state") == "destroyed";
    }

    // Each advance of an epoch or a revision was a commit of its own.
    [[nodiscard]] std::int64_t generation_above() const
    {
        std::int64_t most = commits_;
        for (const auto& [id, row] : domains_)
            for (const char* column : {"epoch", "revision"})
                if (const auto value = row.integer(column); value <= kMostCommits)
                    most = std::max(most, value);
        return most + kEpochsAhead;
    }

    void mend_domains()
    {
        std::map<std::int64_t, std::string> uuids;
        from_.rows_from_both_ends(
            "domain", "SELECT id, uuid FROM domain INDEXED BY domain_uuid", "uuid %s, id %s",
            [&](const Row& row) { uuids[row.integer("id")] = row.text("uuid"); });
        std::map<std::int64_t, std::int64_t> domids;
        const bool whole = from_.rows_from_both_ends(
            "domain",
            "SELECT id, domid FROM domain INDEXED BY domain_living WHERE state <> 'destroyed'",
            "domid %s", [&](const Row& row) { domids[row.integer("id")] = row.integer("domid"); });
        const auto above = generation_above();
        for (auto& [id, row] : domains_) {
            DomainWitness witness;
            witness.above = above;
            if (const auto at = uuids.find(id); at != uuids.end()) witness.index_uuid = at->second;
            if (const auto at = domids.find(id); at != domids.end())
                witness.index_domid = at->second;
            witness.index_of_living = whole;
            witness.boot_id = current_boot_id();
            if (const auto c_info = c_info_of(id)) {
                witness.document_uuid = json_get_string(*c_info, "uuid");
                witness.document_name = json_get_string(*c_info, "name");
            }
            tell_mended(name_of(id), row, mend_domain(row, witness));
        }
    }

    void mend_things()
    {
        std::map<std::int64_t, Row> index;
        from_.rows_from_both_ends(
            "thing", "SELECT id, domain, class, key FROM thing INDEXED BY sqlite_autoindex_thing_1",
            "domain %s, class %s, key %s",
            [&](const Row& row) { index.insert_or_assign(row.integer("id"), row); });
        for (auto& [id, row] : things_) {
            ThingWitness witness;
            if (const auto at = index.find(id); at != index.end()) {
                witness.index_domain = at->second.integer("domain");
                witness.index_class = at->second.text("class");
                witness.index_key = at->second.text("key");
            }
            auto mended = mend_thing(row, witness);
            tell_mended(name_of(row), row, mended);
        }
    }

    void tell_mended(const std::string& what, const Row& row,
                     const std::vector<std::string>& mended)
    {
        std::string why;
        for (const auto& words : mended)
            why += (why.empty() ? "" : "; ") + words;
        for (const auto& column : row.damaged())
            if (why.find(column + ":") == std::string::npos)
                why += (why.empty() ? "" : "; ") + column + ": it is not known any more";
        if (!why.empty()) rebuilt(what, "damaged: " + why);
    }

    void rebuild_domains()
    {
        if (!damaged_.contains("domain")) return;
        std::map<std::int64_t, std::string> uuids;
        from_.rows_from_both_ends(
            "domain", "SELECT id, uuid FROM domain INDEXED BY domain_uuid", "uuid %s, id %s",
            [&](const Row& row) { uuids[row.integer("id")] = row.text("uuid"); });
        const bool all_named = from_.rows_from_both_ends(
            "domain",
            "SELECT id, domid FROM domain INDEXED BY domain_living WHERE state <> 'destroyed'",
            "domid %s", [&](const Row& row) {
                const auto id = row.integer("id");
                note_id("domain", id);
                if (domains_.contains(id) || uuids[id].empty()) return;
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
                domain.set("uuid", uuids[id]);
                domain.set("name", "domain-" + std::to_string(row.integer("domid")));
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
                uuids.erase(id);
            });
        if (!all_named) not_all("domains", "domain");
        for (const auto& [id, uuid] : uuids)
            if (!domains_.contains(id)) lost("incarnation " + std::to_string(id), "uuid " + uuid);
    }

    // A CD drive whose medium was changed says so in history.
    std::set<Key> changed_drives()
    {
        std::set<Key> drives;  // by domain and key
        from_.rows_from_both_ends(
            "history",
            "SELECT domain, key FROM history NOT INDEXED WHERE class = 'disks' AND "
            "operation IN ('change', 'adopt') AND domain IS NOT NULL AND key IS NOT NULL",
            "id %s",
            [&](const Row& row) { drives.emplace(row.integer("domain"), row.text("key")); });
        return drives;
    }

    // R1: an index that names a thing says enough for an entry.
    void rebuild_things()
    {
        if (!damaged_.contains("thing")) return;
        const auto drives = changed_drives();
        const bool all_named = from_.rows_from_both_ends(
            "thing", "SELECT id, domain, class, key FROM thing INDEXED BY sqlite_autoindex_thing_1",
            "domain %s, class %s, key %s", [&](const Row& row) {
                const auto id = row.integer("id");
                const auto* of = find_device_class(row.text("class"));
                note_id("thing", id);
                if (things_.contains(id) || is_over(row.integer("domain"))) return;
                if (of == nullptr) {
                    lost(name_of(row), "its row was damaged, and its class is not known");
                    return;
                }
                Row thing = row;
                const auto made_of = products_of(id);
                // Only what is QEMU's is made of something there, or changed by an intent. Of a USB
                // controller that alone tells.
                const bool always = of->primary == Primary::qemu && of->name != "usbctrls";
                const bool in_qemu = always || !made_of.empty() ||
                                     (of->key == KeyRule::vdev &&
                                      drives.contains(Key(row.integer("domain"), row.text("key"))));
                const auto json = of->key == KeyRule::given
                                      ? found_entry(row.text("key"), made_of)
                                      : element_of_key(*of, row.text("key"), in_qemu);
                thing.set("position", id);  // in the order in which they came
                thing.set("primary_at", std::string(primary_name(thing_primary(*of, json, {}))));
                thing.set("state", "present");
                thing.set("json", json);
                thing.set("changed_us", now_us());
                rebuilt(name_of(thing), "the entry has its key alone");
                things_.emplace(id, std::move(thing));
            });
        if (!all_named) not_all("entries", "thing");
    }

    // Those first whose place is proved: of two with one domid they are the living one.
    void domains()
    {
        std::erase_if(domains_, [&](const auto& entry) {
            return is_doubtful("domain", entry.first) && entry.second.text("state") == "destroyed";
        });
        for (const bool doubtful : {false, true})
            put_domains(doubtful);
    }

    void put_domains(bool doubtful)
    {
        for (auto& [id, row] : domains_) {
            if (is_doubtful("domain", id) != doubtful) continue;
            auto creator = row.is_null("creator") ? 0 : row.integer("creator");
            if (creator != 0) need_session(creator);
            const auto state = row.text("state");
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

    std::optional<std::string> c_info_of(std::int64_t domain)
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
        for (const auto& row : from_.scanned("document_member")) {
            if (row.integer("domain") != domain || row.text("key") != "c_info") continue;
            if (auto text = json_minify(row.text("text"), "c_info")) return *std::move(text);
        }
        return std::nullopt;
    }

    std::string name_in_document(std::int64_t domain, const std::string& otherwise)
    {
        const auto c_info = c_info_of(domain);
        return c_info ? json_get_string(*c_info, "name").value_or(otherwise) : otherwise;
    }

    void read_member_keys()
    {
        from_.rows_from_both_ends(
            "document_member",
            "SELECT domain, rank, key FROM document_member "
            "INDEXED BY sqlite_autoindex_document_member_2",
            "domain %s, key %s", [&](const Row& row) {
                member_keys_[{row.integer("domain"), row.integer("rank")}] = row.text("key");
            });
    }

    bool mend_key(Row& row) const
    {
        const auto key = member_keys_.find({row.integer("domain"), row.integer("rank")});
        return key != member_keys_.end() && mend_member(row, key->second);
    }

    void members()
    {
        std::map<Key, Row> found;  // by domain and key
        read_member_keys();
        const auto take = [&](Row row) {
            if (mend_key(row) && !found.contains(Key(row.integer("domain"), row.text("key"))))
                rebuilt(name_of(row.integer("domain")) + ": member " +
                            qmp::printable(row.text("key")),
                        "damaged: key: that of the index was taken");
            found.insert_or_assign(Key(row.integer("domain"), row.text("key")), std::move(row));
        };
        const std::string select =
            "SELECT domain, rank, key, key_text, text FROM document_member NOT INDEXED";
        const bool whole =
            from_.rows_from_both_ends("document_member", select, "domain %s, rank %s", take);
        if (!whole)
            for (const auto& [domain, row] : domains_)
                from_.rows_from_both_ends("document_member",
                                          select + " WHERE domain = " + std::to_string(domain),
                                          "rank %s", take);
        const bool all = take_scanned_members(found) && whole;
        std::set<std::pair<std::int64_t, std::int64_t>> ranks;  // of each domain
        for (const auto& [key, row] : found) {
            ranks.emplace(key.first, row.integer("rank"));
            put("document_member", row,
                name_of(key.first) + ": member " + qmp::printable(key.second));
        }
        if (all) return;
        const bool all_named = from_.rows_from_both_ends(
            "document_member",
            "SELECT domain, key FROM document_member INDEXED BY sqlite_autoindex_document_member_2",
            "domain %s, key %s", [&](const Row& row) {
                const Key key(row.integer("domain"), row.text("key"));
                if (!kept_.contains(key.first) || !found.emplace(key, row).second) return;
                const std::string what =
                    name_of(key.first) + ": member " + qmp::printable(key.second);
                const auto& classes = device_classes();
                const auto of = std::ranges::find(classes, key.second, &DeviceClass::name);
                if (of == classes.end() || !of->in_document) {
                    lost(what, "its row was damaged");
                    note_lost_member(key.first, key.second);
                    return;
                }
                // The place of an array: there is no more to it. Where a document of libxl has it.
                Row member = row;
                std::int64_t rank = 10 * (3 + (of - classes.begin()));
                while (!ranks.emplace(key.first, rank).second)
                    ++rank;
                member.set("rank", rank);
                member.set("key_text", json_quote(key.second));
                member.set("text", std::monostate());
                put("document_member", member, what);
            });
        if (all_named) return;
        not_all("members of documents", "document_member");
        for (const auto id : kept_)
            if (!is_over(id) && !found.contains(Key(id, "b_info"))) note_lost_member(id, "b_info");
    }

    // Pass 1 goes on saying so until the document has it again (1011).
    void note_lost_member(std::int64_t domain, const std::string& key)
    {
        quarantine(into_, DomainId(domain), "member " + qmp::printable(key), "its row was damaged",
                   "");
    }

    // True: there is none that the trees do not lead to.
    bool take_scanned_members(std::map<Key, Row>& found)
    {
        bool none = true;
        for (const bool proved : {true, false})
            for (auto row : from_.scanned("document_member")) {
                if (row.proved() != proved || !kept_.contains(row.integer("domain"))) continue;
                (void)mend_key(row);
                const Key key(row.integer("domain"), row.text("key"));
                if (!found.emplace(key, row).second) continue;
                none = false;
                if (!proved)
                    rebuilt(name_of(key.first) + ": member " + qmp::printable(key.second),
                            std::string(kDoubtful) + "it may be an older text");
            }
        return none;
    }

    void things()
    {
        for (auto& [id, row] : things_) {
            const bool doubtful = is_doubtful("thing", id);
            if (doubtful && (is_over(row.integer("domain")) || !is_first_of_name(row))) continue;
            const auto state = row.text("state");
            if (doubtful) row.set("state", "stale");
            if (row.text("class").empty() || row.text("key").empty()) {
                quarantine_row("thing", row, name_of(row), "which thing it is is not known");
                continue;
            }
            if (!put("thing", row, name_of(row))) continue;
            kept_things_.insert(id);
            if (doubtful)
                rebuilt(name_of(row),
                        kDoubtful + ("it was " + state) +
                            ", and is called stale until its QEMU is seen to have it");
        }
    }

    // Of a thing that was added again the row of before may have been read, too.
    [[nodiscard]] bool is_first_of_name(const Row& row) const
    {
        return std::ranges::none_of(things_, [&](const auto& other) {
            return other.first != row.integer("id") && !is_doubtful("thing", other.first) &&
                   other.second.integer("domain") == row.integer("domain") &&
                   other.second.text("class") == row.text("class") &&
                   other.second.text("key") == row.text("key");
        });
    }

    void read_products()
    {
        std::set<std::string> found;
        const bool has_image = from_.has_column("product", "image");
        const auto take = [&](Row row) {
            const auto name = std::to_string(row.integer("thing")) + " " +
                              (has_image ? row.text("image") : "") + " " + row.text("kind") + " " +
                              row.text("name");
            if (!found.insert(name).second) return;
            products_by_thing_[row.integer("thing")].push_back(
                Product{row.text("kind"), row.text("name"), std::nullopt});
            products_.push_back(std::move(row));
        };
        const std::string names =
            has_image ? "domain, kind, name, thing, image" : "domain, kind, name, thing";
        const std::string order = has_image ? ", thing %s, image %s" : "";
        const bool whole = from_.rows_from_both_ends(
            "product",
            "SELECT " + names + (has_image ? ", claimed, seq, undo, asked_us" : "") +
                " FROM product NOT INDEXED",
            "domain %s, kind %s, name %s" + order, take);
        for (const auto& row : from_.scanned("product"))
            if (row.proved()) take(row);
        // The index has the names, which is what matters (R1); order and undo are those of the
        // kind.
        const auto take_name = [&](Row row) {
            const auto thing = things_.find(row.integer("thing"));
            const bool stale = thing != things_.end() && thing->second.text("state") == "stale";
            row.set("claimed", std::int64_t{stale ? 0 : 1});
            take(std::move(row));
        };
        if (!whole && !from_.rows_from_both_ends(
                          "product", "SELECT " + names + " FROM product INDEXED BY product_thing",
                          std::string("thing %s, domain %s, kind %s, name %s") +
                              (has_image ? ", image %s" : ""),
                          take_name))
            not_all("what things are made of in QEMU", "product");
    }

    [[nodiscard]] std::vector<Product> products_of(std::int64_t thing) const
    {
        const auto found = products_by_thing_.find(thing);
        if (found == products_by_thing_.end()) return {};
        auto products = found->second;
        order_by_kind(products);
        return products;
    }

    void products()
    {
        for (const auto& row : products_)
            put("product", row,
                name_of(row.integer("domain")) + ": QEMU's " + row.text("kind") + " " +
                    qmp::printable(row.text("name")));
    }

    // Without all of them nothing is known to be initial: xlfsck reports it and takes nothing out.
    void initial_devices()
    {
        if (!has_column("initial_device", "kind")) return;  // a release that kept them elsewhere
        std::set<std::string> taken;
        const auto take = [&](const Row& row) {
            const auto what = name_of(row.integer("domain")) + ": initial " + row.text("kind") +
                              " " + qmp::printable(row.text("name"));
            if (kept_.contains(row.integer("domain")) && taken.insert(what).second)
                put("initial_device", row, what);
        };
        const bool whole = from_.rows_from_both_ends(
            "initial_device", "SELECT domain, kind, name, file FROM initial_device",
            "domain %s, kind %s, name %s", take);
        for (const auto& row : from_.scanned("initial_device"))
            if (row.proved()) take(row);
        if (whole) return;
        lost("initial devices", "what QEMUs were started with is read from their command lines");
        into_.prepare("UPDATE domain SET initial_from = 'unknown' WHERE initial_from IS NOT NULL")
            .run();
    }

    void intents()
    {
        std::set<std::int64_t> open;
        for (auto& [id, row] : intents_) {
            const std::string what = name_of(row.integer("domain")) + ": intent " +
                                     std::to_string(id) + " (" + row.text("operation") + ")";
            if (is_doubtful("intent", id)) {
                quarantine_row("intent", row, what, "nothing proves that it had not been settled");
                continue;
            }
            if (!row.damaged().empty()) {
                quarantine_row("intent", row, what,
                               "its column " + row.damaged().front() + " is damaged");
                continue;
            }
            need_session(row.integer("owner"));
            if (!kept_things_.contains(row.integer("thing")))
                quarantine_row("intent", row, what, "its thing has no row");
            else if (put("intent", row, what))
                open.insert(row.integer("thing"));
        }
        if (damaged_.contains("intent"))
            from_.rows_from_both_ends(
                "intent", "SELECT id, thing FROM intent INDEXED BY sqlite_autoindex_intent_1",
                "thing %s", [&](const Row& row) {
                    note_id("intent", row.integer("id"));
                    if (intents_.contains(row.integer("id"))) return;
                    intents_.emplace(row.integer("id"), row);
                    const auto thing = things_.find(row.integer("thing"));
                    lost((thing == things_.end() ? "" : name_of(thing->second) + ": ") + "intent " +
                             std::to_string(row.integer("id")),
                         "its row was damaged");
                });
        for (const auto id : kept_things_) {
            const auto& thing = things_.at(id);
            const auto state = thing.text("state");
            if (state == "present" || state == "stale" || open.contains(id)) continue;
            // Never towards absence; pass 5 asks QEMU.
            into_.prepare("UPDATE thing SET state = 'present' WHERE id = ?").bind(id).run();
            rebuilt(name_of(thing), "it was " + state + ", and the intent is lost: called present");
        }
    }

    void need_session(std::int64_t id)
    {
        if (!needed_.insert(id).second) return;
        const auto at = sessions_.find(id);
        Row row;
        if (at != sessions_.end() && at->second.damaged().empty()) {
            row = at->second;
        } else {
            row.set("id", id);
            for (const char* column : {"pid", "start_time", "pid_namespace", "opened_us"})
                row.set(column, std::int64_t{0});
            row.set("boot_id", "");
            row.set("program", "lost");
        }
        // A trigger keeps out sessions that begin with no version; these have begun.
        if (has_column("session", "schema") &&
            (!row.cells().contains("schema") || row.is_null("schema")))
            row.set("schema", schema::newest_version());
        put("session", row, "session " + std::to_string(id));
    }

    bool has_column(const char* table, const char* column)
    {
        auto found = into_.prepare("SELECT 1 FROM pragma_table_info(?) WHERE name = ?")
                         .bind(table)
                         .bind(column);
        return found.step();
    }

    void settle_states()
    {
        for (const auto& [id, row] : domains_)
            if (row.text("state") == "destroying" && kept_.contains(id))
                into_.prepare("UPDATE domain SET state = 'destroying' WHERE id = ?").bind(id).run();
        for (const auto& [id, row] : domains_)
            if (is_closed(row) && kept_.contains(id)) close_again(id, row);
    }

    // Tables of release 0.1 do not know that.
    static bool is_closed(const Row& row)
    {
        return row.cells().contains("closed_us") && !row.is_null("closed_us");
    }

    void close_again(std::int64_t id, const Row& row)
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

    // A table that nothing hangs on.
    void loose_rows(const std::string& table)
    {
        const bool whole = from_.rows_by_id(table, highest(table), [&](const Row& row) {
            note_id(table, row.integer("id"));
            if (row.cells().contains("domain")) note_id("domain", row.integer("domain"));
            const auto what = table + " " + std::to_string(row.integer("id"));
            if (row.damaged().empty())
                put(table, row, what);
            else
                quarantine_row(table, row, what,
                               "its column " + row.damaged().front() + " is damaged");
        });
        if (!whole) not_all("rows of " + table, table);
    }

    // R22. Their ids are those of incarnations.
    void retired_documents()
    {
        if (!has_column("retired_document", "json")) return;  // a release that kept none
        loose_rows("retired_document");
        note_id("domain", ids_["retired_document"]);
    }

    // R22. Without the generations, which this salvage moves on.
    void undo_rows()
    {
        if (!has_column("undo_row", "before")) return;  // a release that kept none
        loose_rows("undo_run");
        loose_rows("undo_row");
    }

    // R17: above all that was ever given.
    void sequences()
    {
        for (const char* table :
             {"session", "domain", "tombstone", "thing", "intent", "set_aside", "history"}) {
            // As damaged as any other row: what no store gets to is none of its numbers.
            const auto told = sequences_[table];
            const auto known = std::max(ids_[table], told <= Numbers::kHighestId ? told : 0);
            const auto first = std::max(known, ids_from_) + kIdsAhead;
            into_.prepare("DELETE FROM sqlite_sequence WHERE name = ?").bind(table).run();
            into_.prepare("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)")
                .bind(table)
                .bind(first)
                .run();
        }
    }

    DamagedDatabase& from_;
    Db& into_;
    std::int64_t ids_from_;
    std::int64_t commits_ = 0;
    std::set<std::string> damaged_;
    std::map<std::string, std::set<std::int64_t>> doubtful_;
    std::map<std::string, std::int64_t> ids_;
    std::map<std::string, std::int64_t> sequences_;
    std::map<std::string, std::string> inserts_;
    std::map<std::pair<std::int64_t, std::int64_t>, std::string> member_keys_;  // of an index
    Rows sessions_, domains_, intents_, things_;
    std::vector<Row> products_;
    std::map<std::int64_t, std::vector<Product>> products_by_thing_;
    std::set<std::int64_t> rebuilt_domains_, kept_, kept_things_, needed_;
    std::vector<Loss> losses_;
};

}  // namespace

std::vector<Loss> bring_over(DamagedDatabase& from, Db& into, std::int64_t ids_from)
{
    return Transfer(from, into, ids_from).run();
}

}  // namespace xlstore::recovery
