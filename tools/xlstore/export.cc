// SPDX-License-Identifier: MIT
// export: the document of a domain, living or over.
#include <cstdio>

#include "store/text/json_text.hpp"
#include "tools/common/whole_file.hpp"
#include "tools/xlstore/library.hpp"

namespace xlstore::tools {

namespace {

// What goes to another host beside the document, which is not printed if this fails.
Result<void> write_things(const std::string& path, const char* things)
{
    auto written = write_whole_file(path, things, IfThere::replace);
    if (written) return {};
    auto error = written.error();
    error.advice = "nothing was printed; name another file";
    return error;
}

// What the document needs beside it in another store, and the document itself.
Result<Status> export_settled(const Arguments& arguments, xlstore_store* store)
{
    char* json = nullptr;
    char* things = nullptr;
    char* notes = nullptr;
    const bool with_things = !arguments.things.empty();
    if (xlstore_outgoing_domain(store, arguments.words[0].c_str(),
                                arguments.name.empty() ? nullptr : arguments.name.c_str(), &json,
                                with_things ? &things : nullptr, &notes) != XLSTORE_OK)
        return last_error();
    const Text document(json);
    const Text beside(things);
    const Text list(notes);
    if (with_things)
        if (auto written = write_things(arguments.things, things); !written) return written.error();
    std::fputs(json, stdout);  // the end of the program says if that fails
    print_notes(notes);
    return Status::done;
}

// The document that a domain had at its end, and what belongs beside it.
Result<Status> export_retired(const Arguments& arguments, xlstore_store* store)
{
    const std::string& word = arguments.words[0];
    char* json = nullptr;
    char* things = nullptr;
    char* others = nullptr;
    int64_t id = 0;
    if (xlstore_retired_document(store, word.c_str(), &json, &things, &id, &others) != XLSTORE_OK)
        return last_error();
    const Text document(json);
    const Text beside(things);
    const Text ids(others);
    note_others(id, "newest", word, others);
    if (!arguments.things.empty()) {
        if (!things)
            return Error(
                Errc::not_found,
                "id:" + std::to_string(id) + " had no things that its document cannot hold",
                "export it without --things");
        if (auto written = write_things(arguments.things, things); !written) return written.error();
    }
    // R22: it was kept as it was.
    if (!json_minify(json, "document"))
        std::fprintf(stderr,
                     "xlstore: note: the document of id:%lld was damaged when its domain ended: it "
                     "is printed as it was kept, and is no JSON\n",
                     static_cast<long long>(id));
    std::fputs(json, stdout);  // the end of the program says if that fails
    return Status::done;
}

// Where the domain is over, and its document is kept, the error says how it is had.
Error not_living(xlstore_store* store, const std::string& word, Error error)
{
    char* json = nullptr;
    int64_t id = 0;
    if (error.code != Errc::not_found ||
        xlstore_retired_document(store, word.c_str(), &json, nullptr, &id, nullptr) != XLSTORE_OK)
        return error;
    const Text document(json);
    error.advice = "it is destroyed: 'xlstore export --retired id:" + std::to_string(id) +
                   "' prints the document that it had";
    return error;
}

}  // namespace

Result<Status> run_export(const Arguments& arguments)
{
    const auto store = open_to_look(arguments);
    if (!store) return store.error();
    if (arguments.retired) return export_retired(arguments, store->get());
    if (arguments.settled) return export_settled(arguments, store->get());
    char* json = nullptr;
    if (xlstore_document(store->get(), arguments.words[0].c_str(), &json, nullptr) != XLSTORE_OK)
        return not_living(store->get(), arguments.words[0], last_error());
    const Text document(json);
    std::fputs(json, stdout);  // the end of the program says if that fails
    return Status::done;
}

}  // namespace xlstore::tools
