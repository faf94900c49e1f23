// SPDX-License-Identifier: MIT
#include "recovery/libxl/document_edits.hpp"

#include <gtest/gtest.h>

#include "store/text/json_text.hpp"

namespace xlstore::recovery {
namespace {

using What = ElementEdit::What;

constexpr const char* kText = R"({
    "c_info": {
        "type": "hvm",
        "name": "web",
        "uuid": "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01",
        "newer": 1.50
    },
    "b_info": {
        "max_vcpus": 4,
        "avail_vcpus": [
            0,
            1
        ]
    },
    "disks": [
        {
            "pdev_path": "/a.iso",
            "vdev": "hdc",
            "format": "raw",
            "is_cdrom": 1
        }
    ],
    "on_reboot": "restart"
}
)";

std::string edited(const ElementEdit& edit)
{
    auto text = with_edits(kText, {edit});
    return text ? *text : "error: " + text.error().message;
}

TEST(DocumentEditsTest, WithoutEditsItStaysByteForByte)
{
    EXPECT_EQ(with_edits(kText, {}) ? *with_edits(kText, {}) : "", kText);
}

TEST(DocumentEditsTest, OneElementChangesAndAllElseStays)
{
    std::string expected(kText);
    expected.replace(expected.find("/a.iso"), 6, "/b.iso");
    EXPECT_EQ(edited({What::replace,
                      {"disks", "hdc"},
                      R"({"pdev_path":"/b.iso","vdev":"hdc","format":"raw","is_cdrom":1})"}),
              expected);
    expected = kText;
    expected.replace(expected.find("/a.iso"), 6, "");
    expected.replace(expected.find("\"raw\""), 5, "\"empty\"");
    EXPECT_EQ(edited({What::empty_drive, {"disks", "hdc"}}), expected);
}

TEST(DocumentEditsTest, AnElementIsAddedWhereLibxlHasItsArray)
{
    const auto text = edited({What::add, {"vkbs", "#7"}, R"({"devid":1})"});
    const auto array =
        text.find("\"vkbs\": [\n        {\n            \"devid\": 1\n        }\n    ]");
    ASSERT_NE(array, std::string::npos) << text;
    EXPECT_GT(array, text.find("\"disks\""));
    EXPECT_LT(array, text.find("\"on_reboot\""));
}

TEST(DocumentEditsTest, ProcessorsStayInOrder)
{
    std::string expected(kText);
    expected.replace(expected.find("0,\n            1"), 16, "0,\n            1,\n            3");
    EXPECT_EQ(edited({What::add_vcpu, {"vcpus", "3"}}), expected);
    EXPECT_EQ(edited({What::add_vcpu, {"vcpus", "1"}}), kText);
}

TEST(DocumentEditsTest, WhatAnotherProgramChangedMeanwhileIsNotOverwritten)
{
    for (const auto& edit : {ElementEdit{What::replace, {"disks", "hdd"}, "{}"},
                             ElementEdit{What::empty_drive, {"disks", "hdd"}},
                             ElementEdit{What::add, {"disks", "hdc"}, R"({"vdev":"hdc"})"}}) {
        const auto text = with_edits(kText, {edit});
        ASSERT_FALSE(text);
        EXPECT_EQ(text.error().code, Errc::conflict);
    }
    EXPECT_FALSE(with_edits("[", {}));
}

TEST(DocumentEditsTest, ABareDocumentHasWhatXenstoreTells)
{
    xenstore::Tree tree;
    tree.nodes = {{"/libxl/7/type", "pvh"},
                  {"/local/domain/7/name", "web"},
                  {"/local/domain/7/cpu/0", ""},
                  {"/local/domain/7/cpu/0/availability", "online"},
                  {"/local/domain/7/cpu/1", ""},
                  {"/local/domain/7/cpu/1/availability", "offline"},
                  {"/local/domain/7/memory/static-max", "131072"},
                  {"/local/domain/7/memory/target", "what the guest wrote"}};
    const auto text =
        json_minify(bare_document(tree, 7, "8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01"), "it");
    ASSERT_TRUE(text);
    EXPECT_EQ(
        *text,
        R"({"c_info":{"type":"pvh","name":"web","uuid":"8f2c7d10-4b6e-4a51-9d3c-2f1e5a7b9c01"},)"
        R"("b_info":{"max_vcpus":2,"avail_vcpus":[0],"max_memkb":131072,"type.pvh":{}}})");
}

}  // namespace
}  // namespace xlstore::recovery
