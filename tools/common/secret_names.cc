// SPDX-License-Identifier: MIT
#include "tools/common/secret_names.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace xlstore::tools {

namespace {

constexpr std::array<std::string_view, 10> kWords = {
    "passw", "passphrase",  "secret", "credential", "token",
    "pwd",   "private_key", "apikey", "api_key",    "cookie"};
// QEMU's, each of which has the id of an object.
constexpr std::array<std::string_view, 6> kIds = {"key_secret",
                                                  "password_secret",
                                                  "cookie_secret",
                                                  "proxy_password_secret",
                                                  "proxy_username_secret",
                                                  "passwordid"};

bool has_a_word(const std::string& name)
{
    return std::ranges::any_of(
        kWords, [&](std::string_view word) { return name.find(word) != std::string::npos; });
}

// What a text has that holds a secret: a word, the "@" of a login, Ceph's options, or an escape,
// which may spell any of it.
constexpr auto kSigns = [] {
    std::array<std::string_view, kWords.size() + 5> signs = {"ticket", "@", "rbd:", "\\u", "qom"};
    std::copy(kWords.begin(), kWords.end(), signs.begin() + 5);
    return signs;
}();
// Of bytes that are no ASCII 0.
constexpr auto kFolded = [] {
    std::array<unsigned char, 256> folds{};
    for (unsigned c = 0; c < 128; ++c)
        folds[c] = static_cast<unsigned char>(c == '-'               ? '_'
                                              : c >= 'A' && c <= 'Z' ? c - 'A' + 'a'
                                                                     : c);
    return folds;
}();
constexpr std::size_t pair_of(unsigned char first, unsigned char second)
{
    return static_cast<std::size_t>(first) * 128 + second;
}
// Which two begin a sign, the second of one of one byte being any.
constexpr auto kBeginSign = [] {
    std::array<bool, std::size_t{128} * 128> begin{};
    for (const auto sign : kSigns)
        for (unsigned char second = 0; second < 128; ++second)
            if (sign.size() == 1 || static_cast<unsigned char>(sign[1]) == second)
                begin[pair_of(static_cast<unsigned char>(sign[0]), second)] = true;
    return begin;
}();

bool begins_with_a_sign(std::string_view text)
{
    return std::ranges::any_of(kSigns, [&](std::string_view sign) {
        return text.size() >= sign.size() && folded(text.substr(0, sign.size())) == sign;
    });
}

}  // namespace

std::string folded(std::string_view text)
{
    std::string out(text);
    std::ranges::transform(out, out.begin(), [](unsigned char c) {
        return c == '-' ? '_' : static_cast<char>(std::tolower(c));
    });
    return out;
}

bool names_a_secret(std::string_view name)
{
    const auto fold = folded(name);
    if (std::ranges::find(kIds, std::string_view(fold)) != kIds.end()) return false;
    return fold == "ticket" || has_a_word(fold);
}

bool path_names_a_secret(std::string_view path)
{
    return names_a_secret(path.substr(path.rfind('/') + 1));
}

bool is_directory(std::string_view name, std::string_view value)
{
    return (name == "PWD" || name == "OLDPWD") && value.starts_with('/');
}

bool may_hold_secrets(std::string_view text)
{
    const auto* const folds = kFolded.data();
    const auto* const begin_sign = kBeginSign.data();
    const char* const end = text.data() + text.size();
    unsigned char next = text.empty() ? 0 : folds[static_cast<unsigned char>(text.front())];
    for (const char* at = text.data(); at != end; ++at) {
        const unsigned char first = next;
        next = at + 1 == end ? 0 : folds[static_cast<unsigned char>(at[1])];
        if (begin_sign[pair_of(first, next)] &&
            begins_with_a_sign({at, static_cast<std::size_t>(end - at)}))
            return true;
    }
    return false;
}

}  // namespace xlstore::tools
