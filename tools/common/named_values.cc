// SPDX-License-Identifier: MIT
#include "tools/common/named_values.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include "tools/common/secret_names.hpp"

namespace xlstore::tools {

namespace {

constexpr auto kNotThere = std::string_view::npos;

bool is_space(char c)
{
    return std::isspace(static_cast<unsigned char>(c)) != 0;
}

bool is_alnum(char c)
{
    return std::isalnum(static_cast<unsigned char>(c)) != 0;
}

bool is_name(char c)
{
    return is_alnum(c) || c == '_' || c == '-';
}

// Where that many bytes and those of `text` are the same, in any case.
bool ends_with_folded(std::string_view text, std::string_view with)
{
    return text.size() >= with.size() && folded(text.substr(text.size() - with.size())) == with;
}

// "\u0070asswd", in a string that is itself in strings.
std::string unescaped(std::string_view name)
{
    std::string out;
    for (std::size_t i = 0; i < name.size(); ++i) {
        const auto mark = std::min(name.find_first_not_of('\\', i), name.size());
        unsigned code = 0;
        bool is_code = mark > i && mark + 4 < name.size() && name[mark] == 'u';
        for (auto digit = mark + 1; is_code && digit < mark + 5; ++digit) {
            is_code = std::isxdigit(static_cast<unsigned char>(name[digit])) != 0;
            code = code * 16 + static_cast<unsigned>(name[digit] <= '9'
                                                         ? name[digit] - '0'
                                                         : (name[digit] | 0x20) - 'a' + 10);
        }
        if (!is_code) {
            out += name.substr(i, std::max(mark, i + 1) - i);
            i = std::max(mark, i + 1) - 1;
            continue;
        }
        out += code < 128 ? static_cast<char>(code) : '?';
        i = mark + 4;
    }
    return out;
}

// A command that was refused has the error behind its name, not a value.
bool is_command(const std::string& fold)
{
    constexpr std::array<std::string_view, 5> verbs = {"set_", "expire_", "query_", "inject_",
                                                       "change_"};
    return std::ranges::any_of(verbs, [&](std::string_view v) { return fold.starts_with(v); });
}

// QEMU doubles a comma that is part of a value. A quote ends it, unless it goes on behind it.
std::size_t end_of_unquoted(std::string_view text, std::size_t at, std::string_view stops)
{
    for (; at < text.size(); ++at) {
        const char c = text[at];
        if (is_space(c) || stops.find(c) != kNotThere) break;
        if (c == ',') {
            if (at + 1 == text.size() || text[at + 1] != ',') break;
            ++at;
        } else if (c == '\\' || c == '"' || c == '\'') {
            const auto mark = std::min(text.find_first_not_of('\\', at), text.size());
            const bool is_quote = mark < text.size() && (text[mark] == '"' || text[mark] == '\'');
            if (!is_quote)
                at = mark - 1;
            else if (mark + 1 == text.size() || !is_alnum(text[mark + 1]))
                break;
            else
                at = mark;
        }
    }
    return at;
}

bool is_no_secret(std::string_view value)
{
    constexpr std::array<std::string_view, 5> states = {"null", "true", "false", "on", "off"};
    return value.empty() || std::ranges::find(states, value) != states.end();
}

}  // namespace

std::optional<Quote> Quote::at(std::string_view text, std::size_t at)
{
    const auto mark = std::min(text.find_first_not_of('\\', at), text.size());
    if (mark == text.size() || (text[mark] != '"' && text[mark] != '\'')) return std::nullopt;
    return Quote{mark - at, text[mark]};
}

std::size_t Quote::end_of_quoted(std::string_view text, std::size_t at) const
{
    for (std::size_t run = 0; at < text.size(); ++at) {
        const bool is_mark = text[at] == mark;
        if (is_mark && run < escapes) return at - run;
        if (is_mark && (run - escapes) % (2 * size()) == 0) return at - escapes;
        run = text[at] == '\\' ? run + 1 : 0;
    }
    return at;
}

std::size_t end_of_bracketed(std::string_view text, std::size_t at, std::size_t escapes)
{
    const Quote quote{escapes, '"'};
    int depth = 0;
    for (std::size_t run = 0; at < text.size(); ++at) {
        const char c = text[at];
        if (c == '"') {
            if (run < escapes) return at - run;  // it was cut off there
            at = quote.end_of_quoted(text, at + 1) + escapes;
        } else if (c == '{' || c == '[') {
            ++depth;
        } else if ((c == '}' || c == ']') && --depth == 0) {
            return at + 1;
        }
        run = c == '\\' ? run + 1 : 0;
    }
    return kNotThere;
}

// A name, and what parts it from its value: NAME=VALUE, NAME: VALUE, --NAME VALUE.
struct NamedValues::Naming {
    std::size_t start = 0;  // of the name
    std::size_t stop = 0;
    std::string quote;  // behind it
    char by = 0;
    std::size_t value = 0;  // begins here, once blanks are passed
    std::string name;

