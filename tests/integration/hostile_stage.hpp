// SPDX-License-Identifier: MIT
// A domain whose QEMU is a scripted peer, and the real commands upon it.
#ifndef XLSTORE_TESTS_INTEGRATION_HOSTILE_STAGE_HPP_
#define XLSTORE_TESTS_INTEGRATION_HOSTILE_STAGE_HPP_

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <sstream>
#include <string>

#include "tests/integration/hostile_peer.hpp"

namespace xlstore::test::hostile {

/// Nothing in it steers a terminal.
inline testing::AssertionResult harmless(const std::string& text)
{
    for (const unsigned char c : text)
        if ((c < 0x20 && c != '\n') || c == 0x7F)
            return testing::AssertionFailure() << "control character " << int{c} << " in:\n"
                                               << testing::PrintToString(text);
    if (text.find("\u202e") != std::string::npos)
        return testing::AssertionFailure() << "the direction is turned round";
    return testing::AssertionSuccess();
}

/// A domain whose QEMU is a scripted peer.
class Stage {
public:
    using Part = std::function<Script(const Peer&)>;
    /// The peer's part once the domain is registered.
    explicit Stage(const Part& then) : qemu_(monitor_, script({peer_.sane(kBorn), then(peer_)}))
    {
        EXPECT_TRUE(ended(xl({"import", "7", material_.document}), 0));
        EXPECT_TRUE(ended(xl({"register", "7", "--monitor", monitor_}), 0));
    }

    [[nodiscard]] const ScratchStore& store() const { return store_; }
    [[nodiscard]] const std::string& monitor() const { return monitor_; }
    [[nodiscard]] const ScriptedPeer& qemu() const { return qemu_; }
    /// How often the peer has heard that command.
    [[nodiscard]] std::ptrdiff_t heard(const std::string& command) const
    {
        const auto all = qemu_.commands();
        return std::count(all.begin(), all.end(), command);
    }
    [[nodiscard]] const std::string& image() const { return material_.images.at('b'); }
    [[nodiscard]] Ran xl(const Words& words) const
    {
        return xlstore(store_.path(), words, kEnvironment);
    }
    [[nodiscard]] Ran fsck(const Words& words) const
    {
        return xlfsck(store_.path(), words, kEnvironment);
    }
    [[nodiscard]] std::string cell(const std::string& query) const
    {
        return sql(store_.path(), query);
    }
    [[nodiscard]] std::string entry(const std::string& operation) const
    {
        const std::string key = operation == "insert" ? "hdc" : "tab";
        return cell("SELECT state FROM thing WHERE key = '" + key + "'");
    }
    [[nodiscard]] Ran operate(const std::string& operation, const Words& options) const
    {
        Words words = options;
        const Words verb = operation == "attach"   ? Words{"attach", "7", "qemu", tablet("tab")}
                           : operation == "detach" ? Words{"detach", "7", "qemu", "tab"}
                                                   : Words{"insert", "7", "hdc", image()};
        words.insert(words.end(), verb.begin(), verb.end());
        return xl(words);
    }
    /// xlfsck finds that intent and nothing else; "": nothing.
    void finds_only(const std::string& intent) const
    {
        const Ran ran = fsck({"--json", "-n"});
        EXPECT_TRUE(ended(ran, intent.empty() ? 0 : 4)) << ran.out;
        EXPECT_TRUE(harmless(ran.out + ran.err));
        int found = 0;
        std::istringstream lines(ran.out);
        for (std::string line; std::getline(lines, line);) {
            const auto problem = json_at(line, "$.problem");
            // The summary; of SQLite itself; of a host without Xen.
            if (problem.empty() || problem == "log_race" || problem == "xenstore_absent") continue;
            EXPECT_EQ(json_at(line, "$.intent"), intent) << line;
            ++found;
        }
        EXPECT_EQ(found, intent.empty() ? 0 : 1) << ran.out;
    }

private:
    // What the sanitizer keeps back of what was freed would count as ours.
    const Environment kEnvironment{{"ASAN_OPTIONS", "quarantine_size_mb=1"}};
    const MemoryWatch watch_;
    ScratchStore store_;
    Material material_{store_.directory(), 7, "web"};
    Peer peer_{material_};
    std::string monitor_ = store_.directory() / "monitor";
    ScriptedPeer qemu_;
};

}  // namespace xlstore::test::hostile

#endif  // XLSTORE_TESTS_INTEGRATION_HOSTILE_STAGE_HPP_
