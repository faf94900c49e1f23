// SPDX-License-Identifier: MIT
// Lines for the host's journal, with fields that a program can ask for:
//   journalctl XLSTORE_PROBLEM=thing_unknown
// systemd's own protocol is spoken (one datagram), so that no library is needed. Where no journald
// listens the line goes to syslog; where there is none either, nowhere.
#ifndef XLSTORE_TOOLS_COMMON_JOURNAL_HPP_
#define XLSTORE_TOOLS_COMMON_JOURNAL_HPP_

#include <string>
#include <utility>
#include <vector>

namespace xlstore::tools {

/// Name (of capitals, digits and "_") and value; an empty value is left out.
using JournalField = std::pair<std::string, std::string>;

/// `priority` as syslog(3) has it. $XLSTORE_JOURNAL names another socket; empty: nothing is
/// written. Never fails, and waits for nothing.
void write_journal(int priority, const std::string& program, const std::string& message,
                   const std::vector<JournalField>& fields);

/// The datagram. Pure.
[[nodiscard]] std::string journal_datagram(int priority, const std::string& program,
                                           const std::string& message,
                                           const std::vector<JournalField>& fields);

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_JOURNAL_HPP_
