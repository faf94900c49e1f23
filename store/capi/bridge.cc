// SPDX-License-Identifier: MIT
// The bridge to libxl's own files.
#include "store/bridge/bridge.hpp"
#include "store/base/limits.hpp"
#include "store/capi/handle.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::capi {

namespace {

std::string_view word_of(BridgeDifference::Right right)
{
    switch (right) {
    case BridgeDifference::Right::store:
        return "store";
    case BridgeDifference::Right::file:
        return "file";
    case BridgeDifference::Right::neither:
        return "neither";
    case BridgeDifference::Right::unknown:
        break;
    }
    return "unknown";
}

std::string json_of(const BridgeDifference& one)
{
    return json_object({{"thing", json_quote(one.thing.text())},
                        {"store", one.in_store ? json_or_string(*one.in_store) : "null"},
                        {"file", one.in_file.value_or("null")},
                        {"state", one.state.empty() ? "null" : json_quote(one.state)},
                        {"pending", one.pending ? "true" : "false"},
                        {"right", json_quote(word_of(one.right))},
                        {"evidence", json_quote(one.evidence)}});
}

std::string json_of(const BridgedDomain& one)
{
    std::vector<std::string> differences;
    for (const auto& difference : one.differences)
        differences.push_back(json_of(difference));
    return json_object({{"domid", std::to_string(one.domid)},
                        {"uuid", json_quote(one.uuid)},
                        {"name", json_quote(one.name)},
                        {"in_store", one.in_store ? "true" : "false"},
                        {"file", one.file.empty() ? "null" : json_quote(one.file)},
                        {"trouble", one.trouble ? json_quote(one.trouble->message) : "null"},
                        {"differences", joined(differences)}});
}

Answer answer_of(const std::vector<BridgedDomain>& domains, std::string_view what)
{
    Answer answer;
    in_words(answer, [&](Answer& words) {
        std::vector<std::string> objects;
        std::size_t different = 0;
        for (const auto& one : domains) {
            objects.push_back(json_of(one));
            if (!one.differences.empty() || one.trouble || !one.in_store || one.file.empty())
                ++different;
        }
        words.message = std::string(what) + ": " + std::to_string(domains.size()) + " domains, " +
                        std::to_string(different) + " of them differ";
        words.json = json_object({{"result", json_quote("done")}, {"domains", joined(objects)}});
    });
    return answer;
}

Work status_work(Store& store, libxl::HostDirectories where, std::optional<std::string> only,
                 Deadline until)
{
    auto domains = co_await bridge_status(store, std::move(where), std::move(only), until);
    if (!domains) co_return std::move(domains).error();
    co_return answer_of(*domains, "bridge");
}

Work sync_work(Store& store, libxl::HostDirectories where, std::optional<std::string> only,
               Deadline until)
{
    auto domains = co_await bridge_sync(store, std::move(where), std::move(only), until);
    if (!domains) co_return std::move(domains).error();
    co_return answer_of(*domains, "libxl's files are in the store");
}

Work write_work(Store& store, libxl::HostDirectories where, DomainRow domain, Deadline until)
{
    auto one = co_await bridge_write(store, std::move(where), std::move(domain), until);
    if (!one) co_return std::move(one).error();
    std::vector<BridgedDomain> all;
    all.push_back(*std::move(one));
    co_return answer_of(all, all.front().file + " is written");
}

}  // namespace

}  // namespace xlstore::capi

using namespace xlstore;        // NOLINT(google-build-using-namespace): this is its C face
using namespace xlstore::capi;  // NOLINT(google-build-using-namespace)

int32_t xlstore_bridge(xlstore_store* store, uint32_t what, const char* domain, const char* root,
                       const xlstore_call* call, xlstore_result** result_out)
{
    const auto prepare = [&](State& state) -> Result<Work> {
        const auto until = deadline_of(call, limits::operation_timeout);
        if (!until) return until.error();
        const libxl::HostDirectories where(root ? root : "");
        std::optional<std::string> only;
        if (domain) {
            auto word = text_of(domain, "domain");
            if (!word) return word.error();
            only = *std::move(word);
        }
        Store& opened = *state.store;
        switch (what) {
        case XLSTORE_BRIDGE_STATUS:
            return status_work(opened, where, std::move(only), *until);
        case XLSTORE_BRIDGE_SYNC:
            return sync_work(opened, where, std::move(only), *until);
        case XLSTORE_BRIDGE_WRITE: {
            auto row = domain_of(state, domain);
            if (!row) return row.error();
            return write_work(opened, where, *std::move(row), *until);
        }
        default:
            return Error(Errc::invalid, "what: none of XLSTORE_BRIDGE_");
        }
    };
    return wait_for(store, result_out, prepare,
                    what == XLSTORE_BRIDGE_STATUS ? state_of : writer_of);
}
