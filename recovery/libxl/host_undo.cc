// SPDX-License-Identifier: MIT
// A change is kept before it is made: bytes and line are synced, and what could not be kept is not
// replaced. Undoing goes the other way, change by change, each by itself: where what stands there
// is not what the repair made, another process has changed it since, and it stays.
#include "recovery/libxl/host_undo.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>

#include "store/base/dated_path.hpp"
#include "store/base/fd.hpp"
#include "store/base/limits.hpp"
#include "store/libxl/document_file.hpp"
#include "store/libxl/host_lock.hpp"
#include "store/os/regular_file.hpp"
#include "store/text/json_text.hpp"
#include "store/xenstore/client.hpp"

namespace xlstore::recovery {

namespace {

using xenstore::Client;

constexpr std::size_t kIndexMost = std::size_t{64} << 20;

Error not_kept(const std::string& path, int number)
{
    const bool full = number == ENOSPC || number == EDQUOT;
    return Error(Errc::io,
                 "cannot keep what would be replaced: " + path + ": " + errno_text(number),
                 full ? "this was not repaired; free space there, then run xlfsck again"
                      : "this was not repaired; it has to be possible to write there, then run "
                        "xlfsck again");
}

Result<void> write_synced(const std::string& path, int flags, const std::string& bytes)
{
    const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, 0600));
    if (!file) return not_kept(path, errno);
    for (std::size_t done = 0; done < bytes.size();) {
        const ssize_t count = ::write(file.get(), bytes.data() + done, bytes.size() - done);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return not_kept(path, errno);
        done += static_cast<std::size_t>(count);
    }
    if (::fsync(file.get()) != 0) return not_kept(path, errno);
    return {};
}

std::string or_null(const std::optional<std::string>& text)
{
    return text ? json_quote(*text) : "null";
}

Error changed_since(const std::string& what)
{
    return Error(Errc::conflict, what + " was changed since the repair, and stays as it is",
                 "put it back by hand if that is wanted");
}

// A line of the index, read back.
struct Line {
    std::string file;
    std::string node;
    std::int64_t domid = 0;
    std::string uuid;
    std::optional<std::string> before;
    std::optional<std::string> after;
    std::string permissions;
};

Result<std::vector<Line>> read_index(const std::string& directory)
{
    auto text = read_regular_file(directory + "/index", kIndexMost);
    if (!text) return std::move(text).error();
    std::vector<Line> lines;
    for (std::size_t at = 0; at < text->size();) {
        const auto end = std::min(text->find('\n', at), text->size());
        auto object = json_minify(text->substr(at, end - at), directory + "/index");
        // A process that was killed while it wrote it had changed nothing of it yet.
        if (!object && end == text->size()) break;
        if (!object) return std::move(object).error();
        Line line;
        line.file = json_get_string(*object, "file").value_or("");
        line.node = json_get_string(*object, "node").value_or("");
        line.domid = json_get_integer(*object, "domid").value_or(0);
        line.uuid = json_get_string(*object, "uuid").value_or("");
        line.before = json_get_string(*object, "before");
        line.after = json_get_string(*object, "after");
        line.permissions = json_get_string(*object, "permissions").value_or("");
        if (line.file.empty() == line.node.empty())
            return Error(Errc::invalid, directory + "/index has a line that is none of xlfsck's");
        lines.push_back(std::move(line));
        at = end + 1;
    }
    return lines;
}

// "n0,r7"
xenstore::Permissions permissions_of(std::string_view text)
{
    xenstore::Permissions all;
    while (!text.empty()) {
        const auto comma = std::min(text.find(','), text.size());
        xenstore::Permission one{};
        one.access = text.front();
        std::from_chars(text.data() + 1, text.data() + comma, one.domid);
        all.push_back(one);
        text.remove_prefix(std::min(comma + 1, text.size()));
    }
    return all;
}

class Undoing {
public:
    Undoing(Loop& loop, std::string directory, Deadline until)
        : loop_(loop), directory_(std::move(directory)), until_(until)
    {}

    Task<Result<void>> document(Line line)
    {
        const auto slash = line.file.rfind("/var/lib/xen/");
        if (slash == std::string::npos)
            co_return Error(Errc::invalid, line.file + " is no file of libxl's");
        const libxl::HostDirectories where(line.file.substr(0, slash));
        const libxl::FileOwner domain{line.domid, line.uuid};
        auto before = bytes_of(line.before);
        if (!before) co_return std::move(before).error();
        auto after = bytes_of(line.after);
        if (!after) co_return std::move(after).error();
        auto lock = co_await libxl::HostLock::take(
            loop_, libxl::lock_path(where, domain, libxl::HostLockKind::document), until_);
        if (!lock) co_return std::move(lock).error();
        auto now = libxl::read_document_bytes(line.file);
        if (!now) co_return std::move(now).error();
        // As it was: an undo that was killed has put it back, or a repair that was killed never
        // came to change it.
        if (*now == *before) co_return Result<void>();
        if (*now != *after) co_return changed_since(line.file);
        if (*before) co_return libxl::write_document_bytes(where, domain, **before);
        if (unlink(line.file.c_str()) != 0)
            co_return Error(Errc::io, "cannot remove " + line.file + ": " + errno_text(errno));
        co_return Result<void>();
    }

