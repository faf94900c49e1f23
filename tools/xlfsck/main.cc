// SPDX-License-Identifier: MIT
// xlfsck: the face of recovery/. Options as e2fsck has them; exit status is a sum of bits.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <variant>

#include "recovery/libxl/host_check.hpp"
#include "recovery/libxl/put_back.hpp"
#include "recovery/runs/fsck.hpp"
#include "store/base/limits.hpp"
#include "store/database/db.hpp"
#include "store/database/place.hpp"
#include "store/lock/locks.hpp"
#include "store/model/store_paths.hpp"
#include "store/text/error_json.hpp"
#include "store/text/json_text.hpp"
#include "store/text/plain_text.hpp"
#include "tools/common/bundle_file.hpp"
#include "tools/common/bundle_findings.hpp"
#include "tools/common/finding_journal.hpp"
#include "tools/common/output.hpp"
#include "tools/common/screen.hpp"
#include "tools/common/stderr_log.hpp"
#include "tools/common/version.hpp"
#include "tools/common/whole_file.hpp"
#include "tools/xlfsck/finding_groups.hpp"
#include "tools/xlfsck/manual.hpp"
#include "tools/xlfsck/options.hpp"
#include "tools/xlfsck/questions.hpp"
#include "tools/xlfsck/terminal.hpp"

