// SPDX-License-Identifier: MIT
// One run of a plan over an engine's connection: its steps, each reply checked; what a refused step
// leaves behind undone, last first; what the guest was asked for waited for, a while; and a probe
// where the replies are no proof. Between commit 1 and commit 2; of the store it writes only what
// the guest was asked for, before it waits for it.
#ifndef XLSTORE_STORE_OPERATION_PLAN_RUNNER_HPP_
#define XLSTORE_STORE_OPERATION_PLAN_RUNNER_HPP_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "store/base/fd.hpp"
#include "store/core/journal.hpp"
#include "store/operation/engine.hpp"

namespace xlstore {

/// How far a plan got.
struct Carried {
    Evidence evidence;
    /// QEMU's or the guest's, with the steps before it undone.
    std::optional<std::string> refusal;
    /// The guest has been asked for them, and may let go at any time.
    std::vector<Product> asked;
    bool unproved = false;    ///< a step that makes nothing may not be undone: no probe sees it
    bool tray_asked = false;  ///< the guest has been asked to open it, and may do so at any time
    Addresses addresses;      ///< where QEMU put what was added
};

void trace_probed(DomainId domain, const std::vector<IntentId>& intents, const Evidence& found);

/// It only asks the guest: QEMU's reply is no proof that the device is gone.
[[nodiscard]] bool only_asks_the_guest(const Command& command);

class PlanRunner {
public:
    /// For `intents`, in which it is written down what the guest is asked for, and whose guest was
    /// asked for `asked` before. `engine` must outlive it.
    PlanRunner(Engine& engine, std::vector<IntentId> intents, std::vector<Product> asked);

    /// Runs the plan of `whole`; `files` are its images, one a step. Once a runner.
    Task<Carried> carry_out(const Draft& whole, const std::vector<Fd>& files, Deadline until);
    /// Half done, as `evidence` says: undoes what the intent itself left, then looks again. Never
    /// the rest of a plan.
    Task<Evidence> clear_up(Verb verb, const Probe& probe, Evidence evidence, Deadline until);

private:
    enum class Next { step, same_step, finding_out, answer };
    enum class Unplug { gone, waits, refused, unknown };
    enum class Shut { no, stays, waits, opened };
    /// A step that was done, and what undoes it.
    struct Undoing {
        Command command;
        bool shows;  ///< what it undoes is something that a probe sees
    };

    Task<Next> run_step(const Draft& whole, const Step& step, int image, Deadline until);
    Task<Next> step_refused(const Draft& whole, const Step& step, std::string refusal,
                            Deadline until);
    Task<bool> guest_let_go(Deadline until);
    [[nodiscard]] bool replies_are_proof(const Draft& whole) const;
    Task<void> find_out(const Draft& whole, Deadline until);
    Task<std::string> take_back(Deadline until);

    Task<Result<void>> take_out(const std::vector<Product>& products, Deadline until);
    Task<std::string> sweep(Verb verb, const Probe& probe, Evidence& evidence, Deadline until);
    Task<Result<void>> undo(Command command, Deadline until);
    Task<Result<qmp::Reply>> send(Command command, Deadline until, int file_descriptor);

    Task<Result<void>> note_asked(Product device, Deadline until);
    Task<Result<void>> await_guest(Deadline until);
    /// Waits for the guest until `patience`; `until` is the operation's deadline.
    Task<Unplug> watch_unplug(Product device, Deadline patience, Deadline until);
    Task<Shut> watch_tray(const Draft& whole, Deadline until);

    Engine* engine_;
    std::vector<IntentId> intents_;
    std::vector<Product> asked_;        // the guest neither let go of them nor said no
    std::optional<Deadline> patience_;  // one wait for all of them
    Carried carried_;
    std::map<std::string, std::string> captured_;
    std::vector<Undoing> undoing_;
    bool broken_ = false;     // the connection, or the plan: what it did is found out by looking
    bool was_asked_ = false;  // the guest, by this run
    bool said_no_ = false;    // the guest
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_PLAN_RUNNER_HPP_
