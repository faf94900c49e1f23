// SPDX-License-Identifier: MIT
#include "tools/common/uri_logins.hpp"

#include <algorithm>
#include <cctype>

#include "tools/common/secret_names.hpp"

namespace xlstore::tools {

namespace {

constexpr auto kNoSign = std::string_view::npos;
// How far behind the end of a URI the "@" of a password with a blank or a quote in it may be.
constexpr std::size_t kLoginMax = 256;

bool is_of_port(char c)
{
    return c >= '0' && c <= '9';
}

// Could it be of a password that goes on behind a blank? Not "80),", nor the mark of a secret.
bool has_letters(std::string_view port)
{
    return !port.starts_with('(') &&
           std::ranges::any_of(port, [](unsigned char c) { return std::isalpha(c) != 0; });
}

// A backslash belongs to the quote behind it.
std::size_t end_of_uri(std::string_view text, std::size_t begin)
{
    auto end = std::min(text.find_first_of(" \"'\n\t<>", begin), text.size());
    const bool is_quoted = end < text.size() && text[end] == '"';
    while (is_quoted && end > begin && text[end - 1] == '\\')
        --end;
    return end;
}

// What stands behind the host, if it is no port.
std::string_view no_port_of(std::string_view host, std::string_view parting)
{
    const auto colon = host.starts_with('[') ? kNoSign : host.find_first_of(parting);
    const auto port = colon == kNoSign ? std::string_view() : host.substr(colon + 1);
    return std::ranges::all_of(port, is_of_port) ? std::string_view() : port;
}

}  // namespace

// "me:pass/word@host", but neither "host:80/a@b" nor "[::1]:80/a@b".
std::size_t UriLogins::end_of_login(std::size_t begin, std::string_view parting)
{
    if (uri_end_ < begin) {
        uri_end_ = end_of_uri(text_, begin);
        uri_sign_ = text_.substr(begin, uri_end_ - begin).rfind('@');
        if (uri_sign_ != kNoSign) uri_sign_ += begin;
    }
    const auto end = std::min(text_.substr(0, uri_end_).find_first_of("/?#", begin), uri_end_);
    const auto authority = text_.substr(begin, end - begin);
    const auto sign = authority.rfind('@');
    const auto port = no_port_of(authority.substr(sign + 1), parting);  // npos + 1 is 0
    if (port.empty()) return sign == kNoSign ? kNoSign : begin + sign;
    if (uri_sign_ != kNoSign && uri_sign_ > begin) return uri_sign_;
    return has_letters(port) ? sign_behind(begin, parting) : kNoSign;
}

// The one of a password with a blank or a quote in it.
std::size_t UriLogins::sign_behind(std::size_t begin, std::string_view parting)
{
    if (next_sign_ != kNoSign && next_sign_ <= uri_end_) next_sign_ = text_.find('@', uri_end_);
    if (next_sign_ == kNoSign || next_sign_ - begin > kLoginMax) return kNoSign;
    const auto between = text_.substr(begin, next_sign_ - begin);
    if (between.find('\n') != kNoSign || between.find("://") != kNoSign) return kNoSign;
    const auto uri = text_.substr(0, end_of_uri(text_, next_sign_));
    const auto end = std::min(uri.find_first_of("/?#", next_sign_), uri.size());
    const auto sign = uri.substr(0, end).rfind('@');
    return no_port_of(uri.substr(sign + 1, end - sign - 1), parting).empty() ? sign
                                                                             : uri.rfind('@');
}

std::optional<UriLogins::Login> UriLogins::at(std::size_t at)
{
    const auto scheme = folded(text_.substr(at < 5 ? 0 : at - 5, std::min<std::size_t>(at, 5)));
    // libiscsi: user%password
    const auto* const parting = scheme.ends_with("iscsi") || scheme.ends_with("iser") ? ":%" : ":";
    const auto begin = at + 3;
    const auto sign = end_of_login(begin, parting);
    if (sign == kNoSign) return std::nullopt;
    const auto colon = text_.substr(0, sign).find_first_of(parting, begin);
    if (colon == kNoSign || colon + 1 == sign) return std::nullopt;
    return Login{begin, colon + 1, sign};
}

}  // namespace xlstore::tools
