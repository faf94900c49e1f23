// SPDX-License-Identifier: MIT
// What one transaction brings: where it begins, where it ends, what was lost before it.
#include "tools/fleet/batch.hpp"

#include <gtest/gtest.h>

#include "store/text/json_text.hpp"

namespace xlstore::fleet {
namespace {

Snapshot snapshot_of(std::initializer_list<std::int64_t> numbers, std::int64_t restore = 0)
{
    Snapshot snapshot;
    for (const auto number : numbers)
        snapshot.lines.push_back({number, number == restore,
                                  "{\"line\":" + std::to_string(number) + "}",
                                  "anchor" + std::to_string(number)});
    snapshot.state.commits = 40;
    snapshot.state.pruned_below = 1;
    snapshot.state.last_line = numbers.size() > 0 ? *(numbers.end() - 1) : 0;
    return snapshot;
}

Known known_at(std::int64_t line)
{
    Known known;
    known.host = "a";
    known.generation = 3;
    known.line = line;
    return known;
}

TEST(BatchTest, GoesOnWhereTheLastOneEnded)
{
    const auto batch = make_batch(known_at(4), {}, snapshot_of({5, 6}));
    EXPECT_EQ(batch.generation, 3);
    EXPECT_EQ(batch.after, 4);
    EXPECT_EQ(batch.line, 6);
    EXPECT_FALSE(batch.gap);
    EXPECT_FALSE(batch.told_of_restore);
}

TEST(BatchTest, NothingNewLeavesTheLine)
{
    EXPECT_EQ(make_batch(known_at(4), {}, snapshot_of({})).line, 4);
}

TEST(BatchTest, LinesThatWerePrunedBeforeAreAGap)
{
    auto snapshot = snapshot_of({9, 10});
    snapshot.state.pruned_below = 9;
    const auto batch = make_batch(known_at(4), {}, snapshot);
    ASSERT_TRUE(batch.gap);
    EXPECT_EQ(*batch.gap, std::pair(std::int64_t{5}, std::int64_t{8}));
    auto none_left = snapshot_of({});
    none_left.state.pruned_below = 9;
    const auto empty = make_batch(known_at(4), {}, none_left);
    ASSERT_TRUE(empty.gap);
    EXPECT_EQ(empty.line, 8) << "the next one begins behind it";
    EXPECT_FALSE(make_batch(known_at(0), {}, snapshot).gap) << "what was never the fleet's to get";
}

TEST(BatchTest, EndsBeforeALineThatBeginsAnotherGeneration)
{
    auto snapshot = snapshot_of({5, 6, 7}, 6);
    DomainState over;
    over.over = true;
    over.last_line = 5;
    DomainState later = over;
    later.last_line = 7;
    snapshot.changed = {over, later, DomainState()};
    snapshot.gone = {1};
    const auto batch = make_batch(known_at(4), {}, snapshot);
    EXPECT_EQ(batch.line, 5);
    EXPECT_TRUE(batch.snapshot.more);
    ASSERT_EQ(batch.snapshot.changed.size(), 1U) << "states of later do not overtake";
    EXPECT_EQ(batch.snapshot.changed[0].last_line, 5);
    EXPECT_TRUE(batch.snapshot.gone.empty());
    EXPECT_FALSE(batch.told_of_restore);
}

TEST(BatchTest, AnExpectedLineOfARestoreEndsNothing)
{
    auto known = known_at(4);
    known.expects_restore = true;
    const auto batch = make_batch(known, {}, snapshot_of({5, 6}, 5));
    EXPECT_EQ(batch.line, 6);
    EXPECT_TRUE(batch.told_of_restore);
}

TEST(BatchTest, AGenerationThatBeginsHasTheNextNumber)
{
    const auto batch =
        make_batch(known_at(9), Begin{2, "anchor2", "another store", true}, snapshot_of({3, 4}, 3));
    EXPECT_EQ(batch.generation, 4);
    EXPECT_EQ(batch.after, 2);
    EXPECT_EQ(batch.line, 4);
    EXPECT_TRUE(batch.told_of_restore);
    const auto json = batch_json(batch, "/s");
    EXPECT_TRUE(json_find(json, "begins"));
    EXPECT_EQ(json_get_integer(json, "generation"), 4);
}

TEST(BatchTest, IsOneObjectThatPostgresqlTakes)
{
    auto snapshot = snapshot_of({5});
    snapshot.lines[0].json = R"({"line":5,"evidence":"a\u0000b"})";
    DomainState domain;
    domain.row = R"({"incarnation":1})";
    domain.digest = "d";
    domain.things = R"([{"thing":1}])";
    domain.intents = "[]";
    snapshot.changed = {domain, domain};
    snapshot.gone = {7, 8};
    const auto json = batch_json(make_batch(known_at(4), {}, snapshot), "/s");
    EXPECT_TRUE(json_minify(json, "batch"));
    EXPECT_EQ(json.find("\\u0000"), std::string::npos);
    EXPECT_EQ(json_find(json, "things"), R"([{"thing":1},{"thing":1}])");
    EXPECT_EQ(json_find(json, "gone"), "[7,8]");
    EXPECT_EQ(json_get_integer(json, "commits"), 40);
    snapshot.more = true;
    EXPECT_FALSE(json_find(batch_json(make_batch(known_at(4), {}, snapshot), "/s"), "commits"))
        << "not all of that commit is there";
}

}  // namespace
}  // namespace xlstore::fleet
