// SPDX-License-Identifier: MIT
// A request's steps become a plan: each command is checked for what it makes (kMakers: device_add
// and its like, each with the command that takes it out), gets an undo, and adds a product to the
// probe. A command that makes nothing nameable needs an undo of its own. A plan whose success no
// probe could tell is refused: the last step makes something, or the request names what proves it
// (R16). Names that QEMU chooses on the way ($fdset) may stand in arguments and never in a name.
// Reading and writing are each other's inverse: what another process finds in an intent is the plan
// that was made.
#include "store/model/plan.hpp"

#include <algorithm>
#include <array>

#include "store/testing/mutation.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

// Commands that make something with a name, and what takes it out again. `qom-list` and its like
// find the thing by that name; see store/qmp/inventory.cc. A device that was added without an id
// has none that a plan could give it: it goes by its path.
struct Maker {
    std::string_view execute;
    std::string_view kind;
    std::string_view name_argument;
    std::string_view undo;
};
constexpr std::array kMakers = {
    Maker{"device_add", "device", "id", kDeviceDel},
    Maker{"", kAnonymousKind, "id", kDeviceDel},
    Maker{"chardev-add", "chardev", "id", "chardev-remove"},
    Maker{"blockdev-add", "node", "node-name", "blockdev-del"},
    Maker{"object-add", "object", "id", "object-del"},
    Maker{"netdev_add", "netdev", "id", "netdev_del"},
};

// Executors other than QEMU, as "by" names them.
constexpr std::array<std::pair<Executor, std::string_view>, 2> kExecutors = {
    {{Executor::host, "host"}, {Executor::xenstore, "xenstore"}}};

// Descriptor sets are made by add-fd alone, and taken out by a number that QEMU chooses.
constexpr std::string_view kFdset = "fdset";

Error bad_plan(const std::string& what)
{
    return Error(Errc::invalid, "plan: " + what);
}

const Maker* maker_of_kind(std::string_view kind)
{
    const auto* it = std::find_if(kMakers.begin(), kMakers.end(),
                                  [&](const Maker& m) { return m.kind == kind; });
    return it == kMakers.end() ? nullptr : it;
}

Command take_out(const Maker& maker, std::string_view name)
{
    std::string text(name);
    if (maker.kind == kAnonymousKind) text.insert(0, std::string(kAnonymousPath) + "/");
    return Command{std::string(maker.undo),
                   "{\"" + std::string(maker.name_argument) + "\":" + json_quote(text) + "}"};
}

bool holds_any(std::string_view text, const std::vector<std::string>& placeholders)
{
    return std::any_of(placeholders.begin(), placeholders.end(), [&](const std::string& one) {
        return text.find(one) != std::string_view::npos;
    });
}

Result<void> only_members(std::string_view object, std::initializer_list<std::string_view> known,
                          const std::string& where)
{
    for (const auto& member : json_members(object))
        if (std::find(known.begin(), known.end(), member.key) == known.end())
            return bad_plan(where + ": unknown member " + json_shown(member.key));
    return {};
}

}  // namespace

std::string_view executor_name(Executor executor) noexcept
{
    for (const auto& [known, name] : kExecutors)
        if (known == executor) return name;
    return "qemu";
}

std::string command_names(const Plan& plan)
{
    std::string names;
    for (const auto& step : plan.steps)
        names += (names.empty() ? "" : " ") + step.command.execute;
    return names;
}

std::string command_to_json(const Command& command)
{
    std::string text = "{\"execute\":" + json_quote(command.execute);
    if (!command.arguments.empty()) text += ",\"arguments\":" + command.arguments;
    if (command.by != Executor::qemu)
        text += ",\"by\":" + json_quote(executor_name(command.by));
    return text + "}";
}

