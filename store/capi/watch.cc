// SPDX-License-Identifier: MIT
// Changes, by this process and others. After each commit the numbers that the directory remembers
// (R17) are written into the file `locks`: inotify on the directory tells of that, and needs no
// right to open the file, which a member of the reading group has not. The file is written for
// other reasons, too: a look that finds nothing is cheap. What was changed is what history has more
// than before: each commit that changes a domain or a document, or closes an intent, leaves a line,
// and the numbers of lines grow in the order of the commits. One that opens an intent leaves none.
#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "store/capi/handle.hpp"
#include "store/model/store_paths.hpp"

namespace xlstore::capi {

namespace {

// In one dispatch, so that the embedder's loop has its turn.
constexpr std::int64_t kLinesPerDispatch = 256;

/// Has a file of this name been written to? Takes all events that are there.
bool was_written(int inotify, std::string_view name)
{
    bool written = false;
    alignas(inotify_event) std::array<char, 8192> events{};
    for (;;) {
        const auto got = read(inotify, events.data(), events.size());
        if (got <= 0) return written;
        for (std::size_t at = 0; at < static_cast<std::size_t>(got);) {
            inotify_event event{};
            std::memcpy(&event, events.data() + at, sizeof event);
            const char* of = events.data() + at + sizeof event;
            // Where events were dropped, any of them may have been this one.
            if ((event.mask & IN_Q_OVERFLOW) != 0 || (event.len > 0 && name == of)) written = true;
            at += sizeof event + event.len;
        }
    }
}

struct Line {
    xlstore_change change;
    std::array<std::optional<std::string>, 4> texts;  // operation, class, key, outcome
};

}  // namespace

class Watch final : public Teller {
public:
    Watch(State& state, std::int64_t last, xlstore_changed changed, void* userdata, Fd events)
        : state_(state),
          last_(last),
          changed_(changed),
          userdata_(userdata),
          events_(std::move(events))
    {}
    void begin()
    {
        waiting_.emplace(wait());
        waiting_->start();
        ring_if_due(state_);
    }
    /// No callback comes any more.
    void let_go() noexcept override
    {
        waiting_.reset();
        events_.reset();
        over_ = true;
    }
    [[nodiscard]] State& state() noexcept { return state_; }
    [[nodiscard]] bool over() const noexcept { return over_; }
    // Not again at once where reading failed: the embedder's loop would spin.
    [[nodiscard]] bool is_due() const noexcept override { return due_ && !over_ && !failed_; }

    void deliver() override
    {
        if (over_ || !due_) return;
        failed_ = true;
        const auto lines = read_lines();  // what it throws leaves them due
        failed_ = false;
        due_ = false;
        for (const auto& line : lines) {
            if (over_ || state_.closed) return;
            last_ = line.change.line;
            xlstore_change change = line.change;
            const auto text = [&](std::size_t i) {
                return line.texts.at(i) ? line.texts.at(i)->c_str() : nullptr;
            };
            change.operation = text(0);
            change.device_class = text(1);
            change.key = text(2);
            change.outcome = text(3);
            changed_(&change, userdata_);
        }
        if (lines.size() >= kLinesPerDispatch) due_ = true;
    }

private:
    // At once for what is there already, then whenever a commit was made.
    Task<void> wait()
    {
        Loop& loop = state_.store->loop();
        for (;;) {
            due_ = true;
            failed_ = false;
            do {
                (void)co_await loop.readable(events_.get(), Deadline::max());
            } while (!was_written(events_.get(), "locks"));
        }
    }

    std::vector<Line> read_lines()
    {
        std::vector<Line> lines;
        Db& db = state_.store->db();
        const ReadTransaction snapshot(db);
        auto pruned = db.prepare("SELECT history_pruned_below FROM store");
        const auto below = pruned.step() ? pruned.integer(0) : 0;
        auto row = db.prepare(
                         "SELECT id, domid, domain, intent, operation, class, key, outcome "
                         "FROM history WHERE id > ? ORDER BY id LIMIT ?")
                       .bind(last_)
                       .bind(kLinesPerDispatch);
        while (row.step()) {
            Line line{};
            line.change.struct_size = sizeof line.change;
            line.change.line = row.integer(0);
            line.change.domid = row.is_null(1) ? -1 : static_cast<int32_t>(row.integer(1));
            line.change.id = row.is_null(2) ? 0 : row.integer(2);
            line.change.intent = row.is_null(3) ? 0 : row.integer(3);
            for (int i = 0; i < 4; ++i)
                if (!row.is_null(4 + i))
                    line.texts.at(static_cast<std::size_t>(i)) = row.text(4 + i);
            if (lines.empty() && below > last_ + 1)
                line.change.missed = std::min(below, line.change.line) - last_ - 1;
            lines.push_back(std::move(line));
        }
        return lines;
    }

    State& state_;
    std::int64_t last_;  // the line that was told last
    xlstore_changed changed_;
    void* userdata_;
    Fd events_;
    std::optional<Task<void>> waiting_;
    bool due_ = false;
    bool failed_ = false;  // the last try to read what is due
    bool over_ = false;
};

}  // namespace xlstore::capi

struct xlstore_watch {
    std::shared_ptr<xlstore::capi::Watch> watch;
};

using namespace xlstore;        // NOLINT(google-build-using-namespace): this is its C face
using namespace xlstore::capi;  // NOLINT(google-build-using-namespace)

int32_t xlstore_watch_start(xlstore_store* store, int64_t after, xlstore_changed changed,
                            void* userdata, xlstore_watch** watch_out)
{
    return guarded([&]() -> Result<void> {
        auto found = state_of(store);
        if (!found) return found.error();
        State& state = **found;
        if (!changed) return Error(Errc::invalid, "changed: NULL");
        if (!watch_out) return Error(Errc::invalid, "watch_out: NULL");
        if (after < -1) return Error(Errc::invalid, "after: below -1");
        const std::string& directory = state.store->directory();
        Fd events(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
        if (!events || inotify_add_watch(events.get(), directory.c_str(), IN_MODIFY) < 0)
            return Error(Errc::io, "cannot watch " + directory + ": " + errno_text(errno),
                         events ? "inotify has a limit: see fs.inotify.max_user_watches"
                                : "see how many descriptors this process may have ('ulimit -n'), "
                                  "and its user inotifies (fs.inotify.max_user_instances)");
        if (after < 0) {
            auto row = state.store->db().prepare("SELECT coalesce(max(id), 0) FROM history");
            after = row.step() ? row.integer(0) : 0;
        }
        auto watch =
            std::make_shared<Watch>(state, after, changed, userdata, std::move(events));
        std::unique_ptr<xlstore_watch> handle(new xlstore_watch{watch});
        depend(state, watch);
        state.tellers.push_back(watch);
        watch->begin();
        *watch_out = handle.release();
        return {};
    });
}

void xlstore_watch_end(xlstore_watch* watch)
{
    if (!watch) return;
    if (!watch->watch->over()) {
        watch->watch->state().tellers.remove(watch->watch);
        watch->watch->let_go();
    }
    delete watch;
}
