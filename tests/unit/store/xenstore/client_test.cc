// SPDX-License-Identifier: MIT
#include "store/xenstore/client.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "tests/support/scratch_directory.hpp"
#include "tests/support/scripted_xenstored.hpp"

namespace xlstore::xenstore {
namespace {

using namespace std::string_literals;
using namespace std::chrono_literals;
using test::ScriptedXenstored;
using test::xenstore_message;
using test::xenstore_refusal;
using test::xenstore_reply;

Deadline soon()
{
    return Clock::now() + 10s;
}

/// A client that is connected to a peer which says what the test tells it to.
class XenstoreClient : public testing::Test {
protected:
    XenstoreClient()
        : path_(directory_ / "socket"),
          peer_(path_),
          client_(*loop_.wait_for(Client::connect(loop_, path_, soon())))
    {
        peer_.accept();
    }
    std::string why_not_read(Deadline until = soon(), Errc code = Errc::io)
    {
        const auto value = loop_.wait_for(client_.read("/a", 0, until));
        if (value) return "read";
        EXPECT_EQ(value.error().code, code);
        EXPECT_FALSE(value.error().advice.empty());
        return value.error().message;
    }

    test::ScratchDirectory directory_;
    std::string path_;
    ScriptedXenstored peer_;
    Loop loop_;
    Client client_;
};

TEST_F(XenstoreClient, OnlyTheDaemonsWordIsAbsence)
{
    peer_.refuse(1, "ENOENT");
    const auto absent = loop_.wait_for(client_.read("/a", 0, soon()));
    ASSERT_TRUE(absent);
    EXPECT_FALSE(absent->has_value());
    peer_.refuse(2, "ENOENT");
    const auto unlisted = loop_.wait_for(client_.directory("/a", 0, soon()));
    ASSERT_TRUE(unlisted);
    EXPECT_FALSE(unlisted->has_value());
    peer_.refuse(3, "EACCES");
    EXPECT_EQ(why_not_read(), "xenstored refuses to read /a: EACCES");
    peer_.refuse(4, "EIO");
    EXPECT_EQ(why_not_read(), "xenstored refuses to read /a: EIO");
    EXPECT_TRUE(client_.usable());
    peer_.reply(Kind::read, 5, "v\0\xff"s);
    const auto value = loop_.wait_for(client_.read("/a", 0, soon()));
    ASSERT_TRUE(value && *value);
    EXPECT_EQ(**value, "v\0\xff"s);
}

TEST_F(XenstoreClient, SilenceEndsAtTheDeadline)
{
    EXPECT_EQ(why_not_read(Clock::now() + 30ms, Errc::timeout),
              "could not look into xenstore: the daemon at " + path_ +
                  " stayed silent: the reply to READ did not come in time");
    EXPECT_FALSE(client_.usable());
    EXPECT_EQ(why_not_read(), "could not look into xenstore: the connection to it is over");
}

TEST_F(XenstoreClient, AHangUpIsNoAnswer)
{
    auto task = client_.read("/a", 0, soon());
    task.start();
    peer_.say(xenstore_message(2, 1, "value").substr(0, 18));
    peer_.hang_up();
    while (!task.done())
        loop_.wait_and_dispatch();
    const auto value = task.take();
    ASSERT_FALSE(value);
    EXPECT_EQ(value.error().code, Errc::io);
    EXPECT_EQ(value.error().message,
              "could not look into xenstore: the daemon at " + path_ +
                  " hung up in the middle of a message before the reply to READ");
    EXPECT_FALSE(client_.usable());
}

TEST_F(XenstoreClient, NonsenseIsNoAnswer)
{
    peer_.reply(Kind::directory, 1, "a/b\0"s);
    const auto names = loop_.wait_for(client_.directory("/a", 0, soon()));
    ASSERT_FALSE(names);
    EXPECT_EQ(names.error().code, Errc::io);
    peer_.reply(Kind::transaction_start, 2, "0\0"s);
    EXPECT_FALSE(loop_.wait_for(client_.begin(soon())));
    peer_.reply(Kind::is_domain_introduced, 3, "yes\0"s);
    EXPECT_FALSE(loop_.wait_for(client_.is_domain_introduced(1, soon())));
    peer_.reply(Kind::get_domain_path, 4, "/local/domain/../x\0"s);
    EXPECT_FALSE(loop_.wait_for(client_.domain_path(1, soon())));
    peer_.reply(Kind::get_permissions, 5, "q1\0"s);
    EXPECT_FALSE(loop_.wait_for(client_.permissions("/a", 0, soon())));
    EXPECT_FALSE(peer_.serve(
        loop_, client_.directory("/a", 0, soon()),
        {xenstore_refusal(6, "E2BIG"), xenstore_reply(Kind::directory_part, 7, "no generation")}));
    peer_.say("not even a header, but long enough for one");
    EXPECT_NE(why_not_read().find("the protocol allows 4096"), std::string::npos);
}

// Each says what was asked, and leaves the connection as it was.
TEST_F(XenstoreClient, ARefusalNamesWhatWasAsked)
{
    std::uint32_t id = 0;
    const auto why = [&](auto&& ask, const char* word) -> std::string {
        peer_.refuse(++id, word);
        const auto answer = loop_.wait_for(ask());
        if (answer) return "no error";
        EXPECT_TRUE(client_.usable());
        return answer.error().message;
    };
    EXPECT_EQ(why([&] { return client_.directory("/a", 0, soon()); }, "EACCES"),
              "xenstored refuses to list /a: EACCES");
    EXPECT_EQ(why([&] { return client_.write("/a", "1", 0, soon()); }, "EACCES"),
              "xenstored refuses to write /a: EACCES");
    EXPECT_EQ(why([&] { return client_.make("/a", 0, soon()); }, "ENOSPC"),
              "xenstored refuses to make /a: ENOSPC");
    EXPECT_EQ(why([&] { return client_.make("/a", 0, soon()); }, "EEXIST"), "no error");
    EXPECT_EQ(why([&] { return client_.remove("/a", 0, soon()); }, "EACCES"),
              "xenstored refuses to remove /a: EACCES");
    EXPECT_EQ(why([&] { return client_.remove("/a", 0, soon()); }, "ENOENT"), "no error");
    EXPECT_EQ(why([&] { return client_.permissions("/a", 0, soon()); }, "EACCES"),
              "xenstored refuses to read the permissions of /a: EACCES");
    EXPECT_EQ(why([&] { return client_.permissions("/a", 0, soon()); }, "ENOENT"), "no error");
    EXPECT_EQ(why(
                  [&] {
                      return client_.set_permissions("/a", {{'n', 0}}, 0, soon());
                  },
                  "EACCES"),
              "xenstored refuses to set the permissions of /a: EACCES");
    EXPECT_EQ(why([&] { return client_.begin(soon()); }, "ENOSPC"),
              "xenstored refuses to begin a transaction: ENOSPC");
    EXPECT_EQ(why([&] { return client_.abort(5, soon()); }, "ENOENT"),
              "xenstored refuses to give a transaction up: ENOENT");
    EXPECT_EQ(why([&] { return client_.is_domain_introduced(7, soon()); }, "EACCES"),
              "xenstored refuses to say whether domain 7 is introduced: EACCES");
    EXPECT_EQ(why([&] { return client_.domain_path(7, soon()); }, "EACCES"),
              "xenstored refuses to name the path of domain 7: EACCES");
    const auto parts =
        peer_.serve(loop_, client_.directory("/a", 0, soon()),
                    {xenstore_refusal(id + 1, "E2BIG"), xenstore_refusal(id + 2, "EACCES")});
    ASSERT_FALSE(parts);
    EXPECT_EQ(parts.error().message, "xenstored refuses to list /a in parts: EACCES");
}

TEST_F(XenstoreClient, PathOfADomainIsAPath)
{
    peer_.reply(Kind::get_domain_path, 1, "/local/domain/7\0"s);
    const auto path = loop_.wait_for(client_.domain_path(7, soon()));
    ASSERT_TRUE(path);
    EXPECT_EQ(*path, "/local/domain/7");
}

TEST_F(XenstoreClient, ConflictAndRefusalOfACommitAreTold)
{
    peer_.refuse(1, "EAGAIN");
    const auto conflict = loop_.wait_for(client_.commit(5, soon()));
    ASSERT_TRUE(conflict);
    EXPECT_FALSE(*conflict);
    peer_.refuse(2, "ENOSPC");
    const auto full = loop_.wait_for(client_.commit(5, soon()));
    ASSERT_FALSE(full);
    EXPECT_EQ(full.error().message, "xenstored refuses to commit a transaction: ENOSPC");
    EXPECT_NE(full.error().advice.find("quota"), std::string::npos);
    EXPECT_TRUE(client_.usable());
    const auto heard = peer_.heard();
    ASSERT_EQ(heard.size(), 2U);
    EXPECT_EQ(heard[0].transaction, 5U);
    EXPECT_EQ(heard[0].payload, "T\0"s);
}

TEST_F(XenstoreClient, ALongListingIsTakenInPartsOfOneGeneration)
{
    const auto part = [](std::uint32_t id, const std::string& payload) {
        return xenstore_reply(Kind::directory_part, id, payload);
    };
    const auto names = peer_.serve(loop_, client_.directory("/a", 0, soon()),
                                   {xenstore_refusal(1, "E2BIG"), part(2, "8\0a\0b\0"s),
                                    part(3, "9\0c\0\0"s),  // changed: all anew
                                    part(4, "9\0b\0"s), part(5, "9\0c\0\0"s)});
    ASSERT_TRUE(names && *names);
    EXPECT_EQ(**names, (std::vector<std::string>{"b", "c"}));
    const auto heard = peer_.heard();
    ASSERT_EQ(heard.size(), 5U);
    EXPECT_EQ(heard[2].payload, "/a\0004\0"s);
    EXPECT_EQ(heard[3].payload, "/a\0000\0"s);
}

TEST_F(XenstoreClient, AListingThatNeverStandsStillEndsAtTheDeadline)
{
    std::vector<std::string> words = {xenstore_refusal(1, "E2BIG")};
    for (std::uint32_t id = 2; id < 100'000; ++id)
        words.push_back(xenstore_reply(Kind::directory_part, id, std::to_string(id) + "\0a\0"s));
    const auto names = peer_.serve(loop_, client_.directory("/a", 0, Clock::now() + 30ms), words);
    ASSERT_FALSE(names);
    EXPECT_EQ(names.error().code, Errc::timeout);
}

TEST_F(XenstoreClient, WhatCannotBeSentIsFoundBeforeAnythingIs)
{
    std::vector<Request> requests;
    requests.push_back(request::write("/a", "1"));
    requests.push_back(request::write("/a/..", "2"));
    const auto replies = loop_.wait_for(client_.ask(std::move(requests), soon()));
    ASSERT_FALSE(replies);
    EXPECT_EQ(replies.error().code, Errc::invalid);
    EXPECT_TRUE(peer_.heard().empty());
    EXPECT_TRUE(client_.usable());
}

TEST_F(XenstoreClient, ACancelledQuestionEndsTheConnection)
{
    {
        auto task = client_.read("/a", 0, soon());
        task.start();
        ASSERT_FALSE(task.done());
    }
    EXPECT_FALSE(client_.usable());
}

TEST_F(XenstoreClient, AForkedChildHasNoConnection)
{
    const pid_t child = fork();
    if (child == 0) _exit(client_.usable() ? 1 : 0);
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_TRUE(client_.usable());
}

TEST(XenstoreSocket, NoSocketAndNoPermissionAreNoAnswer)
{
    test::ScratchDirectory directory;
    Loop loop;
    const std::string absent = directory / "socket";
    const auto none = loop.wait_for(Client::connect(loop, absent, soon()));
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().code, Errc::io);
    EXPECT_NE(none.error().message.find(absent + " cannot be reached"), std::string::npos);
    EXPECT_NE(none.error().advice.find("XENSTORED_PATH"), std::string::npos);

    ASSERT_FALSE(
        loop.wait_for(Client::connect(loop, "/" + std::string(200, 'x') + "/socket", soon())));
}

TEST(XenstoreSocket, AQueueThatStaysFullEndsAtTheDeadline)
{
    test::ScratchDirectory directory;
    Loop loop;
    const std::string path = directory / "socket";
    ScriptedXenstored peer(path);
    std::vector<Client> waiting;
    for (;;) {
        auto client = loop.wait_for(Client::connect(loop, path, Clock::now() + 50ms));
        if (!client) {
            EXPECT_EQ(client.error().code, Errc::timeout);
            EXPECT_NE(client.error().message.find("stayed full"), std::string::npos);
            break;
        }
        ASSERT_LT(waiting.size(), 8U) << "the queue has no end";
        waiting.push_back(*std::move(client));
    }
}

}  // namespace
}  // namespace xlstore::xenstore
