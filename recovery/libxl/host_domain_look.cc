// SPDX-License-Identifier: MIT
//   1. Files of domains that are over, and a domain of which little is left.
//   2. The document: read, or what there is in its place.
//   3. Into the private store: imported as it stands, every entry present; an HVM domain's QEMU met
//      over its monitor, under libxl's locks (R11, R12, R19). Its entries stay as they are.
//   4. The passes compare, and ask. Who only looks says yes to what changes the private store
//      alone, since what xenstore should have follows from that, and no to all else.
//   5. What was adopted becomes edits of libxl's file, written under libxl's lock on it. Xenstore
//      follows: the passes write what they compared, and processors are called online here.
//   6. What was found, in a host's words. A domain that went away meanwhile has no findings.
#include "recovery/libxl/host_domain_look.hpp"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "recovery/libxl/document_edits.hpp"
#include "recovery/libxl/host_creator.hpp"
#include "recovery/libxl/host_document.hpp"
#include "recovery/libxl/host_words.hpp"
#include "recovery/passes/kept_nodes.hpp"
#include "recovery/passes/passes.hpp"
#include "store/base/clock.hpp"
#include "store/libxl/document_file.hpp"
#include "store/libxl/host_lock.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "store/lifecycle/registration.hpp"
#include "store/os/listener.hpp"
#include "store/os/process.hpp"
#include "store/text/json_text.hpp"
#include "store/xenstore/client.hpp"

namespace xlstore::recovery {

namespace {

using libxl::HostLock;
using libxl::HostLockKind;
using State = HostDocument::State;

// While a domain is created there is no document of it.
constexpr auto kDocumentPoll = std::chrono::milliseconds(200);
constexpr std::int64_t kCreationTakes = 600;  // seconds, from what libxl notes to the document
constexpr std::string_view kEntryWouldBe = "the entry would be ";

std::string lock_name(HostLockKind kind)
{
    switch (kind) {
    case HostLockKind::device_changes:
        return "changes of devices";
    case HostLockKind::qmp_socket:
        return "the monitor";
    case HostLockKind::document:
        break;
    }
    return "the configuration";
}

// What these change is in the private store alone.
bool is_private(Code code)
{
    return code == Code::thing_unknown || code == Code::thing_absent || code == Code::thing_back ||
           code == Code::medium_other || code == Code::medium_gone;
}

// What libxl's file follows.
bool is_written(Code code)
{
    switch (code) {
    case Code::host_document_unfinished:
    case Code::host_document_missing:
    case Code::host_document_damaged:
    case Code::host_document_open_ended:
    case Code::host_thing_unlisted:
    case Code::host_thing_perhaps_initial:
    case Code::host_medium_other:
    case Code::host_medium_gone:
    case Code::host_vcpu_unlisted:
        return true;
    default:
        return false;
    }
}

class DomainLook {
public:
    DomainLook(Store& store, HostUndo& undo, HostLookRequest request)
        : store_(store),
          undo_(undo),
          request_(std::move(request)),
          domain_(request_.domain),
          owner_{domain_.domid, domain_.uuid}
    {
        look_.domid = domain_.domid;
        look_.uuid = domain_.uuid;
        look_.locks_left = request_.locks_left;
    }

    Task<HostLook> run()
    {
        std::optional<Error> failure;
        try {
            co_await look_at_all();
        } catch (...) {
            failure = caught();
        }
        if (failure) report(Code::host_domain_unseen, domain_.subject(), failure->message);
        if (look_.findings.empty()) co_return std::move(look_);
        const bool gone = co_await has_gone();
        if (gone) look_.findings.clear();
        co_return std::move(look_);
    }

private:
    [[nodiscard]] Deadline until() const { return Clock::now() + request_.timeout; }
    [[nodiscard]] std::string domid() const { return std::to_string(domain_.domid); }

    HostFinding& add(Code code, std::string subject, std::string evidence, Action action)
    {
        Subject about{std::move(subject), std::move(evidence), domain_.domid, {}, {}};
        look_.findings.push_back(HostFinding{code, std::move(about), action, {}});
        return look_.findings.back();
    }
    void report(Code code, std::string subject, std::string evidence)
    {
        add(code, std::move(subject), std::move(evidence), Action::none);
    }
    // True: it is repaired by what follows; a failure there makes it failed.
    bool ask(Code code, std::string subject, std::string evidence)
    {
        auto& finding = add(code, std::move(subject), std::move(evidence), Action::left);
        const bool yes = !request_.looking_only && request_.answer(finding);
        if (yes) finding.action = Action::fixed;
        return yes;
    }

