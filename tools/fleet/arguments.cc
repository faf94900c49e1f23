// SPDX-License-Identifier: MIT
// The command line. CLI11 is slow to compile and stands in this file alone.
#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <cstdlib>

#include "tools/common/checked_options.hpp"
#include "tools/common/version.hpp"
#include "tools/fleet/verbs.hpp"
#include "xlstore/xlstore.h"

namespace xlstore::fleet {

namespace {

struct VerbRow {
    const char* name;
    const char* synopsis;
    const char* help;
    std::size_t words_min, words_max;
    Verb run;
};

constexpr std::array kVerbs = {
    VerbRow{"init", "[--host NAME[=ROLE]]... [--reader ROLE]...",
            "make the fleet's schema or bring it up, and let in hosts and readers", 0, 0, run_init},
    VerbRow{"push", "[--follow] [--findings FILE]",
            "send what this host's store has and the fleet has not", 0, 0, run_push},
    VerbRow{"status", "", "the hosts, when they were seen, and how they are", 0, 0, run_status},
    VerbRow{"query", "SQL", "ask the fleet's views anything", 1, 1, run_query},
    VerbRow{"export", "HOST DIRECTORY", "make a store of what a lost host had", 2, 2, run_export},
    VerbRow{"move-plan", "DOM HOST", "what moving a domain to a host would meet there", 2, 2,
            run_move_plan},
    VerbRow{"retain", "--months N", "drop the history that came before the last N months", 0, 0,
            run_retain},
};

int usage(const std::string& why)
{
    std::fprintf(stderr, "xlstore-fleet: %s; try 'xlstore-fleet --help'\n",
                 tools::plain(why).c_str());
    return static_cast<int>(Status::usage);
}

void add_options(CLI::App& verb, std::string_view name, Arguments& out)
{
    if (name == "init") {
        verb.add_option("--host", out.hosts,
                        "a host, and the role that speaks for it (default: of the same name)");
        verb.add_option("--reader", out.readers, "a role that may read everything");
    }
    if (name == "push") {
        verb.add_flag("--follow", out.follow, "stay, and send each change as it is committed");
        verb.add_option("--findings", out.findings,
                        "what 'xlfsck -n --json' printed; -: standard input");
        verb.add_flag("--with-secrets", out.with_secrets,
                      "send passwords of VNC and SPICE and the data of secret objects, too");
        verb.add_flag("--new-machine", out.new_machine,
                      "this machine takes the place of the one that sent before");
        verb.add_option("--lines", out.lines, "lines of history a batch, at most (default: 2000)")
            ->check(tools::whole_number(1, 20000, "a number of lines"));
        verb.add_option("--every", out.every_seconds,
                        "with --follow: changes of so many seconds go together (default: as they "
                        "come)")
            ->check(tools::whole_number(1, 3600, "a number of seconds"));
    }
    if (name == "retain") {
        verb.add_option("--months", out.months, "full months to keep besides this one")
            ->required()
            ->check(tools::whole_number(0, 1200, "a number of months"));
        verb.add_flag("--dry-run", out.dry_run, "say what would go, and drop nothing");
    }
}

void add_everything(CLI::App& app, Arguments& out)
{
    app.require_subcommand(0, 1);
    app.fallthrough();
    const char* database = std::getenv("XLSTORE_FLEET");
    out.database = database ? database : "";
    out.store = xlstore_default_directory();
    app.add_option("--database", out.database,
                   "as libpq takes it ('host=db dbname=fleet'); else $XLSTORE_FLEET, else $PGHOST "
                   "...");
    app.add_option("--store", out.store,
                   "the store's directory; else $XLSTORE_DIR, else /var/lib/xlstore");
    app.add_flag("--json", out.json, "print JSON, errors too");
    app.set_version_flag("-V,--version", [] { return tools::version_text("xlstore-fleet", false); })
        ->description("print the versions of program, schema, SQLite and QEMU");
    for (const auto& row : kVerbs) {
        auto* verb = app.add_subcommand(row.name, row.help);
        verb->footer(std::string("xlstore-fleet [OPTIONS] ") + row.name + " " + row.synopsis);
        if (row.words_max > 0) verb->add_option("words", out.words, row.synopsis);
        add_options(*verb, row.name, out);
        verb->callback([&out, name = std::string(row.name)] { out.verb = name; });
    }
    tools::check_values(app, [](std::string&) {});
}

}  // namespace

Verb verb_of(const std::string& name)
{
    for (const auto& row : kVerbs)
        if (name == row.name) return row.run;
    return nullptr;
}

std::optional<int> parse_arguments(int argc, char** argv, Arguments& out)
{
    CLI::App app(
        "Keeps in one PostgreSQL what the stores of many hosts say, so that all can be asked at "
        "once.\nExit status: 0 done, 1 refused or not done, 2 usage, 3 in doubt, 4 no "
        "such\nobject, 5 done, but the answer could not be written.",
        "xlstore-fleet");
    add_everything(app, out);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        if (e.get_exit_code() != 0) return usage(e.what());
        app.exit(e);
        return 0;
    }
    for (const auto& row : kVerbs) {
        if (out.verb != row.name) continue;
        if (out.follow && out.findings == "-")
            return usage("--follow reads --findings whenever they are new: name a file");
        if (out.every_seconds > 0 && !out.follow)
            return usage("--every says how often --follow sends: give both");
        if (out.words.size() >= row.words_min && out.words.size() <= row.words_max)
            return std::nullopt;
        return usage(out.verb + " takes " + row.synopsis);
    }
    return usage("no verb was given");
}

}  // namespace xlstore::fleet
