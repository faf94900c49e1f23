// SPDX-License-Identifier: MIT
#include "tools/xlstore/look_rounds.hpp"

#include <algorithm>
#include <utility>

#include "store/text/number_text.hpp"
#include "tools/common/json_value.hpp"
#include "tools/xlstore/found_domain.hpp"

namespace xlstore::tools {

bool LookSchedule::is_due(std::int64_t incarnation, LookClock::time_point now) const
{
    const auto turn = turns_.find(incarnation);
    return turn == turns_.end() || turn->second.next <= now;
}

std::chrono::seconds LookSchedule::asked(std::int64_t incarnation, bool silent,
                                         LookClock::time_point now)
{
    auto& turn = turns_[incarnation];
    turn.wait = silent && turn.wait.count() > 0 ? std::min(turn.wait * 2, kLookSeldom) : kLookEvery;
    turn.next = now + turn.wait;
    return turn.wait;
}

void LookSchedule::keep_only(const std::set<std::int64_t>& incarnations)
{
    std::erase_if(turns_, [&](const auto& turn) { return !incarnations.contains(turn.first); });
}

LookRounds::~LookRounds()
{
    for (const auto& [id, asked] : under_way_)
        xlstore_op_forget(asked.op);
}

Result<void> LookRounds::ask_those_due()
{
    constexpr std::size_t at_a_time = 64;
    const auto rows = query_rows(arguments_, store_, "SELECT incarnation FROM domains", {});
    if (!rows) return rows.error();
    std::set<std::int64_t> living;
    for (const auto& row : *rows)
        living.insert(parse_number<std::int64_t>(row[0].value_or("")).value_or(0));
    schedule_.keep_only(living);
    std::erase_if(looks_, [&](const auto& look) { return !living.contains(look.first); });
    const auto now = LookClock::now();
    const xlstore_call call = call_of(arguments_);
    for (const auto id : living) {
        if (under_way_.size() >= at_a_time) break;
        if (under_way_.contains(id) || !schedule_.is_due(id, now)) continue;
        auto& asked = under_way_[id];
        asked.rounds = this;
        const auto word = "id:" + std::to_string(id);
        if (xlstore_look_at_qemus_start(store_, word.c_str(), &call, ended, &asked, &asked.op) !=
            XLSTORE_OK)
            under_way_.erase(id);  // it went meanwhile
    }
    return {};
}

void LookRounds::ended(xlstore_result* result, void* userdata)
{
    auto& self = *static_cast<Asked*>(userdata)->rounds;
    const auto place = std::ranges::find_if(
        self.under_way_, [&](const auto& asked) { return &asked.second == userdata; });
    const auto id = place->first;
    self.under_way_.erase(place);
    self.news_ = true;
    if (xlstore_result_status(result) != XLSTORE_OK) return;
    auto look = json_value(xlstore_result_json(result))["domains"][0];
    const bool silent = look["answer"] == "silent";
    const auto wait = self.schedule_.asked(id, silent, LookClock::now());
    if (silent && wait > kLookEvery)
        look["doing"] = look["doing"].get<std::string>() + ", asked again in " +
                        std::to_string(wait.count()) + " s";
    self.looks_[id] = json_text(look);
}

bool LookRounds::take_news()
{
    return std::exchange(news_, false);
}

std::string LookRounds::looks() const
{
    std::string all;
    for (const auto& [id, look] : looks_)
        all += (all.empty() ? "" : ",") + look;
    return "[" + all + "]";
}

}  // namespace xlstore::tools
