// SPDX-License-Identifier: MIT
// The library's own operations on a store, as far as they need no QEMU, one call each. QEMU's part
// of an intent is omitted: what is tried with them is what the store keeps.
#ifndef XLSTORE_TESTS_CRASH_WORK_HPP_
#define XLSTORE_TESTS_CRASH_WORK_HPP_

#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "store/core/store.hpp"
#include "store/model/intent.hpp"
#include "tests/support/scratch.hpp"

namespace xlstore::test {

/// The value of what must succeed. @throws std::runtime_error with the error's message
template <class T>
T must(Result<T> result)
{
    if (!result) throw std::runtime_error(result.error().message);
    if constexpr (!std::is_void_v<T>) return *std::move(result);
}

[[nodiscard]] Deadline soon();
/// @throws std::runtime_error, DbError, IoError; so do all operations below.
[[nodiscard]] std::unique_ptr<Store> open_for_work(const std::string& directory);

/// Copies a store that no process has open, without its sockets.
void copy_store(const std::string& from, const std::string& to);
/// Makes the next process that opens the copy take it for the store of its directory (R17).
/// REQUIRES that no process has it open.
void forget_place(const std::string& directory);

class Work {
public:
    explicit Work(const std::string& directory) : store_(open_for_work(directory)) {}

    [[nodiscard]] Store& store() noexcept { return *store_; }

    DomainId import(int domid, const std::string& name);
    /// Replaces a piece of the document's text.
    void edit(DomainId domain, const std::string& from, const std::string& to);
    void rename(DomainId domain, const std::string& name);
    std::vector<IntentId> open_intents(DomainId domain, std::vector<Draft> drafts);
    void settle(DomainId domain, std::vector<IntentId> intents, Image image);
    void note(DomainId domain, std::vector<IntentId> intents);
    void destroy(DomainId domain);
    /// A destruction that finds no row.
    void forestall(int domid);
    /// As the library does it above a size of the log.
    void restart_log() { (void)store_->db().checkpoint(false); }
    void empty_log();

    [[nodiscard]] std::vector<Draft> insertion(DomainId domain, const std::string& image);
    [[nodiscard]] static std::vector<Draft> additions(const Words& tablets);
    [[nodiscard]] std::vector<Draft> removal(DomainId domain, const std::string& tablet);

private:
    std::unique_ptr<Store> store_;
};

/// Where a share of many points starts: XLSTORE_TURN, which ctest takes from the commit, or 0.
[[nodiscard]] std::size_t turn();

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_CRASH_WORK_HPP_
