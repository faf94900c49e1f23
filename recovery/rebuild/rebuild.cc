// SPDX-License-Identifier: MIT
// Ids are first raised above those that the names of sockets show (R17). Then, for each process of
// this host that is a QEMU with a monitor for a store here and that no row knows:
//
//   1. The row that lost it, by the incarnation in its socket's name or by its domid, gets it back.
//   2. Without such a row it is asked for uuid and name, after the proof and the barrier (R11,
//      R12), and libxl's document is taken that fits, or a bare document made if its uuid is known.
//      Where several fit, none is taken: the newest proves nothing.
//   3. After yes it is registered by looking (R19), if it is still the process whose command line
//      was read.
#include "recovery/rebuild/rebuild.hpp"

#include <algorithm>

#include "recovery/base/host_qemu.hpp"
#include "recovery/rebuild/userdata.hpp"
#include "store/core/run_directory.hpp"
#include "store/lifecycle/new_domain.hpp"
#include "store/lifecycle/registration.hpp"
#include "store/model/document.hpp"
#include "store/model/store_paths.hpp"
#include "store/qmp/inventory.hpp"
#include "store/qmp/protocol.hpp"
#include "store/qmp/qemu_command_line.hpp"

namespace xlstore::recovery {

namespace {

// What a QEMU says of itself over its monitor.
struct Said {
    std::optional<std::string> uuid;
    std::optional<std::string> name;
};

// Which of libxl's documents is this QEMU's. Nothing: none of them. Error conflict: that is not
// known; the newest one proves nothing.
Result<std::optional<UserdataDocument>> choose(const Userdata& userdata, const Said& said)
{
    std::vector<UserdataDocument> fit = userdata.documents;
    if (said.uuid)
        std::erase_if(fit,
                      [&](const auto& document) -> bool { return document.uuid != *said.uuid; });
    else if (said.name)
        std::erase_if(fit,
                      [&](const auto& document) -> bool { return document.name != *said.name; });
    if (fit.empty() && (said.uuid || userdata.documents.empty()))
        return std::optional<UserdataDocument>();
    if (fit.size() == 1) return std::optional(fit.front());
    std::string files;
    for (const auto& document : userdata.documents)
        files += (files.empty() ? "" : ", ") + document.path;
    return Error(Errc::conflict,
                 "libxl has " + files +
                     ", and QEMU was not told a uuid that "
                     "tells whose it is",
                 "move those of domains that are over out of the way and run it again, or import "
                 "the right one and register QEMU by hand");
}

class Rebuild {
public:
    Rebuild(Check& check, Store& store) : check_(check), store_(store) {}

    Task<Result<void>> run()
    {
        if (!check_.looking_only()) {
            auto raised = co_await raise_ids();
            if (!raised) co_return raised;
        }
        const std::string run = StorePaths(store_.directory()).run();
        for (const pid_t pid : processes()) {
            auto qemu = read_host_qemu(pid, run);
            if (!qemu || is_known(*qemu)) continue;
            co_await take_in(*std::move(qemu));
        }
        co_return Result<void>();
    }

private:
    // Also by a row whose creation pass 3 brings to its end, which it does by the socket's name.
    [[nodiscard]] bool is_known(const HostQemu& qemu)
    {
        return std::ranges::any_of(living_domains(store_.db()), [&](const DomainRow& row) {
            if (row.state == DomainState::creating && row.id == qemu.named) return true;
            return row.registration && row.registration->qemu.pid == qemu.pid &&
                   life_of(row.registration->qemu) != Life::dead;
        });
    }

    // R17: the sockets of QEMUs whose rows are lost are named after ids that were given.
    Task<Result<void>> raise_ids()
    {
        const auto section = [this](const WriterHold& writer) -> Result<void> {
            raise_ids_above_names(store_, writer);
            return {};
        };
        co_return co_await store_.with_writer_lock("rebuild", check_.deadline(), section);
    }

    // The row that lost this QEMU: by the incarnation in its socket's name, or by its domid.
    std::optional<DomainRow> row_of(const HostQemu& qemu)
    {
        for (auto& row : living_domains(store_.db())) {
            if (row.state != DomainState::running || row.registration) continue;
            const bool another = qemu.note && qemu.note->uuid != row.uuid;
            if (row.id == qemu.named || (row.domid == qemu.domid && !another))
                return std::move(row);
        }
        return std::nullopt;
    }

    // Errors: it does not answer, or is not the process that listens.
    Task<Result<Said>> ask_qemu(const HostQemu& qemu)
    {
        auto process = identify(qemu.pid);
        if (!process) co_return std::move(process).error();
        std::optional<qmp::Expected> expected(qmp::Expected{*std::move(process), false});
        auto met = co_await qmp::Monitor::introduce(store_.loop(), qemu.monitor, "QEMU",
                                                    std::move(expected), check_.deadline());
        if (!met) co_return std::move(met).error();
        const auto uuid_said = co_await query(met->monitor, "query-uuid", "", check_.deadline());
        const auto name_said = co_await query(met->monitor, "query-name", "", check_.deadline());
        Said said;
        if (uuid_said)
            if (auto uuid = normal_uuid(json_get_string(*uuid_said, "UUID").value_or("")))
                if (uuid->find_first_not_of("0-") != std::string::npos) said.uuid = std::move(uuid);
        if (name_said) said.name = json_get_string(*name_said, "name");
        if (qemu.note && !said.uuid) said.uuid = qemu.note->uuid;
        if (qemu.note && !said.name) said.name = qemu.note->name;
        co_return said;
    }

