// SPDX-License-Identifier: MIT
#include "recovery/rebuild/userdata.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/support/scratch.hpp"

namespace xlstore::recovery {
namespace {

class UserdataTest : public testing::Test {
protected:
    static std::string uuid(int number)
    {
        return "8f2c7d10-4b6e-4a51-9d3c-00000000000" + std::to_string(number);
    }
    void put(char which, int domid, int number, const std::string& text)
    {
        test::write_file(directory_ / ("userdata-" + std::string(1, which) + "." +
                                       std::to_string(domid) + "." + uuid(number) + ".libxl-json"),
                         text);
    }
    void put_document(char which, int domid, int number, const std::string& name)
    {
        put(which, domid, number, test::hvm_document(name, uuid(number), "/a.iso") + '\0');
    }
    [[nodiscard]] std::string names(std::int64_t domid) const
    {
        std::string text;
        for (const auto& document : read_userdata(directory_.path(), domid).documents)
            text += document.uuid.back() + document.name + " ";
        return text;
    }

    test::ScratchDirectory directory_;
};

TEST_F(UserdataTest, OneAUuidOfThisDomid)
{
    put_document('d', 7, 2, "b");
    put_document('d', 7, 1, "a");
    put_document('d', 77, 3, "c");
    put_document('l', 7, 4, "a lock");
    test::write_file(directory_ / ("userdata-d.7." + uuid(5) + ".libvirt-xml"), "<domain/>");
    EXPECT_EQ(names(7), "1a 2b ");
    EXPECT_EQ(names(8), "");
    EXPECT_TRUE(read_userdata(directory_.path(), 7).unseen.empty());
}

TEST_F(UserdataTest, OneThatWasBeingWrittenCountsOnlyAlone)
{
    put_document('n', 7, 1, "new");
    put_document('n', 7, 2, "newer");
    put_document('d', 7, 2, "as it was");
    put('n', 7, 3, "{\"c_info\":");
    EXPECT_EQ(names(7), "1new 2as it was ");
    EXPECT_TRUE(read_userdata(directory_.path(), 7).unseen.empty());
}

TEST_F(UserdataTest, WhatIsNoDocumentOfItsDomainIsNamed)
{
    put('d', 7, 1, "{\"c_info\":");
    put('d', 7, 2, "");
    put('d', 7, 3, test::hvm_document("another", uuid(4), "/a.iso"));
    EXPECT_EQ(mkdir((directory_ / ("userdata-d.7." + uuid(5) + ".libxl-json")).c_str(), 0700), 0);
    // Damaged, it is not replaced by what was being written: that may be older.
    put_document('n', 7, 1, "begun");
    const auto found = read_userdata(directory_.path(), 7);
    EXPECT_TRUE(found.documents.empty());
    ASSERT_EQ(found.unseen.size(), 4U);
    for (int number = 1; number <= 3; ++number) {
        const auto& message = found.unseen[static_cast<std::size_t>(number - 1)].message;
        EXPECT_NE(message.find(uuid(number)), std::string::npos) << message;
    }
}

TEST_F(UserdataTest, ADirectoryThatCannotBeReadIsNamed)
{
    const auto found = read_userdata(directory_ / "missing", 7);
    EXPECT_TRUE(found.documents.empty());
    ASSERT_EQ(found.unseen.size(), 1U);
    EXPECT_NE(found.unseen.front().message.find("missing"), std::string::npos);
}

}  // namespace
}  // namespace xlstore::recovery
