// SPDX-License-Identifier: MIT
// Where in a text the logins of URIs stand: "user:password" before "@".
#ifndef XLSTORE_TOOLS_COMMON_URI_LOGINS_HPP_
#define XLSTORE_TOOLS_COMMON_URI_LOGINS_HPP_

#include <cstddef>
#include <optional>
#include <string_view>

namespace xlstore::tools {

/// Is asked for one URI after the other, so that what ends several is looked for once.
class UriLogins {
public:
    /// `text` has to live as long as it.
    explicit UriLogins(std::string_view text) : text_(text) {}
    struct Login {
        std::size_t begin = 0;
        std::size_t password = 0;
        std::size_t sign = 0;  // "@"
    };
    /// Of the URI whose "://" is at `at`; nothing: it has no password.
    [[nodiscard]] std::optional<Login> at(std::size_t at);

private:
    [[nodiscard]] std::size_t end_of_login(std::size_t begin, std::string_view parting);
    [[nodiscard]] std::size_t sign_behind(std::size_t begin, std::string_view parting);

    std::string_view text_;
    std::size_t uri_end_ = 0;    // what ends the URI, and
    std::size_t uri_sign_ = 0;   // the last "@" before it
    std::size_t next_sign_ = 0;  // the first "@" behind a URI
};

}  // namespace xlstore::tools

#endif  // XLSTORE_TOOLS_COMMON_URI_LOGINS_HPP_
