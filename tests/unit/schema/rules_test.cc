// SPDX-License-Identifier: MIT
// The rules that triggers keep, tried with SQL as a careless person would write it: a connection
// without our library, foreign keys off. Each refusal names its rule.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "schema/steps.hpp"
#include "store/database/write_permit.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore {
namespace {

constexpr const char* kRulesUuid = "8f2c7d10-4b6e-4a51-9d3c-000000000007";

/// An empty store's schema in memory, with one running domain of two things.
class RulesTest : public testing::Test {
protected:
    RulesTest()
    {
        EXPECT_EQ(sqlite3_open(":memory:", &db_), SQLITE_OK);
        EXPECT_EQ(permit_writes(db_), SQLITE_OK);  // what others may not: guards_test.cc
        for (const auto& step : schema::steps())
            must(std::string(step.sql));
        must("INSERT INTO store (id, uuid, created_us) VALUES (1, 'u', 1)");
        must(
            "INSERT INTO session (id, pid, start_time, pid_namespace, boot_id, program, opened_us, "
            "schema) VALUES (1, 100, 1, 1, 'boot', 'test', 1, 4)");
        must(std::string("INSERT INTO domain (id, domid, uuid, name, state, layout, boot_id, "
                         "created_us, changed_us) VALUES (1, 7, '") +
             kRulesUuid + "', 'web', 'running', 'yajl', 'boot', 1, 1)");
        must("INSERT INTO document_member VALUES (1, 10, 'c_info', '\"c_info\"', '{}')");
        must(
            "INSERT INTO thing (id, domain, class, key, position, primary_at, state, json, changed_us) VALUES (1, 1, 'disks', 'hdc', 0, 'qemu', 'present', '{}', 1)");
        must(
            "INSERT INTO thing (id, domain, class, key, position, primary_at, state, json, changed_us) VALUES (2, 1, 'qemu', 'tab', 0, 'qemu', 'adding', '{}', 1)");
        must("INSERT INTO product (domain, kind, name, thing) VALUES (1, 'device', 'tab', 2)");
    }
    ~RulesTest() override { sqlite3_close(db_); }

    /// "" when it was done, else SQLite's message.
    std::string attempt(const std::string& sql)
    {
        char* message = nullptr;
        if (sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, &message) == SQLITE_OK) return {};
        std::string text = message ? message : "?";
        sqlite3_free(message);
        return text;
    }
    void must(const std::string& sql) { EXPECT_EQ(attempt(sql), "") << sql; }
    void refused(const std::string& rule, const std::string& sql)
    {
        const auto text = attempt(sql);
        EXPECT_TRUE(text.starts_with(rule)) << sql << ": '" << text << "'";
    }
    std::string value(const std::string& sql)
    {
        std::string text;
        sqlite3_exec(
            db_, sql.c_str(),
            [](void* cell, int, char** row, char**) {
                *static_cast<std::string*>(cell) = row[0] ? row[0] : "";
                return 0;
            },
            &text, nullptr);
        return text;
    }
    /// Every open intent, as the library does it: a line of history, then it goes.
    void settle()
    {
        must(
            "INSERT INTO history (at_us, operation, intent, outcome, evidence, pid, program) "
            "SELECT 1, operation, id, 'done', '', 1, 'x' FROM intent");
        must("DELETE FROM intent");
    }
    void set_state(const std::string& state) { must("UPDATE domain SET state = '" + state + "'"); }
    static std::string intent(int thing, const std::string& operation)
    {
        const bool add = operation == "add";
        const bool remove = operation == "remove";
        return "INSERT INTO intent (domain, thing, owner, operation, image_before, image_after, "
               "plan, probe, monitor_path, epoch, opened_us) VALUES (1, " +
               std::to_string(thing) + ", 1, '" + operation + "', " + (add ? "NULL" : "'{}'") +
               ", " + (remove ? "NULL" : "'{}'") + ", '[]', '{}', '/m', 1, 1)";
    }

    sqlite3* db_ = nullptr;
};

