// SPDX-License-Identifier: MIT
// Time runs from left to right and is drawn shortened: a pause takes room by its logarithm, or a
// second of work would vanish beside an hour of rest. Each thing has a lane; the first lane is the
// slow lock, held from the commit of an intent to the commit that closes it. Where another process
// closed it, the first one's hold ended at a time that no row knows: that part is drawn dashed.
#include "tools/xlstore/timeline_html.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "tools/common/display_width.hpp"
#include "tools/common/moment.hpp"

namespace xlstore::tools {

namespace {

// clang-format off
constexpr const char* kStyle = R"(
:root { color-scheme: light dark; --ink: #1b1f24; --faint: #57606a; --line: #d0d7de; --ground: #ffffff;
  --done: #1a7f37; --undone: #a40e26; --open: #7d4e00; --lock: #0a3069; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --faint: #9aa4af; --line: #3d444d;
  --ground: #0d1117; --done: #4ac26b; --undone: #ff8182; --open: #d4a72c; --lock: #80ccff; } }
@media print { :root { --ink: #000; --faint: #333; --line: #999; --ground: #fff; --done: #1a7f37;
  --undone: #a40e26; --open: #7d4e00; --lock: #0a3069; } .picture { overflow: visible; }
  svg { width: 100%; height: auto; } tr { break-inside: avoid; } }
body { margin: 1.5rem; font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--ground); }
h1 { font-size: 1.3rem; } .faint, caption { color: var(--faint); text-align: left; }
.picture { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; }
text { fill: var(--ink); font: 12px system-ui, sans-serif; } text.faint { fill: var(--faint); }
.rule { stroke: var(--line); } .done { fill: var(--done); stroke: var(--done); }
.undone { fill: var(--undone); stroke: var(--undone); } .open { fill: var(--open); stroke: var(--open); }
.lock { fill: var(--lock); stroke: var(--lock); } rect { fill-opacity: .35; }
rect.unknown { fill-opacity: .08; stroke-dasharray: 4 3; }
a:focus-visible { outline: 3px solid var(--lock); outline-offset: 2px; } a:focus rect, a:hover rect { fill-opacity: .7; }
table { border-collapse: collapse; width: 100%; margin-top: 1.5rem; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .6rem; text-align: left; vertical-align: top; }
td:last-child { overflow-wrap: anywhere; } thead th { white-space: nowrap; } tr:target { outline: 2px solid var(--lock); }
code { font-size: .85em; }
)";
// clang-format on

constexpr double kLeft = 190;  // room for the names of lanes
constexpr double kLaneHeight = 34;
constexpr double kTop = 34;
constexpr std::size_t kNameColumns = 24;

// For text and for values of attributes.
std::string escaped(std::string_view text)
{
    std::string safe;
    for (const char c : text) {
        switch (c) {
        case '&':
            safe += "&amp;";
            break;
        case '<':
            safe += "&lt;";
            break;
        case '>':
            safe += "&gt;";
            break;
        case '"':
            safe += "&quot;";
            break;
        default:
            safe += c;
        }
    }
    return safe;
}

std::string coordinate(double value)
{
    return std::to_string(static_cast<long>(std::lround(value)));
}

// Where each moment is drawn.
class Axis {
public:
    explicit Axis(const Timeline& timeline)
    {
        for (const auto& event : timeline.events) {
            places_[event.at_us] = 0;
            if (event.opened_us) places_[*event.opened_us] = 0;
        }
        double x = kLeft + 16;
        std::int64_t before = places_.begin()->first;
        for (auto& [at, place] : places_) {
            const double milliseconds = static_cast<double>(at - before) / 1000;
            if (at != before) x += 22 + 14 * std::log10(1 + milliseconds);
            place = x;
            before = at;
        }
        width_ = x + 120;
    }
    [[nodiscard]] double at(std::int64_t us) const { return places_.at(us); }
    [[nodiscard]] double width() const { return width_; }
    [[nodiscard]] const std::map<std::int64_t, double>& places() const { return places_; }

private:
    std::map<std::int64_t, double> places_;
    double width_ = 0;
};

const char* class_of(const TimelineEvent& event)
{
    if (event.outcome == "done") return "done";
    return event.outcome == "not done" ? "undone" : "open";
}

// A sign besides the colour.
const char* sign_of(const TimelineEvent& event)
{
    if (event.taken_over()) return "\u21bb ";  // recovered
    if (event.outcome == "done") return "\u2713 ";
    return event.outcome == "not done" ? "\u2717 " : "? ";
}

std::string id_of(const TimelineEvent& event)
{
    return event.line > 0 ? "line-" + std::to_string(event.line) : "intent-" + event.intent;
}

std::string words_of(const TimelineEvent& event)
{
    std::string text = event.what + ": " + event.outcome + ", by " + event.by;
    if (event.taken_over()) text += ", begun by " + event.asked_by;
    return text + ", " + moment_text(event.at_us);
}

std::string box(double x, double y, double width, const std::string& classes)
{
    return "<rect x=\"" + coordinate(x) + "\" y=\"" + coordinate(y) + "\" width=\"" +
           coordinate(std::max(width, 6.0)) + "\" height=\"18\" rx=\"3\" class=\"" + classes +
           "\"/>";
}

class Picture {
public:
    explicit Picture(const Timeline& timeline) : timeline_(timeline), axis_(timeline)
    {
        bool locks = false;
        for (const auto& event : timeline.events)
            locks = locks || event.opened_us.has_value();
        if (locks) lane("slow lock");
        for (const auto& event : timeline.events)
            lane(event.lane);
    }

