// SPDX-License-Identifier: MIT
// One query reads the state of the store, the lines above the last one that was
// sent, and of each domain all that is sent of it. A domain is told changed by
// the digest of what would be sent, after the secrets are out: no counter has
// to be trusted to move, and the digest tells nothing of a password. What has
// not changed is read and forgotten, row by row; memory is bounded by what is
// kept.
#include "tools/fleet/host_store.hpp"

#include <set>

#include "store/text/json_text.hpp"
#include "tools/common/secrets.hpp"

namespace xlstore::fleet {

namespace {

constexpr uint32_t kQueryMs = 10000;

int32_t give_row(int32_t columns, const char* const* names, const char* const* values, void* to)
{
    (*static_cast<const Row*>(to))(columns, names, values);
    return XLSTORE_OK;
}

std::int64_t number(const char* text)
{
    return text ? std::stoll(text) : 0;
}

constexpr const char* kState =
    "SELECT 'state', uuid, coalesce(machine, ''), commits, history_pruned_below, (SELECT "
    "coalesce(max(id), 0) FROM history), (SELECT coalesce(max(seq), 0) FROM sqlite_sequence) FROM "
    "store;";

constexpr const char* kAnchor =
    "at_us || '|' || operation || '|' || coalesce(domain, 0) || '|' || coalesce(intent, 0) || '|' "
    "|| outcome || '|' || pid";

StoreState state_of(const char* const* values)
{
    return {values[1],         values[2],         number(values[3]),
            number(values[4]), number(values[5]), number(values[6])};
}

std::string changes_sql()
{
    return std::string(kState) + "SELECT 'line', id, operation = 'restore' AND domain IS NULL, " +
           kAnchor +
           ", json_object('line', id, 'at_us', at_us, 'incarnation', domain, 'domid', domid, "
           "'operation', operation, 'class', class, 'key', key, 'intent', intent, 'outcome', "
           "outcome, 'image', image, 'medium_before', medium_before, 'medium_after', medium_after, "
           "'pid', pid, 'program', program, 'uid', uid, 'author_pid', author_pid, "
           "'author_program', author_program, 'author_uid', author_uid, 'asked', asked, "
           "'evidence', evidence), domain FROM history WHERE id > CAST(?1 AS INTEGER) ORDER BY id "
           "LIMIT CAST(?2 AS INTEGER);"
           "SELECT 'domain', d.id, d.state, json_object('incarnation', d.id, 'domid', d.domid, "
           "'uuid', d.uuid, 'vm_uuid', d.vm_uuid, 'name', d.name, 'state', "
           "d.state, 'epoch', d.epoch, 'revision', d.revision, 'boot_id', d.boot_id, 'created_us', "
           "d.created_us, 'changed_us', d.changed_us, 'born_us', d.born_us, 'closed_us', "
           "d.closed_us, 'closed_reason', d.closed_reason, 'closed_pid', d.closed_pid, "
           "'closed_program', d.closed_program, 'layout', d.layout, 'layout_tight', "
           "d.layout_tight, 'without_qemu', d.without_qemu, 'qemu_pid', d.qemu_pid, "
           "'monitor_path', d.monitor_path), (SELECT json FROM libxl_json l WHERE l.domid = "
           "d.domid AND d.state <> 'destroyed'), (SELECT "
           "json_group_array(json_object('thing', t.id, 'incarnation', d.id, "
           "'class', t.class, 'key', t.key, 'position', t.position, 'state', t.state, "
           "'primary_at', t.primary_at, 'json', t.json, 'changed_us', t.changed_us, 'made', "
           "t.made, 'address', t.address)) FROM (SELECT * FROM thing WHERE domain = "
           "d.id ORDER BY id) t WHERE d.state <> 'destroyed'), (SELECT "
           "json_group_array(json_object('intent', i.id, 'incarnation', d.id, 'class', t.class, "
           "'key', t.key, 'operation', i.operation, 'opened_us', i.opened_us, 'asked_us', "
           "i.asked_us, 'owner_pid', s.pid, 'owner_program', s.program, 'owner_uid', s.uid, "
           "'note', i.note, 'image_before', i.image_before, 'image_after', i.image_after, "
           "'image_neither', i.image_neither, 'image_stale', i.image_stale, 'replaced_state', "
           "i.replaced_state, 'plan', i.plan, 'probe', i.probe, 'batch', i.batch, 'epoch', "
           "i.epoch, 'monitor_path', i.monitor_path, 'made', i.made)) FROM "
           "(SELECT * FROM intent WHERE domain = d.id ORDER BY id) i JOIN thing t ON t.id = "
           "i.thing LEFT JOIN session s ON s.id = i.owner), CASE d.state WHEN 'destroyed' THEN "
           "(SELECT max(h.id) FROM history h WHERE h.domain = d.id) END FROM domain d WHERE "
           "d.state <> 'destroyed' OR d.id IN (SELECT domain FROM (SELECT domain FROM history "
           "WHERE id > CAST(?1 AS INTEGER) ORDER BY id LIMIT CAST(?2 AS INTEGER))) OR d.id IN "
           "(SELECT value FROM json_each(?3)) ORDER BY d.id;";
}

// 64 bits of FNV-1a; of what is sent alone, see above.
std::string digest_of(const DomainState& domain)
{
    std::uint64_t hash = 14695981039346656037U;
    for (const auto* text : {&domain.row, &domain.document, &domain.things, &domain.intents})
        for (const unsigned char c : *text + '\0') {
            hash ^= c;
            hash *= 1099511628211U;
        }
    return std::to_string(hash);
}

// A disk's image stands beside it: what the view of images is made of.
std::string with_images(std::string_view things)
{
    std::string out = "[";
    for (const auto element : json_elements(things)) {
        std::string object(element);
        const auto json = json_get_string(object, "json");
        const auto image = json && json_get_string(object, "class") == "disks"
                               ? json_get_string(*json, "pdev_path")
                               : std::nullopt;
        if (image && !image->empty())
            object = json_with_member(object, "image", json_quote(*image));
        out += (out.size() > 1 ? "," : "") + object;
    }
    return out + "]";
}

class Reading {
public:
    Reading(const std::map<std::int64_t, std::string>& living, const Limits& limits, bool secrets)
        : living_(living), limits_(limits), with_secrets_(secrets)
    {
        for (const auto& [incarnation, digest] : living)
            unseen_.insert(incarnation);
    }
    void take(const char* const* values)
    {
        const std::string_view kind = values[0];
        if (kind == "state")
            taken.state = state_of(values);
        else if (kind == "line")
            take_line(values);
        else
            take_domain(values);
    }
    Snapshot finish()
    {
        taken.more = taken.more || lines_left_;
        taken.gone.assign(unseen_.begin(), unseen_.end());
        return std::move(taken);
    }

private:
    // A row, or an array of them: each text in it, and the JSON that such a text is.
    [[nodiscard]] std::string cleaned(const char* json) const
    {
        return with_secrets_ ? json : tools::without_secrets(json, tools::InPlace::null);
    }
    void take_line(const char* const* values)
    {
        if (taken.lines.size() == limits_.lines || bytes_ > limits_.bytes) {
            taken.more = true;
            return;
        }
        taken.lines.push_back(
            {number(values[1]), number(values[2]) != 0, cleaned(values[4]), values[3]});
        bytes_ += taken.lines.back().json.size();
        lines_left_ = taken.lines.back().number < taken.state.last_line;
    }
    void take_domain(const char* const* values)
    {
        const auto incarnation = number(values[1]);
        const bool over = std::string_view(values[2]) == "destroyed";
        unseen_.erase(incarnation);
        // A state does not overtake the history that explains it. One that is over is met again
        // with the last line that names it.
        const auto last_line = number(values[7]);
        if (lines_left_ && (!over || last_line > taken.lines.back().number)) {
            taken.more = true;
            return;
        }
        DomainState domain;
        domain.incarnation = incarnation;
        domain.over = over;
        domain.last_line = last_line;
        domain.row = cleaned(values[3]);
        domain.document = cleaned(values[4] ? values[4] : "");
        domain.things = with_images(cleaned(values[5] ? values[5] : "[]"));
        domain.intents = cleaned(values[6]);
        domain.digest = digest_of(domain);
        const auto known = living_.find(incarnation);
        if (known != living_.end() && known->second == domain.digest) return;
        // One that is over may be named by these lines alone, and would not be met
        // again.
        if (bytes_ > limits_.bytes && !over) {
            taken.more = true;
            return;
        }
        bytes_ += domain.row.size() + domain.document.size() + domain.things.size() +
                  domain.intents.size();
        taken.changed.push_back(std::move(domain));
    }

