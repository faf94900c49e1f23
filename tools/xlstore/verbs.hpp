// SPDX-License-Identifier: MIT
// The verbs of `xlstore`: a row each in verbs.cc, a function each.
#ifndef XLSTORE_TOOLS_XLSTORE_VERBS_HPP_
#define XLSTORE_TOOLS_XLSTORE_VERBS_HPP_

#include <optional>
#include <string>
#include <vector>

#include "store/base/error.hpp"
#include "tools/common/output.hpp"

namespace xlstore::tools {

/// The command line, taken apart.
struct Arguments {
    std::string verb;
    std::string store;
    bool json = false;
    bool handed_in = false;
    bool verbose = false;
    bool power = false;
    bool all_or_none = false;
    std::optional<double> timeout_s;
    std::optional<std::int64_t> pid;
    bool assume_dead = false;
    bool adopt = false;
    std::string userdata;  ///< a directory
    std::optional<unsigned> group;
    std::int64_t revision = 0;
    std::string uuid;
    std::string monitor;
    std::string break_lock_of;  ///< a domain
    bool force = false;
    bool no_qemu = false;
    bool no_scripts = false;
    bool wait = false;
    bool settled = false;
    bool retired = false;
    bool dry_run = false;
    bool brief = false;
    bool metrics = false;
    bool no_pager = false;
    bool follow = false;
    bool show = false;
    bool scope = false;
    bool sure = false;     ///< --yes
    std::string since;     ///< a time, as parse_moment() reads it; "": none
    std::string until;
    std::string device_class;
    std::string who;
    std::string html;      ///< path of a file
    std::int64_t limit = 0;   ///< 0: none
    std::int64_t intent = 0;  ///< 0: none
    std::int64_t older_than_days = -1;
    std::string name;
    std::string root;    ///< libxl's directories are below it
    std::string things;  ///< path of a file
    std::string reason;
    std::vector<std::string> words;    ///< positional, in the verb's order
    std::vector<std::string> command;  ///< after --
};

/// A verb: how it is written, what it does, and how many words it takes.
struct VerbRow {
    const char* name;
    const char* synopsis;
    const char* help;
    int words_min;
    int words_max;
    Result<Status> (*run)(const Arguments&);
};

/// Fills `out`; an exit status when the program is to end at once (help, usage).
std::optional<int> parse_arguments(int argc, char** argv, Arguments& out);
[[nodiscard]] const std::vector<VerbRow>& verbs();
/// What is wrong with the words of a command line as such, or what in it contradicts itself: no
/// store has been looked at. Nothing: it may be run.
[[nodiscard]] std::optional<std::string> misuse_of(const Arguments&);

/// A literal, @FILE, or - for standard input.
Result<std::string> read_text(const std::string& word);
/// A regular file, or standard input for "-", without the NUL that libxl ends its files with.
/// Errors: invalid (another kind of file, too large, text behind a NUL); io.
Result<std::string> read_file(const std::string& path);

Result<Status> run_bridge(const Arguments&);
Result<Status> run_init(const Arguments&);
Result<Status> run_upgrade(const Arguments&);
Result<Status> run_backup(const Arguments&);
Result<Status> run_restore(const Arguments&);
Result<Status> run_create(const Arguments&);
Result<Status> run_soft_reset(const Arguments&);
Result<Status> run_import(const Arguments&);
Result<Status> run_register(const Arguments&);
Result<Status> run_rename(const Arguments&);
Result<Status> run_preserve(const Arguments&);
Result<Status> run_close(const Arguments&);
Result<Status> run_reopen(const Arguments&);
Result<Status> run_demo(const Arguments&);
Result<Status> run_destroy(const Arguments&);
Result<Status> run_recover(const Arguments&);
Result<Status> run_status(const Arguments&);
Result<Status> run_list(const Arguments&);
Result<Status> run_show(const Arguments&);
Result<Status> run_things(const Arguments&);
Result<Status> run_intents(const Arguments&);
Result<Status> run_history(const Arguments&);
Result<Status> run_timeline(const Arguments&);
Result<Status> run_watch(const Arguments&);
Result<Status> run_diff(const Arguments&);
Result<Status> run_adopt(const Arguments&);
Result<Status> run_forget(const Arguments&);
Result<Status> run_bundle(const Arguments&);
Result<Status> run_locks(const Arguments&);
Result<Status> run_export(const Arguments&);
Result<Status> run_crash_points(const Arguments&);
Result<Status> run_undo(const Arguments&);
Result<Status> run_prune(const Arguments&);
Result<Status> run_sql(const Arguments&);
Result<Status> run_insert(const Arguments&);
Result<Status> run_eject(const Arguments&);
Result<Status> run_attach(const Arguments&);
Result<Status> run_detach(const Arguments&);
Result<Status> run_batch(const Arguments& arguments);
Result<Status> run_wait(const Arguments&);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_XLSTORE_VERBS_HPP_
