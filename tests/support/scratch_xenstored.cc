// SPDX-License-Identifier: MIT
// A request is a head of four 32-bit numbers (type, id, transaction, length of what follows) and
// its words, each ended with a NUL; the reply has the same head, or the type of an error and its
// name. Transactions are not used: a test is alone with its daemon.
#include "tests/support/scratch_xenstored.hpp"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "tests/support/scratch_directory.hpp"

namespace xlstore::test {

namespace {

namespace fs = std::filesystem;

// The numbers of xs_wire.h.
constexpr unsigned kDirectory = 1;
constexpr unsigned kRead = 2;
constexpr unsigned kGetPermissions = 3;
constexpr unsigned kIntroduce = 8;
constexpr unsigned kRelease = 9;
constexpr unsigned kWrite = 11;
constexpr unsigned kRemove = 13;
constexpr unsigned kSetPermissions = 14;
constexpr unsigned kError = 16;
constexpr unsigned kDirectoryPart = 22;
constexpr int kMilliseconds = 10'000;

struct Head {
    std::uint32_t type;
    std::uint32_t id;
    std::uint32_t transaction;
    std::uint32_t length;
};

void receive(int fd, void* into, std::size_t length)
{
    auto* at = static_cast<char*>(into);
    while (length > 0) {
        pollfd waits{fd, POLLIN, 0};
        if (::poll(&waits, 1, kMilliseconds) <= 0) give_up("xenstored does not answer");
        const auto got = ::recv(fd, at, length, 0);
        if (got <= 0) give_up("xenstored hung up");
        at += got;
        length -= static_cast<std::size_t>(got);
    }
}

// "xenstored", or "oxenstored", the one in OCaml, where the environment asks for that.
std::string program_name()
{
    const char* asked = std::getenv("XLSTORE_TEST_XENSTORED");
    return asked ? asked : "xenstored";
}

std::string daemon()
{
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator("/usr/lib", ignored)) {
        const auto path = entry.path() / "bin" / program_name();
        if (entry.path().filename().string().starts_with("xen-") && fs::exists(path)) return path;
    }
    return {};
}

std::string terminated(const std::string& text)
{
    return text + std::string(1, '\0');
}

std::vector<std::string> words_of(const std::string& payload)
{
    std::vector<std::string> words;
    std::istringstream in(payload);
    for (std::string word; std::getline(in, word, '\0');)
        words.push_back(word);
    return words;
}

bool is_missing(const std::runtime_error& error)
{
    return std::string(error.what()).ends_with("ENOENT");
}

std::string quoted(const std::string& value)
{
    std::string text = "\"";
    for (const char c : value) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            text += {'\\', c};
        } else if (byte < ' ' || byte > '~') {
            text += {'\\', static_cast<char>('0' + (byte >> 6)),
                     static_cast<char>('0' + (byte >> 3 & 7)), static_cast<char>('0' + (byte & 7))};
        } else {
            text += c;
        }
    }
    return text + "\"";
}

// The value that begins behind the quotation mark at `at`, which is moved behind the closing one.
std::string unquoted(const std::string& line, std::size_t& at)
{
    std::string value;
    for (++at; at < line.size() && line[at] != '"'; ++at) {
        if (line[at] != '\\') {
            value += line[at];
            continue;
        }
        const char next = line.at(++at);
        if (next == 'x') {
            value += static_cast<char>(std::stoi(line.substr(at + 1, 2), nullptr, 16));
            at += 2;
        } else if (next >= '0' && next <= '3') {
            value += static_cast<char>(std::stoi(line.substr(at, 3), nullptr, 8));
            at += 2;
        } else {
            value += next == 'n' ? '\n' : next == 't' ? '\t' : next == 'r' ? '\r' : next;
        }
    }
    if (at >= line.size()) give_up("a value without an end: " + line);
    ++at;
    return value;
}

std::string below(const std::string& path, const std::string& name)
{
    return path == "/" ? "/" + name : path + "/" + name;
}

}  // namespace

std::string xenstored_missing()
{
    if (daemon().empty()) return "there is no xenstored (package xen-utils-4.17)";
    if (!fs::exists(XLSTORE_QUIET_XEN)) return "there is no " XLSTORE_QUIET_XEN;
    return {};
}

XenstoreTool::XenstoreTool(const std::string& socket)
{
    fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket.size() >= sizeof address.sun_path) give_up("too long for a socket: " + socket);
    std::memcpy(address.sun_path, socket.c_str(), socket.size() + 1);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        ::close(fd_);
        give_up("cannot connect to " + socket);
    }
}

XenstoreTool::~XenstoreTool()
{
    ::close(fd_);
}

