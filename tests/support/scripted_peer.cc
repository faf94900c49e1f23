// SPDX-License-Identifier: MIT
#include "tests/support/scripted_peer.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <thread>

namespace xlstore::test {

namespace {

constexpr int kListener = 3;  // the child's own descriptors, moved to fixed numbers
constexpr int kJournal = 4;
constexpr int kReady = 5;
constexpr int kFirstFree = 6;
constexpr std::size_t kLineMax = 1U << 20U;
// Linux lets one more wait than listen() was told, so one filler makes the queue of 0 full.
constexpr int kBacklog = 0;
constexpr int kBacklogOfQemu = 1;

constexpr char kLineRecord = 'L';
constexpr char kDoneRecord = 'D';
struct RecordHead {
    char kind;
    int descriptors;
    std::size_t size;
};

// ---- The child: no exec, so nothing but system calls and memory that was there before the fork
// ----

// What a step needs to hear or say, and cannot, since no client is there any more.
enum class Went { well, client_gone };

std::array<char, kLineMax> child_buffer;

class Player {
public:
    Player(const Script& script, const sockaddr_un& address, std::vector<std::size_t>& served)
        : script_(script), address_(address), served_(served)
    {}

    [[noreturn]] void run()
    {
        // The client's sudden end is a state of the script, not of ours.
        signal(SIGPIPE, SIG_IGN);
        std::size_t at = 0;
        if (!script_.empty() && script_[0].kind == Step::Kind::fill) {
            fill();
            at = 1;
        }
        say_ready(0);
        for (; at < script_.size(); ++at) {
            if (perform(script_[at]) == Went::well) continue;
            while (at + 1 < script_.size() && script_[at + 1].kind != Step::Kind::accept)
                ++at;
        }
        append(kDoneRecord, {}, 0);
        for (;;)
            pause();
    }

    [[noreturn]] static void say_ready_and_exit(int error)
    {
        say_ready(error);
        _exit(1);
    }

private:
    static void say_ready(int error)
    {
        if (write(kReady, &error, sizeof error) != sizeof error) _exit(1);
        close(kReady);
    }

    Went perform(const Step& step)
    {
        switch (step.kind) {
        case Step::Kind::accept:
            hang_up();
            drain();
            do {
                client_ = accept4(kListener, nullptr, nullptr, SOCK_CLOEXEC);
            } while (client_ < 0 && (errno == EINTR || errno == ECONNABORTED));
            return client_ >= 0 ? Went::well : Went::client_gone;
        case Step::Kind::send:
            for (std::size_t i = 0; i < step.times; ++i)
                if (send_text(step.text, step.text.size()) != Went::well) return Went::client_gone;
            return Went::well;
        case Step::Kind::send_bytewise:
            return send_text(step.text, 1);
        case Step::Kind::line:
            return hear();
        case Step::Kind::reply:
            return reply(step.text);
        case Step::Kind::serve:
            return serve(step);
        case Step::Kind::sleep:
            pass(step.time);
            return Went::well;
        case Step::Kind::close:
            hang_up();
            return Went::well;
        case Step::Kind::fill:
            fill();
            return Went::well;
        case Step::Kind::drain:
            drain();
            return Went::well;
        case Step::Kind::die:
            ::kill(getpid(), SIGKILL);
            pause();
        }
        return Went::well;
    }

    static void pass(std::chrono::milliseconds time)
    {
        const timespec span{time.count() / 1000, time.count() % 1000 * 1'000'000};
        nanosleep(&span, nullptr);
    }

    void hang_up()
    {
        if (client_ >= 0) close(client_);
        client_ = -1;
        descriptors_ = 0;
    }

    // Connects to itself until no more fit.
    void fill()
    {
        listen(kListener, kBacklog);
        while (fillers_ < fill_.size()) {
            const int filler = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
            if (connect(filler, reinterpret_cast<const sockaddr*>(&address_), sizeof address_) !=
                0) {
                close(filler);
                return;
            }
            fill_[fillers_++] = filler;
        }
    }