TEST_F(RulesTest, R8NothingIsAddedOrEditedOnceDestructionBegan)
{
    must(intent(2, "add"));
    settle();
    for (const char* state : {"destroying", "destroyed"}) {
        if (state == std::string("destroyed")) {
            must("DELETE FROM thing");
        }
        set_state(state);
        refused(
            "R",
            "INSERT INTO thing (id, domain, class, key, position, primary_at, state, json, changed_us) VALUES (3, 1, 'qemu', 'x', 1, 'qemu', 'adding', '{}', 1)");
        refused(
            "R",  // R8, or R1 where the entry is there still
            "INSERT OR REPLACE INTO thing (id, domain, class, key, position, primary_at, state, json, changed_us) VALUES (1, 1, 'disks', 'hdc', 0, 'qemu', "
            "'present', '{}', 1)");
        refused("R8", "UPDATE document_member SET text = '[]'");
        refused("R", intent(2, "add"));  // R8, or R10 where the entry is gone
        if (state == std::string("destroying"))
            refused("R8", "UPDATE thing SET json = '{\"a\":1}' WHERE id = 1");
    }
}

TEST_F(RulesTest, R1AnEntryStaysTheEntryOfItsThing)
{
    refused("R1", "UPDATE thing SET key = 'hdd' WHERE id = 1");
    refused("R1", "UPDATE thing SET class = 'nics' WHERE id = 1");
    refused("R1", "UPDATE thing SET domain = 2 WHERE id = 1");
    must("UPDATE thing SET key = key, json = '{\"a\":1}', position = 4 WHERE id = 1");
}

TEST_F(RulesTest, R5AnEntryGoesOnlyWhenItsThingWasSeenAbsent)
{
    refused("R5", "DELETE FROM thing WHERE id = 1");
    refused("R5", "DELETE FROM thing");
    must("UPDATE thing SET state = 'changing' WHERE id = 1");
    refused("R5", "DELETE FROM thing WHERE id = 1");
    must("DELETE FROM thing WHERE id = 2");  // adding: never there
    must("UPDATE thing SET state = 'stale' WHERE id = 1");
    must("DELETE FROM thing WHERE id = 1");
}

// REPLACE deletes the row in its way without asking the triggers of DELETE.
TEST_F(RulesTest, R5ReplaceIsNoWayRound)
{
    refused(
        "R",
        "REPLACE INTO thing (id, domain, class, key, position, primary_at, state, json, changed_us) VALUES (3, 1, 'disks', 'hdc', 0, 'qemu', 'adding', '{}', 1)");
    refused(
        "R",
        "INSERT OR REPLACE INTO thing (id, domain, class, key, position, primary_at, state, json, changed_us) VALUES (1, 1, 'disks', 'hdd', 0, 'qemu', 'adding', "
        "'{}', 1)");
    must(
        "INSERT INTO history (at_us, operation, outcome, evidence, pid, program) VALUES "
        "(1, 'add', 'done', '', 1, 'x')");
    refused("history",
            "REPLACE INTO history (id, at_us, operation, outcome, evidence, pid, program) "
            "VALUES (1, 1, 'add', 'not done', '', 1, 'x')");
    refused("R14",
            std::string("REPLACE INTO domain (id, domid, uuid, name, state, layout, boot_id, "
                        "created_us, changed_us) VALUES (1, 7, '") +
                kRulesUuid + "', 'x', 'running', 'yajl', 'b', 1, 1)");
    must(intent(2, "add"));
    std::string again = intent(2, "add");
    refused("R10", again.replace(0, 6, "REPLACE"));
}

TEST_F(RulesTest, R5TheDocumentOfADestroyedDomainMayGo)
{
    set_state("destroying");
    must("DELETE FROM thing");
    must("DELETE FROM document_member");
}

