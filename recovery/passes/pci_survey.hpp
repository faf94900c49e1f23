// SPDX-License-Identifier: MIT
// PCI devices in xenstore: a back end's list, libxl's list of what it passed through, and the notes
// of those that libxl counts as given away.
#ifndef XLSTORE_RECOVERY_PASSES_PCI_SURVEY_HPP_
#define XLSTORE_RECOVERY_PASSES_PCI_SURVEY_HPP_

#include "recovery/passes/survey_part.hpp"
#include "store/xenstore/pci_list.hpp"

namespace xlstore::recovery {

class PciSurvey : SurveyPart {
public:
    using SurveyPart::SurveyPart;

    void run();

private:
    // libxl's list of what it passed through to a guest with a device model is written last, and
    // read by libxl alone. What QEMU has is put into it, so that libxl can detach it. What QEMU has
    // not goes from it only together with the hypervisor's part: libxl would not find it any more.
    void passed_through();
    // An entry that has a name in place of an address may be any device.
    [[nodiscard]] bool is_known(const std::string& pci_key) const;
    // Its detach was settled by what QEMU showed, and the hypervisor's part is left.
    void listed_alone(const xenstore::XenPciDevice& device);
    // Whether its back end was asked to let go of it stands beside it in the list, whether it has
    // done so, in the list's state.
    void listed_pci(const ThingRow& thing, const xenstore::XenPciDevice& device);
    // Its entry becomes stale; what a client may have had assigned goes back to the host.
    void leaves_pci(XenstoreFinding& finding, const ThingRow& thing) const;
    void pci_devices();
    // Written before anything else of a device that is given to a domain, and taken away last.
    // While it is there `xl pci-attach` refuses the device to each domain, this one too.
    void pci_owners();
};

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_PASSES_PCI_SURVEY_HPP_
