// SPDX-License-Identifier: MIT
// Where in a text that is no JSON, or JSON that was cut off, the value of a secret name stands.
#ifndef XLSTORE_TOOLS_COMMON_NAMED_VALUES_HPP_
#define XLSTORE_TOOLS_COMMON_NAMED_VALUES_HPP_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace xlstore::tools {

/// A quote, with the backslashes that strings around it put before it.
struct Quote {
    std::size_t escapes = 0;
    char mark = 0;

    static std::optional<Quote> at(std::string_view text, std::size_t at);
    [[nodiscard]] std::size_t size() const { return escapes + 1; }
    /// Where the one that closes it begins: an escaped one belongs to the value, and so does all
    /// that follows where none closes it. One of a string around it closes it, too.
    [[nodiscard]] std::size_t end_of_quoted(std::string_view text, std::size_t at) const;
};

/// Behind the bracket that closes the one at `at`, in JSON whose quotes have that many backslashes;
/// npos: none does.
[[nodiscard]] std::size_t end_of_bracketed(std::string_view text, std::size_t at,
                                           std::size_t escapes = 0);

/// What a text is: an argument of a command line alone ends its values at a comma.
enum class Extent { text, argument };

/// Is asked from the begin of the text to its end, so that each byte is looked at a few times.
class NamedValues {
public:
    /// Each of these may part a name from its value.
    static constexpr std::string_view kParting = "=: \t,";

    /// `text` has to live as long as it.
    NamedValues(std::string_view text, Extent extent)
        : text_(text), extent_(extent), of_secret_(text.find("qom") != std::string_view::npos)
    {}
    struct Value {
        std::size_t begin = 0;
        std::size_t end = 0;
        std::string quote;  // JSON needs it around what stands in place of the value
    };
    /// The value behind `at`, where one of kParting stands, unless it is empty.
    [[nodiscard]] std::optional<Value> at(std::size_t at);
    /// The text up to `end` was replaced, and has no names.
    void pass(std::size_t end) { begin_ = seen_ = end; }

private:
    // What a name is in: up to a blank or a quote.
    struct Word {
        std::size_t begin = 0;
        std::optional<Quote> quote;  // right before it
        std::size_t quote_end = 0;   // where it closes; 0: not looked for yet
        bool secret = false;         // a QEMU object
        bool query = false;          // of a URI
        bool systemd = false;        // credentials, in SMBIOS or fw_cfg
    };
    struct Naming;

    void see(std::size_t until);
    [[nodiscard]] char before(std::size_t at) const { return at == 0 ? '\0' : text_[at - 1]; }
    [[nodiscard]] bool is_option(const Naming& naming);
    [[nodiscard]] bool is_of_a_secret(const Naming& naming) const;
    [[nodiscard]] bool begins_sentence(const Naming& naming);
    [[nodiscard]] std::string_view stops(const Naming& naming) const;
    [[nodiscard]] std::size_t end_of_option(std::size_t at);
    [[nodiscard]] std::optional<Value> bracketed(const Naming& naming) const;

    std::string_view text_;
    Extent extent_;
    bool of_secret_;  // a QEMU object of a secret may be about
    std::size_t begin_ = 0;
    std::size_t seen_ = 0;
    Word word_;
    bool rbd_ = false;          // the line has options of Ceph
    std::size_t sentence_ = 0;  // the last one's first word ends there
};

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_NAMED_VALUES_HPP_
