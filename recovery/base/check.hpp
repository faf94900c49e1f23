// SPDX-License-Identifier: MIT
// Policy of a run of the passes: what is asked, what is fixed, what the exit status says. It is
// decided here and nowhere else; passes neither print nor decide.
#ifndef XLSTORE_RECOVERY_BASE_CHECK_HPP_
#define XLSTORE_RECOVERY_BASE_CHECK_HPP_

#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "recovery/base/problem.hpp"
#include "store/core/domain.hpp"
#include "store/event/loop.hpp"

namespace xlstore::recovery {

enum class Mode {
    look,   ///< -n: no to everything; nothing is written
    preen,  ///< -p: what is safe without a human
    yes,    ///< -y: yes to everything
    ask,    ///< a human answers
};

enum class Action { none, fixed, left, failed };

/// One thing found, and what became of it.
struct Finding {
    Code code;
    std::optional<std::int64_t> domid;
    std::optional<std::int64_t> intent;
    std::string subject;   ///< the object: "domain 7 (web): disks/hdc: intent 12"
    std::string evidence;  ///< on what it rests; bounded and printable
    Action action = Action::none;
    std::string error;  ///< why a fix failed
    std::optional<ThingName> thing = {};
};

/// What a problem is about.
struct Subject {
    std::string text;
    std::string evidence = {};
    std::optional<std::int64_t> domid = {};
    std::optional<std::int64_t> intent = {};
    std::optional<ThingName> thing = {};  ///< the entry, or the one that it would be
};

/// A node of xenstore that is about to be written or removed.
struct NodeBefore {
    std::string path;
    std::optional<std::string> before;  ///< nothing: it is not there
    std::optional<std::string> after;   ///< nothing: it goes
    std::string permissions = {};       ///< "n0,r7"; "": it is not there
};

struct Options {
    Mode mode = Mode::preen;
    std::optional<DomainId> only;                                       ///< this domain alone
    std::chrono::milliseconds timeout_each = std::chrono::seconds(10);  ///< for each domain
    /// Every page of the database is read, which takes seconds where history is long. Without it
    /// damage is found where it is met.
    bool every_page = true;
    /// For a process that does nothing else: what can be looked at side by side has a thread of its
    /// own. No embedder's has threads that it did not make.
    bool threads = false;
    bool whole = false;    ///< what follows from what was checked is checked, too
    bool rebuild = false;  ///< rows for QEMUs that no row knows, and a database if there is none
    std::string userdata = "/var/lib/xen";  ///< where libxl keeps its documents, for that
    /// Files of libxl's locks that the dead left stay where they are: for one who only looks.
    bool leave_as_found = false;
    bool evict = false;  ///< what no entry knows is taken out of QEMU instead of adopted
    std::function<void(const Finding&)> found;  ///< called as each finding is complete
    std::function<bool(const Problem&, const Subject&)> answer;  ///< for Mode::ask
    /// R22, where the store itself does not last: called before a transaction that changes nodes is
    /// committed, with the domain that they belong to. Gives the path of a node that the same
    /// transaction is to make: it proves that the transaction was committed. An error keeps the
    /// nodes as they are.
    std::function<Result<std::string>(std::optional<std::int64_t> domid,
                                      const std::vector<NodeBefore>&)>
        before_nodes;
    /// Set with the former: what became of that transaction is proved, and by which node it went.
    std::function<Result<void>(const std::string& proof, bool made)> nodes_settled;
    std::function<void(int pass, int done, int of)> progress;
    std::function<bool()>
        cancelled;  ///< asked between domains: what was begun is brought to its end
};

struct Report {
    unsigned exit_bits = 0;
    int found = 0;  ///< problems, without notes
    int corrected = 0;
    int notes = 0;  ///< findings that nothing has to be done about
};

struct Progress {
    int pass;
    int done;
    int of;
};

/// What a run came upon before it was known whether the database is sound.
struct Unproved {
    Report report;
    bool gathering = false;
    std::vector<std::variant<Finding, Progress>> told;       ///< in their order
    std::map<std::int64_t, std::vector<Finding>> held_back;  ///< by domid
};

class Check {
public:
    explicit Check(Options options) : options_(std::move(options)) {}

    /// Nothing can be done about it here.
    void report(Code code, const Subject& subject);
    /// May it be fixed? After yes, say fixed() or failed(); after no it has been reported as left.
    [[nodiscard]] bool ask(Code code, const Subject& subject);
    void fixed(Code code, const Subject& subject);
    /// It may not be fixed: it has been asked elsewhere.
    void leave(Code code, const Subject& subject);
    void failed(Code code, const Subject& subject, const Error& error);

    [[nodiscard]] const Options& options() const noexcept { return options_; }
    [[nodiscard]] bool looking_only() const noexcept { return options_.mode == Mode::look; }
    [[nodiscard]] Deadline deadline() const { return Clock::now() + options_.timeout_each; }
    /// How long a human has been waited for so far (Mode::ask): no domain's time.
    [[nodiscard]] Clock::duration asked_for() const noexcept { return asked_for_; }
    [[nodiscard]] Report so_far() const noexcept { return count_; }

    /// From here on findings of a domain are held back until release(), so that those of one domain
    /// stay together although domains are checked side by side. Not where a human is asked: what
    /// came of an answer follows it.
    void gather() { gathering_ = options_.mode != Mode::ask; }
    /// Hands over what was held back of domains with a domid below this, in the order of domid.
    void release(std::int64_t below);
    /// Hands over all of it, and holds back no more.
    void release_all();

    /// From here on nothing is told, counted or handed over, until unproved() takes it out: what
    /// rests on a database that may be damaged. REQUIRES looking_only(), and no gather() before.
    void await_proof();
    /// That, and the run goes on as if it had not been.
    Unproved unproved();
    /// It was proved: as if it were found now.
    void proved(Unproved found);

    /// From now on that domain alone.
    void only(DomainId domain) { options_.only = domain; }
    /// A signal asks it to end; then the exit status says so.
    [[nodiscard]] bool cancelled()
    {
        if (options_.cancelled && options_.cancelled())
            count_.exit_bits |= static_cast<unsigned>(Exit::cancelled);
        return (count_.exit_bits & static_cast<unsigned>(Exit::cancelled)) != 0;
    }
    void progress(int pass, int done, int of) { tell(Progress{pass, done, of}); }

private:
    void record(Code code, const Subject& subject, Action action, std::string error);
    void tell(std::variant<Finding, Progress> what);

    Options options_;
    Report count_;
    Clock::duration asked_for_{0};
    bool gathering_ = false;
    std::map<std::int64_t, std::vector<Finding>> held_back_;  // by domid
    std::optional<Unproved> unproved_;  // its report is what was counted before it
};

}  // namespace xlstore::recovery

#endif  // XLSTORE_RECOVERY_BASE_CHECK_HPP_
