// SPDX-License-Identifier: MIT
// Options are checked against the open store before anything runs. The answer has the status of the
// passes twice: as xlfsck's bits in the JSON, and as one code of this interface. Nothing left is
// OK; problems that xlfsck would leave are refused; all else, such as a QEMU that did not answer,
// is in doubt.
#include "recovery/capi/finding.hpp"
#include "recovery/runs/recover.hpp"
#include "store/capi/handle.hpp"
#include "store/text/json_text.hpp"
#include "xlstore/recovery.h"

namespace xlstore::capi {

namespace {

using recovery::Exit;

constexpr unsigned bit(Exit exit)
{
    return static_cast<unsigned>(exit);
}
static_assert(bit(Exit::corrected) == XLSTORE_FSCK_CORRECTED);
static_assert(bit(Exit::outside) == XLSTORE_FSCK_OUTSIDE);
static_assert(bit(Exit::left) == XLSTORE_FSCK_LEFT);
static_assert(bit(Exit::blind) == XLSTORE_FSCK_BLIND);
static_assert(static_cast<int>(recovery::Action::failed) == XLSTORE_ACTION_FAILED);

// One at a time: a second one would find what the first is about to repair, and ask for it again.
class Recovering {
public:
    explicit Recovering(bool& recovering) noexcept : recovering_(recovering) { recovering_ = true; }
    Recovering(const Recovering&) = delete;
    Recovering& operator=(const Recovering&) = delete;
    ~Recovering() { recovering_ = false; }

private:
    bool& recovering_;
};

Work recover_work(State& state, recovery::Options options)
{
    if (state.recovering)
        co_return Error(Errc::busy, "a recovery is under way on this handle",
                        "wait for it, or open the store once more for another");
    const Recovering recovering(state.recovering);
    Store& store = *state.store;
    auto report = co_await recovery::recover(store, std::move(options));
    if (!report) co_return std::move(report).error();
    const unsigned open = report->exit_bits & ~bit(Exit::corrected);
    Answer answer;
    answer.status = open == 0                 ? XLSTORE_OK
                    : open == bit(Exit::left) ? XLSTORE_E_REFUSED
                                              : XLSTORE_E_IN_DOUBT;
    in_words(answer, [&](Answer& words) {
        words.message = std::to_string(report->found) + " found, " +
                        std::to_string(report->corrected) + " corrected";
        words.json = json_object({{"found", std::to_string(report->found)},
                                  {"corrected", std::to_string(report->corrected)},
                                  {"notes", std::to_string(report->notes)},
                                  {"fsck_status", std::to_string(report->exit_bits)}});
    });
    co_return answer;
}

Result<Work> recover_of(State& state, const xlstore_recover_options* given)
{
    auto options = taken(given, xlstore_recover_options XLSTORE_RECOVER_OPTIONS_INIT, "options");
    if (!options) return options.error();
    const auto& o = *options;
    if ((o.flags & ~(XLSTORE_RECOVER_EVICT | XLSTORE_RECOVER_WHOLE | XLSTORE_RECOVER_PAGES)) != 0)
        return Error(Errc::invalid, "options: flags has bits that are none of XLSTORE_RECOVER_");
    recovery::Options how;
    switch (o.mode) {
    case 0:
    case XLSTORE_RECOVER_PREEN:
        how.mode = recovery::Mode::preen;
        break;
    case XLSTORE_RECOVER_LOOK:
        how.mode = recovery::Mode::look;
        break;
    case XLSTORE_RECOVER_YES:
        how.mode = recovery::Mode::yes;
        break;
    case XLSTORE_RECOVER_ASK:
        if (!o.answer) return Error(Errc::invalid, "options: answer is NULL");
        how.mode = recovery::Mode::ask;
        break;
    default:
        return Error(Errc::invalid, "options: mode is none of XLSTORE_RECOVER_");
    }
    how.evict = (o.flags & XLSTORE_RECOVER_EVICT) != 0;
    how.whole = (o.flags & XLSTORE_RECOVER_WHOLE) != 0;
    how.every_page = (o.flags & XLSTORE_RECOVER_PAGES) != 0;
    // No unattended run takes a device from a guest.
    if (how.evict && how.mode == recovery::Mode::preen)
        return Error(Errc::invalid, "options: evicting takes things out of a running guest",
                     "that needs XLSTORE_RECOVER_YES, or answers");
    if (how.mode != recovery::Mode::look && state.store->session() == 0)
        return Error(Errc::readonly, "the store was opened read-only",
                     "nothing was changed; look with XLSTORE_RECOVER_LOOK, or open it without "
                     "read_only");
    if (o.domain) {
        auto row = domain_of(state, o.domain);
        if (!row) return row.error();
        how.only = row->id;
    }
    if (o.timeout_ms) how.timeout_each = std::chrono::milliseconds(o.timeout_ms);
    if (o.found)
        how.found = [o](const recovery::Finding& finding) {
            o.found(ToldFinding(recovery::problem(finding.code), finding).get(), o.userdata);
        };
    if (o.answer)
        how.answer = [o](const recovery::Problem& about, const recovery::Subject& subject) {
            const recovery::Finding finding{
                about.code, subject.domid, subject.intent, subject.text, subject.evidence, {}, {}};
            return o.answer(ToldFinding(about, finding).get(), o.userdata) != 0;
        };
    if (o.progress)
        how.progress = [o](int pass, int done, int of) { o.progress(pass, done, of, o.userdata); };
    return recover_work(state, std::move(how));
}

}  // namespace

}  // namespace xlstore::capi

using namespace xlstore::capi;  // NOLINT(google-build-using-namespace): this is its C face

int32_t xlstore_recover(xlstore_store* store, const xlstore_recover_options* options,
                        xlstore_result** result_out)
{
    return wait_for(
        store, result_out, [&](State& state) { return recover_of(state, options); }, state_of);
}

int32_t xlstore_recover_start(xlstore_store* store, const xlstore_recover_options* options,
                              xlstore_callback callback, void* userdata, xlstore_op** op_out)
{
    return start(
        store, callback, userdata, op_out, [&](State& state) { return recover_of(state, options); },
        state_of);
}

void xlstore_recover_options_init(xlstore_recover_options* options, size_t size)
{
    static constexpr xlstore_recover_options standard = XLSTORE_RECOVER_OPTIONS_INIT;
    init(options, size, standard);
}
