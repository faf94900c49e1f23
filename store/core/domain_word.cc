// SPDX-License-Identifier: MIT
// A prefix decides how a word is read. A bare one is tried as a domid, a uuid and a name, in this
// order: numbers and uuids are given by Xen, and a name that looks like one of them can be said as
// name:….
#include "store/core/domain_word.hpp"

#include <algorithm>
#include <cctype>

#include "store/text/number_text.hpp"

namespace xlstore {

namespace {

constexpr std::string_view kIncarnation = "id:";

Reading by_uuid(std::string_view word)
{
    std::string uuid(word);
    std::transform(uuid.begin(), uuid.end(), uuid.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return {NamedBy::uuid, std::move(uuid)};
}

}  // namespace

std::vector<Reading> readings_of(std::string_view word)
{
    std::vector<Reading> readings;
    const auto add_domid = [&](std::string_view value) {
        if (const auto domid = parse_number<std::int64_t>(value))
            readings.push_back({NamedBy::domid, *domid});
    };
    if (word.starts_with("domid:")) {
        add_domid(word.substr(6));
    } else if (word.starts_with("uuid:")) {
        readings.push_back(by_uuid(word.substr(5)));
    } else if (word.starts_with("name:")) {
        readings.push_back({NamedBy::name, std::string(word.substr(5))});
    } else {
        add_domid(word);
        readings.push_back(by_uuid(word));
        readings.push_back({NamedBy::name, std::string(word)});
    }
    return readings;
}

std::optional<std::int64_t> incarnation_of(std::string_view word)
{
    if (!word.starts_with(kIncarnation)) return std::nullopt;
    return parse_number<std::int64_t>(word.substr(kIncarnation.size()));
}

Statement prepare_reading(Db& db, const char* sql, const Reading& reading)
{
    auto rows = db.prepare(sql);
    std::visit([&](const auto& value) { rows.bind(value); }, reading.value);
    return rows;
}

}  // namespace xlstore
