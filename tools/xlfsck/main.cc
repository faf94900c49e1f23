// SPDX-License-Identifier: MIT
// xlfsck: the face of recovery/. Options as e2fsck has them; exit status is a sum of bits.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include "recovery/fsck.hpp"
#include "store/json_text.hpp"
#include "store/limits.hpp"
#include "store/plain_text.hpp"
#include "tools/common/output.hpp"
#include "tools/common/version.hpp"
#include "tools/xlfsck/terminal.hpp"

namespace xlstore::tools {

namespace {

using recovery::Action;
using recovery::Exit;
using recovery::Finding;
using recovery::Mode;

constexpr const char* kUsage =
    "Usage: xlfsck [--store DIR] [-n|-p|-y] [-f] [-v] [-C FD] [--json] [--evict]\n"
    "              [--rebuild [--userdata DIR]] [--timeout SECONDS] [DOMAIN]\n"
    "Checks a store against the living QEMUs, and repairs it.\n"
    "  -n  look only, answer no to everything, write nothing\n"
    "  -p  preen: repair without questions what is safe without a human\n"
    "  -y  answer yes to everything\n"
    "  -f  check even what seems clean: each document as SQL shows it\n"
    "  -v  say more\n"
    "  -C FD  write progress to this descriptor: PASS DONE OF; 0: a bar on the terminal\n"
    "  --json  one object a line, the last one the summary\n"
    "  --evict  take out of QEMU what no entry knows, instead of adopting it\n"
    "  --rebuild  register QEMUs that no row knows; make a database if there is none\n"
    "  --userdata DIR  libxl's documents, for that (default /var/lib/xen)\n"
    "  --timeout SECONDS  for each domain (default 10)\n"
    "  -V, --version  print the versions of program, schema, SQLite and QEMU\n"
    "Exit status, a sum: 0 clean, 1 corrected, 2 someone outside must act (the guest must let "
    "go),\n"
    "4 left uncorrected, 8 could not look, 16 usage, 32 cancelled.\n";

struct Settings {
    std::string store = default_directory();
    std::string domain;
    std::optional<Mode> mode;
    bool verbose = false;
    bool json = false;
    int progress_fd = -1;
    double timeout_s = 10;
    bool evict = false;
    bool whole = false;
    bool rebuild = false;
    std::string userdata;
};

[[noreturn]] void usage(const std::string& what)
{
    std::fprintf(stderr, "xlfsck: %s\n%s", what.c_str(), kUsage);
    std::exit(static_cast<int>(Exit::usage));
}

Settings parse(int argc, char** argv)
{
    Settings s;
    const auto set_mode = [&](Mode mode) {
        if (s.mode && *s.mode != mode) usage("only one of -n, -p and -y may be given");
        s.mode = mode;
    };
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        const auto value = [&]() -> std::string {
            if (i + 1 >= argc) usage(word + " needs a value");
            return argv[++i];
        };
        if (word == "-h" || word == "--help") {
            std::fputs(kUsage, stdout);
            std::exit(0);
        } else if (word == "-V" || word == "--version") {
            std::puts(version_text("xlfsck", false).c_str());
            std::exit(0);
        } else if (word == "--store") {
            s.store = value();
        } else if (word == "--json") {
            s.json = true;
        } else if (word == "--timeout") {
            const auto text = value();
            char* end = nullptr;
            s.timeout_s = std::strtod(text.c_str(), &end);
            if (end == text.c_str() || *end || !(s.timeout_s >= 0))
                usage("--timeout takes seconds");
        } else if (word == "--evict") {
            s.evict = true;
        } else if (word == "--rebuild") {
            s.rebuild = true;
        } else if (word == "--userdata") {
            s.userdata = value();
        } else if (word == "-C") {
            const auto text = value();
            char* end = nullptr;
            s.progress_fd = static_cast<int>(std::strtol(text.c_str(), &end, 10));
            if (end == text.c_str() || *end || s.progress_fd < 0)
                usage("-C takes a descriptor's number");
        } else if (word.size() > 1 && word[0] == '-' && word[1] != '-') {
            for (const char c : word.substr(1)) {
                switch (c) {
                case 'n':
                    set_mode(Mode::look);
                    break;
                case 'p':
                    set_mode(Mode::preen);
                    break;
                case 'y':
                    set_mode(Mode::yes);
                    break;
                case 'f':
                    s.whole = true;
                    break;
                case 'v':
                    s.verbose = true;
                    break;
                default:
                    usage(std::string("unknown option -") + c);
                }
            }
        } else if (word.starts_with("-")) {
            usage("unknown option " + word);
        } else if (s.domain.empty()) {
            s.domain = word;
        } else {
            usage("more than one domain was named");
        }
    }
    if (s.rebuild && s.mode == Mode::preen)
        usage("--rebuild gives rows to what runs on this host: that needs -y, or answers");
    if (!s.userdata.empty() && !s.rebuild) usage("--userdata goes with --rebuild");
    if (s.evict && s.mode == Mode::preen)
        usage("--evict takes things out of a running guest: that needs -y, or answers");
    return s;
}

std::string_view action_name(Action action)
{
    switch (action) {
    case Action::fixed:
        return "fixed";
    case Action::left:
        return "left";
    case Action::failed:
        return "failed";
    case Action::none:
        break;
    }
    return "none";
}

// Paths, for one, come in any bytes.
std::string quoted(const std::string& text)
{
    return json_quote(plain_text(text, limits::error_bytes_max));
}

void print_finding(const Settings& settings, Terminal& terminal, const Finding& f)
{
    const auto& about = recovery::problem(f.code);
    if (settings.json) {
        std::vector<std::pair<std::string, std::string>> members = {
            {"code", std::to_string(static_cast<int>(f.code))},
            {"problem", json_quote(about.name)},
            {"subject", quoted(f.subject)},
            {"message", json_quote(about.message)},
            {"evidence", quoted(f.evidence)},
            {"action", json_quote(action_name(f.action))}};
        if (f.domid) members.emplace_back("domid", std::to_string(*f.domid));
        if (f.intent) members.emplace_back("intent", std::to_string(*f.intent));
        if (!f.error.empty()) members.emplace_back("error", quoted(f.error));
        std::puts(json_object(members).c_str());
        return;
    }
    // A closed document refuses what people try: it is said, though nothing is wrong with it.
    const bool noteworthy = about.if_left != Exit::clean || f.action != Action::none ||
                            f.code == recovery::Code::document_closed ||
                            recovery::names_an_owner(f.code);
    if (!noteworthy && !settings.verbose) return;
    std::string line = f.subject + ": " + std::string(about.message);
    if (!f.evidence.empty()) line += " (" + f.evidence + ")";
    line += ".";
    if (f.action == Action::fixed) line += "  " + std::string(about.fixed) + ".";
    if (f.action == Action::left) line += "  LEFT.";
    if (f.action == Action::failed) line += "  NOT REPAIRED: " + f.error + ".";
    terminal.say(line);
}

// The first ^C lets what has begun come to its end; the second ends the process, which is safe,
// too.
volatile std::sig_atomic_t interrupted = 0;
int end_of_input = -1;

void watch_for_interrupts()
{
    struct sigaction action {};
    end_of_input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    // A question ends at once, even one whose read() had not begun when the signal came.
    action.sa_handler = [](int) {
        const int error = errno;
        interrupted = 1;
        dup2(end_of_input, STDIN_FILENO);
        errno = error;
    };
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
}

int could_not_look(const Settings& settings, const Error& error)
{
    if (settings.json)
        std::puts(json_object({{"error", error_json(error)}}).c_str());
    else
        print_error("xlfsck", error);
    return static_cast<int>(Exit::blind);
}

std::vector<std::pair<std::string, std::string>> members_of(const recovery::Report& report)
{
    return {{"status", std::to_string(report.exit_bits)},
            {"found", std::to_string(report.found)},
            {"corrected", std::to_string(report.corrected)}};
}

int run(const Settings& settings)
{
    recovery::Options options;
    options.mode = settings.mode.value_or(Mode::ask);
    options.evict = settings.evict;
    options.whole = settings.whole;
    options.rebuild = settings.rebuild;
    if (!settings.userdata.empty()) options.userdata = settings.userdata;
    if (!settings.mode && (!isatty(STDIN_FILENO) || settings.json))
        usage("questions need a terminal: give -n, -p or -y");
    options.timeout_each =
        std::chrono::milliseconds(static_cast<std::int64_t>(settings.timeout_s * 1000));
    Terminal terminal(settings.progress_fd == 0 ||
                      (settings.progress_fd < 0 && !settings.json && isatty(STDERR_FILENO)));
    options.found = [&](const Finding& finding) { print_finding(settings, terminal, finding); };
    options.answer = [&](const recovery::Problem& about, const recovery::Subject& subject) {
        return !interrupted && terminal.ask(about, subject);
    };
    options.cancelled = [] { return interrupted != 0; };
    options.progress = [&](int pass, int done, int of) {
        if (settings.progress_fd > 0)
            dprintf(settings.progress_fd, "%d %d %d\n", pass, done, of);
        else
            terminal.progress(pass, done, of);
    };
    watch_for_interrupts();

    StoreOptions where;
    where.directory = settings.store;
    where.program = "xlfsck";
    if (settings.verbose) where.log = Log::to_stderr("xlfsck", LogLevel::debug);
    auto checked = recovery::fsck(where, std::move(options), settings.domain);
    if (!checked) return could_not_look(settings, checked.error());
    const auto& report = checked->report;
    if (!checked->store) {
        if (settings.json)
            std::puts(json_object({{"summary", json_object(members_of(report))}}).c_str());
        else
            std::printf("%s: no database that can be read; %d found, %d corrected\n",
                        settings.store.c_str(), report.found, report.corrected);
        return static_cast<int>(report.exit_bits);
    }

    auto counts = checked->store->db().prepare(
        "SELECT (SELECT count(*) FROM domains), (SELECT count(*) FROM things), (SELECT count(*) "
        "FROM intent)");
    counts.step();
    if (settings.json) {
        auto members = members_of(report);
        int column = 0;
        for (const char* name : {"domains", "things", "open_intents"})
            members.emplace_back(name, counts.text(column++));
        std::puts(json_object({{"summary", json_object(members)}}).c_str());
    } else {
        terminal.progress_ends();
        std::printf("%s: %s domains, %s things, %s open intents; %d found, %d corrected\n",
                    settings.store.c_str(), counts.text(0).c_str(), counts.text(1).c_str(),
                    counts.text(2).c_str(), report.found, report.corrected);
    }
    return static_cast<int>(report.exit_bits);
}

}  // namespace

}  // namespace xlstore::tools

int main(int argc, char** argv)
{
    const auto settings = xlstore::tools::parse(argc, argv);
    try {
        return xlstore::tools::run(settings);
    } catch (const std::exception& e) {
        return xlstore::tools::could_not_look(
            settings, xlstore::Error(xlstore::Errc::io, e.what(),
                                     "the store was left as far as the last commit"));
    }
}
