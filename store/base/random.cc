// SPDX-License-Identifier: MIT
#include "store/base/random.hpp"

#include <sys/random.h>

#include <array>
#include <cerrno>

#include "store/base/error.hpp"

namespace xlstore {

namespace {

template <std::size_t N>
std::array<unsigned char, N> random_bytes()
{
    std::array<unsigned char, N> bytes{};
    if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size()))
        throw IoError(errno, "cannot get random bytes");
    return bytes;
}

}  // namespace

std::string random_hex()
{
    constexpr std::string_view digits = "0123456789abcdef";
    std::string text;
    for (const unsigned byte : random_bytes<16>()) {
        text += digits[byte >> 4U];
        text += digits[byte & 15U];
    }
    return text;
}

std::string random_word()
{
    constexpr std::string_view digits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    std::string text;
    for (const unsigned byte : random_bytes<8>())
        text += digits[byte & 63U];
    return text;
}

std::string random_uuid()
{
    std::string hex = random_hex();
    hex[12] = '4';
    hex[16] = "89ab"[static_cast<unsigned>(hex[16]) & 3U];
    for (const std::size_t at : {20U, 16U, 12U, 8U})
        hex.insert(at, "-");
    return hex;
}

}  // namespace xlstore
