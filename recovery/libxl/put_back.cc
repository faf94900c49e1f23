// SPDX-License-Identifier: MIT
// Undoing goes backwards, change by change. Where what stands there is not what the repair made,
// another process has changed it since, and it stays. The nodes of one transaction are one change:
// half a list of devices is none. What the transaction never made is nothing to be undone, though
// another client has made the same since.
//
// In another boot nothing is put back: the nodes have gone, and a document without them would have
// no entry for what a domain of this boot has under the same number (R1).
//
//   1. Noted as undone: nothing is looked at.
//   2. The proof of an attempt shows that it was carried out: it is noted.
//   3. As it was before the repair, or changed since: nothing is written.
//   4. The attempt is noted with its proof; it is carried out, the proof with it; it is noted as
//      undone; the proof goes.
#include "recovery/libxl/put_back.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <map>
#include <optional>
#include <set>

#include "recovery/libxl/undo_index.hpp"
#include "store/base/limits.hpp"
#include "store/base/random.hpp"
#include "store/libxl/document_file.hpp"
#include "store/libxl/host_directories.hpp"
#include "store/libxl/host_lock.hpp"
#include "store/os/file_upkeep.hpp"
#include "store/os/regular_file.hpp"
#include "store/testing/crash_point.hpp"
#include "store/xenstore/client.hpp"
#include "store/xenstore/device_nodes.hpp"

