// SPDX-License-Identifier: MIT
// Four sections under a fast lock that is held already. Those that come behind the nodes may take
// the reserve (R21) and settle_deadline(), and pass where the document is closed: what has happened
// in xenstore has to be written down.
#include "store/operation/xenstore_entry.hpp"

#include <utility>

#include "store/core/domain.hpp"
#include "store/operation/edit.hpp"

namespace xlstore {

Task<Result<CommittedEntry>> commit_xenstore_entry(XenstoreWork& work, const FastLock& fast,
                                                   ThingName name, std::string json, Deadline held)
{
    Store& store = work.store;
    CommittedEntry entry{std::move(name)};
    auto committed = co_await store.with_held_fast_lock(
        store.loop(), fast, work.operation(), held,
        [&entry, &json, &store, &work](const FastHold& hold) -> Result<void> {
            if (auto edit = begin_edit(store, hold, 0); !edit) return edit.error();
            ThingName& its = entry.name;
            if (!its.key.empty()) entry.before = read_thing(store.db(), hold.domain(), its);
            if (auto put =
                    put_thing(store, hold, its.device_class, json, kind_name(work.request.kind));
                !put)
                return put;
            // What is attached was seen absent: a removal that its entry still tells of is over.
            if (entry.before)
                store.db()
                    .prepare("UPDATE thing SET state = 'present' WHERE id = ?")
                    .bind(entry.before->id)
                    .run();
            if (!its.key.empty()) return {};
            auto row = store.db()
                           .prepare(
                               "SELECT key FROM thing WHERE domain = ? AND class = ? ORDER BY id "
                               "DESC LIMIT 1")
                           .bind(value_of(hold.domain()))
                           .bind(its.device_class);
            if (row.step()) its.key = row.text(0);
            return {};
        });
    if (!committed) co_return std::move(committed).error();
    work.committed = entry.name.text();
    co_return std::move(entry);
}

Task<Result<void>> take_xenstore_entry_back(XenstoreWork& work, const FastLock& fast,
                                            CommittedEntry entry)
{
    Store& store = work.store;
    const std::string taken_back = std::string(kind_name(work.request.kind)) + " taken back";
    co_return co_await store.with_held_fast_lock(
        store.loop(), fast, work.operation(), settle_deadline(work.until),
        [&entry, &store, &taken_back](const FastHold& hold) -> Result<void> {
            if (auto edit = advance_revision(store, hold, 0); !edit) return edit.error();
            if (!entry.before) return remove_thing(store, hold, entry.name, taken_back);
            store.db()
                .prepare("UPDATE thing SET state = ?, json = ? WHERE id = ?")
                .bind(entry.before->state)
                .bind(entry.before->json)
                .bind(entry.before->id)
                .run();
            return {};
        },
        Room::reserve);
}

Error no_entry_of_xenstore()
{
    return Error(Errc::not_found, "there is no such entry of xenstore's",
                 "'xlstore things DOM' shows what it has");
}

Task<Result<void>> mark_xenstore_entry(XenstoreWork& work, const FastLock& fast, std::int64_t entry,
                                       Deadline held)
{
    Store& store = work.store;
    auto marked = co_await store.with_held_fast_lock(
        store.loop(), fast, work.operation(), held,
        [entry, &store](const FastHold& hold) -> Result<void> {
            if (auto edit = begin_edit(store, hold, 0); !edit) return edit.error();
            store.db()
                .prepare("UPDATE thing SET state = 'removing' WHERE id = ? AND domain = ?")
                .bind(entry)
                .bind(value_of(hold.domain()))
                .run();
            if (store.db().changes() == 0) return no_entry_of_xenstore();
            return {};
        });
    if (marked) work.committed = work.request.device_class + "/" + work.request.key;
    co_return marked;
}

Task<Result<void>> remove_xenstore_entry(XenstoreWork& work, const FastLock& fast, ThingName name)
{
    Store& store = work.store;
    co_return co_await store.with_held_fast_lock(
        store.loop(), fast, work.operation(), settle_deadline(work.until),
        [&name, &store](const FastHold& hold) -> Result<void> {
            if (auto edit = advance_revision(store, hold, 0); !edit) return edit.error();
            return remove_thing(store, hold, name, "detach");
        },
        Room::reserve);
}

}  // namespace xlstore
