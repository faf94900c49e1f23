// SPDX-License-Identifier: MIT
#include "store/database/place.hpp"

#include <cerrno>
#include <fstream>

#include "store/base/birth_time.hpp"
#include "store/os/process.hpp"

namespace xlstore {

namespace {

constexpr std::size_t kMachineIdDigits = 32;

std::string machine_id()
{
    std::ifstream file("/etc/machine-id");
    std::string word;
    file >> word;
    const bool whole = word.size() == kMachineIdDigits &&
                       word.find_first_not_of("0123456789abcdef") == std::string::npos;
    return whole ? word : std::string();
}

}  // namespace

bool is_same_directory(const Place& written, const Place& there)
{
    if (written.identity.inode != there.identity.inode) return false;
    if (!may_be_same_birth(written.born_ns, there.born_ns)) return false;
    return written.boot_id != there.boot_id || written.identity.device == there.identity.device;
}

Place place_at(const std::string& directory)
{
    const auto identity = file_identity(directory);
    if (!identity) throw IoError(errno, "cannot look at " + directory);
    return Place{machine_id(), current_boot_id(), directory, *identity, birth_time(directory)};
}

std::optional<Place> read_place(Db& db)
{
    auto row = db.prepare(
        "SELECT machine, boot_id, directory, directory_device, directory_inode, "
        "coalesce(directory_born_ns, 0) FROM store");
    if (!row.step() || row.is_null(4)) return std::nullopt;
    return Place{
        row.text(0),
        row.text(1),
        row.text(2),
        {static_cast<std::uint64_t>(row.integer(3)), static_cast<std::uint64_t>(row.integer(4))},
        row.integer(5)};
}

void write_place(Db& db, const Place& here)
{
    db.prepare(
          "UPDATE store SET machine = ?, boot_id = ?, directory = ?, directory_device = ?, "
          "directory_inode = ?, directory_born_ns = ?")
        .bind(here.machine)
        .bind(here.boot_id)
        .bind(here.directory)
        .bind(static_cast<std::int64_t>(here.identity.device))
        .bind(static_cast<std::int64_t>(here.identity.inode))
        .bind(here.born_ns)
        .run();
}

}  // namespace xlstore
