// SPDX-License-Identifier: MIT
// timeline: a domain's or an intent's history as a picture, and as text for a terminal.
#include <cstdio>

#include "tools/common/display_width.hpp"
#include "tools/common/json_value.hpp"
#include "tools/common/moment.hpp"
#include "tools/common/pager.hpp"
#include "tools/common/screen.hpp"
#include "tools/common/whole_file.hpp"
#include "tools/xlstore/timeline_events.hpp"
#include "tools/xlstore/timeline_html.hpp"

namespace xlstore::tools {

namespace {

Json json_of_event(const TimelineEvent& event)
{
    const auto text = [](const std::string& value) -> Json {
        return value.empty() ? Json(nullptr) : Json(value);
    };
    return {{"line", event.line > 0 ? Json(event.line) : Json(nullptr)},
            {"opened_us", event.opened_us ? Json(*event.opened_us) : Json(nullptr)},
            {"at_us", event.at_us},
            {"lane", event.lane},
            {"what", event.what},
            {"intent", text(event.intent)},
            {"outcome", event.outcome},
            {"by", event.by},
            {"asked_by", text(event.asked_by)},
            {"taken_over", event.taken_over()},
            {"commands", event.commands},
            {"evidence", text(event.evidence)}};
}

std::string json_of_timeline(const Timeline& timeline)
{
    Json events = Json::array();
    for (const auto& event : timeline.events)
        events.push_back(json_of_event(event));
    return json_text(
        {{"subject", timeline.subject}, {"made_us", timeline.made_us}, {"events", events}});
}

void add_part(std::vector<std::string>& lines, const Screen& where, const std::string& text)
{
    constexpr std::size_t indent = 6;
    for (const auto& part : wrapped(text, where.columns - indent))
        lines.push_back(std::string(indent, ' ') + part);
}

std::vector<std::string> text_lines(const Timeline& timeline, const Screen& where)
{
    constexpr std::size_t indent = 4;
    auto lines = paragraph(where.in(Ink::strong, timeline.subject), indent, where);
    for (const auto& event : timeline.events) {
        const Ink ink = event.outcome == "done"       ? Ink::good
                        : event.outcome == "not done" ? Ink::bad
                                                      : Ink::doubt;
        const auto heading = where.in(Ink::faint, moment_text(event.at_us)) + "  " + event.what +
                             (event.intent.empty() ? "" : " (intent " + event.intent + ")") + ": " +
                             where.in(ink, event.outcome);
        for (auto& line : paragraph(heading, indent, where))
            lines.push_back(std::move(line));
        if (event.opened_us) {
            const auto ms = std::to_string((event.at_us - *event.opened_us) / 1000) + " ms";
            add_part(lines, where,
                     event.taken_over() || event.line == 0
                         ? "opened " + ms + " before, with the slow lock, by " + event.asked_by
                         : "slow lock held for " + ms + " by " + event.by);
        }
        if (event.taken_over())
            add_part(lines, where,
                     "that process died or left it, when is not known; " + event.by + " closed it");
        else if (!event.opened_us)
            add_part(lines, where, "by " + event.by);
        std::string commands;
        for (const auto& command : event.commands)
            commands += (commands.empty() ? "QMP: " : ", ") + command;
        if (!commands.empty()) add_part(lines, where, commands);
        if (!event.evidence.empty()) add_part(lines, where, event.evidence);
    }
    return lines;
}

}  // namespace

Result<Status> run_timeline(const Arguments& arguments)
{
    const auto timeline = timeline_of(arguments);
    if (!timeline) return timeline.error();
    if (arguments.html == "-") {
        std::fputs(timeline_html(*timeline).c_str(), stdout);
        return Status::done;
    }
    if (!arguments.html.empty()) {
        const auto written =
            write_whole_file(arguments.html, timeline_html(*timeline), IfThere::replace);
        if (!written) return written.error();
    }
    if (arguments.json) {
        print_json(json_of_timeline(*timeline));
        return Status::done;
    }
    if (!arguments.html.empty()) {
        std::printf("%s: %zu events are drawn in %s\n", timeline->subject.c_str(),
                    timeline->events.size(), plain(arguments.html).c_str());
        return Status::done;
    }
    const auto where = screen();
    const auto lines = text_lines(*timeline, where);
    if (where.terminal && lines.size() >= where.rows) start_pager();
    for (const auto& line : lines)
        std::puts(line.c_str());
    return Status::done;
}

}  // namespace xlstore::tools
