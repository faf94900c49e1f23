// SPDX-License-Identifier: MIT
// A temporary trigger for each table and operation that recovery may use writes the row before and
// after as JSON into undo_row. It goes by written_for(): what other operations change on the same
// connection meanwhile is theirs. The row of the run is inserted by the first of them, so that a
// run that changes nothing leaves none. undo_mark holds the generation (epoch and revision) in
// which the run leaves each domain: by it a later undo sees whether the domain has changed since.
#include "recovery/base/undo_recorder.hpp"

#include "store/base/clock.hpp"
#include "store/base/random.hpp"
#include "store/database/tables.hpp"

namespace xlstore::recovery {

namespace {

// A domain that ends leaves its whole document elsewhere.
constexpr const char* kLives =
    "(SELECT state FROM domain WHERE id = %.domain) IN ('creating', 'running')";
// b_info follows the entries of class vcpus, which intents change.
constexpr const char* kNoVcpus = "(OLD.key <> 'b_info' OR NEW.key_text IS NOT OLD.key_text)";

// A text as a literal of SQL.
std::string sql_text(std::string_view text)
{
    std::string literal = "'";
    for (const char c : text)
        literal.append(c == '\'' ? 2 : 1, c);
    return literal + "'";
}

// They may be lost: pass 0 says so.
bool has_tables(Db& db)
{
    auto row = db.prepare(
        "SELECT count(*) = 3 FROM main.sqlite_schema WHERE type = 'table' AND name IN "
        "('undo_run', 'undo_row', 'undo_mark')");
    return row.step() && row.integer(0) == 1;
}

std::string about(std::string_view condition, std::string_view row)
{
    std::string text(condition);
    for (auto at = text.find('%'); at != std::string::npos; at = text.find('%'))
        text.replace(at, 1, row);
    return text;
}

}  // namespace

UndoRecorder::UndoRecorder(Store& store, std::string_view mode)
    : store_(store), token_(random_uuid())
{
    run_columns_ = sql_text(token_) + ", " + std::to_string(now_us()) + ", " + sql_text(mode) +
                   ", " + std::to_string(store.self().pid) + ", " + sql_text(store.program());
}

UndoRecorder::~UndoRecorder()
{
    for (const auto& trigger : triggers_) {
        try {
            store_.db().execute("DROP TRIGGER IF EXISTS temp." + trigger);
        } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch)
            // It goes with the connection; until then more is recorded than has to be.
        }
    }
}

// Several runs may be under way on a connection.
std::string UndoRecorder::trigger_name(const std::string& of) const
{
    return "\"undo_" + of + "_" + token_ + "\"";
}

std::string UndoRecorder::is_of_this_run() const
{
    return "written_for() = " + sql_text(token_);
}

std::string UndoRecorder::run_row() const
{
    return "INSERT INTO undo_run (token, at_us, mode, pid, program) SELECT " + run_columns_ +
           " WHERE NOT EXISTS (SELECT 1 FROM undo_run WHERE token = " + sql_text(token_) + ");";
}

// `of`: the row of the trigger that names the domain, OLD or NEW.
void UndoRecorder::record(const char* table, const char* operation, const std::string& of,
                          const std::string& condition)
{
    Db& db = store_.db();
    const std::string verb = operation;
    const std::string name = trigger_name(std::string(table) + "_" + verb);
    const std::string before = verb == "insert" ? "NULL" : row_as_json(db, table, "OLD");
    const std::string after = verb == "delete" ? "NULL" : row_as_json(db, table, "NEW");
    const std::string run = "(SELECT id FROM undo_run WHERE token = " + sql_text(token_) + ")";
    const std::string domain = of + (std::string_view(table) == "domain" ? ".id" : ".domain");
    triggers_.push_back(name);
    db.execute("CREATE TEMP TRIGGER " + name + " AFTER " + verb + " ON main." + table + " WHEN " +
               is_of_this_run() + " AND " + about(condition, of) + " BEGIN " + run_row() +
               "INSERT INTO undo_row (run, domain, kind, operation, before, after) VALUES (" + run +
               ", " + domain + ", " + sql_text(table) + ", " + sql_text(verb) + ", " + before +
               ", " + after +
               ");"
               "INSERT INTO undo_mark (run, domain, epoch, revision) SELECT " +
               run + ", id, epoch, revision FROM domain WHERE id = " + domain +
               " ON CONFLICT (run, domain) DO UPDATE SET epoch = excluded.epoch, "
               "revision = excluded.revision; END");
}

void UndoRecorder::begin()
{
    if (!has_tables(store_.db())) return;
    const std::string lives = kLives;
    record("thing", "update", "NEW",
           "(NEW.json IS NOT OLD.json OR NEW.primary_at IS NOT OLD.primary_at) AND " + lives);
    record("thing", "delete", "OLD", lives);
    record("document_member", "insert", "NEW", lives);
    record("document_member", "update", "NEW", std::string(kNoVcpus) + " AND " + lives);
    record("document_member", "delete", "OLD", lives);
    record("intent", "delete", "OLD", lives);
    record("domain", "update", "NEW",
           "OLD.qemu_pid IS NOT NULL AND NEW.qemu_pid IS NOT OLD.qemu_pid AND %.state IN "
           "('creating', 'running')");
    // The generation in which this run leaves a domain that it has changed.
    triggers_.push_back(trigger_name("generation"));
    store_.db().execute(
        "CREATE TEMP TRIGGER " + triggers_.back() +
        " AFTER UPDATE OF epoch, revision ON main.domain WHEN " + is_of_this_run() +
        " BEGIN UPDATE undo_mark SET epoch = NEW.epoch, revision = NEW.revision "
        "WHERE domain = NEW.id AND run = (SELECT id FROM undo_run WHERE token = " +
        sql_text(token_) + "); END");
}

void UndoRecorder::keep_schema(std::string_view type, std::string_view name)
{
    Db& db = store_.db();
    if (!has_tables(db)) return;
    {
        auto there = db.prepare("SELECT 1 FROM main.sqlite_schema WHERE type = ?1 AND name = ?2")
                         .bind(type)
                         .bind(name);
        if (!there.step()) return;  // it is missing, and made anew
    }
    db.execute(run_row());
    db.prepare(
          "INSERT INTO undo_row (run, kind, operation, before) "
          "SELECT (SELECT id FROM undo_run WHERE token = ?1), 'schema', 'delete', "
          "json_object('type', type, 'name', name, 'sql', sql) "
          "FROM main.sqlite_schema WHERE type = ?2 AND name = ?3")
        .bind(token_)
        .bind(type)
        .bind(name)
        .run();
}

void UndoRecorder::keep_node(std::optional<DomainId> domain, const std::string& before)
{
    Db& db = store_.db();
    if (!has_tables(db)) return;
    db.execute(run_row());
    db.prepare(
          "INSERT INTO undo_row (run, domain, kind, operation, before) "
          "SELECT id, ?2, 'xenstore', 'delete', ?3 FROM undo_run WHERE token = ?1")
        .bind(token_)
        .bind(domain ? std::optional(value_of(*domain)) : std::nullopt)
        .bind(before)
        .run();
}

}  // namespace xlstore::recovery
