// SPDX-License-Identifier: MIT
// Names that no other process makes: QMP command ids, the store's uuid.
#ifndef XLSTORE_STORE_BASE_RANDOM_HPP_
#define XLSTORE_STORE_BASE_RANDOM_HPP_

#include <string>

namespace xlstore {

/// 128 random bits from the kernel as 32 hexadecimal digits. @throws IoError
[[nodiscard]] std::string random_hex();
/// 48 random bits from the kernel as 8 letters, digits, dashes and low lines. @throws IoError
[[nodiscard]] std::string random_word();
/// A version 4 UUID, 8-4-4-4-12, lower case.
[[nodiscard]] std::string random_uuid();

}  // namespace xlstore

#endif  // XLSTORE_STORE_BASE_RANDOM_HPP_
