// SPDX-License-Identifier: MIT
#include "tools/common/tar.hpp"

#include <algorithm>
#include <cstring>

namespace xlstore::tools {

namespace {

constexpr std::size_t kBlock = 512;

// Fields of a header: where, and how many bytes.
struct Field {
    std::size_t at;
    std::size_t bytes;
};
constexpr Field kMemberName{0, 100};
constexpr Field kMode{100, 8};
constexpr Field kUid{108, 8};
constexpr Field kGid{116, 8};
constexpr Field kSize{124, 12};
constexpr Field kTime{136, 12};
constexpr Field kSum{148, 8};
constexpr std::size_t kType = 156;
constexpr std::size_t kMagic = 257;

void put_octal(std::string& header, Field field, std::uint64_t number)
{
    header[field.at + field.bytes - 1] = '\0';
    for (std::size_t i = field.bytes - 1; i-- > 0;) {
        header[field.at + i] = static_cast<char>('0' + number % 8);
        number /= 8;
    }
}

// Up to the first byte that is no octal digit; more than 8 GiB is no number of ours.
std::uint64_t octal_in(std::string_view header, Field field)
{
    std::uint64_t number = 0;
    for (std::size_t i = field.at; i < field.at + field.bytes; ++i) {
        if (header[i] < '0' || header[i] > '7') break;
        number = number * 8 + static_cast<std::uint64_t>(header[i] - '0');
    }
    return number;
}

// The sum of its bytes, with blanks where the sum itself stands.
std::uint64_t sum_of(std::string_view header)
{
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < kBlock; ++i) {
        const bool of_the_sum = i >= kSum.at && i < kSum.at + kSum.bytes;
        sum += of_the_sum ? ' ' : static_cast<unsigned char>(header[i]);
    }
    return sum;
}

std::string header_of(const std::string& name, std::size_t size, std::int64_t seconds)
{
    std::string header(kBlock, '\0');
    header.replace(kMemberName.at, std::min(name.size(), kMemberName.bytes - 1), name, 0,
                   kMemberName.bytes - 1);
    put_octal(header, kMode, 0600);
    put_octal(header, kUid, 0);
    put_octal(header, kGid, 0);
    put_octal(header, kSize, size);
    put_octal(header, kTime, static_cast<std::uint64_t>(seconds));
    header[kType] = '0';
    header.replace(kMagic, 8, std::string("ustar\00000", 8));
    put_octal(header, kSum, sum_of(header));
    return header;
}

}  // namespace

std::string tar_of(const std::vector<TarMember>& members, std::int64_t seconds)
{
    std::string archive;
    for (const auto& [name, bytes] : members) {
        archive += header_of(name, bytes.size(), seconds) + bytes;
        archive.append((kBlock - bytes.size() % kBlock) % kBlock, '\0');
    }
    return archive.append(2 * kBlock, '\0');
}

Result<std::map<std::string, std::string>> untar(std::string_view archive)
{
    std::map<std::string, std::string> members;
    const Error bad(Errc::invalid, "it is no bundle, or its end is cut off");
    for (;;) {
        if (archive.size() < kBlock) return bad;
        const auto header = archive.substr(0, kBlock);
        if (header.find_first_not_of('\0') == std::string_view::npos) return members;
        if (octal_in(header, kSum) != sum_of(header)) return bad;
        const auto size = octal_in(header, kSize);
        archive.remove_prefix(kBlock);
        if (size > archive.size()) return bad;
        const auto name = header.substr(0, kMemberName.bytes);
        if (header[kType] == '0' || header[kType] == '\0')
            members[std::string(name.substr(0, name.find('\0')))] = archive.substr(0, size);
        archive.remove_prefix(std::min(archive.size(), (size + kBlock - 1) / kBlock * kBlock));
    }
}

}  // namespace xlstore::tools
