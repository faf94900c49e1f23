// SPDX-License-Identifier: MIT
// Findings go to the caller as they come, or are kept and handed over in the order of domids, when
// domains are looked at side by side. What ask() answers follows from mode and problem alone.
#include "recovery/base/check.hpp"

#include <limits>

namespace xlstore::recovery {

void Check::hand_over(const Finding& finding)
{
    if (options_.found) options_.found(finding);
}

void Check::record(Code code, const Subject& subject, Action action, std::string error)
{
    // A finding that leaves no exit bit is a note: nothing has to be done about it.
    const bool is_note = action == Action::none && problem(code).if_left == Exit::clean;
    ++(is_note ? notes_ : found_);
    Finding finding{code,   subject.domid,   subject.intent, subject.text, subject.evidence,
                    action, std::move(error), subject.thing};
    if (gathering_ && finding.domid)
        held_back_[*finding.domid].push_back(std::move(finding));
    else
        hand_over(finding);
}

void Check::release(std::int64_t below)
{
    while (!held_back_.empty() && held_back_.begin()->first < below) {
        const auto findings = std::move(held_back_.begin()->second);
        held_back_.erase(held_back_.begin());
        for (const auto& finding : findings)
            hand_over(finding);
    }
}

void Check::release_all()
{
    gathering_ = false;
    release(std::numeric_limits<std::int64_t>::max());
}

void Check::report(Code code, const Subject& subject)
{
    bits_ |= static_cast<unsigned>(problem(code).if_left);
    record(code, subject, Action::none, {});
}

bool Check::ask(Code code, const Subject& subject)
{
    const Problem& about = problem(code);
    bool yes = false;
    switch (options_.mode) {
    case Mode::look:
        break;
    case Mode::preen:
        yes = about.preen;
        break;
    case Mode::yes:
        yes = true;
        break;
    case Mode::ask: {
        const auto asked = Clock::now();
        yes = options_.answer && options_.answer(about, subject);
        // A person may think for an hour; no domain's deadline runs meanwhile.
        asked_for_ += Clock::now() - asked;
        break;
    }
    }
    if (!yes) leave(code, subject);
    return yes;
}

void Check::leave(Code code, const Subject& subject)
{
    bits_ |= static_cast<unsigned>(problem(code).if_left);
    record(code, subject, Action::left, {});
}

void Check::fixed(Code code, const Subject& subject)
{
    ++corrected_;
    bits_ |= static_cast<unsigned>(Exit::corrected);
    record(code, subject, Action::fixed, {});
}

void Check::failed(Code code, const Subject& subject, const Error& error)
{
    // A QEMU or a lock that did not answer in time was not looked at; anything else was left as it
    // is.
    const bool blind = error.code == Errc::busy || error.code == Errc::timeout ||
                       error.code == Errc::protocol || error.code == Errc::in_doubt;
    bits_ |= static_cast<unsigned>(blind ? Exit::blind : Exit::left);
    record(code, subject, Action::failed, error.message);
}

}  // namespace xlstore::recovery
