// SPDX-License-Identifier: MIT
// Each document is refused with a clear error, or it comes back. The input is the
// document. What "comes back" means for text that no libxl wrote:
//
//   what is stored       the document without white space and without its empty device arrays,
//                        byte for byte, out of the pieces that it was split into
//   what export prints   the same content; read again and exported again it is the same, byte for
//                        byte, so that a document in libxl's own layout is its own export
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "store/model/document.hpp"
#include "store/text/json_text.hpp"

namespace {

using namespace xlstore;

void require(bool holds)
{
    if (!holds) std::abort();
}

void require_clear(const Error& error)
{
    require(error.code == Errc::invalid);
    require(!error.message.empty() && error.message.size() < 4096);
    for (const char c : error.message)
        require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F);
}

// libxl leaves an array without elements out.
std::string without_empty_arrays(std::string text)
{
    for (const DeviceClass& row : device_classes())
        if (row.in_document && json_find(text, row.name) == "[]")
            text = json_without_member(text, row.name);
    return text;
}

std::string text_of(const Document& document)
{
    return document_text(document.members, document.things);
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view input(reinterpret_cast<const char*>(data), size);
    const auto minified = json_minify(input, "x");
    const auto document = parse_document(input, "x");
    if (!minified) require_clear(minified.error());
    if (!document) {
        require_clear(document.error());
        return 0;
    }
    require(minified.has_value());
    const std::string stored = text_of(*document);
    require(stored == without_empty_arrays(*minified));

    const std::string exported = json_pretty(stored, document->layout);
    const auto again = parse_document(exported, "x");
    require(again.has_value());
    require(json_equal(text_of(*again), stored));
    require(again->name == document->name && again->uuid == document->uuid);
    require(again->things.size() == document->things.size());
    require(again->layout == document->layout);
    require(json_pretty(text_of(*again), again->layout) == exported);
    return 0;
}
