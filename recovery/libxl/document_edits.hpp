// SPDX-License-Identifier: MIT
// libxl's document of a domain changed element by element, everything else staying as it is
// spelled. Pure functions.
#ifndef XLSTORE_RECOVERY_LIBXL_DOCUMENT_EDITS_HPP_
#define XLSTORE_RECOVERY_LIBXL_DOCUMENT_EDITS_HPP_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/error.hpp"
#include "store/model/thing_row.hpp"
#include "store/xenstore/tree.hpp"

namespace xlstore::recovery {

/// What becomes of one element.
struct ElementEdit {
    enum class What {
        add,          ///< `json` behind the last of its class, where none has its identity
        replace,      ///< `json` in place of the one with its key
        empty_drive,  ///< the CD drive with its key holds nothing, as libxl writes it
        add_vcpu,     ///< the processor with that number is available
    };
    What what;
    ThingName name;
    std::string json = {};  ///< minified
};

/// `text` with these edits, in the layout that it came in, byte for byte as that libxl would have
/// written it. Errors: invalid (it is no document), conflict (an element that an edit names is not
/// there, or is there already: libxl changed it meanwhile).
[[nodiscard]] Result<std::string> with_edits(std::string_view text,
                                             const std::vector<ElementEdit>& edits);

/// What a domain of which nothing but xenstore tells can be known by: type, name, uuid, processors
/// and memory. Devices are for the passes to adopt. `type` as libxl's node has it ("hvm").
[[nodiscard]] std::string bare_document(const xenstore::Tree& tree, std::int64_t domid,
                                        const std::string& uuid);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_LIBXL_DOCUMENT_EDITS_HPP_
