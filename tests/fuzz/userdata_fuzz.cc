// SPDX-License-Identifier: MIT
// libxl's directory with anything in it: names that are nearly one of libxl's, files that are links,
// directories or cut off. What is read of it is a document of the domain that its name says, from a
// file of that directory; all else is told, and nothing is followed out of it. The input: files,
// each a byte of flags, a name, a NUL, the length of its text in two bytes, and the text. A name
// that begins with '!' stands for libxl's own of a domain, the character behind it says which.
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "recovery/rebuild/userdata.hpp"
#include "store/libxl/document_file.hpp"
#include "store/model/document.hpp"

namespace {

using namespace xlstore;

constexpr std::int64_t kDomid = 7;
constexpr std::array<std::string_view, 2> kUuids{"0badcafe-2222-4333-8444-000000000007",
                                                 "0badcafe-2222-4333-8444-000000000008"};
enum Flag : unsigned { link = 1, folder = 2, no_nul = 4, empty = 8, unreadable = 16 };

void require(bool holds)
{
    if (!holds) std::abort();
}

/// Where the files are: of this process alone, and nothing is left of it.
class Place {
public:
    Place()
    {
        std::string name = "/dev/shm/xlstore-fuzz-XXXXXX";
        require(mkdtemp(name.data()) != nullptr);
        root_ = name;
        std::filesystem::create_directory(lib());
        std::ofstream(outside()) << "{}";
    }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place() { std::filesystem::remove_all(root_); }

    [[nodiscard]] std::string lib() const { return root_ + "/lib"; }
    [[nodiscard]] std::string outside() const { return root_ + "/outside"; }
    void empty() const
    {
        std::filesystem::remove_all(lib());
        std::filesystem::create_directory(lib());
    }

private:
    std::string root_;
};

std::string name_of(std::string name)
{
    if (name.size() < 2 || name[0] != '!') return name;
    const auto& uuid = kUuids.at(static_cast<unsigned char>(name[1]) % kUuids.size());
    const char which = (static_cast<unsigned char>(name[1]) & 2U) ? 'n' : 'd';
    return std::string("userdata-") + which + "." + std::to_string(kDomid) + "." +
           std::string(uuid) + ".libxl-json" + name.substr(2);
}

void put(const Place& place, unsigned flags, const std::string& name, std::string_view text)
{
    if (name.empty() || name.size() > 200 || name.find('/') != name.npos || name == "." ||
        name == "..")
        return;
    const std::string path = place.lib() + "/" + name;
    if (flags & link) {
        (void)symlink(place.outside().c_str(), path.c_str());
        return;
    }
    if (flags & folder) {
        (void)mkdir(path.c_str(), 0700);
        return;
    }
    std::ofstream file(path, std::ios::binary);
    if (!(flags & empty)) file << text;
    if (!(flags & no_nul)) file << '\0';
}

void fill(const Place& place, std::string_view input)
{
    for (int files = 0; input.size() >= 4 && files < 16; ++files) {
        const auto flags = static_cast<unsigned char>(input[0]);
        input.remove_prefix(1);
        const auto end = std::min(input.find('\0'), input.size());
        const std::string name = name_of(std::string(input.substr(0, end)));
        input.remove_prefix(std::min(end + 1, input.size()));
        if (input.size() < 2) return;
        const std::size_t length =
            static_cast<unsigned char>(input[0]) * 256U + static_cast<unsigned char>(input[1]);
        input.remove_prefix(2);
        put(place, flags, name, input.substr(0, length));
        input.remove_prefix(std::min(length, input.size()));
    }
}

// Names are told as they are: what prints an error makes them plain.
void require_told(const Error& error)
{
    require(!error.message.empty() && error.message.size() < 8192);
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const Place place;
    place.empty();
    fill(place, {reinterpret_cast<const char*>(data), size});

    const auto names = libxl::list_userdata(place.lib());
    require(names.has_value());
    for (const auto& name : *names) {
        require(libxl::parse_userdata_name(libxl::userdata_name(name)) == name);
        require(std::filesystem::exists(
            std::filesystem::symlink_status(place.lib() + "/" + libxl::userdata_name(name))));
        const auto bytes =
            libxl::read_document_bytes(place.lib() + "/" + libxl::userdata_name(name));
        if (!bytes) require_told(bytes.error());
    }
    const auto userdata = recovery::read_userdata(place.lib(), kDomid);
    for (const auto& error : userdata.unseen)
        require_told(error);
    std::string last;
    for (const auto& one : userdata.documents) {
        require(one.uuid > last);
        last = one.uuid;
        const auto name =
            libxl::parse_userdata_name(std::filesystem::path(one.path).filename().string());
        require(name && name->domain.domid == kDomid && name->domain.uuid == one.uuid);
        require(std::filesystem::path(one.path).parent_path() == place.lib());
        require(std::filesystem::is_regular_file(std::filesystem::symlink_status(one.path)));
        const auto document = parse_document(one.text, one.path);
        require(document.has_value() && document->name == one.name);
        require(document->uuid == one.uuid || document->uuid == kNilUuid);
    }
    return 0;
}
