// SPDX-License-Identifier: MIT
// A backup of the store.
#include "store/keep/backup.hpp"

#include "store/capi/handle.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::capi {

namespace {

Work backup_work(Store& store, std::string file)
{
    auto backup = take_backup(store, file);
    if (!backup) co_return std::move(backup).error();
    Answer answer;
    in_words(answer, [&](Answer& words) {
        words.message = backup->file + ": " + std::to_string(backup->domains) + " domains, " +
                        std::to_string(backup->bytes) + " bytes";
        words.json = json_object({{"file", json_quote(backup->file)},
                                  {"domains", std::to_string(backup->domains)},
                                  {"commits", std::to_string(backup->commits)},
                                  {"bytes", std::to_string(backup->bytes)}});
    });
    co_return answer;
}

}  // namespace

}  // namespace xlstore::capi

using namespace xlstore::capi;  // NOLINT(google-build-using-namespace): this is its C face

int32_t xlstore_backup(xlstore_store* store, const char* file, xlstore_result** result_out)
{
    return wait_without_slow(
        store, result_out,
        [&](State& state) -> xlstore::Result<Work> {
            auto name = path_of(file, "file");
            if (!name) return name.error();
            return backup_work(*state.store, *std::move(name));
        },
        state_of);
}
