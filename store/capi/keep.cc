// SPDX-License-Identifier: MIT
// What is kept of domains that are over (R22).
#include "store/capi/handle.hpp"
#include "store/retired.hpp"

using namespace xlstore;        // NOLINT(google-build-using-namespace): this is its C face
using namespace xlstore::capi;  // NOLINT(google-build-using-namespace)

int32_t xlstore_retired_document(xlstore_store* store, const char* domain, char** json_out,
                                 char** things_out, int64_t* id_out, char** others_json_out)
{
    return guarded([&]() -> Result<void> {
        if (!json_out) return Error(Errc::invalid, "json_out: NULL");
        auto state = state_of(store);
        if (!state) return state.error();
        auto word = text_of(domain, "domain");
        if (!word) return word.error();
        Db& db = (*state)->store->db();
        const ReadTransaction at_once(db);
        const auto found = find_retired(db, *word);
        if (!found) return found.error();
        std::vector<std::string> ids;
        for (const auto other : found->others)
            ids.push_back(std::to_string(value_of(other)));
        std::unique_ptr<char[]> json(new_string(found->text));
        std::unique_ptr<char[]> others(others_json_out ? new_string(joined(ids)) : nullptr);
        char* const things =
            things_out && !found->things.empty() ? new_string(found->things) : nullptr;
        *json_out = json.release();
        if (things_out) *things_out = things;
        if (id_out) *id_out = value_of(found->id);
        if (others_json_out) *others_json_out = others.release();
        return {};
    });
}
