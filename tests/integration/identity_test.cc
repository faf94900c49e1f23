// SPDX-License-Identifier: MIT
// What a domain is called: renamed and preserved with a real QEMU, killed on the way, by many at
// once.
#include "store/core/domain.hpp"
#include "store/operation/identity.hpp"

#include <algorithm>
#include <memory>

#include "tests/support/domain_test.hpp"

namespace xlstore::test {
namespace {

/// `text` with the one place of `from` replaced.
std::string replaced(std::string text, const std::string& from, const std::string& to)
{
    const auto at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
}

class RenameTest : public DomainTest {
protected:
    /// R2: row and document never differ. The name that both have.
    std::string name_in_both()
    {
        const auto row = cell("SELECT name FROM domain WHERE domid = 7 AND state <> 'destroyed'");
        EXPECT_EQ(json_at(xl({"export", "domid:7"}).out, "$.c_info.name"), row);
        return row;
    }
};

TEST_F(RenameTest, ChangesRowAndDocumentAndNothingInQemu)
{
    const auto document = xl({"export", "7"}).out;
    const auto qemu = state_of(domain_.judge());

    const Ran renamed = xl({"--json", "rename", "web", "web two"});

    ASSERT_TRUE(ended(renamed, 0));
    EXPECT_EQ(json_at(renamed.out, "$.name"), "web two");
    EXPECT_EQ(name_in_both(), "web two");
    EXPECT_EQ(xl({"export", "7"}).out,
              replaced(document, R"("name": "web")", R"("name": "web two")"));
    EXPECT_EQ(state_of(domain_.judge()), qemu);
    // No command acts by the name of old; those that tell of the past know it.
    EXPECT_TRUE(ended(xl({"eject", "web", "hdc"}), 4));
    EXPECT_TRUE(contains(xl({"show", "web"}).out, "web two"));
    EXPECT_TRUE(contains(xl({"history", "web two"}).out, R"("web" is now called "web two")"));
    EXPECT_TRUE(ended(xl({"insert", "web two", "hdc", domain_.image('b')}), 0));
    EXPECT_TRUE(ended(xl({"rename", "7", "web"}), 0));
    EXPECT_TRUE(ended(xl({"rename", "web", "web"}), 0));  // as after a crash: done already
    EXPECT_TRUE(all_is_settled());
}

// Text is kept as text: no other byte of a document changes, in either layout.
TEST_F(RenameTest, ChangesNoOtherByteOfADocument)
{
    const std::string samples = XLSTORE_SOURCE_DIR "/tests/unit/samples/";
    int domid = 20;
    for (const char* sample : {"all-device-kinds.json", "all-device-kinds.json_c.json",
                               "hvm-rich.json_c.json", "pvh-60-disks.json", "real-pv.raw"}) {
        SCOPED_TRACE(sample);
        const auto word = "domid:" + std::to_string(domid);
        ASSERT_TRUE(ended(xl({"import", std::to_string(domid++), samples + sample, "--force"}), 0));
        const auto before = xl({"export", word}).out;
        const auto name = json_at(before, "$.c_info.name");

        ASSERT_TRUE(ended(xl({"rename", word, word + "\"x"}), 0));

        const std::string colon = before.starts_with("{\n    ") ? "\"name\": \"" : "\"name\":\"";
        EXPECT_EQ(xl({"export", word}).out,
                  replaced(before, colon + name + "\"", colon + word + "\\\"x\""));
    }
}

TEST_F(RenameTest, KeepsTheSpellingOfWhatStandsBesideTheName)
{
    const Material other(store_.directory(), 8, "odd");
    write_file(other.document, R"({"c_info": {"x": 1.50, "na\u006de": "odd", "y": 1e2, "uuid": ")" +
                                   other.uuid + R"("}, "b_info": {"name": "odd"}})");
    ASSERT_TRUE(ended(xl({"import", "8", other.document}), 0));

    ASSERT_TRUE(ended(xl({"rename", "8", "even"}), 0));

    EXPECT_EQ(cell("SELECT json FROM libxl_json WHERE domid = 8"),
              R"({"c_info":{"x":1.50,"na\u006de":"even","y":1e2,"uuid":")" + other.uuid +
                  R"("},"b_info":{"name":"odd"}})");
}