    void drain()
    {
        if (fillers_ == 0) return;
        // They came first, so they leave first.
        for (; fillers_ > 0; --fillers_) {
            const int taken = accept4(kListener, nullptr, nullptr, SOCK_CLOEXEC);
            close(taken);
            close(fill_[fillers_ - 1]);
        }
        listen(kListener, kBacklogOfQemu);
    }

    // The next line -> line_, recorded. Byte by byte: the kernel joins what was sent before
    // descriptors with what they came with, and it could not be told whose they are.
    Went hear()
    {
        line_ = {};
        for (heard_ = 0; heard_ < child_buffer.size();) {
            if (client_ < 0 || !receive()) return Went::client_gone;
            if (child_buffer[heard_ - 1] != '\n') continue;
            line_ = std::string_view(child_buffer.data(), heard_ - 1);
            if (line_.ends_with('\r')) line_.remove_suffix(1);
            append(kLineRecord, line_, descriptors_);
            descriptors_ = 0;
            return Went::well;
        }
        return Went::client_gone;
    }

    bool receive()
    {
        iovec piece{child_buffer.data() + heard_, 1};
        alignas(cmsghdr) std::array<char, CMSG_SPACE(16 * sizeof(int))> control{};
        msghdr message{};
        message.msg_iov = &piece;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        ssize_t n = 0;
        do {
            n = recvmsg(client_, &message, MSG_CMSG_CLOEXEC);
        } while (n < 0 && errno == EINTR);
        if (n <= 0) return false;
        for (cmsghdr* head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head)) {
            if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
            for (std::size_t at = 0; CMSG_LEN(at + sizeof(int)) <= head->cmsg_len;
                 at += sizeof(int)) {
                int descriptor = -1;
                std::memcpy(&descriptor, CMSG_DATA(head) + at, sizeof descriptor);
                close(descriptor);
                ++descriptors_;
            }
        }
        ++heard_;
        return true;
    }

    Went send_all(std::string_view bytes, std::size_t piece_max)
    {
        while (!bytes.empty()) {
            const ssize_t n =
                client_ < 0 ? -1 : write(client_, bytes.data(), std::min(bytes.size(), piece_max));
            if (n < 0 && client_ >= 0 && errno == EINTR) continue;
            if (n < 0) return Went::client_gone;
            bytes.remove_prefix(static_cast<std::size_t>(n));
        }
        return Went::well;
    }

    Went send_text(std::string_view text, std::size_t piece_max)
    {
        constexpr std::string_view mark = "$id";
        for (;;) {
            const std::size_t at = text.find(mark);
            if (send_all(text.substr(0, at), piece_max) != Went::well) return Went::client_gone;
            if (at == std::string_view::npos) return Went::well;
            if (send_all(id(), piece_max) != Went::well) return Went::client_gone;
            text.remove_prefix(at + mark.size());
        }
    }

    Went reply(std::string_view body)
    {
        for (const std::string_view part :
             {std::string_view("{"), body, std::string_view(", \"id\": "), id(),
              std::string_view("}\r\n")})
            if (send_all(part, part.size()) != Went::well) return Went::client_gone;
        return Went::well;
    }

    Went serve(const Step& step)
    {
        std::fill(served_.begin(), served_.end(), 0);
        while (hear() == Went::well) {
            const std::string_view command = execute();
            if (!step.text.empty() && command == step.text) return Went::well;
            std::string_view body = "\"return\": {}";
            std::chrono::milliseconds late{0};
            for (std::size_t i = 0; i < step.answers.size(); ++i) {
                if (step.answers[i].command != command) continue;
                if (std::string_view(line_).find(step.answers[i].about) == std::string_view::npos)
                    continue;
                body = step.answers[i].body;
                late = step.answers[i].late;
                if (served_[i]++ == 0) break;  // not given yet; else the one behind it, or the last
            }
            pass(late);
            if (reply(body) != Went::well) break;
        }
        return Went::client_gone;
    }

