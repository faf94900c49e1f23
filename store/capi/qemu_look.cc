// SPDX-License-Identifier: MIT
// What QEMUs are doing now.
#include "store/capi/handle.hpp"
#include "store/lifecycle/qemu_look.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::capi {

namespace {

std::string_view answer_name(QemuLook::Answer answer)
{
    switch (answer) {
    case QemuLook::Answer::answered:
        return "answered";
    case QemuLook::Answer::silent:
        return "silent";
    case QemuLook::Answer::busy:
        return "busy";
    case QemuLook::Answer::unasked:
        return "unasked";
    case QemuLook::Answer::none:
        break;
    }
    return "none";
}

std::string_view life_name(QemuLife::Seen seen)
{
    switch (seen) {
    case QemuLife::Seen::alive:
        return "alive";
    case QemuLife::Seen::dead:
        return "dead";
    case QemuLife::Seen::unseen:
        return "unseen";
    case QemuLife::Seen::none:
        break;
    }
    return "none";
}

std::string json_of(const DomainRow& domain, const QemuLook& look)
{
    const std::string& why = look.why.empty() ? look.life.why : look.why;
    return json_object({{"domid", std::to_string(domain.domid)},
                        {"id", std::to_string(value_of(domain.id))},
                        {"name", json_quote(domain.name)},
                        {"qemu", json_quote(life_name(look.life.seen))},
                        {"answer", json_quote(answer_name(look.answer))},
                        {"run_state", look.run_state.empty() ? "null" : json_quote(look.run_state)},
                        {"stopped", look.stopped ? "true" : "false"},
                        {"doing", json_quote(look.doing())},
                        {"why", why.empty() ? "null" : json_quote(why)},
                        {"looked_us", std::to_string(look.life.at_us)}});
}

Work look_work(Store& store, std::vector<DomainRow> domains, std::chrono::milliseconds each)
{
    const auto looks = co_await look_at_qemus(store, domains, each);
    Answer answer;
    in_words(answer, [&](Answer& words) {
        std::vector<std::string> objects;
        for (std::size_t i = 0; i < domains.size(); ++i)
            objects.push_back(json_of(domains[i], looks[i]));
        words.message = std::to_string(domains.size()) + " domains were looked at";
        words.json = json_object({{"result", json_quote("done")}, {"domains", joined(objects)}});
    });
    co_return answer;
}

Result<Work> prepare_look(State& state, const char* domain, const xlstore_call* call)
{
    constexpr auto standard = kLookTimeout;
    if (const auto checked = deadline_of(call, standard); !checked) return checked.error();
    const auto each =
        call && call->timeout_ms > 0 ? std::chrono::milliseconds(call->timeout_ms) : standard;
    std::vector<DomainRow> domains;
    if (domain) {
        auto found = domain_of(state, domain);
        if (!found) return found.error();
        domains.push_back(*std::move(found));
    } else {
        domains = living_domains(state.store->db());
    }
    return look_work(*state.store, std::move(domains), each);
}

}  // namespace

}  // namespace xlstore::capi

using namespace xlstore;        // NOLINT(google-build-using-namespace): this is its C face
using namespace xlstore::capi;  // NOLINT(google-build-using-namespace)

int32_t xlstore_look_at_qemus(xlstore_store* store, const char* domain, const xlstore_call* call,
                              xlstore_result** result_out)
{
    return wait_for(
        store, result_out, [&](State& state) { return prepare_look(state, domain, call); },
        state_of);
}

int32_t xlstore_look_at_qemus_start(xlstore_store* store, const char* domain,
                                    const xlstore_call* call, xlstore_callback callback,
                                    void* userdata, xlstore_op** op_out)
{
    return start(
        store, callback, userdata, op_out,
        [&](State& state) { return prepare_look(state, domain, call); }, state_of);
}