Result<Command> command_from_json(std::string_view object)
{
    Command command;
    if (json_type(object) != JsonType::object) return bad_plan("a command is not an object");
    const auto execute = json_get_string(object, "execute");
    if (!execute || execute->empty()) return bad_plan("a command has no \"execute\"");
    command.execute = *execute;
    if (const auto arguments = json_find(object, "arguments")) {
        if (json_type(*arguments) != JsonType::object)
            return bad_plan("the arguments of " + json_shown(command.execute) +
                            " are not an object");
        command.arguments = *arguments;
    }
    if (const auto by = json_find(object, "by")) {
        const auto* known =
            std::find_if(kExecutors.begin(), kExecutors.end(),
                         [&](const auto& row) { return *by == json_quote(row.second); });
        if (known == kExecutors.end())
            return bad_plan("nothing is known that carries out " + json_shown(command.execute));
        command.by = known->first;
    }
    return command;
}

namespace {

Result<std::optional<Command>> undo_from_json(std::string_view value)
{
    if (json_type(value) == JsonType::null) return std::optional<Command>();
    auto command = command_from_json(value);
    if (!command) return std::move(command).error();
    return std::optional<Command>(*std::move(command));
}

std::string optional_text(const std::optional<std::string>& value)
{
    return value ? json_quote(*value) : "null";
}

}  // namespace

std::string steps_to_json(const std::vector<Step>& steps)
{
    std::string text = "[";
    for (const auto& step : steps) {
        if (text.size() > 1) text += ',';
        std::string one = command_to_json(step.command);
        one.pop_back();
        if (step.undo) one += ",\"undo\":" + command_to_json(*step.undo);
        if (!step.file.empty()) one += ",\"file\":" + json_quote(step.file);
        if (!step.capture.empty()) one += ",\"capture\":" + json_quote(step.capture);
        if (step.writable) one += ",\"writable\":true";
        text += one + "}";
    }
    return text + "]";
}

Result<std::vector<Step>> steps_from_json(std::string_view minified)
{
    std::vector<Step> steps;
    if (json_type(minified) != JsonType::array) return bad_plan("the steps are not an array");
    for (const auto element : json_elements(minified)) {
        auto command = command_from_json(element);
        if (!command) return std::move(command).error();
        Step step;
        step.command = *std::move(command);
        if (const auto undo = json_find(element, "undo")) {
            auto parsed = undo_from_json(*undo);
            if (!parsed) return std::move(parsed).error();
            step.undo = *std::move(parsed);
        }
        step.file = json_get_string(element, "file").value_or("");
        step.capture = json_get_string(element, "capture").value_or("");
        step.writable = json_find(element, "writable") == "true";
        steps.push_back(std::move(step));
    }
    return steps;
}

std::string probe_to_json(const Probe& probe)
{
    std::string text = "{\"products\":[";
    bool first = true;
    for (const auto& product : probe.products) {
        if (!std::exchange(first, false)) text += ',';
        text += "{\"kind\":" + json_quote(product.kind) + ",\"name\":" + json_quote(product.name);
        if (product.undo) text += ",\"undo\":" + command_to_json(*product.undo);
        text += "}";
    }
    text += "]";
    if (probe.drive) {
        text += ",\"drive\":{\"id\":" + json_quote(probe.drive->drive) +
                ",\"before\":" + optional_text(probe.drive->before) +
                ",\"after\":" + optional_text(probe.drive->after) +
                ",\"seen\":" + optional_text(probe.drive->seen) +
                ",\"seen_medium\":" + optional_text(probe.drive->seen_medium) + "}";
    }
    if (!probe.absent.empty()) text += ",\"absent\":" + json_quote(probe.absent);
    return text + "}";
}

Result<Probe> probe_from_json(std::string_view minified)
{
    Probe probe;
    const auto products = json_find(minified, "products");
    if (!products || json_type(*products) != JsonType::array)
        return bad_plan("the probe has no array of products");
    for (const auto element : json_elements(*products)) {
        Product product;
        product.kind = json_get_string(element, "kind").value_or("");
        product.name = json_get_string(element, "name").value_or("");
        if (product.kind.empty() || product.name.empty())
            return bad_plan("a product of the probe has no kind or no name");
        if (const auto undo = json_find(element, "undo")) {
            auto parsed = undo_from_json(*undo);
            if (!parsed) return std::move(parsed).error();
            product.undo = *std::move(parsed);
        }
        probe.products.push_back(std::move(product));
    }
    probe.absent = json_get_string(minified, "absent").value_or("");
    if (const auto drive = json_find(minified, "drive")) {
        const auto id = json_get_string(*drive, "id");
        if (!id) return bad_plan("the probe's drive has no id");
        probe.drive =
            DriveProbe{*id, json_get_string(*drive, "before"), json_get_string(*drive, "after"),
                       json_get_string(*drive, "seen"), json_get_string(*drive, "seen_medium")};
    }
    return probe;
}

