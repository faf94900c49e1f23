// SPDX-License-Identifier: MIT
// A change is kept before it is made: bytes and line are synced, and what could not be kept is not
// replaced. Undoing goes the other way, change by change, each by itself: where what stands there
// is not what the repair made, another process has changed it since, and it stays. The nodes of one
// transaction are one change: half a list of devices is none. What the transaction never made is
// nothing to be undone, though another client has made the same since.
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
#include "store/base/random.hpp"
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

// It stays because `other` does.
Error kept_with(const std::string& what, const std::string& other)
{
    if (what == other) return changed_since(what);
    return Error(Errc::conflict,
                 what + " stays, because " + other + " was changed since the repair",
                 "put it back by hand if that is wanted");
}

Error not_proved(const std::string& what)
{
    return Error(Errc::conflict,
                 what + " stays: the repair was ended, and xenstore does not show that it made it",
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
    std::string proof;
};

// A file, or the nodes of a transaction.
struct Change {
    std::vector<Line> lines;
    std::string proof;
    bool is_made = false;
};

// {"made":NODE} and {"withdrawn":NODE} speak of a change that stands before them.
bool take_settled(const std::string& object, std::vector<Change>& changes)
{
    const auto made = json_get_string(object, "made");
    const auto settled = made ? made : json_get_string(object, "withdrawn");
    if (!settled) return false;
    const auto which = std::ranges::find(changes, *settled, &Change::proof);
    if (which != changes.end() && made)
        which->is_made = true;
    else if (which != changes.end())
        changes.erase(which);
    return true;
}

Result<std::vector<Change>> read_index(const std::string& directory)
{
    auto text = read_regular_file(directory + "/index", kIndexMost);
    if (!text) return std::move(text).error();
    std::vector<Change> changes;
    for (std::size_t at = 0; at < text->size();) {
        const auto end = std::min(text->find('\n', at), text->size());
        auto object = json_minify(text->substr(at, end - at), directory + "/index");
        // A process that was killed while it wrote it had changed nothing of it yet.
        if (!object && end == text->size()) break;
        if (!object) return std::move(object).error();
        at = end + 1;
        if (take_settled(*object, changes)) continue;
        Line line;
        line.file = json_get_string(*object, "file").value_or("");
        line.node = json_get_string(*object, "node").value_or("");
        line.domid = json_get_integer(*object, "domid").value_or(0);
        line.uuid = json_get_string(*object, "uuid").value_or("");
        line.before = json_get_string(*object, "before");
        line.after = json_get_string(*object, "after");
        line.permissions = json_get_string(*object, "permissions").value_or("");
        line.proof = json_get_string(*object, "proof").value_or("");
        if (line.file.empty() == line.node.empty() || line.node.empty() != line.proof.empty())
            return Error(Errc::invalid, directory + "/index has a line that is none of xlfsck's");
        if (line.proof.empty() || changes.empty() || changes.back().proof != line.proof)
            changes.push_back({{}, line.proof, false});
        changes.back().lines.push_back(std::move(line));
    }
    return changes;
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

    /// Of each line, in their order, what became of it.
    Task<Result<std::vector<Result<void>>>> nodes(Change change)
    {
        if (!client_) {
            auto client = co_await Client::connect(loop_, xenstore::socket_path(), until_);
            if (!client) co_return std::move(client).error();
            client_.emplace(*std::move(client));
        }
        for (;;) {
            auto in = co_await client_->begin(until_);
            if (!in) co_return std::move(in).error();
            auto done = co_await put_back(change, *in);
            if (!done) {
                if (client_->usable()) (void)co_await client_->abort(*in, until_);
                co_return std::move(done).error();
            }
            auto committed = co_await client_->commit(*in, until_);
            if (!committed) co_return std::move(committed).error();
            if (*committed) co_return std::move(done);
            if (Clock::now() >= until_)
                co_return Error(Errc::busy, "xenstore's other clients changed it all the time",
                                "run this again");
        }
    }

private:
    // All of the change, or nothing: what the repair made at once is put back at once.
    Task<Result<std::vector<Result<void>>>> put_back(const Change& change, xenstore::Transaction in)
    {
        std::vector<std::optional<std::string>> now;
        std::string changed;
        bool is_as_before = true;
        for (const auto& line : change.lines) {
            auto value = co_await client_->read(line.node, in, until_);
            if (!value) co_return std::move(value).error();
            is_as_before = is_as_before && *value == line.before;
            if (*value != line.before && *value != line.after && changed.empty())
                changed = line.node;
            now.push_back(*std::move(value));
        }
        if (changed.empty() && !is_as_before) changed = made_anew(change, now);
        auto proof = co_await client_->read(change.proof, in, until_);
        if (!proof) co_return std::move(proof).error();
        const bool is_proved = change.is_made || *proof;
        std::vector<Result<void>> done(change.lines.size());
        if (!is_as_before && (!is_proved || !changed.empty())) {
            for (std::size_t i = 0; i < done.size(); ++i)
                if (now[i] != change.lines[i].before || change.lines[i].node == changed)
                    done[i] = is_proved ? kept_with(change.lines[i].node, changed)
                                        : not_proved(change.lines[i].node);
            co_return std::move(done);
        }
        for (std::size_t i = done.size(); i-- > 0;) {
            if (now[i] == change.lines[i].before) continue;
            auto one = co_await put_back_one(change.lines[i], in);
            if (!one && one.error().code != Errc::conflict) co_return std::move(one).error();
            done[i] = std::move(one);
        }
        auto gone = co_await client_->remove(change.proof, in, until_);
        if (!gone) co_return std::move(gone).error();
        co_return std::move(done);
    }

    // A node that went and is there again, while others that went with it are not: what is below it
    // is another client's. "": there is none.
    static std::string made_anew(const Change& change,
                                 const std::vector<std::optional<std::string>>& now)
    {
        std::string anew;
        bool all = true;
        for (std::size_t i = 0; i < now.size(); ++i) {
            if (change.lines[i].after) continue;
            all = all && now[i];
            if (now[i]) anew = change.lines[i].node;
        }
        return all ? std::string() : anew;
    }

    // What the repair made below it has gone by now: what is there is another client's, or stays.
    Task<Result<void>> put_back_one(const Line& line, xenstore::Transaction in)
    {
        if (!line.before) {
            auto below = co_await client_->directory(line.node, in, until_);
            if (!below) co_return std::move(below).error();
            if (*below && !(*below)->empty())
                co_return kept_with(line.node, line.node + "/" + (**below)[0]);
            co_return co_await client_->remove(line.node, in, until_);
        }
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

Result<std::string> HostUndo::keep_nodes(const std::vector<NodeBefore>& nodes)
{
    if (auto begun = begin(); !begun) return std::move(begun).error();
    std::string proof = "/tool/xlfsck-" + random_uuid();
    std::string lines;
    for (const auto& node : nodes)
        lines += (lines.empty() ? "" : "\n") +
                 json_object({{"node", json_quote(node.path)},
                              {"before", or_null(node.before)},
                              {"after", or_null(node.after)},
                              {"permissions", json_quote(node.permissions)},
                              {"proof", json_quote(proof)}});
    if (auto kept = add_line(lines); !kept) return std::move(kept).error();
    return proof;
}

Result<void> HostUndo::settle_nodes(const std::string& proof, bool made)
{
    return add_line(json_object({{made ? "made" : "withdrawn", json_quote(proof)}}));
}

Task<Result<std::vector<PutBack>>> undo_host_repair(Loop& loop, std::string directory,
                                                    Deadline until)
{
    auto changes = read_index(directory);
    if (!changes) co_return std::move(changes).error();
    std::vector<PutBack> all;
    Undoing undoing(loop, std::move(directory), until);
    for (auto change = changes->rbegin(); change != changes->rend(); ++change) {
        const auto& lines = change->lines;
        if (change->proof.empty()) {
            Line copy = lines.front();
            auto done = co_await undoing.document(std::move(copy));
            all.push_back(PutBack{lines.front().file, std::move(done)});
            continue;
        }
        Change copy = *change;
        auto done = co_await undoing.nodes(std::move(copy));
        for (std::size_t i = lines.size(); i-- > 0;) {
            Result<void> one = done ? std::move((*done)[i]) : Result<void>(done.error());
            all.push_back(PutBack{lines[i].node, std::move(one)});
        }
    }
    co_return std::move(all);
}

}  // namespace xlstore::recovery
