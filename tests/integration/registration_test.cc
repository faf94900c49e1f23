// SPDX-License-Identifier: MIT
// Registering a QEMU that already runs: nothing in it changes, and the store says what it has. The
// QEMUs are started by the tests, as another toolstack would, and changed by hand before and after.
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "store/os/listener.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/scripted_peer.hpp"

namespace xlstore::test {
namespace {

using std::chrono::seconds;

constexpr const char* kEmptyDrive = "if=none,readonly=on,id=ide-5632";

/// A QEMU of another toolstack: monitor for the store, monitor for the test.
class RunningQemu {
public:
    RunningQemu(const ScratchDirectory& directory, const Material& material,
                const std::string& name, const Words& more = {}, const std::string& drive = {})
        : monitor(directory / name),
          judge(directory / (name + "-judge")),
          child_(command(material, more, drive))
    {
        // Both: QEMU makes its sockets one after the other, and binds each before it listens there.
        if (!wait_until(seconds(20), [&] { return who_listens(judge) && who_listens(monitor); }))
            ADD_FAILURE() << "QEMU does not come up";
    }
    const std::string monitor;
    const std::string judge;
    [[nodiscard]] pid_t pid() const { return child_.pid(); }
    void kill()
    {
        child_.signal(SIGKILL);
        child_.wait();
    }

private:
    [[nodiscard]] Words command(const Material& material, const Words& more,
                                const std::string& drive) const
    {
        Words words = qemu_command(material.images.at('a'), judge);
        if (!drive.empty())
            std::replace_if(
                words.begin(), words.end(),
                [](const std::string& word) { return word.starts_with("if=none,"); }, drive);
        words.insert(words.end(),
                     {"-chardev", "socket,id=xlstore-cmd,server=on,wait=off,path=" + monitor,
                      "-mon", "chardev=xlstore-cmd,mode=control"});
        words.insert(words.end(), more.begin(), more.end());
        return words;
    }
    Child child_;
};

class RegistrationTest : public testing::Test {
protected:
    Ran xl(const Words& words, const Environment& environment = {})
    {
        return xlstore(store_.path(), words, environment);
    }
    Ran fsck(const Words& words) { return xlfsck(store_.path(), words); }
    std::string cell(const std::string& query) { return sql(store_.path(), query); }
    std::string entry(const std::string& key)
    {
        return cell("SELECT state FROM thing WHERE key = '" + key + "'");
    }
    void import(const std::vector<std::pair<std::string, std::string>>& changes = {})
    {
        std::string document = read_file(material_.document);
        for (const auto& [from, to] : changes) {
            const auto at = document.find(from);
            ASSERT_NE(at, std::string::npos) << from << " in " << document;
            document.replace(at, from.size(), to);
        }
        write_file(material_.document, document);
        ASSERT_TRUE(ended(xl({"import", "7", material_.document}), 0));
    }
    /// Registers it, and sees that nothing in it is another one.
    Ran registered(const RunningQemu& qemu, int status = 0)
    {
        const auto before = state_of(qemu.judge);
        Ran ran = xl({"--json", "register", "7", "--monitor", qemu.monitor});
        EXPECT_TRUE(ended(ran, status));
        EXPECT_EQ(state_of(qemu.judge), before);
        return ran;
    }
    static void ask(const RunningQemu& qemu, const std::string& command,
                    const std::string& arguments)
    {
        ASSERT_TRUE(contains(qmp(qemu.judge, command, arguments), "\"return\""));
    }
    static void plug_tablet(const RunningQemu& qemu, const std::string& id)
    {
        ask(qemu, "device_add", R"({"driver":"usb-tablet","bus":"xenusb-0.0","id":")" + id + "\"}");
    }
    std::string initial(const std::string& kind)
    {
        return cell(
            "SELECT group_concat(name, ' ') FROM (SELECT name FROM initial_device WHERE kind = '" +
            kind + "' ORDER BY name)");
    }

