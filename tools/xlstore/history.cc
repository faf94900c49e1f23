// SPDX-License-Identifier: MIT
// history: what was done, by whom, with what outcome; a part of it by time, class and process, and
// what comes, as it comes.
#include <poll.h>

#include <cerrno>
#include <cstdio>

#include "store/base/clock.hpp"
#include "tools/common/display_width.hpp"
#include "tools/common/json_value.hpp"
#include "tools/common/moment.hpp"
#include "tools/common/pager.hpp"
#include "tools/common/table.hpp"
#include "tools/xlstore/found_domain.hpp"

namespace xlstore::tools {

namespace {

// ?1 incarnation, ?2 since, ?3 before, ?4 class, ?5 who, ?6 how many, ?7 above this line.
constexpr const char* kLines =
    "SELECT * FROM (SELECT json_object('id', line, 'at_us', at_us, 'opened_us', opened_us, "
    "'incarnation', incarnation, 'domid', domid, 'domain', domain, 'operation', operation, "
    "'class', class, 'key', key, 'intent', intent, 'outcome', outcome, 'image', image, "
    "'medium_before', medium_before, 'medium_after', medium_after, 'evidence', evidence, "
    "'pid', pid, 'program', program, 'uid', uid, 'author_pid', author_pid, 'author_program', "
    "author_program, 'author_uid', author_uid), line, as_of, coalesce(domid, '-'), operation, "
    "coalesce(class || '/' || key, '-'), coalesce(intent, '-'), outcome, "
    "CASE WHEN medium_before IS NULL AND medium_after IS NULL THEN '-' ELSE "
    "coalesce(nullif(medium_before, ''), 'empty') || ' -> ' || "
    "coalesce(nullif(medium_after, ''), 'empty') END, "
    "program || ' ' || pid || coalesce(' uid ' || uid, '') || "
    "CASE WHEN author_pid <> pid THEN ' for ' || author_program || ' ' || author_pid || "
    "coalesce(' uid ' || author_uid, '') ELSE '' END, evidence "
    "FROM history_lines WHERE (?1 IS NULL OR incarnation = CAST(?1 AS INTEGER)) "
    "AND (?2 IS NULL OR at_us >= CAST(?2 AS INTEGER)) "
    "AND (?3 IS NULL OR at_us <= CAST(?3 AS INTEGER)) AND (?4 IS NULL OR class = ?4) "
    "AND (?5 IS NULL OR ?5 IN (program, author_program, CAST(pid AS TEXT), "
    "CAST(author_pid AS TEXT), 'uid:' || uid, 'uid:' || author_uid)) "
    "AND line > CAST(?7 AS INTEGER) ORDER BY line DESC LIMIT CAST(?6 AS INTEGER)) ORDER BY 2";

using Lines = std::vector<NullableRow>;

// Where the columns of kLines are.
enum Column : std::size_t { kJsonText, kNumber, kAt, kDomid, kOperation, kThing, kIntent, kOutcome,
                            kMedium, kBy, kEvidence };

struct Filter {
    std::optional<std::string> incarnation, since, until, device_class, who;
    std::string limit = "-1";
    std::string above = "0";
};

Result<std::optional<std::string>> moment_of(const std::string& word)
{
    if (word.empty()) return std::optional<std::string>();
    const auto at = parse_moment(word, now_us());
    if (!at) return at.error();
    return std::optional(std::to_string(*at));
}

Result<Filter> filter_of(const Arguments& arguments, const Found& found)
{
    Filter filter;
    if (!found.incarnation.empty()) filter.incarnation = found.incarnation.front();
    auto since = moment_of(arguments.since);
    if (!since) return since.error();
    filter.since = *std::move(since);
    auto until = moment_of(arguments.until);
    if (!until) return until.error();
    filter.until = *std::move(until);
    if (!arguments.device_class.empty()) filter.device_class = arguments.device_class;
    if (!arguments.who.empty()) filter.who = arguments.who;
    if (arguments.limit > 0) filter.limit = std::to_string(arguments.limit);
    return filter;
}

Result<Lines> lines_of(const Arguments& arguments, xlstore_store* store, const Filter& filter)
{
    return query_rows(arguments, store, kLines,
                      {filter.incarnation, filter.since, filter.until, filter.device_class,
                       filter.who, filter.limit, filter.above});
}

Cells cells_of(const NullableRow& row)
{
    Cells cells;
    for (std::size_t i = kAt; i < row.size(); ++i)
        cells.push_back(plain(row[i].value_or("-")));
    return cells;
}

Ink ink_of_outcome(const std::string& outcome)
{
    if (outcome == "done") return Ink::good;
    return outcome == "begun" ? Ink::doubt : Ink::bad;
}

// For a screen that is too narrow for all columns: what happened, and below it by whom and why.
void print_record(const NullableRow& row, const Screen& where)
{
    const auto cell = [&](Column column) { return plain(row[column].value_or("-")); };
    std::string what = cell(kDomid) == "-" ? "store: " : "domain " + cell(kDomid) + ": ";
    what += cell(kOperation);
    if (cell(kThing) != "-") what += " " + cell(kThing);
    if (cell(kIntent) != "-") what += " (intent " + cell(kIntent) + ")";
    constexpr std::size_t indent = 4;
    print_paragraph(where.in(Ink::faint, cell(kAt) + " UTC") + "  " + what + ": " +
                        where.in(ink_of_outcome(cell(kOutcome)), cell(kOutcome)),
                    indent, where);
    std::string why = "by " + cell(kBy) + ": " + cell(kEvidence);
    if (cell(kMedium) != "-") why += "; medium: " + cell(kMedium);
    for (const auto& line : wrapped(why, where.columns - indent))
        std::printf("%*s%s\n", static_cast<int>(indent), "", line.c_str());
}

void print_lines(const Arguments& arguments, const Lines& lines)
{
    if (arguments.json) {
        std::string all;
        for (const auto& row : lines)
            all += (all.empty() ? "" : ",") + row[kJsonText].value_or("null");
        print_json("[" + all + "]");
        return;
    }
    const auto where = screen();
    const Cells head = {"AT (UTC)", "DOMID",  "OPERATION", "THING",   "INTENT",
                        "OUTCOME",  "MEDIUM", "BY",        "EVIDENCE"};
    std::vector<Cells> table;
    for (const auto& row : lines)
        table.push_back(cells_of(row));
    const auto shown = table_lines(head, table, Screen());
    bool fits = true;
    for (const auto& line : shown)
        fits = fits && display_width(line) <= where.columns;
    if (!where.terminal || fits) {
        print_table(head, table);
        return;
    }
    if (2 * lines.size() >= where.rows) start_pager();
    for (const auto& row : lines)
        print_record(row, where);
}

// What comes goes out line by line: --json an object a line.
void print_followed(const Arguments& arguments, const Lines& lines)
{
    const auto where = screen();
    for (const auto& row : lines) {
        if (arguments.json)
            print_json(row[kJsonText].value_or("null"));
        else
            print_record(row, where);
    }
    std::fflush(stdout);
}

void note_change(const xlstore_change* /*change*/, void* seen)
{
    *static_cast<bool*>(seen) = true;
}

struct WatchEnd {
    void operator()(xlstore_watch* watch) const { xlstore_watch_end(watch); }
};

// Until output cannot be written, or a signal ends it.
Result<Status> follow(const Arguments& arguments, xlstore_store* store, Filter filter)
{
    bool changed = true;
    xlstore_watch* begun = nullptr;
    if (xlstore_watch_start(store, -1, note_change, &changed, &begun) != XLSTORE_OK)
        return last_error();
    const std::unique_ptr<xlstore_watch, WatchEnd> watch(begun);
    if (filter.limit == "-1") filter.limit = "10";  // of what was before, enough to begin with
    for (;;) {
        if (changed) {
            changed = false;
            const auto lines = lines_of(arguments, store, filter);
            if (!lines) return lines.error();
            print_followed(arguments, *lines);
            if (!lines->empty()) filter.above = lines->back()[kNumber].value_or(filter.above);
            filter.limit = "-1";
            if (std::ferror(stdout)) return Status::done;
        }
        pollfd ready{xlstore_fd(store), POLLIN, 0};
        if (poll(&ready, 1, -1) < 0 && errno != EINTR)
            return Error(Errc::io, "poll: " + errno_text(errno));
        if (xlstore_dispatch(store) != XLSTORE_OK) return last_error();
    }
}

}  // namespace

Result<Status> run_history(const Arguments& arguments)
{
    const auto found = open_and_find(arguments, Past::yes);
    if (!found) return found.error();
    auto filter = filter_of(arguments, *found);
    if (!filter) return filter.error();
    if (arguments.follow) return follow(arguments, found->store.get(), *std::move(filter));
    const auto lines = lines_of(arguments, found->store.get(), *filter);
    if (!lines) return lines.error();
    print_lines(arguments, *lines);
    return Status::done;
}

}  // namespace xlstore::tools
