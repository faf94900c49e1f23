// SPDX-License-Identifier: MIT
// The medium of a CD drive whose primary is xenstore: in a PV domain the drive's back end and
// libxl's copy of it say what is in it, and nothing else does.
//
//   insert, eject   fast lock { the drive is there -> entry, committed -> both params, one
//                   transaction }
//
// libxl itself changes the medium of HVM domains alone; what is written is what it writes there.
#ifndef XLSTORE_STORE_OPERATION_XENSTORE_MEDIUM_HPP_
#define XLSTORE_STORE_OPERATION_XENSTORE_MEDIUM_HPP_

#include "store/operation/outcome.hpp"
#include "store/operation/xenstore_work.hpp"

namespace xlstore {

/// Carries out work.request, an insert or an eject. Errors: those of perform_in_xenstore(), and
/// refused: it is no CD drive, or its back end is no program that opens another image.
Task<Result<Done>> change_medium_in_xenstore(XenstoreWork& work);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_XENSTORE_MEDIUM_HPP_