    Task<void> look_at_all()
    {
        co_await files_left();
        if (!domain_.lives()) co_return;
        if (!domain_.has_home || !domain_.has_libxl_node || domain_.uuid.empty()) {
            // Destroyed to its end, as far as libxl goes: its device model has pages of it still.
            if (domain_.dying && !domain_.has_home && !domain_.has_libxl_node) co_return;
            if (is_begun()) co_return;
            report(Code::host_domain_bare, domain_.subject(),
                   std::string(domain_.has_home || domain_.has_libxl_node
                                   ? "xenstore has only a part of it"
                                   : "xenstore has nothing of it") +
                       (domain_.uuid.empty() ? "" : "; uuid " + domain_.uuid) + "; 'xl destroy " +
                       domid() + "' ends it");
            co_return;
        }
        const bool can_be_compared = co_await read_document();
        if (can_be_compared) co_await compare();
    }

    // 1. One of another uuid than the living domain's is of a domain that is over.
    Task<void> files_left()
    {
        for (const auto& file : domain_.files) {
            const bool own =
                domain_.lives() && (domain_.uuid.empty() || file.domain.uuid == domain_.uuid);
            if (own || file.which != 'd') continue;
            const std::string path = request_.where.document(file.domain);
            const std::string why = domain_.lives()
                                        ? "domain " + domid() + " has uuid " + domain_.uuid + " now"
                                        : "Xen has no domain " + domid();
            if (!ask(Code::host_document_left, path, why)) continue;
            const libxl::FileOwner of = file.domain;
            auto removed = co_await remove_file(of);
            if (removed) continue;
            look_.findings.back().action = Action::failed;
            look_.findings.back().error = std::move(removed).error();
        }
    }

    Task<Result<void>> remove_file(libxl::FileOwner of)
    {
        const std::string path = request_.where.document(of);
        auto lock = co_await HostLock::take(
            store_.loop(), libxl::lock_path(request_.where, of, HostLockKind::document), until());
        if (!lock) co_return std::move(lock).error();
        auto bytes = libxl::read_document_bytes(path);
        if (!bytes) co_return std::move(bytes).error();
        if (!*bytes) co_return Result<void>();
        auto kept = undo_.keep_document(request_.where, of, *bytes, std::nullopt);
        if (!kept) co_return kept;
        if (unlink(path.c_str()) != 0)
            co_return Error(Errc::io, "cannot remove " + path + ": " + errno_text(errno));
        co_return Result<void>();
    }

    // 2. True: there is one to compare with.
    Task<bool> read_document()
    {
        document_ = look_at_document(request_.where, owner_);
        const Deadline limit = until();
        if (document_.state == State::missing && is_begun()) co_return false;
        while (document_.state == State::missing && request_.looking_only && Clock::now() < limit) {
            (void)co_await store_.loop().sleep(Clock::now() + kDocumentPoll);
            document_ = look_at_document(request_.where, owner_);
        }
        if (document_.state == State::missing && is_begun()) co_return false;
        text_ = document_.text;
        const std::string killed = document_.evidence + request_.locks_left.text;
        switch (document_.state) {
        case State::sound:
            break;
        case State::begun:
            whole_ = ask(Code::host_document_unfinished, domain_.subject(), killed + paused());
            co_return whole_;
        case State::missing:
        case State::damaged:
            whole_ = ask(document_.state == State::missing ? Code::host_document_missing
                                                           : Code::host_document_damaged,
                         domain_.subject(), killed + paused());
            text_ = bare_document(request_.tree, domain_.domid, domain_.uuid);
            co_return whole_;
        case State::unseen:
            report(Code::host_document_unseen, domain_.subject(), document_.evidence);
            co_return false;
        }
        if (document_.lacks_nul)
            whole_ = ask(Code::host_document_open_ended, domain_.subject(), document_.path);
        co_return true;
    }

