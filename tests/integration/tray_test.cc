// SPDX-License-Identifier: MIT
// A guest that keeps the tray of its CD drive shut. The guest is played over QEMU's qtest socket:
// it sends the drive the ATAPI packets that a real one would.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <thread>

#include "tests/support/domain_test.hpp"

namespace xlstore::test {
namespace {

/// What a guest does to its secondary IDE channel.
class DriveOfGuest {
public:
    explicit DriveOfGuest(const std::string& socket_path)
        : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, socket_path.c_str(), socket_path.size());
        if (connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
            0)
            throw std::runtime_error("no qtest socket");
        for (int i = 0; i < 3; ++i)  // what a drive reports of its past is heard first
            request_sense();
    }
    void prevent_removal(bool prevent)
    {
        packet({0x1e, 0, 0, 0, static_cast<unsigned char>(prevent ? 1 : 0)});
    }
    void open_tray() { packet({0x1b, 0, 0, 0, 2}); }

private:
    using Packet = std::array<unsigned char, 12>;
    static constexpr int kData = 0x170;
    static constexpr int kStatus = 0x177;
    static constexpr int kBusyOrData = 0x88;

    void request_sense() { packet({3, 0, 0, 0, 18}); }

    std::string ask(const std::string& line)
    {
        const std::string sent = line + "\n";
        if (write(socket_.get(), sent.data(), sent.size()) != static_cast<ssize_t>(sent.size()))
            throw std::runtime_error("qtest is gone");
        for (;;) {
            std::string reply;
            for (char c = 0; read(socket_.get(), &c, 1) == 1 && c != '\n';)
                reply += c;
            if (reply.empty()) throw std::runtime_error("qtest is gone");
            if (reply.starts_with("OK") || reply.starts_with("FAIL")) return reply;
        }
    }
    void out(char width, int port, int value)
    {
        char line[64];
        std::snprintf(line, sizeof line, "out%c 0x%x 0x%x", width, port, value);
        ask(line);
    }
    int in(char width, int port)
    {
        char line[64];
        std::snprintf(line, sizeof line, "in%c 0x%x", width, port);
        const auto reply = ask(line);
        return static_cast<int>(std::stol(reply.substr(reply.find(' ') + 1), nullptr, 16));
    }
    // The drive may take a moment; with what it gives back, which is read and thrown away.
    void settle()
    {
        wait_until(std::chrono::seconds(10), [&] {
            const int status = in('b', kStatus);
            if ((status & kBusyOrData) == 8) (void)in('w', kData);
            return (status & kBusyOrData) == 0;
        });
    }
    void packet(Packet bytes)
    {
        out('b', 0x376, 2);  // no interrupts
        out('b', 0x176, 0xa0);
        out('b', 0x171, 0);
        out('b', 0x174, 0xfe);
        out('b', 0x175, 0xff);
        out('b', kStatus, 0xa0);  // PACKET
        wait_until(std::chrono::seconds(10), [&] { return (in('b', kStatus) & kBusyOrData) == 8; });
        for (std::size_t i = 0; i < bytes.size(); i += 2)
            out('w', kData, bytes[i] | bytes[i + 1] << 8);
        settle();
    }

    Fd socket_;
};

class TrayTest : public testing::Test {
protected:
    TrayTest()
    {
        guest_.prevent_removal(true);
        EXPECT_TRUE(contains(qmp(domain_.judge(), "query-block"), "\"locked\": true"));
    }
    Ran xl(Words words)
    {
        words.insert(words.begin(), "--json");
        return xlstore(store_.path(), words);
    }
    static std::string code(const Ran& ran) { return json_at(ran.out, "$.error.code"); }
    Words eject(const Words& flags = {}) { return with({"eject", "7", "hdc"}, flags); }
    Words insert(const Words& flags = {})
    {
        return with({"insert", "7", "hdc", domain_.image('b')}, flags);
    }
    static Words with(Words words, const Words& flags)
    {
        words.insert(words.end(), flags.begin(), flags.end());
        return words;
    }
    std::string cell(const std::string& query) { return sql(store_.path(), query); }
    void let_go()
    {
        guest_.prevent_removal(false);
        guest_.open_tray();
    }
    /// In doubt, waiting for the guest; the number of the intent.
    std::string waits(const Words& words)
    {
        const Ran ran = xl(words);
        EXPECT_TRUE(ended(ran, 3)) << ran.out;
        EXPECT_EQ(code(ran), "in_doubt");
        EXPECT_TRUE(contains(json_at(ran.out, "$.error.message"), "waiting for the guest"));
        EXPECT_EQ(cell("SELECT count(*) FROM intent WHERE asked_us IS NOT NULL"), "1");
        return json_at(ran.out, "$.error.intent");
    }
    void settled(int fsck_status = 0)
    {
        EXPECT_TRUE(ended(xlfsck(store_.path(), {"-n"}), fsck_status));
        EXPECT_EQ(cell("SELECT count(*) FROM intent"), "0");
        EXPECT_EQ(cell("SELECT json ->> '$.pdev_path' FROM thing WHERE key = 'hdc'"),
                  domain_.medium());
    }

