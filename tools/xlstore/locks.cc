// SPDX-License-Identifier: MIT
// locks: who holds what and who waits, checked against the living; and breaking a slow lock.
#include <cstdio>

#include "tools/common/json_value.hpp"
#include "tools/common/table.hpp"
#include "tools/xlstore/library.hpp"

namespace xlstore::tools {

namespace {

std::string shown_value(const Json& claim)
{
    return plain(claim["text"].get<std::string>());
}

// The lock is the truth, the claim only says who took it last.
void add_lines(const Json& use, std::vector<std::vector<std::string>>& table)
{
    const auto name = use["lock"].get<std::string>();
    const auto subject = plain(use["subject"].get<std::string>());
    const auto& claim = use["claim"];
    std::string now = "no process holds it";
    if (use["held"].get<bool>()) now = "held";
    if (use["held"].get<bool>() && claim.is_object()) {
        if (claim["lives"] == false) now = "held, holder dead";
        if (claim["stopped"] == true) now = "held, holder stopped";
    }
    std::string who = claim.is_object() ? shown_value(claim) : "-";
    for (const auto& keeper : use["kept_by"])
        who += "; kept by " + shown_value(keeper);
    table.push_back({name, subject, now, who});
    for (const auto& waiter : use["waiters"])
        table.push_back({name, subject, "waits", shown_value(waiter)});
}

}  // namespace

Result<Status> run_locks(const Arguments& arguments)
{
    if (!arguments.break_lock_of.empty())
        return run_operation(arguments, [&](auto* store, const auto& call, auto** out) {
            return xlstore_break_lock(store, arguments.break_lock_of.c_str(),
                                      arguments.force ? XLSTORE_FORCE : 0, &call, out);
        });
    const auto store = open_to_look(arguments);
    if (!store) return store.error();
    char* text = nullptr;
    if (xlstore_locks(store->get(), &text) != XLSTORE_OK) return last_error();
    const Text json(text);
    if (arguments.json) {
        print_json(json.get());
        return Status::done;
    }
    std::vector<std::vector<std::string>> table;
    for (const auto& use : json_value(json.get()))
        add_lines(use, table);
    print_table({"LOCK", "OF", "NOW", "LAST CLAIM"}, table);
    return Status::done;
}

}  // namespace xlstore::tools