TEST_F(RulesTest, R1StatesOfAnEntry)
{
    const std::vector<std::string> states = {"adding", "present", "changing", "removing", "stale"};
    const std::set<std::pair<std::string, std::string>> allowed = {
        {"adding", "present"},   {"adding", "stale"},     {"present", "changing"},
        {"present", "removing"}, {"present", "stale"},    {"changing", "present"},
        {"changing", "stale"},   {"removing", "present"}, {"removing", "stale"},
        {"stale", "adding"},     {"stale", "present"},    {"stale", "changing"},
        {"stale", "removing"}};
    int id = 10;
    for (const auto& from : states)
        for (const auto& to : states) {
            const auto number = std::to_string(++id);
            must(
                "INSERT INTO thing (id, domain, class, key, position, primary_at, state, json, changed_us) VALUES (" +
                number + ", 1, 'nics', '" + number + "', 0, 'qemu', '" + from + "', '{}', 1)");
            const auto sql = "UPDATE thing SET state = '" + to + "' WHERE id = " + number;
            if (from == to || allowed.contains({from, to}))
                must(sql);
            else
                refused("R1", sql);
        }
}

TEST_F(RulesTest, R10AnIntentIsNotRewritten)
{
    must(intent(2, "add"));
    for (const char* change :
         {"id = 9", "domain = 9", "thing = 1", "operation = 'change'", "plan = '[1]'",
          "probe = '{\"a\":1}'", "image_before = '{}'", "image_after = NULL",
          "image_after = '{\"a\":1}'", "monitor_path = '/other'", "replaced_state = 'present'",
          "image_stale = '{}'", "image_neither = '{}'"})
        refused("R10", std::string("UPDATE intent SET ") + change);
    // What recovery has to write stays possible: another owner, what was seen, that it was asked.
    must("UPDATE intent SET owner = 1, note = 'seen', asked_us = 5, epoch = 2");
}

TEST_F(RulesTest, R10AnIntentNeedsAnEntryThatSaysSo)
{
    refused("R10", intent(1, "change"));  // present
    refused("R10", intent(1, "remove"));
    refused("R10", intent(2, "change"));  // adding
    refused("R10", intent(99, "add"));    // none
    must("UPDATE thing SET state = 'changing' WHERE id = 1");
    must(intent(1, "change"));
    must(intent(2, "add"));
    // At most one open intent a thing.
    EXPECT_NE(attempt(intent(2, "add")), "");
}

TEST_F(RulesTest, R16ANameInQemuIsClaimedByOneThing)
{
    const std::string product = "INSERT INTO product (domain, kind, name, thing, claimed) VALUES ";
    refused("R16", product + "(1, 'device', 'tab', 1, 1)");
    must(product + "(1, 'device', 'tab', 1, 0)");  // remembered
    refused("R16", "UPDATE product SET claimed = 1");
    must(product + "(1, 'node', 'tab', 1, 1)");  // another kind
    must("UPDATE thing SET state = 'stale' WHERE id = 2");
    must("UPDATE product SET claimed = 1 WHERE thing = 1 AND kind = 'device'");
}

TEST_F(RulesTest, R16AKeyThatWasGivenIsNotGivenAgain)
{
    EXPECT_EQ(value("SELECT next_key FROM domain"), "0");
    must(
        "INSERT INTO thing (id, domain, class, key, position, primary_at, state, json, changed_us) VALUES (3, 1, 'vkbs', '#4', 0, 'xenstore', 'adding', '{}', 1)");
    must(
        "INSERT INTO thing (id, domain, class, key, position, primary_at, state, json, changed_us) VALUES (4, 1, 'vfbs', '#2', 0, 'xenstore', 'adding', '{}', 1)");
    must("DELETE FROM thing WHERE id IN (3, 4)");
    EXPECT_EQ(value("SELECT next_key FROM domain"), "5");
}

TEST_F(RulesTest, R14StatesOfAnIncarnation)
{
    const std::vector<std::string> states = {"creating", "running", "destroying", "destroyed"};
    const std::set<std::pair<std::string, std::string>> allowed = {{"creating", "running"},
                                                                   {"creating", "destroying"},
                                                                   {"running", "creating"},
                                                                   {"running", "destroying"},
                                                                   {"destroying", "destroyed"}};
    int domid = 100;
    for (const auto& from : states)
        for (const auto& to : states) {
            const auto number = std::to_string(++domid);
            must(
                "INSERT INTO domain (id, domid, uuid, name, state, layout, boot_id, created_us, "
                "changed_us) VALUES (" +
                number + ", " + number + ", '" + kRulesUuid + "', 'x', '" + from +
                "', 'yajl', 'b', 1, 1)");
            const auto sql = "UPDATE domain SET state = '" + to + "' WHERE id = " + number;
            if (from == to || allowed.contains({from, to}))
                must(sql);
            else
                refused("R14", sql);
        }
}

