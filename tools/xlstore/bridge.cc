// SPDX-License-Identifier: MIT
// bridge: libxl's files and the store, held against each other, or one brought to the other.

#include <algorithm>

#include "tools/common/json_value.hpp"
#include "tools/common/table.hpp"
#include "tools/xlstore/library.hpp"

namespace xlstore::tools {

namespace {

std::string where_of(const Json& domain)
{
    if (!domain["in_store"].get<bool>()) return "the file alone";
    return domain["file"].is_null() ? "the store alone" : "both";
}

// A word for what is to be done about it.
std::string which(const Json& difference)
{
    if (difference["pending"].get<bool>()) return "pending in the store";
    if (difference["store"].is_null()) return "the file has it, the store lacks it";
    if (difference["file"].is_null()) return "the store has it, the file lacks it";
    return "they differ";
}

// Which of the two QEMU or xenstore bears out.
std::string right(const Json& difference)
{
    const auto evidence = plain(difference["evidence"].get<std::string>());
    return difference["right"].get<std::string>() + (evidence.empty() ? "" : ": " + evidence);
}

void print_domains(const Json& domains)
{
    std::vector<std::vector<std::string>> table;
    for (const auto& domain : domains) {
        const std::string domid = std::to_string(domain["domid"].get<std::int64_t>());
        const std::string name = plain(domain["name"].get<std::string>());
        const std::string in = where_of(domain);
        if (!domain["trouble"].is_null())
            table.push_back(
                {domid, name, in, "-", plain(domain["trouble"].get<std::string>()), "-"});
        for (const auto& one : domain["differences"])
            table.push_back({domid, name, in, plain(one["thing"].get<std::string>()), which(one),
                             right(one)});
        if (domain["trouble"].is_null() && domain["differences"].empty())
            table.push_back({domid, name, in, "-", in == "both" ? "as one" : "-", "-"});
    }
    print_table({"DOMID", "NAME", "IN", "THING", "DIFFERENCE", "RIGHT"}, table);
}

// misuse_of() lets no other word through.
uint32_t action_of(const std::string& word)
{
    if (word == "sync") return XLSTORE_BRIDGE_SYNC;
    return word == "write" ? XLSTORE_BRIDGE_WRITE : XLSTORE_BRIDGE_STATUS;
}

}  // namespace

Result<Status> run_bridge(const Arguments& arguments)
{
    const auto action = action_of(arguments.words[0]);
    const char* const domain = arguments.words.size() > 1 ? arguments.words[1].c_str() : nullptr;
    auto store = action == XLSTORE_BRIDGE_STATUS ? open_to_look(arguments) : open_store(arguments);
    if (!store) return store.error();
    const xlstore_call call = call_of(arguments);
    xlstore_result* made = nullptr;
    xlstore_bridge(store->get(), action, domain,
                   arguments.root.empty() ? nullptr : arguments.root.c_str(), &call, &made);
    if (!made) return last_error();
    const ResultHandle result(made);
    if (xlstore_result_status(made) != XLSTORE_OK) return tell(arguments, made);
    const auto domains = json_value(xlstore_result_json(made))["domains"];
    if (!arguments.json && action != XLSTORE_BRIDGE_WRITE) print_domains(domains);
    auto told = tell(arguments, made);
    const bool all_done =
        std::ranges::all_of(domains, [](const Json& one) { return one["trouble"].is_null(); });
    if (!told || action != XLSTORE_BRIDGE_SYNC || all_done) return told;
    return Status::refused;
}

}  // namespace xlstore::tools