    Task<Result<void>> node(Line line)
    {
        if (!client_) {
            auto client = co_await Client::connect(loop_, xenstore::socket_path(), until_);
            if (!client) co_return std::move(client).error();
            client_.emplace(*std::move(client));
        }
        auto in = co_await client_->begin(until_);
        if (!in) co_return std::move(in).error();
        auto done = co_await change(line, *in);
        if (!done) {
            if (client_->usable()) (void)co_await client_->abort(*in, until_);
            co_return done;
        }
        auto committed = co_await client_->commit(*in, until_);
        if (!committed) co_return std::move(committed).error();
        if (!*committed) co_return changed_since(line.node);
        co_return Result<void>();
    }

private:
    Task<Result<void>> change(Line line, xenstore::Transaction in)
    {
        auto now = co_await client_->read(line.node, in, until_);
        if (!now) co_return std::move(now).error();
        if (*now == line.before) co_return Result<void>();
        if (*now != line.after) co_return changed_since(line.node);
        if (!line.before) co_return co_await client_->remove(line.node, in, until_);
        auto written = co_await client_->write(line.node, *line.before, in, until_);
        if (!written || line.permissions.empty()) co_return written;
        co_return co_await client_->set_permissions(line.node, permissions_of(line.permissions), in,
                                                    until_);
    }

    Result<std::optional<std::string>> bytes_of(const std::optional<std::string>& name) const
    {
        if (!name) return std::optional<std::string>();
        if (name->find('/') != std::string::npos)
            return Error(Errc::invalid, directory_ + "/index names a file elsewhere");
        auto bytes = read_regular_file(directory_ + "/" + *name, limits::document_bytes_max + 1);
        if (!bytes) return std::move(bytes).error();
        return std::optional(*std::move(bytes));
    }

    Loop& loop_;
    std::string directory_;
    Deadline until_;
    std::optional<Client> client_;
};

}  // namespace

Result<void> HostUndo::begin()
{
    if (!directory_.empty()) return {};
    const std::string place = root_ + "/var/lib/xlfsck";
    std::error_code error;
    std::filesystem::create_directories(root_ + "/var/lib", error);
    if (mkdir(place.c_str(), 0700) != 0 && errno != EEXIST) return not_kept(place, errno);
    for (int turn = 0; turn < 100; ++turn) {
        const std::string directory = dated_path(place + "/libxl-");
        if (mkdir(directory.c_str(), 0700) == 0) {
            directory_ = directory;
            return {};
        }
        if (errno != EEXIST) return not_kept(directory, errno);
    }
    return not_kept(place, EEXIST);
}

Result<std::string> HostUndo::put(const std::string& suffix, const std::string& bytes)
{
    std::string name = std::to_string(count_) + suffix;
    auto written = write_synced(directory_ + "/" + name, O_EXCL, bytes);
    if (!written) return std::move(written).error();
    return name;
}

Result<void> HostUndo::add_line(const std::string& line)
{
    return write_synced(directory_ + "/index", O_APPEND, line + "\n");
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
    return add_line(json_object({{"file", json_quote(where.document(domain))},
                                 {"domid", std::to_string(domain.domid)},
                                 {"uuid", json_quote(domain.uuid)},
                                 {"before", or_null(names[0])},
                                 {"after", or_null(names[1])}}));
}

Result<void> HostUndo::keep_nodes(const std::vector<NodeBefore>& nodes)
{
    if (auto begun = begin(); !begun) return begun;
    for (const auto& node : nodes) {
        auto kept = add_line(json_object({{"node", json_quote(node.path)},
                                          {"before", or_null(node.before)},
                                          {"after", or_null(node.after)},
                                          {"permissions", json_quote(node.permissions)}}));
        if (!kept) return kept;
    }
    return {};
}

Task<Result<std::vector<PutBack>>> undo_host_repair(Loop& loop, std::string directory,
                                                    Deadline until)
{
    auto lines = read_index(directory);
    if (!lines) co_return std::move(lines).error();
    std::vector<PutBack> all;
    Undoing undoing(loop, std::move(directory), until);
    for (auto line = lines->rbegin(); line != lines->rend(); ++line) {
        std::string what = line->file.empty() ? line->node : line->file;
        Line copy = *line;
        Result<void> done;
        if (line->file.empty())
            done = co_await undoing.node(std::move(copy));
        else
            done = co_await undoing.document(std::move(copy));
        all.push_back(PutBack{std::move(what), std::move(done)});
    }
    co_return std::move(all);
}

}  // namespace xlstore::recovery
