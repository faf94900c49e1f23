// SPDX-License-Identifier: MIT
// Whether what a store says is true of its QEMU. The raw tables and QEMU's own answers, no
// recovery.
#ifndef XLSTORE_TESTS_SUPPORT_VERDICT_HPP_
#define XLSTORE_TESTS_SUPPORT_VERDICT_HPP_

#include <gtest/gtest.h>

#include <string>

namespace xlstore::test {

/// What must hold at any moment, after any kill (R1): each device, chardev and medium that QEMU
/// has beyond its initial devices has an entry, or an open intent that holds it. The raw tables, no
/// recovery.
[[nodiscard]] testing::AssertionResult invariant_holds(const std::string& store,
                                                       const std::string& judge);
/// Nothing is pending, and what entries call present is what QEMU has.
[[nodiscard]] testing::AssertionResult store_and_qemu_agree(const std::string& store,
                                                            const std::string& judge);

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_VERDICT_HPP_
