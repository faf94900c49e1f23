// SPDX-License-Identifier: MIT
// A backup put back, from C.
#include "recovery/capi/finding.hpp"
#include "recovery/runs/restore.hpp"
#include "store/text/json_text.hpp"
#include "xlstore/recovery.h"

namespace xlstore::capi {

namespace {

constexpr std::uint32_t kKnownFlags = XLSTORE_RESTORE_ADOPT;

std::string json_of(const recovery::Restored& restored)
{
    std::vector<std::string> domains;
    for (const auto& domain : restored.domains)
        domains.push_back(json_object({{"domid", std::to_string(domain.domid)},
                                       {"subject", json_quote(domain.subject)},
                                       {"qemu", json_quote(domain.text)}}));
    return json_object(
        {{"commits", std::to_string(restored.commits)},
         {"kept", restored.kept.empty() ? "null" : json_quote(restored.kept)},
         {"domains", joined(domains)},
         {"found", std::to_string(restored.report.found)},
         {"corrected", std::to_string(restored.report.corrected)},
         {"fsck_status", std::to_string(restored.report.exit_bits)}});
}

Result<std::unique_ptr<xlstore_result>> restore_to(const char* directory, const char* file,
                                                   const xlstore_restore_options* given)
{
    auto where = path_of(directory, "directory");
    if (!where) return where.error();
    auto name = path_of(file, "file");
    if (!name) return name.error();
    auto options = taken(given, xlstore_restore_options XLSTORE_RESTORE_OPTIONS_INIT, "options",
                         offsetof(xlstore_restore_options, error));
    if (!options) return options.error();
    const auto& o = *options;
    if ((o.flags & ~kKnownFlags) != 0)
        return Error(Errc::invalid, "options: flags has bits that are none of XLSTORE_RESTORE_");
    if (auto order = LockOrder::may_block(); !order) return order.error();
    StoreOptions store;
    store.directory = *std::move(where);
    store.program = o.program ? o.program : "libxlstore";
    recovery::RestoreOptions how;
    how.file = *std::move(name);
    how.adopt = (o.flags & XLSTORE_RESTORE_ADOPT) != 0;
    if (o.userdata_directory) how.userdata = o.userdata_directory;
    if (o.timeout_ms) {
        store.open_timeout = std::chrono::milliseconds(o.timeout_ms);
        how.timeout_each = std::chrono::milliseconds(o.timeout_ms);
    }
    if (o.found)
        how.found = [o](const recovery::Finding& finding) {
            o.found(ToldFinding(recovery::problem(finding.code), finding).get(), o.userdata);
        };
    auto result = std::make_unique<xlstore_result>();  // before anything is done
    auto restored = recovery::restore(store, std::move(how));
    if (!restored) return std::move(restored).error();
    result->message = std::to_string(restored->domains.size()) + " domains; " +
                      std::to_string(restored->report.found) + " found, " +
                      std::to_string(restored->report.corrected) + " corrected";
    result->json = json_of(*restored);
    return result;
}

}  // namespace

}  // namespace xlstore::capi

using namespace xlstore::capi;  // NOLINT(google-build-using-namespace): this is its C face

int32_t xlstore_restore(const char* directory, const char* file,
                        const xlstore_restore_options* options, xlstore_result** result_out)
{
    const int32_t status = guarded([&]() -> xlstore::Result<void> {
        auto result = restore_to(directory, file, options);
        if (!result) return std::move(result).error();
        if (result_out) *result_out = result->release();
        return {};
    });
    if (status != XLSTORE_OK && result_out && !*result_out) *result_out = failed_result();
    if (options && options->struct_size >= sizeof *options) give_error_to(options->error);
    return status;
}

void xlstore_restore_options_init(xlstore_restore_options* options, size_t size)
{
    static constexpr xlstore_restore_options standard = XLSTORE_RESTORE_OPTIONS_INIT;
    init(options, size, standard);
}
