// SPDX-License-Identifier: MIT
// What a directory remembers of its store, as text, and how ids go on above it.
#include "store/model/numbers.hpp"

#include <gtest/gtest.h>

#include "store/database/db.hpp"
#include "store/database/store_numbers.hpp"
#include "store/database/tables.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore {
namespace {

constexpr LineFile kFile{77, 1'000'000'000};

Numbers some_numbers()
{
    Numbers numbers;
    numbers.commits = 12;
    numbers.ids = {1, 2, 3, 4, 5};
    return numbers;
}

TEST(NumbersTest, LineComesBackAsItWasWritten)
{
    const auto read = read_numbers_line(numbers_line(numbers_words(some_numbers()), kFile));
    ASSERT_TRUE(read);
    EXPECT_EQ(read->numbers, some_numbers());
    EXPECT_EQ(read->file.inode, kFile.inode);
    EXPECT_EQ(read->file.born_ns, kFile.born_ns);
}

// A number that a flipped bit made would be believed for ever.
TEST(NumbersTest, LineWithOneOtherByteIsNoLine)
{
    const auto line = numbers_line(numbers_words(some_numbers()), kFile);
    for (std::size_t at = 0; at < line.size(); ++at) {
        auto other = line;
        other[at] = other[at] == '7' ? '8' : '7';
        EXPECT_FALSE(read_numbers_line(other)) << other;
        EXPECT_FALSE(read_numbers_line(line.substr(0, at))) << line.substr(0, at);
    }
    EXPECT_FALSE(read_numbers_line(""));
}

TEST(NumbersTest, NumberThatNoStoreGetsToIsNotBelieved)
{
    auto numbers = some_numbers();
    numbers.commits = std::int64_t{1} << 60;
    EXPECT_FALSE(read_numbers_line(numbers_line(numbers_words(numbers), kFile)));
    numbers = some_numbers();
    numbers.ids[2] = -1;
    EXPECT_FALSE(read_numbers_line(numbers_line(numbers_words(numbers), kFile)));
}

// In the lock files there is room for it beside the slots of locks.
TEST(NumbersTest, LongestLineHasRoomInASlot)
{
    Numbers numbers;
    numbers.commits = std::int64_t{1} << 53;
    numbers.ids.fill(std::int64_t{1} << 53);
    EXPECT_LT(numbers_line(numbers_words(numbers), LineFile{~std::uint64_t{0}, INT64_MAX}).size(),
              240U);
}

// What is above the highest that can be given was set by a hand: it hides none that was given.
TEST(NumbersTest, AreRaisedToWhatIsHigherAndWasGiven)
{
    Numbers numbers = some_numbers();
    Numbers other;
    other.commits = numbers.commits + 1;
    other.ids = {0, numbers.ids[1] + 1, Numbers::kHighestId + 1, Numbers::kHighestId, 0};
    numbers.raise_to(other);
    const Numbers was = some_numbers();
    EXPECT_EQ(numbers.commits, was.commits + 1);
    EXPECT_EQ(numbers.ids[0], was.ids[0]);
    EXPECT_EQ(numbers.ids[1], was.ids[1] + 1);
    EXPECT_EQ(numbers.ids[2], was.ids[2]);
    EXPECT_EQ(numbers.ids[3], Numbers::kHighestId);
}

class RaisedNumbersTest : public testing::Test {
protected:
    RaisedNumbersTest() : db_(":memory:", Db::Mode::create)
    {
        make_tables(db_);
        db_.execute(
            "INSERT INTO store (id, uuid, created_us, commits) VALUES (1, 'u', 0, 10);"
            "INSERT INTO domain (domid, uuid, name, state, layout, boot_id, created_us, changed_us, "
            "epoch, revision) VALUES (7, '8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01', 'web', 'running', "
            "'yajl', 'b', 0, 0, 5, 6)");
    }
    std::int64_t number(const char* query) { return db_.pragma_integer(query); }
    Db db_;
};

// R17: the commits that are missing may have advanced the epoch once each.
TEST_F(RaisedNumbersTest, GoOnAboveAllThatWasSeen)
{
    Memory seen;
    seen.numbers.commits = 14;
    seen.numbers.ids = {90, 0, 70, 60, 50};
    raise_numbers(db_, seen, Loss::counted);
    EXPECT_EQ(number("SELECT commits FROM store"), 14);
    EXPECT_EQ(number("SELECT epoch FROM domain"), 10);
    EXPECT_EQ(number("SELECT revision FROM domain"), 11);
    EXPECT_EQ(number("SELECT seq FROM sqlite_sequence WHERE name = 'session'"), 90);
    EXPECT_EQ(number("SELECT seq FROM sqlite_sequence WHERE name = 'domain'"), 1);
    EXPECT_EQ(number("SELECT seq FROM sqlite_sequence WHERE name = 'history'"), 50);
    EXPECT_EQ(count_commit(db_).commits, 15);
}

TEST_F(RaisedNumbersTest, CountOfCommitsNeverGoesBack)
{
    EXPECT_THROW(db_.execute("UPDATE store SET commits = 9"), DbError);
    EXPECT_EQ(number("SELECT commits FROM store"), 10);
}

// R17: a number that a hand wrote into sqlite_sequence was not given.
TEST_F(RaisedNumbersTest, ComeDownToWhatWasGivenWhereSqliteSequenceWasSetUp)
{
    db_.execute(
        "INSERT INTO sqlite_sequence (name, seq) VALUES ('session', 9223372036854775807);"
        "UPDATE sqlite_sequence SET seq = 9223372036854775806 WHERE name = 'domain'");
    EXPECT_EQ(read_numbers(db_).ids[1], 1);
    EXPECT_THROW(count_commit(db_), DbError);
    Memory seen;
    seen.numbers.commits = 10;
    seen.numbers.ids = {90, 0, 0, 0, 0};
    raise_numbers(db_, seen, Loss::counted);
    EXPECT_EQ(number("SELECT seq FROM sqlite_sequence WHERE name = 'session'"), 90);
    EXPECT_EQ(number("SELECT seq FROM sqlite_sequence WHERE name = 'domain'"), 1);
    EXPECT_EQ(count_commit(db_).commits, 11);
}

TEST_F(RaisedNumbersTest, StayWhereNothingIsMissing)
{
    Memory seen;
    seen.numbers.commits = 10;
    seen.numbers.ids = {0, 1, 0, 0, 0};
    raise_numbers(db_, seen, Loss::counted);
    EXPECT_EQ(number("SELECT epoch FROM domain"), 5);
    EXPECT_EQ(number("SELECT commits FROM store"), 10);
}

TEST_F(RaisedNumbersTest, GoFarAheadWhereWhatWasSeenIsNotKnown)
{
    Memory seen;
    seen.foreign = true;
    raise_numbers(db_, seen, Loss::counted);
    EXPECT_GT(number("SELECT epoch FROM domain"), 1000);
    EXPECT_GT(number("SELECT seq FROM sqlite_sequence WHERE name = 'domain'"), 1000);
    EXPECT_GT(number("SELECT commits FROM store"), 1000);
}

}  // namespace
}  // namespace xlstore
