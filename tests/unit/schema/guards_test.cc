// SPDX-License-Identifier: MIT
// What another program may not do to a store with SQL, its shell above all, and what the library
// still may: the guards of schema/0015_guards.sql.
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <string>
#include <vector>

#include "schema/steps.hpp"
#include "store/database/write_permit.hpp"

namespace xlstore {
namespace {

constexpr const char* kOnlyOurs = "no such function: only_xlstore_changes_this";

/// Two running domains with a QEMU each; an entry of two products, and an open intent to add another.
class GuardsTest : public testing::Test {
protected:
    GuardsTest()
    {
        EXPECT_EQ(sqlite3_open(":memory:", &db_), SQLITE_OK);
        EXPECT_EQ(permit_writes(db_), SQLITE_OK);
        for (const auto& step : schema::steps())
            must(std::string(step.sql));
        for (const char* sql :
             {"INSERT INTO store (id, uuid, created_us) VALUES (1, 'u', 1)",
              "INSERT INTO session (id, pid, start_time, pid_namespace, boot_id, program, opened_us, "
              "schema) VALUES (1, 100, 1, 1, 'boot', 'test', 1, 4), (2, 101, 1, 1, 'boot', 'test', 1, 4)",
              "INSERT INTO domain (id, domid, uuid, name, state, layout, boot_id, created_us, changed_us, "
              "qemu_pid, qemu_start_time, qemu_pid_namespace, monitor_path) VALUES "
              "(1, 7, '8f2c7d10-4b6e-4a51-9d3c-000000000007', 'web', 'running', 'yajl', 'boot', 1, 1, "
              "70, 1, 1, '/m7'), (2, 8, '8f2c7d10-4b6e-4a51-9d3c-000000000008', 'db', 'running', "
              "'yajl', 'boot', 1, 1, 80, 1, 1, '/m8')",
              "INSERT INTO document_member VALUES (1, 10, 'c_info', '\"c_info\"', '{}'), "
              "(1, 20, 'b_info', '\"b_info\"', '{}')",
              "INSERT INTO thing (id, domain, class, key, position, primary_at, state, json, changed_us) "
              "VALUES (1, 1, 'disks', 'hdc', 0, 'qemu', 'present', '{}', 1), "
              "(2, 1, 'qemu', 'tab', 0, 'qemu', 'adding', '{}', 1)",
              "INSERT INTO product (domain, kind, name, thing) VALUES (1, 'device', 'cd', 1), "
              "(1, 'node', 'medium', 1), (1, 'device', 'tab', 2)",
              "INSERT INTO initial_device (domain, kind, name) VALUES (1, 'device', 'vga')",
              "INSERT INTO intent (id, domain, thing, owner, operation, image_after, plan, probe, "
              "monitor_path, epoch, opened_us) VALUES (5, 1, 2, 1, 'add', '{}', '[]', '{}', '/m7', 1, 1)",
              "INSERT INTO tombstone (id, domid, uuid, boot_id, until_us) VALUES (1, 9, 'a', 'b', 1), "
              "(2, 10, 'a', 'b', 1)",
              "INSERT INTO set_aside (id, at_us, what, why, text) VALUES (1, 1, '', '', ''), "
              "(2, 1, '', '', '')",
              "INSERT INTO history (id, at_us, domain, operation, intent, outcome, evidence, pid, program) "
              "VALUES (1, 1, 3, 'destroy', NULL, 'done', '', 1, 'x'), "
              "(2, 1, 1, 'add', 9, 'done', '', 1, 'x')"})
            must(sql);
    }
    ~GuardsTest() override { sqlite3_close(db_); }

    /// From here on the connection is that of another program.
    void forget_permit()
    {
        EXPECT_EQ(sqlite3_create_function_v2(db_, "only_xlstore_changes_this", 0,
                                             SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS,
                                             nullptr, nullptr, nullptr, nullptr, nullptr),
                  SQLITE_OK);
    }
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
    void refused(const std::string& how, const std::string& sql)
    {
        const auto text = attempt(sql);
        EXPECT_TRUE(text.starts_with(how)) << sql << ": '" << text << "'";
    }
    std::string breaches()
    {
        std::string text;
        sqlite3_exec(
            db_, "SELECT rule || ' ' || domid || ' ' || coalesce(key, '') FROM invariant_breaches",
            [](void* all, int, char** row, char**) {
                *static_cast<std::string*>(all) += std::string(row[0] ? row[0] : "?") + ";";
                return 0;
            },
            &text, nullptr);
        return text;
    }

