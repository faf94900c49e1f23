// SPDX-License-Identifier: MIT
// The .sql files of this directory, embedded at build time, in order. Step n brings the schema of
// a fleet's database to version n.
#ifndef XLSTORE_TOOLS_FLEET_SCHEMA_STEPS_HPP_
#define XLSTORE_TOOLS_FLEET_SCHEMA_STEPS_HPP_

#include <cstdint>
#include <span>
#include <string_view>

namespace xlstore::fleet::schema {

struct Step {
    std::string_view name;
    std::string_view sql;
};

[[nodiscard]] std::span<const Step> steps();

[[nodiscard]] inline std::int64_t newest_version()
{
    return static_cast<std::int64_t>(steps().size());
}

}  // namespace xlstore::fleet::schema

#endif  // XLSTORE_TOOLS_FLEET_SCHEMA_STEPS_HPP_
