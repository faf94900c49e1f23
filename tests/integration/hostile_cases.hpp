// SPDX-License-Identifier: MIT
// The table of what a hostile peer does, and what the operation that meets it ends with.
#ifndef XLSTORE_TESTS_INTEGRATION_HOSTILE_CASES_HPP_
#define XLSTORE_TESTS_INTEGRATION_HOSTILE_CASES_HPP_

#include <functional>
#include <ostream>

#include "tests/integration/hostile_peer.hpp"

namespace xlstore::test::hostile {

struct Case {
    std::string name;
    std::string operation;                       ///< attach detach insert
    std::function<Script(const Peer&)> hostile;  ///< every connection of the operation
    std::string code;                            ///< of its error; "": it succeeds
    std::string entry;                           ///< its state afterwards; "": there is none
    World truth;                                 ///< what the sane QEMU has that comes after
    std::string settled;                         ///< state of the entry after xlfsck -p
    std::chrono::seconds timeout = std::chrono::seconds(20);

    [[nodiscard]] bool open() const { return code == "in_doubt"; }
    friend std::ostream& operator<<(std::ostream& out, const Case& one) { return out << one.name; }
};

std::vector<Case> all_cases();

}  // namespace xlstore::test::hostile

#endif  // XLSTORE_TESTS_INTEGRATION_HOSTILE_CASES_HPP_
