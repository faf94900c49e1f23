// SPDX-License-Identifier: MIT
// The .sql files of this directory, embedded at build time, in order. Step n brings the schema to
// user_version n.
#ifndef XLSTORE_SCHEMA_STEPS_HPP_
#define XLSTORE_SCHEMA_STEPS_HPP_

#include <cstdint>
#include <span>
#include <string_view>

namespace xlstore::schema {

/// "xlst": tells a store from any other SQLite file.
inline constexpr std::int64_t kApplicationId = 0x786c7374;

struct Step {
    std::string_view name;
    std::string_view sql;
};

[[nodiscard]] std::span<const Step> steps();

/// The schema's version in a store of this release.
[[nodiscard]] inline std::int64_t newest_version()
{
    return static_cast<std::int64_t>(steps().size());
}

/// A table, index, view or trigger of the newest version, as SQLite keeps it.
struct Object {
    std::string_view type;
    std::string_view name;
    std::string_view sql;
};

/// What the steps together make of an empty database, in an order in which it can be made (fold.cc).
[[nodiscard]] std::span<const Object> objects();

}  // namespace xlstore::schema

#endif  // XLSTORE_SCHEMA_STEPS_HPP_