TEST_F(RenameTest, RefusesWhatCannotBe)
{
    const Material other(store_.directory(), 8, "other");
    ASSERT_TRUE(ended(xl({"import", "8", other.document}), 0));
    const auto revision = cell("SELECT revision FROM domain WHERE domid = 7");

    refused({"rename", "7", "other"}, 1, "exists", "domain 8 is called \"other\" already");
    refused({"rename", "7", ""}, 1, "invalid", "empty");
    refused({"rename", "7", "a\xff"}, 1, "invalid", "UTF-8");
    refused({"rename", "9", "nine"}, 4, "not_found", "9");
    refused({"rename", "7", "new", "--revision", "12345"}, 1, "conflict", "12345");
    EXPECT_TRUE(ended(xl({"rename", "7", "new", "--revision", "0"}), 2));
    EXPECT_TRUE(ended(xl({"rename", "7", "new", "--revision", revision}), 0));

    // A destroyed domain has no name that is in the way.
    ASSERT_TRUE(ended(xl({"destroy", "8"}), 0));
    EXPECT_TRUE(ended(xl({"rename", "7", "other"}), 0));
}

// Until another domain has it.
TEST_F(RenameTest, HistoryIsFoundByTheNameOfOldToo)
{
    ASSERT_TRUE(ended(xl({"rename", "7", "new"}), 0));
    const auto by_old = xl({"history", "web"});
    EXPECT_TRUE(ended(by_old, 0));
    EXPECT_EQ(by_old.out, xl({"history", "new"}).out);
    refused({"destroy", "web"}, 4, "not_found", "web");

    const Material other(store_.directory(), 8, "web");
    ASSERT_TRUE(ended(xl({"import", "8", other.document}), 0));
    EXPECT_EQ(xl({"history", "web"}).out, xl({"history", "8"}).out);
}

// R8: from the mark on, nothing is edited; and its name is taken until it is over.
TEST_F(RenameTest, OfADomainThatIsBeingDestroyedIsRefused)
{
    ASSERT_TRUE(ended(xl({"destroy", "7"}, crash_at("destroy.before_kill")), kKilled));
    const Material other(store_.directory(), 8, "other");
    ASSERT_TRUE(ended(xl({"import", "8", other.document}), 0));

    refused({"rename", "7", "new"}, 1, "gone", "R8");
    refused({"rename", "8", "web"}, 1, "exists", "domain 7");

    EXPECT_TRUE(ended(xl({"destroy", "7"}), 0));
    EXPECT_TRUE(ended(xl({"rename", "8", "web"}), 0));
}

// A client renames the domain that it saw.
TEST_F(RenameTest, OfADomainThatWasRenamedMeanwhileIsRefused)
{
    const auto store = store_.open();
    const auto seen = find_domain(store->db(), "web");
    ASSERT_TRUE(seen);
    ASSERT_TRUE(ended(xl({"rename", "web", "first"}), 0));
    const auto soon = Clock::now() + std::chrono::seconds(20);

    const auto late =
        store->loop().wait_for(rename_domain(*store, *seen, "web", "second", 0, soon));

    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().code, Errc::conflict);
    EXPECT_TRUE(contains(late.error().message, "\"first\""));
    EXPECT_EQ(name_in_both(), "first");
    EXPECT_TRUE(store->loop().wait_for(rename_domain(*store, *seen, "web", "first", 0, soon)));
    // By its domid, with any name.
    EXPECT_TRUE(
        store->loop().wait_for(rename_domain(*store, *seen, std::nullopt, "third", 0, soon)));
    EXPECT_EQ(name_in_both(), "third");
    EXPECT_TRUE(contains(cell("SELECT evidence FROM history ORDER BY id DESC LIMIT 1"),
                         "\"first\" is now"));
}

// An open intent hinders no rename, and is settled under the new name.
TEST_F(RenameTest, LeavesAnOpenIntentAlone)
{
    ASSERT_TRUE(
        ended(xl({"attach", "7", "qemu", tablet("tab")}, crash_at("commit.after", 2)), kKilled));
    ASSERT_EQ(cell("SELECT count(*) FROM intent"), "1");
    const auto intent = cell("SELECT * FROM intent");

    ASSERT_TRUE(ended(xl({"rename", "7", "new"}), 0));

    EXPECT_EQ(cell("SELECT * FROM intent"), intent);
    EXPECT_TRUE(invariant_holds(store_.path(), domain_.judge()));
    EXPECT_TRUE(ended(fsck({"-p"}), 1));
    EXPECT_TRUE(all_is_settled());
}

class RenameCrashTest : public RenameTest, public testing::WithParamInterface<const char*> {};