namespace xlstore::tools {

namespace {

using recovery::Action;
using recovery::Exit;
using recovery::Finding;
using recovery::Mode;

[[noreturn]] void usage(const std::string& why)
{
    std::fprintf(stderr, "xlfsck: %s; try 'xlfsck --help'\n", plain(why).c_str());
    std::exit(static_cast<int>(Exit::usage));
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
std::string quoted_json(const std::string& text)
{
    return json_quote(plain_text(text, limits::error_bytes_max));
}

void print_finding(const Settings& settings, FindingGroups& groups, const Finding& f)
{
    const auto& about = recovery::problem(f.code);
    if (settings.json) {
        std::vector<std::pair<std::string, std::string>> members = {
            {"code", std::to_string(static_cast<int>(f.code))},
            {"problem", json_quote(about.name)},
            {"subject", quoted_json(f.subject)},
            {"message", json_quote(about.message)},
            {"evidence", quoted_json(f.evidence)},
            {"action", json_quote(action_name(f.action))}};
        if (f.domid) members.emplace_back("domid", std::to_string(*f.domid));
        if (f.intent) members.emplace_back("intent", std::to_string(*f.intent));
        if (!f.error.empty()) members.emplace_back("error", quoted_json(f.error));
        std::puts(json_object(members).c_str());
        return;
    }
    const bool noteworthy = about.if_left != Exit::clean || f.action != Action::none ||
                            recovery::is_always_said(f.code);
    if (!noteworthy && !settings.verbose) return;
    groups.add(f);
}

// Prints it, writes it into the host's journal, and keeps in mind what is left.
void tell(const Settings& settings, FindingGroups& groups, std::set<recovery::Code>& left,
          const Finding& finding)
{
    print_finding(settings, groups, finding);
    if (settings.mode != Mode::look)
        journal_finding("xlfsck", settings.libxl ? "libxl" : settings.store, finding);
    if (finding.action != Action::fixed &&
        recovery::problem(finding.code).if_left != Exit::clean)
        left.insert(finding.code);
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
            {"corrected", std::to_string(report.corrected)},
            {"notes", std::to_string(report.notes)}};
}

// Notes are shown with -v alone, and so is their number.
std::string counts_of(const Settings& settings, const recovery::Report& report)
{
    std::string text =
        std::to_string(report.found) + " found, " + std::to_string(report.corrected) + " corrected";
    if (settings.verbose) text += ", " + std::to_string(report.notes) + " notes";
    return text;
}

// Where the manual says what to do about what is left.
void print_what_to_do(const std::set<recovery::Code>& left)
{
    std::string text;
    for (const auto code : left)
        text += (text.empty() ? "" : ", ") +
                ("'xlfsck --explain " + std::to_string(static_cast<int>(code)) + "'");
    if (!text.empty()) print_line("what to do about it: " + text);
}

void print_summary(const Settings& settings, Terminal& terminal, const recovery::Checked& checked)
{
    auto members = members_of(checked.report);
    terminal.progress_ends();
    const std::string& called = settings.bundle.empty() ? settings.store : settings.bundle;
    if (!checked.store) {
        if (settings.json)
            std::puts(json_object({{"summary", json_object(members)}}).c_str());
        else
            print_line(called + ": no database that can be read; " +
                       counts_of(settings, checked.report));
        return;
    }
    // Of the domain that was named, or of all.
    auto counts = checked.store->db()
                      .prepare(
                          "SELECT count(*), "
                          "coalesce(sum((SELECT count(*) FROM thing WHERE domain = d.id)), 0), "
                          "(SELECT count(*) FROM intent WHERE ?1 IN (0, domain)) "
                          "FROM domain d WHERE ?1 IN (0, d.id) AND state <> 'destroyed'")
                      .bind(checked.only ? value_of(*checked.only) : 0);
    counts.step();
    if (settings.json) {
        int column = 0;
        for (const char* name : {"domains", "things", "open_intents"})
            members.emplace_back(name, counts.text(column++));
        std::puts(json_object({{"summary", json_object(members)}}).c_str());
    } else {
        print_line(called + ": " + counts.text(0) + " domains, " + counts.text(1) + " things, " +
                   counts.text(2) + " open intents; " + counts_of(settings, checked.report));
    }
}

// Of a host without a store.
void print_host_summary(const Settings& settings, Terminal& terminal,
                        const recovery::HostChecked& checked)
{
    auto members = members_of(checked.report);
    terminal.progress_ends();
    if (settings.json) {
        members.emplace_back("domains", std::to_string(checked.domains));
        if (!checked.undo.empty()) members.emplace_back("undo", quoted_json(checked.undo));
        std::puts(json_object({{"summary", json_object(members)}}).c_str());
        return;
    }
    print_line((settings.root.empty() ? "this host" : settings.root) + ": " +
               std::to_string(checked.domains) + " domains; " +
               counts_of(settings, checked.report));
    if (!checked.undo.empty())
        print_line("what was replaced: 'xlfsck --libxl --undo " + checked.undo + "' puts it back");
}

std::shared_ptr<const Log> log_of(const Settings& settings)
{
    if (!settings.verbose) return {};
    return std::make_shared<const Log>(tools::StderrLog("xlfsck"), LogLevel::debug);
}

// A person is asked between runs, while no lock is held (Questions); the last run has all answers.
// What is asked in the end was asked before, unless it is new.
Result<recovery::Checked> ask_in_rounds(const Settings& settings, const StoreOptions& where,
                                        const recovery::Options& standard, Terminal& terminal,
                                        std::set<recovery::Code>& left)
{
    constexpr int kRoundsMax = 10;  // of a store in which each look finds something new
    Questions questions;
    int corrected = 0;
    for (int round = 1;; ++round) {
        const bool was_interrupted = interrupted != 0;
        left.clear();
        std::vector<Finding> found;
        auto options = standard;
        options.found = [&](const Finding& finding) { found.push_back(finding); };
        options.answer = [&](const recovery::Problem& about, const recovery::Subject& subject) {
            return questions.answer(about, subject);
        };
        options.cancelled = [=] { return interrupted != 0 && !was_interrupted; };
        auto checked = recovery::fsck(where, std::move(options), settings.domain);
        if (!checked) return checked;
        FindingGroups groups([&](const std::string& line) { terminal.say(line); },
                             settings.verbose);
        std::set<recovery::Code> unasked;
        for (const auto& finding : found)
            if (questions.to_be_told(finding))
                tell(settings, groups, left, finding);
            else if (finding.action != Action::fixed)
                unasked.insert(finding.code);
        groups.flush();
        auto& report = checked->report;
        corrected += report.corrected;
        if (!questions.any_open() || was_interrupted || round == kRoundsMax) {
            for (const auto code : unasked)
                if (recovery::problem(code).if_left != Exit::clean) left.insert(code);
            report.found += corrected - report.corrected;
            report.corrected = corrected;
            if (corrected > 0) report.exit_bits |= static_cast<unsigned>(Exit::corrected);
            if (interrupted) report.exit_bits |= static_cast<unsigned>(Exit::cancelled);
            return checked;
        }
        checked->store.reset();  // what a person thinks about, others may work on
        questions.ask_open([&](const auto& about, const auto& subject) {
            return !interrupted && terminal.ask(about, subject);
        });
    }
}

int run_on_store(const Settings& settings, Terminal& terminal, FindingGroups& groups,
                 recovery::Options options, std::set<recovery::Code>& left)
{
    StoreOptions where;
    where.directory = settings.store;
    where.program = "xlfsck";
    where.log = log_of(settings);
    auto checked = settings.mode ? recovery::fsck(where, std::move(options), settings.domain)
                                 : ask_in_rounds(settings, where, options, terminal, left);
    groups.flush();
    if (!checked) {
        // A domain that libxl has and the store does not know.
        const bool unknown = settings.libxl && !settings.domain.empty() &&
                             checked.error().code == Errc::not_found;
        if (unknown) return 0;
        return could_not_look(settings, checked.error());
    }
    print_summary(settings, terminal, *checked);
    return static_cast<int>(checked->report.exit_bits);
}

// A store that a host has beside libxl's files comes first: what an open intent says of a device is
// settled before libxl's file is brought to what the device is. Where only a look is asked for, a
// store has to be named.
bool is_for_store_too(const Settings& settings)
{
    if (settings.store_named) return true;
    std::error_code unreadable;
    return settings.mode != Mode::look && settings.root.empty() &&
           std::filesystem::exists(settings.store + "/store.db", unreadable);
}

int run_on_host(const Settings& settings, Terminal& terminal, FindingGroups& groups,
                recovery::Options options, std::set<recovery::Code>& left)
{
    const int of_store =
        is_for_store_too(settings) ? run_on_store(settings, terminal, groups, options, left) : 0;
    recovery::HostOptions host;
    host.root = settings.root;
    host.domain = settings.domain;
    host.log = log_of(settings);
    auto checked = recovery::check_host(host, std::move(options));
    groups.flush();
    if (!checked) return of_store | could_not_look(settings, checked.error());
    print_host_summary(settings, terminal, *checked);
    if (!settings.json) print_what_to_do(left);
    return of_store | static_cast<int>(checked->report.exit_bits);
}

std::string with_advice(const Error& error)
{
    return error.message + (error.advice.empty() ? "" : "; " + error.advice);
}

std::string json_of_put_back(const recovery::PutBack& one)
{
    std::vector<std::pair<std::string, std::string>> members = {
        {"object", quoted_json(one.what)},
        {"done", one.done ? "true" : "false"},
        {"earlier", one.earlier ? "true" : "false"},
        {"over", one.over ? "true" : "false"}};
    if (!one.done) members.emplace_back("error", error_json(one.done.error()));
    return json_object(members);
}

int undo_on_host(const Settings& settings)
{
    Loop loop;
    const auto until = Clock::now() + std::chrono::milliseconds(
                                          static_cast<std::int64_t>(settings.timeout_s * 1000));
    auto done = loop.wait_for(recovery::undo_host_repair(loop, settings.undo, until));
    if (!done) return could_not_look(settings, done.error());
    bool any_left = false;
    bool any_done = false;
    for (const auto& one : *done) {
        any_left = any_left || (!one.done && !one.over);
        any_done = any_done || one.done;
        if (settings.json)
            std::puts(json_of_put_back(one).c_str());
        else if (one.done)
            print_line(one.what + ": " + (one.earlier ? "was put back before." : "PUT BACK."));
        else
            print_line("left: " + with_advice(one.done.error()) + ".");
    }
    return static_cast<int>(any_left ? Exit::left : any_done ? Exit::corrected : Exit::clean);
}

int run(const Settings& settings)
{
    if (!settings.undo.empty()) return undo_on_host(settings);
    recovery::Options options;
    options.mode = settings.mode.value_or(Mode::ask);
    options.evict = settings.evict;
    options.threads = true;
    options.whole = settings.whole;
    options.rebuild = settings.rebuild;
    if (!settings.userdata.empty()) options.userdata = settings.userdata;
    if (!settings.mode && (!isatty(STDIN_FILENO) || settings.json))
        usage("questions need a terminal: give -n, -p or -y");
    options.timeout_each =
        std::chrono::milliseconds(static_cast<std::int64_t>(settings.timeout_s * 1000));
    Terminal terminal(settings.progress_fd == 0 || (settings.progress_fd < 0 && !settings.json &&
                                                    can_be_drawn_on(STDERR_FILENO)));
    FindingGroups groups([&](const std::string& line) { terminal.say(line); }, settings.verbose);
    std::set<recovery::Code> left;
    options.found = [&](const Finding& finding) { tell(settings, groups, left, finding); };
    options.cancelled = [] { return interrupted != 0; };
    options.progress = [&](int pass, int done, int of) {
        if (settings.progress_fd > 0)
            dprintf(settings.progress_fd, "%d %d %d\n", pass, done, of);
        else
            terminal.progress(pass, done, of);
    };
    watch_for_interrupts();
    if (settings.libxl) return run_on_host(settings, terminal, groups, std::move(options), left);

    const int status = run_on_store(settings, terminal, groups, std::move(options), left);
    if (!settings.json) print_what_to_do(left);
    return status;
}

// A copy that is only looked at, in the directory that was made for it: that it comes from another
// one is no finding, and its run directory has no sockets. What cannot be read, or is of a release
// that wrote down no place, stays as it is.
void make_at_home(const std::string& directory)
{
    mkdir(StorePaths(directory).run().c_str(), 0700);
    try {
        Db db(StorePaths(directory).database(), Db::Mode::read_write);
        if (!read_place(db)) return;
        Transaction transaction(db);
        write_place(db, place_at(directory));
        transaction.commit();
    } catch (const DbError&) {
        // The look says what is wrong with it.
    }
}

int run_on_bundle(Settings settings)
{
    const auto members = read_bundle(settings.bundle);
    if (!members) return could_not_look(settings, members.error());
    const PrivateDirectory place;
    if (place.path().empty())
        return could_not_look(settings, Error(Errc::io, "no directory could be made for a copy: " +
                                                            errno_text(errno)));
    if (!members->contains("store.db")) {
        if (!settings.json) print_seen_there(*members);
        return could_not_look(settings,
                              Error(Errc::store, "there is no database in it: nothing of that one "
                                                 "could be read",
                                    "its damage.json says what there was"));
    }
    settings.store = place.path();
    const auto written = write_whole_file(settings.store + "/store.db", members->at("store.db"),
                                          IfThere::refuse);
    if (!written) return could_not_look(settings, written.error());
    Locks::create(settings.store);  // of a store that no process uses
    make_at_home(settings.store);
    if (!settings.json) {
        print_seen_there(*members);
        print_line("its database, looked at here, where its QEMUs are not:");
    }
    return run(settings);
}

int explain(const std::string& what)
{
    for (const auto& about : recovery::problems())
        if (what == about.name || what == std::to_string(static_cast<int>(about.code))) {
            std::fputs(manual_entry(about.code).c_str(), stdout);
            return 0;
        }
    usage("there is no problem " + json_shown(what) + ": xlfsck(8) lists the numbers and names");
}

int run_guarded(const Settings& settings)
{
    try {
        return settings.bundle.empty() ? run(settings) : run_on_bundle(settings);
    } catch (const std::exception&) {
        Error error = caught();
        if (error.advice.empty()) error.advice = "what was committed before that stands";
        return could_not_look(settings, error);
    }
}

// Before a file is opened: a number that is free would become that of a file of the store's.
void check_progress(const Settings& settings)
{
    const int fd = settings.progress_fd;
    if (fd > 0 && fcntl(fd, F_GETFD) < 0)
        usage("-C takes an open descriptor, and " + std::to_string(fd) + " is not open");
}

int run_as(const Parsed& parsed)
{
    if (const auto* settings = std::get_if<Settings>(&parsed)) {
        check_progress(*settings);
        return run_guarded(*settings);
    }
    if (const auto* asked = std::get_if<Explain>(&parsed)) return explain(asked->what);
    if (const auto* bad = std::get_if<BadUsage>(&parsed)) usage(bad->why);
    if (std::get<Instead>(parsed) == Instead::version)
        std::puts(version_text("xlfsck", false).c_str());
    else
        std::fputs(kUsage, stdout);
    return 0;
}

}  // namespace

}  // namespace xlstore::tools

int main(int argc, char** argv)
{
    using namespace xlstore::tools;  // NOLINT(google-build-using-namespace)
    fail_at_writes();
    hold_standard_descriptors();
    keep_owners_rights();
    (void)std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // what was told is not lost by a kill
    const int status = run_as(parse_options(argc, argv));
    const auto trouble = output_trouble();
    if (!trouble) return status;
    std::fprintf(stderr, "xlfsck: cannot write to standard output: %s\n", trouble->c_str());
    return status | static_cast<int>(xlstore::recovery::Exit::blind);
}
