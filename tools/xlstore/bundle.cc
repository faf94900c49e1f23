// SPDX-License-Identifier: MIT
// bundle: one file for the report of a fault: a copy of the database without secrets, and what
// QEMU, xenstore, the kernel and systemd answered when it was made. Where it goes it can be read: a
// tar archive, --show, and 'xlfsck -n --bundle'.
#include <sqlite3.h>
#include <sys/utsname.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "store/base/clock.hpp"
#include "store/os/regular_file.hpp"
#include "tools/common/bundle_file.hpp"
#include "tools/common/bundle_findings.hpp"
#include "tools/common/byte_count.hpp"
#include "tools/common/finding_line.hpp"
#include "tools/common/moment.hpp"
#include "tools/common/secrets.hpp"
#include "tools/common/table.hpp"
#include "tools/common/tar.hpp"
#include "tools/common/version.hpp"
#include "tools/xlstore/library.hpp"
#include "tools/xlstore/status_facts.hpp"
#include "tools/xlstore/status_page.hpp"
#include "xlstore/recovery.h"

namespace xlstore::tools {

namespace {

using Json = nlohmann::ordered_json;

struct CloseDb {
    void operator()(sqlite3* db) const { sqlite3_close(db); }
};
struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};

void without_secrets_sql(sqlite3_context* context, int, sqlite3_value** values)
{
    const auto* text = reinterpret_cast<const char*>(sqlite3_value_text(values[0]));
    const auto bytes = static_cast<std::size_t>(sqlite3_value_bytes(values[0]));
    try {
        const auto safe = without_secrets(std::string_view(text ? text : "", bytes));
        sqlite3_result_text64(context, safe.data(), safe.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
    } catch (const std::exception&) {
        sqlite3_result_error_nomem(context);
    }
}

Error copy_error(sqlite3* db)
{
    return Error(Errc::io, std::string("the copy of the database: ") + sqlite3_errmsg(db),
                 "no bundle was made");
}

// Every text of every table. Triggers keep rows of a store that is used; this is a copy.
Result<void> take_secrets_out(const std::string& file)
{
    sqlite3* opened = nullptr;
    const int status = sqlite3_open_v2(file.c_str(), &opened, SQLITE_OPEN_READWRITE, nullptr);
    const std::unique_ptr<sqlite3, CloseDb> db(opened);
    if (status != SQLITE_OK) return copy_error(db.get());
    sqlite3_db_config(db.get(), SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
    sqlite3_create_function(db.get(), "without_secrets", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC,
                            nullptr, without_secrets_sql, nullptr, nullptr);
    sqlite3_stmt* made = nullptr;
    if (sqlite3_prepare_v2(
            db.get(),
            "SELECT 'UPDATE \"' || t.name || '\" SET \"' || c.name || '\" = without_secrets(\"' || "
            "c.name || '\") WHERE typeof(\"' || c.name || '\") = ''text'' AND \"' || c.name || "
            "'\" <> without_secrets(\"' || c.name || '\")' FROM sqlite_master t JOIN "
            "pragma_table_info(t.name) c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' "
            "AND c.type = 'TEXT'",
            -1, &made, nullptr) != SQLITE_OK)
        return copy_error(db.get());
    std::string all = "PRAGMA journal_mode = MEMORY; PRAGMA secure_delete = ON; BEGIN;";
    {
        const std::unique_ptr<sqlite3_stmt, Finalize> updates(made);
        while (sqlite3_step(made) == SQLITE_ROW)
            all += std::string(reinterpret_cast<const char*>(sqlite3_column_text(made, 0))) + ";";
    }
    all += "COMMIT; VACUUM; PRAGMA journal_mode = WAL;";  // as the store is
    if (sqlite3_exec(db.get(), all.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK)
        return copy_error(db.get());
    return {};
}

Result<std::string> database_of(xlstore_store* store)
{
    const PrivateDirectory place;
    if (place.path().empty())
        return Error(Errc::io, "no directory could be made for a copy: " + errno_text(errno),
                     "let TMPDIR name one that can be written");
    const std::string file = place.path() + "/store.db";
    xlstore_result* made = nullptr;
    const int32_t status = xlstore_backup(store, file.c_str(), &made);
    const ResultHandle result(made);
    if (status != XLSTORE_OK) return last_error();
    if (const auto done = take_secrets_out(file); !done) return done.error();
    return read_regular_file(file, kBundleBytesMax);
}

void keep_finding(const xlstore_finding* f, void* list)
{
    constexpr const char* kActions[] = {"none", "fixed", "left", "failed"};
    static_cast<Json*>(list)->push_back({{"code", f->code},
                                         {"problem", f->problem},
                                         {"subject", plain(f->subject)},
                                         {"message", f->message},
                                         {"evidence", plain(f->evidence)},
                                         {"action", kActions[f->action]},
                                         {"if_left", f->if_left},
                                         {"line", plain(finding_line(*f))}});
}

// What recovery sees of all domains, their QEMUs and xenstore, when it only looks. One that did not
// run, or not to its end, has found nothing or not all: its error says so.
Json look_of(const Arguments& arguments, xlstore_store* store)
{
    Json findings = Json::array();
    xlstore_recover_options options = XLSTORE_RECOVER_OPTIONS_INIT;
    options.mode = XLSTORE_RECOVER_LOOK;
    options.timeout_ms = call_of(arguments).timeout_ms;
    options.found = keep_finding;
    options.userdata = &findings;
    xlstore_result* made = nullptr;
    const int32_t status = xlstore_recover(store, &options, &made);
    const ResultHandle result(made);
    const Json error = status == XLSTORE_OK ? Json() : Json(plain(last_error().message));
    return {{"status", status}, {"error", error}, {"findings", findings}};
}

std::string host_text()
{
    utsname host{};
    (void)uname(&host);
    return Json({{"system", host.sysname},
                 {"release", host.release},
                 {"version", host.version},
                 {"machine", host.machine}})
        .dump();
}

std::string text_of_json(const Json& value)
{
    return without_secrets(value.dump(1, ' ', false, Json::error_handler_t::replace));
}

constexpr std::pair<const char*, const char*> kMembers[] = {
    {"store.db", "a copy of the database, without passwords and keys"},
    {"status.json", "what 'xlstore status' said: QEMUs, intents, locks, space, units"},
    {"findings.json", "what 'xlfsck -n -v' saw in rows, QEMUs and xenstore"},
    {"versions.json", "release, schema, SQLite, QEMU"},
    {"host.json", "kernel and machine, without the host's name"},
};

Result<std::vector<TarMember>> members_of_bundle(const Arguments& arguments)
{
    const auto store = open_to_look(arguments);
    if (!store) return store.error();
    auto database = database_of(store->get());
    if (!database) return database.error();
    const auto facts = status_facts(arguments, store->get());
    if (!facts) return facts.error();
    std::vector<TarMember> members;
    members.emplace_back("store.db", *std::move(database));
    members.emplace_back("status.json", text_of_json(Json::parse(*facts)));
    const auto look = look_of(arguments, store->get());
    members.emplace_back("findings.json", text_of_json(look));
    members.emplace_back("versions.json", version_text("xlstore", true));
    members.emplace_back("host.json", host_text());
    Json list = Json::array();
    for (std::size_t i = 0; i < members.size(); ++i)
        list.push_back({{"name", members[i].first},
                        {"bytes", members[i].second.size()},
                        {"what", kMembers[i].second}});
    const Json manifest = {{"format", 2},
                           {"made_us", now_us()},
                           {"store", plain(arguments.store)},
                           {"look", {{"status", look["status"]}, {"error", look["error"]}}},
                           {"members", list}};
    members.emplace(members.begin(), "MANIFEST.json", text_of_json(manifest));
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
        const auto manifest = Json::parse((*members)["MANIFEST.json"]);
        const auto look = Json::parse((*members)["findings.json"]);
        if (arguments.json) {
            std::puts(Json({{"manifest", manifest},
                            {"status", Json::parse((*members)["status.json"])},
                            {"findings", look.is_object() ? look.at("findings") : look}})
                          .dump()
                          .c_str());
            return Status::done;
        }
        std::printf("made %s of %s\n\n",
                    moment_text(manifest["made_us"].get<std::int64_t>()).c_str(),
                    plain(manifest["store"].get<std::string>()).c_str());
        print_members(manifest);
        std::puts("");
        for (const auto& line : status_page((*members)["status.json"], screen()))
            std::puts(line.c_str());
        std::puts("\nfindings");
        for (const auto& line : findings_page(*members))
            std::printf("  %s\n", line.c_str());
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
    if (const auto written = write_new(path, archive); !written) return written.error();
    const auto manifest = Json::parse(members->front().second);
    if (arguments.json) {
        std::puts(Json({{"file", plain(path)}, {"bytes", archive.size()}, {"manifest", manifest}})
                      .dump()
                      .c_str());
        return Status::done;
    }
    std::printf("%s: %s, without passwords and keys; look before you send it: "
                "'xlstore bundle %s --show'\n",
                plain(path).c_str(), byte_count(archive.size()).c_str(), plain(path).c_str());
    print_members(manifest);
    return Status::done;
}

}  // namespace xlstore::tools
