// SPDX-License-Identifier: MIT
#include "store/os/regular_file.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "store/base/fd.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore {
namespace {

std::string refusal(const std::string& path, std::size_t bytes_max)
{
    const auto text = read_regular_file(path, bytes_max);
    return text ? "read" : text.error().message;
}

TEST(RegularFile, IsReadAsItIs)
{
    const test::ScratchDirectory directory;
    const std::string text("a\0b\xff\n", 5);
    test::write_file(directory / "file", text);
    const auto read = read_regular_file(directory / "file", 5);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(*read, text);
    EXPECT_EQ(refusal(directory / "file", 4), directory / "file" + " is larger than 4 bytes");
}

// Each of them would keep its reader for ever, or hand it nothing.
TEST(RegularFile, AnyOtherKindIsNamed)
{
    const test::ScratchDirectory directory;
    const std::string fifo = directory / "fifo";
    ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
    EXPECT_EQ(refusal(fifo, 10), fifo + " is a FIFO, no regular file");
    EXPECT_EQ(refusal("/dev/zero", 10), "/dev/zero is a device, no regular file");
    EXPECT_EQ(refusal(directory.path(), 10), directory.path() + " is a directory, no regular file");
    EXPECT_EQ(refusal(directory / "none", 10),
              "cannot read " + (directory / "none") + ": No such file or directory");
}

// A file that grows while it is read, and a pipe: neither has a size that could be relied on.
TEST(RegularFile, WhatComesIsBoundedToo)
{
    const Fd zeros(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
    const auto text = read_to_end(zeros.get(), "standard input", 1 << 20);
    ASSERT_FALSE(text);
    EXPECT_EQ(text.error().message, "standard input is larger than 1048576 bytes");
}

}  // namespace
}  // namespace xlstore
