// SPDX-License-Identifier: MIT
// The name of a domain stands in its row and in c_info of its document; both change in one commit,
// so that no reader sees them differ. A name or uuid that a living domain has is refused (it would
// name two), and so is a rename of a domain that the caller named by a name that it no longer has:
// another process has renamed it since.
#include "store/operation/identity.hpp"

#include "store/core/journal.hpp"
#include "store/model/document.hpp"
#include "store/model/libxl_fields.hpp"
#include "store/operation/edit.hpp"
#include "store/text/json_text.hpp"

namespace xlstore {

namespace {

// REQUIRES advance_revision(). Its name until now.
Result<std::string> set_name(Store& store, const FastHold& fast,
                             const std::optional<std::string>& old, const std::string& name)
{
    Db& db = store.db();
    const auto id = value_of(fast.domain());
    auto before = *read_domain(db, fast.domain());
    if (old && before.name != *old && before.name != name)
        return Error(Errc::conflict,
                     "domain " + std::to_string(before.domid) + ", which was called " +
                         json_shown(*old) + ", is called " + json_shown(before.name) + " by now",
                     "nothing was changed; name it by domid:" + std::to_string(before.domid));
    if (auto ok = check_name_is_free(db, fast.domain(), name); !ok) return std::move(ok).error();
    db.prepare("UPDATE domain SET name = ? WHERE id = ?").bind(name).bind(id).run();
    auto member =
        db.prepare("SELECT text FROM document_member WHERE domain = ? AND key = 'c_info'").bind(id);
    if (!member.step())
        return Error(Errc::store, before.subject() + " has a document without c_info",
                     "'xlfsck -y' writes it anew");
    db.prepare("UPDATE document_member SET text = ? WHERE domain = ? AND key = 'c_info'")
        .bind(with_libxl_member("c_info", member.text(0), "name", json_quote(name)))
        .bind(id)
        .run();
    return std::move(before.name);
}

// REQUIRES advance_revision().
Result<void> set_vm_uuid(Store& store, const FastHold& fast, const std::string& vm_uuid)
{
    Db& db = store.db();
    const auto id = value_of(fast.domain());
    // Its own uuid is taken, too: what is found by it from now on is the domain created anew.
    auto other = db.prepare(
                       "SELECT domid, name FROM domain WHERE state <> 'destroyed' AND "
                       "(uuid = ?1 OR (vm_uuid = ?1 AND id <> ?2))")
                     .bind(vm_uuid)
                     .bind(id);
    if (other.step())
        return Error(Errc::exists,
                     "domain " + other.text(0) + " (" + other.text(1) + ") has the uuid " + vm_uuid,
                     "nothing was changed; choose another uuid");
    db.prepare("UPDATE domain SET vm_uuid = ? WHERE id = ?").bind(vm_uuid).bind(id).run();
    return {};
}

void add_line(Store& store, const FastHold& fast, std::string operation, std::string evidence)
{
    Journal(store).add_history(
        HistoryLine{fast.domain(), std::move(operation), {}, {}, "done", {}, std::move(evidence)});
}

std::string now_called(const std::string& before, const std::string& name)
{
    return json_shown(before) + " is now called " + json_shown(name);
}

}  // namespace

Task<Result<DomainRow>> rename_domain(Store& store, DomainRow domain,
                                      std::optional<std::string> old, std::string name,
                                      std::int64_t revision, Deadline until)
{
    if (auto ok = check_name(name); !ok) co_return std::move(ok).error();
    co_return co_await store.with_fast_lock(
        domain.id, "rename", until, [&](const FastHold& fast) -> Result<DomainRow> {
            if (auto begun = advance_revision(store, fast, revision); !begun) return begun.error();
            auto before = set_name(store, fast, old, name);
            if (!before) return before.error();
            add_line(store, fast, "rename", now_called(*before, name));
            return *read_domain(store.db(), fast.domain());
        });
}

Task<Result<DomainRow>> preserve_domain(Store& store, DomainRow domain,
                                        std::optional<std::string> old, std::string name,
                                        std::string vm_uuid, Deadline until)
{
    if (auto ok = check_name(name); !ok) co_return std::move(ok).error();
    const auto uuid = normal_uuid(vm_uuid);
    if (!uuid) co_return Error(Errc::invalid, json_shown(vm_uuid) + " is not a uuid");
    co_return co_await store.with_fast_lock(
        domain.id, "preserve", until, [&](const FastHold& fast) -> Result<DomainRow> {
            if (auto begun = advance_revision(store, fast, 0); !begun) return begun.error();
            auto before = set_name(store, fast, old, name);
            if (!before) return before.error();
            if (auto set = set_vm_uuid(store, fast, *uuid); !set) return set.error();
            add_line(store, fast, "preserve", now_called(*before, name) + " and found by " + *uuid);
            return *read_domain(store.db(), fast.domain());
        });
}

}  // namespace xlstore