std::string XenstoreTool::ask(unsigned type, const std::string& payload)
{
    const Head head{type, ++last_id_, 0, static_cast<std::uint32_t>(payload.size())};
    std::string request(reinterpret_cast<const char*>(&head), sizeof head);
    request += payload;
    if (::send(fd_, request.data(), request.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(request.size()))
        give_up("cannot write to xenstored");
    Head reply{};
    receive(fd_, &reply, sizeof reply);
    std::string text(reply.length, '\0');
    receive(fd_, text.data(), text.size());
    if (reply.type == kError) {
        text.resize(std::strlen(text.c_str()));
        give_up("xenstored, asked " + std::to_string(type) + " " + words_of(payload).front() +
                ": " + text);
    }
    if (reply.type != type || reply.id != last_id_) give_up("xenstored answers something else");
    return text;
}

std::optional<std::string> XenstoreTool::read(const std::string& path)
{
    try {
        return ask(kRead, terminated(path));
    } catch (const std::runtime_error& error) {
        if (is_missing(error)) return std::nullopt;
        throw;
    }
}

std::vector<std::string> XenstoreTool::list(const std::string& path)
{
    try {
        return words_of(ask(kDirectory, terminated(path)));
    } catch (const std::runtime_error& error) {
        if (is_missing(error)) return {};
        if (!std::string(error.what()).ends_with("E2BIG")) throw;
    }
    // Too many for one reply: part by part, the generation of the node before each.
    std::string all;
    while (true) {
        const auto part =
            ask(kDirectoryPart, terminated(path) + terminated(std::to_string(all.size())));
        const auto generation_end = part.find('\0') + 1;
        all += part.substr(generation_end);
        if (all.ends_with(std::string(2, '\0'))) break;
    }
    all.pop_back();
    return words_of(all);
}

void XenstoreTool::write(const std::string& path, const std::string& value)
{
    (void)ask(kWrite, terminated(path) + value);
}

void XenstoreTool::remove(const std::string& path)
{
    try {
        (void)ask(kRemove, terminated(path));
    } catch (const std::runtime_error& error) {
        if (!is_missing(error)) throw;
    }
}

void XenstoreTool::set_permissions(const std::string& path, const std::string& permissions)
{
    std::string payload = terminated(path);
    std::istringstream in(permissions);
    for (std::string one; std::getline(in, one, ',');)
        payload += terminated(one);
    (void)ask(kSetPermissions, payload);
}

std::string XenstoreTool::permissions(const std::string& path)
{
    std::string text;
    for (const auto& one : words_of(ask(kGetPermissions, terminated(path))))
        text += (text.empty() ? "" : ",") + one;
    return text;
}

void XenstoreTool::introduce(unsigned domid)
{
    (void)ask(kIntroduce, terminated(std::to_string(domid)) + terminated("1") + terminated("1"));
}

void XenstoreTool::release(unsigned domid)
{
    (void)ask(kRelease, terminated(std::to_string(domid)));
}

void XenstoreTool::load(const std::string& tree)
{
    std::istringstream in(tree);
    for (std::string line; std::getline(in, line);) {
        if (line.empty() || line.front() == '#') continue;
        const auto path_end = line.find(" = \"");
        if (line.front() != '/' || path_end == std::string::npos) give_up("not a node: " + line);
        const auto path = line.substr(0, path_end);
        std::size_t at = path_end + 3;
        const auto value = unquoted(line, at);
        if (path != "/") write(path, value);
        const auto open = line.find('(', at);
        if (open == std::string::npos) continue;
        set_permissions(path, line.substr(open + 1, line.find(')', open) - open - 1));
    }
}

void XenstoreTool::dump_below(const std::string& path, std::vector<std::string>& lines)
{
    const auto value = read(path);
    if (!value) return;
    if (path != "/")
        lines.push_back(path + " = " + quoted(*value) + "   (" + permissions(path) + ")");
    for (const auto& name : list(path))
        dump_below(below(path, name), lines);
}

std::string XenstoreTool::dump(const std::string& path)
{
    std::vector<std::string> lines;
    dump_below(path, lines);
    std::sort(lines.begin(), lines.end());
    std::string text;
    for (const auto& line : lines)
        text += line + "\n";
    return text;
}

ScratchXenstored::ScratchXenstored(const std::string& directory) : directory_(directory)
{
    fs::create_directories(directory_);
    start();
}

ScratchXenstored::~ScratchXenstored()
{
    kill();
}

void ScratchXenstored::start()
{
    const Environment environment = {{"LD_PRELOAD", XLSTORE_QUIET_XEN},
                                     {"XENSTORED_RUNDIR", directory_},
                                     {"XENSTORED_PATH", socket()}};
    Words command = {daemon(), "--no-fork", "--pid-file", directory_ + "/pid"};
    if (program_name() == "xenstored") command.emplace_back("--internal-db");
    if (const auto config = directory_ + "/config"; fs::exists(config))
        command.insert(command.end(), {"--config-file", config});
    pid_ = spawn(command, environment, {-1, -1, -1});
    const bool answers = wait_until(std::chrono::seconds(10), [this]() -> bool {
        try {
            return XenstoreTool(socket()).read("/").has_value();
        } catch (const std::runtime_error&) {
            return false;
        }
    });
    if (!answers) give_up("xenstored does not start in " + directory_);
}

XenstoreTool& ScratchXenstored::tool()
{
    if (!tool_) tool_ = std::make_unique<XenstoreTool>(socket());
    return *tool_;
}

void ScratchXenstored::stop()
{
    ::kill(pid_, SIGSTOP);
}

void ScratchXenstored::resume()
{
    ::kill(pid_, SIGCONT);
}

void ScratchXenstored::kill()
{
    tool_.reset();
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    wait_for_pid(pid_);
    pid_ = -1;
}

void ScratchXenstored::restart()
{
    kill();
    start();
}

}  // namespace xlstore::test
