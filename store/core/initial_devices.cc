// SPDX-License-Identifier: MIT
// Two ways to such a list, and one form. Of a QEMU that this store started all that is there right
// after the start is initial, since nothing else can have been added yet. Of one that another
// program started it is what its command line made, as far as that can be told: a gap in the
// reading (a file that could not be read) makes the whole list `unknown`, because a device that is
// taken for initial needs no entry, and would be lost to recovery (R1).
#include "store/core/initial_devices.hpp"

#include <array>

#include "store/core/domain.hpp"

namespace xlstore {

namespace {

constexpr std::string_view kMedium = "medium";

// As the column initial_from has them; in the order of the enumeration.
constexpr std::array<std::string_view, 4> kFrom = {"creation", "command line", "listed", "unknown"};

template <class IsInitial, class IsInitialFile>
InitialDevices those_that(const Inventory& there, InitialDevices::From from, IsInitial is_initial,
                          IsInitialFile is_initial_file)
{
    InitialDevices initial;
    for (const auto& [kind, names] : there.names)
        for (const auto& [name, type] : names)
            if (!name.starts_with('#') && is_initial(kind, name, type))
                initial.names[kind].insert(name);
    for (const auto& drive : there.drives.drives)
        if (drive.file && is_initial_file(*drive.file)) initial.media[drive.id] = *drive.file;
    initial.from = from;
    return initial;
}

}  // namespace

bool InitialDevices::has(std::string_view kind, const std::string& name) const
{
    const auto it = names.find(kind);
    return it != names.end() && it->second.contains(name);
}

bool InitialDevices::has_medium(const Drives::Drive& drive) const
{
    const auto it = media.find(drive.id);
    return it != media.end() && drive.file && it->second == *drive.file;
}

InitialDevices initial_of_creation(const Inventory& there)
{
    return those_that(
        there, InitialDevices::From::creation, [](const auto&...) { return true; },
        [](const auto&) { return true; });
}

InitialDevices initial_of_command_line(const QemuCommandLine& line, const Inventory& there)
{
    return those_that(
        there, line.gap() ? InitialDevices::From::unknown : InitialDevices::From::command_line,
        [&](const auto& kind, const auto& name, const auto& type) {
            return line.makes(kind, name, type);
        },
        [&](const auto& file) { return line.names_file(file); });
}

InitialDevices read_initial_devices(Db& db, DomainId domain)
{
    InitialDevices initial;
    {
        auto row = db.prepare("SELECT coalesce(initial_from, '') FROM domain WHERE id = ?")
                       .bind(value_of(domain));
        const std::string from = row.step() ? row.text(0) : std::string();
        for (std::size_t i = 0; i < kFrom.size(); ++i)
            if (from == kFrom.at(i)) initial.from = static_cast<InitialDevices::From>(i);
    }
    auto rows = db.prepare(
                      "SELECT kind, name, coalesce(file, '') FROM initial_device "
                      "WHERE domain = ?")
                    .bind(value_of(domain));
    while (rows.step()) {
        if (rows.text(0) == kMedium)
            initial.media.emplace(rows.text(1), rows.text(2));
        else
            initial.names[rows.text(0)].insert(rows.text(1));
    }
    return initial;
}

void forget_initial_devices(Db& db, DomainId domain)
{
    db.prepare("DELETE FROM initial_device WHERE domain = ?").bind(value_of(domain)).run();
    db.prepare("UPDATE domain SET initial_from = NULL WHERE id = ?").bind(value_of(domain)).run();
}

void write_initial_devices(Db& db, DomainId domain, const InitialDevices& initial)
{
    forget_initial_devices(db, domain);
    db.prepare("UPDATE domain SET initial_from = ? WHERE id = ?")
        .bind(kFrom.at(static_cast<std::size_t>(initial.from)))
        .bind(value_of(domain))
        .run();
    const auto insert = [&](std::string_view kind, const std::string& name,
                            const std::optional<std::string>& file) {
        db.prepare("INSERT INTO initial_device (domain, kind, name, file) VALUES (?, ?, ?, ?)")
            .bind(value_of(domain))
            .bind(kind)
            .bind(name)
            .bind(file)
            .run();
    };
    for (const auto& [kind, names] : initial.names)
        for (const auto& name : names)
            insert(kind, name, std::nullopt);
    for (const auto& [drive, file] : initial.media)
        insert(kMedium, drive, file);
}

std::vector<std::pair<std::string, std::string>> absent_initial_devices(
    const InitialDevices& initial, const Inventory& there)
{
    std::vector<std::pair<std::string, std::string>> absent;
    for (const auto& [kind, names] : initial.names) {
        const auto listed = there.names.find(kind);
        for (const auto& name : names)
            if (listed == there.names.end() || !listed->second.contains(name))
                absent.emplace_back(kind, name);
    }
    return absent;
}

void forget_initial_device(Db& db, DomainId domain, const std::string& kind,
                           const std::string& name)
{
    db.prepare("DELETE FROM initial_device WHERE domain = ? AND kind = ? AND name = ?")
        .bind(value_of(domain))
        .bind(kind)
        .bind(name)
        .run();
}

void forget_initial_medium(Db& db, DomainId domain, const std::string& drive)
{
    forget_initial_device(db, domain, std::string(kMedium), drive);
}

}  // namespace xlstore
