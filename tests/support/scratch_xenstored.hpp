// SPDX-License-Identifier: MIT
// The real xenstored, in a directory of the test, without Xen and without root (quiet_xen.c); what
// it holds is written and read with no code of the project's.
#ifndef XLSTORE_TESTS_SUPPORT_SCRATCH_XENSTORED_HPP_
#define XLSTORE_TESTS_SUPPORT_SCRATCH_XENSTORED_HPP_

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/process.hpp"

namespace xlstore::test {

/// What is not installed, or is not built, that is needed to run it; "" when nothing is missing.
[[nodiscard]] std::string xenstored_missing();

/// Asks a xenstored over its socket, one request after another, as domain 0 does. Every function
/// but read() and list() throws std::runtime_error, with the daemon's word for it (ENOENT …), when
/// it is refused or does not answer within ten seconds.
class XenstoreTool {
public:
    explicit XenstoreTool(const std::string& socket);  ///< connects
    XenstoreTool(const XenstoreTool&) = delete;
    XenstoreTool& operator=(const XenstoreTool&) = delete;
    ~XenstoreTool();

    [[nodiscard]] std::optional<std::string> read(const std::string& path);  ///< none: ENOENT
    [[nodiscard]] std::vector<std::string> list(const std::string& path);    ///< empty: ENOENT
    void write(const std::string& path, const std::string& value);
    void remove(
        const std::string& path);  ///< with all below it; what is not there is removed already
    /// "n0,r7": the owner and what the others may, then exceptions.
    void set_permissions(const std::string& path, const std::string& permissions);
    [[nodiscard]] std::string permissions(const std::string& path);
    /// Tells it of a domain, as a toolstack does that creates one, or that it has gone.
    void introduce(unsigned domid);
    void release(unsigned domid);
    /// Writes a tree, each line `/path = "value"` and perhaps, behind blanks, `(n0,r7)`: what
    /// `xenstore-ls -fp` prints; without permissions a node has those that it inherits. Bytes that
    /// do not print stand as \ooo or \xhh, as well as \\ and \". Empty lines, and those that begin
    /// with #, are skipped.
    void load(const std::string& tree);
    /// What is at and below `path`, in that form, each with its permissions; sorted.
    [[nodiscard]] std::string dump(const std::string& path = "/");

private:
    [[nodiscard]] std::string ask(unsigned type, const std::string& payload);
    void dump_below(const std::string& path, std::vector<std::string>& lines);

    int fd_ = -1;
    unsigned last_id_ = 0;
};

/// A daemon. Its directory is a ScratchDirectory's, which ends it at the latest.
class ScratchXenstored {
public:
    /// Starts one, and returns when it answers. `directory` is made if it is not there; a file
    /// `config` in it is oxenstored's configuration.
    explicit ScratchXenstored(const std::string& directory);
    ScratchXenstored(const ScratchXenstored&) = delete;
    ScratchXenstored& operator=(const ScratchXenstored&) = delete;
    ~ScratchXenstored();

    [[nodiscard]] std::string socket() const { return directory_ + "/socket"; }
    /// For a command that is to use it.
    [[nodiscard]] Environment environment() const { return {{"XENSTORED_PATH", socket()}}; }
    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    /// A connection of the test's own, made when it is first used and after each restart.
    [[nodiscard]] XenstoreTool& tool();

    void stop();    ///< SIGSTOP: it is there and does not answer
    void resume();  ///< SIGCONT
    void kill();    ///< SIGKILL, and reaps it; what it held is gone, the socket's path stays
    /// Another one in its place, with nothing in it, after kill() or instead of the one that runs.
    void restart();

private:
    void start();

    std::string directory_;
    pid_t pid_ = -1;
    std::unique_ptr<XenstoreTool> tool_;
};

}  // namespace xlstore::test

/// Skips a test by name where there is no xenstored to run.
#define XLSTORE_NEEDS_XENSTORED()                                                      \
    do {                                                                               \
        if (const auto missing = xlstore::test::xenstored_missing(); !missing.empty()) \
            GTEST_SKIP() << missing;                                                   \
    } while (false)

#endif  // XLSTORE_TESTS_SUPPORT_SCRATCH_XENSTORED_HPP_
