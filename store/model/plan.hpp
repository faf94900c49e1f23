// SPDX-License-Identifier: MIT
// What an operation is going to do to QEMU, as data: the commands in order, what undoes each, and
// what to look for afterwards. Written into the intent before the first byte is sent (R10), so that
// another process can find out later what became of it.
#ifndef XLSTORE_STORE_MODEL_PLAN_HPP_
#define XLSTORE_STORE_MODEL_PLAN_HPP_

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/error.hpp"

namespace xlstore {

inline constexpr std::string_view kDeviceDel = "device_del";
/// Kind and place of devices that were added without an id.
inline constexpr std::string_view kAnonymousKind = "anonymous";
inline constexpr std::string_view kAnonymousPath = "/machine/peripheral-anon";

/// Who carries a command out: QEMU, or, of a thing that has more than one primary, the embedder or
/// xenstored (store/operation/other_primary.hpp).
enum class Executor { qemu, host, xenstore };
[[nodiscard]] std::string_view executor_name(Executor executor) noexcept;

/// A QMP command, or one to another executor. `arguments` is a JSON object, or empty for none.
struct Command {
    std::string execute;
    std::string arguments;
    Executor by = Executor::qemu;
};

struct Step {
    Command command;
    std::optional<Command> undo;  ///< nothing: there is nothing to undo
    std::string file;             ///< opened and sent along as a descriptor; empty: none
    std::string capture;          ///< the reply's fdset-id is `$CAPTURE` in later arguments, if set
    bool writable = false;        ///< opened for writing too
};

/// Something that a plan makes in QEMU, and that can be asked for by name. A descriptor set goes by
/// its opaque text. It is a means, not the thing: one that is in use is part of what uses it, and
/// one that nothing uses is what a plan left behind.
struct Product {
    std::string kind;  ///< device anonymous node chardev object netdev fdset
    std::string name;
    std::optional<Command> undo;  ///< what takes it out
};

/// What a drive is asked for. A medium is named "format:path", as libxl names its descriptor sets;
/// nothing stands for an empty drive.
struct DriveProbe {
    std::string drive;  ///< QEMU's id of the drive
    std::optional<std::string> before;
    std::optional<std::string> after;
    std::optional<std::string> seen;  ///< what was in it just before, as QEMU names the file
    /// The medium of that file, "raw:/a.iso": history tells it, where `seen` may be a descriptor
    /// set.
    std::optional<std::string> seen_medium;
};

/// What tells which image is there. Every product of every step is in it: "absent" means that
/// none of them is there.
struct Probe {
    std::vector<Product> products;
    std::optional<DriveProbe> drive;
    /// Why there can be nothing of it in QEMU: only where there is nothing to ask
    /// for (the names that it had are another entry's by now). Empty: QEMU is asked.
    std::string absent = {};
};

struct Plan {
    std::vector<Step> steps;
    Probe probe;
};
/// Names alone, with a space between: arguments may be secret.
[[nodiscard]] std::string command_names(const Plan& plan);

// A command as {"execute": …, "arguments": …, "by": …}; without arguments when it has none, without
// "by" when it is QEMU's.
[[nodiscard]] std::string command_to_json(const Command& command);
/// Error invalid: it is none.
Result<Command> command_from_json(std::string_view minified);

// As stored in the intent; the parsers take what the writers made (from disk: checked all the
// same).
[[nodiscard]] std::string steps_to_json(const std::vector<Step>& steps);
[[nodiscard]] std::string probe_to_json(const Probe& probe);
Result<std::vector<Step>> steps_from_json(std::string_view minified);
Result<Probe> probe_from_json(std::string_view minified);

/// What `command` makes, with what takes it out; nothing for a command that makes nothing known.
/// Error invalid: it makes something without a name of its own (device_add without id), which
/// a later look could not find again.
Result<std::optional<Product>> product_of(const Command& command);

/// A ready plan handed in as a thing of class `qemu` (minified JSON):
///   key     the thing's name
///   steps   [{"execute": …, "arguments": …}, …]; the last one makes something that can be found.
///           With add-fd: `file`, the absolute path of what is opened and passed; `writable`;
///           `capture`, the name (fdset) by which `$fdset` stands for the set's number in later
///           arguments. Its `opaque` names the set for ever, so it has to be there.
///   undo    optional, one per step: the command that undoes it, or null
///   probe   optional: [{"kind": …, "name": …}, …]; otherwise derived from the steps
/// No steps, and a `probe`: something that was found in QEMU and adopted. It can be looked for and
/// taken out; what would make it again is not known.
/// What a step without a product has done is undone by the operation itself when it fails; recovery
/// cannot see that it ran. Error invalid, naming the step: unknown members, a step that nothing is
/// known to undo, nothing to probe for, a captured number ($fdset) in a name or in what undoes a
/// product (R16: only fixed text can be looked for).
Result<Plan> compile_plan(std::string_view thing_json);

/// The plan that takes products out again, last first. Descriptor sets are in none: they are swept
/// up when what used them is gone.
[[nodiscard]] std::vector<Step> removal_steps(const std::vector<Product>& products);

/// The same kind and name.
[[nodiscard]] bool same_product(const Product& one, const Product& other) noexcept;
[[nodiscard]] bool has_product(const std::vector<Product>& products, const Product& one) noexcept;
[[nodiscard]] bool is_fdset(const Product& product) noexcept;
/// A device, with an id of its own or without.
[[nodiscard]] bool is_netdev(const Product& product) noexcept;
[[nodiscard]] bool is_device(const Product& product) noexcept;
/// The device that a device_del with these arguments asks for.
[[nodiscard]] Product device_of_removal(std::string_view arguments);

/// Does `command` take out something that a device may depend on?
[[nodiscard]] bool takes_out_backend(const Command& command) noexcept;

/// `product` with the command that takes such a thing out, when it has none of its own.
[[nodiscard]] Product with_undo(Product product);

}  // namespace xlstore

#endif  // XLSTORE_STORE_MODEL_PLAN_HPP_
