// SPDX-License-Identifier: MIT
// A call that waits lets the other operations of its handle get on, and leaves the handle's
// descriptor readable for every callback that is to come (R20).
#include <gtest/gtest.h>
#include <poll.h>

#include <functional>
#include <string>

#include "store/core/domain.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/values.hpp"
#include "xlstore/xlstore.h"

namespace xlstore {
namespace {

class WakeUpTest : public testing::Test {
public:  // callbacks use it
    WakeUpTest() : other_(scratch_.open())
    {
        EXPECT_EQ(xlstore_open(scratch_.path().c_str(), nullptr, &store_), XLSTORE_OK);
        EXPECT_EQ(xlstore_open(scratch_.path().c_str(), nullptr, &neighbour_), XLSTORE_OK);
        const auto document = test::hvm_document("web", test::kUuid, "/a.iso");
        EXPECT_EQ(xlstore_import(store_, 7, document.c_str(), nullptr, nullptr), XLSTORE_OK);
        id_ = value_of(find_domain(other_->db(), "domid:7")->id);
        long_.timeout_ms = 20'000;
        short_.timeout_ms = 50;
    }
    ~WakeUpTest() override
    {
        xlstore_watch_end(watch_);
        xlstore_close(store_);
        xlstore_close(neighbour_);
    }

