// SPDX-License-Identifier: MIT
// A PV domain's QEMU serves devices of xenstore: nothing of the document is put into it, looked for
// in it, or called stale because it has not got it. A real QEMU stands for it.
#include <filesystem>
#include <memory>

#include "tests/support/domain_test.hpp"
#include "tests/support/scratch_xenstored.hpp"

namespace xlstore::test {
namespace {

class PvDomainTest : public testing::Test {
protected:
    PvDomainTest() : material_(store_.directory(), 7, "pv") {}

    Ran xl(const Words& words, const Environment& environment = {})
    {
        return xlstore(store_.path(), words, environment);
    }
    std::string cell(const std::string& query) { return sql(store_.path(), query); }
    /// A document of that type with what `xl` writes for the devices that differ by it.
    void write_document(const std::string& type)
    {
        write_file(material_.document,
                   R"({"c_info":{"type":")" + type + R"(","name":"pv","uuid":")" + material_.uuid +
                       R"("},"b_info":{"type.)" + type +
                       R"(":{}},"disks":[{"pdev_path":"/a",)"
                       R"("vdev":"xvda"},{"pdev_path":")" +
                       material_.images.at('a') +
                       R"(","vdev":"hdc","format":"raw","removable":1,"is_cdrom":1}],"pcidevs":)"
                       R"([{"bus":3}],"usbctrls":[{"devid":0}],"usbdevs":[{"ctrl":0,"port":1,)"
                       R"("type.hostdev":{"hostbus":1,"hostaddr":2}}]})");
    }
    /// The entries that are where they are not expected, or stale: "": none.
    std::string entries(const std::string& where)
    {
        return cell(
            "SELECT group_concat(class || '/' || key || ' ' || primary_at || ' ' || state) "
            "FROM thing WHERE " +
            where);
    }
    void start_and_register()
    {
        Words command = material_.qemu();
        const std::string monitor = store_.directory() / "m";
        command.insert(command.end(), {"-qmp", "unix:" + monitor + ",server=on,wait=off"});
        qemu_ = std::make_unique<Child>(command);
        ASSERT_TRUE(wait_until(std::chrono::seconds(20), [&] {
            return std::filesystem::exists(material_.judge) && std::filesystem::exists(monitor);
        }));
        before_ = state_of(material_.judge);
        registered_ = xl({"register", "7", "--monitor", monitor});
        ASSERT_TRUE(ended(registered_, 0));
    }

    ScratchStore store_;
    Material material_;
    std::unique_ptr<Child> qemu_;
    std::string before_;
    Ran registered_;
};

TEST_F(PvDomainTest, RegistrationLeavesAllInXenstore)
{
    write_document("pv");
    ASSERT_TRUE(ended(xl({"import", "7", material_.document}), 0));
    EXPECT_EQ(entries("primary_at <> 'xenstore'"), "");
    const auto document = xl({"export", "7"}).out;

    start_and_register();

    EXPECT_EQ(entries("class <> 'qemu' AND (primary_at <> 'xenstore' OR state <> 'present')"), "");
    EXPECT_EQ(state_of(material_.judge), before_) << "nothing was put into it";
    EXPECT_EQ(xl({"export", "7", "--settled"}).out, document) << "nothing of it is lost";
    EXPECT_TRUE(ended(xlfsck(store_.path(), {"-n", "-f"}), 0));
}

TEST_F(PvDomainTest, NothingOfTheDocumentIsAttachedToItsQemu)
{
    write_document("pvh");
    ASSERT_TRUE(ended(xl({"import", "7", material_.document}), 0));
    start_and_register();
    const auto rows = dump(store_.path());
    // What is xenstore's goes there, and there is none here; what is QEMU's alone is refused.
    const struct {
        Words words;
        const char* code;
        const char* said;
    } attempts[] = {
        {{"insert", "7", "hdc", material_.images.at('b')}, "io", "could not look into xenstore"},
        {{"eject", "7", "hdc"}, "io", "could not look into xenstore"},
        {{"attach", "7", "usbctrls", R"({"type":"devicemodel","devid":1,"version":2,"ports":6})"},
         "refused",
         "the domain is pvh"},
        {{"attach", "7", "usbdevs",
          R"({"ctrl":0,"port":2,"type.hostdev":{"hostbus":99,"hostaddr":127}})"},
         "refused",
         "the host shows no USB device"},
    };
    const Environment without_xenstored = {
        {"XENSTORED_PATH", std::string(store_.directory() / "none")}};
    for (const auto& one : attempts) {
        Words words = one.words;
        words.insert(words.begin(), "--json");
        const Ran ran = xl(words, without_xenstored);
        EXPECT_TRUE(ended(ran, 1));
        EXPECT_EQ(json_at(ran.out, "$.error.code"), one.code) << ran.out;
        EXPECT_TRUE(contains(json_at(ran.out, "$.error.message"), one.said));
    }
    EXPECT_EQ(dump(store_.path()), rows);
    EXPECT_EQ(state_of(material_.judge), before_);
}

