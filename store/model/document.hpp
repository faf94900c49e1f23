// SPDX-License-Identifier: MIT
// A domain's document taken apart and put together again. Things become rows of their own, so that
// an operation writes its own thing only (R6); what is left is the skeleton, the members of the
// document in their order. Everything stays spelled as it came: unknown members and numbers that
// libxl itself would lose come back. Pure functions; any thread.
#ifndef XLSTORE_STORE_MODEL_DOCUMENT_HPP_
#define XLSTORE_STORE_MODEL_DOCUMENT_HPP_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/error.hpp"
#include "store/model/device_class.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

/// One member of the document's object.
struct DocumentMember {
    std::int64_t rank;                ///< its order among the members; any distinct numbers
    std::string key;                  ///< decoded
    std::string key_text;             ///< with its quotes, as spelled
    std::optional<std::string> text;  ///< minified; nothing: the array of the things of class `key`
};

/// One element of a device array.
struct DocumentThing {
    std::string device_class;
    std::string key;  ///< by thing_key; without identity "#" and its position: a key only for a
                      ///< document that is new to the store. Distinct within its class
    std::int64_t position;  ///< its order within its class, from 0
    std::string json;       ///< minified
    Primary primary;
    bool has_identity = true;  ///< libxl can tell it from others by its key
};

struct Document {
    JsonLayout layout;
    std::string name;  ///< c_info.name; "" where it has none: libxl omits one that is NULL
    std::string uuid;  ///< c_info.uuid in lower case; kNilUuid where it has none, as in libxl
    std::vector<DocumentMember> members;
    std::vector<DocumentThing> things;
};

/// The uuid of a document without one. libxl's stub of domain 0 has neither uuid nor name.
inline constexpr std::string_view kNilUuid = "00000000-0000-0000-0000-000000000000";
/// What a domain without a name in its document is called: "Domain-0", as Xen calls its own.
[[nodiscard]] std::string name_without_one(std::int64_t domid);

/// `uuid` in lower case, or nothing if it is none.
[[nodiscard]] std::optional<std::string> normal_uuid(std::string uuid);

/// Error invalid: empty, with a NUL, or not UTF-8.
Result<void> check_name(std::string_view name);

/// Splits a libxl-json document into members, ranked 10, 20, 30 ..., and things. Each class that
/// has an array in documents has a member, present or not: an absent one stands directly after
/// the nearest of those that libxl writes before it, so that a first thing goes where libxl
/// would put it.
/// Errors: invalid, and nothing is kept: what json_minify refuses; not an object; c_info missing or
/// malformed, or its uuid or name malformed; a device array that is not an array of objects; an
/// element that is too large or that thing_key refuses; the same thing twice.
Result<Document> parse_document(std::string_view text, std::string_view what);

/// Error invalid: `document` has no uuid or no name, which libxl asks of one that it makes a domain
/// of. `what` as in parse_document().
Result<void> check_identified(const Document& document, std::string_view what);

/// Is its key spelled as JSON, and is that spelling one of its key? Another, or none, would make
/// another member of it in the document, or no JSON.
[[nodiscard]] bool has_own_spelling(const DocumentMember& member);

/// The whole document, minified: members by rank, things by class and position. An array without
/// things is omitted, as libxl omits it, and so are things of a class that is in no document.
/// A thing whose array no member stands for is not dropped: its array comes last.
[[nodiscard]] std::string document_text(const std::vector<DocumentMember>& members,
                                        const std::vector<DocumentThing>& things);

}  // namespace xlstore

#endif  // XLSTORE_STORE_MODEL_DOCUMENT_HPP_
