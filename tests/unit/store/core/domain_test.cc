// SPDX-License-Identifier: MIT
// How a word finds a domain, on rows alone.
#include "store/core/domain.hpp"

#include <gtest/gtest.h>

#include "store/database/tables.hpp"

namespace xlstore {
namespace {

class FindDomainTest : public testing::Test {
protected:
    FindDomainTest()
    {
        make_tables(db_);
        add(1, 7, "web", "running");
        add(2, 8, "db", "running");
        add(3, 9, "twin", "running");
        add(4, 10, "twin", "creating");
        add(5, 5, "gone", "destroyed");
        add(6, 11, "7", "running");  // a name that looks like a domid
        db_.execute("UPDATE domain SET vm_uuid = '" + uuid(99) + "' WHERE id = 2");
    }
    static std::string uuid(int n)
    {
        const std::string digits = std::to_string(n);
        return "abcdef10-4b6e-4a51-9d3c-" + std::string(12 - digits.size(), '0') + digits;
    }
    void add(int id, int domid, const std::string& name, const std::string& state)
    {
        db_.prepare(
               "INSERT INTO domain (id, domid, uuid, name, state, layout, boot_id, created_us, "
               "changed_us) VALUES (?, ?, ?, ?, ?, 'yajl', 'boot', 1, 1)")
            .bind(id)
            .bind(domid)
            .bind(uuid(id))
            .bind(name)
            .bind(state)
            .run();
    }
    /// The row's number, or minus the error's code.
    std::int64_t find(const std::string& word)
    {
        const auto row = find_domain(db_, word);
        return row ? value_of(row->id) : -static_cast<std::int64_t>(row.error().code);
    }
    static constexpr auto kNotFound = -static_cast<std::int64_t>(Errc::not_found);
    static constexpr auto kSeveral = -static_cast<std::int64_t>(Errc::invalid);

    Db db_{":memory:", Db::Mode::create};
};

TEST_F(FindDomainTest, EachPrefixFindsByThatAlone)
{
    EXPECT_EQ(find("domid:7"), 1);
    EXPECT_EQ(find("name:web"), 1);
    EXPECT_EQ(find("uuid:" + uuid(1)), 1);
    EXPECT_EQ(find("id:1"), 1);
    EXPECT_EQ(find("name:7"), 6);
    EXPECT_EQ(find("domid:web"), kNotFound);
    EXPECT_EQ(find("name:" + uuid(1)), kNotFound);
    EXPECT_EQ(find("uuid:7"), kNotFound);
    EXPECT_EQ(find("id:7x"), kNotFound);
    EXPECT_EQ(find("domid:7x"), kNotFound);
    EXPECT_EQ(find("domid:99999999999999999999"), kNotFound);
}

TEST_F(FindDomainTest, BareWordIsADomidThenAUuidThenAName)
{
    EXPECT_EQ(find("7"), 1) << "the domid comes before the name \"7\"";
    EXPECT_EQ(find("11"), 6);
    EXPECT_EQ(find(uuid(1)), 1);
    EXPECT_EQ(find("web"), 1);
    EXPECT_EQ(find(""), kNotFound);
    EXPECT_EQ(find("no such"), kNotFound);
}

TEST_F(FindDomainTest, UuidIsReadInEitherCase)
{
    std::string upper = uuid(1);
    for (char& c : upper)
        c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    EXPECT_EQ(find(upper), 1);
    EXPECT_EQ(find("uuid:" + upper), 1);
}

TEST_F(FindDomainTest, PreservedDomainGoesByItsNewUuidAlone)
{
    EXPECT_EQ(find(uuid(99)), 2);
    EXPECT_EQ(find(uuid(2)), kNotFound);
}

TEST_F(FindDomainTest, NameOfSeveralIsRefused)
{
    EXPECT_EQ(find("twin"), kSeveral);
    EXPECT_EQ(find("name:twin"), kSeveral);
    const auto row = find_domain(db_, "twin");
    ASSERT_FALSE(row);
    EXPECT_NE(row.error().message.find("twin"), std::string::npos) << row.error().message;
}

TEST_F(FindDomainTest, DestroyedOneIsNotFound)
{
    for (const std::string& word : {std::string("5"), std::string("domid:5"), std::string("gone"),
                                    std::string("id:5"), uuid(5)})
        EXPECT_EQ(find(word), kNotFound) << word;
    EXPECT_TRUE(read_domain(db_, DomainId(5))) << "as an incarnation it is there";
}

TEST_F(FindDomainTest, LivingOnesAreListedByDomid)
{
    std::vector<std::int64_t> domids;
    for (const auto& row : living_domains(db_))
        domids.push_back(row.domid);
    EXPECT_EQ(domids, (std::vector<std::int64_t>{7, 8, 9, 10, 11}));
}

}  // namespace
}  // namespace xlstore
