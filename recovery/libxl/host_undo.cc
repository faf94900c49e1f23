// SPDX-License-Identifier: MIT
// Bytes and line are synced before the change is made: what could not be kept is not replaced.
#include "recovery/libxl/host_undo.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "store/base/dated_path.hpp"
#include "store/base/fd.hpp"
#include "store/base/random.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::recovery {

namespace {

std::string or_null(const std::optional<std::string>& text)
{
    return text ? json_quote(*text) : "null";
}

}  // namespace

Result<void> HostUndo::begin()
{
    if (index_) return {};
    const std::string place = root_ + "/var/lib/xlfsck";
    std::error_code error;
    std::filesystem::create_directories(root_ + "/var/lib", error);
    if (mkdir(place.c_str(), 0700) != 0 && errno != EEXIST) return not_kept(place, errno);
    for (int turn = 0; directory_.empty() && turn < 100; ++turn) {
        const std::string directory = dated_path(place + "/libxl-");
        if (mkdir(directory.c_str(), 0700) == 0)
            directory_ = directory;
        else if (errno != EEXIST)
            return not_kept(directory, errno);
    }
    if (directory_.empty()) return not_kept(place, EEXIST);
    auto index = UndoIndex::make(directory_);
    if (!index) {  // the next change begins another
        (void)rmdir(directory_.c_str());
        directory_.clear();
        return std::move(index).error();
    }
    index_ = *std::move(index);
    return {};
}

Result<std::string> HostUndo::put(const std::string& suffix, const std::string& bytes)
{
    std::string name = std::to_string(count_) + suffix;
    const std::string path = directory_ + "/" + name;
    const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!file) return not_kept(path, errno);
    for (std::size_t done = 0; done < bytes.size();) {
        const ssize_t count = ::write(file.get(), bytes.data() + done, bytes.size() - done);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return not_kept(path, errno);
        done += static_cast<std::size_t>(count);
    }
    if (::fsync(file.get()) != 0) return not_kept(path, errno);
    return name;
}

Result<void> HostUndo::keep_document(const libxl::HostDirectories& where,
                                     const libxl::FileOwner& domain,
                                     const std::optional<std::string>& before,
                                     const std::optional<std::string>& after)
{
    if (auto begun = begin(); !begun) return begun;
    ++count_;
    std::optional<std::string> names[2];
    for (const bool is_after : {false, true}) {
        const auto& bytes = is_after ? after : before;
        if (!bytes) continue;
        auto name = put(is_after ? ".after" : ".before", *bytes);
        if (!name) return std::move(name).error();
        names[is_after] = *std::move(name);
    }
    return index_->add(json_object({{"file", json_quote(where.document(domain))},
                                    {"domid", std::to_string(domain.domid)},
                                    {"uuid", json_quote(domain.uuid)},
                                    {"before", or_null(names[0])},
                                    {"after", or_null(names[1])}}));
}

Result<std::string> HostUndo::keep_nodes(std::optional<std::int64_t> domid,
                                         const std::vector<NodeBefore>& nodes)
{
    if (auto begun = begin(); !begun) return std::move(begun).error();
    std::string proof = "/tool/xlfsck-" + random_uuid();
    std::string lines;
    for (const auto& node : nodes)
        lines += (lines.empty() ? "" : "\n") +
                 json_object({{"node", json_quote(node.path)},
                              {"domid", domid ? std::to_string(*domid) : "null"},
                              {"before", or_null(node.before)},
                              {"after", or_null(node.after)},
                              {"permissions", json_quote(node.permissions)},
                              {"proof", json_quote(proof)}});
    if (auto kept = index_->add(lines); !kept) return std::move(kept).error();
    return proof;
}

Result<void> HostUndo::settle_nodes(const std::string& proof, bool made)
{
    return index_->add(json_object({{made ? "made" : "withdrawn", json_quote(proof)}}));
}

}  // namespace xlstore::recovery
