// SPDX-License-Identifier: MIT
// Properties over all that libxl can write: what is imported comes back byte for byte, and after an
// edit the text is the one that libxl would have written.
#include "tests/support/libxl_document.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <set>

#include "store/classes/class_plan.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "store/model/libxl_fields.hpp"
#include "store/operation/edit.hpp"
#include "store/operation/identity.hpp"
#include "store/text/json_text.hpp"
#include "tests/support/scratch.hpp"
#include "tests/support/values.hpp"

namespace xlstore {
namespace {

using test::LibxlDocuments;
using test::Printer;
using test::soon;
using test::Tree;

constexpr int kOldest = 17;
constexpr int kNewest = 23;

/// The layouts in which that version of Xen 4 writes.
std::vector<Printer> printers_of(int version)
{
    if (version < 21) return {Printer::yajl};
    return {Printer::json_c, Printer::json_c_18};
}

std::string minified(const Tree& tree)
{
    const auto text = json_minify(tree.print(Printer::yajl), "tree");
    EXPECT_TRUE(text) << (text ? "" : text.error().message);
    return text ? *text : "{}";
}

std::string round_trip(const std::string& text)
{
    const auto document = parse_document(text, "generated");
    if (!document) return document.error().message;
    return json_pretty(document_text(document->members, document->things), document->layout);
}

/// Where two long texts part; "": nowhere.
std::string difference(const std::string& got, const std::string& wanted)
{
    if (got == wanted) return {};
    const auto parts = std::mismatch(got.begin(), got.end(), wanted.begin(), wanted.end());
    const auto at = static_cast<std::size_t>(parts.first - got.begin());
    const auto from = at < 40 ? 0 : at - 40;
    return got.substr(from, 120) + "\ninstead of\n" + wanted.substr(from, 120);
}

TEST(LibxlDocument, ComesBackByteForByteOfEachVersionAndLayout)
{
    std::set<std::string> arrays;
    for (std::uint32_t seed = 0; seed < 140; ++seed) {
        const int version = kOldest + static_cast<int>(seed) % (kNewest - kOldest + 1);
        LibxlDocuments documents(seed);
        const bool bytes = version >= 21 && seed % 2 == 1;
        const Tree document = documents.document(version, 20 + seed % 80, bytes);
        for (const auto& [key, value] : document.members)
            if (value.kind == Tree::Kind::array) arrays.insert(key);
        for (const Printer printer : printers_of(version)) {
            const std::string text = document.print(printer);
            ASSERT_EQ(difference(round_trip(text), text), "") << "seed " << seed;
        }
    }
    EXPECT_EQ(arrays.size(), 16U) << "each array was there";
}

// Taking a member away and putting it back is no change, wherever it stands.
TEST(LibxlDocument, EachMemberThatIsAddedStandsWhereLibxlWritesIt)
{
    const std::map<std::string, std::string> places = {
        {"c_info", "domain_create_info"}, {"b_info", "domain_build_info"}, {"disks", "device_disk"}};
    for (const auto& [place, structure] : places) {
        std::set<std::string> tried;
        for (std::uint32_t seed = 0; seed < 20; ++seed) {
            LibxlDocuments documents(seed);
            const std::string text = minified(documents.structure(structure, kNewest, 70));
            for (const auto& member : json_members(text)) {
                tried.insert(member.key);
                ASSERT_EQ(with_libxl_member(place, json_without_member(text, member.key),
                                            member.key, member.value),
                          text)
                    << place << " " << member.key << " seed " << seed;
            }
        }
        EXPECT_EQ(tried.size(), libxl_fields(place).size()) << place;
        const test::LibxlTypes types;
        std::vector<std::string_view> order;
        for (const auto& member : types.members_of(structure))
            order.push_back(*std::find(libxl_fields(place).begin(), libxl_fields(place).end(),
                                       member.name));
        EXPECT_TRUE(std::equal(order.begin(), order.end(), libxl_fields(place).begin(),
                               libxl_fields(place).end()))
            << place;
    }
}

TEST(LibxlDocument, ArraysStandInTheOrderOfTheirClasses)
{
    const test::LibxlTypes types;
    std::vector<std::string> arrays;
    for (const auto& member : types.members_of("domain_config"))
        if (member.type.starts_with("array:")) arrays.push_back(member.name);
    std::vector<std::string> classes;
    for (const DeviceClass& row : device_classes())
        if (row.in_document) classes.emplace_back(row.name);
    EXPECT_EQ(arrays, classes);
}

/// A store with one imported document, and the same as a tree, to which the same edits are made as
/// libxl makes them.
class EditedDocument {
public:
    EditedDocument(std::uint32_t seed, int version, Printer printer)
        : documents_(seed), version_(version), printer_(printer)
    {
        StoreOptions options;
        options.directory = scratch_.path();
        store_ = *Store::open(options);
        tree_ = documents_.document(version, 50, false);
        const auto row = store_->loop().wait_for(
            import_domain(*store_, 7, tree_.print(printer), "generated", soon()));
        EXPECT_TRUE(row) << (row ? "" : row.error().message);
        id_ = row->id;
    }