    // Its device model, which a creation starts before it ends, has run for longer than one takes.
    [[nodiscard]] bool model_is_old() const
    {
        const auto model = identify(domain_.model_pid);
        timespec up{};
        if (!model || clock_gettime(CLOCK_BOOTTIME, &up) != 0) return false;
        const auto began = static_cast<std::int64_t>(model->start_time) / sysconf(_SC_CLK_TCK);
        return began + kCreationTakes < up.tv_sec;
    }

    // libxl notes when it has built a domain. Of one that is made just now that is not there yet,
    // or new; of an old one the file was lost.
    [[nodiscard]] bool is_new() const
    {
        const auto noted = request_.tree.value("/vm/" + domain_.uuid + "/start_time");
        std::int64_t built = 0;
        if (!noted && model_is_old()) return false;
        if (!noted ||
            std::from_chars(noted->data(), noted->data() + noted->size(), built).ec != std::errc())
            return true;
        return built + kCreationTakes > now_us() / 1'000'000;
    }

    [[nodiscard]] std::vector<std::string> names_of_others() const
    {
        constexpr std::string_view kHomes = "/local/domain/";
        std::vector<std::string> names;
        for (const auto& [path, value] : request_.tree.nodes)
            if (path.starts_with(kHomes) && path.ends_with("/name") &&
                path != std::string(kHomes) + domid() + "/name")
                names.push_back(value);
        return names;
    }

    // A creation may take long: a bootloader, the image of a restore. Nothing tells how old a
    // domain without a device model is, so that one whose creation was abandoned cannot be told
    // from it while libvirtd runs: the next step is a person's. True: that is said.
    bool is_begun()
    {
        const auto creator = creating_process({is_new(), names_of_others()});
        if (!creator) return false;
        report(Code::host_domain_begun, domain_.subject(),
               "process " + std::to_string(creator->pid) + " is " + creator->what +
                   "; look again when that should be over; 'xl destroy " + domid() +
                   "' ends the domain if its creation was abandoned");
        return true;
    }

    [[nodiscard]] std::string paused() const
    {
        return domain_.paused
                   ? "; it is paused: 'xl unpause " + domid() + "' or 'xl destroy " + domid() + "'"
                   : "";
    }

    // 3 to 6.
    Task<void> compare()
    {
        auto row =
            co_await import_domain(store_, domain_.domid, text_, document_.path, until(), {}, true);
        if (!row) {
            report(Code::host_domain_unseen, domain_.subject(), row.error().message);
            co_return;
        }
        const bool met = co_await meets_model(*row);
        if (met) row = *read_domain(store_.db(), row->id);
        for (const auto& thing : read_things(store_.db(), row->id))
            imported_ = std::max(imported_, thing.id);
        Check check(inner_options());
        std::optional<Reached> reached;
        bool seen = false;
        if (row->registration) {
            reached.emplace(co_await Reached::reach(check, store_, *row));
            seen = co_await pass5_primaries(check, store_, *row, *reached);
        }
        co_await pass5_xenstore(check, store_, *row, nullptr, reached ? &*reached : nullptr, seen);
        Result<void> written;
        if (!request_.looking_only) written = co_await write_document(*row);
        if (!request_.looking_only && written) written = co_await call_online(*row);
        const bool blind = (check.so_far().exit_bits & static_cast<unsigned>(Exit::blind)) != 0;
        for (auto& finding : found_)
            translate(std::move(finding), blind);
        if (written) co_return;
        for (auto& finding : look_.findings) {
            if (finding.action != Action::fixed || !is_written(finding.code)) continue;
            finding.action = Action::failed;
            finding.error = written.error();
        }
    }

    // True: its QEMU is registered. A PV or PVH domain has nothing that its QEMU would be asked
    // for.
    Task<bool> meets_model(DomainRow row)
    {
        if (!read_traits(store_.db(), row.id).has_device_model()) co_return false;
        const std::string monitor = request_.where.monitor(domain_.domid);
        if (!who_listens(monitor)) {
            const bool lives = domain_.model_pid > 0 && identify(domain_.model_pid).has_value();
            report(lives ? Code::host_domain_unseen : Code::host_model_gone, row.subject(),
                   "no process listens at " + monitor +
                       (domain_.model_pid > 0
                            ? ", xenstore names pid " + std::to_string(domain_.model_pid)
                            : std::string()) +
                       (lives ? "" : "; 'xl destroy " + domid() + "' ends the domain"));
            co_return false;
        }
        RegisterRequest request;
        request.monitor_path = monitor;
        request.follow = false;
        auto registered = co_await register_qemu(store_, row, std::move(request), until());
        if (registered) co_return true;
        report(Code::host_domain_unseen, row.subject(), registered.error().message);
        co_return false;
    }

