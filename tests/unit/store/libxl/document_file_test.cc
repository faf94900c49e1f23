// SPDX-License-Identifier: MIT
#include "store/libxl/document_file.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/support/scratch.hpp"

namespace xlstore::libxl {
namespace {

class DocumentFileTest : public testing::Test {
protected:
    DocumentFileTest() { std::filesystem::create_directories(where_.lib()); }

    test::ScratchDirectory directory_;
    HostDirectories where_{directory_.path()};
    FileOwner domain_{7, "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01"};
};

TEST_F(DocumentFileTest, IsWrittenAsLibxlWritesIt)
{
    ASSERT_TRUE(write_document_file(where_, domain_, "{ }\n"));
    EXPECT_EQ(test::read_file(where_.document(domain_)), std::string("{ }\n\0", 5));
    struct stat st {};
    ASSERT_EQ(stat(where_.document(domain_).c_str(), &st), 0);
    EXPECT_EQ(st.st_mode & 07777, 0600U);
    EXPECT_FALSE(std::filesystem::exists(where_.document_beside(domain_)));
    const auto read = read_document_file(where_.document(domain_));
    ASSERT_TRUE(read && *read);
    EXPECT_EQ((*read)->text, "{ }\n");
    EXPECT_TRUE((*read)->ends_with_nul);
}

TEST_F(DocumentFileTest, WhatTheDeadLeftHalfWrittenIsUsedAgain)
{
    test::write_file(where_.document_beside(domain_), std::string(9000, 'x'));
    ASSERT_TRUE(write_document_file(where_, domain_, "{}"));
    EXPECT_EQ(test::read_file(where_.document(domain_)), std::string("{}\0", 3));
}

// Of a libxl that was killed before its rename it is the only copy, until the new one is in place.
TEST_F(DocumentFileTest, WhatLibxlWasWritingIsLeftAlone)
{
    test::write_file(where_.document_being_written(domain_), "{\"a\":1}");
    ASSERT_TRUE(write_document_file(where_, domain_, "{}"));
    EXPECT_EQ(test::read_file(where_.document_being_written(domain_)), "{\"a\":1}");
    EXPECT_EQ(test::read_file(where_.document(domain_)), std::string("{}\0", 3));
}

TEST_F(DocumentFileTest, OneThatIsNotThereIsNoError)
{
    const auto read = read_document_file(where_.document(domain_));
    ASSERT_TRUE(read);
    EXPECT_FALSE(*read);
}

TEST_F(DocumentFileTest, ALinkIsNeitherReadNorWrittenThrough)
{
    test::write_file(directory_ / "other", "{}");
    ASSERT_EQ(symlink((directory_ / "other").c_str(), where_.document(domain_).c_str()), 0);
    EXPECT_FALSE(read_document_file(where_.document(domain_)));
    ASSERT_EQ(symlink((directory_ / "other").c_str(), where_.document_beside(domain_).c_str()), 0);
    EXPECT_FALSE(write_document_file(where_, domain_, "{\"a\":1}"));
    EXPECT_EQ(test::read_file(directory_ / "other"), "{}");
}

TEST_F(DocumentFileTest, AFailedWriteLeavesTheOldOne)
{
    ASSERT_TRUE(write_document_file(where_, domain_, "{}"));
    std::filesystem::create_directory(where_.document_beside(domain_));
    EXPECT_FALSE(write_document_file(where_, domain_, "{\"a\":1}"));
    EXPECT_EQ(test::read_file(where_.document(domain_)), std::string("{}\0", 3));
}

TEST_F(DocumentFileTest, ListsWhatIsUserdataInOrder)
{
    for (const char* name : {"qemu-save.7", "x", "userdata-d.7", "domid-history"})
        test::write_file(where_.lib() + "/" + name, "");
    for (const std::int64_t domid : {10, 9})
        ASSERT_TRUE(write_document_file(where_, {domid, domain_.uuid}, "{}"));
    const auto found = list_userdata(where_.lib());
    ASSERT_TRUE(found);
    ASSERT_EQ(found->size(), 2U);
    EXPECT_EQ(found->front().domain.domid, 9);
    EXPECT_FALSE(list_userdata(directory_ / "missing"));
}

}  // namespace
}  // namespace xlstore::libxl
