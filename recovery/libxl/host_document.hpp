// SPDX-License-Identifier: MIT
// What libxl's directory has of one domain: its document, or what a process that was cut off left
// in its place. Looks, and takes no lock: what is at the path is always a whole file.
#ifndef XLSTORE_RECOVERY_LIBXL_HOST_DOCUMENT_HPP_
#define XLSTORE_RECOVERY_LIBXL_HOST_DOCUMENT_HPP_

#include <string>

#include "store/libxl/host_directories.hpp"

namespace xlstore::recovery {

struct HostDocument {
    enum class State {
        sound,    ///< the document, which can be read
        begun,    ///< there is none, and the whole of it was written beside its place
        missing,  ///< there is none
        damaged,  ///< what is there is no document of this domain
        unseen,   ///< what is there could not be read, or is not a file of libxl's
    };
    State state = State::missing;
    std::string path;
    std::string text = {};      ///< of `sound` and `begun`, without the NUL
    std::string evidence = {};  ///< why, for messages
    bool lacks_nul = false;     ///< libxl reads on past its end
};

[[nodiscard]] HostDocument look_at_document(const libxl::HostDirectories& where,
                                            const libxl::FileOwner& domain);

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_LIBXL_HOST_DOCUMENT_HPP_
