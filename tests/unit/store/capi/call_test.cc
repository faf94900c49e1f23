// SPDX-License-Identifier: MIT
// What every call of the C interface has alike: what it may wait for under the embedder's context
// lock (R7), and where it leaves what it has to say.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <string>

#include "tests/support/scratch.hpp"
#include "tests/support/values.hpp"
#include "xlstore/recovery.h"

namespace xlstore {
namespace {

constexpr const char* kThirdUuid = "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c03";

class CallTest : public testing::Test {
protected:
    CallTest()
    {
        EXPECT_EQ(xlstore_open(scratch_.path().c_str(), nullptr, &store_), XLSTORE_OK);
        document_ = test::hvm_document("web", test::kUuid, "/a.iso");
        other_ = test::hvm_document("db", test::kOtherUuid, "/a.iso");
        EXPECT_EQ(xlstore_import(store_, 7, document_.c_str(), nullptr, nullptr), XLSTORE_OK);
    }
    ~CallTest() override { xlstore_close(store_); }

    struct Call {
        const char* name;
        std::function<int32_t()> make;
    };
    static void ended(xlstore_result* /*result*/, void* /*userdata*/) {}

    test::ScratchStore scratch_;
    xlstore_store* store_ = nullptr;
    std::string document_;
    std::string other_;
};

TEST_F(CallTest, WhatNeedsNoSlowLockIsDoneUnderTheContextLock)
{
    const std::string backup = scratch_.directory() / "backup";
    xlstore_creation* creation = nullptr;
    const Call calls[] = {
        {"put_thing",
         [&] {
             return xlstore_put_thing(store_, "domid:7", "vtpms", R"({"devid":1})", 0, nullptr,
                                      nullptr);
         }},
        {"rename", [&] { return xlstore_rename(store_, "domid:7", "w", 0, nullptr, nullptr); }},
        {"preserve",
         [&] { return xlstore_preserve(store_, "domid:7", "kept", kThirdUuid, nullptr, nullptr); }},
        {"import", [&] { return xlstore_import(store_, 8, other_.c_str(), nullptr, nullptr); }},
        {"backup", [&] { return xlstore_backup(store_, backup.c_str(), nullptr); }},
        {"prune", [&] { return xlstore_prune(store_, nullptr, -1, 0, nullptr, nullptr); }},
        {"break_lock", [&] { return xlstore_break_lock(store_, "domid:7", 0, nullptr, nullptr); }},
        {"mark_destroying",
         [&] { return xlstore_mark_destroying(store_, "domid:8", nullptr, nullptr); }},
        {"destroy", [&] { return xlstore_destroy(store_, "domid:8", nullptr, nullptr); }},
        {"destroy_domid",
         [&] { return xlstore_destroy_domid(store_, 7, kThirdUuid, nullptr, nullptr); }},
        {"creation_begin",
         [&] { return xlstore_creation_begin(store_, 9, other_.c_str(), nullptr, &creation); }},
    };
    ASSERT_EQ(xlstore_close_document(store_, "domid:7", "test", nullptr, nullptr), XLSTORE_OK);
    ASSERT_EQ(xlstore_context_enter(), XLSTORE_OK);
    EXPECT_EQ(xlstore_reopen_document(store_, "domid:7", nullptr, nullptr), XLSTORE_OK);
    for (const auto& call : calls) {
        xlstore_error error = XLSTORE_ERROR_INIT;
        EXPECT_EQ(call.make(), XLSTORE_OK) << call.name;
        EXPECT_EQ(xlstore_last_error(&error), XLSTORE_OK);
        EXPECT_STREQ(error.message, "") << call.name;
    }
    // No pid of a child: it was looked at.
    EXPECT_EQ(xlstore_creation_child(creation, 1, "/tmp/m", nullptr, 0, nullptr),
              XLSTORE_E_INVALID);
    EXPECT_EQ(xlstore_creation_without_qemu(creation, nullptr), XLSTORE_E_REFUSED);
    ASSERT_EQ(xlstore_context_leave(), XLSTORE_OK);
    xlstore_creation_free(creation);
}

TEST_F(CallTest, WhatMayWaitForASlowLockOrForQemuIsRefusedUnderTheContextLock)
{
    xlstore_hold* hold = nullptr;
    const Call calls[] = {
        {"slow_lock", [&] { return xlstore_slow_lock(store_, "7", "test", nullptr, &hold); }},
        {"attach",
         [&] { return xlstore_attach(store_, "7", "nics", R"({"devid":1})", nullptr, nullptr); }},
        {"close", [&] { return xlstore_close_document(store_, "7", "test", nullptr, nullptr); }},
        {"look", [&] { return xlstore_look_at_qemus(store_, nullptr, nullptr, nullptr); }},
        {"recover", [&] { return xlstore_recover(store_, nullptr, nullptr); }},
        {"wait", [&] { return xlstore_wait(store_, 1, nullptr, nullptr); }},
    };
    ASSERT_EQ(xlstore_context_enter(), XLSTORE_OK);
    for (const auto& call : calls) {
        xlstore_error error = XLSTORE_ERROR_INIT;
        EXPECT_EQ(call.make(), XLSTORE_E_ORDER) << call.name;
        EXPECT_EQ(xlstore_last_error(&error), XLSTORE_OK);
        EXPECT_NE(std::string(error.advice).find("_start"), std::string::npos) << error.advice;
    }
    ASSERT_EQ(xlstore_context_leave(), XLSTORE_OK);
}

int32_t keep_row(int32_t columns, const char* const* /*names*/, const char* const* values,
                 void* rows)
{
    for (int32_t i = 0; i < columns; ++i)
        *static_cast<std::string*>(rows) += values[i] ? values[i] : "NULL";
    return XLSTORE_OK;
}

// A value that a C string would end is not cut, and of an object no member is lost.
TEST_F(CallTest, AQueryGivesWhatThereIs)
{
    std::string rows;
    EXPECT_EQ(xlstore_query(store_, "SELECT 'a' || char(0) || 'b', NULL, x'00ff', ''", nullptr, 0,
                            nullptr, keep_row, &rows),
              XLSTORE_OK);
    EXPECT_EQ(rows, "a\\x00bNULL\\x00\xff");
    char* json = nullptr;
    for (const char* sql :
         {"SELECT 1 AS a, 2 AS a", "SELECT 1 AS b; SELECT 1 AS a, 2 AS b, 3 AS a"}) {
        EXPECT_EQ(xlstore_query_json(store_, sql, nullptr, 0, nullptr, &json), XLSTORE_E_INVALID);
        xlstore_error error = XLSTORE_ERROR_INIT;
        EXPECT_EQ(xlstore_last_error(&error), XLSTORE_OK);
        EXPECT_EQ(std::string(error.message).rfind("sql: several columns are called \"a\"", 0), 0U);
        EXPECT_EQ(json, nullptr);
    }
    EXPECT_EQ(xlstore_query_json(store_, "SELECT 1 AS a, 'x' || char(0) AS b; SELECT 2 AS a",
                                 nullptr, 0, nullptr, &json),
              XLSTORE_OK);
    EXPECT_STREQ(json, R"([{"a":1,"b":"x\u0000"},{"a":2}])");
    xlstore_string_free(json);
}

TEST_F(CallTest, ABackupThatHasNoRoomNamesItsOwnFile)
{
    rlimit before{};
    ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    const rlimit small{16384, before.rlim_max};
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    const std::string file = scratch_.directory() / "small.db";
    const int32_t status = xlstore_backup(store_, file.c_str(), nullptr);
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    std::signal(SIGXFSZ, handler);
    EXPECT_EQ(status, XLSTORE_E_IO);
    xlstore_error error = XLSTORE_ERROR_INIT;
    EXPECT_EQ(xlstore_last_error(&error), XLSTORE_OK);
    const std::string message = error.message;
    EXPECT_EQ(message.rfind("backup: cannot write " + file, 0), 0U) << message;
    EXPECT_NE(message.find("ulimit -f"), std::string::npos) << message;
    EXPECT_FALSE(std::filesystem::exists(file));
}

// Not the current directory, nor the standard one.
TEST_F(CallTest, AnEmptyPathIsInvalid)
{
    xlstore_store* none = nullptr;
    EXPECT_EQ(xlstore_open("", nullptr, &none), XLSTORE_E_INVALID);
    EXPECT_EQ(none, nullptr);
    EXPECT_EQ(xlstore_init("", nullptr), XLSTORE_E_INVALID);
    EXPECT_EQ(xlstore_restore("", "/nowhere", nullptr, nullptr), XLSTORE_E_INVALID);
    EXPECT_EQ(xlstore_restore(scratch_.path().c_str(), "", nullptr, nullptr), XLSTORE_E_INVALID);
    EXPECT_EQ(xlstore_backup(store_, "", nullptr), XLSTORE_E_INVALID);
    EXPECT_EQ(xlstore_insert(store_, "7", "hdc", "", nullptr, nullptr), XLSTORE_E_INVALID);
    EXPECT_EQ(xlstore_batch(store_, "7", R"([{"insert":"hdc","file":""}])", 0, nullptr, nullptr),
              XLSTORE_E_INVALID);
}

// Each call clears what the one before it said, also where its arguments are bad.
TEST_F(CallTest, AStoresErrorIsThatOfItsLastCall)
{
    xlstore_hold* hold = nullptr;
    xlstore_fast* fast = nullptr;
    xlstore_creation* creation = nullptr;
    xlstore_call bad = XLSTORE_CALL_INIT;
    bad.struct_size = 1;
    ASSERT_EQ(xlstore_slow_lock(store_, "domid:7", "test", nullptr, &hold), XLSTORE_OK);
    ASSERT_EQ(xlstore_creation_begin(store_, 9, other_.c_str(), nullptr, &creation), XLSTORE_OK);
    xlstore_intention intention = XLSTORE_INTENTION_INIT;
    const Call calls[] = {
        {"query",
         [&] { return xlstore_query(store_, "SELECT 1", nullptr, 0, nullptr, nullptr, nullptr); }},
        {"query_json",
         [&] { return xlstore_query_json(store_, "SELECT 1", nullptr, 0, nullptr, nullptr); }},
        {"locks", [&] { return xlstore_locks(store_, nullptr); }},
        {"intent_plan", [&] { return xlstore_intent_plan(store_, 1, nullptr); }},
        {"outgoing",
         [&] { return xlstore_outgoing_domain(store_, "7", nullptr, nullptr, nullptr, nullptr); }},
        {"retired",
         [&] { return xlstore_retired_document(store_, "7", nullptr, nullptr, nullptr, nullptr); }},
        {"document", [&] { return xlstore_document(store_, "7", nullptr, nullptr); }},
        {"things", [&] { return xlstore_things(store_, "7", nullptr); }},
        {"watch", [&] { return xlstore_watch_start(store_, 0, nullptr, nullptr, nullptr); }},
        {"fast_lock", [&] { return xlstore_fast_lock(store_, "7", "test", nullptr, nullptr); }},
        {"slow_lock", [&] { return xlstore_slow_lock(store_, "7", "test", nullptr, nullptr); }},
        {"slow_lock_start",
         [&] {
             return xlstore_slow_lock_start(store_, "7", "test", nullptr, nullptr, nullptr,
                                            nullptr);
         }},
        {"creation_begin",
         [&] { return xlstore_creation_begin(store_, 8, other_.c_str(), nullptr, nullptr); }},
        {"creation_begin_again",
         [&] { return xlstore_creation_begin_again(store_, "7", nullptr, nullptr); }},
        {"creation_child",
         [&] { return xlstore_creation_child(creation, 1, nullptr, nullptr, 0, nullptr); }},
        {"creation_finish_start",
         [&] {
             return xlstore_creation_finish_start(creation, nullptr, nullptr, nullptr, nullptr);
         }},
        {"intend", [&] { return xlstore_intend(hold, nullptr, nullptr, nullptr); }},
        {"intend_start",
         [&] {
             return xlstore_intend_start(hold, &intention, nullptr, nullptr, nullptr, nullptr);
         }},
        {"settle", [&] { return xlstore_settle(hold, 1, 99, "x", nullptr); }},
        {"settle_start",
         [&] {
             return xlstore_settle_start(hold, 1, XLSTORE_SEEN_AFTER, "x", nullptr, nullptr,
                                         nullptr, nullptr);
         }},
        {"asked_start",
         [&] { return xlstore_asked_start(hold, 1, "x", nullptr, nullptr, nullptr, nullptr); }},
        {"follow_start",
         [&] { return xlstore_follow_start(hold, nullptr, nullptr, nullptr, nullptr, nullptr); }},
        {"look_and_settle_start",
         [&] {
             return xlstore_look_and_settle_start(hold, nullptr, 0, nullptr, nullptr, nullptr,
                                                  nullptr);
         }},
        {"recover_start",
         [&] { return xlstore_recover_start(store_, nullptr, nullptr, nullptr, nullptr); }},
        {"attach", [&] { return xlstore_attach(store_, "7", "nics", "{}", &bad, nullptr); }},
    };
    const auto is_told = [&](const Call& call) {
        xlstore_error error = XLSTORE_ERROR_INIT;
        EXPECT_EQ(xlstore_find(store_, "nosuch", nullptr), XLSTORE_E_NOT_FOUND);
        EXPECT_EQ(call.make(), XLSTORE_E_INVALID) << call.name;
        EXPECT_EQ(xlstore_store_error(store_, &error), XLSTORE_OK);
        EXPECT_EQ(error.status, XLSTORE_E_INVALID) << call.name;
    };
    for (const auto& call : calls)
        is_told(call);
    xlstore_creation_free(creation);
    xlstore_hold_release(hold);
    ASSERT_EQ(xlstore_fast_lock(store_, "domid:7", "test", nullptr, &fast), XLSTORE_OK);
    const Call under_fast[] = {
        {"fast_document", [&] { return xlstore_fast_document(fast, nullptr); }},
        {"fast_write_document", [&] { return xlstore_fast_write_document(fast, nullptr); }},
        {"fast_put_thing", [&] { return xlstore_fast_put_thing(fast, nullptr, "{}"); }},
        {"fast_remove_thing", [&] { return xlstore_fast_remove_thing(fast, "nics", nullptr); }},
    };
    for (const auto& call : under_fast)
        is_told(call);
    xlstore_fast_release(fast);
}

// A waiting call has a result with any status.
TEST_F(CallTest, ARestoreThatFailsHasAResult)
{
    const std::string nothing = scratch_.directory() / "nothing";
    xlstore_result* result = nullptr;
    EXPECT_EQ(xlstore_restore(nullptr, nothing.c_str(), nullptr, &result), XLSTORE_E_INVALID);
    ASSERT_TRUE(result);
    EXPECT_EQ(xlstore_result_status(result), XLSTORE_E_INVALID);
    xlstore_result_free(result);
    result = nullptr;
    const int32_t status =
        xlstore_restore(scratch_.path().c_str(), nothing.c_str(), nullptr, &result);
    EXPECT_NE(status, XLSTORE_OK);
    ASSERT_TRUE(result);
    EXPECT_EQ(xlstore_result_status(result), status);
    EXPECT_STRNE(xlstore_result_message(result), "");
    EXPECT_NE(std::string(xlstore_result_json(result)).find("\"error\""), std::string::npos);
    xlstore_result_free(result);
}

// Names and keys are any bytes of a guest's or a caller's.
TEST_F(CallTest, TextsOfAFindingAreLinesThatSteerNoTerminal)
{
    ASSERT_EQ(xlstore_rename(store_, "domid:7", "a\x1b[2J\nb", 0, nullptr, nullptr), XLSTORE_OK);
    ASSERT_EQ(xlstore_close_document(store_, "domid:7", "test", nullptr, nullptr), XLSTORE_OK);
    std::string subjects;
    xlstore_recover_options options = XLSTORE_RECOVER_OPTIONS_INIT;
    options.mode = XLSTORE_RECOVER_LOOK;
    options.userdata = &subjects;
    options.found = [](const xlstore_finding* finding, void* userdata) {
        if (finding->domid == 7) *static_cast<std::string*>(userdata) += finding->subject;
    };
    EXPECT_EQ(xlstore_recover(store_, &options, nullptr), XLSTORE_OK);
    EXPECT_EQ(subjects, R"(domain 7 (a\x1b[2J\x0ab))");
}

}  // namespace
}  // namespace xlstore
