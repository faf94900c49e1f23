// SPDX-License-Identifier: MIT
// The command line. CLI11 is slow to compile and stands in this file alone.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <limits>

#include "store/text/json_text.hpp"
#include "tools/common/checked_options.hpp"
#include "tools/common/one_of.hpp"
#include "tools/common/version.hpp"
#include "tools/xlstore/verbs.hpp"
#include "xlstore/xlstore.h"

namespace xlstore::tools {

namespace {

// Before a word that CLI11 would not take as one: what begins with a dash behind "--", a lone dash,
// brackets, the name of a verb.
const std::string kGuard = "\x01";

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();

void without_guard(std::string& word)
{
    if (word.starts_with(kGuard)) word.erase(0, kGuard.size());
}

// Number of letters that have to be added, omitted, exchanged or swapped with the next one.
std::size_t distance(std::string_view a, std::string_view b)
{
    std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
    for (std::size_t i = 0; i <= a.size(); ++i)
        d[i][0] = i;
    for (std::size_t j = 0; j <= b.size(); ++j)
        d[0][j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i)
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t other = a[i - 1] == b[j - 1] ? 0 : 1;
            d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + other});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[a.size()][b.size()];
}

bool is_verb(std::string_view word)
{
    return std::ranges::any_of(verbs(), [&](const VerbRow& row) { return word == row.name; });
}

// "; did you mean 'list'?" or nothing, where no verb is near.
std::string suggestion(std::string_view word)
{
    constexpr std::size_t kNear = 2;
    std::string_view best;
    std::size_t least = kNear + 1;
    for (const auto& row : verbs()) {
        const std::string_view name = row.name;
        const auto d = word.size() > 2 && name.starts_with(word) ? 0 : distance(word, name);
        if (d >= least || d >= name.size()) continue;
        least = d;
        best = name;
    }
    return best.empty() ? "" : "; did you mean '" + std::string(best) + "'?";
}

int usage(const std::string& why, const std::string& verb)
{
    const std::string help = verb.empty() ? "xlstore --help" : "xlstore " + verb + " --help";
    std::fprintf(stderr, "xlstore: %s; try '%s'\n", plain(why).c_str(), help.c_str());
    return static_cast<int>(Status::usage);
}

// The words before "--" and those behind it, which are QEMU's command line and none of ours to
// read, or, for a verb that takes none, words like the others.
struct Line {
    std::vector<std::string> own;
    std::vector<std::string> behind;
    std::string verb;   // the first word that is no option; "" if there is none
    std::string early;  // an option before it that only verbs have; "" if there is none
};

bool is_general(std::string_view option)
{
    return is_one_of(std::string(option.substr(0, option.find('='))),
                     {"--store", "--timeout", "--json", "--no-pager", "-v", "--verbose", "-V",
                      "--version", "-h", "--help"});
}

Line taken_apart(int argc, char** argv)
{
    Line line;
    bool behind = false;
    bool value = false;  // of the option before
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        if (!behind && word == "--") {
            behind = true;
        } else if (behind) {
            line.behind.push_back(word);
        } else {
            const bool is_word = !value && (word == "-" || !word.starts_with('-'));
            if (line.verb.empty() && line.early.empty() && !is_word && !value && !is_general(word))
                line.early = word;
            if (is_word && line.verb.empty()) {
                line.verb = word;
                line.own.push_back(word);
            } else {
                const bool guarded = word == "-" || word.starts_with('[') ||
                                     word.starts_with('{') || (is_word && is_verb(word));
                line.own.push_back(guarded ? kGuard + word : word);
            }
            value = !is_word && (word == "--store" || word == "--timeout");
        }
    }
    if (line.verb.empty() && !line.behind.empty()) {
        line.verb = line.behind.front();
        line.own.push_back(line.verb);
        line.behind.erase(line.behind.begin());
    }
    return line;
}

bool takes_command(std::string_view verb)
{
    return verb == "create" || verb == "soft-reset";
}

