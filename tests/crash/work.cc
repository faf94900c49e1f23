// SPDX-License-Identifier: MIT
#include "tests/crash/work.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "store/classes/class_plan.hpp"
#include "store/core/intent_rows.hpp"
#include "store/core/journal.hpp"
#include "store/core/product.hpp"
#include "store/lifecycle/destroy.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "store/lifecycle/tombstone.hpp"
#include "store/operation/edit.hpp"
#include "store/operation/identity.hpp"

namespace xlstore::test {

namespace {

std::string uuid_of(int domid)
{
    return "8f2c7d10-4b6e-4a51-9d3c-00000000000" + std::to_string(domid);
}

SlowHold hold(Store& store, DomainId domain)
{
    return must(
        store.loop().wait_for(store.slow_lock(domain, store.subject_of(domain), "work", soon())));
}

}  // namespace

Deadline soon()
{
    return Clock::now() + std::chrono::seconds(60);
}

std::unique_ptr<Store> open_for_work(const std::string& directory)
{
    StoreOptions options;
    options.directory = directory;
    options.program = "work";
    return must(Store::open(options));
}

void copy_store(const std::string& from, const std::string& to)
{
    std::filesystem::remove_all(to);
    for (const std::string directory : {"", "/run"})
        if (std::filesystem::exists(from + directory) && mkdir((to + directory).c_str(), 0700) != 0)
            throw std::runtime_error("cannot make " + to + directory);
    for (const auto& entry : std::filesystem::directory_iterator(from)) {
        if (!entry.is_regular_file()) continue;
        const std::filesystem::path copy = to / entry.path().filename();
        std::filesystem::copy_file(entry.path(), copy);
        std::filesystem::permissions(
            copy, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    }
    forget_place(to);
}

void forget_place(const std::string& directory)
{
    if (!std::filesystem::exists(directory + "/store.db")) return;
    Db(directory + "/store.db", Db::Mode::read_write)
        .execute("UPDATE store SET directory_inode = NULL");
    constexpr off_t kMemoryAt = 256;  // store/lock/locks.cc: slot 1
    const std::string nothing(240, ' ');
    for (const char* name : {"/locks", "/slow", "/spare"}) {
        if (!std::filesystem::exists(directory + name)) continue;  // a store may not have the last yet
        const Fd file(open((directory + name).c_str(), O_WRONLY | O_CLOEXEC));
        if (!file || pwrite(file.get(), nothing.data(), nothing.size(), kMemoryAt) < 0)
            throw std::runtime_error("cannot write " + directory + name);
    }
}

DomainId Work::import(int domid, const std::string& name)
{
    return must(store_->loop().wait_for(
                    import_domain(*store_, domid, hvm_document(name, uuid_of(domid), "/srv/a.iso"),
                                  "document", soon())))
        .id;
}

void Work::edit(DomainId domain, const std::string& from, const std::string& to)
{
    std::string text = read_document(store_->db(), domain);
    text.replace(text.find(from), from.size(), to);
    const auto document = must(parse_document(text, "edit"));
    must(store_->loop().wait_for(
        store_->with_fast_lock(domain, "edit", soon(), [&](const FastHold& fast) -> Result<void> {
            if (auto ok = begin_edit(*store_, fast, 0); !ok) return ok.error();
            return write_document(*store_, fast, document);
        })));
}

void Work::rename(DomainId domain, const std::string& name)
{
    must(store_->loop().wait_for(
        rename_domain(*store_, *read_domain(store_->db(), domain), std::nullopt, name, 0, soon())));
}

std::vector<IntentId> Work::open_intents(DomainId domain, std::vector<Draft> drafts)
{
    auto held = hold(*store_, domain);
    return ids_of(must(store_->loop().wait_for(
        Journal(*store_).open(held, std::move(drafts), "/no/monitor", soon()))));
}

void Work::settle(DomainId domain, std::vector<IntentId> intents, Image image)
{
    auto held = hold(*store_, domain);
    must(store_->loop().wait_for(
        Journal(*store_).settle(held, std::move(intents), image, "none", soon())));
}

void Work::note(DomainId domain, std::vector<IntentId> intents)
{
    auto held = hold(*store_, domain);
    std::optional<std::vector<Product>> asked;
    asked.emplace();
    for (const auto id : intents)
        for (auto& product : must(read_intent(store_->db(), id)).draft.plan.probe.products)
            if (is_device(product)) asked->push_back(std::move(product));
    must(store_->loop().wait_for(Journal(*store_).note(
        held, std::move(intents), "the guest has it", std::move(asked), soon())));
}

void Work::destroy(DomainId domain)
{
    must(store_->loop().wait_for(
        destroy_domain(*store_, *read_domain(store_->db(), domain), soon())));
}

void Work::forestall(int domid)
{
    must(store_->loop().wait_for(destroy_or_forestall(*store_, domid, uuid_of(domid), soon())));
}

void Work::empty_log()
{
    must(store_->loop().wait_for(store_->empty_log(soon())));
}

std::vector<Draft> Work::insertion(DomainId domain, const std::string& image)
{
    std::vector<Draft> drafts;
    drafts.push_back(
        must(draft_insert(*read_thing(store_->db(), domain, ThingName{"disks", "hdc"}), image)));
    return drafts;
}

std::vector<Draft> Work::additions(const Words& tablets)
{
    std::vector<Draft> drafts;
    for (const auto& id : tablets)
        drafts.push_back(must(draft_attach("qemu", tablet(id))));
    return drafts;
}

std::vector<Draft> Work::removal(DomainId domain, const std::string& tablet)
{
    const auto entry = *read_thing(store_->db(), domain, ThingName{"qemu", tablet});
    std::vector<Draft> drafts;
    drafts.push_back(must(draft_detach(entry, made_of(store_->db(), domain, entry))));
    return drafts;
}

std::size_t turn()
{
    const char* given = std::getenv("XLSTORE_TURN");
    return given ? std::stoul(given) : 0;
}

}  // namespace xlstore::test
