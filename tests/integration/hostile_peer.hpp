// SPDX-License-Identifier: MIT
// What stands in for a QEMU in the tests that do not trust one: a peer that behaves as a sane QEMU
// does until it is to do otherwise, and the texts that hostile peers send.
#ifndef XLSTORE_TESTS_INTEGRATION_HOSTILE_PEER_HPP_
#define XLSTORE_TESTS_INTEGRATION_HOSTILE_PEER_HPP_

#include <chrono>
#include <string>
#include <vector>

#include "tests/support/scratch.hpp"
#include "tests/support/scripted_peer.hpp"

namespace xlstore::test::hostile {

using Steps = std::vector<Step>;

/// What a sane QEMU has.
struct World {
    bool tab = false;    ///< the tablet of the attach and the detach
    char medium = 'a';   ///< in hdc
    bool plain = false;  ///< the chardev of an attach that went well
};
inline constexpr World kBorn{};

class Peer {
public:
    explicit Peer(const Material& material) : material_(material) {}

    [[nodiscard]] std::vector<Answer> answers(const World& world) const;
    [[nodiscard]] std::string fdsets() const;
    /// One connection of a QEMU that does as it is told.
    [[nodiscard]] Script sane(const World& world) const;
    /// One whose answers to some queries are these.
    [[nodiscard]] Script lying(std::vector<Answer> lies, const World& world = kBorn) const;
    /// One that behaves until it hears this command.
    [[nodiscard]] Script until(const std::string& command, const Steps& then,
                               const World& world = kBorn) const;

    static constexpr const char* kTab = R"([{"name":"tab","type":"child<usb-tablet>"}])";

private:
    const Material& material_;
};

/// One that hangs up at once: a client that looks again after a breach learns nothing.
Script unwilling();
/// `answer`, so late.
Answer late(Answer answer, std::chrono::milliseconds time);

// Terminals act on such text; neither they nor the tables are to get it.
inline constexpr const char* kSteering = R"(\u001b]0;mine\u0007\u001b[2J\u202e)";
inline const std::string kForeign = "{\"return\": {}, \"id\": \"libxl-1\"}\r\n";
inline const std::string kEvent =
    "{\"event\": \"DEVICE_DELETED\", \"data\": {\"device\": \"tab\"}}\r\n";
// What a line of 8 MiB, the longest that is taken, may cost; half of what one of 100 MB would.
inline constexpr long kMoreMemory = 48L << 10U;  // KiB

std::string repeated(std::size_t times, const std::string& text);
/// A list of that many elements; # in one is its number.
std::string many(std::size_t count, const std::string& element);
/// 100 MB of a line.
Step very_long(char c);
/// As a test may be called.
std::string identifier(std::string command);

}  // namespace xlstore::test::hostile

#endif  // XLSTORE_TESTS_INTEGRATION_HOSTILE_PEER_HPP_