    sqlite3* db_ = nullptr;
};

TEST_F(GuardsTest, AnIntentGoesWithTheLineThatClosesIt)
{
    refused("R10", "DELETE FROM intent");
    refused("R10", "UPDATE thing SET state = 'present' WHERE id = 2");  // settled by half
    must(
        "INSERT INTO history (at_us, operation, intent, outcome, evidence, pid, program) VALUES "
        "(1, 'add', 5, 'begun', '', 1, 'x')");
    refused("R10", "DELETE FROM intent WHERE id = 5");
    must(
        "INSERT INTO history (at_us, operation, intent, outcome, evidence, pid, program) VALUES "
        "(1, 'add', 5, 'not done', '', 1, 'x')");
    must("DELETE FROM intent WHERE id = 5");
}

TEST_F(GuardsTest, ASessionStaysWhatItIs)
{
    refused("R10", "DELETE FROM session WHERE id = 1");  // an intent is its own
    refused("a session", "UPDATE session SET pid = 7");
    refused("a session", "UPDATE OR REPLACE session SET id = 2 WHERE id = 1");
    refused("UNIQUE", "REPLACE INTO session SELECT * FROM session WHERE id = 1");
    must("DELETE FROM session WHERE id = 2");
    forget_permit();
    refused(kOnlyOurs, "DELETE FROM session");
}

TEST_F(GuardsTest, R16AProductIsNeitherMovedNorTakenAway)
{
    refused("R16", "UPDATE product SET thing = 1 WHERE name = 'tab'");
    refused("R16", "UPDATE product SET domain = 2");
    refused("R16", "UPDATE product SET name = 'other' WHERE name = 'cd'");
    refused("R16", "UPDATE product SET kind = 'chardev' WHERE name = 'cd'");
    refused("R16", "UPDATE OR REPLACE product SET name = 'cd' WHERE name = 'tab'");
    refused("R16", "INSERT INTO product (domain, kind, name, thing) VALUES (2, 'device', 'cd', 1)");
    must("UPDATE product SET asked_us = 4, seq = 2 WHERE name = 'cd'");
    must("DELETE FROM product WHERE name = 'medium'");
    forget_permit();
    refused(kOnlyOurs, "DELETE FROM product");
    refused(kOnlyOurs, "DELETE FROM product WHERE name = 'cd'");
    refused(kOnlyOurs, "DELETE FROM initial_device");
}

TEST_F(GuardsTest, R9ADomainIsNotOverWhileAQemuIsRegistered)
{
    must("UPDATE domain SET state = 'destroying' WHERE id = 2");
    refused("R9", "UPDATE domain SET state = 'destroyed' WHERE id = 2");
    must("UPDATE domain SET qemu_pid = NULL WHERE id = 2");
    must("UPDATE domain SET state = 'destroyed' WHERE id = 2");
    forget_permit();
    for (const char* state : {"creating", "destroying", "destroyed"})
        refused(kOnlyOurs, std::string("UPDATE domain SET state = '") + state + "' WHERE id = 1");
}

TEST_F(GuardsTest, R11AQemuIsThatOfOneDomain)
{
    const std::string copy =
        "UPDATE domain SET (qemu_pid, qemu_start_time, qemu_pid_namespace, boot_id, monitor_path) = "
        "(SELECT qemu_pid, qemu_start_time, qemu_pid_namespace, boot_id, monitor_path FROM domain "
        "WHERE id = 1) WHERE id = 2";
    refused("R11", copy);
    refused("R11", "UPDATE domain SET qemu_pid = 70 WHERE id = 2");
    must("UPDATE domain SET qemu_pid = NULL WHERE id = 1");
    must("UPDATE domain SET qemu_pid = 70 WHERE id = 2");
    forget_permit();
    refused(kOnlyOurs, copy);
    // The reboot that none was, another log, another socket: each column by itself.
    for (const char* change : {"boot_id = 'other'", "qemu_pid = NULL", "monitor_path = '/other'",
                               "monitor_inode = 4", "peer_pid = 1", "log_path = '/etc/passwd'",
                               "creation_mark = 'x'", "born_us = NULL", "creator = NULL",
                               "initial_from = 'creation'", "older_state = 1",
                               "without_qemu = 1"})
        refused(kOnlyOurs, std::string("UPDATE domain SET ") + change);
    refused(kOnlyOurs, "UPDATE intent SET older_state = 1");
}

// Rows that came past the guards are shown by the view, and so by xlfsck.
TEST_F(GuardsTest, WhatCameAllTheSameIsABreach)
{
    EXPECT_EQ(breaches(), "");
    must("DROP TRIGGER r11_domain_qemu");
    must("DROP TRIGGER r16_product_identity");
    must("UPDATE domain SET qemu_pid = 70 WHERE id = 2");
    EXPECT_EQ(breaches(), "R11 7 ;R11 8 ;");
    must("UPDATE domain SET qemu_pid = 80 WHERE id = 2");
    must("UPDATE product SET domain = 2 WHERE name = 'cd'");
    EXPECT_EQ(breaches(), "R16 7 hdc;");
}

TEST_F(GuardsTest, AMemberOfADocumentIsNeitherReplacedNorMoved)
{
    refused("UNIQUE", "REPLACE INTO document_member VALUES (1, 10, 'other', '\"other\"', '{}')");
    refused("UNIQUE", "REPLACE INTO document_member VALUES (1, 30, 'b_info', '\"b_info\"', '{}')");
    refused("a member", "UPDATE OR REPLACE document_member SET rank = 20 WHERE rank = 10");
    refused("a member", "UPDATE OR REPLACE document_member SET key = 'b_info' WHERE rank = 10");
    refused("a member", "UPDATE document_member SET domain = 2");
    must("UPDATE document_member SET text = '[]'");
    must("DELETE FROM document_member WHERE rank = 10");
    forget_permit();
    refused(kOnlyOurs, "DELETE FROM document_member");
}

TEST_F(GuardsTest, RowsKeepTheirNumbers)
{
    refused("R1", "UPDATE OR REPLACE thing SET id = 1 WHERE id = 2");
    refused("R14", "UPDATE OR REPLACE domain SET id = 1 WHERE id = 2");
    refused("R10", "UPDATE OR REPLACE intent SET id = 6");
    refused("R14", "UPDATE OR REPLACE tombstone SET id = 1 WHERE id = 2");
    refused("R22", "UPDATE OR REPLACE set_aside SET id = 1 WHERE id = 2");
    refused("R14", "REPLACE INTO tombstone SELECT 1, 11, uuid, boot_id, 1 FROM tombstone WHERE id = 2");
    refused("R22", "REPLACE INTO set_aside SELECT * FROM set_aside");
    forget_permit();
    refused(kOnlyOurs, "DELETE FROM set_aside");
}

TEST_F(GuardsTest, R17ANumberIsNotGivenTwice)
{
    const std::string domain =
        "INSERT INTO domain (domid, uuid, name, state, layout, boot_id, created_us, changed_us) "
        "SELECT domid + 10, uuid, name, state, layout, boot_id, 1, 1 FROM domain WHERE id = 1";
    const std::string intent =
        "INSERT INTO intent (domain, thing, owner, operation, image_before, image_after, plan, probe, "
        "monitor_path, epoch, opened_us) VALUES (1, 1, 1, 'change', '{}', '{}', '[]', '{}', '/m', 1, 1)";
    must("UPDATE thing SET state = 'changing' WHERE id = 1");
    refused("R17", domain);  // 3 was given, by history
    refused("R17", intent);  // 9
    must("UPDATE sqlite_sequence SET seq = 9 WHERE name IN ('domain', 'intent')");
    must(domain);
    must(intent);
    // What is put back is no new one.
    must(
        "INSERT INTO domain (id, domid, uuid, name, state, layout, boot_id, created_us, changed_us) "
        "SELECT 3, 30, uuid, name, 'destroyed', layout, boot_id, 1, 1 FROM domain WHERE id = 1");
}

TEST_F(GuardsTest, HistoryIsPrunedByTheLibraryAlone)
{
    must("UPDATE store SET history_pruned_below = 2");
    must("DELETE FROM history WHERE id = 1");
    forget_permit();
    refused(kOnlyOurs, "UPDATE store SET history_pruned_below = 99");
    refused(kOnlyOurs, "UPDATE store SET uuid = 'another'");
    refused("history", "DELETE FROM history");
}

TEST_F(GuardsTest, R22CopiesGoByPruningAlone)
{
    must(
        "INSERT INTO retired_document (id, domid, uuid, name, layout, created_us, retired_us, why, "
        "json) VALUES (1, 7, 'u', 'web', 'yajl', 1, 2, 'destroyed', '{}')");
    must(
        "INSERT INTO undo_run (id, token, at_us, mode, pid, program) "
        "VALUES (1, 't', 1, 'yes', 1, 'x')");
    must(
        "INSERT INTO undo_row (run, kind, operation, before) VALUES (1, 'thing', 'delete', '{}')");
    forget_permit();
    for (const char* table : {"retired_document", "undo_row", "undo_run"})
        refused(kOnlyOurs, std::string("DELETE FROM ") + table);
}

// Every guard that asks who writes asks nothing of a reader.
TEST_F(GuardsTest, AnotherProgramReadsEverything)
{
    forget_permit();
    for (const char* what : {"domain", "session", "product", "domains", "things", "pending_intents",
                             "invariant_breaches", "libxl_json", "history_lines"})
        must(std::string("SELECT * FROM ") + what);
    must("PRAGMA integrity_check");
    must("VACUUM");
}

}  // namespace
}  // namespace xlstore
