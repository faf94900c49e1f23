// SPDX-License-Identifier: MIT
#include "recovery/passes/survey_part.hpp"

#include <algorithm>
#include <utility>

#include "store/classes/class_plan.hpp"
#include "store/model/device_class.hpp"

namespace xlstore::recovery {

std::string_view SurveyPart::node(const std::string& path) const
{
    return tree_.value(path).value_or("");
}

bool SurveyPart::is_open(const ThingRow& thing) const
{
    return std::ranges::find(survey_.open, thing.id) != survey_.open.end();
}

bool SurveyPart::is_present(const ThingRow& thing)
{
    return thing.state == "present" || (thing.primary == "xenstore" && thing.state == "removing");
}

bool SurveyPart::is_settled(const ThingRow& thing) const
{
    return !is_open(thing) && (is_present(thing) || thing.state == "stale");
}

XenstoreFinding& SurveyPart::add(Code code, std::string subject, std::string evidence)
{
    found_.push_back(XenstoreFinding{code, std::move(subject), std::move(evidence)});
    return found_.back();
}

void SurveyPart::still_there(const ThingRow& entry, std::string evidence)
{
    auto& finding = add(entry.state == "stale" ? Code::device_back : Code::device_kept,
                        entry.name.text(), std::move(evidence));
    finding.name = entry.name;
    finding.then = XenstoreFinding::Then::present;
}

void SurveyPart::adopt(const std::string& subject, const std::string& device_class,
                       const xenstore::XenElement& element)
{
    if (element.json.empty()) {
        add(Code::device_strange, subject, element.flaw).can_be_fixed = false;
        return;
    }
    const auto* of = find_device_class(device_class);
    const auto primary = thing_primary(*of, element.json, survey_.traits);
    if (primary != Primary::xenstore) return;  // pass 5 asks QEMU of it, or it is nowhere
    auto& finding =
        add(Code::device_unknown, subject,
            "the entry would be " + device_class + " " + xenstore::shown_element(element.json));
    finding.then = XenstoreFinding::Then::adopt;
    finding.name.device_class = device_class;
    finding.json = element.json;
}

}  // namespace xlstore::recovery
