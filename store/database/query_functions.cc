// SPDX-License-Identifier: MIT
// A pattern is matched with one place to go back to, the last '%' or '*' that was met: what an
// earlier one could have matched otherwise, the last one can as well. So its time is the product of
// both lengths at most, and the clock is looked at meanwhile. Text ends at its first NUL, as SQLite
// has it for patterns.
#include "store/database/query_functions.hpp"

#include <sqlite3.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "store/base/error.hpp"

namespace xlstore {

namespace {

thread_local const Deadline* functions_end = nullptr;

class Ticks {
public:
    /// Is the time over? Looks at the clock now and then.
    [[nodiscard]] bool over() noexcept
    {
        constexpr unsigned kBetweenLooks = 4096;
        return ++count_ % kBetweenLooks == 0 && functions_end && Clock::now() >= *functions_end;
    }

private:
    unsigned count_ = 0;
};

bool continues(char byte) noexcept
{
    return (static_cast<unsigned char>(byte) & 0xc0U) == 0x80U;
}

// Bytes of the character at the front; REQUIRES that there is one.
std::size_t character_size(std::string_view text) noexcept
{
    std::size_t size = 1;
    if (static_cast<unsigned char>(text[0]) >= 0xc0U)
        while (size < text.size() && continues(text[size]))
            ++size;
    return size;
}

std::string_view take_character(std::string_view& text) noexcept
{
    const auto one = text.substr(0, character_size(text));
    text.remove_prefix(one.size());
    return one;
}

char lower(char c) noexcept
{
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// What a pattern is made of. A text of no length stands for no such character.
struct Signs {
    std::string_view many;
    std::string_view one;
    std::string_view set;
    std::string_view escape;
    bool fold = false;
};

bool starts(std::string_view text, std::string_view sign) noexcept
{
    return !sign.empty() && text.starts_with(sign);
}

// [abc], [a-z], [^abc], []abc]: in the order of the bytes, in UTF-8 that of the characters.
// Takes the set off `pattern`. False: `one` is not in it, or the set has no end.
bool in_set(std::string_view& pattern, std::string_view one) noexcept
{
    bool seen = false;
    std::string_view before;
    const auto is_next = [&](char c) { return !pattern.empty() && pattern[0] == c; };
    const bool inverted = is_next('^');
    if (inverted) pattern.remove_prefix(1);
    if (is_next(']')) {
        seen = one == "]";
        pattern.remove_prefix(1);
    }
    while (!pattern.empty() && pattern[0] != ']') {
        const auto member = take_character(pattern);
        if (member == "-" && !before.empty() && !pattern.empty() && !is_next(']')) {
            const auto last = take_character(pattern);
            seen = seen || (one >= before && one <= last);
            before = {};
        } else {
            seen = seen || one == member;
            before = member;
        }
    }
    if (pattern.empty()) return false;
    pattern.remove_prefix(1);
    return seen != inverted;
}

// One element of the pattern against one character; takes both off where they match.
bool match_one(std::string_view& pattern, std::string_view& text, const Signs& signs) noexcept
{
    if (pattern.empty()) return false;
    std::string_view rest = pattern;
    std::string_view of = text;
    const auto one = take_character(of);
    const bool escaped = starts(rest, signs.escape);
    if (escaped) rest.remove_prefix(signs.escape.size());
    if (rest.empty()) return false;
    if (!escaped && starts(rest, signs.set)) {
        rest.remove_prefix(1);
        if (!in_set(rest, one)) return false;
    } else if (!escaped && starts(rest, signs.one)) {
        rest.remove_prefix(signs.one.size());
    } else {
        const auto wanted = take_character(rest);
        const bool same = wanted == one || (signs.fold && wanted.size() == 1 && one.size() == 1 &&
                                            lower(wanted[0]) == lower(one[0]));
        if (!same) return false;
    }
    pattern = rest;
    text = of;
    return true;
}

// The byte that a text has to have where this pattern begins to match. Nothing: there are several.
std::optional<char> first_byte(std::string_view pattern, const Signs& signs) noexcept
{
    if (pattern.empty() || starts(pattern, signs.one) || starts(pattern, signs.set) ||
        starts(pattern, signs.escape))
        return std::nullopt;
    const char first = pattern[0];
    const bool letter = lower(first) >= 'a' && lower(first) <= 'z';
    if (signs.fold && letter) return std::nullopt;
    return first;
}

// Nothing: the time is over.
std::optional<bool> matches(std::string_view pattern, std::string_view text, const Signs& signs)
{
    std::optional<std::string_view> after_many;
    std::string_view from;
    Ticks ticks;
    for (;;) {
        if (ticks.over()) return std::nullopt;
        if (starts(pattern, signs.many)) {
            pattern.remove_prefix(signs.many.size());
            after_many = pattern;
            from = text;
            continue;
        }
        if (text.empty() && pattern.empty()) return true;
        if (!text.empty() && match_one(pattern, text, signs)) continue;
        if (!after_many || from.empty()) return false;
        (void)take_character(from);
        pattern = *after_many;
        if (const auto first = first_byte(pattern, signs)) {
            const auto at = from.find(*first);
            if (at == std::string_view::npos) return false;
            from.remove_prefix(at);
        }
        text = from;
    }
}

std::string_view bytes_of(sqlite3_value* value) noexcept
{
    const auto* bytes = static_cast<const char*>(sqlite3_value_blob(value));
    return bytes ? std::string_view(bytes, static_cast<std::size_t>(sqlite3_value_bytes(value)))
                 : std::string_view();
}

/// As text, a number too. Nothing: NULL.
std::optional<std::string_view> text_of(sqlite3_value* value) noexcept
{
    const auto* text = reinterpret_cast<const char*>(sqlite3_value_text(value));
    if (!text) return std::nullopt;
    return std::string_view(text, static_cast<std::size_t>(sqlite3_value_bytes(value)));
}

std::string_view up_to_nul(std::string_view text) noexcept
{
    return text.substr(0, text.find('\0'));
}

void tell_match(sqlite3_context* context, sqlite3_value** arguments, const Signs& signs)
{
    static const bool blobs_match = sqlite3_compileoption_used("LIKE_DOESNT_MATCH_BLOBS") == 0;
    const bool has_blob = sqlite3_value_type(arguments[0]) == SQLITE_BLOB ||
                          sqlite3_value_type(arguments[1]) == SQLITE_BLOB;
    if (has_blob && !blobs_match) return sqlite3_result_int(context, 0);
    const auto pattern = text_of(arguments[0]);
    const auto text = text_of(arguments[1]);
    const int most =
        sqlite3_limit(sqlite3_context_db_handle(context), SQLITE_LIMIT_LIKE_PATTERN_LENGTH, -1);
    if (sqlite3_value_bytes(arguments[0]) > most)
        return sqlite3_result_error(context, "LIKE or GLOB pattern too complex", -1);
    if (!pattern || !text) return;
    const auto matched = matches(up_to_nul(*pattern), up_to_nul(*text), signs);
    if (!matched) return sqlite3_result_error_code(context, SQLITE_INTERRUPT);
    sqlite3_result_int(context, *matched ? 1 : 0);
}

void like(sqlite3_context* context, int count, sqlite3_value** arguments)
{
    Signs signs{"%", "_", {}, {}, true};
    if (count == 3) {
        const auto escape = text_of(arguments[2]);
        if (!escape) return;
        if (escape->empty() || character_size(*escape) != escape->size())
            return sqlite3_result_error(context, "ESCAPE expression must be a single character",
                                        -1);
        signs.escape = *escape;
        if (signs.many == *escape) signs.many = {};
        if (signs.one == *escape) signs.one = {};
    }
    tell_match(context, arguments, signs);
}

void glob(sqlite3_context* context, int, sqlite3_value** arguments)
{
    tell_match(context, arguments, Signs{"*", "?", "[", {}, false});
}

// The first of `part`, which is not empty; nullptr: none. A sanitizer checks all of `whole` for
// each memmem, and for memchr what it has read: with many of one byte that makes a minute.
const char* first_of(std::string_view whole, std::string_view part)
{
    if (whole.empty()) return nullptr;  // of no value, too, which has no address
    const void* at = part.size() == 1
                         ? memchr(whole.data(), part[0], whole.size())
                         : memmem(whole.data(), whole.size(), part.data(), part.size());
    return static_cast<const char*>(at);
}

// From 1; in characters, or of two blobs in bytes; 0: it is not in there.
void instr(sqlite3_context* context, int, sqlite3_value** arguments)
{
    const int whole_type = sqlite3_value_type(arguments[0]);
    const int part_type = sqlite3_value_type(arguments[1]);
    if (whole_type == SQLITE_NULL || part_type == SQLITE_NULL) return;
    const bool in_bytes = whole_type == SQLITE_BLOB && part_type == SQLITE_BLOB;
    const auto whole = in_bytes ? bytes_of(arguments[0]) : text_of(arguments[0]).value_or("");
    const auto part = in_bytes ? bytes_of(arguments[1]) : text_of(arguments[1]).value_or("");
    if (part.empty()) return sqlite3_result_int(context, 1);
    const char* at = first_of(whole, part);
    if (!at) return sqlite3_result_int(context, 0);
    const auto before = whole.substr(0, static_cast<std::size_t>(at - whole.data()));
    const auto characters =
        in_bytes ? static_cast<std::int64_t>(before.size())
                 : std::count_if(before.begin(), before.end(),
                                 [](char c) { return !continues(c); });
    sqlite3_result_int64(context, characters + 1);
}

void replace(sqlite3_context* context, int, sqlite3_value** arguments)
{
    const auto text = text_of(arguments[0]);
    const auto part = text_of(arguments[1]);
    const auto by = text_of(arguments[2]);
    if (!text || !part) return;
    if (part->empty() || (*part)[0] == '\0') return sqlite3_result_value(context, arguments[0]);
    if (!by) return;
    const auto most = static_cast<std::size_t>(
        sqlite3_limit(sqlite3_context_db_handle(context), SQLITE_LIMIT_LENGTH, -1));
    std::string made;
    std::string_view rest = *text;
    for (;;) {
        const char* at = first_of(rest, *part);
        if (!at) break;
        const auto before = static_cast<std::size_t>(at - rest.data());
        made.append(rest.substr(0, before)).append(*by);
        rest.remove_prefix(before + part->size());
        if (made.size() > most) return sqlite3_result_error_toobig(context);
    }
    made.append(rest);
    if (made.size() > most) return sqlite3_result_error_toobig(context);
    sqlite3_result_text64(context, made.data(), made.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

constexpr int kLeft = 1;
constexpr int kRight = 2;

template <int kSides>
void trim(sqlite3_context* context, int count, sqlite3_value** arguments)
{
    auto text = text_of(arguments[0]);
    auto characters = count > 1 ? text_of(arguments[1]) : std::optional<std::string_view>(" ");
    if (!text || !characters) return;
    std::set<std::string_view> wanted;
    while (!characters->empty())
        wanted.insert(take_character(*characters));
    std::string_view rest = *text;
    if ((kSides & kLeft) != 0)
        while (!rest.empty() && wanted.contains(rest.substr(0, character_size(rest))))
            (void)take_character(rest);
    while ((kSides & kRight) != 0 && !rest.empty()) {
        std::size_t size = 1;
        while (size < rest.size() && continues(rest[rest.size() - size]))
            ++size;
        if (!wanted.contains(rest.substr(rest.size() - size))) break;
        rest.remove_suffix(size);
    }
    sqlite3_result_text64(context, rest.data(), rest.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

using Function = void (*)(sqlite3_context*, int, sqlite3_value**);

// Nothing is thrown through SQLite.
template <Function kFunction>
void guard(sqlite3_context* context, int count, sqlite3_value** arguments) noexcept
{
    try {
        kFunction(context, count, arguments);
    } catch (const std::exception&) {
        sqlite3_result_error_nomem(context);
    }
}

struct Entry {
    const char* name;
    int arguments;
    Function function;
};
constexpr std::array<Entry, 11> kFunctions{{{"like", 2, guard<like>},
                                            {"like", 3, guard<like>},
                                            {"glob", 2, guard<glob>},
                                            {"instr", 2, guard<instr>},
                                            {"replace", 3, guard<replace>},
                                            {"trim", 1, guard<trim<kLeft | kRight>>},
                                            {"trim", 2, guard<trim<kLeft | kRight>>},
                                            {"ltrim", 1, guard<trim<kLeft>>},
                                            {"ltrim", 2, guard<trim<kLeft>>},
                                            {"rtrim", 1, guard<trim<kRight>>},
                                            {"rtrim", 2, guard<trim<kRight>>}}};

}  // namespace

bool use_bounded_functions(sqlite3* db)
{
    for (const auto& one : kFunctions) {
        const int rc = sqlite3_create_function_v2(
            db, one.name, one.arguments, SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS,
            nullptr, one.function, nullptr, nullptr, nullptr);
        if (rc == SQLITE_BUSY) return false;
        if (rc != SQLITE_OK)
            throw DbError(rc, std::string("sql: function ") + one.name + " could not be bounded");
    }
    return true;
}

FunctionsEnd::FunctionsEnd(const Deadline& until) noexcept
    : outer_(std::exchange(functions_end, &until))
{}

FunctionsEnd::~FunctionsEnd()
{
    functions_end = outer_;
}

bool is_unbounded_function(std::string_view name) noexcept
{
    return name == "json_patch";  // each member of one object is looked for in the other's list
}

}  // namespace xlstore
