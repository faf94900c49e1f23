// SPDX-License-Identifier: MIT
// A device's hotplug script, as libxl runs it: which devices have one, with which arguments and
// environment it is started, and how often. Pure functions; any thread. How it is run:
// store/operation/hotplug.hpp.
#ifndef XLSTORE_STORE_CLASSES_HOTPLUG_SCRIPT_HPP_
#define XLSTORE_STORE_CLASSES_HOTPLUG_SCRIPT_HPP_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace xlstore {

/// A device with a script, by what libxl's own copy of its nodes says.
struct ScriptedDevice {
    std::string back;          ///< "/local/domain/0/backend/vif/7/0"
    std::string backend_kind;  ///< "vif" or "vbd"
    std::int64_t domid = 0;
    std::int64_t number = 0;
    std::string script;      ///< absolute
    bool emulated = false;   ///< of a nic: it has an emulated twin, with an interface of its own
    std::string gatewaydev;  ///< of a nic
};

/// A value below the device's nodes by its key ("script"); nothing: there is none.
using NodeValue = std::function<std::optional<std::string>(std::string_view key)>;

/// The script of the device whose back end is `back`. Nothing: it has none, or its back end is in
/// another domain than 0, which runs its scripts itself. REQUIRES is_back_end_of(back, …).
[[nodiscard]] std::optional<ScriptedDevice> scripted_device(const std::string& back,
                                                            const NodeValue& value);

enum class ScriptAction { add, remove };

/// One start of the script.
struct ScriptRun {
    std::vector<std::string> argv;
    std::vector<std::string> environment;  ///< "NAME=VALUE"
};
/// The starts, one after another: two for a nic with an emulated twin, whose interface the second
/// one is for; a stub domain has that one.
[[nodiscard]] std::vector<ScriptRun> script_runs(const ScriptedDevice& device, ScriptAction action,
                                                 bool has_stub_domain);

/// "backend/vif/7/0": what the script of the device whose back end is `back` finds in the variable
/// kScriptPlace of its environment. "": no device with such a back end has a script.
[[nodiscard]] std::string place_of_script(std::string_view back);
constexpr std::string_view kScriptPlace = "XENBUS_PATH";
/// The variable that names the script.
constexpr std::string_view kScriptVariable = "script";

}  // namespace xlstore

#endif  // XLSTORE_STORE_CLASSES_HOTPLUG_SCRIPT_HPP_
