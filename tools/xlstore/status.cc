// SPDX-License-Identifier: MIT
// status: one page, one line, or figures, of how the store and its domains are now.
#include <cstdio>

#include "tools/common/json_value.hpp"
#include "tools/common/pager.hpp"
#include "tools/xlstore/found_domain.hpp"
#include "tools/xlstore/status_facts.hpp"
#include "tools/xlstore/status_page.hpp"

namespace xlstore::tools {

namespace {

Status status_of_health(const std::string& facts)
{
    const auto health = json_value(facts)["health"].get<std::string>();
    if (health == "well") return Status::done;
    return health == "doubt" ? Status::in_doubt : Status::refused;
}

void print_page(const std::string& facts)
{
    const auto where = screen();
    const auto lines = status_page(facts, where);
    if (where.terminal && lines.size() >= where.rows) start_pager();
    for (const auto& line : lines)
        std::puts(line.c_str());
}

}  // namespace

Result<Status> run_status(const Arguments& arguments)
{
    const auto found = open_and_find(arguments, Past::no);
    if (!found) return found.error();
    const auto facts = status_facts(arguments, found->store.get());
    if (!facts) return facts.error();
    const auto status = status_of_health(*facts);
    if (arguments.metrics)
        std::fputs(status_metrics(*facts).c_str(), stdout);
    else if (arguments.json)
        print_json(*facts);
    else if (arguments.brief && status == Status::done)
        std::puts(status_line(*facts).c_str());
    else
        print_page(*facts);
    return arguments.metrics ? Status::done : status;
}

}  // namespace xlstore::tools