TEST_F(RulesTest, R14TheDocumentGoesBeforeTheDomainIsOver)
{
    set_state("destroying");
    refused("R14", "UPDATE domain SET state = 'destroyed'");
    must("DELETE FROM thing");
    must("UPDATE domain SET state = 'destroyed'");
    // Only now may the row itself be forgotten.
    must("DELETE FROM domain");
}

// Foreign keys are off in this connection, as in the shell of SQLite.
TEST_F(RulesTest, R10AnOpenIntentKeepsItsEntryAndR14TheDomain)
{
    must(intent(2, "add"));
    refused("R10", "DELETE FROM thing WHERE id = 2");
    set_state("destroying");
    refused("R10", "DELETE FROM thing WHERE id = 2");
    must("DELETE FROM thing WHERE id = 1");
    refused("R14", "UPDATE domain SET state = 'destroyed'");
    settle();
    must("DELETE FROM thing");
    must("UPDATE domain SET state = 'destroyed'");
}

TEST_F(RulesTest, R14AnIncarnationKeepsWhatItIs)
{
    refused("R14", "DELETE FROM domain");
    refused("R14", "UPDATE domain SET domid = 8");
    refused("R14", "UPDATE domain SET id = 8");
    refused("R14", "UPDATE domain SET uuid = '8f2c7d10-4b6e-4a51-9d3c-000000000008'");
    must("UPDATE domain SET name = 'renamed'");
    // A domid has one living incarnation.
    EXPECT_NE(attempt("INSERT INTO domain (domid, uuid, name, state, layout, boot_id, created_us, "
                      "changed_us) VALUES (7, '8f2c7d10-4b6e-4a51-9d3c-000000000008', 'x', "
                      "'creating', 'yajl', 'b', 1, 1)"),
              "");
}

TEST_F(RulesTest, R15EpochsNeverGoBack)
{
    must("UPDATE domain SET epoch = 5, revision = 5");
    refused("R15", "UPDATE domain SET epoch = 4");
    refused("R15", "UPDATE domain SET revision = 4");
    must("UPDATE domain SET epoch = 5");
}

TEST_F(RulesTest, HistoryIsAppendOnlyAndTheStoreKeepsItsIdentity)
{
    must(
        "INSERT INTO history (at_us, operation, outcome, evidence, pid, program) VALUES "
        "(1, 'add', 'done', '', 1, 'x'), (2, 'add', 'done', '', 1, 'x')");
    refused("history", "UPDATE history SET outcome = 'not done' WHERE id = 1");
    refused("history", "DELETE FROM history WHERE id = 1");
    must("UPDATE store SET history_pruned_below = 2");
    must("DELETE FROM history WHERE id = 1");
    refused("history", "DELETE FROM history");
    refused("a store", "DELETE FROM store");
    refused("a store", "REPLACE INTO store (id, uuid, created_us) VALUES (1, 'other', 1)");
}

TEST_F(RulesTest, AThingThatIsInsertedIsTheLastThatWasMade)
{
    const auto order = [this] {
        std::string text;
        sqlite3_exec(
            db_, "SELECT key || made FROM things_as_made",
            [](void* all, int, char** row, char**) {
                *static_cast<std::string*>(all) += std::string(row[0]) + " ";
                return 0;
            },
            &text, nullptr);
        return text;
    };
    EXPECT_EQ(order(), "hdc1 tab2 ");
    must(intent(2, "add"));
    must("UPDATE intent SET made = 9");
    must(
        "INSERT INTO thing (domain, class, key, position, primary_at, state, json, changed_us) "
        "VALUES (1, 'qemu', 'late', 1, 'qemu', 'stale', '{}', 1)");
    EXPECT_EQ(order(), "hdc1 tab2 late10 ") << "an open intent has a place";
    must(
        "INSERT INTO thing (domain, class, key, position, primary_at, state, json, changed_us, made) "
        "VALUES (1, 'qemu', 'saved', 1, 'qemu', 'stale', '{}', 1, 3)");
    EXPECT_EQ(order(), "hdc1 tab2 saved3 late10 ");
}

