// SPDX-License-Identifier: MIT
// bundle: one file for the report of a fault: a copy of the database without secrets, and what
// QEMU, xenstore, the kernel and systemd answered when it was made. Where it goes it can be read: a
// tar archive, --show, and 'xlfsck -n --bundle'.
#include <sys/utsname.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>

#include "store/base/clock.hpp"
#include "tools/common/bundle_file.hpp"
#include "tools/common/bundle_findings.hpp"
#include "tools/common/byte_count.hpp"
#include "tools/common/json_value.hpp"
#include "tools/common/moment.hpp"
#include "tools/common/secrets.hpp"
#include "tools/common/table.hpp"
#include "tools/common/tar.hpp"
#include "tools/common/version.hpp"
#include "tools/common/whole_file.hpp"
#include "tools/xlstore/bundle_database.hpp"
#include "tools/xlstore/bundle_look.hpp"
#include "tools/xlstore/library.hpp"
#include "tools/xlstore/status_page.hpp"

namespace xlstore::tools {

namespace {

std::string host_text()
{
    utsname host{};
    (void)uname(&host);
    return json_text({{"system", host.sysname},
                      {"release", host.release},
                      {"version", host.version},
                      {"machine", host.machine}});
}

std::string text_of_json(const Json& value)
{
    return without_secrets(json_text(value, 1));
}

constexpr std::pair<const char*, const char*> kMembers[] = {
    {"store.db", "a copy of the database, without passwords and keys"},
    {"damage.json", "why the store could not be opened, and what of it could be read"},
    {"status.json", "what 'xlstore status' said: QEMUs, intents, locks, space, units"},
    {"findings.json", "what 'xlfsck -n -v' saw in rows, QEMUs and xenstore"},
    {"versions.json", "release, schema, SQLite, QEMU"},
    {"host.json", "kernel and machine, without the host's name"},
};

const char* what_is(const std::string& member)
{
    for (const auto& [name, what] : kMembers)
        if (member == name) return what;
    return "";
}

using Until = std::chrono::steady_clock::time_point;

Until until_of(const Arguments& arguments)
{
    constexpr double standard_s = 30;
    const std::chrono::duration<double> seconds(arguments.timeout_s.value_or(standard_s));
    return std::chrono::steady_clock::now() +
           std::chrono::duration_cast<std::chrono::steady_clock::duration>(seconds);
}

// Of a store that can be used.
Result<std::vector<TarMember>> members_of_store(const Arguments& arguments, xlstore_store* store,
                                                Until until)
{
    auto database = clean_database(store, until);
    if (!database) return database.error();
    const auto facts = facts_until(arguments, store, until);
    if (!facts) return facts.error();
    std::vector<TarMember> members;
    members.emplace_back("store.db", *std::move(database));
    members.emplace_back("status.json", text_of_json(json_value(*facts)));
    members.emplace_back("findings.json", text_of_json(json_value(findings_until(store, until))));
    return members;
}

// Of one that cannot be: that is when it is wanted most.
Result<std::vector<TarMember>> members_of_files(const Arguments& arguments, Until until,
                                                const Error& why)
{
    auto salvaged = salvage_database(arguments.store, until);
    if (!salvaged) return salvaged.error();
    std::vector<TarMember> members;
    if (salvaged->bytes) members.emplace_back("store.db", *std::move(salvaged->bytes));
    Json damage = json_value(salvaged->damage);
    damage["error"] = plain(why.message);
    members.emplace_back("damage.json", text_of_json(damage));
    members.emplace_back("findings.json",
                         text_of_json(json_value(findings_of_xlfsck(arguments.store, until))));
    return members;
}

Result<std::vector<TarMember>> members_of_bundle(const Arguments& arguments)
{
    const auto until = until_of(arguments);
    Json store_error;
    Result<std::vector<TarMember>> members = Error(Errc::io, "");
    {
        const auto store = open_to_look(arguments);
        members = store ? members_of_store(arguments, store->get(), until) : store.error();
    }  // no process of ours has it open from here on
    std::error_code unseen;
    if (!members && members.error().code != Errc::timeout &&
        std::filesystem::exists(arguments.store + "/store.db", unseen)) {
        store_error = plain(members.error().message);
        members = members_of_files(arguments, until, Error(members.error()));
    }
    if (!members) return members;
    members->emplace_back("versions.json", version_text("xlstore", true));
    members->emplace_back("host.json", host_text());
    Json list = Json::array();
    Json look;
    for (const auto& [name, bytes] : *members) {
        list.push_back({{"name", name}, {"bytes", bytes.size()}, {"what", what_is(name)}});
        if (name == "findings.json") look = json_value(bytes);
    }
    const Json manifest = {{"format", 3},
                           {"made_us", now_us()},
                           {"store", plain(arguments.store)},
                           {"store_error", store_error},
                           {"look", {{"status", look["status"]}, {"error", look["error"]}}},
                           {"members", list}};
    members->emplace(members->begin(), "MANIFEST.json", text_of_json(manifest));
    return members;
}

void print_members(const Json& manifest)
{
    std::vector<Cells> table;
    for (const auto& member : manifest["members"])
        table.push_back({plain(member["name"].get<std::string>()),
                         byte_count(member["bytes"].get<std::uint64_t>()),
                         plain(member["what"].get<std::string>())});
    print_table({"MEMBER", "SIZE", "WHAT IT IS"}, table);
}

Result<Status> show_bundle(const Arguments& arguments, const std::string& path)
{
    auto members = read_bundle(path);
    if (!members) return members.error();
    // It comes from elsewhere, and may have been made by hand.
    try {
        const auto manifest = json_value((*members)["MANIFEST.json"]);
        const auto look = json_value((*members)["findings.json"]);
        const auto seen = members->find("status.json");
        const Json status = seen == members->end() ? Json() : json_value(seen->second);
        if (arguments.json) {
            print_json(json_text({{"manifest", manifest},
                                  {"status", status},
                                  {"findings", look.is_object() ? look.at("findings") : look}}));
            return Status::done;
        }
        const auto where = screen();
        print_paragraph("made " + moment_text(manifest["made_us"].get<std::int64_t>()) + " of " +
                            plain(manifest["store"].get<std::string>()),
                        2, where);
        std::puts("");
        print_members(manifest);
        std::puts("");
        if (seen == members->end())
            print_paragraph("the store could not be opened: " +
                                plain(manifest.at("store_error").get<std::string>()),
                            2, where);
        else
            for (const auto& line : status_page(seen->second, where))
                std::puts(line.c_str());
        std::puts("\nfindings");
        for (const auto& line : findings_page(*members))
            print_paragraph("  " + line, 4, where);
        return Status::done;
    } catch (const std::exception& e) {
        return Error(Errc::invalid, plain(path) + " is no bundle: " + plain(e.what()));
    }
}

}  // namespace

Result<Status> run_bundle(const Arguments& arguments)
{
    const std::string& path = arguments.words[0];
    if (arguments.show) return show_bundle(arguments, path);
    const auto members = members_of_bundle(arguments);
    if (!members) return members.error();
    const auto archive = tar_of(*members, now_us() / 1'000'000);
    if (path == "-") {
        if (isatty(STDOUT_FILENO) == 1)
            return Error(Errc::invalid, "bundle: standard output is a terminal, and it is no text",
                         "nothing was written; name a file, or lead it to one");
        (void)std::fwrite(archive.data(), 1, archive.size(), stdout);
        return Status::done;  // the end of the program says if that fails
    }
    if (const auto written = write_whole_file(path, archive, IfThere::refuse); !written)
        return written.error();
    const auto manifest = json_value(members->front().second);
    if (arguments.json) {
        print_json(
            json_text({{"file", plain(path)}, {"bytes", archive.size()}, {"manifest", manifest}}));
        return Status::done;
    }
    std::printf("%s: %s, without passwords and keys; look before you send it: "
                "'xlstore bundle %s --show'\n",
                plain(path).c_str(), byte_count(archive.size()).c_str(), plain(path).c_str());
    print_members(manifest);
    return Status::done;
}

}  // namespace xlstore::tools
