// SPDX-License-Identifier: MIT
// The command line. CLI11 is slow to compile and stands in this file alone.
#include <CLI/CLI.hpp>
#include <algorithm>

#include "tools/common/version.hpp"
#include "tools/xlstore/verbs.hpp"
#include "xlstore/xlstore.h"

namespace xlstore::tools {

namespace {
const std::string kGuard = "\x01";
}

std::optional<int> parse_arguments(int argc, char** argv, Arguments& out)
{
    CLI::App app(
        "Keeps libxl's per-domain configuration so that no crash can lose track of a device.\n"
        "DOM is domid:7, name:web, uuid:… or a bare word tried as domid, uuid, name.\n"
        "Exit status: 0 done, 1 refused or not done, 2 usage, 3 in doubt, 4 no such object.",
        "xlstore");
    app.require_subcommand(1);
    app.fallthrough();
    out.store = xlstore_default_directory();
    app.add_option("--store", out.store,
                   "the store's directory; else $XLSTORE_DIR, else /var/lib/xlstore");
    app.add_flag("-v,--verbose", out.verbose, "say on standard error what is done");
    app.add_flag("--json", out.json, "print one JSON value, errors too");
    app.add_option("--timeout", out.timeout_s,
                   "seconds for the whole of it (default: 30, create and soft-reset 60, wait 3600)")
        ->check(CLI::Range(0.0, 1e6));
    // Wherever --json stands.
    const bool json = std::any_of(
        argv, argv + argc, [](const char* word) { return std::string_view(word) == "--json"; });
    app.set_version_flag("-V,--version", [json] { return version_text("xlstore", json); })
        ->description("print the versions of program, schema, SQLite and QEMU");

    // What stands after "--" is QEMU's command line and none of ours to read.
    std::vector<std::string> own;
    bool rest = false;
    for (int i = 1; i < argc; ++i) {
        if (!rest && std::string_view(argv[i]) == "--") {
            rest = true;
        } else {
            // CLI11 has ideas of its own about a lone dash and about words in brackets.
            const std::string word = argv[i];
            const bool guarded =
                !rest && (word == "-" || word.starts_with('[') || word.starts_with('{'));
            (rest ? out.command : own).push_back(guarded ? kGuard + word : word);
        }
    }
    for (const auto& row : verbs()) {
        auto* verb = app.add_subcommand(row.name, row.help);
        verb->footer(std::string("xlstore [OPTIONS] ") + row.name + " " + row.synopsis);
        if (row.words_max > 0)
            verb->add_option("words", out.words, row.synopsis)
                ->expected(row.words_min, row.words_max)
                ->required(row.words_min > 0);
        const std::string_view name = row.name;
        if (name == "init") {
            verb->add_option("--group", out.group, "gid of a group that may read the store");
            verb->add_flag("--power", out.power,
                           "sync every commit, so that it survives a power cut (durability=power)");
        }
        if (name == "destroy")
            verb->add_option("--uuid", out.uuid, "with DOMID: also where there is no row yet");
        if (name == "rename")
            verb->add_option("--revision", out.revision,
                             "refuse if the document has another revision by now")
                ->check(CLI::PositiveNumber);
        if (name == "preserve")
            verb->add_option("--uuid", out.uuid, "the uuid to find it by (default: a random one)");
        if (name == "batch")
            verb->add_flag("--all-or-none", out.all_or_none,
                           "attaches only: when one fails, those before it are undone");
        if (name == "export") {
            auto* settled = verb->add_flag("--settled", out.settled,
                                           "what the domain has, to take elsewhere: refused while "
                                           "an intent is open, without stale entries");
            verb->add_option("--name", out.name, "with --settled: what it is called there")
                ->needs(settled);
            verb->add_option("--things", out.things,
                             "with --settled: the file that gets what the document cannot hold: "
                             "order and addresses of QEMU's things")
                ->needs(settled);
        }
        if (name == "create" || name == "import")
            verb->add_option("--things", out.things,
                             "the file that 'export --settled --things' wrote with this document");
        if (name == "close")
            verb->add_option("--reason", out.reason, "why, for those whom it is in the way of")
                ->required();
        if (name == "locks") {
            auto* of = verb->add_option("--break", out.break_lock_of,
                                        "make the slow lock of this domain free");
            verb->add_flag("--force", out.force, "with --break: although its holder may live")
                ->needs(of);
        }
        if (name == "register") {
            verb->add_option("--monitor", out.monitor, "QEMU's monitor socket")->required();
            verb->add_option("--pid", out.pid, "who is expected at its other end");
            verb->add_flag("--handed-in", out.handed_in,
                           "the toolstack made the socket: the peer may be another process");
        }
        verb->callback([&out, name] { out.verb = name; });
    }
    std::reverse(own.begin(), own.end());  // CLI11 takes them from the back
    try {
        app.parse(own);
    } catch (const CLI::ParseError& e) {
        const bool asked = e.get_exit_code() == 0;
        app.exit(e);
        return asked ? 0 : static_cast<int>(Status::usage);
    }
    for (auto& word : out.words)
        if (word.starts_with(kGuard)) word.erase(0, kGuard.size());
    if (!out.command.empty() && out.verb != "create" && out.verb != "soft-reset") {
        std::fputs("xlstore: only 'create' and 'soft-reset' take a command after --\n", stderr);
        return static_cast<int>(Status::usage);
    }
    return std::nullopt;
}

}  // namespace xlstore::tools
