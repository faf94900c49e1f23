// SPDX-License-Identifier: MIT
// What QEMU has listed over one connection, and which of it still stands. A probe of one thing asks
// for a whole list (QMP has no other question for most kinds), so that a thousand probes would ask
// for it a thousand times. The slow lock is held and a monitor serves one client: from the barrier
// to the hang-up only four can change what a list names, and each of them ends its validity:
//
//   our own command    strikes out what it names, or the lists that it may change (sent())
//   a device_del       all lists: the guest lets go when it likes, and QEMU drops what hung on it
//   QEMU or the guest  all lists, as soon as an event came (heard())
//   a broken connection  all lists: they go with the connection
//
// A name that is struck out is asked for anew: what an own command did is believed from QEMU's
// list, never from the command. Nothing is kept over two connections (R12). One thread.
#ifndef XLSTORE_STORE_QMP_LISTING_HPP_
#define XLSTORE_STORE_QMP_LISTING_HPP_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace xlstore::qmp {

/// A command that changes nothing.
struct Question {
    std::string execute;
    std::string arguments;
    bool operator==(const Question&) const = default;
};
/// Is that all that the command can do?
[[nodiscard]] bool only_asks(std::string_view execute, std::string_view arguments);

/// The descriptor sets that QEMU has been passed, and what its block nodes are made of.
struct DescriptorSets {
    std::map<std::int64_t, std::string> opaque_of;
    std::set<std::string> files_in_use;

    /// Made by add-fd with this text, and no block node uses it: a plan broke off after it, or QEMU
    /// has not dropped it yet, which it does only while the guest runs.
    [[nodiscard]] std::vector<std::int64_t> unused(const std::string& opaque) const;
};

class Listing {
public:
    using Names = std::set<std::string>;

    /// The list of that kind, if it still says whether `name` is there.
    [[nodiscard]] const Names* names(std::string_view kind, const std::string& name) const;
    void keep(const std::string& kind, Names names);
    /// Nothing: not asked for, or no longer valid.
    [[nodiscard]] const std::optional<DescriptorSets>& sets() const noexcept { return sets_; }
    void keep(DescriptorSets sets) { sets_ = std::move(sets); }

    /// Before a command goes out.
    void sent(std::string_view execute, std::string_view arguments);
    /// An event came, or the connection is over.
    void heard() noexcept;

private:
    struct List {
        Names names;
        Names struck_out;
    };
    std::map<std::string, List, std::less<>> lists_;  // by kind
    std::optional<DescriptorSets> sets_;
};

}  // namespace xlstore::qmp

#endif  // XLSTORE_STORE_QMP_LISTING_HPP_