void add_options(CLI::App& verb, std::string_view name, Arguments& out)
{
    if (name == "init") {
        verb.add_option("--group", out.group, "gid of a group that may read the store")
            ->check(whole_number(0, std::numeric_limits<std::uint32_t>::max() - 1, "a gid"));
        verb.add_flag("--power", out.power,
                      "sync every commit, so that it survives a power cut (durability=power)");
    }
    if (name == "restore") {
        verb.add_flag("--adopt", out.adopt,
                      "also while QEMUs of the store live: ask them what they have, and register "
                      "them");
        verb.add_option("--userdata", out.userdata,
                        "where libxl keeps its documents (default: /var/lib/xen)");
    }
    if (name == "destroy") {
        auto* uuid =
            verb.add_option("--uuid", out.uuid, "with DOMID: also where there is no row yet");
        verb.add_flag("--assume-dead", out.assume_dead,
                      "take my word that a QEMU that cannot be looked at is dead")
            ->excludes(uuid);
    }
    if (name == "rename")
        verb.add_option("--revision", out.revision,
                        "refuse if the document has another revision by now")
            ->check(whole_number(1, kMost, "a revision"));
    if (name == "preserve")
        verb.add_option("--uuid", out.uuid, "the uuid to find it by (default: a random one)");
    if (name == "batch")
        verb.add_flag("--all-or-none", out.all_or_none,
                      "attaches only: when one fails, those before it are undone");
    if (name == "attach" || name == "detach" || name == "batch")
        verb.add_flag("--no-scripts", out.no_scripts,
                      "run no hotplug script: another program of this host does");
    if (name == "destroy")
        verb.add_flag("--no-scripts", out.no_scripts,
                      "leave its devices in xenstore: another program of this host ends them, and "
                      "runs their scripts");
    if (name == "insert" || name == "eject") {
        verb.add_flag("--force", out.force,
                      "open a tray that the guest keeps shut, without asking it");
        verb.add_flag("--wait", out.wait,
                      "where the guest keeps the tray shut: wait until it opens it");
    }
    if (name == "export") {
        auto* settled = verb.add_flag("--settled", out.settled,
                                      "what the domain has, to take elsewhere: refused while "
                                      "an intent is open, without stale entries");
        verb.add_option("--name", out.name, "with --settled: what it is called there")
            ->needs(settled);
        verb.add_flag("--retired", out.retired,
                      "the document that a domain which is over had at its end")
            ->excludes(settled);
        verb.add_option("--things", out.things,
                        "with --settled or --retired: the file that gets what the document cannot "
                        "hold: order and addresses of QEMU's things");
    }
    if (name == "bridge")
        verb.add_option("--root", out.root,
                        "libxl's directories are below it (default: this "
                        "host's)");
    if (name == "destroy")
        verb.add_flag("--yes", out.sure, "on a terminal: without being asked once more");
    if (name == "history") {
        verb.add_option("--since", out.since,
                        "from that time on: 2h, today, 22:33, '2026-11-29 22:33' (UTC)");
        verb.add_option("--until", out.until, "up to that time");
        verb.add_option("--class", out.device_class, "of things of that class alone");
        verb.add_option("--who", out.who, "by that program, pid, or uid:N");
        verb.add_flag("--follow", out.follow, "then what comes, as it comes");
    }
    if (name == "history" || name == "timeline")
        verb.add_option("--limit", out.limit, "the last so many")
            ->check(whole_number(1, kMost, "a number of lines"));
    if (name == "timeline") {
        verb.add_option("--intent", out.intent, "of that intent")
            ->check(whole_number(1, kMost, "the number of an intent"));
        verb.add_option("--html", out.html,
                        "into that file, as a page with a picture; -: standard output");
    }
    if (name == "bundle") verb.add_flag("--show", out.show, "say what is in it");
    if (name == "status") {
        verb.add_flag("-x", out.brief, "one line when all is well, else the page");
        verb.add_flag("--metrics", out.metrics, "figures for node_exporter");
    }
    if (name == "list")
        verb.add_flag("--retired", out.retired,
                      "the domains that are over, as long as their documents are kept");
    if (name == "undo") {
        verb.add_flag("--dry-run", out.dry_run, "say what it would do, and write nothing");
        verb.add_flag("--force", out.force,
                      "also of a domain that changed since: what is still as the run left it");
    }
    if (name == "prune") {
        verb.add_flag("--dry-run", out.dry_run, "say what would go, and write nothing");
        verb.add_option("--older-than", out.older_than_days,
                        "days, instead of the age that each kind is kept for; 0: all of it")
            ->check(whole_number(0, 36500, "a number of days"));
    }
    if (name == "create" || name == "import")
        verb.add_option("--things", out.things,
                        "the file that 'export --settled --things' wrote with this document");
    if (name == "create")
        verb.add_flag("--scope", out.scope,
                      "in a scope of systemd's own, which ends with the guest and not with a unit");
    if (name == "create")
        verb.add_flag("--no-qemu", out.no_qemu,
                      "a PV or PVH domain that no QEMU stands for: the command makes it in Xen");
    if (name == "import")
        verb.add_flag("--force", out.force,
                      "although another domain in the store has this uuid or name");
    if (name == "close")
        verb.add_option("--reason", out.reason, "why, for those whom it is in the way of")
            ->required();
    if (name == "locks") {
        auto* of =
            verb.add_option("--break", out.break_lock_of, "make the slow lock of this domain free");
        verb.add_flag("--force", out.force, "with --break: although its holder may live")
            ->needs(of);
    }
    if (name == "register") {
        verb.add_option("--monitor", out.monitor, "QEMU's monitor socket")->required();
        verb.add_option("--pid", out.pid,
                        "the process that has to be at its other end; waited for")
            ->check(whole_number(1, 1 << 22, "a process id"));
        verb.add_flag("--handed-in", out.handed_in,
                      "the toolstack made the socket: --pid is the process that holds it");
    }
}