    [[nodiscard]] ByteLock held(LockKind kind) const
    {
        auto lock = other_->locks().try_acquire(kind, kind == LockKind::writer ? 0 : id_);
        EXPECT_TRUE(lock && *lock);
        return **std::move(lock);
    }
    [[nodiscard]] bool readable(int limit_ms = 20'000) const
    {
        pollfd p{xlstore_fd(store_), POLLIN, 0};
        return poll(&p, 1, limit_ms) == 1;
    }
    void dispatch() { EXPECT_EQ(xlstore_dispatch(store_), XLSTORE_OK); }
    /// As an embedder does: only when it is asked to.
    [[nodiscard]] bool dispatch_until(const std::function<bool()>& over)
    {
        while (!over()) {
            if (!readable()) return false;
            dispatch();
        }
        return true;
    }
    void put_in_background(const char* json)
    {
        const auto ended = [](xlstore_result* result, void* test) {
            EXPECT_EQ(xlstore_result_status(result), XLSTORE_OK) << xlstore_result_message(result);
            ++static_cast<WakeUpTest*>(test)->ended_;
        };
        EXPECT_EQ(xlstore_put_thing_start(store_, "domid:7", "vtpms", json, 0, &long_, ended, this,
                                          nullptr),
                  XLSTORE_OK);
    }
    // It has the fast lock then, and waits for the writer lock.
    void put_up_to_the_writer_lock(const char* json)
    {
        const auto writer = held(LockKind::writer);
        put_in_background(json);
        EXPECT_TRUE(dispatch_until([&] { return *other_->locks().is_held(LockKind::fast, id_); }));
    }
    int32_t put(xlstore_store* store, const char* json, const xlstore_call& call)
    {
        return xlstore_put_thing(store, "domid:7", "vtpms", json, 0, &call, nullptr);
    }
    void watch(xlstore_changed changed)
    {
        EXPECT_EQ(xlstore_watch_start(store_, -1, changed, this, &watch_), XLSTORE_OK);
        while (readable(0))
            dispatch();
    }
    bool has(const char* key)
    {
        char* json = nullptr;
        const auto status = xlstore_thing(store_, "domid:7", "vtpms", key, &json, nullptr);
        xlstore_string_free(json);
        return status == XLSTORE_OK;
    }

    test::ScratchStore scratch_;
    std::unique_ptr<Store> other_;
    xlstore_store* store_ = nullptr;
    xlstore_store* neighbour_ = nullptr;
    xlstore_watch* watch_ = nullptr;
    std::int64_t id_ = 0;
    xlstore_call long_ = XLSTORE_CALL_INIT;
    xlstore_call short_ = XLSTORE_CALL_INIT;
    int ended_ = 0;
    int told_ = 0;
};

TEST_F(WakeUpTest, AnEditWaitsForAnOperationOfItsOwnHandle)
{
    put_up_to_the_writer_lock(R"({"devid":1})");
    EXPECT_EQ(put(store_, R"({"devid":2})", long_), XLSTORE_OK);
    EXPECT_EQ(ended_, 0) << "a callback came from another call than xlstore_dispatch()";
    EXPECT_TRUE(dispatch_until([&] { return ended_ == 1; }));
    EXPECT_TRUE(has("1") && has("2"));
}

TEST_F(WakeUpTest, AnExplicitFastLockWaitsForAnOperationOfItsOwnHandle)
{
    put_up_to_the_writer_lock(R"({"devid":1})");
    xlstore_fast* fast = nullptr;
    ASSERT_EQ(xlstore_fast_lock(store_, "domid:7", "test", &long_, &fast), XLSTORE_OK);
    EXPECT_EQ(xlstore_fast_remove_thing(fast, "vtpms", "1"), XLSTORE_OK);
    xlstore_fast_release(fast);
    EXPECT_TRUE(dispatch_until([&] { return ended_ == 1; }));
    EXPECT_FALSE(has("1"));
}

// The call that waits notices the change, too, and tells no one.
TEST_F(WakeUpTest, AChangeThatAWaitingCallNoticedIsTold)
{
    watch([](const xlstore_change*, void* test) { ++static_cast<WakeUpTest*>(test)->told_; });
    const std::pair<LockKind, std::function<int32_t()>> calls[] = {
        {LockKind::slow,
         [&] {
             xlstore_hold* hold = nullptr;
             return xlstore_slow_lock(store_, "domid:7", "test", &short_, &hold);
         }},
        {LockKind::fast, [&] { return put(store_, R"({"devid":9})", short_); }},
        {LockKind::fast, [&] {
             xlstore_fast* fast = nullptr;
             return xlstore_fast_lock(store_, "domid:7", "test", &short_, &fast);
         }}};
    int devid = 0;
    for (const auto& [kind, call] : calls) {
        told_ = 0;
        const auto json = "{\"devid\":" + std::to_string(++devid) + "}";
        EXPECT_EQ(put(neighbour_, json.c_str(), long_), XLSTORE_OK);
        {
            const auto lock = held(kind);
            EXPECT_EQ(call(), XLSTORE_E_TIMEOUT);
        }
        EXPECT_EQ(told_, 0);
        EXPECT_TRUE(dispatch_until([&] { return told_ > 0; })) << lock_name(kind);
        while (readable(0))
            dispatch();
        EXPECT_EQ(told_, 1);
    }
}

// Dispatching from a callback goes on with operations, and calls none.
TEST_F(WakeUpTest, WhatEndsInACallbackIsDelivered)
{
    watch([](const xlstore_change*, void* given) {
        auto* test = static_cast<WakeUpTest*>(given);
        if (test->told_++ > 0) return;
        test->put_in_background(R"({"devid":5})");
        EXPECT_TRUE(test->dispatch_until([&] { return test->has("5"); }));
        EXPECT_EQ(test->ended_, 0);
    });
    EXPECT_EQ(put(neighbour_, R"({"devid":6})", long_), XLSTORE_OK);
    EXPECT_TRUE(dispatch_until([&] { return ended_ == 1; }));
}

TEST_F(WakeUpTest, WhatAWaitingCallInACallbackEndedIsDelivered)
{
    watch([](const xlstore_change*, void* given) {
        auto* test = static_cast<WakeUpTest*>(given);
        if (test->told_++ > 0) return;
        test->put_up_to_the_writer_lock(R"({"devid":5})");
        EXPECT_EQ(test->put(test->store_, R"({"devid":7})", test->long_), XLSTORE_OK);
        EXPECT_EQ(test->ended_, 0);
    });
    EXPECT_EQ(put(neighbour_, R"({"devid":6})", long_), XLSTORE_OK);
    EXPECT_TRUE(dispatch_until([&] { return ended_ == 1 && told_ == 3; }));
}

}  // namespace
}  // namespace xlstore
