// SPDX-License-Identifier: MIT
// A document that is written back can neither lose nor forge what is QEMU's.
#include "store/edit.hpp"

#include <gtest/gtest.h>

#include "store/class_plan.hpp"
#include "store/journal.hpp"
#include "store/json_text.hpp"
#include "store/lifecycle.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore {
namespace {

constexpr const char* kUuid = "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01";

Deadline soon()
{
    return Clock::now() + std::chrono::seconds(20);
}

class EditTest : public testing::Test {
protected:
    EditTest()
    {
        StoreOptions options;
        options.directory = scratch_.path();
        auto store = Store::open(options);
        EXPECT_TRUE(store);
        store_ = *std::move(store);
        auto domain = store_->loop().wait_for(import_domain(
            *store_, 7, test::hvm_document("web", kUuid, "/srv/a.iso"), "document", soon()));
        EXPECT_TRUE(domain) << (domain ? "" : domain.error().message);
        id_ = domain->id;
    }

    /// One edit in its section; the error's code, if it was refused.
    template <class Edit>
    std::optional<Errc> edit(Edit change, std::int64_t expected = 0)
    {
        auto done = store_->loop().wait_for(
            store_->with_fast_lock(id_, "test", soon(), [&](const FastHold& fast) -> Result<void> {
                auto revision = begin_edit(*store_, fast, expected);
                if (!revision) return revision.error();
                return change(fast);
            }));
        return done ? std::nullopt : std::optional(done.error().code);
    }
    std::optional<Errc> write(const std::string& text)
    {
        const auto document = parse_document(text, "test");
        EXPECT_TRUE(document) << (document ? "" : document.error().message);
        return edit([&](const FastHold& fast) { return write_document(*store_, fast, *document); });
    }
    /// The document in the store with one piece of its text replaced.
    std::string replaced(const std::string& from, const std::string& to)
    {
        std::string text = read_document(store_->db(), id_);
        const auto at = text.find(from);
        EXPECT_NE(at, std::string::npos) << from << " is not in " << text;
        return at == std::string::npos ? text : text.replace(at, from.size(), to);
    }
    std::string json_of(const std::string& device_class, const std::string& key)
    {
        const auto thing = read_thing(store_->db(), id_, ThingName{device_class, key});
        return thing ? thing->json : "";
    }
    /// An intent to put another image into the CD drive, as after commit 1.
    IntentId open_change()
    {
        Journal journal(*store_);
        auto hold = store_->loop().wait_for(store_->slow_lock(id_, "web", "test", soon()));
        const auto entry = read_thing(store_->db(), id_, ThingName{"disks", "hdc"});
        std::vector<Draft> drafts;
        drafts.push_back(*draft_insert(*entry, "/srv/b.iso"));
        auto intents =
            store_->loop().wait_for(journal.open(*hold, std::move(drafts), "/m", soon()));
        EXPECT_TRUE(intents) << (intents ? "" : intents.error().message);
        return intents->front();
    }