// In HVM they are QEMU's: what it has not is stale.
TEST_F(PvDomainTest, TheSameDocumentOfAnHvmDomainIsQemus)
{
    write_document("hvm");
    ASSERT_TRUE(ended(xl({"import", "7", material_.document}), 0));
    EXPECT_EQ(entries("primary_at = 'xenstore'"), "disks/xvda xenstore present");

    start_and_register();

    EXPECT_EQ(entries("class = 'usbctrls'"), "usbctrls/0 qemu present")
        << "the controller without a type is the one that QEMU has";
    EXPECT_EQ(entries("state = 'stale'"), "pcidevs/0000:03:00.0 qemu stale,usbdevs/0.1 qemu stale");
    EXPECT_TRUE(contains(registered_.err, R"(QEMU has no device "pci-pt-03_00.0")"));
    EXPECT_TRUE(ended(xlfsck(store_.path(), {"-n", "-f", "-v"}), 0));
    // R18: the controller that `xl` wrote without a type can be taken out and put in again.
    EXPECT_TRUE(ended(xl({"attach", "7", "usbctrls", R"({"devid":1,"version":3,"ports":4})"}), 0));
    EXPECT_TRUE(contains(devices_of(material_.judge), "xenusb-1"));
}

// A command that fails says nothing of what Xen has (R5, R9): xenstored is asked.
class FailedBuilderTest : public PvDomainTest {
protected:
    void SetUp() override
    {
        if (const auto missing = xenstored_missing(); !missing.empty()) GTEST_SKIP() << missing;
        daemon_ = std::make_unique<ScratchXenstored>(store_.directory() / "xs");
        write_file(material_.document, R"({"c_info":{"type":"pv","name":"pv","uuid":")" +
                                           material_.uuid + R"("},"b_info":{"type.pv":{}}})");
    }
    Ran create(const Words& builder)
    {
        Words words = {"--timeout", "5", "--json", "create", "7", material_.document,
                       "--no-qemu", "--"};
        words.insert(words.end(), builder.begin(), builder.end());
        return xl(words, daemon_->environment());
    }
    std::string state() { return cell("SELECT state FROM domain"); }

    std::unique_ptr<ScratchXenstored> daemon_;
};

TEST_F(FailedBuilderTest, DomainThatXenHasNotGotIsNotMade)
{
    const Ran ran = create({"sh", "-c", "exit 4"});
    EXPECT_TRUE(ended(ran, 1));
    EXPECT_TRUE(contains(ran.out, "sh ended with 4"));
    EXPECT_TRUE(contains(ran.out, "Xen has no such domain; its row is destroyed"));
    EXPECT_EQ(state(), "destroyed");
    daemon_->stop();  // nothing was asked of Xen, so nothing has to be asked of xenstored
    const Ran none = create({"no-such-builder"});
    daemon_->resume();
    EXPECT_TRUE(ended(none, 1));
    EXPECT_TRUE(contains(none.out, "no domain was made"));
    EXPECT_EQ(cell("SELECT count(*) FROM domain WHERE state <> 'destroyed'"), "0");
}

TEST_F(FailedBuilderTest, DomainThatXenHasKeepsItsRow)
{
    daemon_->tool().introduce(7);  // as the command does before it fails
    const Ran ran = create({"false"});
    EXPECT_TRUE(ended(ran, 3));
    EXPECT_EQ(json_at(ran.out, "$.error.code"), "unfinished");
    EXPECT_TRUE(contains(ran.out, "Xen has the domain"));
    EXPECT_EQ(state(), "running");
    EXPECT_TRUE(ended(xl({"show", "7"}), 0));
}

TEST_F(FailedBuilderTest, SilentXenstoredLeavesItInDoubt)
{
    daemon_->tool().introduce(7);
    daemon_->stop();
    const Ran ran = create({"false"});
    EXPECT_TRUE(ended(ran, 3));
    EXPECT_TRUE(contains(ran.out, "is not known"));
    EXPECT_EQ(state(), "creating") << "no absence was seen";
    daemon_->resume();
    EXPECT_TRUE(ended(xl({"recover", "id:1"}, daemon_->environment()), 0)) << "the advice helps";
    EXPECT_EQ(state(), "running");
}

}  // namespace
}  // namespace xlstore::test
