// SPDX-License-Identifier: MIT
// Documents of libxl through a store: what SQL shows and what is exported is what came in.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "store/core/domain.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "store/model/document.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/scratch_domain.hpp"
#include "tests/support/values.hpp"

namespace xlstore {
namespace {

class DocumentViewTest : public testing::TestWithParam<const char*> {};

TEST_P(DocumentViewTest, ViewAndExportGiveTheDocumentBack)
{
    const test::ScratchStore scratch;
    auto store = scratch.open();
    std::string text =
        test::read_file(std::string(XLSTORE_SOURCE_DIR "/tests/unit/samples/") + GetParam());
    ASSERT_FALSE(text.empty());

    auto domain = store->loop().wait_for(
        import_domain(*store, 7, text, GetParam(), Clock::now() + std::chrono::seconds(20)));

    ASSERT_TRUE(domain) << domain.error().message;
    if (text.back() == '\0') text.pop_back();  // libxl stores it with its NUL
    EXPECT_EQ(*export_document(store->db(), *domain), text);
    const auto document = parse_document(text, "sample");
    ASSERT_TRUE(document);
    const auto expected = document_text(document->members, document->things);
    EXPECT_EQ(test::sql(scratch.path(), "SELECT json FROM libxl_json"), expected);
    EXPECT_EQ(read_document(store->db(), domain->id), expected);
    EXPECT_EQ(json_minify(text, "sample").has_value(), true);
    EXPECT_EQ(*json_minify(text, "sample"), expected);
}
INSTANTIATE_TEST_SUITE_P(
    Samples, DocumentViewTest,
    testing::Values("all-device-kinds.json", "all-device-kinds.json_c.json", "hvm-rich.json",
                    "hvm-rich.json_c.json", "hvm-rich.after-hotplug.json",
                    "hvm-rich.after-hotplug.on-disk.raw", "pv.json", "pvh-60-disks.json",
                    "pvh-minimal.json", "real-hvm.raw", "real-pv.raw"),
    [](const auto& one) {
        std::string name = one.param;
        std::replace_if(
            name.begin(), name.end(), [](char c) { return c == '.' || c == '-'; }, '_');
        return name;
    });

// R2: what is exported is JSON, or it is no document at all.
TEST(DamagedDocumentTest, IsNotExportedAndTheTextThatIsDamagedIsNamed)
{
    const test::ScratchStore scratch;
    auto store = scratch.open();
    const auto domain = store->loop().wait_for(
        import_domain(*store, 7, test::hvm_document("web", test::kUuid, "/a"), "web.json",
                      Clock::now() + std::chrono::seconds(20)));
    ASSERT_TRUE(domain) << domain.error().message;
    Db& db = store->db();
    const auto why = [&](const char* damage, const char* repair) {
        db.execute(damage);
        const auto text = export_document(db, *domain);
        db.execute(repair);
        EXPECT_TRUE(export_document(db, *domain));
        return text ? *text
                    : std::string(errc_name(text.error().code)) + ": " + text.error().message;
    };
    const auto entry =
        why("UPDATE thing SET json = replace(json, '\"vdev\"', 'vdev') WHERE key = 'hdc'",
            "UPDATE thing SET json = replace(json, 'vdev', '\"vdev\"') WHERE key = 'hdc'");
    EXPECT_TRUE(entry.starts_with("store: domain 7 (web): disks/hdc: its text is not valid JSON"))
        << entry;
    const auto member = why(
        "UPDATE document_member SET text = text || '}' WHERE key = 'b_info'",
        "UPDATE document_member SET text = substr(text, 1, length(text) - 1) WHERE key = 'b_info'");
    EXPECT_TRUE(
        member.starts_with("store: domain 7 (web): member \"b_info\": its text is not valid JSON"))
        << member;
}

}  // namespace
}  // namespace xlstore
