// SPDX-License-Identifier: MIT
// USB devices in xenstore: keys of their controller's node.
#ifndef XLSTORE_RECOVERY_PASSES_USB_SURVEY_HPP_
#define XLSTORE_RECOVERY_PASSES_USB_SURVEY_HPP_

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "recovery/passes/survey_part.hpp"

namespace xlstore::recovery {

class UsbSurvey : SurveyPart {
public:
    using SurveyPart::SurveyPart;

    /// The ports of each controller.
    void run();
    /// A port of a controller that is there is looked at with it.
    void without_controller(const ThingRow& entry);
    /// QEMU has it; libxl's list of controllers is this node.
    void controller_without_libxl_node(const ThingRow& entry);

private:
    // What to write of it is not known.
    void unnamed_device(const ThingRow& thing, const std::string& libxl_node, std::int64_t port);
    [[nodiscard]] const ThingRow* usb_device(std::int64_t controller, std::int64_t port) const;
    // As the host calls the one that QEMU has there.
    [[nodiscard]] std::optional<std::string> usb_name_of(const ThingRow& thing) const;
    void used_port(const xenstore::XenDevice& controller, const std::string& path,
                   std::int32_t port, const std::string& name, const ThingRow* thing);
    // libxl keeps bus and address: they are those of what the host has at that name now.
    void plugged_in(const xenstore::XenDevice& controller, const std::string& path,
                    std::int32_t port, const std::string& name);
    void free_port(const xenstore::XenDevice& controller, const std::string& ports,
                   const std::vector<std::pair<std::int32_t, std::string>>& used,
                   const ThingRow& thing);
};

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_PASSES_USB_SURVEY_HPP_
