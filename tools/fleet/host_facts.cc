// SPDX-License-Identifier: MIT
#include "tools/fleet/host_facts.hpp"

#include <sys/utsname.h>

#include <chrono>
#include <fstream>

#include "store/text/json_text.hpp"
#include "xlstore/xlstore.h"

namespace xlstore::fleet {

namespace {

std::string first_line(const char* path)
{
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

std::string xen_version()
{
    const auto major = first_line("/sys/hypervisor/version/major");
    if (major.empty()) return "";
    return major + "." + first_line("/sys/hypervisor/version/minor") +
           first_line("/sys/hypervisor/version/extra");
}

}  // namespace

std::string machine_id()
{
    return first_line("/etc/machine-id");
}

std::string host_facts(const std::string& directory, std::int64_t behind, std::int64_t highest_id)
{
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    utsname system{};
    const bool named = uname(&system) == 0;
    return json_object(
        {{"clock_us",
          std::to_string(std::chrono::duration_cast<std::chrono::microseconds>(now).count())},
         {"hostname", json_quote(named ? system.nodename : "")},
         {"machine_id", json_quote(machine_id())},
         {"boot_id", json_quote(first_line("/proc/sys/kernel/random/boot_id"))},
         {"program", json_quote(std::string("xlstore-fleet ") + xlstore_version())},
         {"kernel", json_quote(named ? system.release : "")},
         {"xen", json_quote(xen_version())},
         {"directory", json_quote(directory)},
         {"behind", std::to_string(behind)},
         {"highest_id", std::to_string(highest_id)}});
}

}  // namespace xlstore::fleet
