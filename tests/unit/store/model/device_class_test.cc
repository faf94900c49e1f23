// SPDX-License-Identifier: MIT
#include "store/model/device_class.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "store/text/json_text.hpp"

namespace xlstore {
namespace {

const DeviceClass& row(std::string_view name)
{
    const DeviceClass* found = find_device_class(name);
    if (found == nullptr) throw std::invalid_argument(std::string(name));
    return *found;
}

std::string key(std::string_view name, std::string_view element, std::size_t position = 7)
{
    const Result<std::string> result = thing_key(row(name), element, position);
    if (!result && result.error().code != Errc::invalid) return "wrong code";
    return result ? *result : "refused: " + result.error().message;
}

TEST(DeviceClass, ListsTheArraysInTheOrderOfLibxl)
{
    std::vector<std::string_view> in_document;
    std::vector<std::string_view> others;
    for (const DeviceClass& device_class : device_classes())
        (device_class.in_document ? in_document : others).push_back(device_class.name);

    EXPECT_EQ(in_document,
              (std::vector<std::string_view>{
                  "disks", "nics", "pcidevs", "rdms", "dtdevs", "vfbs", "vkbs", "virtios", "vtpms",
                  "p9s", "pvcallsifs", "vdispls", "vsnds", "channels", "usbctrls", "usbdevs"}));
    EXPECT_EQ(others, (std::vector<std::string_view>{"vcpus", "qemu"}));
}

TEST(DeviceClass, IsFoundByItsWholeName)
{
    EXPECT_EQ(row("usbdevs").name, "usbdevs");
    EXPECT_EQ(find_device_class("usb"), nullptr);
    EXPECT_EQ(find_device_class(""), nullptr);
    EXPECT_EQ(find_device_class("c_info"), nullptr);
}

TEST(DeviceClass, KeysADiskByItsVdevAsSpelled)
{
    EXPECT_EQ(key("disks", R"({"pdev_path":"x","vdev":"hdc"})"), "hdc");
    EXPECT_EQ(key("disks", R"({"vdev":"\u0068dc"})"), "hdc");
    EXPECT_EQ(key("disks", R"({"vdev":"d0p0"})"), "d0p0");
    EXPECT_EQ(key("disks", R"({"pdev_path":"x"})"), "");
    EXPECT_EQ(key("disks", R"({"vdev":null})"), "");

    EXPECT_EQ(key("disks", R"({"vdev":5})"), "refused: disks[7]: vdev is not a string");
    EXPECT_EQ(key("disks", R"({"vdev":""})"), "refused: disks[7]: vdev is empty");
    EXPECT_EQ(key("disks", R"({"vdev":"hd\u0000c"})"), "refused: disks[7]: vdev holds a NUL");
}

TEST(DeviceClass, KeysByDevidWhereThereIsOne)
{
    for (const char* name : {"nics", "vtpms", "vdispls", "vsnds", "usbctrls"}) {
        EXPECT_EQ(key(name, R"({"devid":0})"), "0") << name;
        EXPECT_EQ(key(name, R"({"mac":"x","devid":12})"), "12") << name;
        EXPECT_EQ(key(name, "{}"), "") << name;
        EXPECT_EQ(key(name, R"({"devid":-1})"), "") << name;
    }

    const std::string refused = "refused: nics[7]: devid is not an integer from -1 to 2147483647";
    for (const char* devid :
         {"\"0\"", "null", "1.0", "1e2", "true", "[]", "-2", "3000000000", "18446744073709551615"})
        EXPECT_EQ(key("nics", "{\"devid\":" + std::string(devid) + "}"), refused) << devid;
}

TEST(DeviceClass, KeysAUsbDeviceByControllerAndPort)
{
    EXPECT_EQ(key("usbdevs", R"({"ctrl":0,"port":1})"), "0.1");
    EXPECT_EQ(key("usbdevs", R"({"port":12,"ctrl":3,"type.hostdev":{}})"), "3.12");
    EXPECT_EQ(key("usbdevs", R"({"ctrl":0})"), "");
    EXPECT_EQ(key("usbdevs", R"({"port":1})"), "");
    EXPECT_EQ(key("usbdevs", R"({"ctrl":0,"port":0})"), "");
    EXPECT_EQ(key("usbdevs", R"({"type.hostdev":{"hostbus":1}})"), "");

    EXPECT_EQ(key("usbdevs", R"({"ctrl":"0","port":1})"),
              "refused: usbdevs[7]: ctrl is not an integer from -1 to 2147483647");
    EXPECT_EQ(key("usbdevs", R"({"ctrl":0,"port":[]})"),
              "refused: usbdevs[7]: port is not an integer from 0 to 2147483647");
}

TEST(DeviceClass, KeysAPciDeviceByItsAddress)
{
    EXPECT_EQ(key("pcidevs", R"({"bus":3})"), "0000:03:00.0");
    EXPECT_EQ(key("pcidevs", R"({"func":7,"dev":31,"bus":255,"domain":43981})"), "abcd:ff:1f.7");
    EXPECT_EQ(key("pcidevs", R"({"domain":65536})"), "10000:00:00.0");
    EXPECT_EQ(key("pcidevs", "{}"), "0000:00:00.0");

    EXPECT_EQ(key("pcidevs", R"({"bus":256})"),
              "refused: pcidevs[7]: bus is not an integer from 0 to 255");
    EXPECT_EQ(key("pcidevs", R"({"dev":32})"),
              "refused: pcidevs[7]: dev is not an integer from 0 to 31");
    EXPECT_EQ(key("pcidevs", R"({"func":"8"})"),
              "refused: pcidevs[7]: func is not an integer from 0 to 7");
    EXPECT_EQ(key("pcidevs", R"({"domain":-1})"),
              "refused: pcidevs[7]: domain is not an integer from 0 to 2147483647");
}

// R16: a place in an array is no identity; the store gives each a key that lasts.
TEST(DeviceClass, KeysNothingThatHasNoIdentity)
{
    for (const char* name :
         {"rdms", "dtdevs", "vfbs", "vkbs", "virtios", "p9s", "pvcallsifs", "channels"}) {
        EXPECT_EQ(key(name, R"({"devid":0})", 0), "") << name;
        EXPECT_EQ(key(name, R"({"devid":0})", 3), "") << name;
    }
}

TEST(DeviceClass, KeysNoPciDeviceGivenByNameAlone)
{
    EXPECT_EQ(key("pcidevs", R"({"name":"gpu"})"), "");
    EXPECT_EQ(key("pcidevs", R"({"name":"gpu","domain":0,"bus":0,"dev":0,"func":0})"), "");
    EXPECT_EQ(key("pcidevs", R"({"name":"gpu","bus":3})"), "0000:03:00.0");
    EXPECT_EQ(key("pcidevs", R"({"name":null})"), "0000:00:00.0");
    EXPECT_EQ(key("pcidevs", R"({"name":5})"), "refused: pcidevs[7]: name is not a string");
}

TEST(DeviceClass, KeysWhatIsInNoDocument)
{
    EXPECT_EQ(key("vcpus", R"({"index":2})"), "2");
    EXPECT_EQ(key("vcpus", "{}"), "refused: vcpus[7]: index is missing");
    EXPECT_EQ(key("vcpus", R"({"index":-1})"),
              "refused: vcpus[7]: index is not an integer from 0 to 2147483647");
    EXPECT_EQ(key("qemu", R"({"key":"net/tap7"})"), "net/tap7");
    EXPECT_EQ(key("qemu", "{}"), "refused: qemu[7]: key is missing");
    EXPECT_EQ(key("qemu", R"({"key":1})"), "refused: qemu[7]: key is not a string");
}

TEST(DeviceClass, RefusesAnElementThatIsNoObject)
{
    for (const DeviceClass& device_class : device_classes())
        for (const char* element : {"1", "null", "[]", "\"vdev\""})
            EXPECT_EQ(key(device_class.name, element),
                      "refused: " + std::string(device_class.name) + "[7] is not an object");
}

/// A row of the table in store/DESIGN.md: | class | `element` | in HVM | in PV and PVH |
struct PlacedRow {
    std::string device_class, element, hvm, pv;
};

std::vector<PlacedRow> rows_of_the_design()
{
    std::ifstream design(XLSTORE_SOURCE_DIR "/store/DESIGN.md");
    std::vector<PlacedRow> rows;
    for (std::string line; std::getline(design, line);) {
        std::istringstream cells(line);
        std::vector<std::string> cell;
        for (std::string one; std::getline(cells, one, '|');) {
            one.erase(0, one.find_first_not_of(" `"));
            one.erase(one.find_last_not_of(" `") + 1);
            cell.push_back(one);
        }
        if (cell.size() == 5 && find_device_class(cell[1]) != nullptr && cell[2].starts_with('{'))
            rows.push_back({cell[1], cell[2], cell[3], cell[4]});
    }
    return rows;
}

/// Controller 0 is the device model's in HVM, 1 never is.
DomainTraits with_controllers(DomainType type)
{
    DomainTraits traits{type};
    traits.add_controller(R"({"devid":0})");
    traits.add_controller(R"({"type":"qusb","devid":1})");
    return traits;
}

TEST(DeviceClass, IsWhereTheTableOfTheDesignSays)
{
    std::set<std::string> tried;
    for (const auto& [device_class, element, hvm, pv] : rows_of_the_design()) {
        const auto in = [&](DomainType type) -> std::string {
            return std::string(
                primary_name(thing_primary(row(device_class), element, with_controllers(type))));
        };
        EXPECT_EQ(in(DomainType::hvm), hvm) << device_class << " " << element;
        EXPECT_EQ(in(DomainType::unknown), hvm) << device_class << " " << element;
        EXPECT_EQ(in(DomainType::pv), pv) << device_class << " " << element;
        EXPECT_EQ(in(DomainType::pvh), pv) << device_class << " " << element;
        tried.insert(device_class);
    }
    EXPECT_EQ(tried.size(), device_classes().size()) << "each class has a row";
}

TEST(DeviceClass, ReadsNumbersAndWordsAsLibxlDoes)
{
    const DomainTraits hvm{DomainType::hvm};
    const auto primary = [&](const char* name, const char* element) {
        return thing_primary(row(name), element, hvm);
    };
    EXPECT_EQ(primary("disks", R"({"vdev":"hdc","is_cdrom":0})"), Primary::xenstore);
    EXPECT_EQ(primary("disks", R"({"vdev":"hdc","is_cdrom":"1"})"), Primary::xenstore);
    EXPECT_EQ(primary("usbctrls", R"({"type":"DeviceModel"})"), Primary::qemu);
    EXPECT_EQ(primary("usbctrls", R"({"type":"QUSB"})"), Primary::xenstore);
    EXPECT_EQ(primary("usbctrls", R"({"type":2})"), Primary::qemu) << "libxl takes no notice of it";
}

TEST(DeviceClass, TypeOfADomainIsReadAsLibxlReadsIt)
{
    EXPECT_EQ(domain_type_in(R"({"type":"pv"})", R"({"type.hvm":{}})"), DomainType::pv);
    EXPECT_EQ(domain_type_in(R"({"type":"PVH"})", ""), DomainType::pvh);
    EXPECT_EQ(domain_type_in("{}", R"({"max_vcpus":1,"type.hvm":{}})"), DomainType::hvm);
    EXPECT_EQ(domain_type_in(R"({"type":"invalid"})", R"({"type.pv":{}})"), DomainType::pv);
    EXPECT_EQ(domain_type_in("{}", R"({"type.invalid":{}})"), DomainType::unknown);
    EXPECT_EQ(domain_type_in("", ""), DomainType::unknown);
}

TEST(DeviceClass, AnElementOfAKeyHasThatKeyAndThatPrimary)
{
    for (const DeviceClass& each : device_classes()) {
        const std::string element =
            R"({"vdev":"hd\"c","devid":3,"ctrl":1,"port":2,"domain":65536,"bus":3,"dev":31,)"
            R"("func":7,"index":2,"key":"a b"})";
        for (const auto& text : {element, std::string("{}"), std::string(R"({"name":"n"})")}) {
            const auto known = thing_key(each, text, 7);
            if (!known) continue;  // this class has none without
            for (const bool in_qemu : {true, false}) {
                const auto made = element_of_key(each, known->empty() ? "#7" : *known, in_qemu);
                ASSERT_TRUE(json_minify(made, "made")) << each.name << " " << made;
                EXPECT_EQ(*thing_key(each, made, 7), *known) << each.name;
                if (each.name == "disks" || each.name == "usbctrls") {
                    EXPECT_EQ(thing_primary(each, made, {}) == Primary::qemu, in_qemu) << each.name;
                }
            }
        }
    }
}

}  // namespace
}  // namespace xlstore
