// SPDX-License-Identifier: MIT
// The names of sockets and logs in run/ have the number of their incarnation. A database that went
// back may give a number again whose files are still there; ids go on above all names that are
// found (R17).
#include "store/core/run_directory.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>

#include "store/model/numbers.hpp"
#include "store/model/store_paths.hpp"

namespace xlstore {

namespace fs = std::filesystem;

// A stray file may have any name: ids that go on above it are no reason to refuse them (R17).
static_assert(Numbers::kMostAtOnce > 10'000'000'000 && kIdDigits == 10);

std::optional<DomainId> incarnation_in(std::string_view name, std::string_view prefix)
{
    if (!name.starts_with(prefix)) return std::nullopt;
    name.remove_prefix(prefix.size());
    std::int64_t id = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id);
    const auto digits = static_cast<std::size_t>(end - name.data());
    const std::string_view rest = name.substr(digits);
    const bool ours = prefix == "qmp-" ? rest.empty() || rest.starts_with('-') : rest == ".log";
    if (error != std::errc() || id <= 0 || digits > kIdDigits || !ours) return std::nullopt;
    return DomainId{id};
}

std::int64_t highest_incarnation_in(const std::string& run)
{
    std::int64_t highest = 0;
    std::error_code error;
    for (fs::directory_iterator i(run, error), end; !error && i != end; i.increment(error))
        for (const char* prefix : {"qmp-", "qemu-"})
            if (const auto id = incarnation_in(i->path().filename().string(), prefix))
                highest = std::max(highest, value_of(*id));
    if (error && error != std::errc::no_such_file_or_directory)
        throw IoError(error.value(), "cannot list " + run);
    return highest;
}

void raise_ids_above_names(Store& store, const WriterHold&)
{
    const auto highest = highest_incarnation_in(StorePaths(store.directory()).run());
    Db& db = store.db();
    db.prepare(
          "INSERT INTO sqlite_sequence (name, seq) SELECT 'domain', 0 WHERE NOT EXISTS "
          "(SELECT 1 FROM sqlite_sequence WHERE name = 'domain')")
        .run();
    db.prepare("UPDATE sqlite_sequence SET seq = ?1 WHERE name = 'domain' AND seq < ?1")
        .bind(highest)
        .run();
}

std::string unused_path(const std::string& path)
{
    std::string candidate = path;
    for (int number = 2;; ++number) {
        struct stat st {};
        if (lstat(candidate.c_str(), &st) != 0) {
            if (errno == ENOENT) return candidate;
            throw IoError(errno, "cannot look at " + candidate);
        }
        candidate = path + "-" + std::to_string(number);
    }
}

}  // namespace xlstore
