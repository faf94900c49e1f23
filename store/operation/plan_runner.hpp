// SPDX-License-Identifier: MIT
// One run of a plan over the connection of a held QEMU: its steps, each reply checked; what a
// refused step leaves behind undone, last first; what the guest was asked for waited for, a while;
// and a probe where the replies are no proof. Between commit 1 and commit 2; of the store it writes
// only what the guest was asked for, before it waits for it.
#ifndef XLSTORE_STORE_OPERATION_PLAN_RUNNER_HPP_
#define XLSTORE_STORE_OPERATION_PLAN_RUNNER_HPP_

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "store/base/fd.hpp"
#include "store/operation/asked.hpp"
#include "store/operation/held_qemu.hpp"

namespace xlstore {

/// Where the run of a plan stands, and how it ended. Steps are sent in the first two stages alone,
/// and a stage is only ever left for one below it.
struct PlanProgress {
    enum class Stage {
        acknowledged,   ///< QEMU said yes to each step so far, and each yes is proof
        asked,          ///< the same, but some yes only says that the guest has been asked
        refused,        ///< QEMU said no to a step
        tray_shut,      ///< the same: the guest keeps the tray shut, and has been asked to open it
        guest_refused,  ///< the guest said no
        broken,         ///< a step without an answer, or with one that cannot be used
        unrecorded,     ///< that the guest has been asked could not be committed
    };
    Stage stage = Stage::acknowledged;
    std::string why = {};  ///< of each stage but the first two

    /// QEMU or its guest would not: the steps before that are undone.
    [[nodiscard]] bool refused() const noexcept
    {
        return stage == Stage::refused || stage == Stage::tray_shut ||
               stage == Stage::guest_refused;
    }
};

/// How a plan ended, and what QEMU shows since.
struct PlanResult {
    PlanProgress progress = {};
    Evidence evidence = {};
    bool unproved = false;  ///< a step that makes nothing may not be undone: no probe sees it
};

void trace_probed(DomainId domain, const std::vector<IntentId>& intents, const Evidence& found);

/// It only asks the guest: QEMU's reply is no proof that the device is gone.
[[nodiscard]] bool only_asks_the_guest(const Command& command);

class PlanRunner {
public:
    /// For `intents`, in which it is written down what the guest is asked for, and whose guest was
    /// asked for `asked` before. `qemu` must outlive it.
    PlanRunner(HeldQemu& qemu, std::vector<IntentId> intents, std::vector<Product> asked);

    /// Runs the plan of `whole`; `files` are its images, one a step. Once a runner.
    Task<PlanResult> run(const Draft& whole, const std::vector<Fd>& files, Deadline until);
    /// Half done, as `evidence` says: undoes what the intent itself left, then looks again. Never
    /// the rest of a plan.
    Task<Evidence> undo_leftovers(Verb verb, const Probe& probe, Evidence evidence, Deadline until);

private:
    using Stage = PlanProgress::Stage;
    enum class Unplug { gone, waits, refused, unknown };
    enum class Shut { no, stays, waits, opened };
    /// A step that was done, and what undoes it.
    struct Undoing {
        Command command;
        bool shows;  ///< what it undoes is something that a probe sees
    };

    Task<void> run_step(const Draft& whole, const Step& step, int image, Deadline until);
    Task<bool> tray_opened(const Draft& whole, const Step& step, std::string refusal,
                           Deadline until);
    bool capture(const Step& step, const qmp::Reply& reply);
    Task<bool> guest_let_go(Deadline until);
    Task<Evidence> find_out(const Draft& whole, Deadline until);
    void end(PlanProgress::Stage stage, std::string why);
    Task<std::string> undo_steps(Deadline until);

    Task<Result<void>> remove_products(const std::vector<Product>& products, Deadline until);
    Task<std::string> remove_unused_sets(Verb verb, const Probe& probe, Evidence& evidence,
                                         Deadline until);
    Task<Result<void>> undo(Command command, Deadline until);
    Task<Result<qmp::Reply>> send(Command command, Deadline until, int file_descriptor);

    Task<Result<void>> note_asked(Product device, Deadline until);
    Task<Result<void>> await_guest(Deadline until);
    /// Waits for the guest until `patience`; `until` is the operation's deadline.
    Task<Unplug> watch_unplug(Product device, Deadline patience, Deadline until);
    Task<Shut> watch_tray(const Draft& whole, Deadline until);

    HeldQemu* qemu_;
    std::vector<IntentId> intents_;
    std::vector<Product> asked_;        // the guest neither let go of them nor said no
    std::optional<Deadline> patience_;  // one wait for all of them
    PlanProgress progress_;
    std::map<std::string, std::string> captured_;
    std::vector<Undoing> undoing_;
    bool unproved_ = false;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_PLAN_RUNNER_HPP_
