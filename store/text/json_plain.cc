// SPDX-License-Identifier: MIT
// The walk stops, and says nothing, at the first byte that a plain text does not have: an escape, a
// byte above ASCII, a control character, a long number or one with an exponent, a deep or a wide
// object. So each text that comes through is JSON by the narrowest grammar, and two of its keys are
// the same only where their bytes are.
#include "store/text/json_plain.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "store/base/limits.hpp"
#include "store/text/json_scan.hpp"

namespace xlstore {

namespace {

constexpr std::size_t kDepth = 24;
constexpr std::size_t kMembers = 48;  // of one object: each key is compared with those before it
constexpr std::size_t kDigits = 17;   // no such number is out of range
static_assert(kDepth <= limits::json_depth_max && kDepth * kMembers <= limits::json_members_max);

bool is_json_digit(char c)
{
    return c >= '0' && c <= '9';
}

class PlainWalk {
public:
    explicit PlainWalk(std::string_view text) : text_(text) { minified_.reserve(text.size()); }

    std::optional<std::string> run()
    {
        skip_spaces();
        if (!value()) return std::nullopt;
        while (depth_ > 0)
            if (!next()) return std::nullopt;
        if (at_ != text_.size()) return std::nullopt;
        return std::move(minified_);
    }

private:
    struct Level {
        bool is_object;
        std::size_t first_key;  // in keys_
    };

    [[nodiscard]] char here() const { return at_ < text_.size() ? text_[at_] : '\0'; }

    void skip_spaces()
    {
        while (at_ < text_.size() && is_space(text_[at_]))
            ++at_;
    }

    /// Keeps so many bytes, and no white space behind them.
    bool keep(std::size_t bytes)
    {
        minified_.append(text_, at_, bytes);
        at_ += bytes;
        skip_spaces();
        return true;
    }

    /// Behind a value within an array or an object: the next one, or the end.
    bool next()
    {
        const Level level = levels_[depth_ - 1];
        if (here() == (level.is_object ? '}' : ']')) {
            keys_.resize(level.first_key);
            --depth_;
            return keep(1);
        }
        if (here() != ',') return false;
        keep(1);
        return level.is_object ? member() : value();
    }

    bool member()
    {
        const std::size_t size = string_size();
        if (size == 0) return false;
        const auto key = text_.substr(at_, size);
        const auto first =
            keys_.begin() + static_cast<std::ptrdiff_t>(levels_[depth_ - 1].first_key);
        if (static_cast<std::size_t>(keys_.end() - first) == kMembers) return false;
        if (std::find(first, keys_.end(), key) != keys_.end()) return false;
        keys_.push_back(key);
        keep(size);
        if (here() != ':') return false;
        keep(1);
        return value();
    }

    bool value()
    {
        switch (here()) {
        case '{':
            return begin(true, '}');
        case '[':
            return begin(false, ']');
        case '"': {
            const std::size_t size = string_size();
            return size > 0 && keep(size);
        }
        case 't':
            return word("true");
        case 'f':
            return word("false");
        case 'n':
            return word("null");
        default:
            return number();
        }
    }

    bool begin(bool is_object, char end)
    {
        if (depth_ == kDepth) return false;
        levels_[depth_++] = Level{is_object, keys_.size()};
        keep(1);
        if (here() == end) return true;  // next() takes it
        return is_object ? member() : value();
    }

    bool word(std::string_view is) { return text_.substr(at_, is.size()) == is && keep(is.size()); }

    /// With its quotes; 0: none that is plain stands here.
    [[nodiscard]] std::size_t string_size() const
    {
        if (here() != '"') return 0;
        for (std::size_t i = at_ + 1; i < text_.size(); ++i) {
            const auto c = static_cast<unsigned char>(text_[i]);
            if (c == '"') return i + 1 - at_;
            if (c < 0x20 || c >= 0x7f || c == '\\') return 0;
        }
        return 0;
    }

    /// An exponent is no part of one here, and nothing that may follow it.
    bool number()
    {
        std::size_t i = at_;
        const auto digits = [&] {
            const std::size_t first = i;
            while (i < text_.size() && is_json_digit(text_[i]))
                ++i;
            return i - first;
        };
        if (here() == '-') ++i;
        const bool zero = i < text_.size() && text_[i] == '0';
        const std::size_t whole = digits();
        if (whole == 0 || whole > kDigits || (zero && whole > 1)) return false;
        if (i < text_.size() && text_[i] == '.') {
            ++i;
            const std::size_t part = digits();
            if (part == 0 || part > kDigits) return false;
        }
        return keep(i - at_);
    }

    std::string_view text_;
    std::size_t at_ = 0;
    std::string minified_;
    std::array<Level, kDepth> levels_{};
    std::size_t depth_ = 0;
    std::vector<std::string_view> keys_;  // of each object that is open
};

}  // namespace

std::optional<std::string> minify_plain(std::string_view text)
{
    return PlainWalk(text).run();
}

}  // namespace xlstore
