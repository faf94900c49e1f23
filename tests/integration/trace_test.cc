// SPDX-License-Identifier: MIT
// The list of crash points against a trace of system calls.
#include <iterator>
#include <sstream>

#include "tests/support/scratch.hpp"

namespace xlstore::test {
namespace {

/// What is counted in a trace, and the point before and after it.
struct Effect {
    const char* verb;  ///< during which it happens
    const char* call;  ///< "commit" is made of several, see count()
    const char* before;
    const char* after;
    friend std::ostream& operator<<(std::ostream& out, const Effect& one)
    {
        return out << one.verb << " " << one.call;
    }
};

// One commit is one stretch of writing the log: between two of them SQLite takes its writer's lock
// (a byte of the index) anew.
int count(const std::string& trace, const std::string& call)
{
    int found = 0;
    bool writing = false;
    std::istringstream lines(trace);
    std::string command;  // its pid
    for (std::string line; std::getline(lines, line);) {
        const std::string pid = line.substr(0, line.find(' '));
        if (command.empty()) command = pid;
        line.erase(0, line.find_first_not_of("0123456789 "));
        if (call == "commit") {
            if (line.starts_with("pwrite64(") && line.find("store.db-wal>") != std::string::npos) {
                if (!writing) ++found;
                writing = true;
            } else if (line.starts_with("fcntl(") &&
                       line.find("store.db-shm>") != std::string::npos &&
                       line.find("F_WRLCK") != std::string::npos &&
                       line.find("l_start=120,") != std::string::npos) {
                writing = false;
            }
        } else if (call == "fork") {  // the command's own; QEMU's child starts its log's keeper
            if (pid != command) continue;
            for (const char* one : {"clone(", "clone3(", "fork(", "vfork("})
                if (line.starts_with(one)) ++found;
        } else if (call == "start_barrier") {  // the one byte that lets a child run
            if (line.starts_with("sendto(") && line.find(", 1, ") != std::string::npos) ++found;
        } else if (call == "connect") {
            if (line.starts_with("connect(") && line.find("AF_UNIX") != std::string::npos) ++found;
        } else if (call == "unlink") {
            if (line.starts_with("unlink") && line.find("/run/qmp-") != std::string::npos) ++found;
        } else if (call == "recvfrom") {  // of QEMU's monitor; a child's start barrier sends less
            if (line.starts_with("recvfrom(") && line.find(", 16384, ") != std::string::npos)
                ++found;
        } else if (call ==
                   "sendmsg") {  // the child that opens an image answers on its descriptor 0
            if (line.starts_with("sendmsg(") && !line.starts_with("sendmsg(0<")) ++found;
        } else if (line.starts_with(call + "(")) {
            ++found;
        }
    }
    return found;
}

class TraceTest : public testing::TestWithParam<Effect> {
protected:
    /// `xlstore VERB` on a state in which it can succeed, under strace.
    Ran traced(const Environment& more)
    {
        Words words = {"strace",
                       "-f",
                       "-b",
                       "execve",
                       "-y",
                       "-s",
                       "16",
                       "-o",
                       trace_file_,
                       "-e",
                       "trace=sendmsg,recvfrom,connect,clone,clone3,fork,vfork,sendto,"
                       "pidfd_send_signal,unlink,unlinkat,pwrite64,fcntl",
                       binary("xlstore"),
                       "--store",
                       store_.path()};
        Words verb = {"destroy", "7"};
        if (GetParam().verb == std::string("create"))
            verb = create_words(7, material_, material_.qemu());
        if (GetParam().verb == std::string("insert"))
            verb = {"insert", "7", "hdc", material_.images['b']};
        words.insert(words.end(), verb.begin(), verb.end());
        Environment environment = more;
        environment["ASAN_OPTIONS"] = "detect_leaks=0";  // it does not work under ptrace
        return run(words, environment);
    }
    void make_ready()
    {
        EXPECT_LE(xlfsck(store_.path(), {"-p"}).status, 1);
        const bool there = sql(store_.path(), "SELECT 1 FROM domains") == "1";
        const bool wanted = GetParam().verb != std::string("create");
        if (there && !wanted) {
            ASSERT_TRUE(ended(xlstore(store_.path(), {"destroy", "7"}), 0));
        }
        if (!there && wanted) {
            ASSERT_TRUE(
                ended(xlstore(store_.path(), create_words(7, material_, material_.qemu())), 0));
        }
    }

    ScratchStore store_;
    Material material_{store_.directory(), 7, "web"};
    std::string trace_file_ = store_.directory() / "trace";
};

// Every effect of an ordinary run lies between its two points: killed at the Nth passing of the
// point before it, the process has done it N - 1 times, at the point after it N times. The last
// one of a run tells of them all: an effect without a point would make the numbers part.
TEST_P(TraceTest, EveryEffectHasItsPoints)
{
    if (!strace_works()) GTEST_SKIP() << "strace is not there or may not trace";
    const auto& [verb, call, before, after] = GetParam();
    make_ready();
    ASSERT_TRUE(ended(traced({}), 0));
    const int of = count(read_file(trace_file_), call);
    ASSERT_GT(of, 0) << "the trace shows no " << call;

    for (const bool at_before : {true, false}) {
        make_ready();
        const Ran ran = traced(crash_at(at_before ? before : after, of));
        const int done = count(read_file(trace_file_), call);
        // How many pieces QEMU's answers come in is not the same in each run.
        if (ran.status == 0) {
            EXPECT_LT(done, of) << (at_before ? before : after);
        } else {
            EXPECT_EQ(done, at_before ? of - 1 : of) << (at_before ? before : after);
        }
    }
}
constexpr Effect kEffects[] = {
    {"create", "commit", "commit.before", "commit.after"},
    {"create", "fork", "spawn.before_fork", "spawn.after_fork"},
    {"create", "start_barrier", "spawn.before_start_barrier", "spawn.after_start_barrier"},
    {"create", "connect", "qmp.before_connect", "qmp.after_connect"},
    {"create", "sendmsg", "qmp.before_send", "qmp.after_send"},
    {"create", "recvfrom", "qmp.before_receive", "qmp.after_receive"},
    {"insert", "commit", "commit.before", "commit.after"},
    {"insert", "connect", "qmp.before_connect", "qmp.after_connect"},
    {"insert", "sendmsg", "qmp.before_send", "qmp.after_send"},
    {"insert", "recvfrom", "qmp.before_receive", "qmp.after_receive"},
    {"destroy", "commit", "commit.before", "commit.after"},
    {"destroy", "pidfd_send_signal", "destroy.before_kill", "destroy.after_kill"},
    {"destroy", "unlink", "destroy.before_unlink", "destroy.after_unlink"},
};
INSTANTIATE_TEST_SUITE_P(Effects, TraceTest, testing::ValuesIn(kEffects), [](const auto& one) {
    return std::string(one.param.verb) + "_" + one.param.call;
});

}  // namespace
}  // namespace xlstore::test