    /// Replaces the element with that number, or appends one; as xl block-attach and the like do.
    void put(const std::string& array, std::int64_t number)
    {
        const Tree element = documents_.element(array, number, version_, 60);
        const std::string text = minified(element);
        const auto done = edit([&](const FastHold& fast) {
            return put_thing(*store_, fast, array, text);
        });
        EXPECT_TRUE(done) << (done ? "" : done.error().message);
        Tree& elements = array_of(array);
        const auto key = key_in(array, text);
        for (auto& one : elements.elements)
            if (key == key_in(array, minified(one))) {
                one = element;
                return;
            }
        elements.elements.push_back(element);
    }
    void remove(const std::string& array, std::int64_t number)
    {
        const auto key = key_in(array, minified(documents_.element(array, number, version_, 0)));
        const auto done = edit([&](const FastHold& fast) {
            return remove_thing(*store_, fast, ThingName{array, key});
        });
        Tree* const elements = tree_.find(array);
        const auto before = elements ? elements->elements.size() : 0;
        if (elements)
            std::erase_if(elements->elements, [&](const Tree& one) {
                return key == key_in(array, minified(one));
            });
        const bool had = elements && elements->elements.size() < before;
        EXPECT_EQ(done.has_value(), had);
        if (elements && elements->elements.empty())
            std::erase_if(tree_.members, [&](const auto& member) { return member.first == array; });
    }
    void rename(const std::string& name)
    {
        const auto row = read_domain(store_->db(), id_);
        const auto done =
            store_->loop().wait_for(rename_domain(*store_, *row, std::nullopt, name, 0, soon()));
        EXPECT_TRUE(done) << (done ? "" : done.error().message);
        tree_.find("c_info")->find("name")->text = name;
    }
    /// The caller read the document, changed what it liked, and writes it back.
    void write_back()
    {
        Tree fresh = documents_.document(version_, 50, false);
        for (const char* of_qemu : {"pcidevs", "usbctrls", "usbdevs"}) {
            std::erase_if(fresh.members, [&](const auto& member) { return member.first == of_qemu; });
            std::erase_if(tree_.members, [&](const auto& member) { return member.first == of_qemu; });
        }
        fresh.find("c_info")->find("uuid")->text = tree_.find("c_info")->find("uuid")->text;
        const auto document = parse_document(fresh.print(printer_), "fresh");
        const auto done = edit([&](const FastHold& fast) {
            return write_document(*store_, fast, *document);
        });
        EXPECT_TRUE(done) << (done ? "" : done.error().message);
        tree_ = std::move(fresh);
    }
    [[nodiscard]] std::string exported() const
    {
        return *export_document(store_->db(), *read_domain(store_->db(), id_));
    }
    [[nodiscard]] std::string expected() const { return tree_.print(printer_); }
    [[nodiscard]] bool has(const char* array) { return tree_.find(array) != nullptr; }
    LibxlDocuments& documents() { return documents_; }

private:
    static std::string key_in(const std::string& array, const std::string& text)
    {
        return *thing_key(*find_device_class(array), text, 0);
    }
    template <class Edit>
    Result<void> edit(Edit change)
    {
        return store_->loop().wait_for(
            store_->with_fast_lock(id_, "test", soon(), [&](const FastHold& fast) -> Result<void> {
                if (const auto begun = begin_edit(*store_, fast, 0); !begun) return begun.error();
                return change(fast);
            }));
    }
    /// The array, where libxl writes it.
    Tree& array_of(const std::string& array)
    {
        if (Tree* there = tree_.find(array)) return *there;
        std::vector<std::pair<std::string, Tree>> members;
        for (const auto& member : documents_.types().members_of("domain_config")) {
            if (member.name == array) members.emplace_back(array, Tree{Tree::Kind::array});
            if (Tree* old = tree_.find(member.name)) members.emplace_back(member.name, *old);
        }
        tree_.members = std::move(members);
        return *tree_.find(array);
    }