    test::ScratchStore scratch_;
    std::unique_ptr<Store> store_;
    DomainId id_{};
};

TEST_F(EditTest, DocumentWrittenBackAsItIsChangesNothingButTheRevision)
{
    const auto before = read_document(store_->db(), id_);
    EXPECT_FALSE(write(before));
    EXPECT_EQ(read_document(store_->db(), id_), before);
}

TEST_F(EditTest, SkeletonAndThingsOfTheFastLockAreWritten)
{
    EXPECT_FALSE(write(replaced("\"on_crash\":\"restart\"", "\"on_crash\":\"destroy\"")));
    EXPECT_NE(read_document(store_->db(), id_).find("\"on_crash\":\"destroy\""), std::string::npos);
    EXPECT_FALSE(write(replaced("\"bridge\":\"xenbr0\"", "\"bridge\":\"xenbr1\"")));
    EXPECT_EQ(json_get_string(json_of("nics", "0"), "bridge"), "xenbr1");
}

TEST_F(EditTest, PendingThingOfQemuIsNotForged)
{
    const auto intent = open_change();
    const auto pending = json_of("disks", "hdc");
    ASSERT_NE(pending.find("/srv/b.iso"), std::string::npos);

    EXPECT_FALSE(write(replaced("/srv/b.iso", "/srv/forged.iso")));

    EXPECT_EQ(json_of("disks", "hdc"), pending);
    EXPECT_EQ(read_thing(store_->db(), id_, ThingName{"disks", "hdc"})->state, "changing");
    EXPECT_TRUE(read_intent(store_->db(), intent));
}

TEST_F(EditTest, PendingThingOfQemuIsNotLost)
{
    const auto intent = open_change();
    const auto pending = json_of("disks", "hdc");
    const auto whole = read_document(store_->db(), id_);

    EXPECT_FALSE(write(replaced("," + pending, "")));
    EXPECT_EQ(read_document(store_->db(), id_), whole);
    // Not even where the array that shows it is left out.
    auto text = whole;
    const auto disks = *json_find(text, "disks");
    text.replace(text.find("\"disks\":"), 8 + disks.size() + 1, "");
    EXPECT_FALSE(write(text));

    EXPECT_EQ(json_of("disks", "hdc"), pending);
    EXPECT_NE(read_document(store_->db(), id_).find(pending), std::string::npos);
    EXPECT_TRUE(read_intent(store_->db(), intent));
}

TEST_F(EditTest, NewThingOfQemuInADocumentIsNotMade)
{
    const std::string drive =
        R"({"pdev_path":"/srv/c.iso","vdev":"hdd","format":"raw","removable":1,"is_cdrom":1})";
    EXPECT_FALSE(write(replaced("\"disks\":[", "\"disks\":[" + drive + ",")));
    EXPECT_EQ(json_of("disks", "hdd"), "");
}

TEST_F(EditTest, AnotherUuidIsRefusedAndNothingIsChanged)
{
    const auto before = read_document(store_->db(), id_);
    EXPECT_EQ(write(replaced(kUuid, "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c02")), Errc::invalid);
    EXPECT_EQ(read_document(store_->db(), id_), before);
}

TEST_F(EditTest, OnlyTheExpectedRevisionIsEdited)
{
    const auto nothing = [](const FastHold&) { return Result<void>(); };
    const auto put = [&](const FastHold& fast) {
        return put_thing(*store_, fast, "nics", R"({"devid":9})");
    };
    EXPECT_FALSE(edit(nothing));
    EXPECT_EQ(edit(put, 1), Errc::conflict);
    EXPECT_EQ(json_of("nics", "9"), "");
    EXPECT_FALSE(edit(put, 2));
    EXPECT_EQ(json_of("nics", "9"), R"({"devid":9})");
}

TEST_F(EditTest, ThingsOfQemuAreRefusedOneByOne)
{
    EXPECT_EQ(
        edit([&](const FastHold& fast) {
            return put_thing(
                *store_, fast, "disks",
                R"({"pdev_path":"","vdev":"hdc","format":"empty","removable":1,"is_cdrom":1})");
        }),
        Errc::refused);
    EXPECT_EQ(edit([&](const FastHold& fast) {
                  return remove_thing(*store_, fast, ThingName{"disks", "hdc"});
              }),
              Errc::refused);
    EXPECT_NE(json_of("disks", "hdc").find("/srv/a.iso"), std::string::npos);
}

TEST_F(EditTest, DomainThatIsBeingDestroyedIsNotEdited)
{
    store_->db().execute("UPDATE domain SET state = 'destroying'");
    EXPECT_EQ(edit([&](const FastHold& fast) {
                  return put_thing(*store_, fast, "nics", R"({"devid":9})");
              }),
              Errc::gone);
}

}  // namespace
}  // namespace xlstore