    Options inner_options()
    {
        Options options;
        options.mode = Mode::ask;
        options.timeout_each = request_.timeout;
        options.leave_as_found = request_.looking_only;
        options.found = [this](const Finding& finding) { found_.push_back(finding); };
        options.answer = [this](const Problem& about, const Subject& subject) -> bool {
            return may_be_done(about, subject);
        };
        options.before_nodes = [this](std::optional<std::int64_t> domid,
                                      const std::vector<NodeBefore>& nodes) -> Result<std::string> {
            return undo_.keep_nodes(domid, nodes);
        };
        options.nodes_settled = [this](const std::string& proof, bool made) -> Result<void> {
            return undo_.settle_nodes(proof, made);
        };
        return options;
    }

    bool may_be_done(const Problem& about, const Subject& subject)
    {
        if (about.code == Code::domain_unknown) return false;
        if (request_.looking_only) return is_private(about.code);
        HostFinding finding{code_of(about.code, subject.thing), subject, Action::left, {}};
        // A note to an administrator; what xenstore should have follows from it all the same.
        if (problem(finding.code).if_left == Exit::clean) return about.code == Code::thing_absent;
        // The first look had nothing to compare with: the answer was that to the document.
        if (whole_ && document_.state != State::sound) return is_written(finding.code);
        return request_.answer(finding);
    }

    // A lock that was left may be another command's; `xl vcpu-set` says in xenstore at its end
    // which processors are on.
    [[nodiscard]] Code code_of(Code found, const std::optional<ThingName>& thing) const
    {
        const bool is_on = thing && thing->device_class == "vcpus" &&
                           request_.tree.value("/local/domain/" + domid() + "/cpu/" + thing->key +
                                               "/availability") == "online";
        return host_code(found, thing, request_.locks_left.monitor && !is_on);
    }

    // 5. Elements that the passes gave the private store, and drives that they changed.
    std::vector<ElementEdit> edits(const DomainRow& row)
    {
        using What = ElementEdit::What;
        std::vector<ElementEdit> all;
        for (const auto& finding : found_) {
            if (finding.action != Action::fixed || !finding.thing) continue;
            const auto entry = read_thing(store_.db(), row.id, *finding.thing);
            if (!entry || entry->id > imported_) continue;
            if (finding.code == Code::medium_other)
                all.push_back({What::replace, entry->name, entry->json});
            if (finding.code == Code::medium_gone)
                all.push_back({What::empty_drive, entry->name, {}});
        }
        for (const auto& thing : read_things(store_.db(), row.id)) {
            if (thing.id <= imported_ || thing.state != "present") continue;
            if (thing.name.device_class == "vcpus")
                all.push_back({What::add_vcpu, thing.name, {}});
            else if (thing.name.device_class != "qemu")
                all.push_back({What::add, thing.name, thing.json});
        }
        return all;
    }

    Task<Result<void>> write_document(DomainRow row)
    {
        const auto changes = edits(row);
        if (changes.empty() && !whole_) co_return Result<void>();
        auto lock = co_await HostLock::take(
            store_.loop(), libxl::lock_path(request_.where, owner_, HostLockKind::document),
            until());
        if (!lock) co_return std::move(lock).error();
        const bool gone = co_await has_gone();
        if (gone) co_return Error(Errc::gone, domain_.subject() + " was destroyed meanwhile");
        auto bytes = libxl::read_document_bytes(document_.path);
        if (!bytes) co_return std::move(bytes).error();
        // Elements are edited in what is there now; a whole document replaces only what was seen.
        auto base = whole_ ? Result<std::string>(text_) : base_of(*bytes);
        if (!base) co_return std::move(base).error();
        const auto now = look_at_document(request_.where, owner_);
        if (whole_ && (now.state != document_.state || now.text != document_.text ||
                       now.lacks_nul != document_.lacks_nul))
            co_return Error(Errc::conflict, document_.path + " was changed meanwhile",
                            "run xlfsck again");
        auto text = changes.empty() ? base : with_edits(*base, changes);
        if (!text) co_return std::move(text).error();
        auto kept = undo_.keep_document(request_.where, owner_, *bytes, *text + '\0');
        if (!kept) co_return kept;
        co_return libxl::write_document_file(request_.where, owner_, *text);
    }

