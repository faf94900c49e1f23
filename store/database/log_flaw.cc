// SPDX-License-Identifier: MIT
#include "store/database/log_flaw.hpp"

#include <sys/stat.h>

#include <ctime>

#include "store/database/damaged_log.hpp"
#include "store/database/private_copy.hpp"

namespace xlstore {

namespace {

bool is_of_this_boot(const std::string& log)
{
    struct stat st {};
    timespec now{};
    timespec since_boot{};
    if (stat(log.c_str(), &st) != 0) return false;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_BOOTTIME, &since_boot);
    return st.st_mtim.tv_sec > now.tv_sec - since_boot.tv_sec;
}

}  // namespace

std::optional<std::string> flaw_of_log(const std::string& database)
{
    const auto bytes = PrivateCopy::log_of(database);
    const DamagedLog log(bytes);
    if (log.flaw().empty()) return std::nullopt;
    if (log.has_header() && !is_of_this_boot(database + "-wal")) return std::nullopt;
    return log.flaw();
}

bool has_unread_log(const std::string& database)
{
    const auto bytes = PrivateCopy::log_of(database);
    return DamagedLog(bytes).has_unread();
}

bool may_have_lost_commits(const std::string& database)
{
    const auto bytes = PrivateCopy::log_of(database);
    const DamagedLog log(bytes);
    return log.has_unread() || log.has_unproved();
}

Error log_error(const std::string& directory, const std::string& flaw)
{
    return Error(Errc::store,
                 "store: " + directory + ": " + flaw +
                     ": a commit would overwrite what SQLite does not read there",
                 "nothing was changed; 'xlfsck -y' makes a new database of all that is there");
}

}  // namespace xlstore
