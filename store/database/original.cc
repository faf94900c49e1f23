// SPDX-License-Identifier: MIT
// A copy is found out by the inode of its directory; where the original is now, the row does not
// say. It is looked for where it costs least: at its old path, beside it and beside the copy under
// another name, then at the files that processes have open, since the original's QEMUs have their
// logs open in it.
#include "store/database/original.hpp"

#include <filesystem>

#include "store/base/birth_time.hpp"
#include "store/model/store_paths.hpp"
#include "store/os/open_files.hpp"

namespace xlstore {

namespace {

namespace fs = std::filesystem;

// A directory of more names than this is no place where a person has put a store.
constexpr int kMostNames = 10'000;

bool is_it(const std::string& path, const Place& written, const Place& here)
{
    const auto there = file_identity(path);
    if (!there || there->inode != written.identity.inode) return false;
    const Place now{here.machine, here.boot_id, path, *there, birth_time(path)};
    return is_same_directory(written, now) && file_identity(StorePaths(path).database());
}

std::string beside(const std::string& directory, const Place& written, const Place& here)
{
    auto itself = fs::path(directory).lexically_normal();
    if (!itself.has_filename()) itself = itself.parent_path();  // "/srv/s/"
    std::error_code error;
    int names = 0;
    for (fs::directory_iterator i(itself.parent_path(), error), end;
         !error && i != end && ++names < kMostNames; i.increment(error)) {
        std::error_code unseen;
        if (i->is_directory(unseen) && is_it(i->path().string(), written, here))
            return i->path().string();
    }
    return {};
}

// The directory of a store that has this file, as far as its name tells; "": none.
std::string store_of(const fs::path& file)
{
    const auto directory = file.parent_path();
    const auto name = file.filename().string();
    if (name.starts_with("qemu-") && directory.filename() == names::kRun)
        return directory.parent_path().string();
    const bool is_of_store = name == names::kLocks || name == names::kSlowLocks ||
                             name.starts_with(names::kDatabase);
    return is_of_store ? directory.string() : std::string();
}

// The kernel names a file by where its directory is now.
std::string by_open_files(const Place& written, const Place& here)
{
    std::string found;
    (void)processes_with([&](const OpenFile& file) {
        if (!found.empty() || !file.target.starts_with('/')) return false;
        auto directory = store_of(file.target);
        if (!directory.empty() && is_it(directory, written, here)) found = std::move(directory);
        return false;
    });
    return found;
}

}  // namespace

std::string original_of(const Place& written, const Place& here)
{
    if (is_it(written.directory, written, here)) return written.directory;
    for (const auto& directory : {written.directory, here.directory})
        if (auto found = beside(directory, written, here); !found.empty()) return found;
    return by_open_files(written, here);
}

}  // namespace xlstore
