// SPDX-License-Identifier: MIT
#include "store/model/row_names.hpp"

#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

Error no_such(std::string_view name, const char* what)
{
    return Error(Errc::store, json_shown(name) + " is no " + what,
                 "'xlfsck -n' says what is damaged");
}

}  // namespace

Result<DomainState> state_from_name(std::string_view name)
{
    for (const auto state : {DomainState::creating, DomainState::running, DomainState::destroying,
                             DomainState::destroyed})
        if (name == state_name(state)) return state;
    return no_such(name, "state of a domain");
}

Result<Verb> verb_from_name(std::string_view name)
{
    for (const auto verb : {Verb::add, Verb::remove, Verb::change})
        if (name == verb_name(verb)) return verb;
    return no_such(name, "operation on a thing");
}

}  // namespace xlstore
