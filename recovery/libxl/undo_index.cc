// SPDX-License-Identifier: MIT
// Lines are appended, and each is synced. What a process that was killed, or a full disk, left of a
// line is taken away before another is written behind it.
#include "recovery/libxl/undo_index.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "store/base/random.hpp"
#include "store/os/process.hpp"
#include "store/os/regular_file.hpp"
#include "store/text/json_text.hpp"

namespace xlstore::recovery {

namespace {

constexpr std::size_t kIndexMost = std::size_t{64} << 20;

std::string list_json(const std::vector<std::string>& all)
{
    std::string text;
    for (const auto& one : all)
        text += (text.empty() ? "" : ",") + json_quote(one);
    return "[" + text + "]";
}

std::vector<std::string> list_in(const std::string& object, std::string_view key)
{
    std::vector<std::string> all;
    const auto list = json_find(object, key);
    if (!list || json_type(*list) != JsonType::array) return all;
    for (const auto element : json_elements(*list))
        if (json_type(element) == JsonType::string) all.push_back(json_decode_string(element));
    return all;
}

}  // namespace

Error not_kept(const std::string& path, int number)
{
    const bool full = number == ENOSPC || number == EDQUOT;
    return Error(Errc::io, "cannot write " + path + ": " + errno_text(number),
                 full ? "what it would be about was not changed; free space there, then run "
                        "xlfsck again"
                      : "what it would be about was not changed; it has to be possible to write "
                        "there, then run xlfsck again");
}

Result<UndoIndex> UndoIndex::make(const std::string& directory)
{
    const std::string path = directory + "/index";
    UndoIndex made(
        path, Fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600)));
    if (!made.file_) return not_kept(path, errno);
    if (auto locked = made.lock(); !locked) return std::move(locked).error();
    made.run_ = random_uuid();
    made.boot_ = current_boot_id();
    auto begun =
        made.add(json_object({{"run", json_quote(made.run_)}, {"boot", json_quote(made.boot_)}}));
    if (!begun) {
        (void)unlink(path.c_str());
        return std::move(begun).error();
    }
    return made;
}

Result<UndoIndex> UndoIndex::open(const std::string& directory)
{
    const std::string path = directory + "/index";
    UndoIndex found(path, Fd(::open(path.c_str(), O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW |
                                                      O_NONBLOCK | O_NOCTTY)));
    if (!found.file_)
        return Error(Errc::io, "cannot open " + path + ": " + errno_text(errno),
                     "nothing was changed; name the directory that xlfsck printed");
    if (auto locked = found.lock(); !locked) return std::move(locked).error();
    if (auto read = found.read(); !read) return std::move(read).error();
    return found;
}

Result<void> UndoIndex::lock()
{
    if (flock(file_.get(), LOCK_EX | LOCK_NB) == 0) return {};
    if (errno != EWOULDBLOCK)
        return Error(Errc::io, "cannot lock " + path_ + ": " + errno_text(errno));
    return Error(Errc::busy, "another process uses " + path_,
                 "nothing was changed; wait until that xlfsck has ended, and run it again");
}

// A process that was killed while it wrote a line had not done what the line speaks of.
Result<void> UndoIndex::read()
{
    auto text = read_regular_file(path_, kIndexMost);
    if (!text) return std::move(text).error();
    const auto whole = text->rfind('\n') + 1;  // 0: there is no whole line
    const auto refused = [this](const std::string& what) {
        return Error(Errc::invalid, path_ + what,
                     "nothing was changed; name the directory that xlfsck printed");
    };
    int number = 0;
    for (std::size_t at = 0; at < whole;) {
        const auto end = text->find('\n', at);
        const auto object = json_minify(text->substr(at, end - at), path_);
        ++number;
        if (!object || !take(*object))
            return refused(", line " + std::to_string(number) + ", is none of xlfsck's");
        at = end + 1;
    }
    if (run_.empty() && !changes_.empty()) return refused(" does not say of which run it is");
    if (whole < text->size() && ftruncate(file_.get(), static_cast<off_t>(whole)) != 0)
        return not_kept(path_, errno);
    std::erase_if(changes_, [](const UndoChange& one) { return one.is_withdrawn; });
    return {};
}