TEST_F(RulesTest, AClosedDocumentTakesNoIntentAndNoThing)
{
    const std::string close =
        "UPDATE domain SET closed_us = 1, closed_pid = 1, closed_program = 'x'";
    must("UPDATE thing SET state = 'present' WHERE id = 2");
    must("UPDATE thing SET state = 'changing' WHERE id = 1");
    must(intent(1, "change"));
    refused("closed", close);  // an intent is open
    settle();
    must("UPDATE thing SET state = 'removing' WHERE id = 2");
    must(close);
    refused("closed", intent(1, "change"));
    refused("closed", intent(2, "remove"));
    const std::string nic =
        "INSERT INTO thing (domain, class, key, position, primary_at, state, json, changed_us) "
        "VALUES (1, 'nics', '0', 0, 'xenstore', 'present', '{}', 1)";
    refused("closed", nic);
    // What recovery found in QEMU gets an entry; and another QEMU what there was.
    must(
        "INSERT INTO thing (domain, class, key, position, primary_at, state, json, changed_us) "
        "VALUES (1, 'qemu', 'found', 1, 'qemu', 'present', '{}', 1)");
    set_state("creating");
    must(intent(1, "change"));
    settle();
    set_state("running");
    must("UPDATE domain SET closed_us = NULL");
    must(nic);
    set_state("creating");
    refused("closed", close);
}

// REPLACE deletes without asking the delete triggers.
TEST_F(RulesTest, NothingIsReplacedBehindTheRulesBack)
{
    refused(
        "R1",
        "REPLACE INTO thing (id, domain, class, key, position, primary_at, state, json, changed_us) VALUES (1, 1, 'disks', 'hdc', 0, 'qemu', 'stale', '{}', 1)");
    refused(
        "R14",
        "REPLACE INTO domain (id, domid, uuid, name, state, layout, boot_id, created_us, changed_us) "
        "SELECT id, domid, uuid, name, 'destroyed', layout, boot_id, 1, 1 FROM domain WHERE id = 1");
    must(intent(2, "add"));
    refused("R10", "REPLACE INTO intent SELECT * FROM intent");
    must(
        "INSERT INTO history (id, at_us, operation, outcome, evidence, pid, program) VALUES (1, 1, 'add', 'done', '', 1, 'x')");
    refused("history", "REPLACE INTO history SELECT * FROM history");
    refused("a store", "REPLACE INTO store SELECT * FROM store");
}

TEST_F(RulesTest, R17AProgramOfTheFirstReleaseGetsNoSession)
{
    refused("R17",
            "INSERT INTO session (pid, start_time, pid_namespace, boot_id, program, opened_us) "
            "VALUES (101, 1, 1, 'boot', 'test', 1)");
}

TEST_F(RulesTest, R22ACopyOfADocumentIsNotChanged)
{
    const std::string copy =
        " INTO retired_document (id, domid, uuid, name, layout, created_us, retired_us, why, json) "
        "VALUES (1, 7, 'u', 'web', 'yajl', 1, 2, 'destroyed', '{}')";
    must("INSERT" + copy);
    refused("R22", "INSERT OR REPLACE" + copy);
    refused("R22", "UPDATE retired_document SET json = '{\"a\":1}'");
    must("DELETE FROM retired_document WHERE id = 1");  // by another program: guards_test.cc
}

