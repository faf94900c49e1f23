// SPDX-License-Identifier: MIT
#include "store/model/libxl_fields.hpp"

#include <gtest/gtest.h>

#include <set>

#include "store/classes/class_plan.hpp"

namespace xlstore {
namespace {

TEST(LibxlFields, NewMemberStandsBehindTheNearestThatLibxlWritesBeforeIt)
{
    EXPECT_EQ(with_libxl_member("b_info", R"({"max_vcpus":4,"max_memkb":1,"type.hvm":{}})",
                                "avail_vcpus", "[0]"),
              R"({"max_vcpus":4,"avail_vcpus":[0],"max_memkb":1,"type.hvm":{}})");
    EXPECT_EQ(with_libxl_member("c_info", R"({"type":"pv","uuid":"u"})", "name", "\"web\""),
              R"({"type":"pv","name":"web","uuid":"u"})");
    EXPECT_EQ(with_libxl_member("disks", R"({"vdev":"hdc","removable":1})", "format", "\"raw\""),
              R"({"vdev":"hdc","format":"raw","removable":1})");
}

TEST(LibxlFields, NewMemberStandsInFrontWhereLibxlWritesNoneBeforeIt)
{
    EXPECT_EQ(with_libxl_member("b_info", R"({"max_memkb":1})", "avail_vcpus", "[0]"),
              R"({"avail_vcpus":[0],"max_memkb":1})");
    EXPECT_EQ(with_libxl_member("disks", R"({"vdev":"hdc"})", "pdev_path", "\"\""),
              R"({"pdev_path":"","vdev":"hdc"})");
    EXPECT_EQ(with_libxl_member("b_info", "{}", "avail_vcpus", "[0]"), R"({"avail_vcpus":[0]})");
}

// A document that was written by hand: its own order is kept, and what libxl does not know stays.
TEST(LibxlFields, MembersThatAreThereKeepOrderAndSpelling)
{
    EXPECT_EQ(with_libxl_member("c_info", R"({"uuid":"u","own":1.50,"type":"pv"})", "name", "\"w\""),
              R"({"uuid":"u","own":1.50,"type":"pv","name":"w"})");
    EXPECT_EQ(with_libxl_member("c_info", R"({"n\u0061me":"a","uuid":"u"})", "name", "\"w\""),
              R"({"n\u0061me":"w","uuid":"u"})");
}

TEST(LibxlFields, UnknownMemberOrPlaceIsAppended)
{
    EXPECT_EQ(with_libxl_member("b_info", R"({"max_vcpus":4})", "own", "1"),
              R"({"max_vcpus":4,"own":1})");
    EXPECT_EQ(with_libxl_member("vcpus", R"({"index":1})", "driver", "\"d\""),
              R"({"index":1,"driver":"d"})");
}

TEST(LibxlFields, NamesNoMemberTwice)
{
    for (const std::string_view place : {"c_info", "b_info", "disks", "nics", "p9s", "vtpms"}) {
        const auto fields = libxl_fields(place);
        EXPECT_EQ(std::set<std::string_view>(fields.begin(), fields.end()).size(), fields.size())
            << place;
        EXPECT_FALSE(fields.empty()) << place;
    }
}

// A drive that was written without a path (libxl omits one that is NULL).
TEST(LibxlFields, MediumOfADriveWithoutPathStandsWhereLibxlWritesIt)
{
    EXPECT_EQ(with_medium(R"({"vdev":"hdc","format":"empty","is_cdrom":1})", "/a.iso", "raw"),
              R"({"pdev_path":"/a.iso","vdev":"hdc","format":"raw","is_cdrom":1})");
    EXPECT_EQ(with_medium(R"({"vdev":"hdc","is_cdrom":1})", "", "empty"),
              R"({"pdev_path":"","vdev":"hdc","format":"empty","is_cdrom":1})");
}

}  // namespace
}  // namespace xlstore