    ScratchStore store_;
    Material material_{store_.directory(), 7, "web"};
};

std::string member(const std::string& json, const std::string& path)
{
    return json_at(json, path);
}

TEST_F(RegistrationTest, DocumentFollowsTheMediumThatIsInTheDrive)
{
    RunningQemu qemu(store_.directory(), material_, "first");
    ask(qemu, "blockdev-change-medium",
        R"({"id":"ide-5632","format":"raw","filename":")" + material_.images['b'] + "\"}");
    import();  // it says image a
    const Ran ran = registered(qemu);
    EXPECT_EQ(member(ran.out, "$.differs[0].key"), "hdc");
    EXPECT_TRUE(contains(ran.out, material_.images['b']));
    EXPECT_EQ(cell("SELECT json_extract(json, '$.pdev_path') FROM thing WHERE key = 'hdc'"),
              material_.images['b']);
    EXPECT_EQ(entry("hdc"), "present");
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
    EXPECT_TRUE(store_and_qemu_agree(store_.path(), qemu.judge));
    EXPECT_TRUE(ended(xl({"eject", "7", "hdc"}), 0));
    EXPECT_EQ(medium_of(qemu.judge), "");
}

TEST_F(RegistrationTest, AUuidThatIsNotTheDomainsIsSaidAndChangesNothing)
{
    const std::string other = "8f2c7d10-4b6e-4a51-9d3c-00000000abcd";
    RunningQemu qemu(store_.directory(), material_, "first", {"-uuid", other});
    import();
    const Ran ran = registered(qemu);
    EXPECT_TRUE(contains(ran.out, other));
    EXPECT_TRUE(contains(member(ran.out, "$.differs[0]"), "this domain's QEMU"));
    EXPECT_EQ(cell("SELECT uuid FROM domain"), material_.uuid);
}

TEST_F(RegistrationTest, TheUuidOfTheDomainIsNothingToSay)
{
    RunningQemu qemu(store_.directory(), material_, "first", {"-uuid", material_.uuid});
    import();
    EXPECT_EQ(member(registered(qemu).out, "$.differs[0]"), "");
}

TEST_F(RegistrationTest, DocumentFollowsADriveThatIsEmpty)
{
    RunningQemu qemu(store_.directory(), material_, "first", {}, kEmptyDrive);
    import();
    const Ran ran = registered(qemu);
    EXPECT_EQ(member(ran.out, "$.differs[0].key"), "hdc");
    EXPECT_EQ(cell("SELECT json_extract(json, '$.format') FROM thing WHERE key = 'hdc'"), "empty");
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
    EXPECT_TRUE(ended(xl({"insert", "7", "hdc", material_.images['b']}), 0));
}

TEST_F(RegistrationTest, AMediumOfAnotherFormatIsAnotherMedium)
{
    RunningQemu qemu(store_.directory(), material_, "first");
    import({{ "\"format\": \"raw\"", "\"format\": \"qcow2\"" }});
    EXPECT_EQ(member(registered(qemu).out, "$.differs[0].key"), "hdc");
    EXPECT_EQ(cell("SELECT json_extract(json, '$.format') FROM thing WHERE key = 'hdc'"), "raw");
}

TEST_F(RegistrationTest, ADriveThatQemuHasNotIsStale)
{
    RunningQemu qemu(store_.directory(), material_, "first");
    import({{ "\"hdc\"", "\"hdd\"" }});
    const Ran ran = registered(qemu);
    EXPECT_EQ(member(ran.out, "$.stale[0].key"), "hdd");
    EXPECT_EQ(entry("hdd"), "stale");
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
}

