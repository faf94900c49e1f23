// SPDX-License-Identifier: MIT
// Findings go to the caller as they come, or are kept and handed over in the order of domids, when
// domains are looked at side by side. While a run awaits the proof that its database is sound, they
// are kept with what they count, to be told after it or dropped. What ask() answers follows from
// mode and problem alone.
#include "recovery/base/check.hpp"

#include <limits>
#include <utility>

namespace xlstore::recovery {

void Check::tell(std::variant<Finding, Progress> what)
{
    if (unproved_) {
        unproved_->told.push_back(std::move(what));
        return;
    }
    if (const auto* finding = std::get_if<Finding>(&what)) {
        if (options_.found) options_.found(*finding);
    } else if (options_.progress) {
        const auto& [pass, done, of] = std::get<Progress>(what);
        options_.progress(pass, done, of);
    }
}

void Check::await_proof()
{
    unproved_.emplace();
    unproved_->report = std::exchange(count_, {});
}

Unproved Check::unproved()
{
    Unproved found = *std::move(unproved_);
    unproved_.reset();
    std::swap(found.report, count_);
    found.gathering = std::exchange(gathering_, false);
    found.held_back = std::exchange(held_back_, {});
    return found;
}

void Check::proved(Unproved found)
{
    count_.exit_bits |= found.report.exit_bits;
    count_.found += found.report.found;
    count_.corrected += found.report.corrected;
    count_.notes += found.report.notes;
    gathering_ = found.gathering;
    held_back_ = std::move(found.held_back);
    for (auto& what : found.told)
        tell(std::move(what));
}

void Check::record(Code code, const Subject& subject, Action action, std::string error)
{
    // A finding that leaves no exit bit is a note: nothing has to be done about it.
    const bool is_note = action == Action::none && problem(code).if_left == Exit::clean;
    ++(is_note ? count_.notes : count_.found);
    Finding finding{code,   subject.domid,   subject.intent, subject.text, subject.evidence,
                    action, std::move(error), subject.thing};
    if (gathering_ && finding.domid)
        held_back_[*finding.domid].push_back(std::move(finding));
    else
        tell(std::move(finding));
}

void Check::release(std::int64_t below)
{
    while (!held_back_.empty() && held_back_.begin()->first < below) {
        auto findings = std::move(held_back_.begin()->second);
        held_back_.erase(held_back_.begin());
        for (auto& finding : findings)
            tell(std::move(finding));
    }
}

void Check::release_all()
{
    gathering_ = false;
    release(std::numeric_limits<std::int64_t>::max());
}

void Check::report(Code code, const Subject& subject)
{
    count_.exit_bits |= static_cast<unsigned>(problem(code).if_left);
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
    count_.exit_bits |= static_cast<unsigned>(problem(code).if_left);
    record(code, subject, Action::left, {});
}

void Check::fixed(Code code, const Subject& subject)
{
    ++count_.corrected;
    count_.exit_bits |= static_cast<unsigned>(Exit::corrected);
    record(code, subject, Action::fixed, {});
}

void Check::failed(Code code, const Subject& subject, const Error& error)
{
    // A QEMU or a lock that did not answer in time was not looked at; anything else was left as it
    // is.
    const bool blind = error.code == Errc::busy || error.code == Errc::timeout ||
                       error.code == Errc::protocol || error.code == Errc::in_doubt;
    count_.exit_bits |= static_cast<unsigned>(blind ? Exit::blind : Exit::left);
    record(code, subject, Action::failed, error.message);
}

}  // namespace xlstore::recovery
