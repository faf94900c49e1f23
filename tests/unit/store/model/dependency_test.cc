// SPDX-License-Identifier: MIT
#include "store/model/dependency.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <string>

namespace xlstore {
namespace {

Plan making(const std::string& kind, const std::string& name, const std::string& arguments)
{
    Plan plan;
    plan.steps.push_back(Step{{"make", arguments}, std::nullopt, {}, {}});
    plan.probe.products.push_back(Product{kind, name, std::nullopt});
    return plan;
}

using Positions = std::vector<std::size_t>;

TEST(DependencyTest, WhatStandsOnNothingStaysInItsOrder)
{
    std::vector<Plan> plans;
    for (int i = 0; i < 50; ++i)
        plans.push_back(making("device", "d" + std::to_string(i), R"({"driver":"x"})"));
    Positions as_given(plans.size());
    std::iota(as_given.begin(), as_given.end(), 0);
    EXPECT_EQ(order_by_dependency(plans), as_given);
    EXPECT_EQ(order_by_dependency({}), Positions());
}

TEST(DependencyTest, ADeviceComesAfterTheControllerOfItsBus)
{
    const std::vector<Plan> plans = {making("device", "tab", R"({"bus":"xenusb-0.0","id":"tab"})"),
                                     making("device", "other", R"({"id":"other"})"),
                                     making("device", "xenusb-0", R"({"id":"xenusb-0"})")};
    EXPECT_EQ(order_by_dependency(plans), (Positions{2, 0, 1}));
}

TEST(DependencyTest, ABackEndComesBeforeWhatNamesItHoweverDeep)
{
    const std::vector<Plan> plans = {
        making("device", "disk", R"({"drive":"top","bus":"scsi.0"})"),
        making("node", "top", R"({"driver":"raw","file":{"driver":"x","children":["low"]}})"),
        making("device", "scsi", R"({"iothread":"io"})"),
        making("object", "io", R"({"qom-type":"iothread"})"),
        making("node", "low", R"({"driver":"null-co"})")};
    EXPECT_EQ(order_by_dependency(plans), (Positions{4, 1, 3, 2, 0}));
}

TEST(DependencyTest, OfACircleEachIsThereOnce)
{
    const std::vector<Plan> plans = {making("device", "a", R"({"peer":"b"})"),
                                     making("device", "b", R"({"peer":"a"})"),
                                     making("device", "c", R"({"bus":"c.0"})")};
    EXPECT_EQ(order_by_dependency(plans), (Positions{1, 0, 2}));
}

// A descriptor set goes by a text that says nothing of who uses it.
TEST(DependencyTest, TextThatIsNoNameSaysNothing)
{
    const std::vector<Plan> plans = {making("device", "a", R"({"text":"set","b":"x.","c":".0"})"),
                                     making("fdset", "set", R"({"opaque":"set"})"),
                                     making("device", "x", "")};
    EXPECT_EQ(order_by_dependency(plans), (Positions{0, 1, 2}));
}

}  // namespace
}  // namespace xlstore
