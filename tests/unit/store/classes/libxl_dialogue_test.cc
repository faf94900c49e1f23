// SPDX-License-Identifier: MIT
// The plan of each class is what libxl 4.17 itself sends: commands, ids, order, spelling of the
// arguments. tests/unit/samples/libxl_dialogues.json has what the real one sent to a QEMU 7.2.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "store/classes/class_plan.hpp"
#include "store/text/json_text.hpp"
#include "tests/support/scratch_directory.hpp"

namespace xlstore {
namespace {

std::string text_at(std::string_view object, const char* member)
{
    return std::string(json_find(object, member).value_or(""));
}

// The thing as its entry has it.
ThingRow entry_of(std::string_view dialogue)
{
    ThingRow entry;
    entry.json = text_at(dialogue, "thing");
    entry.primary = "qemu";
    entry.state = "present";
    const auto device_class = json_get_string(dialogue, "class").value_or("");
    entry.name = *name_of_attach(device_class, entry.json);
    return entry;
}

Result<Draft> draft_of(std::string_view dialogue)
{
    const auto operation = json_get_string(dialogue, "operation");
    const auto entry = entry_of(dialogue);
    if (operation == "insert")
        return draft_insert(entry, json_get_string(dialogue, "file").value_or(""));
    if (operation == "eject") return draft_eject(entry);
    if (operation == "detach") return draft_detach(entry, MadeOf{products_of(entry), {}, false});
    if (entry.name.device_class == "vcpus")
        return draft_attach_vcpu(entry.json, text_at(dialogue, "slots"));
    return draft_hot_plug(entry.name.device_class, entry.json);
}

std::string sent_by(const Plan& plan, const std::string& fdset)
{
    std::string sent = "[";
    for (const auto& step : plan.steps) {
        std::string command = command_to_json(step.command);
        if (const auto at = command.find("$fdset"); at != std::string::npos)
            command.replace(at, 6, fdset);
        sent += (sent.size() > 1 ? "," : "") + command;
    }
    return sent + "]";
}

TEST(LibxlDialogueTest, EachPlanIsWhatLibxlSends)
{
    const auto text = test::read_file(XLSTORE_SOURCE_DIR
                                      "/tests/unit/samples/libxl_dialogues.json");
    const auto dialogues = json_minify(text, "dialogues");
    ASSERT_TRUE(dialogues) << dialogues.error().message;
    std::size_t compared = 0;
    for (const auto dialogue : json_elements(*dialogues)) {
        SCOPED_TRACE(dialogue);
        const auto draft = draft_of(dialogue);
        ASSERT_TRUE(draft) << draft.error().message;
        EXPECT_EQ(sent_by(draft->plan, json_get_string(dialogue, "fdset").value_or("")),
                  text_at(dialogue, "sent"));
        ++compared;
    }
    EXPECT_EQ(compared, 14U);
}

}  // namespace
}  // namespace xlstore
