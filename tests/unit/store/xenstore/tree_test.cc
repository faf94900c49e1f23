// SPDX-License-Identifier: MIT
#include "store/xenstore/tree.hpp"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/scratch_directory.hpp"
#include "tests/support/scripted_xenstored.hpp"

namespace xlstore::xenstore {
namespace {

using namespace std::string_literals;
using namespace std::chrono_literals;
using test::xenstore_refusal;
using test::xenstore_reply;

class XenstoreTree : public testing::Test {
protected:
    XenstoreTree()
        : path_(directory_ / "socket"),
          peer_(path_),
          client_(*loop_.wait_for(Client::connect(loop_, path_, Clock::now() + 10s)))
    {
        peer_.accept();
    }
    Result<Tree> read(const std::vector<std::string>& words)
    {
        std::vector<std::string> roots = {"/a"};
        return peer_.serve(loop_, read_tree(client_, std::move(roots), Clock::now() + 10s), words);
    }

    test::ScratchDirectory directory_;
    std::string path_;
    test::ScriptedXenstored peer_;
    Loop loop_;
    Client client_;
};

TEST_F(XenstoreTree, IsReadAnewUntilItStoodStill)
{
    std::vector<std::string> words;
    for (const std::uint32_t first : {1U, 7U}) {
        words.push_back(xenstore_reply(Kind::transaction_start, first, "3\0"s));
        words.push_back(xenstore_reply(Kind::read, first + 1, "") +
                        xenstore_reply(Kind::directory, first + 2, "b\0"s));
        words.push_back(xenstore_reply(Kind::read, first + 3, first == 1 ? "old" : "new") +
                        xenstore_reply(Kind::directory, first + 4, ""));
        words.push_back(first == 1 ? xenstore_refusal(first + 5, "EAGAIN")
                                   : xenstore_reply(Kind::transaction_end, first + 5, "OK\0"s));
    }
    const auto tree = read(words);
    ASSERT_TRUE(tree) << tree.error().message;
    EXPECT_EQ(tree->nodes.size(), 2U);
    EXPECT_EQ(tree->value("/a/b"), "new");
    EXPECT_EQ(tree->value("/a"), "");
    EXPECT_FALSE(tree->value("/b"));
}

TEST_F(XenstoreTree, ARootThatIsNotThereIsNotInIt)
{
    const auto tree = read({xenstore_reply(Kind::transaction_start, 1, "3\0"s),
                            xenstore_refusal(2, "ENOENT") + xenstore_refusal(3, "ENOENT"),
                            xenstore_reply(Kind::transaction_end, 4, "OK\0"s)});
    ASSERT_TRUE(tree);
    EXPECT_TRUE(tree->nodes.empty());
}

TEST_F(XenstoreTree, ANodeThatCannotBeReadIsNotAbsent)
{
    const auto tree = read({xenstore_reply(Kind::transaction_start, 1, "3\0"s),
                            xenstore_refusal(2, "EACCES") + xenstore_refusal(3, "EACCES"),
                            xenstore_reply(Kind::transaction_end, 4, "OK\0"s)});
    ASSERT_FALSE(tree);
    EXPECT_EQ(tree.error().code, Errc::io);
    EXPECT_EQ(tree.error().message, "xenstored refuses to read /a: EACCES");
    EXPECT_TRUE(client_.usable());
}

TEST(XenstoreTreeText, ChildrenAreThoseRightBelow)
{
    Tree tree;
    for (const auto* path : {"/a", "/a/b", "/a/b/c", "/a/d", "/ab", "/ab/x"})
        tree.nodes[path] = "";
    EXPECT_EQ(tree.children("/a"), (std::vector<std::string>{"b", "d"}));
    EXPECT_EQ(tree.children("/a/b"), (std::vector<std::string>{"c"}));
    EXPECT_TRUE(tree.children("/c").empty());
    EXPECT_EQ(tree.children("/"), (std::vector<std::string>{"a", "ab"}));
}

}  // namespace
}  // namespace xlstore::xenstore
