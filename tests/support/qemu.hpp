// SPDX-License-Identifier: MIT
// What a QEMU says over its second monitor, which only the test uses; no code of the project's.
#ifndef XLSTORE_TESTS_SUPPORT_QEMU_HPP_
#define XLSTORE_TESTS_SUPPORT_QEMU_HPP_

#include <string>
#include <vector>

namespace xlstore::test {

/// Asks a QEMU over its second monitor, with no code of the project's: one command, the reply line.
[[nodiscard]] std::string qmp(const std::string& socket, const std::string& command,
                              const std::string& arguments = "");
/// A member of each element of a reply, which is a list.
[[nodiscard]] std::vector<std::string> each_of(const std::string& socket,
                                               const std::string& command,
                                               const std::string& member);
/// Names below /machine/peripheral, sorted, with blanks between.
[[nodiscard]] std::string devices_of(const std::string& socket);
/// What is in ide-5632: the path, by way of the descriptor set's name if need be; "" when empty.
[[nodiscard]] std::string medium_of(const std::string& socket);
/// Where its devices are, by QEMU's own answers: "rng=3.0 t1=xenusb-1.0/2 …", of those that are PCI
/// functions or plugged into a USB bus; sorted.
[[nodiscard]] std::string places_of(const std::string& socket);
/// Everything that an operation could change in it, as one text to compare.
[[nodiscard]] std::string state_of(const std::string& socket);

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_QEMU_HPP_
