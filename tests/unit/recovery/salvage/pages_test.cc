// SPDX-License-Identifier: MIT
// Pages and cells are read as SQLite wrote them, with pages of any size; of other bytes
// nothing is read that is not there, and nothing takes for ever.
#include "recovery/salvage/pages.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "tests/support/plain_database.hpp"

namespace xlstore::recovery {
namespace {

using test::noise;
using test::PlainDatabase;

// Every row of t that is found page by page, by id.
std::map<std::int64_t, std::string> rows_of(const Pages& pages)
{
    std::map<std::int64_t, std::string> rows;
    for (std::uint32_t number = 2; number <= pages.count(); ++number) {
        if (pages.type(number) != PageType::table_leaf) continue;
        for (const auto place : pages.places(number))
            if (const auto cell = pages.cell(number, place, PageType::table_leaf);
                cell && cell->values.size() == 3)
                rows[cell->rowid] = std::get<std::string>(cell->values[2]);
    }
    return rows;
}

// Everything that can be asked of it.
std::size_t read_all(const Pages& pages)
{
    std::size_t found = pages.count() != 0 ? pages.free_list().pages.size() : 0;
    for (std::uint32_t number = 1; number <= pages.count(); ++number) {
        found += pages.children(number).size();
        for (const auto type : {PageType::none, PageType::index_interior, PageType::table_interior,
                                PageType::index_leaf, PageType::table_leaf})
            for (std::size_t at = 0; at < pages.page_size(); at += 3)
                if (const auto cell = pages.cell(number, at, type)) found += cell->size;
        for (const auto place : pages.places(number))
            if (const auto cell = pages.cell(number, place, pages.type(number)))
                found += cell->values.size();
    }
    return found;
}

class PagesTest : public testing::TestWithParam<std::size_t> {};

TEST_P(PagesTest, FindsEveryRow)
{
    PlainDatabase database(GetParam());
    database.fill(400, 100);
    const Pages pages(database.bytes(), GetParam());
    const auto rows = rows_of(pages);
    EXPECT_EQ(rows.size(), 400U);
    EXPECT_EQ(rows.at(7).size(), 100U);
    EXPECT_TRUE(rows.at(399).ends_with("399"));
}

// A row that is longer than its page goes on in others.
TEST_P(PagesTest, FollowsARowOverPages)
{
    PlainDatabase database(GetParam());
    database.fill(3, 150'000);
    const Pages pages(database.bytes(), GetParam());
    const auto rows = rows_of(pages);
    ASSERT_EQ(rows.size(), 3U);
    EXPECT_EQ(rows.at(2).size(), 150'000U);
    EXPECT_TRUE(rows.at(2).ends_with("02"));
}

TEST_P(PagesTest, KnowsTheTreeAndTheFreePages)
{
    PlainDatabase database(GetParam());
    database.fill(3000, 100);
    const Pages whole(database.bytes(), GetParam());
    EXPECT_TRUE(whole.free_list().pages.empty());
    EXPECT_TRUE(whole.free_list().sound);
    EXPECT_GT(whole.children(database.root("t")).size(), 2U);
    database.run("DELETE FROM t WHERE id > 20");
    const Pages fewer(database.bytes(), GetParam());
    const auto free = fewer.free_list();
    EXPECT_GT(free.pages.size(), 2U);
    EXPECT_TRUE(free.sound);
    EXPECT_FALSE(std::set(free.pages.begin(), free.pages.end()).contains(database.root("t")));
}

INSTANTIATE_TEST_SUITE_P(Sizes, PagesTest, testing::Values(512, 1024, 4096, 65'536));

TEST(HostilePagesTest, AnyLengthIsRead)
{
    PlainDatabase database(512);
    database.fill(20, 100);
    const auto whole = database.bytes();
    for (std::size_t length = 0; length < whole.size(); length += 101)
        (void)read_all(Pages(whole.substr(0, length), 512));
    EXPECT_EQ(Pages("", 4096).count(), 0U);
    EXPECT_EQ(Pages(std::string(511, 'x'), 512).count(), 0U);
}

TEST(HostilePagesTest, NoiseIsNoCell)
{
    for (unsigned seed = 0; seed < 40; ++seed) {
        auto bytes = noise(4 * 512, seed);
        for (std::size_t at = 512; at < bytes.size(); at += 512) {  // so that it begins as a page
            bytes[at] = "\x0d\x0a\x05\x02"[seed % 4];
            bytes[at + 3] = 0;
            bytes[at + 5] = 1;
        }
        (void)read_all(Pages(bytes, 512));
    }
}

// Every byte of a page of cells, turned one after the other.
TEST(HostilePagesTest, ATurnedByteIsReadWithinThePage)
{
    PlainDatabase database(512);
    database.fill(4, 100);
    const auto whole = database.bytes();
    for (std::size_t at = 512; at < 1024; ++at)
        for (const char turned : {'\0', '\x7f', '\xff'}) {
            auto bytes = whole;
            bytes[at] = turned;
            const Pages pages(std::move(bytes), 512);
            for (const auto& [id, text] : rows_of(pages))
                EXPECT_LE(text.size(), whole.size());
        }
}

// A row goes on in page 3, and that goes on in itself; a list of free pages leads back to its start.
TEST(HostilePagesTest, CyclesEnd)
{
    PlainDatabase database(512);
    database.fill(1, 5000);
    auto bytes = database.bytes();
    for (std::size_t page = 2; page < bytes.size() / 512; ++page)
        bytes.replace(page * 512, 4, std::string("\0\0\0\x03", 4));
    EXPECT_TRUE(rows_of(Pages(bytes, 512)).empty());

    PlainDatabase freed(512);
    freed.fill(3000, 100);
    freed.run("DELETE FROM t");
    bytes = freed.bytes();
    const auto trunk = big_endian(reinterpret_cast<const unsigned char*>(bytes.data()) + 32);
    ASSERT_NE(trunk, 0U);
    bytes.replace((trunk - 1) * std::size_t{512}, 4, bytes.substr(32, 4));
    const auto free = Pages(bytes, 512).free_list();
    EXPECT_FALSE(free.sound);
    EXPECT_LE(free.pages.size(), bytes.size() / 512);
}

}  // namespace
}  // namespace xlstore::recovery
