// SPDX-License-Identifier: MIT
#include "store/model/document.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <stdexcept>

#include "store/base/limits.hpp"
#include "tests/support/values.hpp"

namespace xlstore {
namespace {

using test::sample;

constexpr const char* kCInfo =
    R"("c_info":{"name":"web","uuid":"8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01"})";

Document parse(std::string_view text)
{
    Result<Document> result = parse_document(text, "web.json");
    if (!result) throw std::invalid_argument(result.error().message);
    return *std::move(result);
}

/// A document with a good c_info and `rest` behind it.
std::string with(const std::string& rest)
{
    return "{" + std::string(kCInfo) + (rest.empty() ? "" : ",") + rest + "}";
}

std::string document_refusal(std::string_view text)
{
    const Result<Document> result = parse_document(text, "web.json");
    if (result) return "accepted";
    EXPECT_EQ(result.error().code, Errc::invalid);
    return result.error().message;
}

std::string text_of(const Document& document)
{
    return document_text(document.members, document.things);
}

std::string keys(const Document& document)
{
    std::string out;
    for (const DocumentMember& member : document.members)
        out += (out.empty() ? "" : " ") + member.key;
    return out;
}

class SampleDocument : public testing::TestWithParam<const char*> {};

TEST_P(SampleDocument, ComesBackByteForByte)
{
    std::string source = sample(GetParam());
    const Document document = parse(source);
    if (source.back() == '\0') source.pop_back();
    EXPECT_EQ(json_pretty(text_of(document), document.layout), source);
}

INSTANTIATE_TEST_SUITE_P(Document, SampleDocument,
                         testing::Values("all-device-kinds.json", "all-device-kinds.json_c.json",
                                         "hvm-rich.after-hotplug.json",
                                         "hvm-rich.after-hotplug.on-disk.raw", "hvm-rich.json",
                                         "hvm-rich.json_c.json", "json-c-0.18.json", "pv.json",
                                         "pvh-60-disks.json", "pvh-minimal.json", "real-hvm.raw",
                                         "real-pv.raw", "dom0-stub.json", "xl-named-pci.json",
                                         "xl-pv-qusb.json", "xl-usbctrl-auto.json"));

// This one was printed by neither of libxl's libraries.
TEST(Document, KeepsTheContentOfAForeignLayout)
{
    const std::string source = sample("hvm-rich.after-hotplug.retrieved.json");
    EXPECT_EQ(text_of(parse(source)), *json_minify(source, "x"));
}

TEST(Document, IsTheSameWithAndWithoutTheNulOnDisk)
{
    EXPECT_EQ(text_of(parse(sample("hvm-rich.after-hotplug.on-disk.raw"))),
              text_of(parse(sample("hvm-rich.after-hotplug.json"))));
}

TEST(Document, FindsNameUuidAndThings)
{
    const Document document = parse(sample("hvm-rich.after-hotplug.json"));

    EXPECT_EQ(document.name, "web01");
    EXPECT_EQ(document.uuid, "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01");
    EXPECT_EQ(document.layout, JsonLayout::yajl);
    std::string things;
    for (const DocumentThing& thing : document.things) {
        EXPECT_EQ(json_type(thing.json), JsonType::object);
        things += thing.device_class + "/" + thing.key + "@" + std::to_string(thing.position);
        things += thing.primary == Primary::qemu ? "Q " : "x ";
    }
    EXPECT_EQ(things,
              "disks/xvda@0x disks/hdc@1Q disks/xvdb@2x nics/0@0x nics/1@1x "
              "pcidevs/0000:03:00.0@0Q pcidevs/0000:04:00.0@1Q vfbs/#0@0x vkbs/#0@0x "
              "usbctrls/0@0Q usbctrls/1@1Q usbdevs/0.1@0Q usbdevs/1.2@1Q ");
}

TEST(Document, DetectsJsonC)
{
    EXPECT_EQ(parse(sample("hvm-rich.json_c.json")).layout, JsonLayout::json_c);
}

TEST(Document, GivesEveryAbsentArrayThePlaceThatLibxlWouldGiveIt)
{
    const Document document = parse(sample("pvh-minimal.json"));

    EXPECT_EQ(keys(document),
              "c_info b_info disks nics pcidevs rdms dtdevs vfbs vkbs virtios vtpms p9s pvcallsifs "
              "vdispls vsnds channels usbctrls usbdevs on_reboot on_soft_reset");
    std::int64_t rank = 0;
    for (const DocumentMember& member : document.members) {
        EXPECT_EQ(member.rank, rank += 10);
        EXPECT_EQ(member.key_text, json_quote(member.key));
        const bool is_array = find_device_class(member.key) != nullptr;
        EXPECT_EQ(member.text.has_value(), !is_array) << member.key;
    }
}

TEST(Document, PutsAnAbsentArrayBehindTheNearestEarlierOne)
{
    EXPECT_EQ(keys(parse(with(R"("future":1,"vsnds":[],"on_crash":"x","nics":[],"odd":2)"))),
              "c_info disks future vsnds channels usbctrls usbdevs on_crash nics pcidevs rdms "
              "dtdevs vfbs vkbs virtios vtpms p9s pvcallsifs vdispls odd");
    EXPECT_EQ(keys(parse("{\"usbdevs\":[],\"odd\":1," + std::string(kCInfo) + "}"))
                  .rfind("usbdevs odd c_info disks nics ", 0),
              0u);
}

TEST(Document, PutsAFirstThingWhereLibxlWould)
{
    Document document = parse(with(R"("b_info":{},"nics":[{"devid":0}],"on_crash":"preserve")"));
    document.things.push_back({"usbctrls", "0", 0, R"({"devid":0})", Primary::qemu});
    document.things.push_back({"disks", "xvda", 0, R"({"vdev":"xvda"})", Primary::xenstore});

    EXPECT_EQ(text_of(document),
              with(R"("b_info":{},"disks":[{"vdev":"xvda"}],"nics":[{"devid":0}],)"
                   R"("usbctrls":[{"devid":0}],"on_crash":"preserve")"));
}

TEST(Document, OrdersMembersByRankAndThingsByPosition)
{
    Document document = parse(with(R"("disks":[{"vdev":"b"},{"vdev":"a"},{"vdev":"c"}],"z":1)"));
    const std::string whole = text_of(document);
    std::reverse(document.members.begin(), document.members.end());
    std::reverse(document.things.begin(), document.things.end());
    document.things.front().position = 100;  // a gap, as after a removal

    EXPECT_EQ(text_of(document), whole);
}

TEST(Document, LeavesOutArraysWithoutThings)
{
    EXPECT_EQ(text_of(parse(with(R"("disks":[],"on_crash":"x")"))), with(R"("on_crash":"x")"));
}

TEST(Document, LeavesOutThingsOfClassesThatAreInNoDocument)
{
    Document document = parse(with(""));
    document.things.push_back({"vcpus", "1", 0, R"({"index":1})", Primary::qemu});
    document.things.push_back({"qemu", "k", 0, R"({"key":"k"})", Primary::qemu});
    EXPECT_EQ(text_of(document), with(""));
}

TEST(Document, DropsNoThingWhoseMemberIsMissing)
{
    Document document = parse(with(R"("disks":[{"vdev":"a"}],"z":1)"));
    std::erase_if(document.members, [](const DocumentMember& m) { return m.key == "disks"; });
    EXPECT_EQ(text_of(document), with(R"("z":1,"disks":[{"vdev":"a"}])"));
}

TEST(Document, KeepsUnknownMembersTheirOrderAndAllSpelling)
{
    const std::string text =
        with(R"("z":[1.50,-0,1e2,18446744073709551616],"disk\u0073":[{"vdev":"hd\u0063","x":{}}],)"
             R"("a\/b":"\u00e9","on_crash":null,"vcpus":[1],"qemu":{},"b_info":{})");
    EXPECT_EQ(text_of(parse(text)), text);
    EXPECT_EQ(parse(text).things.at(0).key, "hdc");
}

// Two that libxl has yet to look up are two things.
TEST(Document, KeepsPciDevicesByNameApart)
{
    const Document document = parse(sample("xl-named-pci.json"));
    std::string keys_of_pci;
    for (const DocumentThing& thing : document.things)
        if (thing.device_class == "pcidevs") keys_of_pci += thing.key + " ";
    EXPECT_EQ(keys_of_pci, "#0 #1 0000:03:00.0 0000:04:00.0 ");
}

// A path on Linux is bytes, and json-c takes them as they are.
TEST(Document, KeepsBytesThatAreNotUtf8)
{
    for (const char* path : {"/srv/\xff.img", "/srv/\xe4\xf6\xfc", "/srv/\xc3", "/srv/\xed\xa0\x80"}) {
        const std::string text = "{\n  " + std::string(kCInfo) +
                                 ",\n  \"disks\":[\n    {\n      \"pdev_path\":\"" +
                                 path + "\",\n      \"vdev\":\"xvda\"\n    }\n  ]\n}";
        Document document = parse(text);
        EXPECT_EQ(json_get_string(document.things.at(0).json, "pdev_path"), path);
        const auto again = json_minify(document.things.at(0).json, "again");
        EXPECT_TRUE(again && *again == document.things.at(0).json);
        const std::string printed = json_pretty(text_of(document), JsonLayout::json_c);
        const std::string spelled = std::string("\\/srv\\/") + (path + 5);
        EXPECT_NE(printed.find(spelled), std::string::npos) << printed;
    }
    EXPECT_EQ(document_refusal(with("\"disks\":[{\"vdev\":\"\xff\"}]")),
              "web.json: disks[0]: vdev is not UTF-8");
}

TEST(Document, BringsTheUuidToLowerCase)
{
    const std::string text =
        R"({"c_info":{"name":"w","uuid":"ABCDEF00-4B6E-4A51-9D3C-2F1E5A7B9C01"}})";
    EXPECT_EQ(parse(text).uuid, "abcdef00-4b6e-4a51-9d3c-2f1e5a7b9c01");
    EXPECT_EQ(text_of(parse(text)), text);
}

TEST(Document, RefusesWhatIsNoDocument)
{
    EXPECT_EQ(document_refusal("{\n\"a\"").rfind("web.json is not valid JSON at 2:4: ", 0), 0u);
    EXPECT_EQ(document_refusal("[]"), "web.json: it is not an object");
    EXPECT_EQ(document_refusal("{}"), "web.json: c_info is missing");
    EXPECT_EQ(document_refusal(R"({"c_info":[]})"), "web.json: c_info is not an object");
    EXPECT_EQ(document_refusal(R"({"c_info":{"name":"x","uuid":1}})"),
              "web.json: c_info.uuid is not a string");
}

// Xen's own domain has neither.
TEST(Document, WithoutUuidAndNameIsThatOfTheNilUuid)
{
    const Document stub = parse(sample("dom0-stub.json"));
    EXPECT_EQ(stub.uuid, kNilUuid);
    EXPECT_EQ(stub.name, "");
    EXPECT_EQ(parse(R"({"c_info":{"name":null,"uuid":null}})").uuid, kNilUuid);
    EXPECT_EQ(name_without_one(0), "Domain-0");

    const auto missing = [](std::string_view text) -> std::string {
        const auto checked = check_identified(parse(text), "web.json");
        return checked ? "nothing" : checked.error().message;
    };
    EXPECT_EQ(missing(sample("dom0-stub.json")), "web.json: c_info.uuid is missing");
    EXPECT_EQ(missing(R"({"c_info":{"uuid":"8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01"}})"),
              "web.json: c_info.name is missing");
    EXPECT_EQ(missing(with("")), "nothing");
}

TEST(Document, RefusesAWrongUuid)
{
    for (const char* uuid :
         {"", "x", "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c0", "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c011",
          "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c0g", "8f2c7d104-b6e-4a51-9d3c-2f1e5a7b9c01",
          "8f2c7d10a4b6ea4a51a9d3ca2f1e5a7b9c01", "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9-01"}) {
        const std::string text =
            "{\"c_info\":{\"name\":\"x\",\"uuid\":\"" + std::string(uuid) + "\"}}";
        EXPECT_EQ(document_refusal(text),
                  "web.json: c_info.uuid is not a UUID: \"" + std::string(uuid) + "\"");
    }
}

TEST(Document, RefusesAnUnusableName)
{
    const auto named = [](const std::string& name) {
        return R"({"c_info":{"uuid":"8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01")" + name + "}}";
    };
    EXPECT_EQ(document_refusal(named(",\"name\":1")), "web.json: c_info.name is not a string");
    EXPECT_EQ(document_refusal(named(",\"name\":\"a\xff\"")), "web.json: c_info.name is not UTF-8");
    EXPECT_EQ(document_refusal(named(",\"name\":\"\"")), "web.json: c_info.name is empty or holds a NUL");
    EXPECT_EQ(document_refusal(named(R"(,"name":"a\u0000b")")),
              "web.json: c_info.name is empty or holds a NUL");
    EXPECT_EQ(document_refusal(named(",\"name\":\"a\"")), "accepted");
}

TEST(Document, RefusesADeviceArrayOfTheWrongType)
{
    for (const DeviceClass& row : device_classes()) {
        if (!row.in_document) continue;
        const std::string name(row.name);
        for (const char* value : {"{}", "null", "1", "\"\""})
            EXPECT_EQ(document_refusal(with("\"" + name + "\":" + value)),
                      "web.json: " + name + " is not an array");
        EXPECT_EQ(document_refusal(with("\"" + name + "\":[1]")),
                  "web.json: " + name + "[0] is not an object");
    }
    EXPECT_EQ(document_refusal(with(R"("disks":[{"vdev":"a"},{"vdev":1}])")),
              "web.json: disks[1]: vdev is not a string");
}

TEST(Document, RefusesTheSameThingTwice)
{
    EXPECT_EQ(document_refusal(with(R"("disks":[{"vdev":"a"},{"vdev":"b"},{"vdev":"\u0061"}])")),
              "web.json: disks[2] is the same thing as disks[0]: \"a\"");
    EXPECT_EQ(document_refusal(with(R"("pcidevs":[{},{"domain":0,"bus":-0}])")),
              "web.json: pcidevs[1] is the same thing as pcidevs[0]: \"0000:00:00.0\"");
    EXPECT_EQ(document_refusal(with(R"("nics":[{"devid":0}],"vtpms":[{"devid":0}])")), "accepted");
    EXPECT_EQ(document_refusal(with(R"("nics":[{},{}],"vfbs":[{"devid":0},{"devid":0}])")), "accepted");
}

TEST(Document, RefusesAThingThatIsTooLarge)
{
    const auto disk = [](std::size_t bytes) {
        const std::string head = R"({"vdev":"a","x":")";
        return with("\"disks\":[" + head + std::string(bytes - head.size() - 2, 'x') + "\"}]");
    };
    EXPECT_EQ(document_refusal(disk(limits::thing_bytes_max)), "accepted");
    EXPECT_EQ(document_refusal(disk(limits::thing_bytes_max + 1)),
              "web.json: disks[0] is larger than 1048576 bytes");
}

TEST(Document, RefusesASampleCutAtAnyLength)
{
    const std::string whole = sample("real-hvm.raw");
    for (std::size_t size = 0; size <= whole.rfind('}'); ++size)
        EXPECT_FALSE(parse_document(std::string_view(whole).substr(0, size), "cut")) << size;
}

}  // namespace
}  // namespace xlstore
