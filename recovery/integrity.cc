// SPDX-License-Identifier: MIT
#include "recovery/integrity.hpp"

#include <sqlite3.h>

#include <charconv>
#include <string_view>

#include "recovery/damaged_database.hpp"
#include "store/error.hpp"

namespace xlstore::recovery {

namespace {

// Of what SQLite says of a damaged file; there may be thousands.
constexpr int kLinesShown = 3;

bool is_of_index(const std::string& line)
{
    for (const char* words :
         {"missing from index ", "wrong # of entries in index ", "non-unique entry in index "})
        if (line.find(words) != std::string::npos) return true;
    return false;
}

}  // namespace

int unread_in(const std::string& line)
{
    constexpr std::string_view kCode = "error code=";
    const auto at = line.rfind(kCode);
    if (at == std::string::npos) return 0;
    int code = 0;
    std::from_chars(line.data() + at + kCode.size(), line.data() + line.size(), code);
    return is_damage(DbError(code, "")) ? 0 : code;
}

Integrity integrity_of(Db& db)
{
    Integrity found;
    int count = 0;
    const auto add = [&](const std::string& line, bool of_index) {
        found.indexes_alone = found.indexes_alone && of_index;
        if (++count > kLinesShown) return;
        found.lines += (found.lines.empty() ? "" : "; ") + words_of_sqlite(line);
    };
    auto integrity = db.prepare("PRAGMA integrity_check(100)");
    while (integrity.step()) {
        const auto text = integrity.text(0);
        if (text == "ok") break;
        if (const int code = unread_in(text); code != 0)
            throw DbError(code, "database: " + words_of_sqlite(text) + ": " + sqlite3_errstr(code));
        add(text, is_of_index(text));
    }
    auto keys = db.prepare("PRAGMA foreign_key_check");
    while (keys.step())
        add("a row of " + keys.text(0) + " names a missing row of " + keys.text(2), false);
    if (count > kLinesShown) found.lines += "; " + std::to_string(count) + " in all";
    return found;
}

}  // namespace xlstore::recovery