// One commit: killed anywhere, row and document have one name, and to do it again succeeds.
TEST_P(RenameCrashTest, LeavesOneNameAfterEachPassing)
{
    int passing = 1;
    int old_ones = 0;
    int new_ones = 0;
    for (;; ++passing) {
        SCOPED_TRACE(passing);
        const auto before = name_in_both();
        const auto name = "web" + std::to_string(passing);
        const Ran ran = xl({"rename", "7", name}, crash_at(GetParam(), passing));
        if (ran.status == 0) break;
        ASSERT_TRUE(ended(ran, kKilled));
        const auto left = name_in_both();
        EXPECT_TRUE(left == before || left == name) << left;
        ++(left == name ? new_ones : old_ones);
        EXPECT_TRUE(fsck({"-p"}).status <= 1);
        EXPECT_TRUE(ended(xl({"rename", "7", name}), 0));
        EXPECT_EQ(name_in_both(), name);
        EXPECT_TRUE(all_is_settled());
    }
    EXPECT_GT(old_ones, 0);
    EXPECT_GT(new_ones, 0);
    EXPECT_EQ(name_in_both(), "web" + std::to_string(passing));
}
INSTANTIATE_TEST_SUITE_P(Points, RenameCrashTest, testing::Values("commit.before", "commit.after"),
                         [](const auto& one) {
                             std::string name = one.param;
                             return name.replace(name.find('.'), 1, "_");
                         });

// Each under its own domain's lock, and still only one of them gets the name.
TEST_F(RenameTest, OneOfManyGetsTheName)
{
    constexpr int kMany = 6;
    std::vector<std::unique_ptr<Child>> renamers;
    for (int domid = 20; domid < 20 + kMany; ++domid) {
        const Material one(store_.directory(), domid, "one" + std::to_string(domid));
        ASSERT_TRUE(ended(xl({"import", std::to_string(domid), one.document}), 0));
    }
    for (int domid = 20; domid < 20 + kMany; ++domid)
        renamers.push_back(
            std::make_unique<Child>(Words{binary("xlstore"), "--store", store_.path(), "rename",
                                          "domid:" + std::to_string(domid), "chosen"}));

    int done = 0;
    for (auto& renamer : renamers)
        done += renamer->wait() == 0 ? 1 : 0;

    EXPECT_EQ(done, 1);
    EXPECT_EQ(cell("SELECT count(*) FROM domain WHERE name = 'chosen'"), "1");
}

class PreserveTest : public RenameTest {
protected:
    /// What libxl's on_crash=rename-restart does: the crashed domain is kept, and the same one
    /// created anew, with its name and uuid, under another domid and its own socket.
    Ran create_anew(const Environment& environment = {})
    {
        Words command = domain_.material().qemu();
        std::replace(command.begin(), command.end(), judge_word(domain_.judge()),
                     judge_word(anew_judge_));
        return xl(create_words(8, domain_.material(), command), environment);
    }
    static std::string judge_word(const std::string& path)
    {
        return "socket,id=judge,server=on,wait=off,path=" + path;
    }
    std::string domid_of(const std::string& word)
    {
        return json_at(xl({"--json", "show", word}).out, "$.domid");
    }

    const std::string anew_judge_ = store_.directory() / "anew";
    const std::string new_uuid_ = "11111111-2222-4333-8444-555555555555";
};

TEST_F(PreserveTest, KeepsQemuAndEntriesUnderAnotherNameBesideTheNewOne)
{
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet("tab")}), 0));
    const auto qemu = state_of(domain_.judge());
    const auto document = xl({"export", "7"}).out;

    const Ran kept = xl({"--json", "preserve", "web", "web-20261123", "--uuid", new_uuid_});
    ASSERT_TRUE(ended(kept, 0));
    EXPECT_EQ(json_at(kept.out, "$.vm_uuid"), new_uuid_);
    ASSERT_TRUE(ended(create_anew(), 0));

    EXPECT_EQ(state_of(domain_.judge()), qemu);
    EXPECT_EQ(xl({"export", "7"}).out,
              replaced(document, R"("name": "web")", R"("name": "web-20261123")"));
    EXPECT_EQ(domid_of("web"), "8");
    EXPECT_EQ(domid_of("web-20261123"), "7");
    EXPECT_EQ(domid_of("uuid:" + domain_.material().uuid), "8");
    EXPECT_EQ(domid_of("uuid:" + new_uuid_), "7");
    EXPECT_EQ(devices_of(anew_judge_).find("tab"), std::string::npos);
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
    EXPECT_TRUE(ended(xl({"detach", "web-20261123", "qemu", "tab"}), 0));
    EXPECT_TRUE(ended(xl({"insert", "web", "hdc", domain_.image('b')}), 0));
    EXPECT_EQ(state_of(domain_.judge()).find("tab"), std::string::npos);
    EXPECT_EQ(domain_.medium(), domain_.image('a'));
    EXPECT_EQ(medium_of(anew_judge_), domain_.image('b'));
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
}

