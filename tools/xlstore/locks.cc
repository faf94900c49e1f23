// SPDX-License-Identifier: MIT
// locks: who holds what and who waits, checked against the living; and breaking a slow lock.
#include <cstdio>

#include "store/json_text.hpp"
#include "store/limits.hpp"
#include "store/lock_survey.hpp"
#include "tools/xlstore/verbs.hpp"

namespace xlstore::tools {

namespace {

std::vector<std::pair<std::string, std::string>> members_of(const Claim& claim)
{
    return {{"pid", std::to_string(claim.pid)},
            {"program", json_quote(claim.program)},
            {"operation", json_quote(claim.operation)},
            {"since_us", std::to_string(claim.since_us)}};
}

std::string life_word(Life life)
{
    if (life == Life::unknown) return "null";
    return life == Life::alive ? "true" : "false";
}

std::string joined(const std::vector<std::string>& values)
{
    std::string text = "[";
    for (const auto& value : values)
        text += (text.size() > 1 ? "," : "") + value;
    return text + "]";
}

std::string json_of(const LockUse& use)
{
    std::string claim = "null";
    if (use.claim) {
        auto members = members_of(*use.claim);
        members.emplace_back("lives", life_word(use.claimant));
        claim = json_object(members);
    }
    std::vector<std::string> keepers;
    for (const auto& keeper : use.kept_by)
        keepers.push_back(json_object(
            {{"pid", std::to_string(keeper.pid)}, {"program", json_quote(keeper.program)}}));
    std::vector<std::string> waiters;
    for (const auto& waiter : use.waiters)
        waiters.push_back(json_object(members_of(waiter)));
    return json_object({{"lock", json_quote(lock_name(use.kind))},
                        {"subject", json_quote(use.domain ? use.domain->subject() : "store")},
                        {"domid", use.domain ? std::to_string(use.domain->domid) : "null"},
                        {"held", use.held ? "true" : "false"},
                        {"claim", claim},
                        {"kept_by", joined(keepers)},
                        {"waiters", joined(waiters)}});
}

// The lock is the truth, the claim only says who took it last.
void add_lines(const LockUse& use, std::vector<std::vector<std::string>>& table)
{
    const std::string name(lock_name(use.kind));
    const std::string subject = plain(use.domain ? use.domain->subject() : "store");
    std::string now = "nobody holds it";
    if (use.held) now = use.claim && use.claimant == Life::dead ? "held, holder dead" : "held";
    std::string who = use.claim ? plain(describe(*use.claim)) : "-";
    for (const auto& keeper : use.kept_by)
        who += "; kept by " + plain(describe(keeper));
    table.push_back({name, subject, now, who});
    for (const auto& waiter : use.waiters)
        table.push_back({name, subject, "waits", plain(describe(waiter))});
}

Result<Status> break_lock(const Arguments& arguments)
{
    auto store = open_store(arguments);
    if (!store) return store.error();
    auto domain = find_domain((*store)->db(), arguments.break_lock_of);
    if (!domain) return domain.error();
    auto broken = (*store)->loop().wait_for(break_slow_lock(
        **store, *domain, arguments.force, arguments.until(limits::operation_timeout)));
    if (!broken) return broken.error();
    print_done(arguments, broken->text,
               {{"broken", broken->broken ? "true" : "false"}, {"text", json_quote(broken->text)}});
    return Status::done;
}

}  // namespace

Result<Status> run_locks(const Arguments& arguments)
{
    if (!arguments.break_lock_of.empty()) return break_lock(arguments);
    auto store = open_to_look(arguments);
    if (!store) return store.error();
    const auto uses = survey_locks(**store);
    if (!uses) return uses.error();
    std::vector<std::string> objects;
    std::vector<std::vector<std::string>> table;
    for (const auto& use : *uses) {
        objects.push_back(json_of(use));
        add_lines(use, table);
    }
    if (arguments.json)
        std::puts(joined(objects).c_str());
    else
        print_table({"LOCK", "OF", "NOW", "LAST CLAIM"}, table);
    return Status::done;
}

}  // namespace xlstore::tools
