// SPDX-License-Identifier: MIT
// init, create, import, register, destroy, recover.
#include "store/lifecycle.hpp"

#include <charconv>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include "recovery/recover.hpp"
#include "store/json_text.hpp"
#include "store/limits.hpp"
#include "tools/xlstore/verbs.hpp"

namespace xlstore::tools {

Result<std::unique_ptr<Store>> open_store(const Arguments& arguments)
{
    StoreOptions options;
    options.directory = arguments.store;
    if (arguments.timeout_s)
        options.open_timeout =
            std::chrono::milliseconds(static_cast<std::int64_t>(*arguments.timeout_s * 1000));
    if (arguments.verbose) options.log = Log::to_stderr("xlstore", LogLevel::debug);
    return Store::open(options);
}

Result<std::unique_ptr<Store>> open_to_look(const Arguments& arguments)
{
    StoreOptions options;
    options.directory = arguments.store;
    return Store::open_read_only(options);
}

Result<std::string> read_file(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    std::string text(std::istreambuf_iterator<char>(file), {});
    if (!file && text.empty())
        return Error(Errc::invalid, "cannot read " + path,
                     "name a file that can be read; nothing was changed");
    return text;
}

Result<std::string> read_text(const std::string& word, std::string& what)
{
    if (word == "-") {
        what = "standard input";
        return std::string(std::istreambuf_iterator<char>(std::cin), {});
    }
    if (word.starts_with('@')) {
        what = word.substr(1);
        return read_file(what);
    }
    what = "argument";
    return word;
}

void print_done(const Arguments& arguments, const std::string& text,
                std::vector<std::pair<std::string, std::string>> members)
{
    if (arguments.json) {
        members.insert(members.begin(), {"result", json_quote("done")});
        std::puts(json_object(members).c_str());
    } else {
        std::puts(plain(text).c_str());
    }
}

namespace {

Result<std::int64_t> parse_domid(const std::string& word)
{
    std::int64_t domid = -1;
    const char* begin = word.c_str() + (word.starts_with("domid:") ? 6 : 0);
    const char* end = word.c_str() + word.size();
    const auto [at, error] = std::from_chars(begin, end, domid);
    if (error != std::errc() || at != end || begin == end)
        return Error(Errc::invalid, json_shown(word) + " is not a domid");
    return domid;
}

void print_created(const Arguments& arguments, const Created& created)
{
    const auto& d = created.domain;
    std::string notes = "[";
    for (const auto& note : created.notes)
        notes += (notes.size() > 1 ? "," : "") + json_quote(note);
    print_done(arguments,
               d.subject() + " runs: QEMU pid " + std::to_string(d.registration->qemu.pid) +
                   ", monitor " + d.registration->path +
                   (d.log_path.empty() ? "" : ", log " + d.log_path),
               {{"domid", std::to_string(d.domid)},
                {"incarnation", std::to_string(value_of(d.id))},
                {"qemu_pid", std::to_string(d.registration->qemu.pid)},
                {"monitor", json_quote(d.registration->path)},
                {"log", json_quote(d.log_path)},
                {"notes", notes + "]"}});
    if (!arguments.json)
        for (const auto& note : created.notes)
            std::fprintf(stderr, "xlstore: note: %s\n", plain(note).c_str());
}

}  // namespace

Result<Status> run_init(const Arguments& arguments)
{
    if (auto made = Store::init(arguments.store, arguments.group,
                                arguments.power ? Durability::power : Durability::process);
        !made)
        return made.error();
    print_done(arguments, "store made in " + arguments.store,
               {{"store", json_quote(arguments.store)}});
    return Status::done;
}

Result<Status> run_create(const Arguments& arguments)
{
    const auto domid = parse_domid(arguments.words[0]);
    if (!domid) return domid.error();
    auto document = read_file(arguments.words[1]);
    if (!document) return document.error();
    auto store = open_store(arguments);
    if (!store) return store.error();
    auto created = (*store)->loop().wait_for(
        create_domain(**store, *domid, *document, arguments.words[1], arguments.command,
                      arguments.until(limits::create_timeout)));
    if (!created) return created.error();
    print_created(arguments, *created);
    return Status::done;
}

Result<Status> run_import(const Arguments& arguments)
{
    const auto domid = parse_domid(arguments.words[0]);
    if (!domid) return domid.error();
    auto document = read_file(arguments.words[1]);
    if (!document) return document.error();
    auto store = open_store(arguments);
    if (!store) return store.error();
    auto domain =
        (*store)->loop().wait_for(import_domain(**store, *domid, *document, arguments.words[1],
                                                arguments.until(limits::operation_timeout)));
    if (!domain) return domain.error();
    print_done(arguments, domain->subject() + " imported",
               {{"domid", std::to_string(domain->domid)}});
    return Status::done;
}

Result<Status> run_register(const Arguments& arguments)
{
    auto store = open_store(arguments);
    if (!store) return store.error();
    auto domain = find_domain((*store)->db(), arguments.words[0]);
    if (!domain) return domain.error();
    auto created = (*store)->loop().wait_for(register_qemu(
        **store, *domain, std::filesystem::absolute(arguments.monitor).string(), arguments.pid,
        arguments.handed_in, arguments.until(limits::operation_timeout)));
    if (!created) return created.error();
    print_created(arguments, *created);
    return Status::done;
}

Result<Status> run_destroy(const Arguments& arguments)
{
    auto store = open_store(arguments);
    if (!store) return store.error();
    const auto until = arguments.until(limits::operation_timeout);
    if (!arguments.uuid.empty()) {
        const auto domid = parse_domid(arguments.words[0]);
        if (!domid) return domid.error();
        auto there =
            (*store)->loop().wait_for(destroy_or_forestall(**store, *domid, arguments.uuid, until));
        if (!there) return there.error();
        print_done(
            arguments,
            *there ? "destroyed" : "no such domain; its creation is refused for the next 60 s",
            {{"row", *there ? "true" : "false"}});
        return Status::done;
    }
    auto domain = find_domain((*store)->db(), arguments.words[0]);
    if (!domain) return domain.error();
    auto destroyed = (*store)->loop().wait_for(destroy_domain(**store, *domain, until));
    if (!destroyed) return destroyed.error();
    print_done(arguments, domain->subject() + " destroyed",
               {{"domid", std::to_string(domain->domid)}});
    return Status::done;
}

Result<Status> run_recover(const Arguments& arguments)
{
    auto store = open_store(arguments);
    if (!store) return store.error();
    recovery::Options options;
    options.mode = recovery::Mode::preen;
    if (arguments.timeout_s)
        options.timeout_each =
            std::chrono::milliseconds(static_cast<std::int64_t>(*arguments.timeout_s * 1000));
    if (!arguments.words.empty()) {
        auto domain = find_domain((*store)->db(), arguments.words[0]);
        if (!domain) return domain.error();
        options.only = domain->id;
    }
    std::string lines;
    options.found = [&](const recovery::Finding& f) {
        const auto& about = recovery::problem(f.code);
        if (about.if_left == recovery::Exit::clean && f.action == recovery::Action::none) return;
        lines += f.subject + ": " + std::string(about.message) +
                 (f.evidence.empty() ? "" : " (" + f.evidence + ")") +
                 (f.action == recovery::Action::fixed ? ". " + std::string(about.fixed) : "") +
                 (f.error.empty() ? "" : ": " + f.error) + "\n";
    };
    auto report = (*store)->loop().wait_for(recovery::recover(**store, std::move(options)));
    if (!report) return report.error();
    if (arguments.json)
        std::puts(json_object({{"found", std::to_string(report->found)},
                               {"corrected", std::to_string(report->corrected)},
                               {"fsck_status", std::to_string(report->exit_bits)}})
                      .c_str());
    else
        std::fputs(lines.c_str(), stdout);
    const auto open = report->exit_bits & ~static_cast<unsigned>(recovery::Exit::corrected);
    if (open == 0) return Status::done;
    return open == static_cast<unsigned>(recovery::Exit::left) ? Status::refused : Status::in_doubt;
}

}  // namespace xlstore::tools
