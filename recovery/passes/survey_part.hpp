// SPDX-License-Identifier: MIT
// What each part of the comparison of entries with xenstore asks of the two, and how it says what
// it found. A part is about one kind of device: xenstore_survey.cc has those with nodes of their
// own, pci_survey and usb_survey those that are lines of a list.
#ifndef XLSTORE_RECOVERY_PASSES_SURVEY_PART_HPP_
#define XLSTORE_RECOVERY_PASSES_SURVEY_PART_HPP_

#include <string>
#include <string_view>
#include <vector>

#include "recovery/passes/xenstore_finding.hpp"
#include "store/xenstore/tree.hpp"
#include "store/xenstore/xen_device.hpp"

namespace xlstore::recovery {

// The states of xenbus.
inline constexpr std::string_view kConnected = "4";
inline constexpr std::string_view kClosing = "5";
inline constexpr std::string_view kClosed = "6";

/// What the parts share; it outlives them.
struct SurveySubject {
    const XenstoreSurvey& survey;
    const xenstore::Tree& tree;
    std::vector<xenstore::XenDevice> devices;
    std::vector<XenstoreFinding> found = {};
};

class SurveyPart {
public:
    explicit SurveyPart(SurveySubject& subject)
        : survey_(subject.survey),
          tree_(subject.tree),
          devices_(subject.devices),
          found_(subject.found)
    {}

protected:
    /// The value at that path; empty where there is no such node.
    [[nodiscard]] std::string_view node(const std::string& path) const;
    /// A detach from xenstore that has not come to its end: the device may be there.
    [[nodiscard]] static bool is_present(const ThingRow& thing);
    [[nodiscard]] bool is_open(const ThingRow& thing) const;
    /// What the passes before this one leave to this one.
    [[nodiscard]] bool is_settled(const ThingRow& thing) const;

    XenstoreFinding& add(Code code, std::string subject, std::string evidence);
    /// Xenstore has it, and its entry is stale; or it was to be removed, by a process that died
    /// before xenstore was asked.
    void still_there(const ThingRow& entry, std::string evidence);
    /// Xenstore has it, and no entry; nothing is found where QEMU has it, or neither.
    void adopt(const std::string& subject, const std::string& device_class,
               const xenstore::XenElement& element);

    const XenstoreSurvey& survey_;
    const xenstore::Tree& tree_;
    const std::vector<xenstore::XenDevice>& devices_;

private:
    std::vector<XenstoreFinding>& found_;
};

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_PASSES_SURVEY_PART_HPP_
