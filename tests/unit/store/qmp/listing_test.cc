// SPDX-License-Identifier: MIT
#include "store/qmp/listing.hpp"

#include <gtest/gtest.h>

#include <string>

namespace xlstore::qmp {
namespace {

/// One that has been asked for everything.
Listing full()
{
    Listing listing;
    for (const auto* kind : {"device", "anonymous", "node", "chardev", "object", "netdev"})
        listing.keep(kind, {"there"});
    listing.keep(DescriptorSets{});
    return listing;
}

/// The kinds whose list still says whether `name` is there.
std::string stand(const Listing& listing, const std::string& name)
{
    std::string kinds;
    for (const auto* kind : {"device", "anonymous", "node", "chardev", "object", "netdev"})
        if (listing.names(kind, name)) kinds += std::string(kind) + " ";
    return kinds + (listing.sets() ? "sets" : "-");
}
constexpr const char* kAll = "device anonymous node chardev object netdev sets";
constexpr const char* kNone = "-";

std::string after(const std::string& execute, const std::string& arguments, const std::string& name)
{
    Listing listing = full();
    listing.sent(execute, arguments);
    return stand(listing, name);
}

TEST(Listing, KnowsNothingThatWasNotAskedFor)
{
    EXPECT_EQ(stand(Listing(), "x"), kNone);
    Listing listing;
    listing.keep("node", {"a"});
    ASSERT_NE(listing.names("node", "a"), nullptr);
    EXPECT_TRUE(listing.names("node", "a")->contains("a"));
    ASSERT_NE(listing.names("node", "b"), nullptr);
    EXPECT_FALSE(listing.names("node", "b")->contains("b"));
    EXPECT_EQ(listing.names("device", "a"), nullptr);
}

TEST(Listing, QueriesChangeNothing)
{
    EXPECT_EQ(after("query-named-block-nodes", R"({"flat":true})", "x"), kAll);
    EXPECT_EQ(after("query-fdsets", "", "x"), kAll);
    EXPECT_EQ(after("qom-list", R"({"path":"/objects"})", "x"), kAll);
    EXPECT_EQ(after("human-monitor-command", R"({"command-line":"info network"})", "x"), kAll);
}

TEST(Listing, AnOwnCommandStrikesOutWhatItNames)
{
    const std::string named = R"({"id":"x"})";
    EXPECT_EQ(after("device_add", named, "x"), "anonymous node chardev object netdev sets");
    EXPECT_EQ(after("device_add", named, "y"), kAll);
    for (const auto* execute : {"chardev-add", "chardev-remove"})
        EXPECT_EQ(after(execute, named, "x"), "device anonymous node object netdev sets");
    for (const auto* execute : {"object-add", "object-del"})
        EXPECT_EQ(after(execute, named, "x"), "device anonymous node chardev netdev sets");
    for (const auto* execute : {"netdev_add", "netdev_del"})
        EXPECT_EQ(after(execute, named, "x"), "device anonymous node chardev object sets");
}

TEST(Listing, ABlockNodeMayBringOthersWithIt)
{
    const std::string tree =
        R"({"node-name":"top","file":{"node-name":"low"},"children":[{"node-name":"third"}]})";
    for (const auto* name : {"top", "low", "third"})
        EXPECT_EQ(after("blockdev-add", tree, name), "device anonymous chardev object netdev -");
    EXPECT_EQ(after("blockdev-add", tree, "other"),
              "device anonymous node chardev object netdev -");
    // What it takes with it is not in its arguments.
    EXPECT_EQ(after("blockdev-del", R"({"node-name":"top"})", "other"), kNone);
}

TEST(Listing, DescriptorSetsGoWithWhatChangesThem)
{
    for (const auto* execute : {"add-fd", "remove-fd"})
        EXPECT_EQ(after(execute, R"({"fdset-id":1})", "x"),
                  "device anonymous node chardev object netdev -");
}

TEST(Listing, NothingStandsAfterWhatLetsOthersAct)
{
    for (const auto* execute : {"device_del", "cont", "blockdev-change-medium", "no-such-command"})
        EXPECT_EQ(after(execute, R"({"id":"x"})", "y"), kNone) << execute;
    EXPECT_EQ(after("device_add", R"({"driver":"usb-tablet"})", "y"), kNone) << "without an id";
    EXPECT_EQ(after("human-monitor-command", R"({"command-line":"device_add usb-tablet"})", "y"),
              kNone);
    Listing listing = full();
    listing.heard();
    EXPECT_EQ(stand(listing, "x"), kNone);
}

TEST(Listing, ANewListCountsAgain)
{
    Listing listing = full();
    listing.sent("device_add", R"({"id":"x"})");
    ASSERT_EQ(listing.names("device", "x"), nullptr);
    listing.keep("device", {"x"});
    ASSERT_NE(listing.names("device", "x"), nullptr);
}

}  // namespace
}  // namespace xlstore::qmp