    // Our own clients' lines are not hostile: looking for the member's name will do.
    [[nodiscard]] std::string_view member(std::size_t name, std::size_t name_size) const
    {
        if (name == std::string_view::npos) return "null";
        std::string_view rest = line_.substr(name + name_size);
        rest.remove_prefix(std::min(rest.find_first_not_of(": "), rest.size()));
        const std::size_t end =
            rest.starts_with('"') ? rest.find('"', 1) : rest.find_first_of(",} ") - 1;
        return rest.substr(0, end == std::string_view::npos ? end : end + 1);
    }
    [[nodiscard]] std::string_view id() const
    {
        constexpr std::string_view name = "\"id\"";
        // The last one: arguments have an id too.
        return member(line_.rfind(name), name.size());
    }
    [[nodiscard]] std::string_view execute() const
    {
        constexpr std::string_view name = "\"execute\"";
        std::string_view value = member(line_.find(name), name.size());
        if (value.size() < 2) return {};
        return value.substr(1, value.size() - 2);
    }

    // One write, so that the parent never reads a half of one.
    static void append(char kind, std::string_view text, int descriptors)
    {
        RecordHead head{};
        head.kind = kind;
        head.descriptors = descriptors;
        head.size = text.size();
        const std::array<iovec, 2> parts = {iovec{&head, sizeof head},
                                            iovec{const_cast<char*>(text.data()), text.size()}};
        if (writev(kJournal, parts.data(), parts.size()) < 0) _exit(1);
    }

    const Script& script_;
    const sockaddr_un& address_;
    std::vector<std::size_t>& served_;
    int client_ = -1;
    std::size_t heard_ = 0;  // bytes of child_buffer
    std::string_view line_;  // the last one, in child_buffer
    int descriptors_ = 0;
    std::array<int, 8> fill_{};
    std::size_t fillers_ = 0;
};

[[noreturn]] void be_the_child(const Script& script, const sockaddr_un& address,
                               std::vector<std::size_t>& served, int listener, int journal,
                               int ready, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    // First above all fixed numbers, for one of them may be taken by another of the three.
    constexpr int above = 64;
    listener = fcntl(listener, F_DUPFD, above);
    journal = fcntl(journal, F_DUPFD, above);
    ready = fcntl(ready, F_DUPFD, above);
    dup2(listener, kListener);
    dup2(journal, kJournal);
    dup2(ready, kReady);
    close_range(kFirstFree, ~0U, 0);
    // Here and not in the parent: SO_PEERCRED is the process that called listen().
    if (listen(kListener, kBacklogOfQemu) != 0) Player::say_ready_and_exit(errno);
    Player(script, address, served).run();
}

Step plain(Step::Kind kind, std::string text = {})
{
    return Step{kind, std::move(text), {}, std::chrono::milliseconds(0)};
}

bool wait_until(const std::chrono::milliseconds limit, const auto& holds)
{
    const auto until = std::chrono::steady_clock::now() + limit;
    while (!holds()) {
        if (std::chrono::steady_clock::now() >= until) return holds();
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}

[[noreturn]] void give_up(int error, const std::string& what)
{
    throw std::system_error(error, std::generic_category(), "scripted peer: " + what);
}

}  // namespace

// ---- Scripts ----

Answer returns(const std::string& command, const std::string& json)
{
    return {command, "\"return\": " + json};
}

Answer refuses(const std::string& command, const std::string& error_class, const std::string& desc)
{
    return {command, R"("error": {"class": ")" + error_class + R"(", "desc": ")" + desc + "\"}"};
}

namespace step {
Step accept()
{
    return plain(Step::Kind::accept);
}
Step send(const std::string& bytes)
{
    return plain(Step::Kind::send, bytes);
}
Step send_repeatedly(const std::string& bytes, std::size_t times)
{
    Step step = send(bytes);
    step.times = times;
    return step;
}
Step send_bytewise(const std::string& bytes)
{
    return plain(Step::Kind::send_bytewise, bytes);
}
Step line()
{
    return plain(Step::Kind::line);
}
Step reply(const std::string& json)
{
    return plain(Step::Kind::reply, returns("", json).body);
}
Step refuse(const std::string& error_class, const std::string& desc)
{
    return plain(Step::Kind::reply, refuses("", error_class, desc).body);
}
Step serve(std::vector<Answer> answers, const std::string& until)
{
    Step step = plain(Step::Kind::serve, until);
    step.answers = std::move(answers);
    return step;
}
Step sleep(std::chrono::milliseconds time)
{
    Step step = plain(Step::Kind::sleep);
    step.time = time;
    return step;
}
Step close()
{
    return plain(Step::Kind::close);
}
Step fill_queue()
{
    return plain(Step::Kind::fill);
}
Step drain_queue()
{
    return plain(Step::Kind::drain);
}
Step die()
{
    return plain(Step::Kind::die);
}
}  // namespace step