namespace xlstore::recovery {

namespace {

using xenstore::Client;

constexpr const char* kByHand = "put it back by hand if that is wanted";

Error changed_since(const std::string& what)
{
    return Error(Errc::conflict, what + " was changed since the repair, and stays as it is",
                 kByHand);
}

// It stays because `other` does.
Error kept_with(const std::string& what, const std::string& other)
{
    if (what == other) return changed_since(what);
    return Error(Errc::conflict,
                 what + " stays, because " + other + " was changed since the repair", kByHand);
}

Error kept_behind(const std::string& what, const std::string& other)
{
    return Error(Errc::conflict,
                 what + " stays, because " + other + ", which came after it, was not put back",
                 kByHand);
}

Error not_proved(const std::string& what)
{
    return Error(Errc::conflict,
                 what + " stays: the repair was ended, and xenstore does not show that it made it",
                 kByHand);
}

Error of_another_boot(const std::string& what)
{
    return Error(Errc::conflict,
                 what +
                     " stays as it is: the host was booted since the repair, and the domains of "
                     "that boot are over",
                 "the document as it was is in the directory that was named, if it is wanted");
}

Error stayed_before(const std::string& what)
{
    return Error(Errc::conflict, what + " stayed when what came with it was put back",
                 "remove it by hand if nothing is below it and it is not wanted");
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

// What became of a change.
struct ChangeFate {
    std::vector<Result<void>> lines;  // in their order
    bool is_undone = false;           // but for nodes that need not come back with the others

    static ChangeFate none(const UndoChange& change, const Error& why)
    {
        return {std::vector<Result<void>>(change.lines.size(), Result<void>(why)), false};
    }
    template <typename Why>
    static ChangeFate stays(const UndoChange& change, Why why)
    {
        ChangeFate all;
        for (const auto& line : change.lines)
            all.lines.emplace_back(why(line.file.empty() ? line.node : line.file));
        return all;
    }
    static ChangeFate undone(const UndoChange& change, const std::vector<std::string>& left)
    {
        ChangeFate all{std::vector<Result<void>>(change.lines.size()), true};
        for (std::size_t i = 0; i < change.lines.size(); ++i)
            if (std::ranges::find(left, change.lines[i].node) != left.end())
                all.lines[i] = stayed_before(change.lines[i].node);
        return all;
    }
};

// A document of libxl's. The proof of an attempt is a file beside it: it takes the place of the
// document, or the document its name.
class DocumentUndo {
public:
    DocumentUndo(Loop& loop, const std::string& directory, UndoIndex& index, UndoChange& change,
                 Deadline until)
        : loop_(loop),
          directory_(directory),
          index_(index),
          change_(change),
          line_(change.lines.front()),
          until_(until)
    {}

    Task<Result<void>> run()
    {
        const auto slash = line_.file.rfind("/var/lib/xen/");
        if (slash == std::string::npos || !line_.domid)
            co_return Error(Errc::invalid, line_.file + " is no file of libxl's",
                            "it was left alone; name the directory that xlfsck printed");
        const libxl::HostDirectories where(line_.file.substr(0, slash));
        const libxl::FileOwner domain{*line_.domid, line_.uuid};
        if (line_.file != where.document(domain))
            co_return Error(
                Errc::invalid,
                line_.file + " is not the document of domain " + std::to_string(*line_.domid),
                "it was left alone; name the directory that xlfsck printed");
        proof_ =
            where.lib() + "/" +
            libxl::userdata_name(
                {'n', domain, "xlfsck-" + index_.run() + "-" + std::to_string(change_.number)});
        auto before = bytes_of(line_.before);
        if (!before) co_return std::move(before).error();
        auto after = bytes_of(line_.after);
        if (!after) co_return std::move(after).error();
        auto lock = co_await libxl::HostLock::take(
            loop_, libxl::lock_path(where, domain, libxl::HostLockKind::document), until_);
        if (!lock) co_return std::move(lock).error();
        auto now = libxl::read_document_bytes(line_.file);
        if (!now) co_return std::move(now).error();
        if (is_proved(*now)) co_return done();
        if (!index_.is_of_this_boot()) {
            if (line_.before) (void)unlink(proof_.c_str());  // bytes that never took its place
            co_return of_another_boot(line_.file);
        }
        // As it was: never changed by a repair that was killed, or put back by another process.
        if (*now == *before) co_return done();
        if (*now != *after) co_return changed_since(line_.file);
        co_return *before ? put(**before) : take_away();
    }

private:
    // Of an attempt that was noted.
    [[nodiscard]] bool is_proved(const std::optional<std::string>& now) const
    {
        if (change_.attempts.empty()) return false;
        struct stat seen {};
        const bool is_there = lstat(proof_.c_str(), &seen) == 0;
        // Of a domain that is over since, libxl has taken both away.
        if (line_.before) return !is_there && (now || !line_.after);
        return is_there;
    }

    Result<void> put(const std::string& bytes)
    {
        if (auto written = libxl::write_beside_document(proof_, bytes); !written) return written;
        if (auto noted = begin(); !noted) return noted;
        if (auto moved = libxl::move_document(proof_, line_.file); !moved) return moved;
        return done();
    }

    Result<void> take_away()
    {
        if (auto noted = begin(); !noted) return noted;
        if (auto moved = libxl::move_document(line_.file, proof_); !moved) return moved;
        return done();
    }

    Result<void> begin()
    {
        UndoAttempt attempt;
        attempt.proof = proof_;
        return index_.begin(change_, std::move(attempt));
    }

    // Where it cannot be noted, the proof stays.
    Result<void> done()
    {
        if (index_.settle(change_, {})) (void)unlink(proof_.c_str());
        return {};
    }

    [[nodiscard]] Result<std::optional<std::string>> bytes_of(
        const std::optional<std::string>& name) const
    {
        if (!name) return std::optional<std::string>();
        if (name->find('/') != std::string::npos)
            return Error(Errc::invalid, directory_ + "/index names a file elsewhere",
                         "it was left alone; name the directory that xlfsck printed");
        auto bytes = read_regular_file(directory_ + "/" + *name, limits::document_bytes_max + 1);
        if (!bytes) return std::move(bytes).error();
        return std::optional(*std::move(bytes));
    }

    Loop& loop_;
    const std::string& directory_;
    UndoIndex& index_;
    UndoChange& change_;
    const UndoLine& line_;
    Deadline until_;
    std::string proof_;
};

// The nodes of a transaction, in one transaction.
class NodesUndo {
public:
    NodesUndo(Client& client, UndoIndex& index, UndoChange& change, Deadline until)
        : client_(client), index_(index), change_(change), until_(until)
    {}

    Task<Result<ChangeFate>> run()
    {
        for (;;) {
            auto in = co_await client_.begin(until_);
            if (!in) co_return std::move(in).error();
            auto outcome = co_await put_back(*in);
            if (!outcome || !is_written_) {
                if (client_.usable()) (void)co_await client_.abort(*in, until_);
                if (outcome && outcome->is_undone) co_await note(left_of(*outcome));
                co_return std::move(outcome);
            }
            XLSTORE_CRASH_POINT("xenstore.before_commit");
            auto committed = co_await client_.commit(*in, until_);
            if (!committed) co_return std::move(committed).error();
            XLSTORE_CRASH_POINT("xenstore.after_commit");
            if (*committed) {
                co_await note(left_of(*outcome));
                co_return std::move(outcome);
            }
            if (Clock::now() >= until_)
                co_return Error(Errc::busy, "xenstore's other clients changed it all the time",
                                "run this again");
        }
    }

private:
    // All of the change, or nothing: what the repair made at once is put back at once.
    Task<Result<ChangeFate>> put_back(xenstore::Transaction in)
    {
        is_written_ = false;
        for (const auto& attempt : change_.attempts) {
            auto proof = co_await client_.read(attempt.proof, in, until_);
            if (!proof) co_return std::move(proof).error();
            if (*proof) co_return ChangeFate::undone(change_, attempt.left);
        }
        if (auto read = co_await look(in); !read) co_return std::move(read).error();
        auto proof = co_await client_.read(change_.proof, in, until_);
        if (!proof) co_return std::move(proof).error();
        const bool is_proved = change_.is_made || *proof;
        if (!is_as_before_ && (!is_proved || !changed_.empty())) co_return stays(is_proved);
        ChangeFate outcome{std::vector<Result<void>>(change_.lines.size()), true};
        for (std::size_t i = change_.lines.size(); i-- > 0;) {
            if (now_[i] == change_.lines[i].before) continue;
            auto one = co_await put_back_one(change_.lines[i], in);
            if (!one && one.error().code != Errc::conflict) co_return std::move(one).error();
            outcome.lines[i] = std::move(one);
        }
        auto begun = co_await begin(left_of(outcome), in);
        if (!begun) co_return std::move(begun).error();
        co_return std::move(outcome);
    }

    Task<Result<void>> look(xenstore::Transaction in)
    {
        now_.clear();
        changed_.clear();
        is_as_before_ = true;
        for (const auto& line : change_.lines) {
            auto value = co_await client_.read(line.node, in, until_);
            if (!value) co_return std::move(value).error();
            is_as_before_ = is_as_before_ && *value == line.before;
            if (*value != line.before && *value != line.after && changed_.empty())
                changed_ = line.node;
            now_.push_back(*std::move(value));
        }
        if (changed_.empty() && !is_as_before_) changed_ = made_anew();
        co_return Result<void>();
    }

    // A node that went and is there again, while others that went with it are not: what is below it
    // is another client's. "": there is none. A kind's node above the back ends of all domains
    // tells nothing.
    [[nodiscard]] std::string made_anew() const
    {
        std::set<std::string> of_all;
        for (const auto& line : change_.lines) {
            auto parents = xenstore::parents_of(line.node);
            if (xenstore::is_own_back_end(line.node) && !parents.empty())
                of_all.insert(std::move(parents.back()));
        }
        std::string anew;
        bool all = true;
        for (std::size_t i = 0; i < now_.size(); ++i) {
            if (change_.lines[i].after || of_all.contains(change_.lines[i].node)) continue;
            all = all && now_[i];
            if (now_[i]) anew = change_.lines[i].node;
        }
        return all ? std::string() : anew;
    }

    [[nodiscard]] ChangeFate stays(bool is_proved) const
    {
        ChangeFate outcome{std::vector<Result<void>>(change_.lines.size()), false};
        for (std::size_t i = 0; i < change_.lines.size(); ++i) {
            const auto& line = change_.lines[i];
            if (now_[i] != line.before || line.node == changed_)
                outcome.lines[i] =
                    is_proved ? kept_with(line.node, changed_) : not_proved(line.node);
        }
        return outcome;
    }

    // What the repair made below it has gone by now: what is there is another client's, or stays.
    Task<Result<void>> put_back_one(const UndoLine& line, xenstore::Transaction in)
    {
        if (!line.before) {
            auto below = co_await client_.directory(line.node, in, until_);
            if (!below) co_return std::move(below).error();
            if (*below && !(*below)->empty())
                co_return kept_with(line.node, line.node + "/" + (**below)[0]);
            co_return co_await client_.remove(line.node, in, until_);
        }
        auto written = co_await client_.write(line.node, *line.before, in, until_);
        if (!written || line.permissions.empty()) co_return written;
        co_return co_await client_.set_permissions(line.node, permissions_of(line.permissions), in,
                                                   until_);
    }

    // The repair's own proof goes with what it proved. As it was: nothing is to be proved.
    Task<Result<void>> begin(std::vector<std::string> left, xenstore::Transaction in)
    {
        is_written_ = true;
        auto gone = co_await client_.remove(change_.proof, in, until_);
        if (!gone || is_as_before_) co_return gone;
        UndoAttempt attempt;
        attempt.proof = "/tool/xlfsck-" + random_uuid();
        attempt.left = std::move(left);
        if (auto noted = index_.begin(change_, attempt); !noted) co_return noted;
        co_return co_await client_.write(attempt.proof, "", in, until_);
    }

    // Where it cannot be noted, the proof stays.
    Task<void> note(std::vector<std::string> left)
    {
        if (!index_.settle(change_, std::move(left))) co_return;
        for (const auto& attempt : change_.attempts)
            if (!co_await client_.remove(attempt.proof, 0, until_)) co_return;
    }

    [[nodiscard]] std::vector<std::string> left_of(const ChangeFate& outcome) const
    {
        std::vector<std::string> left;
        for (std::size_t i = 0; i < outcome.lines.size(); ++i)
            if (!outcome.lines[i]) left.push_back(change_.lines[i].node);
        return left;
    }

    Client& client_;
    UndoIndex& index_;
    UndoChange& change_;
    Deadline until_;
    std::vector<std::optional<std::string>> now_;
    std::string changed_;
    bool is_as_before_ = true;
    bool is_written_ = false;
};

class Undoing {
public:
    Undoing(Loop& loop, std::string directory, UndoIndex index, Deadline until)
        : loop_(loop), directory_(std::move(directory)), index_(std::move(index)), until_(until)
    {}

    Task<std::vector<PutBack>> run()
    {
        auto& changes = index_.changes();
        std::vector<PutBack> all;
        for (auto change = changes.rbegin(); change != changes.rend(); ++change) {
            const bool earlier = change->undone.has_value();
            auto outcome = co_await undo(*change);
            const auto& lines = change->lines;
            for (std::size_t i = lines.size(); i-- > 0;) {
                auto& line = outcome.lines[i];
                const bool stays = !line && line.error().code == Errc::conflict;
                const bool over = earlier || (stays && !index_.is_of_this_boot());
                all.push_back({lines[i].file.empty() ? lines[i].node : lines[i].file,
                               std::move(line), earlier, over});
            }
        }
        co_return all;
    }

private:
    Task<ChangeFate> undo(UndoChange& change)
    {
        if (change.undone) co_return ChangeFate::undone(change, *change.undone);
        const auto domid = change.lines.front().domid;
        if (const auto stays = domid ? staying_.find(*domid) : staying_.end();
            stays != staying_.end())
            co_return ChangeFate::stays(
                change, [&](const std::string& what) { return kept_behind(what, stays->second); });
        const bool is_this_boot = index_.is_of_this_boot();
        if (!is_this_boot && !change.proof.empty())
            co_return ChangeFate::stays(change, of_another_boot);
        ChangeFate outcome;
        if (change.proof.empty())
            outcome = co_await document(change);
        else
            outcome = co_await nodes(change);
        if (!outcome.is_undone && domid && is_this_boot) {
            const auto& first = change.lines.front();
            staying_.emplace(*domid, first.file.empty() ? first.node : first.file);
        }
        co_return outcome;
    }

    Task<ChangeFate> document(UndoChange& change)
    {
        DocumentUndo one(loop_, directory_, index_, change, until_);
        auto done = co_await one.run();
        ChangeFate outcome;
        outcome.is_undone = done.has_value();
        outcome.lines.push_back(std::move(done));
        co_return outcome;
    }

    Task<ChangeFate> nodes(UndoChange& change)
    {
        if (!client_ || !client_->usable()) {
            auto client = co_await Client::connect(loop_, xenstore::socket_path(), until_);
            if (!client) co_return ChangeFate::none(change, client.error());
            client_.emplace(*std::move(client));
        }
        NodesUndo one(*client_, index_, change, until_);
        auto outcome = co_await one.run();
        if (!outcome) co_return ChangeFate::none(change, outcome.error());
        co_return *std::move(outcome);
    }

    Loop& loop_;
    std::string directory_;
    UndoIndex index_;
    Deadline until_;
    std::optional<Client> client_;
    std::map<std::int64_t, std::string> staying_;  // by domid: what was not put back
};

}  // namespace

Task<Result<std::vector<PutBack>>> undo_host_repair(Loop& loop, std::string directory,
                                                    Deadline until)
{
    auto index = UndoIndex::open(directory);
    if (!index) co_return std::move(index).error();
    Undoing undoing(loop, std::move(directory), *std::move(index), until);
    auto all = co_await undoing.run();
    co_return std::move(all);
}

}  // namespace xlstore::recovery
