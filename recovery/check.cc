// SPDX-License-Identifier: MIT
#include "recovery/check.hpp"

namespace xlstore::recovery {

void Check::record(Code code, const Subject& subject, Action action, std::string error)
{
    if (options_.found)
        options_.found(Finding{code, subject.domid, subject.intent, subject.text, subject.evidence,
                               action, std::move(error)});
}

void Check::report(Code code, const Subject& subject)
{
    ++found_;
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
        asked_for_ += Clock::now() - asked;
        break;
    }
    }
    if (yes) return true;
    ++found_;
    bits_ |= static_cast<unsigned>(about.if_left);
    record(code, subject, Action::left, {});
    return false;
}

void Check::fixed(Code code, const Subject& subject)
{
    ++found_;
    ++corrected_;
    bits_ |= static_cast<unsigned>(Exit::corrected);
    record(code, subject, Action::fixed, {});
}

void Check::failed(Code code, const Subject& subject, const Error& error)
{
    ++found_;
    // A QEMU or a lock that did not answer in time was not looked at; anything else was left as it
    // is.
    const bool blind =
        error.code == Errc::busy || error.code == Errc::protocol || error.code == Errc::in_doubt;
    bits_ |= static_cast<unsigned>(blind ? Exit::blind : Exit::left);
    record(code, subject, Action::failed, error.message);
}

}  // namespace xlstore::recovery
