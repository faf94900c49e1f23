// SPDX-License-Identifier: MIT
// A domain with a real guest, a small Linux (tests/guest) that lets go of what it is asked for.
#ifndef XLSTORE_TESTS_SUPPORT_GUEST_HPP_
#define XLSTORE_TESTS_SUPPORT_GUEST_HPP_

#include <string>

#include "tests/support/scratch.hpp"

namespace xlstore::test {

/// Domain 7, made by `xlstore create`: one vcpu and room for another, and for memory. It does not
/// run until it is booted.
class Guest {
public:
    /// Whether tests/guest/make.sh has made what a guest is booted from.
    [[nodiscard]] static bool can_be_made();

    /// @throws std::runtime_error when the creation fails.
    explicit Guest(const ScratchStore& store);
    /// Lets it run until it is up. @throws std::runtime_error with its last lines when it does not
    /// come up.
    void boot() const;
    void pause() const;
    void go_on() const;
    /// Waits until the guest itself says, in the last line on its console, what it sees: "pci=5".
    [[nodiscard]] testing::AssertionResult sees(const std::string& what) const;
    [[nodiscard]] int pci_devices_at_boot() const;
    [[nodiscard]] const std::string& judge() const noexcept { return material_.judge; }
    [[nodiscard]] std::string devices() const { return devices_of(judge()); }

private:
    [[nodiscard]] std::string last_line() const;

    Material material_;
    std::string console_;  ///< path of what it printed
};

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_GUEST_HPP_
