// SPDX-License-Identifier: MIT
// A client whose looks the store takes: another toolstack's calls change QEMU between two of them
// (here the test does, over QEMU's second monitor).
#ifndef XLSTORE_TESTS_INTEGRATION_EXTERNAL_CLIENT_HPP_
#define XLSTORE_TESTS_INTEGRATION_EXTERNAL_CLIENT_HPP_

#include "tests/support/domain_test.hpp"
#include "tests/support/started_call.hpp"
#include "xlstore/xlstore.h"

namespace xlstore::test {

class ExternalClientTest : public DomainTest {
protected:
    void SetUp() override
    {
        ASSERT_EQ(xlstore_open(store_.path().c_str(), nullptr, &handle_), XLSTORE_OK)
            << last_error();
        take_lock();
    }
    void TearDown() override
    {
        xlstore_hold_release(hold_);
        xlstore_close(handle_);
    }
    void take_lock()
    {
        ASSERT_EQ(xlstore_slow_lock(handle_, "domid:7", "test", nullptr, &hold_), XLSTORE_OK)
            << last_error();
    }
    // As a client that dies: its session goes, its intents stay.
    void die_and_come_back()
    {
        xlstore_hold_release(hold_);
        xlstore_close(handle_);
        hold_ = nullptr;
        ASSERT_EQ(xlstore_open(store_.path().c_str(), nullptr, &handle_), XLSTORE_OK)
            << last_error();
    }
    static std::string disk(const std::string& path)
    {
        return path.empty()
                   ? R"({"pdev_path":"","vdev":"hdc","format":"empty","removable":1,"is_cdrom":1})"
                   : R"({"pdev_path":")" + path +
                         R"(","vdev":"hdc","format":"raw","removable":1,"is_cdrom":1})";
    }
    int64_t intend(int32_t operation, const char* device_class, const char* key,
                   const std::string& json, int32_t expected = XLSTORE_OK)
    {
        xlstore_intention i = XLSTORE_INTENTION_INIT;
        i.operation = operation;
        i.device_class = device_class;
        i.key = key;
        i.json = json.empty() ? nullptr : json.c_str();
        int64_t number = 0;
        EXPECT_EQ(xlstore_look_and_intend(hold_, &i, 1, nullptr, &number), expected)
            << last_error();
        return number;
    }
    int32_t settle(int64_t intent, const char* json = nullptr, bool asked = false)
    {
        xlstore_carried_out done = XLSTORE_CARRIED_OUT_INIT;
        done.intent = intent;
        done.evidence = "the other toolstack said 0";
        done.json = json;
        done.asked = asked ? 1 : 0;
        status_ = xlstore_look_and_settle(hold_, &done, 1, nullptr);
        return done.seen;
    }
    void put_in(const std::string& path)
    {
        EXPECT_TRUE(
            contains(qmp(domain_.judge(), "blockdev-change-medium",
                         R"({"id": "ide-5632", "filename": ")" + path + R"(", "format": "raw"})"),
                     "return"));
    }
    void add_controller(const std::string& id)
    {
        EXPECT_TRUE(contains(qmp(domain_.judge(), "device_add",
                                 R"({"driver": "nec-usb-xhci", "id": ")" + id + R"("})"),
                             "return"));
    }
    static constexpr const char* kController =
        R"({"type":"devicemodel","devid":5,"version":3,"ports":8})";

    xlstore_store* handle_ = nullptr;
    xlstore_hold* hold_ = nullptr;
    int32_t status_ = 0;
};

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_INTEGRATION_EXTERNAL_CLIENT_HPP_
