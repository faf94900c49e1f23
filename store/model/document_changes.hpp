// SPDX-License-Identifier: MIT
// What an edit changes in a document, told for history: the names of members and things, never
// their values, since a document can hold passwords (VNC, SPICE). Pure functions; any thread.
#ifndef XLSTORE_STORE_MODEL_DOCUMENT_CHANGES_HPP_
#define XLSTORE_STORE_MODEL_DOCUMENT_CHANGES_HPP_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/model/document.hpp"
#include "store/model/intent.hpp"

namespace xlstore {

/// "bridge, mac": the members whose values differ between two minified objects; "" when none does.
[[nodiscard]] std::string changed_members(std::string_view before, std::string_view after);

/// Collects what differs between a document and the one that replaces it.
class DocumentChanges {
public:
    /// The members that hold no things.
    void members(const std::vector<DocumentMember>& before,
                 const std::vector<DocumentMember>& after);
    /// Nothing as `before`: it is new. Nothing as `after`: it goes.
    void thing(const ThingName& name, const std::optional<std::string>& before,
               const std::optional<std::string>& after);
    /// "changed nics/0 (bridge); added nics/1; removed vtpms/0", or "nothing changed".
    [[nodiscard]] std::string text() const;

private:
    void add(const std::string& what, const std::optional<std::string>& before,
             const std::optional<std::string>& after);
    std::string changed_, added_, removed_;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_MODEL_DOCUMENT_CHANGES_HPP_