TEST_F(RulesTest, R22WhatARunReplacedIsNotChangedButForTheNoteThatItWasPutBack)
{
    must(
        "INSERT INTO undo_run (id, token, at_us, mode, pid, program) "
        "VALUES (1, 't', 1, 'yes', 1, 'x')");
    const std::string row =
        " INTO undo_row (id, run, domain, kind, operation, before) VALUES (1, 1, 1, 'thing', "
        "'delete', '{}')";
    must("INSERT" + row);
    refused("R22", "INSERT OR REPLACE" + row);
    for (const char* column : {"id", "run", "domain", "kind", "operation", "before", "after"})
        refused("R22", std::string("UPDATE undo_row SET ") + column + " = '2'");
    must("UPDATE undo_row SET undone_us = 5");
    must("DELETE FROM undo_row");  // by another program: guards_test.cc
    must("DELETE FROM undo_run");
}

// Each trigger is met by a test above or in guards_test.cc: a new one needs one too.
TEST_F(RulesTest, EveryTriggerIsKnownHere)
{
    const std::set<std::string> known = {
        "only_xlstore_retired_delete",
        "only_xlstore_undo_row_delete",
        "only_xlstore_undo_run_delete",
        "r22_undo_row_replace",
        "r22_undo_row_update",
        "member_identity",
        "member_replace",
        "only_xlstore_domain_older",
        "only_xlstore_domain_update",
        "only_xlstore_domain_without_qemu",
        "only_xlstore_initial_device_delete",
        "only_xlstore_intent_older",
        "only_xlstore_member_delete",
        "only_xlstore_product_delete",
        "only_xlstore_session_delete",
        "only_xlstore_set_aside_delete",
        "only_xlstore_store_update",
        "r10_intent_delete",
        "r10_session_delete",
        "r10_thing_state",
        "r11_domain_qemu",
        "r16_product_domain",
        "r16_product_identity",
        "r17_domain_number",
        "r17_intent_number",
        "r17_store_commits",
        "r9_domain_destroyed",
        "session_replace",
        "session_update",
        "set_aside_number",
        "set_aside_replace",
        "thing_number",
        "tombstone_number",
        "tombstone_replace",
        "closed_domain",       "closed_intent",      "closed_thing_insert", "thing_made",
        "domain_replace",      "history_delete",     "history_replace",     "history_update",
        "intent_replace",      "r10_intent_state",   "r10_intent_update",   "r10_thing_delete",
        "r10_intent_replaced", "r16_key_given",      "r16_product_insert",  "r16_product_update",
        "r16_thing_stale",     "r17_session_schema", "r14_domain_delete",   "r14_domain_destroyed",
        "r14_domain_identity", "r14_domain_state",   "r15_domain_epoch",    "r1_thing_identity",
        "r1_thing_state",      "r5_thing_delete",    "r8_intent_insert",    "r8_member_update",
        "r8_thing_insert",     "r8_thing_update",    "store_delete",        "store_replace",
        "thing_replace",       "r22_retired_update", "r22_retired_replace"};
    std::set<std::string> there;
    sqlite3_exec(
        db_, "SELECT name FROM sqlite_schema WHERE type = 'trigger'",
        [](void* set, int, char** row, char**) {
            static_cast<std::set<std::string>*>(set)->insert(row[0]);
            return 0;
        },
        &there, nullptr);
    EXPECT_EQ(there, known);
}

TEST_F(RulesTest, BreachesAreShown)
{
    const auto breaches = [this] {
        std::string text;
        sqlite3_exec(
            db_, "SELECT rule || ' ' || coalesce(key, '') FROM invariant_breaches ORDER BY 1",
            [](void* all, int, char** row, char**) {
                *static_cast<std::string*>(all) += std::string(row[0]) + ";";
                return 0;
            },
            &text, nullptr);
        return text;
    };
    EXPECT_EQ(breaches(), "R10 tab;");  // adding, and no intent says why
    must(intent(2, "add"));
    EXPECT_EQ(breaches(), "");
    must("DROP TRIGGER r10_thing_state");
    must("UPDATE thing SET state = 'present' WHERE id = 2");
    EXPECT_EQ(breaches(), "R10 tab;");  // an open intent of a settled entry
}

}  // namespace
}  // namespace xlstore