bool UndoIndex::take(const std::string& object)
{
    if (auto run = json_get_string(object, "run")) {
        run_ = *std::move(run);
        boot_ = json_get_string(object, "boot").value_or("");
        return true;
    }
    const auto made = json_get_string(object, "made");
    if (const auto settled = made ? made : json_get_string(object, "withdrawn")) {
        UndoChange* const which = of_proof(*settled);
        if (which) (made ? which->is_made : which->is_withdrawn) = true;
        return which != nullptr;
    }
    const auto undoing = json_get_integer(object, "undoing");
    if (const auto number = undoing ? undoing : json_get_integer(object, "undone")) {
        if (*number < 1 || *number > static_cast<std::int64_t>(changes_.size())) return false;
        UndoChange& which = changes_[static_cast<std::size_t>(*number - 1)];
        auto left = list_in(object, "left");
        if (undoing)
            which.attempts.push_back(
                {json_get_string(object, "proof").value_or(""), std::move(left)});
        else
            which.undone = std::move(left);
        return true;
    }
    return take_change(object);
}

bool UndoIndex::take_change(const std::string& object)
{
    UndoLine line;
    line.file = json_get_string(object, "file").value_or("");
    line.node = json_get_string(object, "node").value_or("");
    line.domid = json_get_integer(object, "domid");
    line.uuid = json_get_string(object, "uuid").value_or("");
    line.before = json_get_string(object, "before");
    line.after = json_get_string(object, "after");
    line.permissions = json_get_string(object, "permissions").value_or("");
    auto proof = json_get_string(object, "proof").value_or("");
    if (line.file.empty() == line.node.empty() || line.node.empty() != proof.empty()) return false;
    if (proof.empty() || changes_.empty() || changes_.back().proof != proof) {
        UndoChange change;
        change.number = static_cast<int>(changes_.size()) + 1;
        change.proof = std::move(proof);
        changes_.push_back(std::move(change));
    }
    changes_.back().lines.push_back(std::move(line));
    return true;
}

UndoChange* UndoIndex::of_proof(const std::string& proof)
{
    const auto which = std::ranges::find(changes_, proof, &UndoChange::proof);
    return which == changes_.end() || proof.empty() ? nullptr : &*which;
}

// What was not written as a whole goes, or the next line would stand behind it.
Result<void> UndoIndex::add(const std::string& lines)
{
    const std::string bytes = lines + "\n";
    const off_t end = lseek(file_.get(), 0, SEEK_END);
    int failure = 0;
    for (std::size_t done = 0; failure == 0 && done < bytes.size();) {
        const ssize_t count = ::write(file_.get(), bytes.data() + done, bytes.size() - done);
        if (count >= 0)
            done += static_cast<std::size_t>(count);
        else if (errno != EINTR)
            failure = errno;
    }
    if (failure == 0 && ::fsync(file_.get()) != 0) failure = errno;
    if (failure == 0) return {};
    if (end >= 0) (void)!ftruncate(file_.get(), end);
    return not_kept(path_, failure);
}

Result<void> UndoIndex::begin(UndoChange& change, UndoAttempt attempt)
{
    auto added = add(json_object({{"undoing", std::to_string(change.number)},
                                  {"proof", json_quote(attempt.proof)},
                                  {"left", list_json(attempt.left)}}));
    if (added) change.attempts.push_back(std::move(attempt));
    return added;
}

Result<void> UndoIndex::settle(UndoChange& change, std::vector<std::string> left)
{
    auto added =
        add(json_object({{"undone", std::to_string(change.number)}, {"left", list_json(left)}}));
    change.undone = std::move(left);
    return added;
}

bool UndoIndex::is_of_this_boot() const
{
    return boot_.empty() || boot_ == current_boot_id();
}

}  // namespace xlstore::recovery
