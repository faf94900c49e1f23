// SPDX-License-Identifier: MIT
#include "tools/common/units.hpp"

#include <unistd.h>

#include <array>
#include <cstdio>
#include <memory>

#include "store/text/number_text.hpp"

namespace xlstore::tools {

namespace {

constexpr const char* kAsk =
    "timeout 5 systemctl show --no-pager --timestamp=unix --property=Id,LoadState,ActiveState,"
    "SubState,Result,UnitFileState,ExecMainStatus,ExecMainExitTimestamp,LastTriggerUSec,"
    "NextElapseUSecRealtime xlstore-recover.service xlstore-look.service xlstore-look.timer "
    "xlstore-look-libxl.timer xlstore-prune.service xlstore-prune.timer 2>/dev/null";

// "@1732919593"; empty, "n/a" or 0: none.
std::optional<std::int64_t> time_of(std::string_view value)
{
    if (!value.starts_with('@')) return std::nullopt;
    const auto seconds = parse_number<std::int64_t>(value.substr(1));
    if (!seconds || *seconds <= 0 || *seconds > std::int64_t{1} << 40) return std::nullopt;
    return *seconds * 1'000'000;
}

void take(Unit& unit, std::string_view name, std::string_view value)
{
    const std::string text(value);
    if (name == "Id") unit.name = text;
    if (name == "LoadState") unit.load = text;
    if (name == "ActiveState") unit.active = text;
    if (name == "SubState") unit.sub = text;
    if (name == "Result") unit.result = text;
    if (name == "UnitFileState") unit.enabled = text;
    if (name == "ExecMainStatus") unit.status = parse_number<int>(value);
    if (name == "ExecMainExitTimestamp" || name == "LastTriggerUSec")
        if (const auto at = time_of(value)) unit.last_us = at;
    if (name == "NextElapseUSecRealtime") unit.next_us = time_of(value);
}

struct CloseSystemctl {
    void operator()(std::FILE* pipe) const { pclose(pipe); }
};

}  // namespace

std::vector<Unit> parse_units(std::string_view shown)
{
    std::vector<Unit> units;
    Unit unit;
    const auto ends = [&] {
        if (!unit.name.empty()) units.push_back(std::move(unit));
        unit = {};
    };
    while (!shown.empty()) {
        const auto end = shown.find('\n');
        const auto line = shown.substr(0, end);
        shown.remove_prefix(end == std::string_view::npos ? shown.size() : end + 1);
        const auto equals = line.find('=');
        if (line.empty()) ends();
        if (equals != std::string_view::npos)
            take(unit, line.substr(0, equals), line.substr(equals + 1));
    }
    ends();
    return units;
}

std::optional<std::vector<Unit>> units_now(std::string& why)
{
    if (access("/run/systemd/system", F_OK) != 0) {
        why = "systemd does not run here";
        return std::nullopt;
    }
    const std::unique_ptr<std::FILE, CloseSystemctl> pipe(popen(kAsk, "re"));
    std::string shown;
    std::array<char, 4096> part{};
    while (pipe) {
        const auto bytes = std::fread(part.data(), 1, part.size(), pipe.get());
        if (bytes == 0) break;
        shown.append(part.data(), bytes);
    }
    auto units = parse_units(shown);
    if (!units.empty()) return units;
    why = "systemctl does not answer";
    return std::nullopt;
}

}  // namespace xlstore::tools
