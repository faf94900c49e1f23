// SPDX-License-Identifier: MIT
#include "store/qmp/qemu_command_line.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <map>

namespace xlstore {
namespace {

QemuCommandLine parsed(const std::vector<std::string>& words,
                       const std::map<std::string, std::string>& files = {})
{
    return parse_qemu_command_line(words, [&](const std::string& path) {
        const auto it = files.find(path);
        return it == files.end() ? std::nullopt : std::optional(it->second);
    });
}

TEST(QemuCommandLineTest, KnowsEachOptionThatGivesAnId)
{
    const auto line =
        parsed({"-device", "ide-cd,id=ide-5632,drive=x", "--device",
                R"({"driver":"virtio-rng-pci","id":"rng0","rng":"dice"})", "-object",
                "rng-builtin,id=dice", "-object", R"({"qom-type":"iothread","id":"io"})", "-netdev",
                "user,id=net0", "-chardev", "socket,id=c0,path=/a,,b,server=on", "-qmp",
                "unix:/run/q,server=on,wait=off"});
    EXPECT_TRUE(line.makes("device", "ide-5632", "ide-cd"));
    EXPECT_TRUE(line.makes("device", "rng0", ""));
    EXPECT_TRUE(line.makes("object", "dice", ""));
    EXPECT_TRUE(line.makes("object", "io", "iothread"));
    EXPECT_TRUE(line.makes("netdev", "net0", ""));
    EXPECT_TRUE(line.makes("chardev", "c0", ""));
    EXPECT_TRUE(line.makes("chardev", "c0-base", ""));
    EXPECT_EQ(line.sockets, (std::vector<std::string>{"/a,b", "/run/q"}));
    EXPECT_FALSE(line.gap());
    // Of that kind, and by its whole name.
    EXPECT_FALSE(line.makes("object", "ide-5632", ""));
    EXPECT_FALSE(line.makes("device", "ide-563", ""));
    EXPECT_FALSE(line.makes("device", "dice", ""));
    EXPECT_FALSE(line.makes("device", "x", ""));
}

TEST(QemuCommandLineTest, AValueThatLooksLikeAnIdIsNone)
{
    const auto line = parsed({"-name", "id=hot", "-append", "-device id=hot", "-device",
                              "usb-serial,chardev=hot,,id=hot,id=cold", "-qmp", "stdio"});
    EXPECT_FALSE(line.makes("device", "hot", ""));
    EXPECT_TRUE(line.makes("device", "cold", ""));
    EXPECT_FALSE(line.makes("chardev", "hot", ""));
}

TEST(QemuCommandLineTest, BlockNodesAreNamedAtAnyDepth)
{
    const auto line = parsed(
        {"-blockdev",
         "driver=raw,node-name=top,file.driver=file,file.node-name=low,"
         "file.filename=/a.img",
         "-blockdev",
         R"({"driver":"qcow2","node-name":"t2","file":{"driver":"file","node-name":"l2","filename":"/b.img"}})",
         "-drive", "file=/c,,1.iso,if=none,id=cd,node-name=t3", "-cdrom", "/d.iso"});
    for (const char* name : {"top", "low", "t2", "l2", "t3", "#block123"})
        EXPECT_TRUE(line.makes("node", name, "")) << name;
    EXPECT_FALSE(line.makes("node", "cd", ""));
    EXPECT_FALSE(line.makes("device", "cd", ""));
    for (const char* file : {"/a.img", "/b.img", "/c,1.iso", "/d.iso"})
        EXPECT_TRUE(line.names_file(file)) << file;
    EXPECT_FALSE(line.names_file("/c"));
}

TEST(QemuCommandLineTest, DevicesWithoutIdAreCounted)
{
    const auto line = parsed({"-device", "VGA", "-device", R"({"driver":"usb-mouse"})", "-drive",
                              "file=/a,if=virtio", "-device", "usb-tablet,id=t"});
    EXPECT_TRUE(line.makes("anonymous", "device[0]", "VGA"));
    EXPECT_TRUE(line.makes("anonymous", "device[2]", ""));
    EXPECT_FALSE(line.makes("anonymous", "device[3]", ""));
    EXPECT_FALSE(line.makes("anonymous", "device[-1]", ""));
    EXPECT_FALSE(line.makes("anonymous", "device", ""));
}

TEST(QemuCommandLineTest, ShortOptionsNameWhatTheyMake)
{
    const auto line = parsed({"-nic", "user,id=abc,model=virtio-net-pci", "-net", "user,id=nu",
                              "-net", "nic", "-debugcon", "null"});
    EXPECT_TRUE(line.makes("netdev", "abc", "user"));
    EXPECT_TRUE(line.makes("netdev", "nu", "user"));
    EXPECT_FALSE(line.makes("netdev", "other", "user"));
    EXPECT_TRUE(line.makes("device", "debugcon", "isa-debugcon"));
    EXPECT_FALSE(line.makes("anonymous", "device[0]", ""));
}

// As many as the options ask for, counted as QEMU 7.2 counts them (each list was read from one): a
// device of such a name that came later is not initial.
TEST(QemuCommandLineTest, WhatQemuNumbersItselfIsCounted)
{
    const struct {
        std::vector<std::string> words;
        std::string kind;
        std::vector<std::string> own;
        std::vector<std::string> of_others;
    } cases[] = {
        {{}, "chardev", {"serial0", "parallel0", "compat_monitor0"}, {"serial1", "parallel1", "gdb"}},
        {{"-nodefaults", "-qmp", "stdio"}, "chardev", {"compat_monitor0"}, {"serial0", "serial7"}},
        {{"-serial", "null", "-serial", "none", "-serial", "mon:null"},
         "chardev",
         {"serial0", "serial2", "serial2-base"},
         {"serial3", "serial-mine"}},
        {{"-nodefaults", "-monitor", "null", "-qmp", "stdio", "-debugcon", "null", "-gdb", "null"},
         "chardev",
         {"compat_monitor0", "compat_monitor1", "debugcon", "gdb"},
         {"compat_monitor2", "gdbx", "debugcon1"}},
        {{"-s"}, "chardev", {"gdb"}, {"gdb0"}},
        {{}, "netdev", {"hub0port0", "hub0port1"}, {"hub0port2", "user.0", "__org.qemu.nic0"}},
        {{"-nodefaults", "-net", "user", "-net", "nic", "-net", "user,restrict=on"},
         "netdev",
         {"hub0port0", "hub0port2", "user.1", "nic.0"},
         {"hub0port3", "user.2", "tap.0", "hubxport1"}},
        {{"-nodefaults", "-nic", "user"}, "netdev", {"__org.qemu.nic0"}, {"__org.qemu.nic1"}},
        {{}, "object", {"pc.ram"}, {"dimm1.ram", "dbus-display"}},
        {{"-display", "dbus"}, "object", {"dbus-display"}, {"dbus"}},
        {{"-M", "pc,memory-backend=m", "-object", "memory-backend-ram,id=m,size=64M"},
         "object",
         {"m"},
         {"pc.ram"}},
    };
    for (const auto& one : cases) {
        const auto line = parsed(one.words);
        for (const auto& name : one.own)
            EXPECT_TRUE(line.makes(one.kind, name, "")) << name;
        for (const auto& name : one.of_others)
            EXPECT_FALSE(line.makes(one.kind, name, "")) << name;
    }
    EXPECT_TRUE(parsed({}).makes("object", "pc.ram", "memory-backend-ram"));
    EXPECT_FALSE(parsed({}).makes("object", "pc.ram", "iothread"));
}

TEST(QemuCommandLineTest, ConfigurationFilesAreRead)
{
    const std::string text =
        "# a comment\n[device \"boot-nic\"]\n  driver = \"e1000\"\n\n[device]\ndriver=\"VGA\"\n"
        "[drive \"d\"]\n  file = \"/x.iso\"\n  node-name = \"dn\"\n[chardev \"wire\"]\n"
        "  backend = \"null\"\n[object \"io\"]\n  qom-type = \"iothread\"\n[netdev \"n\"]";
    const auto line = parsed({"-readconfig", "vm.cfg"}, {{"vm.cfg", text}});
    EXPECT_TRUE(line.makes("device", "boot-nic", ""));
    EXPECT_TRUE(line.makes("anonymous", "device[0]", ""));
    EXPECT_FALSE(line.makes("anonymous", "device[1]", ""));
    EXPECT_TRUE(line.makes("node", "dn", ""));
    EXPECT_TRUE(line.names_file("/x.iso"));
    EXPECT_TRUE(line.makes("chardev", "wire", ""));
    EXPECT_TRUE(line.makes("object", "io", ""));
    EXPECT_TRUE(line.makes("netdev", "n", ""));
    EXPECT_FALSE(line.gap());
}

TEST(QemuCommandLineTest, SaysWhatItDoesNotKnow)
{
    EXPECT_TRUE(parsed({"-device", "VGA"}).gap());  // no monitor: another program's
    const auto gap = parsed({"-readconfig", "/no/such"}).gap();
    ASSERT_TRUE(gap);
    EXPECT_NE(gap->find("/no/such"), std::string::npos);
    EXPECT_FALSE(read_qemu_command_line(-1));
    EXPECT_TRUE(read_qemu_command_line(getpid()));  // can be read, and is none of QEMU's
    EXPECT_TRUE(read_qemu_command_line(getpid())->gap());
}

TEST(QemuCommandLineTest, StaysWithinWhatItWasGiven)
{
    for (const char* odd : {"", ",", "=", "a=", ",,,", "{", "{}", "{\"id\":1}", "id=", "[]"})
        for (const char* option : {"-device", "-blockdev", "-chardev", "-drive", "-qmp", "-object"})
            (void)parsed({option, odd, option});
    for (const char* odd : {"[", "[device", "[device \"", "=\"", "x", "[]\n=\"a\"", "\"\"\n"})
        (void)parsed({"-readconfig", "f"}, {{"f", odd}});
}

}  // namespace
}  // namespace xlstore
