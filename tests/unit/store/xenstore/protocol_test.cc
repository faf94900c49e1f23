// SPDX-License-Identifier: MIT
#include "store/xenstore/protocol.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "tests/support/scripted_xenstored.hpp"

namespace xlstore::xenstore {
namespace {

using test::xenstore_message;
using namespace std::string_literals;

constexpr std::uint32_t number(Kind kind)
{
    return static_cast<std::uint32_t>(kind);
}

Reply only_reply(const std::vector<Action>& actions)
{
    EXPECT_EQ(actions.size(), 1U);
    const auto* reply = actions.size() == 1 ? std::get_if<Reply>(&actions[0]) : nullptr;
    EXPECT_NE(reply, nullptr);
    return reply ? *reply : Reply();
}

std::string only_failure(const std::vector<Action>& actions)
{
    if (actions.size() != 1) return std::to_string(actions.size()) + " actions";
    const auto* failure = std::get_if<Failure>(&actions[0]);
    return failure ? failure->reason : "no failure";
}

TEST(XenstoreProtocol, ARequestIsAHeaderAndItsPayload)
{
    Protocol protocol;
    const auto bytes = protocol.send(request::write("/a/b", "v\0w"s, 7));
    ASSERT_TRUE(bytes);
    std::string expected = xenstore_message(number(Kind::write), 1, "/a/b\0v\0w"s);
    expected[8] = 7;  // the transaction, little-endian
    EXPECT_EQ(*bytes, expected);
    EXPECT_EQ(*protocol.send(request::begin()),
              xenstore_message(number(Kind::transaction_start), 2, "\0"s));
    EXPECT_EQ(*protocol.send(request::set_permissions("/a", {{'n', 0}, {'r', 12}})),
              xenstore_message(number(Kind::set_permissions), 3, "/a\0n0\0r12\0"s));
}

TEST(XenstoreProtocol, AMessageMayComeInPieces)
{
    Protocol protocol;
    (void)protocol.send(request::read("/a"));
    const std::string bytes = xenstore_message(number(Kind::read), 1, "value");
    std::vector<Action> actions;
    for (const char c : bytes)
        for (auto& action : protocol.feed(std::string_view(&c, 1)))
            actions.push_back(std::move(action));
    const Reply reply = only_reply(actions);
    EXPECT_EQ(reply.id, 1U);
    EXPECT_EQ(reply.error, 0);
    EXPECT_EQ(reply.value, "value");
    EXPECT_EQ(protocol.outstanding(), 0U);
    EXPECT_EQ(protocol.buffered(), 0U);
}

TEST(XenstoreProtocol, RepliesMayComeInAnyOrder)
{
    Protocol protocol;
    (void)protocol.send(request::read("/a"));
    (void)protocol.send(request::directory("/b"));
    const auto actions = protocol.feed(xenstore_message(number(Kind::directory), 2, "x\0"s) +
                                       xenstore_message(number(Kind::read), 1, ""));
    ASSERT_EQ(actions.size(), 2U);
    EXPECT_EQ(std::get<Reply>(actions[0]).id, 2U);
    EXPECT_EQ(std::get<Reply>(actions[1]).id, 1U);
}

TEST(XenstoreProtocol, OnlyTheDaemonsOwnWordIsAnErrorNumber)
{
    Protocol protocol;
    for (int i = 0; i < 3; ++i)
        (void)protocol.send(request::read("/a"));
    EXPECT_EQ(only_reply(protocol.feed(xenstore_message(16, 1, "ENOENT\0"s))).error, ENOENT);
    const Reply unknown = only_reply(protocol.feed(xenstore_message(16, 2, "E\x1b[1m\0"s)));
    EXPECT_EQ(unknown.error, EPROTO);
    EXPECT_EQ(unknown.value, "E\\x1b[1m");
    EXPECT_EQ(only_failure(protocol.feed(xenstore_message(16, 3, "ENOENT"))),
              "answered READ with an error without a name");
}

TEST(XenstoreProtocol, WhatAnswersNothingEndsTheConversation)
{
    Protocol foreign_id;
    (void)foreign_id.send(request::read("/a"));
    EXPECT_EQ(only_failure(foreign_id.feed(xenstore_message(number(Kind::read), 2, "x"))),
              "sent a message of type 2 that answers no request");
    EXPECT_TRUE(foreign_id.failed());
    EXPECT_TRUE(foreign_id.feed(xenstore_message(number(Kind::read), 1, "x")).empty());
    EXPECT_TRUE(foreign_id.end_of_stream().empty());

    Protocol twice;
    (void)twice.send(request::read("/a"));
    (void)twice.feed(xenstore_message(number(Kind::read), 1, "x"));
    EXPECT_NE(only_failure(twice.feed(xenstore_message(number(Kind::read), 1, "y"))), "no failure");

    Protocol event;
    EXPECT_NE(only_failure(event.feed(xenstore_message(15, 0, "/a\0t\0"s))), "no failure");

    Protocol other_type;
    (void)other_type.send(request::read("/a"));
    EXPECT_EQ(only_failure(other_type.feed(xenstore_message(number(Kind::directory), 1, ""))),
              "answered READ with a message of type 1");
}

TEST(XenstoreProtocol, AMessageIsBoundedBeforeItHasCome)
{
    Protocol protocol;
    (void)protocol.send(request::read("/a"));
    std::string header = xenstore_message(number(Kind::read), 1, "");
    header[12] = 1;
    header[13] = 16;  // 4097
    EXPECT_EQ(only_failure(protocol.feed(header)),
              "sent a message of 4097 bytes, the protocol allows 4096");
    EXPECT_EQ(protocol.buffered(), 0U);
}

TEST(XenstoreProtocol, AHangUpSaysWhatWasOutstanding)
{
    Protocol protocol;
    (void)protocol.send(request::remove("/a"));
    (void)protocol.feed("123");
    EXPECT_EQ(only_failure(protocol.end_of_stream()),
              "hung up in the middle of a message before the reply to RM");
}

TEST(XenstoreProtocol, NothingIsSentThatCannotBeAPath)
{
    Protocol protocol;
    for (const auto* path :
         {"", "a", "/a/", "//a", "/a//b", "/..", "/a/../b", "/a b", "/a\n", "/ä"})
        EXPECT_FALSE(protocol.send(request::read(path))) << path;
    EXPECT_FALSE(protocol.send(request::write("/a\0b"s, "")));
    EXPECT_FALSE(protocol.send(request::write("", "value")));
    EXPECT_FALSE(protocol.send(request::read("/" + std::string(3072, 'a'))));
    EXPECT_FALSE(protocol.send(request::write("/a", std::string(4094, 'v'))));
    EXPECT_EQ(protocol.outstanding(), 0U);
    EXPECT_TRUE(protocol.send(request::write("/a", std::string(4093, 'v'))));
    EXPECT_TRUE(protocol.send(request::directory("/")));
    EXPECT_TRUE(protocol.send(request::read("/local/domain/0/backend/vif/1-2_@x/3")));
}

TEST(XenstoreProtocol, ListsAreReadWithCare)
{
    using Names = std::vector<std::string>;
    EXPECT_EQ(names_in(""), Names());
    EXPECT_EQ(names_in("a\0b\0"s), (Names{"a", "b"}));
    for (const auto& payload : {"a"s, "a\0b"s, "\0"s, "a\0\0"s, "..\0"s, "a/b\0"s, "\xff\0"s})
        EXPECT_FALSE(names_in(payload)) << payload;
    EXPECT_EQ(permissions_in("n0\0r12\0"s), (Permissions{{'n', 0}, {'r', 12}}));
    for (const auto& payload : {""s, "n0"s, "n\0"s, "x0\0"s, "n-1\0"s, "n4294967296\0"s, "n0\0\0"s})
        EXPECT_FALSE(permissions_in(payload)) << payload;
}

TEST(XenstoreProtocol, APartOfAListSaysWhetherItIsTheLast)
{
    const auto first = part_in("17\0a\0b\0"s);
    ASSERT_TRUE(first);
    EXPECT_EQ(first->generation, "17");
    EXPECT_EQ(first->names, "a\0b\0"s);
    EXPECT_FALSE(first->last);
    const auto last = part_in("17\0c\0\0"s);
    ASSERT_TRUE(last);
    EXPECT_EQ(last->names, "c\0"s);
    EXPECT_TRUE(last->last);
    const auto empty = part_in("17\0\0"s);
    ASSERT_TRUE(empty);
    EXPECT_TRUE(empty->last && empty->names.empty());
    for (const auto& payload : {""s, "17"s, "\0a\0"s, "17\0a"s, "17\0"s})
        EXPECT_FALSE(part_in(payload)) << payload;
}

TEST(XenstoreProtocol, ValuesAreBytesUntilTheyAreLookedAt)
{
    EXPECT_EQ(number_in("5\0"s), 5U);
    for (const auto& payload : {"5"s, "\0"s, "-5\0"s, "5\0\0"s, "5 \0"s, "4294967296\0"s})
        EXPECT_FALSE(number_in(payload)) << payload;
    EXPECT_EQ(truth_in("T\0"s), true);
    EXPECT_EQ(truth_in("F\0"s), false);
    EXPECT_FALSE(truth_in("T"));
    EXPECT_EQ(text_of("xenbr0"), "xenbr0");
    EXPECT_EQ(text_of(""), "");
    for (const auto& value : {"a\0b"s, "\xff"s, "a\nb"s, "\x1b[1m"s})
        EXPECT_FALSE(text_of(value));
    EXPECT_EQ(number_of("51712"), 51712);
    for (const auto& value : {""s, "-1"s, "+1"s, " 1"s, "1\0"s, "2147483648"s, "0x1"s})
        EXPECT_FALSE(number_of(value)) << value;
}

}  // namespace
}  // namespace xlstore::xenstore