    test::ScratchStore scratch_;
    std::unique_ptr<Store> store_;
    LibxlDocuments documents_;
    int version_;
    Printer printer_;
    Tree tree_;
    DomainId id_{};
};

TEST(LibxlDocument, AfterEachEditIsWhatLibxlWouldHaveWritten)
{
    constexpr std::array kEdited = {"disks", "nics", "vtpms", "vdispls", "vsnds"};
    for (std::uint32_t seed = 0; seed < 6; ++seed) {
        const int version = kOldest + static_cast<int>(seed);
        EditedDocument document(seed, version, printers_of(version).back());
        ASSERT_EQ(difference(document.exported(), document.expected()), "") << "seed " << seed;
        for (int step = 0; step < 12; ++step) {
            const char* array = kEdited.at(document.documents().number(kEdited.size() - 1));
            const auto number = static_cast<std::int64_t>(document.documents().number(4));
            if (step % 3 == 2)
                document.remove(array, number);
            else
                document.put(array, number);
            ASSERT_EQ(difference(document.exported(), document.expected()), "")
                << "seed " << seed << " step " << step << " " << array << " " << number;
        }
        document.rename("web " + std::to_string(seed));
        ASSERT_EQ(difference(document.exported(), document.expected()), "") << "seed " << seed;
    }
}

// Another medium in a drive: libxl's own change of a disk that has both members, or neither.
TEST(LibxlDocument, DriveWithAnotherMediumIsWhatLibxlWouldHaveWritten)
{
    for (std::uint32_t seed = 0; seed < 40; ++seed) {
        LibxlDocuments documents(seed);
        Tree disk = documents.element("disks", 2, kNewest, 60);
        const std::string before = minified(disk);
        std::vector<std::pair<std::string, Tree>> members;
        for (const auto& member : documents.types().members_of("device_disk")) {
            if (member.name == "pdev_path")
                members.emplace_back("pdev_path", Tree{Tree::Kind::string, "/b.iso"});
            else if (member.name == "format")
                members.emplace_back("format", Tree{Tree::Kind::string, "raw"});
            else if (Tree* old = disk.find(member.name))
                members.emplace_back(member.name, *old);
        }
        disk.members = std::move(members);
        ASSERT_EQ(with_medium(before, "/b.iso", "raw"), minified(disk)) << "seed " << seed;
    }
}

// A whole document that is written back; what is QEMU's is left to intents.
TEST(LibxlDocument, ThatIsWrittenBackIsWhatItsWriterWrote)
{
    int tried = 0;
    for (std::uint32_t seed = 100; seed < 160 && tried < 5; ++seed) {
        EditedDocument document(seed, kNewest, Printer::json_c_18);
        if (document.has("pcidevs") || document.has("usbctrls") || document.has("usbdevs")) continue;
        ++tried;
        for (int step = 0; step < 3; ++step) {
            document.write_back();
            ASSERT_EQ(difference(document.exported(), document.expected()), "") << "seed " << seed;
        }
    }
    EXPECT_EQ(tried, 5);
}

}  // namespace
}  // namespace xlstore
