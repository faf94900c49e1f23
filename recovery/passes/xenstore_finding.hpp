// SPDX-License-Identifier: MIT
// What is compared with xenstore, and what is found: rows of one domain, and what would put them or
// xenstore right.
#ifndef XLSTORE_RECOVERY_PASSES_XENSTORE_FINDING_HPP_
#define XLSTORE_RECOVERY_PASSES_XENSTORE_FINDING_HPP_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "recovery/base/problem.hpp"
#include "store/classes/hotplug_script.hpp"
#include "store/model/domain_traits.hpp"
#include "store/model/pci_address.hpp"
#include "store/model/thing_row.hpp"
#include "store/operation/libxl_nodes.hpp"

namespace xlstore::recovery {

struct XenstoreFinding {
    Code code;
    std::string subject;  ///< "disks/xvda", "vif/0"
    std::string evidence;
    enum class Then { keep, adopt, stale, present };
    Then then = Then::keep;              ///< what becomes of the entry, after the nodes
    ThingName name = {};                 ///< the entry; of one that is adopted its class alone
    std::string json = {};               ///< of one that is adopted
    std::vector<NodeChange> nodes = {};  ///< in one transaction
    std::string absent = {};             ///< a node whose absence has to be proved first
    std::optional<ScriptedDevice> script = {};  ///< run before all of that
    std::optional<PciAddress> pci = {};         ///< goes into libxl's list, as the entry has it; or
    bool pci_leaves = false;  ///< out of it, and back to the host, by the embedder's hook
    ScriptAction script_action = ScriptAction::add;
    bool can_be_fixed = true;
};

struct XenstoreSurvey {
    std::vector<ThingRow> things;
    std::vector<std::int64_t> open;  ///< rows of things with an open intent
    DomainTraits traits;
    std::int64_t domid = 0;
    /// Its QEMU was looked into, and entries of QEMU's things are as QEMU showed.
    bool qemu_was_seen = false;
    /// This program has the hypervisor's part of PCI devices.
    bool has_pci_hook = false;
    /// Its hotplug scripts are this program's to run.
    bool runs_scripts = false;
    /// How the host calls the USB device at that bus and address ("1-4"); nothing: there is none.
    std::function<std::optional<std::string>(std::int64_t, std::int64_t)> usb_name;
    /// The bus and address of the one that the host calls so now; nothing: there is none.
    std::function<std::optional<std::pair<std::int64_t, std::int64_t>>(const std::string&)> usb_at;
};

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_PASSES_XENSTORE_FINDING_HPP_