    void report_unseen(const HostQemu& qemu, const Error& why)
    {
        check_.report(Code::surroundings_unseen, Subject{"QEMU " + std::to_string(qemu.pid) + " (" +
                                                             program_of(qemu.pid) + ")",
                                                         why.message, qemu.domid});
    }

    // A document for one that has no row. Error: not enough is known of it.
    Task<Result<std::string>> document_of(const HostQemu& qemu, std::string& where)
    {
        const auto said = co_await ask_qemu(qemu);
        if (!said) {
            report_unseen(qemu, said.error());
            co_return said.error();
        }
        const auto userdata = qemu.is_xens ? read_userdata(check_.options().userdata, *qemu.domid)
                                           : Userdata();
        for (const auto& unseen : userdata.unseen)
            report_unseen(qemu, unseen);
        const auto chosen = choose(userdata, *said);
        if (!chosen) co_return chosen.error();
        if (*chosen) {
            where = (*chosen)->path;
            co_return (*chosen)->text;
        }
        if (!said->uuid)
            co_return Error(Errc::not_found,
                            "no userdata file names its uuid, and QEMU was not told it",
                            "import its document and register it by hand");
        where = "a bare document, from what QEMU says";
        const auto c_info = json_object(
            {{"type", json_quote("hvm")},
             {"name", json_quote(said->name.value_or("domain-" + std::to_string(*qemu.domid)))},
             {"uuid", json_quote(*said->uuid)}});
        co_return json_object({{"c_info", c_info}, {"b_info", R"({"type.hvm":{}})"}});
    }

    Task<void> take_in(HostQemu qemu)
    {
        Subject about{"QEMU " + std::to_string(qemu.pid) + " (" + program_of(qemu.pid) + ")", {}};
        auto row = row_of(qemu);
        // Whose it is stays unknown: pass 6 says so of this store's own.
        if (!row && !qemu.domid) co_return;
        std::string document;
        std::string where;
        if (row) {
            about.evidence = "it is that of " + row->subject();
            about.domid = row->domid;
        } else {
            about.domid = qemu.domid;
            auto made = co_await document_of(qemu, where);
            if (!made) {
                check_.failed(Code::qemu_homeless, about, made.error());
                co_return;
            }
            document = *std::move(made);
            about.evidence = "domain " + std::to_string(*qemu.domid) + ", " + where;
        }
        if (!check_.ask(Code::qemu_homeless, about)) co_return;
        auto done =
            co_await register_it(std::move(qemu), std::move(row), std::move(document), where);
        if (done) about.evidence += *done;
        if (done)
            check_.fixed(Code::qemu_homeless, about);
        else
            check_.failed(Code::qemu_homeless, about, done.error());
    }

    static std::string reported(const Registered& done)
    {
        std::string text =
            done.gap.empty() ? "" : "; what it was started with is not known: " + done.gap;
        for (const auto& note : done.notes)
            text += "; " + std::string(became_name(note.became)) +
                    (note.thing ? " " + note.thing->text() : "") + ": " + note.text;
        return text;
    }

    // What was found, for the evidence.
    Task<Result<std::string>> register_it(HostQemu qemu, std::optional<DomainRow> row,
                                          std::string document, std::string where)
    {
        const auto until = check_.deadline();
        auto id = identify(qemu.pid);
        if (!id) co_return std::move(id).error();
        // What was read of it is of this very process.
        const auto words = command_line_words(qemu.pid);
        if (!words || *words != qemu.words)
            co_return Error(Errc::conflict, "it is another process by now", "run it again");
        if (!row) {
            auto fresh =
                co_await import_domain(store_, *qemu.domid, std::move(document), where, until, {},
                                       true);  // R1: it lives
            if (!fresh) co_return std::move(fresh).error();
            row = *std::move(fresh);
        }
        RegisterRequest request;
        request.monitor_path = qemu.monitor;
        request.pid = id->pid;
        request.log_path = row->log_path;
        if (request.log_path.empty() && qemu.named)
            request.log_path =
                StorePaths(store_.directory()).qemu_log(value_of(*qemu.named));
        auto done = co_await register_qemu(store_, *row, std::move(request), until);
        if (!done) co_return std::move(done).error();
        co_return reported(*done);
    }

    Check& check_;
    Store& store_;
};

}  // namespace

Task<void> rebuild(Check& check, Store& store)
{
    Rebuild work(check, store);
    const auto done = co_await work.run();
    if (!done) check.failed(Code::qemu_homeless, Subject{store.directory()}, done.error());
}

}  // namespace xlstore::recovery