    std::string svg()
    {
        const double height = kTop + kLaneHeight * static_cast<double>(lanes_.size()) + 12;
        const std::string w = coordinate(axis_.width());
        const std::string h = coordinate(height);
        std::string text = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + w +
                           "\" height=\"" + h + "\" viewBox=\"0 0 " + w + " " + h +
                           "\" role=\"group\" aria-labelledby=\"picture-title\">\n"
                           "<title id=\"picture-title\">Timeline of " +
                           escaped(timeline_.subject) + "; the table below says the same</title>\n";
        text += frame(height);
        for (const auto& event : timeline_.events)
            text += drawn(event);
        return text + "</svg>\n";
    }

private:
    double lane(const std::string& name)
    {
        const auto place = lanes_.try_emplace(name, lanes_.size()).first->second;
        return kTop + kLaneHeight * static_cast<double>(place);
    }
    // Lanes with their names, and the times that have room.
    std::string frame(double height)
    {
        std::string text;
        for (const auto& [name, place] : lanes_) {
            const double y = kTop + kLaneHeight * static_cast<double>(place);
            text += "<line class=\"rule\" x1=\"0\" x2=\"" + coordinate(axis_.width()) + "\" y1=\"" +
                    coordinate(y) + "\" y2=\"" + coordinate(y) + "\"/><text x=\"8\" y=\"" +
                    coordinate(y + 21) + "\">" + escaped(cut_to(name, kNameColumns)) +
                    "</text>\n";
        }
        double free = 0;
        for (const auto& [at, x] : axis_.places()) {
            if (x < free) continue;
            free = x + 110;
            text += "<line class=\"rule\" x1=\"" + coordinate(x) + "\" x2=\"" + coordinate(x) +
                    "\" y1=\"22\" y2=\"" + coordinate(height) + "\"/><text class=\"faint\" x=\"" +
                    coordinate(x) + "\" y=\"16\">" + hour_text(at) + "</text>\n";
        }
        return text;
    }
    std::string drawn(const TimelineEvent& event)
    {
        const double end = axis_.at(event.at_us);
        const double start = event.opened_us ? axis_.at(*event.opened_us) : end;
        const double y = lane(event.lane) + 8;
        std::string text = "<a href=\"#" + id_of(event) + "\" aria-label=\"" +
                           escaped(words_of(event)) + "\"><title>" + escaped(words_of(event)) +
                           "</title>";
        if (event.opened_us)
            text += box(start, lane("slow lock") + 8, end - start,
                        event.taken_over() || event.line == 0 ? "lock unknown" : "lock");
        text += box(start, y, end - start,
                    std::string(class_of(event)) + (event.taken_over() ? " unknown" : ""));
        return text + "<text x=\"" + coordinate(start + 4) + "\" y=\"" + coordinate(y + 13) +
               "\">" + sign_of(event) + escaped(event.what) + "</text></a>\n";
    }

    const Timeline& timeline_;
    Axis axis_;
    std::map<std::string, std::size_t> lanes_;
};

std::string joined_by(const std::vector<std::string>& words, const char* between)
{
    std::string text;
    for (const auto& word : words)
        text += (text.empty() ? "" : between) + word;
    return text;
}

std::string cell(const std::string& text)
{
    return "<td>" + escaped(text) + "</td>";
}

std::string table_row(const TimelineEvent& event)
{
    std::string lasted = "-";
    if (event.opened_us)
        lasted = (event.taken_over() ? "at most " : "") +
                 std::to_string((event.at_us - *event.opened_us) / 1000) + " ms";
    std::string who = event.by;
    if (event.taken_over()) who += ", for " + event.asked_by + ", which had died or left it";
    return "<tr id=\"" + id_of(event) + "\"><th scope=\"row\">" + moment_text(event.at_us) +
           "</th>" + cell(event.what) + cell(event.intent.empty() ? "-" : event.intent) +
           cell(sign_of(event) + event.outcome) + cell(lasted) + cell(who) + "<td><code>" +
           escaped(joined_by(event.commands, ", ")) + "</code></td>" + cell(event.evidence) +
           "</tr>\n";
}

}  // namespace

std::string timeline_html(const Timeline& timeline)
{
    const std::string title = "xlstore: " + escaped(timeline.subject);
    std::string page =
        "<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n"
        "<meta charset=\"utf-8\"/>\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
        "'unsafe-inline'; img-src data:\"/>\n<link rel=\"icon\" href=\"data:,\"/>\n<title>" +
        title + "</title>\n<style>" + kStyle + "</style>\n</head>\n<body>\n<main>\n<h1>" + title +
        "</h1>\n<p class=\"faint\">" + std::to_string(timeline.events.size()) +
        " events, from the store's history; made " + moment_text(timeline.made_us) +
        ". Time is drawn shortened: a long pause takes little room. \u2713 done, \u2717 not done, "
        "\u21bb closed by another process than began it, ? open. Dashed: how long that process "
        "lived, and held the lock, no row knows.</p>\n<div class=\"picture\" tabindex=\"0\" "
        "role=\"region\" aria-label=\"picture, may be scrolled\">\n";
    page += Picture(timeline).svg();
    page +=
        "</div>\n<table>\n<caption>The same, in the order of time</caption>\n<thead><tr>"
        "<th scope=\"col\">At</th><th scope=\"col\">What</th><th scope=\"col\">Intent</th>"
        "<th scope=\"col\">Outcome</th><th scope=\"col\">Lock held</th><th scope=\"col\">By</th>"
        "<th scope=\"col\">QMP commands</th><th scope=\"col\">Evidence</th></tr></thead>\n"
        "<tbody>\n";
    for (const auto& event : timeline.events)
        page += table_row(event);
    return page + "</tbody>\n</table>\n</main>\n</body>\n</html>\n";
}

}  // namespace xlstore::tools