    Naming(std::string_view text, std::size_t least, std::size_t at) : stop(at), by(text[at])
    {
        while ((by == '=' || by == ':') && stop > least && is_space(text[stop - 1]))
            --stop;
        const bool has_blanks = by != '=' || stop < at;
        if (stop > least && (text[stop - 1] == '"' || text[stop - 1] == '\'')) {
            const auto end = stop;
            for (--stop; stop > least && text[stop - 1] == '\\';)
                --stop;
            quote = text.substr(stop, end - stop);
        }
        start = stop;
        const auto is_escape = [&](std::size_t i) {
            return text[i] == '\\' && (text[i + 1] == 'u' || text[i + 1] == '\\');
        };
        while (start > least &&
               (is_name(text[start - 1]) || (start < stop && is_escape(start - 1))))
            --start;
        name = text.substr(start, stop - start);
        if (name.find('\\') != std::string::npos) name = unescaped(name);
        value = at + 1;
        if (!name.empty() && has_blanks) skip_blanks(text);
    }
    void skip_blanks(std::string_view text)
    {
        while (value < text.size() && is_space(text[value]))
            ++value;
    }
};

void NamedValues::see(std::size_t until)
{
    for (; seen_ < until; ++seen_) {
        const char c = text_[seen_];
        const auto word = text_.substr(word_.begin, seen_ + 1 - word_.begin);
        if (c == '"' || c == '\'') {
            std::size_t escapes = 0;
            while (escapes + 1 < word.size() && text_[seen_ - escapes - 1] == '\\')
                ++escapes;
            word_ = Word();
            word_.begin = seen_ + 1;
            word_.quote = Quote{escapes, c};
            rbd_ = false;
        } else if (is_space(c)) {
            word_ = Word();
            word_.begin = seen_ + 1;
            rbd_ = rbd_ && c != '\n';
        } else if (c == '?') {
            word_.query = true;
        } else if (c == ':') {
            rbd_ = rbd_ || ends_with_folded(word, "rbd:");
        } else if (c == 't') {
            word_.secret = word_.secret || word.ends_with("secret");
        } else if (c == 'l') {
            word_.systemd = word_.systemd || word.ends_with("systemd.credential");
        }
    }
}

// Is it one of an argument, behind whose value only a comma stands?
bool NamedValues::is_option(const Naming& naming)
{
    auto start = naming.start;
    while (start > begin_ && text_[start - 1] == '.')
        for (--start; start > begin_ && is_name(text_[start - 1]);)
            --start;
    if (before(start) == ',' || word_.systemd)
        return extent_ == Extent::argument || (word_.quote && start >= word_.begin);
    return extent_ == Extent::argument ? start == 0 : word_.quote && start == word_.begin;
}

std::size_t NamedValues::end_of_option(std::size_t at)
{
    auto most = text_.size();
    if (extent_ == Extent::text) {
        if (word_.quote_end == 0) word_.quote_end = word_.quote->end_of_quoted(text_, at);
        most = word_.quote_end;
    }
    for (; at < most; ++at) {
        if (text_[at] != ',') continue;
        if (at + 1 == most || text_[at + 1] != ',') break;
        ++at;
    }
    return at;
}

bool NamedValues::is_of_a_secret(const Naming& naming) const
{
    const auto& name = naming.name;
    if (name.empty()) return false;
    const bool is_named = names_a_secret(name);
    const char next = naming.value < text_.size() ? text_[naming.value] : '\0';
    switch (naming.by) {
    case ',':
        return is_named && !naming.quote.empty() && name.front() == '-' &&
               (next == '"' || next == '\'' || next == '\\' || is_alnum(next));
    case ':':
        if (text_.substr(naming.value, 2) == "//") return false;  // a URI
        if (naming.quote.empty() && (word_.systemd || is_command(folded(name)))) return false;
        return is_named || (of_secret_ && !naming.quote.empty() && name == "data");
    case '=':
        if (name == "key" && rbd_ && before(naming.start) == ':') return true;
        if (word_.systemd && (name == "string" || before(naming.start) == ':')) return true;
        return is_named || (name == "data" && word_.secret);
    default:
        if (text_.substr(0, naming.start).ends_with("change vnc ")) return is_named;
        return is_named && name.front() == '-' && next != '-';
    }
}

// Is what follows a sentence, behind what is no password? "device sec-token: it is open".
bool NamedValues::begins_sentence(const Naming& naming)
{
    if (naming.by != ':' || !naming.quote.empty()) return false;
    const auto fold = folded(naming.name);
    if (fold.find("passw") != std::string::npos || fold.find("passphrase") != std::string::npos)
        return false;
    if (text_[naming.value] == '/' || naming.value < sentence_) return true;
    const auto end = end_of_unquoted(text_, naming.value, "");
    const auto next = std::min(text_.find_first_not_of(" \t", end), text_.size());
    if (next == end || next == text_.size() || text_[next] == '\n') return false;
    sentence_ = end;
    return true;
}

// What ends a value without quotes.
std::string_view NamedValues::stops(const Naming& naming) const
{
    if (naming.by == ',') return "]";
    if (naming.by == ':') return naming.quote.empty() ? "" : "}]";
    if (naming.by != '=') return "";
    return rbd_ ? ":" : word_.query ? "&;" : "";
}

// {"password": ["a", "b": cut off, it is all that follows. Without quotes around the name, JSON has
// to begin.
std::optional<NamedValues::Value> NamedValues::bracketed(const Naming& naming) const
{
    const auto begin = naming.value;
    if (naming.by == ',' || (text_[begin] != '{' && text_[begin] != '[')) return std::nullopt;
    const auto next = text_.find_first_not_of(" \t\n", begin + 1);
    const auto quote = next == kNotThere ? std::nullopt : Quote::at(text_, next);
    if (naming.quote.empty() && !quote) return std::nullopt;
    const auto escapes = !naming.quote.empty() ? naming.quote.size() - 1 : quote->escapes;
    auto end = std::min(end_of_bracketed(text_, begin, escapes), text_.size());
    end = end_of_unquoted(text_, end, stops(naming));
    return Value{begin, end, naming.quote};
}

std::optional<NamedValues::Value> NamedValues::at(std::size_t at)
{
    see(at);
    Naming naming(text_, begin_, at);
    if (naming.by == ' ' && folded(naming.name) == "set_password") {
        const auto protocol = text_.substr(naming.value, 4);  // HMP
        if (protocol != "vnc " && text_.substr(naming.value, 6) != "spice ") return std::nullopt;
        naming.value += protocol == "vnc " ? 4 : 6;
        naming.skip_blanks(text_);
    } else if (!is_of_a_secret(naming)) {
        return std::nullopt;
    }
    const auto begin = naming.value;
    if (begin >= text_.size() || is_directory(naming.name, text_.substr(begin, 1)))
        return std::nullopt;
    if (naming.by == '=' && is_option(naming)) {
        const auto end = end_of_option(begin);
        const auto value = text_.substr(begin, end - begin);
        if (is_no_secret(value)) return std::nullopt;
        return Value{begin, end, ""};
    }
    if (auto value = bracketed(naming)) return value;
    const auto prefix = text_[begin] == 'u' || text_[begin] == 'b' ? 1U : 0U;  // of Python
    if (const auto quote = Quote::at(text_, begin + prefix)) {
        const auto inside = begin + prefix + quote->size();
        const auto end = quote->end_of_quoted(text_, inside);
        if (end == inside) return std::nullopt;
        return Value{inside, end, ""};
    }
    if (begins_sentence(naming)) return std::nullopt;
    const auto end = end_of_unquoted(text_, begin, stops(naming));
    const auto value = text_.substr(begin, end - begin);
    if (is_no_secret(value)) return std::nullopt;
    return Value{begin, end, naming.by == ':' || naming.by == ',' ? naming.quote : ""};
}

}  // namespace xlstore::tools
