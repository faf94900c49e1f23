// SPDX-License-Identifier: MIT
// What a slow hold writes: the intent before QEMU hears of it (R10), the settle after QEMU showed
// which image is there (R5), and nothing but its own thing (R6). Each commit takes the fast lock,
// refuses a domain that is being destroyed (R8), and compares and advances the epoch, so that a
// hold whose lock was lost finds out (R15).
//
// If a commit throws, nothing of it is in the store; an intent already committed stays open. To
// open an intent, room is needed on the disk; what comes after it may take the reserve (R21).
#ifndef XLSTORE_STORE_CORE_JOURNAL_HPP_
#define XLSTORE_STORE_CORE_JOURNAL_HPP_

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "store/core/domain.hpp"
#include "store/core/history.hpp"
#include "store/core/store.hpp"
#include "store/model/intent.hpp"

namespace xlstore {

/// How several drafts of one commit end.
enum class Ending { as_one, each };

class Journal {
public:
    explicit Journal(Store& store) : store_(store) {}

    /// Commit 1: entries and intents of one slow hold, all or none; several drafts become a batch,
    /// which is settled as one, unless each is to have an end of its own. An add over an entry
    /// replaces it and keeps it in the intent: when it fails, state, JSON and products are as they
    /// were (R16). Errors: gone (R8), lost (R15), exists (an entry with that key, or a product's
    /// name taken by another thing), refused (the document is closed), timeout. Nothing has changed
    /// then.
    Task<Result<std::vector<Intent>>> open(SlowHold& hold, std::vector<Draft> drafts,
                                           std::string monitor_path, Deadline until,
                                           Ending ending = Ending::as_one);

    /// Commit 2: closes intents, as they were opened or read under `hold`, with the image that was
    /// seen of all of them; R5 R6. The evidence goes into history. Errors: as above, or not_found,
    /// there is none of that number; then all are still open.
    Task<Result<void>> settle(SlowHold& hold, std::vector<Intent> intents, Image image,
                              std::string evidence, Deadline until);
    /// The same, of intents that are read from their rows.
    Task<Result<void>> settle(SlowHold& hold, std::vector<IntentId> intents, Image image,
                              std::string evidence, Deadline until);

    /// Notes why intents stay open. `asked`, if given: of exactly these of their devices the guest
    /// has been asked to let go (each keeps the time of the first request).
    Task<Result<void>> note(SlowHold& hold, std::vector<IntentId> intents, std::string text,
                            std::optional<std::vector<Product>> asked, Deadline until);

    /// An entry, `present`, for what was found in QEMU (R1): a new one, or the one of that name as
    /// `json` says it is. Errors: exists (a product belongs to another thing), refused (it has an
    /// open intent), and as above.
    Task<Result<void>> adopt(SlowHold& hold, ThingName name, std::string json,
                             std::vector<Product> products, std::string evidence, Deadline until);
    /// The entry becomes stale: its thing was seen absent under this hold. Its JSON stays, and the
    /// names that it had in QEMU are remembered, not claimed. Errors:
    /// refused (it has an open intent), and as above.
    Task<Result<void>> make_stale(SlowHold& hold, ThingName name, std::string evidence,
                                  Deadline until);

    /// The same two within a commit of the caller's. Without evidence there is no line of history.
    Result<void> write_present(const FastHold& fast, const ThingName& name, const std::string& json,
                               const std::vector<Product>& products, const std::string& evidence);
    Result<void> write_stale(const FastHold& fast, const ThingName& name,
                             const std::string& evidence);
    /// An entry, stale, of what an external document has and the store lacks; one that is there
    /// stays as it is. A look says whether it is present.
    void write_claimed(const FastHold& fast, const ThingName& name, const std::string& json);
    /// An entry of xenstore's that is stale, or whose removal xenstore was never asked for, is
    /// present again, as it stands: its thing was seen under the fast lock. Errors: as above.
    Result<void> write_back(const FastHold& fast, const ThingName& name,
                            const std::string& evidence);

    /// R15 ahead of a commit: is the domain unchanged since this hold last changed it? Errors:
    /// lost, gone.
    Result<void> still_held(const SlowHold& hold) const;

    /// Any other change of the domain's row or things by a slow hold (creation, registration).
    Task<Result<void>> commit(SlowHold& hold, std::string operation, Deadline until,
                              std::function<Result<void>(const FastHold&)> section,
                              Room room = Room::ordinary)
    {
        return commit_if(Document::any, hold, std::move(operation), until, std::move(section),
                         room);
    }

    /// REQUIRES an open write transaction. This process is named as who wrote the line.
    void add_history(const HistoryLine& line)
    {
        xlstore::add_history(store_.db(), Author{store_.self().pid, store_.program()}, line);
    }

private:
    enum class Document { any, open };
    Task<Result<void>> commit_if(Document document, SlowHold& hold, std::string operation,
                                 Deadline until,
                                 std::function<Result<void>(const FastHold&)> section, Room room);
    Result<void> advance(const FastHold& fast, const SlowHold& hold, Document document);
    bool advanced(const FastHold& fast, const SlowHold& hold, Document document);
    [[nodiscard]] Error lost(const SlowHold& hold) const;
    Result<Intent> open_one(const FastHold& fast, const SlowHold& hold, Draft draft,
                            const std::string& monitor_path, bool in_batch);
    Result<void> take_in(const FastHold& fast, Draft& draft);
    Result<std::int64_t> write_entry(const FastHold& fast, Draft& draft);
    void write_outcome(DomainId domain, const Intent& intent, Image image);
    Result<void> settle_one(const FastHold& fast, Intent intent, Image image,
                            const std::string& evidence);
    void log_settled(const std::vector<IntentId>& intents, Image image);

    Store& store_;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_CORE_JOURNAL_HPP_
