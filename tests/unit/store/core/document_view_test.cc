// SPDX-License-Identifier: MIT
// Documents of libxl through a store: what SQL shows and what is exported is what came in.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "store/core/domain.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "store/model/document.hpp"
#include "tests/support/scratch.hpp"

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

}  // namespace
}  // namespace xlstore
