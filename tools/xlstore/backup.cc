// SPDX-License-Identifier: MIT
// backup, restore.
#include <cstdio>

#include "tools/common/finding_journal.hpp"
#include "tools/common/finding_line.hpp"
#include "tools/common/json_value.hpp"
#include "tools/xlstore/library.hpp"
#include "xlstore/recovery.h"

namespace xlstore::tools {

Result<Status> run_backup(const Arguments& arguments)
{
    const auto store = open_to_look(arguments);
    if (!store) return store.error();
    xlstore_result* result = nullptr;
    xlstore_backup(store->get(), arguments.words[0].c_str(), &result);
    if (!result) return last_error();
    return tell(arguments, ResultHandle(result).get());
}

namespace {

void tell_finding(const xlstore_finding* f, void* userdata)
{
    const auto& arguments = *static_cast<const Arguments*>(userdata);
    if (f->action == XLSTORE_ACTION_FIXED) journal_finding("xlstore", arguments.store, *f);
    if (arguments.json) return;
    if (f->if_left == 0 && f->action == XLSTORE_ACTION_NONE) return;
    std::printf("%s\n", plain(finding_line(*f)).c_str());
}

void print_restored(const Json& restored)
{
    for (const auto& domain : restored["domains"])
        std::printf("%s: %s\n", plain(domain["subject"].get<std::string>()).c_str(),
                    plain(domain["qemu"].get<std::string>()).c_str());
    if (!restored["kept"].is_null())
        std::printf("the database that was there before is %s\n",
                    plain(restored["kept"].get<std::string>()).c_str());
}

}  // namespace

Result<Status> run_restore(const Arguments& arguments)
{
    xlstore_restore_options options = XLSTORE_RESTORE_OPTIONS_INIT;
    options.program = "xlstore";
    options.flags = arguments.adopt ? XLSTORE_RESTORE_ADOPT : 0;
    options.timeout_ms = call_of(arguments).timeout_ms;
    if (!arguments.userdata.empty()) options.userdata_directory = arguments.userdata.c_str();
    options.found = tell_finding;
    options.userdata = const_cast<Arguments*>(&arguments);
    xlstore_result* result = nullptr;
    const int32_t status =
        xlstore_restore(arguments.store.c_str(), arguments.words[0].c_str(), &options, &result);
    const ResultHandle restored(result);
    if (status != XLSTORE_OK) return last_error();
    if (!arguments.json) print_restored(json_value(xlstore_result_json(result)));
    return tell(arguments, result);
}

}  // namespace xlstore::tools
