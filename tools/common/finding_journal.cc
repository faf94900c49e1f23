// SPDX-License-Identifier: MIT
#include "tools/common/finding_journal.hpp"

#include <syslog.h>

#include "tools/common/finding_line.hpp"
#include "tools/common/journal.hpp"
#include "tools/common/output.hpp"

namespace xlstore::tools {

namespace {

using recovery::Action;
using recovery::Code;

// 128 bits each, chosen once: `journalctl MESSAGE_ID=` finds all of a kind.
constexpr const char* kRepair = "5b1f0c2ae38d4f6f9a7710d24c6be901";
constexpr const char* kDoubt = "5b1f0c2ae38d4f6f9a7710d24c6be902";

struct Told {
    Action action;
    int code;
    std::string problem, subject, evidence, line, domid, intent;
};

void journal(const std::string& program, const std::string& store, const Told& told)
{
    const bool doubt = told.code == static_cast<int>(Code::intent_waits) ||
                       told.code == static_cast<int>(Code::intent_in_doubt);
    const bool repair = told.action == Action::fixed || told.action == Action::failed;
    if (!repair && !doubt) return;
    int priority = LOG_WARNING;
    if (told.action == Action::fixed) priority = LOG_NOTICE;
    if (told.action == Action::failed) priority = LOG_ERR;
    const char* const action = told.action == Action::fixed    ? "fixed"
                               : told.action == Action::failed ? "failed"
                                                               : "left";
    write_journal(priority, program, plain(told.line),
                  {{"MESSAGE_ID", repair ? kRepair : kDoubt},
                   {"XLSTORE_STORE", plain(store)},
                   {"XLSTORE_CODE", std::to_string(told.code)},
                   {"XLSTORE_PROBLEM", told.problem},
                   {"XLSTORE_SUBJECT", plain(told.subject)},
                   {"XLSTORE_ACTION", action},
                   {"XLSTORE_EVIDENCE", plain(told.evidence)},
                   {"XLSTORE_DOMID", told.domid},
                   {"XLSTORE_INTENT", told.intent}});
}

}  // namespace

void journal_finding(const std::string& program, const std::string& store,
                     const recovery::Finding& finding)
{
    journal(program, store,
            {finding.action, static_cast<int>(finding.code),
             std::string(recovery::problem(finding.code).name), finding.subject, finding.evidence,
             finding_line(finding), finding.domid ? std::to_string(*finding.domid) : "",
             finding.intent ? std::to_string(*finding.intent) : ""});
}

void journal_finding(const std::string& program, const std::string& store,
                     const xlstore_finding& finding)
{
    journal(program, store,
            {static_cast<Action>(finding.action), finding.code, finding.problem, finding.subject,
             finding.evidence, finding_line(finding),
             finding.domid >= 0 ? std::to_string(finding.domid) : "",
             finding.intent != 0 ? std::to_string(finding.intent) : ""});
}

void journal_doubt(const std::string& program, const std::string& store, const std::string& verb,
                   const Error& error)
{
    write_journal(LOG_WARNING, program, plain(error.message),
                  {{"MESSAGE_ID", kDoubt},
                   {"XLSTORE_STORE", plain(store)},
                   {"XLSTORE_VERB", verb},
                   {"XLSTORE_INTENT", error.intent ? std::to_string(*error.intent) : ""}});
}

}  // namespace xlstore::tools