    ScratchStore store_;
    const std::string socket_ = store_.directory() / "qtest";
    ScratchDomain domain_{
        store_,
        7,
        "cd",
        {"-qtest", "unix:" + socket_ + ",server=on,wait=off", "-qtest-log", "none"}};
    DriveOfGuest guest_{socket_};
};

// Not done, and what it set going is said: the guest was asked, and may open the tray.
TEST_F(TrayTest, RefusalSaysThatTheGuestWasAsked)
{
    for (const auto& words : {eject(), insert()}) {
        const Ran ran = xl(words);
        EXPECT_TRUE(ended(ran, 1));
        EXPECT_EQ(code(ran), "refused");
        EXPECT_TRUE(contains(json_at(ran.out, "$.error.message"), "has been asked to open"));
        EXPECT_TRUE(contains(json_at(ran.out, "$.error.advice"), "--force"));
        EXPECT_EQ(ran.out.find("as it was"), std::string::npos) << ran.out;
        EXPECT_EQ(domain_.medium(), domain_.image('a'));
        EXPECT_EQ(cell("SELECT count(*) FROM intent"), "0");
        settled();
    }
    let_go();  // later, as it may: the medium is in the drive all the same
    settled();
    EXPECT_TRUE(ended(xl(eject()), 0));
    settled();
}

TEST_F(TrayTest, ForceOpensItWithoutTheGuest)
{
    EXPECT_TRUE(ended(xl(eject({"--force"})), 0));
    EXPECT_EQ(domain_.medium(), "");
    settled();
}

TEST_F(TrayTest, ForcePutsAnotherMediumIn)
{
    EXPECT_TRUE(ended(xl(insert({"--force"})), 0));
    EXPECT_EQ(domain_.medium(), domain_.image('b'));
    settled();
}

TEST_F(TrayTest, BatchMayForceIt)
{
    EXPECT_TRUE(ended(xl({"batch", "7", R"([{"eject":"hdc","force":true}])"}), 0));
    EXPECT_EQ(domain_.medium(), "");
    EXPECT_TRUE(ended(xl({"batch", "7", R"([{"eject":"hdc","force":1}])"}), 1));
    EXPECT_TRUE(ended(xl({"batch", "7", R"([{"detach":"qemu","key":"k","force":true}])"}), 1));
}

TEST_F(TrayTest, WaitGoesOnOnceTheGuestHasOpenedIt)
{
    const auto number = waits(eject({"--wait"}));
    EXPECT_TRUE(ended(xlfsck(store_.path(), {"-n"}), 2));
    EXPECT_TRUE(ended(xlfsck(store_.path(), {"-p"}), 2));
    EXPECT_TRUE(ended(xl({"--timeout", "0", "wait", number}), 3));
    EXPECT_EQ(waits(eject({"--wait"})), number);  // asked again, by the same intent
    EXPECT_EQ(domain_.medium(), domain_.image('a'));

    let_go();

    EXPECT_TRUE(ended(xl({"--timeout", "30", "wait", number}), 0));
    EXPECT_EQ(domain_.medium(), "");
    settled();
}

// A guest that only stops keeping it shut has to be asked no more.
TEST_F(TrayTest, WaitPutsTheMediumIn)
{
    const auto number = waits(insert({"--wait"}));
    guest_.prevent_removal(false);
    EXPECT_TRUE(ended(xl({"--timeout", "30", "wait", number}), 0));
    EXPECT_EQ(domain_.medium(), domain_.image('b'));
    settled();
}

TEST_F(TrayTest, OperationItselfGoesOnWhenTheGuestOpensItMeanwhile)
{
    Child ejecting({binary("xlstore"), "--store", store_.path(), "eject", "7", "hdc", "--wait"});
    ASSERT_TRUE(wait_until(std::chrono::seconds(20), [&] {
        return cell("SELECT count(*) FROM intent WHERE asked_us IS NOT NULL") == "1";
    }));
    let_go();
    EXPECT_EQ(ejecting.wait(), 0);
    EXPECT_EQ(domain_.medium(), "");
    settled();
}

TEST_F(TrayTest, ForceGoesOnWithTheOneThatWaits)
{
    const auto number = waits(eject({"--wait"}));
    const Ran forced = xl(eject({"--force"}));
    EXPECT_TRUE(ended(forced, 0));
    EXPECT_EQ(json_at(forced.out, "$.intent"), number);
    EXPECT_EQ(domain_.medium(), "");
    settled();
}

// The medium is proved to be where it was: another request takes the place of the one that waits.
TEST_F(TrayTest, AnotherRequestTakesItsPlace)
{
    const auto number = waits(eject({"--wait"}));
    EXPECT_TRUE(ended(xl(insert({"--force"})), 0));
    EXPECT_EQ(domain_.medium(), domain_.image('b'));
    const Ran waited = xl({"wait", number});
    EXPECT_TRUE(ended(waited, 1));
    EXPECT_TRUE(contains(json_at(waited.out, "$.error.message"), "not done"));
    settled();
}

}  // namespace
}  // namespace xlstore::test
