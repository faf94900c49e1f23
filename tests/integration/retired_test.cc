// SPDX-License-Identifier: MIT
// Documents of domains that are over (R22): destroyed by order, ended with an older boot, or never
// come to life; read back, and used to make the domain anew.
#include "tests/support/domain_test.hpp"

namespace xlstore::test {
namespace {

class RetiredDomainTest : public DomainTest {
protected:
    /// What `export` prints now, with a thing of QEMU's that no document holds beside it.
    std::string document()
    {
        EXPECT_TRUE(ended(xl({"attach", "7", "qemu", tablet("tab")}), 0));
        const Ran ran = xl({"export", "7"});
        EXPECT_TRUE(ended(ran, 0));
        return ran.out;
    }
    std::string retired(const std::string& word) { return xl({"export", "--retired", word}).out; }
};

TEST_F(RetiredDomainTest, DestroyedDomainKeepsItsDocumentByteForByteAndIsMadeAnewFromIt)
{
    const auto before = document();
    const auto places = places_of(domain_.judge());
    const auto things = store_.directory() / "things";
    ASSERT_TRUE(ended(xl({"destroy", "7"}), 0));

    for (const char* word : {"7", "web", "id:1", "name:web"})
        EXPECT_EQ(retired(word), before) << word;
    const Ran listed = xl({"list", "--retired"});
    EXPECT_TRUE(ended(listed, 0));
    EXPECT_TRUE(contains(listed.out, "id:1"));
    EXPECT_TRUE(contains(listed.out, domain_.material().uuid));
    EXPECT_TRUE(contains(listed.out, "QEMU is dead; the document went last"));
    EXPECT_TRUE(contains(xl({"show", "web"}).out, "xlstore export --retired id:1"));
    // Where the domain is asked for as if it lived, the way to its document is told.
    const Ran living = xl({"export", "web"});
    EXPECT_TRUE(ended(living, 4));
    EXPECT_TRUE(contains(living.err, "xlstore export --retired id:1"));

    ASSERT_TRUE(ended(xl({"export", "--retired", "7", "--things", things}), 0));
    write_file(domain_.material().document, before);
    Words words = {"create", "7", domain_.material().document, "--things", things, "--"};
    const Words command = domain_.material().qemu();
    words.insert(words.end(), command.begin(), command.end());
    ASSERT_TRUE(ended(xl(words), 0));
    EXPECT_EQ(xl({"export", "7"}).out, before);
    EXPECT_EQ(places_of(domain_.judge()), places);
    EXPECT_TRUE(all_is_settled());
    EXPECT_EQ(retired("7"), before) << "a living domain of that domid hides the copy";
}

TEST_F(RetiredDomainTest, DomainsOfAnOlderBootKeepTheirDocumentsWhenTheyAreRetired)
{
    const auto before = document();
    const Material other(store_.directory(), 8, "elsewhere");
    ASSERT_TRUE(ended(xl({"import", "8", other.document}), 0));
    const auto elsewhere = xl({"export", "8"}).out;
    const Environment later = {{"XLSTORE_TEST_BOOT_ID", "00000000-0000-0000-0000-00000000bbbb"}};
    (void)xlfsck(store_.path(), {"-p"}, later);
    ASSERT_EQ(cell("SELECT count(*) FROM domain WHERE state <> 'destroyed'"), "0");

    EXPECT_EQ(retired("web"), before);
    EXPECT_EQ(retired("elsewhere"), elsewhere);
    EXPECT_TRUE(contains(xl({"list", "--retired"}).out, "the host was booted since"));
    EXPECT_TRUE(contains(xl({"history", "elsewhere"}).out, "the host was booted since"));
}

TEST_F(RetiredDomainTest, DocumentOfACreationThatWasGivenUpIsKept)
{
    const Material other(store_.directory(), 8, "half");
    ASSERT_TRUE(
        ended(xl(create_words(8, other, other.qemu()), crash_at("spawn.after_fork")), kKilled));
    ASSERT_TRUE(ended(fsck({"-p"}), 1));
    EXPECT_EQ(retired("half"), read_file(other.document));
    EXPECT_TRUE(contains(xl({"list", "--retired"}).out, "its creator died"));
}

// Killed anywhere in the last commit: the document is in one of the two places, and in one alone.
TEST_F(RetiredDomainTest, DocumentAndCopyChangePlacesInOneCommit)
{
    const auto before = document();
    for (const char* point : {"destroy.before_end:1", "commit.before:3", "commit.after:3"}) {
        SCOPED_TRACE(point);
        ASSERT_TRUE(ended(xl({"destroy", "7"}, {{"XLSTORE_CRASH_AT", point}}), kKilled));
        const bool over = cell("SELECT state FROM domain WHERE id = 1") == "destroyed";
        EXPECT_EQ(cell("SELECT count(*) FROM retired_document"), over ? "1" : "0");
        EXPECT_EQ(xl({"export", "7"}).out, over ? "" : before);
    }
    EXPECT_EQ(cell("SELECT state FROM domain WHERE id = 1"), "destroyed");
    EXPECT_EQ(retired("7"), before);
}

}  // namespace
}  // namespace xlstore::test