// R14: who was told to destroy domid and uuid before it was preserved finds it, and does not leave
// a tombstone beside a QEMU that lives. The new domain of that uuid is not touched.
TEST_F(PreserveTest, IsFoundByADestroyerThatComesLate)
{
    for (const auto& uuid : {domain_.material().uuid, new_uuid_}) {
        SCOPED_TRACE(uuid);
        const auto domid = uuid == new_uuid_ ? "8" : "7";
        ASSERT_TRUE(
            ended(xl({"preserve", domid, std::string("kept-") + domid, "--uuid", new_uuid_}), 0));
        if (uuid != new_uuid_) {
            ASSERT_TRUE(ended(create_anew(), 0));
        }
        const auto others = qemus_with(store_.path() + "/run/").size() - 1;

        const Ran late = xl({"--json", "destroy", domid, "--uuid", uuid});

        EXPECT_TRUE(ended(late, 0));
        EXPECT_EQ(json_at(late.out, "$.row"), "1");
        EXPECT_EQ(cell("SELECT count(*) FROM tombstone"), "0");
        EXPECT_EQ(qemus_with(store_.path() + "/run/").size(), others);
        EXPECT_TRUE(ended(fsck({"-n"}), 0));
    }
}

TEST_F(PreserveTest, RefusesWhatCannotBe)
{
    const Material other(store_.directory(), 8, "other");
    ASSERT_TRUE(ended(xl({"import", "8", other.document}), 0));
    const auto own = domain_.material().uuid;

    refused({"preserve", "7", "other"}, 1, "exists", "domain 8");
    refused({"preserve", "7", "new", "--uuid", "nonsense"}, 1, "invalid", "nonsense");
    refused({"preserve", "7", "new", "--uuid", other.uuid}, 1, "exists", "domain 8");
    refused({"preserve", "7", "new", "--uuid", own}, 1, "exists", "domain 7");

    // Without a uuid it is given one of its own; and it may be preserved again.
    ASSERT_TRUE(ended(xl({"preserve", "8", "kept"}), 0));
    EXPECT_EQ(cell("SELECT length(vm_uuid) FROM domain WHERE domid = 8"), "36");
    const auto taken = cell("SELECT vm_uuid FROM domain WHERE domid = 8");
    refused({"preserve", "7", "new", "--uuid", taken}, 1, "exists", "domain 8");
    EXPECT_TRUE(ended(xl({"preserve", "8", "kept", "--uuid", taken}), 0));
}

class PreserveCrashTest : public PreserveTest, public testing::WithParamInterface<const char*> {};

// Killed anywhere: it is preserved, or not at all; and to do it again succeeds.
TEST_P(PreserveCrashTest, IsDoneOrNotAfterEachPassing)
{
    int passing = 1;
    int undone = 0;
    for (;; ++passing) {
        SCOPED_TRACE(passing);
        ASSERT_TRUE(ended(xl({"rename", "7", "web"}), 0));
        const auto before = cell("SELECT coalesce(vm_uuid, '') FROM domain");
        auto uuid = new_uuid_;
        uuid.back() = static_cast<char>('0' + passing);
        const Words words = {"preserve", "7", "kept", "--uuid", uuid};
        const Ran ran = xl(words, crash_at(GetParam(), passing));
        if (ran.status == 0) break;
        ASSERT_TRUE(ended(ran, kKilled));
        const bool done = name_in_both() == "kept";
        EXPECT_EQ(cell("SELECT coalesce(vm_uuid, '') FROM domain"), done ? uuid : before);
        undone += done ? 0 : 1;
        EXPECT_TRUE(fsck({"-p"}).status <= 1);
        EXPECT_TRUE(ended(xl(words), 0));
        EXPECT_TRUE(all_is_settled());
    }
    EXPECT_GT(undone, 0);
    EXPECT_GT(passing - 1, undone);
}
INSTANTIATE_TEST_SUITE_P(Points, PreserveCrashTest,
                         testing::Values("commit.before", "commit.after"), [](const auto& one) {
                             std::string name = one.param;
                             return name.replace(name.find('.'), 1, "_");
                         });

}  // namespace
}  // namespace xlstore::test
