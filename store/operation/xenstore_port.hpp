// SPDX-License-Identifier: MIT
// A USB device of a controller whose primary is xenstore: the node of a port below the controller's
// back end has the host's name of the device ("1-4"), or nothing. The back end watches it.
//
//   attach   fast lock { the port is free -> entry, committed -> the port's node }
//   detach   fast lock { entry 'removing', committed -> the port's node is emptied -> the entry
//                        goes }
#ifndef XLSTORE_STORE_OPERATION_XENSTORE_PORT_HPP_
#define XLSTORE_STORE_OPERATION_XENSTORE_PORT_HPP_

#include "store/operation/outcome.hpp"
#include "store/operation/xenstore_work.hpp"

namespace xlstore {

/// Carries out work.request, on a thing of class usbdevs. Errors: those of perform_in_xenstore(),
/// and refused: no such controller, no free port, a controller of type pv, whose devices have to be
/// bound to a driver of the host that is not ours.
Task<Result<Done>> attach_to_port(XenstoreWork& work);
Task<Result<Done>> detach_from_port(XenstoreWork& work);

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_XENSTORE_PORT_HPP_
