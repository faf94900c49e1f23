// SPDX-License-Identifier: MIT
// A QEMU that hangs up after each byte of an exchange in turn: the operation leaves one of two
// states.
#include "recovery/runs/recover.hpp"
#include "store/core/domain.hpp"
#include "store/operation/operation.hpp"
#include "tests/integration/hostile_stage.hpp"

namespace xlstore::test::hostile {
namespace {

using std::chrono::seconds;

/// The replies of an operation's whole exchange, from the greeting on.
struct Exchange {
    std::string operation;
    World before;
    std::vector<std::string> lines;
    std::size_t plan_at;  ///< which of them answers the first command of the plan
    std::string between;  ///< state of the entry while the intent is open
    friend std::ostream& operator<<(std::ostream& out, const Exchange& one)
    {
        return out << one.operation;
    }
};

std::string returned(const std::string& json)
{
    return "{\"return\": " + json + ", \"id\": $id}\r\n";
}

class HangUpTest : public testing::TestWithParam<std::string> {
protected:
    static Exchange exchange(const Peer& peer, const std::string& operation)
    {
        const auto answer = [&](const std::string& command) {
            for (const auto& one : peer.answers(kBorn))
                if (one.command == command) return "{" + one.body + ", \"id\": $id}\r\n";
            return returned("{}");
        };
        if (operation == "attach")
            return {operation,
                    kBorn,
                    {greeting(), returned("{}"), returned("[]"), returned("{}")},
                    3,
                    "adding"};
        if (operation == "detach")
            return {operation,
                    World{true},
                    {greeting(), returned("{}"), returned(Peer::kTab), returned("{}"),
                     returned("[]"), returned("[]")},
                    3,
                    "removing"};
        return {operation,
                kBorn,
                {greeting(), returned("{}"), answer("query-block"), answer("query-fdsets"),
                 answer("query-named-block-nodes"), answer("add-fd"), returned("{}")},
                5,
                "changing"};
    }
    /// One connection that ends after so many bytes of line `last`.
    static Script cut(const Exchange& all, std::size_t last, std::size_t bytes)
    {
        Script one = {step::accept()};
        for (std::size_t i = 0; i <= last; ++i) {
            if (i > 0) one.push_back(step::line());
            one.push_back(step::send(i == last ? all.lines[i].substr(0, bytes) : all.lines[i]));
        }
        one.push_back(step::close());
        return one;
    }
    static Task<Outcome> operate(Store& store, const std::string& operation,
                                 const std::string& image)
    {
        auto domain = find_domain(store.db(), "7");
        const Deadline until = Clock::now() + seconds(60);
        if (operation == "attach") return attach(store, *domain, "qemu", tablet("tab"), until);
        if (operation == "detach") return detach(store, *domain, {"qemu", "tab"}, until);
        return insert_medium(store, *domain, "hdc", image, until);
    }
};

// In this process, for there are hundreds of them.
TEST_P(HangUpTest, AfterEveryByteLeavesOneOfTwoStates)
{
    struct Cut {
        std::size_t line;
        std::size_t bytes;
        bool planned;  // a command of the plan was, or may have been sent
    };
    std::vector<Cut> cuts;
    std::string between;
    const Stage stage([&](const Peer& peer) {
        const Exchange all = exchange(peer, GetParam());
        between = all.between;
        World before = all.before;
        before.plain = GetParam() != "detach";
        Script then = peer.sane(kBorn);
        for (std::size_t line = 0; line < all.lines.size(); ++line) {
            const std::string& text = all.lines[line];
            const std::size_t id = text.find("$id");
            for (std::size_t bytes = 0; bytes <= text.size(); ++bytes) {
                if (id != std::string::npos && bytes > id && bytes < id + 3) continue;
                // Whole is the line with its line feed; whole and the last is no cut.
                const std::size_t reached = bytes == text.size() ? line + 1 : line;
                if (reached == all.lines.size()) continue;
                const bool planned = reached >= all.plan_at;
                cuts.push_back({line, bytes, planned});
                then = script({then, cut(all, line, bytes)});
                if (planned) then = script({then, unwilling(), peer.sane(before)});
            }
        }
        return then;
    });
    ASSERT_GT(cuts.size(), 100u);
    if (GetParam() == "detach") {
        ASSERT_TRUE(ended(stage.operate("attach", {}), 0));
    } else {
        ASSERT_TRUE(ended(stage.xl({"attach", "7", "qemu", chardev("plain")}), 0));
    }
    const auto entry = stage.entry(GetParam());
    const auto store = stage.store().open();

    for (const auto& [line, bytes, planned] : cuts) {
        SCOPED_TRACE("line " + std::to_string(line) + ", byte " + std::to_string(bytes));
        const auto done = store->loop().wait_for(operate(*store, GetParam(), stage.image()));
        ASSERT_FALSE(done);
        ASSERT_EQ(done.error().code, planned ? Errc::in_doubt : Errc::protocol)
            << done.error().message;
        ASSERT_EQ(stage.entry(GetParam()), planned ? between : entry);
        // The first look may meet the connection on which no client looked again.
        int looks = 0;
        while (stage.cell("SELECT count(*) FROM intent") != "0") {
            ASSERT_LT(++looks, 3);
            ASSERT_TRUE(store->loop().wait_for(recovery::recover(*store, {})));
        }
        ASSERT_EQ(looks > 0, planned);
        ASSERT_EQ(stage.entry(GetParam()), entry);
    }
}
INSTANTIATE_TEST_SUITE_P(Exchanges, HangUpTest, testing::Values("attach", "detach", "insert"),
                         [](const auto& one) { return one.param; });

}  // namespace
}  // namespace xlstore::test::hostile
