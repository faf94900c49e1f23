// SPDX-License-Identifier: MIT
// The committed intents of one operation, with what is needed to answer for them (R18). Made before
// they are committed, so that there is an answer even when the memory has run out since.
#ifndef XLSTORE_STORE_OPERATION_OPEN_INTENTS_HPP_
#define XLSTORE_STORE_OPERATION_OPEN_INTENTS_HPP_

#include <string>
#include <string_view>
#include <vector>

#include "store/base/error.hpp"
#include "store/core/domain.hpp"
#include "store/model/intent.hpp"

namespace xlstore {

/// The things that drafts are about: "disks/hdc", "qemu/a, qemu/b".
[[nodiscard]] std::string names_of(const std::vector<Draft>& drafts);

struct OpenIntents {
    std::vector<Intent> intents = {};
    std::string things;  ///< their names
    Error doubt;         ///< in as few words as will do

    OpenIntents(const DomainRow& domain, std::string things_);
    /// Of an older unit those that stand for what `wanted` asks for once more.
    OpenIntents(const DomainRow& domain, const std::vector<Draft>& wanted,
                const std::vector<Intent>& unit);

    [[nodiscard]] Verb verb() const noexcept { return intents.front().draft.verb; }
    /// In doubt, with the number of the first of them. REQUIRES that there is one. Where the memory
    /// does not suffice for words there are none.
    [[nodiscard]] Error in_doubt(std::string_view why) const noexcept;
    /// The same when an exception was caught: words are had from `doubt`, which goes.
    [[nodiscard]] Error in_doubt_of(const Error& failure) noexcept;
    /// The same when the caller gave the operation up.
    [[nodiscard]] Error given_up() const noexcept;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_OPERATION_OPEN_INTENTS_HPP_
