// SPDX-License-Identifier: MIT
// json_minify(). What is not plain (json_plain.hpp) is read by nlohmann's SAX parser, once, with an
// iterator that counts, since its events carry no position. Checker refuses duplicate keys, depth
// and too many members, and keeps nothing but the keys of the objects that are open. Why this
// parser: tests/bench/README.md.
#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>

#include "store/text/json_plain.hpp"
#include "store/text/json_scan.hpp"
#include "store/text/json_text.hpp"
#include "store/text/raw_bytes.hpp"

namespace xlstore {

namespace {

/// Reads a text and counts what was read, since the SAX events carry no position.
class CountingIterator {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = const char&;

    CountingIterator(const char* at, std::size_t* count) : at_(at), count_(count) {}
    reference operator*() const { return *at_; }
    CountingIterator& operator++()
    {
        ++at_;
        ++*count_;
        return *this;
    }
    CountingIterator operator++(int)
    {
        CountingIterator old = *this;
        ++*this;
        return old;
    }
    bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
    bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

private:
    const char* at_;
    std::size_t* count_;
};

/// The offset of the quote that opens the string whose closing quote is at `close`.
std::size_t opening_quote(std::string_view text, std::size_t close)
{
    std::size_t at = close;
    while (at > 0) {
        --at;
        if (text[at] != '"') continue;
        std::size_t backslashes = 0;
        while (backslashes < at && text[at - 1 - backslashes] == '\\')
            ++backslashes;
        if (backslashes % 2 == 0) return at;
    }
    return 0;
}

/// Receives the parser's events, and stops it at the first breach of our own rules. The parser
/// itself does not recurse, so depth costs nothing before it is refused here.
class Checker {
public:
    using number_integer_t = nlohmann::json::number_integer_t;
    using number_unsigned_t = nlohmann::json::number_unsigned_t;
    using number_float_t = nlohmann::json::number_float_t;
    using string_t = nlohmann::json::string_t;
    using binary_t = nlohmann::json::binary_t;

    Checker(std::string_view text, const std::size_t* count) : text_(text), count_(count) {}

    bool null() { return true; }
    bool boolean(bool /*value*/) { return true; }
    bool number_integer(number_integer_t /*value*/) { return true; }
    bool number_unsigned(number_unsigned_t /*value*/) { return true; }
    bool number_float(number_float_t /*value*/, const string_t& /*text*/) { return true; }
    bool string(string_t& /*value*/) { return true; }
    bool binary(binary_t& /*value*/) { return false; }

    bool start_object(std::size_t /*members*/)
    {
        keys_.emplace_back();
        return check_depth();
    }
    bool start_array(std::size_t /*elements*/)
    {
        keys_.emplace_back();
        return check_depth();
    }
    bool end_object()
    {
        members_ -= keys_.back().size();
        keys_.pop_back();
        return true;
    }
    bool end_array()
    {
        keys_.pop_back();
        return true;
    }

    bool key(string_t& value)
    {
        // The parser gives the decoded key, so "a" and "\u0061" are found to be the same.
        if (holds_masked_byte(value))
            return fail(opening_quote(text_, *count_ - 1), "a key that is not UTF-8");
        if (keys_.back().insert(value).second) {
            if (++members_ <= limits::json_members_max) return true;
            return fail(opening_quote(text_, *count_ - 1),
                        "more than " + std::to_string(limits::json_members_max) + " members");
        }
        return fail(opening_quote(text_, *count_ - 1), "duplicate key " + json_shown(value));
    }

    bool parse_error(std::size_t position, const std::string& /*token*/,
                     const nlohmann::json::exception& error)
    {
        // `position` counts what was read, the end of the text included.
        const std::size_t offset = std::min(std::max<std::size_t>(position, 1) - 1, text_.size());
        constexpr int number_overflow = 406;
        if (error.id == number_overflow) return fail(offset, "number out of range");
        // Of the library's "[id] parse error at ...: syntax error while parsing value - reason;
        // last read: '...'" the tail quotes the text, unbounded and in any encoding.
        std::string_view reason = error.what();
        constexpr std::string_view head = "syntax error ";
        if (const auto at = reason.find(head); at != std::string_view::npos)
            reason.remove_prefix(at + head.size());
        if (const auto at = reason.find("; last read"); at != std::string_view::npos)
            reason = reason.substr(0, at);
        return fail(offset, std::string(reason));
    }

    [[nodiscard]] std::size_t failed_at() const { return failed_at_; }
    [[nodiscard]] const std::string& reason() const { return reason_; }

private:
    bool check_depth()
    {
        if (keys_.size() <= limits::json_depth_max) return true;
        return fail(*count_ - 1,
                    "nested deeper than " + std::to_string(limits::json_depth_max) + " levels");
    }
    bool fail(std::size_t offset, std::string reason)
    {
        failed_at_ = offset;
        reason_ = std::move(reason);
        return false;
    }

    std::string_view text_;
    const std::size_t* count_;
    std::vector<std::set<std::string>> keys_;  // of each object that is open; empty for arrays
    std::size_t members_ = 0;                  // all of them
    std::size_t failed_at_ = 0;
    std::string reason_;
};

Error error_at(std::string_view text, std::size_t offset, std::string_view what,
               std::string_view reason)
{
    const std::string_view before = text.substr(0, offset);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const std::size_t newline = before.rfind('\n');
    const std::size_t column = newline == std::string_view::npos ? offset + 1 : offset - newline;
    std::string message(what);
    message += " is not valid JSON at " + std::to_string(line) + ":" + std::to_string(column);
    message += ": ";
    message += reason;
    return {Errc::invalid, std::move(message), "mend it at that line and column, or give another"};
}

}  // namespace

Result<std::string> json_minify(std::string_view source, std::string_view what,
                                std::size_t bytes_max)
{
    if (!source.empty() && source.back() == '\0') source.remove_suffix(1);
    if (source.size() <= bytes_max)
        if (auto plain = minify_plain(source)) return *std::move(plain);
    const std::string text =
        source.size() > bytes_max ? std::string() : with_raw_bytes_escaped(source);
    if (source.size() > bytes_max || text.size() > bytes_max) {
        return Error(Errc::invalid,
                     std::string(what) + " is larger than " + std::to_string(bytes_max) + " bytes");
    }
    // Both would pass below: the parser skips a BOM, and takes a NUL for the end of its input.
    if (text.starts_with("\xEF\xBB\xBF"))
        return error_at(text, 0, what, "a byte order mark stands before it");
    if (const std::size_t nul = text.find('\0'); nul != std::string::npos)
        return error_at(text, nul, what, "NUL byte");

    const std::string masked = with_raw_bytes_masked(text);
    std::size_t count = 0;
    Checker checker(text, &count);
    if (!nlohmann::json::sax_parse(CountingIterator(masked.data(), &count),
                                   CountingIterator(masked.data() + masked.size(), &count),
                                   &checker))
        return error_at(text, checker.failed_at(), what, checker.reason());

    std::string minified;
    minified.reserve(text.size());
    for (std::size_t i = 0; i < text.size();) {
        const std::size_t end = text[i] == '"' ? skip_string(text, i) : i + 1;
        if (!is_space(text[i])) minified.append(text, i, end - i);
        i = end;
    }
    return minified;
}

}  // namespace xlstore