namespace {

bool is_capture_name(std::string_view name)
{
    return !name.empty() && std::all_of(name.begin(), name.end(),
                                        [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
}

// The step that passes a file: add-fd, with the members that say which.
Result<Step> file_step(Command command, std::string_view element, const std::string& where)
{
    Step step{std::move(command), std::nullopt, {}, {}};
    const auto& arguments = step.command.arguments;
    step.file = json_get_string(element, "file").value_or("");
    if (!step.file.starts_with('/'))
        return bad_plan(where + ": add-fd needs \"file\", the absolute path of what is passed");
    const auto opaque = arguments.empty() ? std::nullopt : json_get_string(arguments, "opaque");
    if (!opaque || opaque->empty() || json_find(arguments, "fdset-id"))
        return bad_plan(where +
                        ": add-fd needs an \"opaque\" of its own and no \"fdset-id\": the set's "
                        "number is QEMU's to choose, and a later look could not find it by that");
    step.capture = json_get_string(element, "capture").value_or(std::string(kFdset));
    if (!is_capture_name(step.capture))
        return bad_plan(where + ": \"capture\" is to be of small letters and underlines");
    const auto writable = json_find(element, "writable");
    if (writable && json_type(*writable) != JsonType::boolean)
        return bad_plan(where + ": \"writable\" is neither true nor false");
    step.writable = writable == "true";
    return step;
}

}  // namespace

bool same_product(const Product& one, const Product& other) noexcept
{
    return one.kind == other.kind && one.name == other.name;
}

bool has_product(const std::vector<Product>& products, const Product& one) noexcept
{
    return std::any_of(products.begin(), products.end(),
                       [&](const Product& other) { return same_product(one, other); });
}

bool is_fdset(const Product& product) noexcept
{
    return product.kind == kFdset;
}

bool is_netdev(const Product& product) noexcept
{
    return product.kind == "netdev";
}

bool is_device(const Product& product) noexcept
{
    return product.kind == "device" || product.kind == kAnonymousKind;
}

Product device_of_removal(std::string_view arguments)
{
    const std::string path = std::string(kAnonymousPath) + "/";
    std::string id = json_get_string(arguments, "id").value_or("");
    if (!id.starts_with(path)) return Product{"device", std::move(id), std::nullopt};
    return Product{std::string(kAnonymousKind), id.substr(path.size()), std::nullopt};
}

bool takes_out_backend(const Command& command) noexcept
{
    return std::any_of(kMakers.begin(), kMakers.end(), [&](const Maker& maker) {
        return maker.undo != kDeviceDel && maker.undo == command.execute;
    });
}

Result<std::optional<Product>> product_of(const Command& command)
{
    const auto* maker = std::find_if(kMakers.begin(), kMakers.end(),
                                     [&](const Maker& m) { return m.execute == command.execute; });
    if (maker == kMakers.end()) return std::optional<Product>();
    const auto name = command.arguments.empty()
                          ? std::nullopt
                          : json_get_string(command.arguments, maker->name_argument);
    if (!name || name->empty())
        return bad_plan(command.execute + " without \"" + std::string(maker->name_argument) +
                        "\": what it makes could not be found again");
    return std::optional<Product>(
        Product{std::string(maker->kind), *name, take_out(*maker, *name)});
}

namespace {

// Does a member that names something, at any depth of `value`, hold one of `placeholders`?
bool names_with(std::string_view value, const std::vector<std::string>& placeholders)
{
    const auto type = json_type(value);
    if (type == JsonType::array) {
        const auto elements = json_elements(value);
        return std::any_of(elements.begin(), elements.end(),
                           [&](std::string_view e) { return names_with(e, placeholders); });
    }
    if (type != JsonType::object) return false;
    const auto members = json_members(value);
    return std::any_of(members.begin(), members.end(), [&](const JsonMember& member) {
        const bool name = member.key == "id" || member.key == "node-name";
        return (name && holds_any(member.value, placeholders)) ||
               names_with(member.value, placeholders);
    });
}

// R16: a product is looked for by the text that the plan has. What QEMU is sent has the captured
// number in the place of "$fdset", so that no name may be made of it.
Result<void> check_placeholders(const Plan& plan)
{
    std::vector<std::string> placeholders;
    for (const auto& step : plan.steps)
        if (!step.capture.empty()) placeholders.push_back("$" + step.capture);
    if (placeholders.empty()) return {};
    const auto refused = [](const std::string& what) {
        return Error(Errc::invalid,
                     "plan: " + what +
                         " contains a captured number, which is not known before the plan runs: "
                         "no probe could find it (R16)",
                     "nothing was changed; give it a name of fixed text");
    };
    for (const auto& product : plan.probe.products) {
        const std::string what = product.kind + " " + json_shown(product.name);
        if (holds_any(product.name, placeholders)) return refused("the name of " + what);
        if (!is_fdset(product) && product.undo && holds_any(product.undo->arguments, placeholders))
            return refused("what undoes " + what);
    }
    std::size_t number = 0;
    for (const auto& step : plan.steps) {
        ++number;
        const auto product = product_of(step.command);
        if (product && *product && names_with(step.command.arguments, placeholders))
            return refused("a name in step " + std::to_string(number));
    }
    return {};
}

}  // namespace

namespace {

// R16: a step is undone by taking out what it made; another thing's device is not its to take.
bool takes_out_another(const Command& undo, const Product& product)
{
    const auto* maker = std::find_if(kMakers.begin(), kMakers.end(),
                                     [&](const Maker& m) { return m.undo == undo.execute; });
    if (maker == kMakers.end()) return false;
    return !product.undo || product.undo->execute != undo.execute || undo.arguments.empty() ||
           json_get_string(undo.arguments, maker->name_argument) != product.name;
}

// What a request has for "undo": a command or null for each of `steps`, or nothing at all.
Result<std::vector<std::string_view>> undos_of(std::string_view thing_json, std::size_t steps)
{
    const auto undo = json_find(thing_json, "undo");
    std::vector<std::string_view> undos;
    if (!undo) return undos;
    undos = json_elements(*undo);
    if (json_type(*undo) != JsonType::array || undos.size() != steps)
        return bad_plan("\"undo\" has to be an array with one element for each step");
    return undos;
}

/// A step, and what it makes.
struct Compiled {
    Step step;
    std::optional<Product> product;
};

Result<Compiled> compile_command(std::string_view element, const std::string& where)
{
    auto command = command_from_json(element);
    if (!command) return std::move(command).error();
    const bool passes_file = command->execute == "add-fd";
    if (auto ok = passes_file
                      ? only_members(element,
                                     {"execute", "arguments", "file", "writable", "capture"}, where)
                      : only_members(element, {"execute", "arguments"}, where);
        !ok)
        return ok.error();
    if (!passes_file) {
        auto made = product_of(*command);
        if (!made) return std::move(made).error();
        return Compiled{Step{*std::move(command), std::nullopt, {}, {}}, *std::move(made)};
    }
    auto passing = file_step(*std::move(command), element, where);
    if (!passing) return std::move(passing).error();
    const auto opaque = json_get_string(passing->command.arguments, "opaque").value_or("");
    Product set{std::string(kFdset), opaque,
                Command{"remove-fd", "{\"fdset-id\":\"$" + passing->capture + "\"}"}};
    return Compiled{*std::move(passing), std::move(set)};
}

// `undo` is the request's own; without it the product knows what takes it out.
Result<void> give_undo(Compiled& compiled, std::optional<std::string_view> undo,
                       const std::string& where)
{
    auto& [step, product] = compiled;
    if (undo) {
        auto own = undo_from_json(*undo);
        if (!own) return std::move(own).error();
        if (product && *own && takes_out_another(**own, *product))
            return bad_plan(where + ": its \"undo\" takes out something other than the step's " +
                            product->kind + " " + json_shown(product->name) + " (R16)");
        step.undo = *std::move(own);
    } else if (product) {
        step.undo = product->undo;
    } else {
        return bad_plan(where + " (" + json_shown(step.command.execute) +
                        "): nothing is known to undo it; say so in \"undo\"");
    }
    if (product && step.undo) product->undo = step.undo;
    return {};
}

// The products that a request names for its probe, besides those of its steps.
Result<void> add_proofs(std::string_view probe, std::vector<Product>& products)
{
    if (json_type(probe) != JsonType::array) return bad_plan("\"probe\" is not an array");
    for (const auto element : json_elements(probe)) {
        const auto kind = json_get_string(element, "kind");
        const auto name = json_get_string(element, "name");
        if (!kind || !name || name->empty() || !maker_of_kind(*kind))
            return bad_plan(
                "an element of \"probe\" needs a \"name\" and a \"kind\": device, anonymous, "
                "chardev, node, object or netdev");
        Product proof{*kind, *name, take_out(*maker_of_kind(*kind), *name)};
        if (!has_product(products, proof)) products.push_back(std::move(proof));
    }
    return {};
}

// "All are there" has to prove that every step ran.
Result<void> check_proof(const Plan& plan, bool own_probe)
{
    if (!own_probe && !plan.probe.products.empty()) {
        const auto last = product_of(plan.steps.back().command);
        if (last && !*last)
            return bad_plan(
                "the last step makes nothing that could be found: whether it ran could not be "
                "told; "
                "put it first, or name in \"probe\" what proves it");
    }
    if (std::all_of(plan.probe.products.begin(), plan.probe.products.end(), is_fdset))
        return bad_plan("there is nothing to probe for: name what the steps make in \"probe\"");
    return {};
}

}  // namespace

Result<Plan> compile_plan(std::string_view thing_json)
{
    if (auto ok = only_members(thing_json, {"key", "steps", "undo", "probe"}, "thing"); !ok)
        return ok.error();
    const auto steps = json_find(thing_json, "steps");
    const auto own_probe = json_find(thing_json, "probe");
    if (!steps || json_type(*steps) != JsonType::array ||
        (json_elements(*steps).empty() && !own_probe))
        return bad_plan("\"steps\" is missing, empty or not an array");
    const auto elements = json_elements(*steps);
    const auto undos = undos_of(thing_json, elements.size());
    if (!undos) return undos.error();

    Plan plan;
    for (std::size_t i = 0; i < elements.size(); ++i) {
        const std::string where = "step " + std::to_string(i + 1);
        auto compiled = compile_command(elements[i], where);
        if (!compiled) return std::move(compiled).error();
        const auto undo = undos->empty() ? std::nullopt : std::optional((*undos)[i]);
        if (auto ok = give_undo(*compiled, undo, where); !ok) return ok.error();
        auto& product = compiled->product;
        if (product && (!XLSTORE_MUTATION("products of each step") || is_device(*product)))
            plan.probe.products.push_back(*std::move(product));
        plan.steps.push_back(std::move(compiled->step));
    }
    if (own_probe)
        if (auto ok = add_proofs(*own_probe, plan.probe.products); !ok) return ok.error();
    if (auto ok = check_placeholders(plan); !ok) return ok.error();
    if (auto ok = check_proof(plan, own_probe.has_value()); !ok) return ok.error();
    return plan;
}

Product with_undo(Product product)
{
    const auto* maker = maker_of_kind(product.kind);
    if (!product.undo && maker) product.undo = take_out(*maker, product.name);
    return product;
}

std::vector<Step> removal_steps(const std::vector<Product>& products)
{
    std::vector<Step> steps;
    for (auto it = products.rbegin(); it != products.rend(); ++it)
        if (it->undo && !is_fdset(*it)) steps.push_back(Step{*it->undo, std::nullopt, {}, {}});
    return steps;
}

}  // namespace xlstore