// libxl never takes entries out of its document: what was unplugged is not plugged in again.
TEST_F(RegistrationTest, WhatWasUnpluggedBecomesStaleAndIsNotPluggedIn)
{
    RunningQemu qemu(store_.directory(), material_, "first");
    import(
        {{ "\"disks\"",
           R"("usbctrls": [{"type": "devicemodel", "devid": 4, "version": 2}],
    "usbdevs": [{"ctrl": 0, "port": 2, "type.emulated": {"driver": "usb-tablet"}}],
    "disks")" }});
    const Ran ran = registered(qemu);
    EXPECT_TRUE(contains(ran.out, R"({"class":"usbdevs","key":"0.2")"));
    EXPECT_TRUE(contains(ran.out, R"({"class":"usbctrls","key":"4")"));
    EXPECT_EQ(entry("0.2"), "stale");
    EXPECT_EQ(entry("4"), "stale");
    EXPECT_EQ(devices_of(qemu.judge), "ide-5632 xenusb-0");
    EXPECT_TRUE(ended(fsck({"-p"}), 0));
    EXPECT_EQ(devices_of(qemu.judge), "ide-5632 xenusb-0");
}

TEST_F(RegistrationTest, WhatWasPluggedInGetsAnEntryAndCanBeTakenOut)
{
    RunningQemu qemu(store_.directory(), material_, "first", {"-device", "e1000,id=boot-nic"});
    plug_tablet(qemu, "hot");
    ask(qemu, "device_add",
        R"({"driver":"usb-mouse","bus":"xenusb-0.0","id":"xenusb-emulated-0-3","port":"3"})");
    ask(qemu, "chardev-add", R"({"id":"wire","backend":{"type":"null","data":{}}})");
    import();
    const Ran ran = registered(qemu);
    EXPECT_TRUE(contains(ran.out, "initial_devices_known\":true"));
    EXPECT_EQ(cell("SELECT group_concat(class || '/' || key, ' ') FROM (SELECT class, key FROM "
                   "thing WHERE primary_at = 'qemu' AND class <> 'disks' ORDER BY class, key)"),
              "qemu/hot qemu/wire usbdevs/0.3");
    EXPECT_EQ(initial("device"), "boot-nic ide-5632 xenusb-0");
    EXPECT_EQ(initial("chardev"), "judge xlstore-cmd");
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
    EXPECT_TRUE(ended(xl({"detach", "7", "qemu", "hot"}), 0));
    EXPECT_TRUE(ended(xl({"detach", "7", "usbdevs", "0.3"}), 0));
    EXPECT_TRUE(ended(xl({"detach", "7", "qemu", "wire"}), 0));
    EXPECT_EQ(devices_of(qemu.judge), "boot-nic ide-5632 xenusb-0");
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
}

TEST_F(RegistrationTest, AVcpuThatWasPluggedInIsOneOfTheDocument)
{
    RunningQemu qemu(store_.directory(), material_, "first", {"-smp", "1,maxcpus=3"});
    ask(qemu, "device_add",
        R"({"driver":"qemu64-x86_64-cpu","id":"cpu-2","socket-id":0,"core-id":2,"thread-id":0})");
    import();
    registered(qemu);
    EXPECT_EQ(cell("SELECT state FROM thing WHERE class = 'vcpus' AND key = '2'"), "present");
    EXPECT_EQ(member(xl({"export", "7"}).out, "$.b_info.avail_vcpus"), "[0,1,2]");
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
    // By its entry it is asked for; firmware without hotplug of processors makes QEMU refuse.
    EXPECT_TRUE(contains(xl({"--json", "detach", "7", "vcpus", "2"}).out, "device_del"));
}

TEST_F(RegistrationTest, DevicesWithoutIdAreToldByTheirNumber)
{
    RunningQemu qemu(store_.directory(), material_, "first",
                     {"-device", "usb-mouse,bus=xenusb-0.0"});
    ask(qemu, "device_add", R"({"driver":"usb-kbd","bus":"xenusb-0.0"})");
    import();
    registered(qemu);
    EXPECT_EQ(initial("anonymous"), "device[0]");
    EXPECT_EQ(entry("anonymous:device[1]"), "present");
}

// The old one's initial devices are not the new one's, and the other way round.
TEST_F(RegistrationTest, ASecondRegistrationKeepsNothingOfTheFirst)
{
    RunningQemu first(store_.directory(), material_, "first", {"-device", "usb-kbd,id=once"});
    import();
    registered(first);
    EXPECT_EQ(initial("device"), "ide-5632 once xenusb-0");
    first.kill();
    RunningQemu second(store_.directory(), material_, "second", {"-device", "e1000,id=boot-nic"});
    plug_tablet(second, "once");  // an id that the other one was started with
    registered(second);
    EXPECT_EQ(initial("device"), "boot-nic ide-5632 xenusb-0");
    EXPECT_EQ(entry("once"), "present");
    EXPECT_TRUE(ended(fsck({"-y", "--evict"}), 0));
    EXPECT_EQ(devices_of(second.judge), "boot-nic ide-5632 once xenusb-0");
}

// Once it was seen absent, its name is free for what is plugged in later.
TEST_F(RegistrationTest, AnInitialDeviceThatWasSeenAbsentIsForgotten)
{
    RunningQemu qemu(store_.directory(), material_, "first", {"-device", "usb-kbd,id=once"});
    import();
    registered(qemu);
    ASSERT_TRUE(contains(qmp(qemu.judge, "device_del", R"({"id":"once"})"), "return"));
    ASSERT_TRUE(wait_until(std::chrono::seconds(20),
                           [&] { return devices_of(qemu.judge) == "ide-5632 xenusb-0"; }));
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
    EXPECT_EQ(initial("device"), "ide-5632 once xenusb-0");  // -n writes nothing
    EXPECT_EQ(fsck({"-p"}).status & ~1, 0);
    EXPECT_EQ(initial("device"), "ide-5632 xenusb-0");
    plug_tablet(qemu, "once");
    EXPECT_TRUE(ended(fsck({"-p"}), 1));
    EXPECT_EQ(entry("once"), "present");
    EXPECT_TRUE(ended(xl({"detach", "7", "qemu", "once"}), 0));
}

TEST_F(RegistrationTest, BackEndsOfTheOptionNicAreInitial)
{
    RunningQemu qemu(store_.directory(), material_, "first",
                     {"-nic", "user,id=boot-net,model=virtio-net-pci", "-debugcon", "null"});
    import();
    registered(qemu);
    EXPECT_EQ(cell("SELECT count(*) FROM thing WHERE class = 'qemu'"), "0");
    EXPECT_EQ(initial("netdev"), "boot-net");
    EXPECT_EQ(initial("device"), "debugcon ide-5632 xenusb-0");
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
}

TEST_F(RegistrationTest, AThingOfTheDocumentThatIsThereIsPresentAgain)
{
    RunningQemu first(store_.directory(), material_, "first");
    import();
    registered(first);
    ASSERT_TRUE(ended(xl({"attach", "7", "qemu", tablet("tab")}), 0));
    first.kill();
    ASSERT_TRUE(ended(fsck({"-p"}), 1));
    EXPECT_EQ(entry("tab"), "stale");
    RunningQemu second(store_.directory(), material_, "second");
    plug_tablet(second, "tab");
    const Ran ran = registered(second);
    EXPECT_TRUE(contains(member(ran.out, "$.returned"), "tab"));
    EXPECT_EQ(entry("tab"), "present");
    EXPECT_TRUE(ended(xl({"detach", "7", "qemu", "tab"}), 0));
}

// What a device model on Xen makes when a disk's back end appears: no finding, never taken out.
TEST_F(RegistrationTest, WhatADeviceModelMadeIsNeitherAdoptedNorTakenOut)
{
    RunningQemu qemu(store_.directory(), material_, "first");
    ask(qemu, "object-add", R"({"qom-type":"iothread","id":"xvda"})");
    import();
    EXPECT_EQ(member(registered(qemu).out, "$.adopted"), "[]");
    ask(qemu, "object-add", R"({"qom-type":"iothread","id":"xvdb"})");  // a disk attached later
    ask(qemu, "blockdev-add", R"({"driver":"null-co","node-name":"xvdb-null-co"})");
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
    EXPECT_TRUE(ended(fsck({"-y", "--evict"}), 0));
    EXPECT_EQ(cell("SELECT count(*) FROM thing WHERE class = 'qemu'"), "0");
    const auto objects = qmp(qemu.judge, "qom-list", R"({"path":"/objects"})");
    EXPECT_TRUE(contains(objects, "\"xvda\""));
    EXPECT_TRUE(contains(objects, "\"xvdb\""));
    // Another object is none of a device model's.
    ask(qemu, "object-add", R"({"qom-type":"iothread","id":"io7"})");
    EXPECT_TRUE(ended(fsck({"-n"}), 4));
    EXPECT_TRUE(ended(fsck({"-y", "--evict"}), 1));
    EXPECT_FALSE(contains(qmp(qemu.judge, "qom-list", R"({"path":"/objects"})"), "io7"));
}

TEST_F(RegistrationTest, ConfigurationFilesAreReadWhereQemuReadThem)
{
    const std::string config = store_.directory() / "vm.cfg";
    write_file(config, "[device \"from-file\"]\n  driver = \"e1000\"\n");
    RunningQemu qemu(store_.directory(), material_, "first", {"-readconfig", config});
    import();
    registered(qemu);
    EXPECT_TRUE(contains(initial("device"), "from-file"));
    EXPECT_EQ(entry("from-file"), "");
}

// What cannot be told from what QEMU was started with is reported, and nothing more.
TEST_F(RegistrationTest, WithoutTheWholeCommandLineNothingIsAdoptedUnattendedOrTakenOut)
{
    const std::string config = store_.directory() / "vm.cfg";
    write_file(config, "[device \"from-file\"]\n  driver = \"e1000\"\n");
    RunningQemu qemu(store_.directory(), material_, "first", {"-readconfig", config});
    std::filesystem::remove(config);
    plug_tablet(qemu, "hot");
    import();
    const Ran ran = registered(qemu);
    EXPECT_TRUE(contains(ran.out, "initial_devices_known\":false"));
    EXPECT_TRUE(contains(ran.out, "vm.cfg"));
    EXPECT_EQ(member(ran.out, "$.adopted"), "[]");
    const auto rows = dump(store_.path());
    EXPECT_TRUE(contains(fsck({"-p"}).out, "whether QEMU was started with it is not known"));
    EXPECT_EQ(dump(store_.path()), rows);
    EXPECT_TRUE(ended(fsck({"-y", "--evict"}), 1));  // adopts
    EXPECT_TRUE(contains(devices_of(qemu.judge), "from-file"));
    EXPECT_TRUE(contains(devices_of(qemu.judge), "hot"));
    EXPECT_EQ(entry("hot"), "present");
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
}

// Killed anywhere, it has done nothing or all of it.
TEST_F(RegistrationTest, IsOneCommit)
{
    RunningQemu qemu(store_.directory(), material_, "first");
    plug_tablet(qemu, "hot");
    import();
    const auto rows = dump(store_.path());
    const auto state = state_of(qemu.judge);
    int nothing = 0;
    while (cell("SELECT qemu_pid FROM domain").empty()) {
        ASSERT_EQ(dump(store_.path()), rows);
        ASSERT_LT(nothing, 10);
        const Ran ran =
            xl({"register", "7", "--monitor", qemu.monitor}, crash_at("commit.before", ++nothing));
        EXPECT_TRUE(ran.status == 0 || ran.status == kKilled) << ran.err;
        EXPECT_EQ(state_of(qemu.judge), state);
    }
    EXPECT_GT(nothing, 1);
    EXPECT_EQ(cell("SELECT state FROM domain"), "running");
    EXPECT_EQ(cell("SELECT initial_from FROM domain"), "command line");
    EXPECT_EQ(entry("hot"), "present");
    EXPECT_TRUE(ended(fsck({"-n"}), 0));
}

TEST_F(RegistrationTest, ADomainThatIsBeingCreatedIsRefused)
{
    RunningQemu qemu(store_.directory(), material_, "first");
    import();
    {
        const auto store = store_.open();
        store->db().prepare("UPDATE domain SET state = 'creating'").run();
    }
    const auto rows = dump(store_.path());
    const Ran ran = registered(qemu, 1);
    EXPECT_EQ(member(ran.out, "$.error.code"), "conflict");
    EXPECT_EQ(dump(store_.path()), rows);
}

/// A peer that has what a Xen host's device model had, and takes every command for done.
TEST_F(RegistrationTest, SendsNothingButQueries)
{
    const auto monitor = store_.directory() / "peer";
    Answer devices = returns(
        "qom-list",
        R"([{"name":"ide-5632","type":"child<ide-cd>"},{"name":"stray","type":"child<e1000>"},)"
        R"({"name":"xen-vkbd-0","type":"child<xen-backend>"},)"
        R"({"name":"xen-console-0","type":"child<xen-backend>"}])");
    devices.about = "/machine/peripheral\"";
    Answer objects = returns("qom-list", R"([{"name":"hdc","type":"child<iothread>"}])");
    objects.about = "/objects\"";
    const std::vector<Answer> answers = {
        devices,
        objects,
        returns("qom-list", "[]"),
        returns("query-chardev", R"([{"label":"xencons0"}])"),
        returns("query-block", R"([{"device":"ide-5632","removable":true,"qdev":"ide-5632"}])"),
        returns("query-named-block-nodes", "[]"),
        returns("query-fdsets", "[]"),
        returns("human-monitor-command", "\"\""),
        returns("query-hotpluggable-cpus", "[]"),
        returns("x-debug-query-block-graph", R"({"nodes":[],"edges":[]})"),
    };
    const ScriptedPeer peer(
        monitor,
        script({handshake(), {step::serve(answers)}, handshake(), {step::serve(answers)}}));
    import();
    const Ran ran = xl({"--json", "register", "7", "--monitor", monitor});
    ASSERT_TRUE(ended(ran, 0));
    // A test's command line is none of QEMU's: what it was started with is not known.
    EXPECT_TRUE(contains(member(ran.out, "$.left"), "stray"));
    EXPECT_FALSE(contains(ran.out, "xen-vkbd-0"));
    const std::set<std::string> harmless = {"qmp_capabilities", "qom-list", "qom-get",
                                            "human-monitor-command", "x-debug-query-block-graph"};
    for (const auto& command : peer.commands())
        EXPECT_TRUE(command.starts_with("query-") || harmless.contains(command)) << command;
    for (const auto& received : peer.received()) {
        if (received.line.find("human-monitor-command") == std::string::npos) continue;
        EXPECT_TRUE(contains(received.line, "info network"));
    }
    const auto said = fsck({"-n"}).out;
    EXPECT_TRUE(contains(said, "stray"));
    for (const char* own : {"xen-vkbd-0", "xen-console-0", "\"hdc\" (", "xencons0", "object"})
        EXPECT_FALSE(contains(said, own)) << own;
}

// R20: what a QEMU lists decides neither what the store keeps nor what it takes to look.
TEST_F(RegistrationTest, AListWithoutEndIsRefusedAndChangesNothing)
{
    std::string labels = "[";
    for (int i = 0; labels.size() < 4'000'000; ++i)
        labels += R"({"label":"c)" + std::to_string(i) + R"("},)";
    labels.back() = ']';
    const auto monitor = store_.directory() / "peer";
    const std::vector<Answer> answers = {
        returns("qom-list", "[]"),     returns("query-chardev", labels),
        returns("query-block", "[]"),  returns("query-named-block-nodes", "[]"),
        returns("query-fdsets", "[]"), returns("human-monitor-command", "\"\"")};
    const ScriptedPeer peer(monitor, script({handshake(), {step::serve(answers)}}));
    import();
    const auto rows = dump(store_.path());
    const MemoryWatch watch;
    const Ran plain = xl({"list"});
    const Ran ran = xl({"--json", "register", "7", "--monitor", monitor});
    EXPECT_TRUE(ended(ran, 1));
    EXPECT_EQ(member(ran.out, "$.error.code"), "protocol");
    EXPECT_EQ(dump(store_.path()), rows);
    EXPECT_LT(ran.memory_kib(), plain.memory_kib() + 60 * 1024);
}

}  // namespace
}  // namespace xlstore::test
