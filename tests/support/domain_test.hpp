// SPDX-License-Identifier: MIT
// The fixture of tests on one running domain: a store, a real QEMU, and the real commands. What is
// in QEMU is told by QEMU itself, on a second monitor that only the test uses, and what is in the
// store by the raw tables.
#ifndef XLSTORE_TESTS_SUPPORT_DOMAIN_TEST_HPP_
#define XLSTORE_TESTS_SUPPORT_DOMAIN_TEST_HPP_

#include <string>

#include "tests/support/scratch.hpp"

namespace xlstore::test {

class DomainTest : public testing::Test {
protected:
    Ran xl(const Words& words, const Environment& environment = {}, const std::string& input = {})
    {
        return xlstore(store_.path(), words, environment, input);
    }
    Ran fsck(const Words& words) { return xlfsck(store_.path(), words); }
    std::string cell(const std::string& query) { return sql(store_.path(), query); }
    std::string code(const Ran& ran) { return json_at(ran.out, "$.error.code"); }
    std::string entry(const std::string& key)
    {
        return cell("SELECT state FROM thing WHERE key = '" + key + "'");
    }
    /// Runs it with --json; it must be refused with this status and code, name `said`, and leave
    /// tables and QEMU as they were.
    void refused(Words words, int status, const std::string& expected_code, const std::string& said,
                 const std::string& input = {})
    {
        const auto rows = dump(store_.path());
        const auto qemu = state_of(domain_.judge());
        words.insert(words.begin(), "--json");
        const Ran ran = xl(words, {}, input);
        EXPECT_TRUE(ended(ran, status));
        EXPECT_EQ(code(ran), expected_code) << ran.out;
        EXPECT_TRUE(contains(json_at(ran.out, "$.error.message"), said));
        EXPECT_EQ(dump(store_.path()), rows);
        EXPECT_EQ(state_of(domain_.judge()), qemu);
    }
    bool all_is_settled()
    {
        const Ran ran = fsck({"-n"});
        EXPECT_TRUE(ended(ran, 0));
        const auto agree = store_and_qemu_agree(store_.path(), domain_.judge());
        EXPECT_TRUE(agree);
        return ran.status == 0 && agree;
    }

    ScratchStore store_;
    ScratchDomain domain_{store_};
};

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_DOMAIN_TEST_HPP_