// `json`: --json stands somewhere, which CLI11 may read only later.
void add_everything(CLI::App& app, Arguments& out, bool json)
{
    app.require_subcommand(0, 1);
    app.fallthrough();
    out.store = xlstore_default_directory();
    app.add_option("--store", out.store,
                   "the store's directory; else $XLSTORE_DIR, else /var/lib/xlstore");
    app.add_flag("-v,--verbose", out.verbose, "say on standard error what is done");
    app.add_flag("--no-pager", out.no_pager, "long output on a terminal goes there directly");
    app.add_flag("--json", out.json, "print one JSON value, errors too");
    app.add_option("--timeout", out.timeout_s,
                   "seconds for the whole of it (default: 30, create and soft-reset 60, wait 3600)")
        ->check(seconds_number());
    app.set_version_flag("-V,--version", [json] { return version_text("xlstore", json); })
        ->description("print the versions of program, schema, SQLite and QEMU");
    for (const auto& row : verbs()) {
        auto* verb = app.add_subcommand(row.name, row.help);
        verb->footer(std::string("xlstore [OPTIONS] ") + row.name + " " + row.synopsis);
        if (row.words_max > 0) verb->add_option("words", out.words, row.synopsis);
        add_options(*verb, row.name, out);
        verb->callback([&out, name = std::string(row.name)] { out.verb = name; });
    }
    check_values(app, without_guard);
}

// What CLI11 has against it, on one line.
std::string reason(const CLI::ParseError& error, const std::string& verb)
{
    std::string why = error.what();
    for (auto at = why.find(kGuard); at != std::string::npos; at = why.find(kGuard))
        why.erase(at, kGuard.size());
    std::ranges::replace(why, '\n', ' ');
    const auto list = why.rfind("expected: ");
    if (dynamic_cast<const CLI::ExtrasError*>(&error) && list != std::string::npos)
        return verb + " does not take " + why.substr(list + 10);
    return why;
}

}  // namespace

std::optional<int> parse_arguments(int argc, char** argv, Arguments& out)
{
    CLI::App app(
        "Keeps libxl's per-domain configuration so that no crash can lose track of a device.\n"
        "DOM is domid:7, name:web, uuid:… or a bare word tried as domid, uuid, name.\n"
        "Exit status: 0 done, 1 refused or not done, 2 usage, 3 in doubt, 4 no such object,\n"
        "5 done, but the answer could not be written.",
        "xlstore");
    add_everything(app, out, std::any_of(argv, argv + argc, [](const char* word) {
                       return std::string_view(word) == "--json";
                   }));
    auto line = taken_apart(argc, argv);
    const bool known = is_verb(line.verb);
    if (!line.early.empty())
        return usage(json_shown(line.early) +
                         " is none of the options that stand before a verb; one of a verb's own "
                         "stands behind it",
                     "");
    if (!line.verb.empty() && !known)
        return usage("there is no verb " + json_shown(line.verb) + suggestion(line.verb), "");
    if (takes_command(line.verb))
        out.command = std::move(line.behind);
    else
        for (const auto& word : line.behind)
            line.own.push_back(kGuard + word);
    std::reverse(line.own.begin(), line.own.end());  // CLI11 takes them from the back
    try {
        app.parse(line.own);
    } catch (const CLI::ParseError& e) {
        if (e.get_exit_code() != 0)
            return usage(reason(e, known ? line.verb : "xlstore"), line.verb);
        app.exit(e);
        return 0;
    }
    if (!known) return usage("no verb was given", "");
    // CLI11 takes the word behind "--store=" for its value.
    if (out.verb.empty())
        return usage("an option in front of \"" + line.verb + "\" has no value", line.verb);
    for (auto& word : out.words)
        without_guard(word);
    const auto row = std::ranges::find(verbs(), out.verb, &VerbRow::name);
    const auto count = static_cast<int>(out.words.size());
    if (count < row->words_min || count > row->words_max)
        return usage(out.verb + " takes " +
                         (*row->synopsis ? row->synopsis : std::string("no argument")) + ", not " +
                         std::to_string(count) + (count == 1 ? " word" : " words"),
                     out.verb);
    if (const auto misuse = misuse_of(out)) return usage(*misuse, out.verb);
    return std::nullopt;
}

}  // namespace xlstore::tools
