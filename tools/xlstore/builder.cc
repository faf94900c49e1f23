// SPDX-License-Identifier: MIT
#include "tools/xlstore/builder.hpp"

#include <spawn.h>
#include <sys/wait.h>

#include <cerrno>
#include <optional>

#include "tools/common/finding_line.hpp"
#include "xlstore/recovery.h"

namespace xlstore::tools {

namespace {

// Why the command that makes the domain in Xen did not; nothing: it did. `began`: it may have made
// something.
std::optional<std::string> run_builder(const std::vector<std::string>& command, bool& began)
{
    std::vector<char*> words;
    for (const auto& word : command)
        words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    pid_t pid = -1;
    const int error = posix_spawnp(&pid, words[0], nullptr, nullptr, words.data(), environ);
    began = error == 0;
    if (error != 0) return plain(command[0]) + ": " + errno_text(error);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return std::nullopt;
    return plain(command[0]) + (WIFEXITED(status)
                                    ? " ended with " + std::to_string(WEXITSTATUS(status))
                                    : " was killed by signal " + std::to_string(WTERMSIG(status)));
}

struct SeenInXen {
    bool unmade = false;  // and its row is destroyed
    bool made = false;    // and its row is running
    std::string line;     // what else was found of it
};

void keep_seen(const xlstore_finding* finding, void* userdata)
{
    auto& seen = *static_cast<SeenInXen*>(userdata);
    const std::string_view problem = finding->problem;
    const bool fixed = finding->action == XLSTORE_ACTION_FIXED;
    if (problem == "creation_unmade")
        seen.unmade = fixed;
    else if (problem == "creation_made")
        seen.made = fixed;
    if (!fixed && finding->if_left != 0) seen.line = plain(finding_line(*finding));
}

// A command that ended badly is no proof that Xen has not got the domain. Recovery asks, as it
// would if this process had died, and does what follows.
Error settle_failed(xlstore_store* store, const xlstore_call& call, const std::string& word,
                    const std::string& why)
{
    SeenInXen seen;
    xlstore_recover_options options = XLSTORE_RECOVER_OPTIONS_INIT;
    options.domain = word.c_str();
    options.timeout_ms = call.timeout_ms;
    options.found = keep_seen;
    options.userdata = &seen;
    const bool ran = xlstore_recover(store, &options, nullptr) == XLSTORE_OK;
    if (seen.unmade) return {Errc::refused, why, "Xen has no such domain; its row is destroyed"};
    if (seen.made)
        return {Errc::unfinished, why + ", and Xen has the domain: its row is kept",
                "'xlstore show " + word +
                    "' shows it; to be rid of it 'xl destroy', then 'xlstore "
                    "destroy " +
                    word + "'"};
    if (seen.line.empty() && !ran) seen.line = last_error().message;
    return {Errc::unfinished,
            why + ", and whether Xen has the domain is not known: its row is kept" +
                (seen.line.empty() ? "" : " (" + seen.line + ")"),
            "'xlstore recover " + word +
                "' asks xenstored again; where 'xl list' shows no such "
                "domain, 'xlstore destroy " +
                word + "'"};
}

// Nothing was asked of Xen: the row goes.
Error give_up(xlstore_store* store, const xlstore_call& call, const std::string& word,
              Error failure)
{
    if (xlstore_destroy(store, word.c_str(), &call, nullptr) == XLSTORE_OK)
        failure.advice = "no domain was made; its row is destroyed";
    else
        failure.advice = "no domain was made; its row is there yet: " + last_error().message +
                         "; 'xlstore destroy " + word + "'";
    return failure;
}

struct CloseCreation {
    void operator()(xlstore_creation* creation) const { xlstore_creation_free(creation); }
};

}  // namespace

// The steps of xlstore.h. One that is killed with this process leaves its row to recovery.
Result<Status> create_without_qemu(const Arguments& arguments, std::int32_t domid,
                                   const std::string& document, const std::string& things)
{
    std::optional<Error> failure;
    const auto work = [&](auto* store, xlstore_call call, auto** out) -> int32_t {
        call.document_name = arguments.words[1].c_str();
        if (!things.empty()) call.things = things.c_str();
        xlstore_creation* begun = nullptr;
        int32_t status = xlstore_creation_begin(store, domid, document.c_str(), &call, &begun);
        if (status != XLSTORE_OK) return status;
        std::unique_ptr<xlstore_creation, CloseCreation> creation(begun);
        const std::string word = "id:" + std::to_string(xlstore_creation_id(begun));
        status = xlstore_creation_without_qemu(begun, &call);
        if (status != XLSTORE_OK) {
            auto error = last_error();
            creation.reset();  // recovery and destruction take its slow lock
            failure = give_up(store, call, word, std::move(error));
            return status;
        }
        bool began = false;
        std::optional<std::string> why;
        if (!arguments.command.empty()) why = run_builder(arguments.command, began);
        if (why) {
            creation.reset();
            failure = began ? settle_failed(store, call, word, *why)
                            : give_up(store, call, word, Error(Errc::refused, *why, ""));
            return XLSTORE_OK;
        }
        return xlstore_creation_finish(begun, &call, out);
    };
    const auto result = perform(arguments, work);
    if (failure) return *failure;
    return result ? tell(arguments, result->get()) : result.error();
}

}  // namespace xlstore::tools