    const std::map<std::int64_t, std::string>& living_;
    const Limits& limits_;
    bool with_secrets_;
    bool lines_left_ = false;
    std::size_t bytes_ = 0;
    std::set<std::int64_t> unseen_;
    Snapshot taken;
};

}  // namespace

Result<StoreHandle> open_read_only(const std::string& directory)
{
    xlstore_open_options options = XLSTORE_OPEN_OPTIONS_INIT;
    options.program = "xlstore-fleet";
    options.read_only = 1;
    xlstore_store* store = nullptr;
    if (xlstore_open(directory.c_str(), &options, &store) != XLSTORE_OK) return last_error();
    return StoreHandle(store);
}

Result<void> query(xlstore_store* store, const std::string& sql,
                   const std::vector<std::string>& parameters, const Row& row)
{
    std::vector<const char*> values;
    for (const auto& parameter : parameters)
        values.push_back(parameter.c_str());
    xlstore_call call = XLSTORE_CALL_INIT;
    call.timeout_ms = kQueryMs;
    Row give = row;
    if (xlstore_query(store, sql.c_str(), values.data(), values.size(), &call, give_row, &give) !=
        XLSTORE_OK)
        return last_error();
    return {};
}

Result<StoreState> read_state(xlstore_store* store)
{
    StoreState state;
    auto done = query(store, kState, {}, [&](int32_t, const auto&, const char* const* values) {
        state = state_of(values);
    });
    if (!done) return done.error();
    return state;
}

Result<Anchors> read_anchors(xlstore_store* store, std::int64_t least, std::int64_t most)
{
    Anchors anchors;
    const auto sql = std::string("SELECT id, ") + kAnchor +
                     " FROM history WHERE id BETWEEN CAST(?1 AS INTEGER) AND CAST(?2 AS INTEGER)";
    auto done = query(store, sql, {std::to_string(least), std::to_string(most)},
                      [&](int32_t, const auto&, const char* const* values) {
                          anchors[number(values[0])] = values[1];
                      });
    if (!done) return done.error();
    return anchors;
}

Result<Snapshot> read_changes(xlstore_store* store, std::int64_t after,
                              const std::map<std::int64_t, std::string>& living,
                              const Limits& limits, bool with_secrets)
{
    std::string known = "[";
    for (const auto& [incarnation, digest] : living)
        known += (known.size() > 1 ? "," : "") + std::to_string(incarnation);
    Reading reading(living, limits, with_secrets);
    auto done = query(
        store, changes_sql(), {std::to_string(after), std::to_string(limits.lines), known + "]"},
        [&](int32_t, const auto&, const char* const* values) { reading.take(values); });
    if (!done) return done.error();
    return reading.finish();
}

}  // namespace xlstore::fleet
