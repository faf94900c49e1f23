// SPDX-License-Identifier: MIT
// A document that is written back can neither lose nor forge what is QEMU's.
#include "store/operation/edit.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "store/classes/class_plan.hpp"
#include "store/core/intent_rows.hpp"
#include "store/core/journal.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "store/text/json_text.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/values.hpp"

namespace xlstore {
namespace {

using test::kUuid;
using test::soon;

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
    std::optional<Errc> put(const std::string& device_class, const std::string& json)
    {
        return edit(
            [&](const FastHold& fast) { return put_thing(*store_, fast, device_class, json); });
    }
    std::vector<std::string> keys_of(const std::string& device_class)
    {
        std::vector<std::string> keys;
        for (const auto& thing : read_things(store_->db(), id_))
            if (thing.name.device_class == device_class) keys.push_back(thing.name.key);
        return keys;
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
        return intents->front().id;
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
    // Not even where the array that shows it is omitted.
    auto text = whole;
    const auto disks = *json_find(text, "disks");
    text.replace(text.find("\"disks\":"), 8 + disks.size() + 1, "");
    EXPECT_FALSE(write(text));

    EXPECT_EQ(json_of("disks", "hdc"), pending);
    EXPECT_NE(read_document(store_->db(), id_).find(pending), std::string::npos);
    EXPECT_TRUE(read_intent(store_->db(), intent));
}

// R6: of xenstore's, too; what it is put as is its text alone.
TEST_F(EditTest, RemovalThatIsUnderWayStaysOne)
{
    const char* const nic = R"({"devid":0,"mac":"00:16:3e:00:00:01","bridge":"xenbr0"})";
    ASSERT_FALSE(put("nics", nic));
    ASSERT_FALSE(edit([&](const FastHold&) -> Result<void> {
        store_->db().prepare("UPDATE thing SET state = 'removing' WHERE class = 'nics'").run();
        return {};
    }));
    const auto state = [&] { return read_thing(store_->db(), id_, {"nics", "0"})->state; };
    EXPECT_FALSE(write(read_document(store_->db(), id_)));
    EXPECT_EQ(state(), "removing");
    EXPECT_FALSE(put("nics", R"({"devid":0,"mac":"00:16:3e:00:00:01","bridge":"xenbr1"})"));
    EXPECT_EQ(state(), "removing");
    EXPECT_NE(json_of("nics", "0").find("xenbr1"), std::string::npos);
}

TEST_F(EditTest, NewThingOfQemuInADocumentIsNotMade)
{
    const std::string drive =
        R"({"pdev_path":"/srv/c.iso","vdev":"hdd","format":"raw","removable":1,"is_cdrom":1})";
    EXPECT_FALSE(write(replaced("\"disks\":[", "\"disks\":[" + drive + ",")));
    EXPECT_EQ(json_of("disks", "hdd"), "");
}

// R16: without an identity each is another thing, and its key is its own for ever.
TEST_F(EditTest, ElementWithoutIdentityIsAlwaysAnotherThing)
{
    const char* const classes[] = {"vkbs", "vfbs", "p9s", "channels", "pvcallsifs", "virtios"};
    std::set<std::string> keys;
    for (const char* name : classes) {
        const auto before = keys_of(name);
        EXPECT_FALSE(put(name, R"({"a":1})"));
        EXPECT_FALSE(put(name, R"({"a":1})"));
        EXPECT_EQ(keys_of(name).size(), before.size() + 2) << name;
        for (std::size_t i = 0; i < before.size(); ++i)
            EXPECT_EQ(keys_of(name)[i], before[i]) << name;
    }
    // A template that libxl has yet to number.
    const auto nics = keys_of("nics").size();
    EXPECT_FALSE(put("nics", R"({"mac":"00:16:3e:00:00:01"})"));
    EXPECT_FALSE(put("nics", R"({"mac":"00:16:3e:00:00:02","devid":-1})"));
    EXPECT_EQ(keys_of("nics").size(), nics + 2);
}

TEST_F(EditTest, KeyOfAnElementIsNeverUsedAgain)
{
    std::set<std::string> seen;
    for (const auto& key : keys_of("vkbs"))
        seen.insert(key);
    for (int i = 0; i < 3; ++i) {
        EXPECT_FALSE(put("vkbs", R"({"devid":7})"));
        const auto key = keys_of("vkbs").back();
        EXPECT_TRUE(seen.insert(key).second) << key;
        EXPECT_FALSE(edit([&](const FastHold& fast) {
            return remove_thing(*store_, fast, ThingName{"vkbs", key});
        }));
    }
}

TEST_F(EditTest, DocumentsOrderIsKept)
{
    const auto with_disks = [&](const std::string& disks) {
        auto text = read_document(store_->db(), id_);
        const auto old = *json_find(text, "disks");
        return text.replace(text.find(old), old.size(), disks);
    };
    const auto disks = json_elements(*json_find(read_document(store_->db(), id_), "disks"));
    const std::string cd = json_of("disks", "hdc");
    const std::string b = R"({"vdev":"xvdb"})";
    const std::string c = R"({"vdev":"xvdc"})";
    ASSERT_FALSE(disks.empty());
    for (const auto& array :
         {"[" + b + "," + cd + "," + c + "]", "[" + c + "," + b + "," + cd + "]",
          "[" + cd + "," + c + "," + b + "]"}) {
        const auto text = with_disks(array);
        for (int times = 0; times < 2; ++times) {
            EXPECT_FALSE(write(text));
            EXPECT_EQ(read_document(store_->db(), id_), text);
        }
    }
}

// Written back again and again, arrays do not turn round, and each element keeps its key.
TEST_F(EditTest, WritingADocumentTwiceChangesNothingTheSecondTime)
{
    const auto with_p9s = [&](const std::string& elements) {
        auto text = read_document(store_->db(), id_);
        if (const auto old = json_find(text, "p9s")) {
            const auto at = text.find(*old);
            return text.replace(at, old->size(), elements);
        }
        return text.replace(text.size() - 1, 1, ",\"p9s\":" + elements + "}");
    };
    const auto keys_after = [&](const std::string& elements) {
        std::vector<std::string> keys;
        for (int times = 0; times < 2; ++times) {
            EXPECT_FALSE(write(with_p9s(elements)));
            EXPECT_EQ(*json_find(read_document(store_->db(), id_), "p9s"), elements);
            if (times == 1) {
                EXPECT_EQ(keys_of("p9s"), keys);
            }
            keys = keys_of("p9s");
        }
        return keys;
    };
    const std::string a = R"({"tag":"a"})";
    const std::string b = R"({"tag":"b"})";
    const std::string c = R"({"tag":"c"})";
    const auto first = keys_after("[" + a + "," + b + "," + a + "]");
    ASSERT_EQ(first.size(), 3U);
    // Turned round: each goes with its text.
    EXPECT_EQ(keys_after("[" + b + "," + a + "," + a + "]"),
              (std::vector<std::string>{first[1], first[0], first[2]}));
    // Written anew in its place.
    EXPECT_EQ(keys_after("[" + c + "," + a + "," + a + "]"),
              (std::vector<std::string>{first[1], first[0], first[2]}));
    // One more, and one less.
    const auto more = keys_after("[" + c + "," + b + "," + a + "," + a + "]");
    EXPECT_EQ(more[0], first[1]);
    EXPECT_EQ(more[2], first[0]);
    EXPECT_EQ(std::count(first.begin(), first.end(), more[1]), 0);
    EXPECT_EQ(keys_after("[" + b + "]"), (std::vector<std::string>{more[1]}));
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

// What is in QEMU stays QEMU's, so that no edit can take its entry away (R1, R3).
class EditPlaceTest : public EditTest {
protected:
    void SetUp() override
    {
        by_hand(
            "INSERT INTO thing (domain, class, key, position, primary_at, state, json, changed_us) "
            "VALUES (" +
            std::to_string(value_of(id_)) +
            R"(, 'usbdevs', '1.1', 0, 'qemu', 'present', '{"ctrl":1,"port":1}', 1))");
    }
    void by_hand(const std::string& statement) { store_->db().execute(statement); }
    void register_qemu()
    {
        by_hand(
            "UPDATE domain SET qemu_pid = 1, qemu_start_time = 1, qemu_pid_namespace = 1, "
            "monitor_path = '/m', monitor_device = 1, monitor_inode = 1, peer_pid = 1, "
            "peer_uid = 0, peer_gid = 0");
    }
    std::string primary_of(const std::string& device_class, const std::string& key)
    {
        const auto thing = read_thing(store_->db(), id_, ThingName{device_class, key});
        return thing ? thing->primary : "";
    }
    std::string as_type(const std::string& type)
    {
        std::string text = read_document(store_->db(), id_);
        for (auto at = text.find("hvm"); at != std::string::npos; at = text.find("hvm"))
            text.replace(at, 3, type);
        return text;
    }
    std::optional<Errc> remove(const std::string& device_class, const std::string& key)
    {
        return edit([&](const FastHold& fast) {
            return remove_thing(*store_, fast, ThingName{device_class, key});
        });
    }
};

TEST_F(EditPlaceTest, AnotherTypeOfTheDomainMovesNothingOutOfItsQemu)
{
    register_qemu();
    const auto before = read_document(store_->db(), id_);
    for (const char* type : {"pv", "pvh"})
        EXPECT_EQ(write(as_type(type)), Errc::refused) << type;
    EXPECT_EQ(read_document(store_->db(), id_), before);
    EXPECT_EQ(primary_of("usbdevs", "1.1"), "qemu");
    EXPECT_EQ(remove("usbdevs", "1.1"), Errc::refused);
    EXPECT_EQ(remove("disks", "hdc"), Errc::refused);
    // Stale, they are in no QEMU.
    by_hand("UPDATE thing SET state = 'stale' WHERE primary_at = 'qemu'");
    EXPECT_FALSE(write(as_type("pv")));
    EXPECT_EQ(primary_of("usbdevs", "1.1"), "xenstore");
}

TEST_F(EditPlaceTest, WithoutAQemuTheDocumentDecides)
{
    EXPECT_FALSE(write(as_type("pv")));
    EXPECT_EQ(primary_of("usbdevs", "1.1"), "xenstore");
    EXPECT_EQ(primary_of("disks", "hdc"), "xenstore");
    // Back again, they may be in xenstore by now.
    EXPECT_EQ(write(replaced("\"pv\"", "\"hvm\"")), Errc::refused);
    EXPECT_EQ(primary_of("disks", "hdc"), "xenstore");
    EXPECT_FALSE(remove("disks", "hdc"));
    // Nor does it leave its primary: a frame buffer is in none of an HVM domain.
    EXPECT_FALSE(put("vfbs", R"({"devid":0})"));
    const auto vfb = test::sql(scratch_.path(), "SELECT key FROM thing WHERE class = 'vfbs'");
    EXPECT_EQ(primary_of("vfbs", vfb), "xenstore");
    EXPECT_EQ(write(replaced("\"pv\"", "\"hvm\"")), Errc::refused);
    EXPECT_EQ(primary_of("vfbs", vfb), "xenstore");
}

TEST_F(EditPlaceTest, AControllerOfXenstoresMovesNoDeviceOutOfQemu)
{
    const char* const controller = R"({"type":"qusb","devid":1,"version":2,"ports":4})";
    register_qemu();
    EXPECT_EQ(put("usbctrls", controller), Errc::refused);
    EXPECT_EQ(json_of("usbctrls", "1"), "");
    EXPECT_EQ(primary_of("usbdevs", "1.1"), "qemu");
    EXPECT_EQ(remove("usbdevs", "1.1"), Errc::refused);

    by_hand("UPDATE thing SET state = 'stale' WHERE class = 'usbdevs'");
    EXPECT_FALSE(put("usbctrls", controller));
    EXPECT_EQ(primary_of("usbdevs", "1.1"), "xenstore");
    // The ports of a controller go with it.
    EXPECT_FALSE(remove("usbctrls", "1"));
    EXPECT_EQ(primary_of("usbdevs", "1.1"), "qemu");
}

// It is xlfsck's to put right, and keeps no edit from being made.
TEST_F(EditPlaceTest, WhatTheRowSaidOtherwiseBeforeIsLeftAsItIs)
{
    register_qemu();
    by_hand("UPDATE thing SET primary_at = 'qemu' WHERE class = 'nics'");
    EXPECT_FALSE(write(replaced("\"on_crash\":\"restart\"", "\"on_crash\":\"destroy\"")));
    EXPECT_EQ(primary_of("nics", "0"), "qemu");
}

TEST_F(EditTest, NameOfAnotherDomainIsRefused)
{
    const char* const other = test::kOtherUuid;
    ASSERT_TRUE(store_->loop().wait_for(import_domain(
        *store_, 8, test::hvm_document("mail", other, "/srv/a.iso"), "document", soon())));
    const auto before = read_document(store_->db(), id_);
    EXPECT_EQ(write(replaced("\"web\"", "\"mail\"")), Errc::exists);
    EXPECT_EQ(read_document(store_->db(), id_), before);
    EXPECT_EQ(read_domain(store_->db(), id_)->name, "web");
    EXPECT_FALSE(write(replaced("\"web\"", "\"shop\"")));
    // Two that have one name already: a document that keeps its own is written.
    store_->db().execute("UPDATE domain SET name = 'shop'");
    EXPECT_FALSE(write(read_document(store_->db(), id_)));
}

// Every edit leaves a line that says who made it, and no edit leaves a value: it may be a password.
class EditHistoryTest : public EditTest {
protected:
    std::string last(const std::string& column)
    {
        return test::sql(scratch_.path(), "SELECT " + column + " FROM history ORDER BY id DESC LIMIT 1");
    }
    void expect_no_secret()
    {
        const auto all = test::sql(
            scratch_.path(), "SELECT group_concat(h.operation || ' ' || h.evidence || ' ' || "
                             "coalesce(h.medium_before, '') || ' ' || coalesce(h.medium_after, ''), "
                             "'; ') FROM history h");
        EXPECT_EQ(all.find("sesame"), std::string::npos) << all;
    }
};

TEST_F(EditHistoryTest, PutThingLeavesALine)
{
    EXPECT_FALSE(edit([&](const FastHold& fast) {
        return put_thing(*store_, fast, "nics", R"({"devid":9,"bridge":"a"})");
    }));
    EXPECT_EQ(last("operation || ' ' || class || '/' || key || ' ' || outcome"),
              "put thing nics/9 done");
    EXPECT_EQ(last("evidence"), "revision 2: new entry");
    EXPECT_EQ(last("program || ' ' || pid || ' ' || uid"),
              "xlstore " + std::to_string(getpid()) + " " + std::to_string(getuid()));
    EXPECT_FALSE(edit([&](const FastHold& fast) {
        return put_thing(*store_, fast, "nics", R"({"devid":9,"bridge":"b","mac":"c"})");
    }));
    EXPECT_EQ(last("evidence"), "revision 3: changed bridge, mac");
}

TEST_F(EditHistoryTest, RemoveThingLeavesALine)
{
    EXPECT_FALSE(edit([&](const FastHold& fast) {
        return remove_thing(*store_, fast, ThingName{"nics", "0"});
    }));
    EXPECT_EQ(last("operation || ' ' || class || '/' || key || ' ' || evidence"),
              "remove thing nics/0 revision 2: entry removed");
}

TEST_F(EditHistoryTest, WriteDocumentLeavesALine)
{
    EXPECT_FALSE(write(replaced("\"bridge\":\"xenbr0\"", "\"bridge\":\"xenbr1\"")));
    EXPECT_EQ(last("operation || ' ' || evidence"),
              "write document revision 2: changed nics/0 (bridge)");
}

TEST_F(EditHistoryTest, RefusedEditLeavesNone)
{
    const auto before = last("id");
    EXPECT_TRUE(edit([&](const FastHold& fast) {
        return remove_thing(*store_, fast, ThingName{"nics", "77"});
    }));
    EXPECT_EQ(last("id"), before);
}

TEST_F(EditHistoryTest, PasswordsDoNotEnter)
{
    EXPECT_FALSE(edit([&](const FastHold& fast) {
        return put_thing(*store_, fast, "vfbs", R"({"devid":0,"vnc":{"passwd":"sesame"}})");
    }));
    expect_no_secret();
    EXPECT_FALSE(write(replaced("\"b_info\":{", "\"b_info\":{\"spice\":{\"passwd\":\"sesame\"},")));
    expect_no_secret();
}

TEST_F(EditHistoryTest, MediumThatIsNoPathIsCutAtItsScheme)
{
    const ThingName drive{"disks", "hdc"};
    EXPECT_EQ(medium_in(drive, R"({"vdev":"hdc","is_cdrom":1,"pdev_path":"rbd:p/i:key=sesame"})"),
              "rbd");
    EXPECT_EQ(medium_in(drive, R"({"vdev":"hdc","is_cdrom":1,"pdev_path":"/srv/a.iso"})"),
              "/srv/a.iso");
    EXPECT_EQ(medium_in(drive, R"({"vdev":"hdc","is_cdrom":1})"), "");
    EXPECT_EQ(medium_in(drive, R"({"vdev":"hdc","pdev_path":"/srv/a.img"})"), std::nullopt);
    EXPECT_EQ(medium_in(ThingName{"nics", "0"}, R"({"is_cdrom":1})"), std::nullopt);
}

TEST_F(EditHistoryTest, ChangeOfAMediumSaysBeforeAndAfterAndKeepsItsAuthor)
{
    const auto intent = open_change();
    StoreOptions options;
    options.directory = scratch_.path();
    options.program = "another";
    auto other = Store::open(options);
    ASSERT_TRUE(other);
    Journal journal(**other);
    auto hold = (*other)->loop().wait_for((*other)->slow_lock(id_, "web", "test", soon()));
    ASSERT_TRUE(hold);
    auto settled = (*other)->loop().wait_for(
        journal.settle(*hold, std::vector<IntentId>(1, intent), Image::after, "seen", soon()));
    ASSERT_TRUE(settled) << settled.error().message;
    EXPECT_EQ(last("medium_before || ' ' || medium_after"), "/srv/a.iso /srv/b.iso");
    EXPECT_EQ(last("program || ' ' || author_program"), "another xlstore");
    EXPECT_EQ(last("author_pid || ' ' || author_uid"),
              std::to_string(getpid()) + " " + std::to_string(getuid()));
}

TEST_F(EditHistoryTest, ChangeThatWasUndoneSaysThatTheMediumStayed)
{
    const auto intent = open_change();
    Journal journal(*store_);
    auto hold = store_->loop().wait_for(store_->slow_lock(id_, "web", "test", soon()));
    ASSERT_TRUE(store_->loop().wait_for(
        journal.settle(*hold, std::vector<IntentId>(1, intent), Image::before, "seen", soon())));
    EXPECT_EQ(last("medium_before || ' ' || medium_after"), "/srv/a.iso /srv/a.iso");
}

}  // namespace
}  // namespace xlstore