    // The last step of `xl vcpu-set`: processors that came into the file.
    Task<Result<void>> call_online(DomainRow row)
    {
        std::vector<NodeChange> nodes;
        for (const auto& change : edits(row)) {
            if (change.what != ElementEdit::What::add_vcpu) continue;
            std::string path =
                "/local/domain/" + domid() + "/cpu/" + change.name.key + "/availability";
            if (request_.tree.contains(path)) nodes.push_back({std::move(path), "online"});
        }
        if (nodes.empty()) co_return Result<void>();
        auto client =
            co_await xenstore::Client::connect(store_.loop(), xenstore::socket_path(), until());
        if (!client) co_return std::move(client).error();
        const Options options = inner_options();
        co_return co_await change_and_keep(options, *client, domain_.domid, std::move(nodes),
                                           until());
    }

    Result<std::string> base_of(const std::optional<std::string>& bytes) const
    {
        if (!bytes)
            return Error(Errc::conflict, document_.path + " was removed meanwhile",
                         "run xlfsck again");
        std::string text = *bytes;
        if (text.ends_with('\0')) text.pop_back();
        return text;
    }

    // 6.
    void translate(Finding finding, bool blind)
    {
        if (finding.code == Code::domain_unknown) return;
        const Code code = code_of(finding.code, finding.thing);
        if (finding.evidence.starts_with(kEntryWouldBe))
            finding.evidence = "its element is " + finding.evidence.substr(kEntryWouldBe.size());
        const bool is_note = problem(code).if_left == Exit::clean;
        if (is_note || problem(code).question.empty())
            finding.action = Action::none;
        else if (request_.looking_only)
            finding.action = Action::left;
        if (!is_note && is_written(code)) finding.evidence += request_.locks_left.text;
        auto& made =
            add(code, std::move(finding.subject), std::move(finding.evidence), finding.action);
        made.about.thing = std::move(finding.thing);
        if (finding.action == Action::failed)
            made.error = Error(blind ? Errc::busy : Errc::io, finding.error);
    }

    // Its number may be another's by now. What could not be seen is not gone.
    Task<bool> has_gone()
    {
        if (!domain_.has_home) co_return false;
        auto client =
            co_await xenstore::Client::connect(store_.loop(), xenstore::socket_path(), until());
        if (!client) co_return false;
        const std::string home = "/local/domain/" + domid();
        auto there = co_await client->read(home, 0, until());
        auto vm = co_await client->read(home + "/vm", 0, until());
        if (!there || !vm) co_return false;
        const auto before = request_.tree.value(home + "/vm");
        co_return !*there || (*vm).has_value() != before.has_value() || (*vm && **vm != *before);
    }

    Store& store_;
    HostUndo& undo_;
    HostLookRequest request_;
    const HostDomain& domain_;
    libxl::FileOwner owner_;
    HostLook look_;
    HostDocument document_;       // as it was seen
    std::string text_;            // its text, or what there is in its place
    bool whole_ = false;          // the document is written although no element of it changed
    std::int64_t imported_ = 0;   // the highest row of an entry that came with the document
    std::vector<Finding> found_;  // by the passes
};

}  // namespace

LocksLeft locks_left_of(const libxl::HostDirectories& where, const HostDomain& domain)
{
    LocksLeft left;
    if (domain.uuid.empty()) return left;
    const libxl::FileOwner owner{domain.domid, domain.uuid};
    for (const auto kind :
         {HostLockKind::device_changes, HostLockKind::qmp_socket, HostLockKind::document}) {
        const auto path = libxl::lock_path(where, owner, kind);
        if (!libxl::was_left_by_the_dead(path)) continue;
        left.monitor = left.monitor || kind == HostLockKind::qmp_socket;
        left.text += (left.text.empty() ? "; the process that was killed held libxl's lock on "
                                        : ", and that on ") +
                     lock_name(kind);
    }
    return left;
}

Task<HostLook> look_at_host_domain(Store& store, HostUndo& undo, HostLookRequest request)
{
    DomainLook look(store, undo, std::move(request));
    co_return co_await look.run();
}

}  // namespace xlstore::recovery
