// SPDX-License-Identifier: MIT
// QEMUs that are asked again and again, as 'watch' does it: each in its own time, so that one that
// is silent neither holds up the others nor has its slow lock held most of the time.
#ifndef XLSTORE_TOOLS_XLSTORE_LOOK_ROUNDS_HPP_
#define XLSTORE_TOOLS_XLSTORE_LOOK_ROUNDS_HPP_

#include <chrono>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tools/xlstore/library.hpp"

namespace xlstore::tools {

using LookClock = std::chrono::steady_clock;

/// When each QEMU is asked next: at once, then every kLookEvery; one that was silent after twice
/// the time that it was left alone before, up to kLookSeldom. Pure.
inline constexpr std::chrono::seconds kLookEvery{2};
inline constexpr std::chrono::seconds kLookSeldom{60};
class LookSchedule {
public:
    [[nodiscard]] bool is_due(std::int64_t incarnation, LookClock::time_point now) const;
    /// It was asked, and was `silent` or not. How long it is left alone now.
    std::chrono::seconds asked(std::int64_t incarnation, bool silent, LookClock::time_point now);
    void keep_only(const std::set<std::int64_t>& incarnations);

private:
    struct Turn {
        LookClock::time_point next;
        std::chrono::seconds wait{};
    };
    std::map<std::int64_t, Turn> turns_;
};

/// The looks themselves, on the loop of a store that outlives it. Nothing here waits.
class LookRounds {
public:
    LookRounds(const Arguments& arguments, xlstore_store* store)
        : arguments_(arguments), store_(store)
    {}
    LookRounds(const LookRounds&) = delete;
    LookRounds& operator=(const LookRounds&) = delete;
    ~LookRounds();

    /// Asks those that are due and not being asked, up to 64 at a time. Error: of the call that
    /// lists them.
    Result<void> ask_those_due();
    /// Something was answered, or was not in time, since this was called last.
    [[nodiscard]] bool take_news();
    /// What is known of each, the newest look of it, for status_facts_with().
    [[nodiscard]] std::string looks() const;

private:
    struct Asked {
        LookRounds* rounds;
        xlstore_op* op = nullptr;
    };
    static void ended(xlstore_result* result, void* userdata);

    const Arguments& arguments_;
    xlstore_store* store_;
    LookSchedule schedule_;
    std::map<std::int64_t, Asked> under_way_;
    std::map<std::int64_t, std::string> looks_;  // an object each
    bool news_ = false;
};

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_XLSTORE_LOOK_ROUNDS_HPP_
