// SPDX-License-Identifier: MIT
// A line is part of the commit that it tells of. What comes from outside is bounded and made
// printable before it is written, so that a reader of history need not do so, and media lose what
// may be a password. Pruning keeps the table short; where none ever runs, every 1024th line drops
// what is beyond 200 000.
#include "store/core/history.hpp"

#include <unistd.h>

#include "store/base/clock.hpp"
#include "store/base/limits.hpp"
#include "store/text/json_text.hpp"
#include "store/text/plain_text.hpp"
#include "store/text/raw_bytes.hpp"

namespace xlstore {

namespace {

// History is bounded by pruning (store/keep/prune.hpp). Where none runs, every so many rows as many
// of the oldest beyond this are let go. Rows are counted: a salvage leaves gaps in their numbers.
constexpr std::int64_t kHistoryRowsUnpruned = 200'000;
constexpr std::int64_t kHistoryPruneEvery = 1'024;

void bound_history(Db& db)
{
    std::int64_t below = 0;
    {
        auto row = db.prepare("SELECT id FROM history ORDER BY id DESC LIMIT 1 OFFSET ?1")
                       .bind(kHistoryRowsUnpruned);
        if (!row.step()) return;
        below = row.integer(0) + 1;
    }
    db.prepare("UPDATE store SET history_pruned_below = ?").bind(below).run();
    db.prepare("DELETE FROM history WHERE id < ?").bind(below).run();
}

}  // namespace

std::string path_of_medium(std::string name)
{
    return name.empty() || name.front() == '/' ? name : name.substr(0, name.find(':'));
}

std::optional<std::string> medium_in(const ThingName& thing, std::string_view json)
{
    if (thing.device_class != "disks" || json_get_integer(json, "is_cdrom").value_or(0) == 0)
        return std::nullopt;
    auto medium = path_of_medium(json_get_string(json, "pdev_path").value_or(""));
    return is_utf8(medium) ? medium : plain_text(medium, limits::evidence_bytes_max);
}

void add_history(Db& db, const Author& author, const HistoryLine& line)
{
    db.prepare(
          "INSERT INTO history (at_us, domain, domid, operation, class, key, intent, outcome, "
          "image, evidence, pid, program, uid, asked, medium_before, medium_after, author_pid, "
          "author_program, author_uid, opened_us) SELECT "
          "?1, ?2, (SELECT domid FROM domain WHERE id = ?2), ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, "
          "?11, ?12, ?13, ?14, ?15, s.pid, s.program, s.uid, "
          "(SELECT opened_us FROM intent WHERE id = ?6) "
          "FROM (SELECT 1) LEFT JOIN session s ON s.id = ?16")
        .bind(now_us())
        .bind(line.domain ? std::optional(value_of(*line.domain)) : std::nullopt)
        .lend(line.operation)
        .lend(line.thing ? std::optional(line.thing->device_class) : std::nullopt)
        .lend(line.thing ? std::optional(line.thing->key) : std::nullopt)
        .bind(line.intent ? std::optional(value_of(*line.intent)) : std::nullopt)
        .lend(line.outcome)
        .lend(line.image ? std::optional(std::string(image_name(*line.image))) : std::nullopt)
        .lend(plain_text(line.evidence, limits::evidence_bytes_max))
        .bind(author.pid)
        .lend(author.program)
        .bind(static_cast<std::int64_t>(getuid()))
        .lend(line.asked.empty()
                  ? std::nullopt
                  : std::optional(plain_text(line.asked, limits::evidence_bytes_max)))
        .lend(line.medium_before)
        .lend(line.medium_after)
        .bind(line.author)
        .run();
    if (db.last_insert_id() % kHistoryPruneEvery == 0) bound_history(db);
}

}  // namespace xlstore
