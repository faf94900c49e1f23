// SPDX-License-Identifier: MIT
#include "tools/common/journal.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "store/base/fd.hpp"

namespace xlstore::tools {

namespace {

constexpr const char* kSocket = "/run/systemd/journal/socket";

// "NAME=value\n", or, of a value with line feeds, "NAME\n", its length in 64 bits, and the value.
void add_field(std::string& datagram, const std::string& name, const std::string& value)
{
    if (value.empty()) return;
    if (value.find('\n') == std::string::npos) {
        datagram += name + "=" + value + "\n";
        return;
    }
    datagram += name + "\n";
    for (std::uint64_t size = value.size(), i = 0; i < 8; ++i, size >>= 8)
        datagram += static_cast<char>(size & 0xff);
    datagram += value + "\n";
}

bool send_to(const char* path, const std::string& datagram)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (std::strlen(path) >= sizeof address.sun_path) return false;
    std::memcpy(address.sun_path, path, std::strlen(path) + 1);
    const Fd journal(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    return journal && sendto(journal.get(), datagram.data(), datagram.size(), MSG_NOSIGNAL,
                             reinterpret_cast<const sockaddr*>(&address), sizeof address) >= 0;
}

}  // namespace

std::string journal_datagram(int priority, const std::string& program, const std::string& message,
                             const std::vector<JournalField>& fields)
{
    std::string datagram;
    add_field(datagram, "PRIORITY", std::to_string(priority));
    add_field(datagram, "SYSLOG_IDENTIFIER", program);
    add_field(datagram, "MESSAGE", message);
    for (const auto& [name, value] : fields)
        add_field(datagram, name, value);
    return datagram;
}

void write_journal(int priority, const std::string& program, const std::string& message,
                   const std::vector<JournalField>& fields)
{
    const char* const named = std::getenv("XLSTORE_JOURNAL");
    if (named && !*named) return;
    const auto datagram = journal_datagram(priority, program, message, fields);
    if (send_to(named ? named : kSocket, datagram) || named) return;
    if (access("/dev/log", W_OK) != 0) return;
    openlog(program.c_str(), LOG_PID, LOG_DAEMON);
    syslog(priority, "%s", message.c_str());
    closelog();
}

}  // namespace xlstore::tools