std::string greeting()
{
    return R"({"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": ""}, )"
           R"("capabilities": ["oob"]}})"
           "\r\n";
}

Script handshake()
{
    return {step::accept(), step::send(greeting()), step::line(), step::reply("{}")};
}

Script script(const std::vector<Script>& parts)
{
    Script all;
    for (const auto& part : parts)
        all.insert(all.end(), part.begin(), part.end());
    return all;
}

// ---- The parent ----

struct ScriptedPeer::Record {
    char kind;
    Received received;
};

ScriptedPeer::ScriptedPeer(const std::string& path, Script script) : path_(path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) give_up(ENAMETOOLONG, path);
    std::memcpy(address.sun_path, path.c_str(), path.size());

    const Fd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        give_up(errno, path);
    journal_.reset(memfd_create("scripted peer", MFD_CLOEXEC));
    std::array<int, 2> pipe{};
    if (!journal_ || pipe2(pipe.data(), O_CLOEXEC) != 0) give_up(errno, "no descriptors");
    const Fd ready(pipe[0]);
    Fd say_ready(pipe[1]);

    std::size_t answers_max = 0;
    for (const auto& step : script)
        answers_max = std::max(answers_max, step.answers.size());
    std::vector<std::size_t> served(answers_max);
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ < 0) give_up(errno, "cannot fork");
    if (pid_ == 0)
        be_the_child(script, address, served, listener.get(), journal_.get(), say_ready.get(),
                     parent);
    say_ready.reset();
    int error = ECHILD;
    if (read(ready.get(), &error, sizeof error) == sizeof error && error == 0) return;
    kill();
    unlink(path_.c_str());
    give_up(error, "cannot listen on " + path);
}

ScriptedPeer::~ScriptedPeer()
{
    kill();
    unlink(path_.c_str());
}

void ScriptedPeer::kill()
{
    if (reaped_) return;
    ::kill(pid_, SIGKILL);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    reaped_ = true;
}

std::vector<ScriptedPeer::Record> ScriptedPeer::records() const
{
    std::vector<Record> all;
    off_t at = 0;
    RecordHead head{};
    while (pread(journal_.get(), &head, sizeof head, at) == static_cast<ssize_t>(sizeof head)) {
        Record record{head.kind, {std::string(head.size, '\0'), head.descriptors}};
        at += static_cast<off_t>(sizeof head);
        if (pread(journal_.get(), record.received.line.data(), head.size, at) !=
            static_cast<ssize_t>(head.size))
            break;
        at += static_cast<off_t>(head.size);
        all.push_back(std::move(record));
    }
    return all;
}

std::vector<ScriptedPeer::Received> ScriptedPeer::received() const
{
    std::vector<Received> lines;
    for (auto& record : records())
        if (record.kind == kLineRecord) lines.push_back(std::move(record.received));
    return lines;
}

std::vector<std::string> ScriptedPeer::commands() const
{
    std::vector<std::string> names;
    for (const auto& [line, descriptors] : received()) {
        constexpr std::string_view head = "\"execute\"";
        const std::size_t name =
            line.find('"', std::min(line.find(head), line.size() - 1) + head.size());
        names.push_back(name == std::string::npos
                            ? line
                            : line.substr(name + 1, line.find('"', name + 1) - name - 1));
    }
    return names;
}

bool ScriptedPeer::wait_for_lines(std::size_t count, std::chrono::milliseconds limit) const
{
    return wait_until(limit, [&] { return received().size() >= count; });
}

bool ScriptedPeer::wait_until_done(std::chrono::milliseconds limit) const
{
    return wait_until(limit, [&] {
        const auto all = records();
        return !all.empty() && all.back().kind == kDoneRecord;
    });
}

}  // namespace xlstore::test
