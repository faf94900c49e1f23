// SPDX-License-Identifier: MIT
// All that a script needs follows from its back end's path and a few of that one's nodes: the words
// of its command line, and the variables of its environment as libxl sets them.
#include "store/classes/hotplug_script.hpp"

#include <charconv>

namespace xlstore {

namespace {

constexpr std::string_view kNicBackEnd = "vif";
constexpr std::string_view kBlockBackEnd = "vbd";

// The parts between slashes: "", "local", "domain", "0", "backend", "vif", "7", "0".
std::vector<std::string> path_parts(std::string_view path)
{
    std::vector<std::string> parts;
    for (std::size_t from = 0; from <= path.size();) {
        const auto to = std::min(path.find('/', from), path.size());
        parts.emplace_back(path.substr(from, to - from));
        from = to + 1;
    }
    return parts;
}

std::int64_t number_in_path(const std::string& text)
{
    std::int64_t number = -1;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

// Of the parts of a back end's path: is it in domain 0, and of a kind that has scripts?
bool is_served_by_script(const std::vector<std::string>& parts)
{
    constexpr std::size_t kParts = 8;
    return parts.size() == kParts && number_in_path(parts[3]) == 0 &&
           (parts[5] == kNicBackEnd || parts[5] == kBlockBackEnd);
}

std::string interface_of(const ScriptedDevice& device)
{
    return "vif" + std::to_string(device.domid) + "." + std::to_string(device.number);
}

std::vector<std::string> environment_of_script(const ScriptedDevice& device)
{
    std::vector<std::string> environment = {
        std::string(kScriptVariable) + "=" + device.script, "XENBUS_TYPE=" + device.backend_kind,
        std::string(kScriptPlace) + "=" + place_of_script(device.back), "XENBUS_BASE_PATH=backend"};
    if (device.backend_kind != kNicBackEnd) return environment;
    environment.push_back("netdev=" + device.gatewaydev);
    if (device.emulated) environment.push_back("INTERFACE=" + interface_of(device) + "-emu");
    environment.push_back("vif=" + interface_of(device));
    return environment;
}

}  // namespace

std::optional<ScriptedDevice> scripted_device(const std::string& back, const NodeValue& value)
{
    const auto parts = path_parts(back);
    if (!is_served_by_script(parts)) return std::nullopt;
    ScriptedDevice device;
    device.back = back;
    device.backend_kind = parts[5];
    device.domid = number_in_path(parts[6]);
    device.number = number_in_path(parts[7]);
    device.script = value("script").value_or("");
    if (!device.script.starts_with('/')) return std::nullopt;
    device.emulated = device.backend_kind == kNicBackEnd && value("type") == "vif_ioemu";
    device.gatewaydev = value("gatewaydev").value_or("");
    return device;
}

std::vector<ScriptRun> script_runs(const ScriptedDevice& device, ScriptAction action,
                                   bool has_stub_domain)
{
    const bool add = action == ScriptAction::add;
    const std::string verb = add ? "add" : "remove";
    const auto environment = environment_of_script(device);
    if (device.backend_kind != kNicBackEnd) return {ScriptRun{{device.script, verb}, environment}};
    std::vector<ScriptRun> runs = {
        ScriptRun{{device.script, add ? "online" : "offline", "type_if=vif"}, environment}};
    if (device.emulated && !has_stub_domain)
        runs.push_back(ScriptRun{{device.script, verb, "type_if=tap"}, environment});
    return runs;
}

std::string place_of_script(std::string_view back)
{
    const auto parts = path_parts(back);
    if (!is_served_by_script(parts)) return {};
    return "backend/" + parts[5] + "/" + parts[6] + "/" + parts[7];
}

}  // namespace xlstore
