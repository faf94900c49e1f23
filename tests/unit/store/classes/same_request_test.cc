// SPDX-License-Identifier: MIT
#include "store/classes/same_request.hpp"

#include <gtest/gtest.h>

namespace xlstore::test {
namespace {

Draft draft(Verb verb, const std::string& device_class, const std::string& key,
            std::optional<std::string> after)
{
    return Draft{verb, ThingName{device_class, key}, std::nullopt, std::move(after), std::nullopt,
                 {}};
}

Intent intent(int id, Draft of)
{
    return Intent{IntentId(id), DomainId(1), 1, std::move(of), "", 1, 0, {}, "", {}};
}

constexpr const char* kEmpty = R"({"vdev":"hdc","pdev_path":"","format":"empty","is_cdrom":1})";
constexpr const char* kIso = R"({"vdev":"hdc","pdev_path":"/a.iso","format":"raw","is_cdrom":1})";
constexpr const char* kOther = R"({"vdev":"hdc","pdev_path":"/b.iso","format":"raw","is_cdrom":1})";

TEST(SameRequestTest, RemovalOfTheSameThingIsTheSame)
{
    const auto earlier = draft(Verb::remove, "qemu", "t", std::nullopt);
    EXPECT_TRUE(wants_the_same(draft(Verb::remove, "qemu", "t", {}), earlier));
    EXPECT_FALSE(wants_the_same(draft(Verb::remove, "qemu", "u", {}), earlier));
    EXPECT_FALSE(wants_the_same(draft(Verb::remove, "usbdevs", "t", {}), earlier));
    EXPECT_FALSE(wants_the_same(draft(Verb::add, "qemu", "t", "{}"), earlier));
}

TEST(SameRequestTest, AddIsTheSameWithTheSameJson)
{
    const auto earlier = draft(Verb::add, "usbctrls", "1", R"({"devid":1,"ports":4})");
    EXPECT_TRUE(wants_the_same(earlier, earlier));
    EXPECT_FALSE(
        wants_the_same(draft(Verb::add, "usbctrls", "1", R"({"devid":1,"ports":8})"), earlier));
}

TEST(SameRequestTest, ChangeIsTheSameWithTheSameMedium)
{
    const auto inserted = draft(Verb::change, "disks", "hdc", kIso);
    const auto ejected = draft(Verb::change, "disks", "hdc", kEmpty);
    const auto insert =
        draft(Verb::change, "disks", "hdc", R"({"pdev_path":"/a.iso","format":"raw"})");
    const auto eject = draft(Verb::change, "disks", "hdc", std::nullopt);
    EXPECT_TRUE(wants_the_same(insert, inserted));
    EXPECT_TRUE(wants_the_same(eject, ejected));
    EXPECT_FALSE(wants_the_same(insert, ejected));
    EXPECT_FALSE(wants_the_same(eject, inserted));
    EXPECT_FALSE(wants_the_same(insert, draft(Verb::change, "disks", "hdc", kOther)));
}

// The entry of a vcpu says more than was asked for.
TEST(SameRequestTest, VcpuIsTheSameWhereverQemuPutIt)
{
    const auto earlier =
        draft(Verb::add, "vcpus", "1", R"({"index":1,"driver":"qemu64","props":{"socket-id":1}})");
    EXPECT_TRUE(wants_the_same(draft(Verb::add, "vcpus", "1", R"({"index":1})"), earlier));
    EXPECT_FALSE(wants_the_same(draft(Verb::add, "vcpus", "1", R"({"index":1,"x":2})"), earlier));
}

TEST(SameRequestTest, BatchIsTheSameWhenItIsTheWholeBatch)
{
    const auto a = draft(Verb::add, "qemu", "a", R"({"key":"a"})");
    const auto b = draft(Verb::add, "qemu", "b", R"({"key":"b"})");
    const auto c = draft(Verb::add, "qemu", "c", R"({"key":"c"})");
    const std::vector<Intent> unit = {intent(1, a), intent(2, b)};
    EXPECT_TRUE(wants_the_same(std::vector<Draft>{a, b}, unit));
    EXPECT_TRUE(wants_the_same(std::vector<Draft>{b, a}, unit));
    EXPECT_TRUE(wants_the_same(std::vector<Draft>{b}, unit));  // one of it, asked for alone
    EXPECT_FALSE(wants_the_same(std::vector<Draft>{a, c}, unit));
    EXPECT_FALSE(wants_the_same(std::vector<Draft>{a, b, c}, unit));
    EXPECT_FALSE(wants_the_same(std::vector<Draft>{a, b}, std::vector<Intent>{intent(1, a)}));
}

}  // namespace
}  // namespace xlstore::test
