// SPDX-License-Identifier: MIT
#include "tests/support/scratch.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sqlite3.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <thread>

extern char** environ;

namespace xlstore::test {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

[[noreturn]] void give_up(const std::string& what)
{
    throw std::runtime_error("test support: " + what);
}

std::vector<std::string> command_line(pid_t pid)
{
    const std::string text = read_file("/proc/" + std::to_string(pid) + "/cmdline");
    std::vector<std::string> words;
    for (std::size_t at = 0; at < text.size();) {
        const auto end = std::min(text.find('\0', at), text.size());
        words.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return words;
}

// Those that the killed have started meanwhile are found in the next round.
void kill_all_with(const std::string& text)
{
    for (int round = 0; round < 100; ++round) {
        const auto pids = processes_with(text);
        if (pids.empty()) return;
        for (const pid_t pid : pids)
            ::kill(pid, SIGKILL);
        std::this_thread::sleep_for(milliseconds(10));
    }
}

void clean_up(const std::string& path)
{
    kill_all_with(path + "/");
    std::error_code ignored;
    fs::remove_all(path, ignored);
}

struct Environ {
    std::vector<std::string> texts;
    std::vector<char*> pointers;

    explicit Environ(const Environment& additions)
    {
        for (char** entry = environ; *entry; ++entry) {
            const std::string text = *entry;
            if (!additions.contains(text.substr(0, text.find('=')))) texts.push_back(text);
        }
        for (const auto& [name, value] : additions)
            texts.push_back(name + "=" + value);
        for (auto& text : texts)
            pointers.push_back(text.data());
        pointers.push_back(nullptr);
    }
};

// stdin, stdout, stderr: -1 is /dev/null.
pid_t spawn(const Words& command, const Environment& environment, std::array<int, 3> stdio)
{
    Environ env(environment);
    std::vector<char*> argv;
    for (const auto& word : command)
        argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    for (int i = 0; i < 3; ++i) {
        const int fd = stdio[static_cast<std::size_t>(i)];
        if (fd >= 0)
            posix_spawn_file_actions_adddup2(&actions, fd, i);
        else
            posix_spawn_file_actions_addopen(&actions, i, "/dev/null", O_RDWR, 0);
    }
    pid_t pid = -1;
    const int error =
        posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), env.pointers.data());
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) give_up("cannot run " + command[0] + ": " + std::strerror(error));
    return pid;
}

int wait_for_pid(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) give_up("waitpid failed");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::array<Fd, 2> make_pipe()
{
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) give_up("pipe failed");
    return {Fd(ends[0]), Fd(ends[1])};
}

}  // namespace

// ---- Files and processes ----

void write_file(const std::string& path, const std::string& text)
{
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file << text;
    if (!file.flush()) give_up("cannot write " + path);
}

std::string read_file(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    try {
        return {std::istreambuf_iterator<char>(file), {}};
    } catch (const std::ios_base::failure&) {
        return {};  // a file of /proc whose process went while it was read
    }
}

bool wait_until(milliseconds limit, const std::function<bool()>& condition)
{
    const auto until = steady_clock::now() + limit;
    while (!condition()) {
        if (steady_clock::now() >= until) return false;
        std::this_thread::sleep_for(milliseconds(5));
    }
    return true;
}

bool is_alive(pid_t pid)
{
    const std::string stat = read_file("/proc/" + std::to_string(pid) + "/stat");
    const auto name_end = stat.rfind(") ");
    return name_end != std::string::npos && stat[name_end + 2] != 'Z' && stat[name_end + 2] != 'X';
}

std::vector<pid_t> processes_with(const std::string& text)
{
    std::vector<pid_t> found;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
        const std::string name = entry.path().filename().string();
        if (name.find_first_not_of("0123456789") != std::string::npos) continue;
        const pid_t pid = std::stoi(name);
        if (pid == getpid()) continue;
        const auto words = command_line(pid);
        const bool named = std::any_of(words.begin(), words.end(), [&](const std::string& word) {
            return word.find(text) != std::string::npos;
        });
        if (named && is_alive(pid)) found.push_back(pid);
    }
    return found;
}

std::vector<pid_t> qemus_with(const std::string& text)
{
    auto pids = processes_with(text);
    std::erase_if(pids, [](pid_t pid) {
        std::array<char, PATH_MAX> target{};
        const auto n = readlink(("/proc/" + std::to_string(pid) + "/exe").c_str(), target.data(),
                                target.size() - 1);
        return n <= 0 || std::string(target.data()).find("qemu-system") == std::string::npos;
    });
    return pids;
}

ScratchDirectory::ScratchDirectory()
{
    std::string name = "/tmp/xlst-XXXXXX";
    if (!mkdtemp(name.data())) give_up("cannot make a directory in /tmp");
    path_ = name;
    auto [far, near] = make_pipe();
    guard_ = fork();
    if (guard_ < 0) give_up("cannot fork");
    if (guard_ == 0) {
        // Nothing of the test's stays open in here but the pipe that tells of its end.
        dup2(far.get(), 0);
        for (const int fd : {1, 2})
            dup2(open("/dev/null", O_RDWR), fd);
        syscall(SYS_close_range, 3U, ~0U, 0U);
        for (int number = 1; number < 32; ++number)
            signal(number, SIG_IGN);  // a Ctrl-C is for the test
        char byte = 0;
        if (read(0, &byte, 1) == 0) clean_up(path_);
        _exit(0);
    }
    leash_ = std::move(near);
}

ScratchDirectory::~ScratchDirectory()
{
    clean_up(path_);
    [[maybe_unused]] const auto n = write(leash_.get(), "x", 1);
    wait_for_pid(guard_);
}

ScratchStore::ScratchStore() : path_(directory_ / "store")
{
    const auto made = Store::init(path_);
    if (!made) give_up(made.error().message);
}

std::unique_ptr<Store> ScratchStore::open() const
{
    StoreOptions options;
    options.directory = path_;
    options.program = "test";
    auto store = Store::open(options);
    if (!store) give_up(store.error().message);
    return *std::move(store);
}

// ---- Commands ----

std::string binary(const std::string& name)
{
    const char* elsewhere = std::getenv("XLSTORE_BIN");
    return std::string(elsewhere ? elsewhere : XLSTORE_BINARY_DIR "/bin") + "/" + name;
}

Environment crash_at(const std::string& point, int passing)
{
    return {{"XLSTORE_CRASH_AT", point + ":" + std::to_string(passing)}};
}

namespace {

constexpr int kMemoryPoll = 2;  // milliseconds

// The most memory that a process has had since its exec, in KiB; 0 before that, and for a zombie.
// Not its resource usage: there the memory of who forked it counts as its own.
long memory_of(pid_t pid)
{
    const std::string process = "/proc/" + std::to_string(pid);
    std::error_code error;
    if (std::filesystem::read_symlink(process + "/exe", error) ==
        std::filesystem::read_symlink("/proc/self/exe"))
        return 0;
    std::ifstream status(process + "/status");
    const std::string name = "VmHWM:";
    for (std::string line; std::getline(status, line);)
        if (line.starts_with(name)) return std::stol(line.substr(name.size()));
    return 0;
}

}  // namespace

Ran run(const Words& command, const Environment& environment, const std::string& input,
        seconds limit)
{
    auto [in_far, in_near] = make_pipe();
    auto [out_near, out_far] = make_pipe();
    auto [err_near, err_far] = make_pipe();
    // Inputs of tests are short: they fit into the pipe.
    if (write(in_near.get(), input.data(), input.size()) != static_cast<ssize_t>(input.size()))
        give_up("cannot give input to " + command[0]);
    in_near.reset();
    Ran ran;
    const pid_t pid = spawn(command, environment, {in_far.get(), out_far.get(), err_far.get()});
    out_far.reset();
    err_far.reset();

    const Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0U)));
    const auto until = steady_clock::now() + limit;
    const auto drain = [](int fd, std::string& into) {
        std::array<char, 65536> buffer{};
        const auto n = read(fd, buffer.data(), buffer.size());
        if (n > 0) into.append(buffer.data(), static_cast<std::size_t>(n));
        return n > 0;
    };
    fcntl(out_near.get(), F_SETFL, O_NONBLOCK);
    fcntl(err_near.get(), F_SETFL, O_NONBLOCK);
    // Until the command has ended, not until its pipes have: what it leaves running may hold them.
    for (bool ended = false; !ended;) {
        std::array<pollfd, 3> fds = {pollfd{out_near.get(), POLLIN, 0},
                                     pollfd{err_near.get(), POLLIN, 0},
                                     pollfd{pidfd.get(), POLLIN, 0}};
        ran.memory_kib = std::max(ran.memory_kib, memory_of(pid));
        const auto left = std::chrono::ceil<milliseconds>(until - steady_clock::now()).count();
        if (left <= 0) {
            ::kill(pid, SIGKILL);
            ran.err += "(killed by the test: it did not end in time)";
        }
        if (poll(fds.data(), fds.size(), left > 0 ? kMemoryPoll : 1000) < 0) continue;
        ended = fds[2].revents != 0;
        while (drain(out_near.get(), ran.out)) {
        }
        while (drain(err_near.get(), ran.err)) {
        }
        if (!ended && (fds[0].revents | fds[1].revents) == POLLHUP)
            std::this_thread::sleep_for(milliseconds(1));
    }
    ran.status = wait_for_pid(pid);
    return ran;
}

std::string why_not(const Words& command)
{
    const Ran ran = run(command);
    if (ran.status == 0) return {};
    return ran.err.empty() ? command[0] + " ended with " + std::to_string(ran.status) : ran.err;
}

Ran xlstore(const std::string& store, Words words, const Environment& environment,
            const std::string& input)
{
    words.insert(words.begin(), {binary("xlstore"), "--store", store});
    return run(words, environment, input);
}

Ran xlfsck(const std::string& store, Words words, const Environment& environment)
{
    words.insert(words.begin(), {binary("xlfsck"), "--store", store});
    return run(words, environment);
}

bool strace_works()
{
    static const bool works = [] {
        try {
            return run({"strace", "-e", "trace=none", "true"}).status == 0;
        } catch (const std::exception&) {
            return false;
        }
    }();
    return works;
}

Child::Child(const Words& command, const Environment& environment)
    : pid_(spawn(command, environment, {-1, -1, -1}))
{}

Child::~Child()
{
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    wait();
}

void Child::signal(int number) const
{
    if (pid_ < 0 || ::kill(pid_, number) != 0) give_up("cannot signal a child");
}

int Child::wait()
{
    const int status = wait_for_pid(pid_);
    pid_ = -1;
    return status;
}

// ---- QEMU ----

std::string hvm_document(const std::string& name, const std::string& uuid,
                         const std::string& cd_image)
{
    // As libxl writes it: yajl's layout, key order of its types.
    return R"({
    "c_info": {
        "type": "hvm",
        "name": ")" +
           name + R"(",
        "domid": 4294967295,
        "uuid": ")" +
           uuid + R"(",
        "run_hotplug_scripts": "True"
    },
    "b_info": {
        "max_vcpus": 2,
        "avail_vcpus": [
            0,
            1
        ],
        "max_memkb": 32768,
        "target_memkb": 32768,
        "video_memkb": 8192,
        "sched_params": {

        },
        "claim_mode": "True",
        "type.hvm": {
            "vnc": {
                "enable": "True",
                "listen": "127.0.0.1"
            },
            "usb": "True"
        }
    },
    "disks": [
        {
            "pdev_path": "/srv/xen/web01.qcow2",
            "vdev": "xvda",
            "format": "qcow2",
            "readwrite": 1,
            "colo_restore_enable": "False"
        },
        {
            "pdev_path": ")" +
           cd_image + R"(",
            "vdev": "hdc",
            "format": "raw",
            "removable": 1,
            "is_cdrom": 1,
            "colo_restore_enable": "False"
        }
    ],
    "nics": [
        {
            "devid": 0,
            "mac": "00:16:3e:1a:2b:3c",
            "bridge": "xenbr0",
            "nictype": "vif"
        }
    ],
    "on_reboot": "restart",
    "on_crash": "restart"
}
)";
}

Words qemu_command(const std::string& cd_image, const std::string& judge_socket)
{
    return {"qemu-system-x86_64",
            "-S",
            "-nodefaults",
            "-display",
            "none",
            "-machine",
            "pc,accel=tcg",
            "-m",
            "32",
            "-drive",
            "if=none,readonly=on,id=ide-5632,format=raw,file=" + cd_image,
            "-device",
            "ide-cd,id=ide-5632,drive=ide-5632,bus=ide.1,unit=0",
            "-device",
            "usb-ehci,id=xenusb-0",
            "-chardev",
            "socket,id=judge,server=on,wait=off,path=" + judge_socket,
            "-mon",
            "chardev=judge,mode=control"};
}

std::string qmp(const std::string& socket, const std::string& command, const std::string& arguments)
{
    const Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket.size() >= sizeof address.sun_path) give_up("socket path too long: " + socket);
    std::memcpy(address.sun_path, socket.c_str(), socket.size());
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        give_up("cannot connect to " + socket + ": " + std::strerror(errno));
    const timeval patience{20, 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    std::string pending;
    const auto line = [&] {
        for (;;) {
            if (const auto end = pending.find('\n'); end != std::string::npos) {
                std::string one = pending.substr(0, end);
                pending.erase(0, end + 1);
                return one;
            }
            std::array<char, 65536> buffer{};
            const auto n = read(fd.get(), buffer.data(), buffer.size());
            if (n <= 0) give_up("no answer from " + socket);
            pending.append(buffer.data(), static_cast<std::size_t>(n));
        }
    };
    const auto ask = [&](const std::string& text) {
        const std::string bytes = text + "\n";
        if (write(fd.get(), bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size()))
            give_up("cannot write to " + socket);
        for (;;) {
            std::string reply = line();
            if (reply.find("\"event\"") == std::string::npos) return reply;
        }
    };
    (void)line();  // the greeting
    (void)ask(R"({"execute":"qmp_capabilities"})");
    return ask("{\"execute\":\"" + command + "\"" +
               (arguments.empty() ? "" : ",\"arguments\":" + arguments) + "}");
}

namespace {

json answer(const std::string& socket, const std::string& command,
            const std::string& arguments = "")
{
    const std::string reply = qmp(socket, command, arguments);
    const json parsed = json::parse(reply);
    if (!parsed.contains("return")) give_up(command + ": " + reply);
    return parsed["return"];
}

std::string joined(std::vector<std::string> names)
{
    std::sort(names.begin(), names.end());
    std::string text;
    for (const auto& name : names)
        text += (text.empty() ? "" : " ") + name;
    return text;
}

}  // namespace

std::string devices_of(const std::string& socket)
{
    std::vector<std::string> names;
    for (const auto& child : answer(socket, "qom-list", R"({"path":"/machine/peripheral"})"))
        if (child["type"].get<std::string>().starts_with("child<")) names.push_back(child["name"]);
    return joined(names);
}

std::string medium_of(const std::string& socket)
{
    std::string file;
    for (const auto& drive : answer(socket, "query-block"))
        if (drive["device"] == "ide-5632" && drive.contains("inserted"))
            file = drive["inserted"]["file"];
    const std::string prefix = "/dev/fdset/";
    if (!file.starts_with(prefix)) return file;
    for (const auto& set : answer(socket, "query-fdsets"))
        if (std::to_string(set["fdset-id"].get<int>()) == file.substr(prefix.size()))
            for (const auto& fd : set["fds"]) {
                const std::string opaque = fd.value("opaque", "");
                return opaque.substr(opaque.find(':') + 1);
            }
    return file;
}

std::string state_of(const std::string& socket)
{
    std::string text = "devices: " + devices_of(socket) + "\nmedium: " + medium_of(socket) + "\n";
    std::vector<std::string> chardevs;
    for (const auto& one : answer(socket, "query-chardev"))
        chardevs.push_back(one["label"]);
    text += "chardevs: " + joined(chardevs) + "\n";
    std::vector<std::string> nodes;
    for (const auto& one : answer(socket, "query-named-block-nodes"))
        nodes.push_back(one["node-name"].get<std::string>() + "=" + one.value("file", ""));
    text += "nodes: " + joined(nodes) + "\n";
    text += "fdsets: " + answer(socket, "query-fdsets").dump() + "\n";
    std::vector<std::string> objects;
    for (const auto& one : answer(socket, "qom-list", R"({"path":"/objects"})"))
        objects.push_back(one["name"]);
    return text + "objects: " + joined(objects) + "\n";
}

Material::Material(const ScratchDirectory& directory, int domid, const std::string& name)
{
    const std::string number = std::to_string(domid);
    uuid = "8f2c7d10-4b6e-4a51-9d3c-" + std::string(12 - number.size(), '0') + number;
    judge = directory / ("judge-" + number);
    for (const char which : {'a', 'b'}) {
        images[which] = directory / (std::string(1, which) + ".iso");
        write_file(images[which], std::string(4096, which));
    }
    document = directory / ("domain-" + number + ".json");
    write_file(document, hvm_document(name, uuid, images['a']));
}

Words create_words(int domid, const Material& material, const Words& command)
{
    Words words = {"create", std::to_string(domid), material.document, "--"};
    words.insert(words.end(), command.begin(), command.end());
    return words;
}

ScratchDomain::ScratchDomain(const ScratchStore& store, int domid, const std::string& name,
                             const Words& more)
    : domid_(domid), material_(store.directory(), domid, name)
{
    Words command = material_.qemu();
    command.insert(command.end(), more.begin(), more.end());
    const Ran created = xlstore(store.path(), create_words(domid, material_, command));
    if (created.status != 0)
        give_up("create ended with " + std::to_string(created.status) + ": " + created.err);
    qemu_pid_ = std::stoi(sql(store.path(),
                              "SELECT qemu_pid FROM domain WHERE state = 'running' "
                              "AND domid = " +
                                  std::to_string(domid)));
}

std::string places_of(const std::string& socket)
{
    const auto member = [&](const std::string& device, const char* property) {
        return json_at(qmp(socket, "qom-get",
                           R"({"path":"/machine/peripheral/)" + device + R"(","property":")" +
                               property + "\"}"),
                       "$.return");
    };
    const std::string usb =
        json_at(qmp(socket, "human-monitor-command", R"({"command-line":"info usb"})"), "$.return");
    std::istringstream names(devices_of(socket));
    std::string places;
    for (std::string name; names >> name;) {
        const std::string bus = member(name, "parent_bus");
        std::string place = member(name, "addr");
        const auto end = usb.find("ID: " + name + "\r\n");
        if (end != std::string::npos) {
            const auto port = usb.find("Port ", usb.rfind("Device ", end)) + 5;
            place = usb.substr(port, usb.find(',', port) - port);
        }
        if (place.empty()) continue;
        places +=
            (places.empty() ? "" : " ") + name + "=" + bus.substr(bus.rfind('/') + 1) + "/" + place;
    }
    return places;
}

std::string tablet(const std::string& id)
{
    return R"({"key":")" + id +
           R"(","steps":[{"execute":"device_add","arguments":{"driver":"usb-tablet","id":")" + id +
           R"(","bus":"xenusb-0.0"}}]})";
}

std::string device_plan(const std::string& id, const std::string& driver, const std::string& more)
{
    return R"({"key":")" + id + R"(","steps":[{"execute":"device_add","arguments":{"driver":")" +
           driver + R"(","id":")" + id + "\"" + more + "}}]}";
}

std::string chardev(const std::string& id)
{
    return R"({"key":")" + id + R"(","steps":[{"execute":"chardev-add","arguments":{"id":")" + id +
           R"(","backend":{"type":"null","data":{}}}}]})";
}

// ---- SQL ----

namespace {

class Connection {
public:
    explicit Connection(const std::string& path)
    {
        if (sqlite3_open_v2(path.c_str(), &db_,
                            path == ":memory:" ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY,
                            nullptr) != SQLITE_OK)
            fail(path);
        sqlite3_busy_timeout(db_, 5000);
    }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection() { sqlite3_close(db_); }

    std::vector<Words> rows(const std::string& query, const Words& parameters = {})
    {
        sqlite3_stmt* statement = nullptr;
        if (sqlite3_prepare_v2(db_, query.c_str(), -1, &statement, nullptr) != SQLITE_OK)
            fail(query);
        int number = 0;
        for (const auto& parameter : parameters)
            sqlite3_bind_text(statement, ++number, parameter.c_str(), -1, SQLITE_TRANSIENT);
        std::vector<Words> all;
        int rc = SQLITE_DONE;
        while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
            Words row;
            for (int i = 0; i < sqlite3_column_count(statement); ++i) {
                const auto* cell = sqlite3_column_text(statement, i);
                row.emplace_back(cell ? reinterpret_cast<const char*>(cell) : "");
            }
            all.push_back(std::move(row));
        }
        sqlite3_finalize(statement);
        if (rc != SQLITE_DONE) fail(query);
        return all;
    }

private:
    [[noreturn]] void fail(const std::string& what) const
    {
        give_up("sqlite: " + std::string(sqlite3_errmsg(db_)) + ": " + what);
    }
    sqlite3* db_ = nullptr;
};

std::string first_cell(const std::vector<Words>& rows)
{
    return rows.empty() || rows[0].empty() ? std::string() : rows[0][0];
}

}  // namespace

std::string sql(const std::string& store, const std::string& query)
{
    return first_cell(Connection(store + "/store.db").rows(query));
}

std::string dump(const std::string& store)
{
    Connection db(store + "/store.db");
    db.rows("BEGIN");
    std::string text;
    // Of the store, not its place, nor how often a process has written: an open for writing counts.
    db.rows("CREATE TEMP VIEW lasting AS SELECT uuid, created_us, durability, history_pruned_below "
            "FROM main.store");
    for (const char* table : {"lasting", "domain", "tombstone", "document_member", "thing",
                              "product", "initial_device", "intent", "history"}) {
        text += std::string("== ") + table + "\n";
        for (const auto& row : db.rows(std::string("SELECT * FROM ") + table)) {
            for (const auto& cell : row)
                text += cell + "|";
            text += "\n";
        }
    }
    return text;
}

std::string json_at(const std::string& text, const std::string& path)
{
    return first_cell(Connection(":memory:").rows("SELECT json_extract(?, ?)", {text, path}));
}

// ---- Judgement ----

namespace {

struct InQemu {
    std::vector<std::pair<std::string, std::string>> made;  // kind, name: not there at birth
    std::string medium;
};

InQemu look_at(const std::string& judge)
{
    InQemu found;
    std::istringstream devices(devices_of(judge));
    for (std::string name; devices >> name;)
        if (name != "ide-5632" && name != "xenusb-0") found.made.emplace_back("device", name);
    for (const auto& one : answer(judge, "query-chardev")) {
        const std::string name = one["label"];
        if (name != "judge" && name != "serial0" && name != "xlstore-cmd" &&
            name != "compat_monitor0")
            found.made.emplace_back("chardev", name);
    }
    for (const auto& one : answer(judge, "query-named-block-nodes")) {
        const std::string name = one["node-name"];
        if (!name.starts_with("#")) found.made.emplace_back("node", name);
    }
    found.medium = medium_of(judge);
    return found;
}

std::string path_in(const std::string& image)
{
    return image.empty() ? "none" : json::parse(image).value("pdev_path", "");
}

}  // namespace

testing::AssertionResult invariant_holds(const std::string& store, const std::string& judge)
{
    const InQemu found = look_at(judge);
    Connection db(store + "/store.db");
    db.rows("BEGIN");
    for (const auto& [kind, name] : found.made)
        if (db.rows("SELECT 1 FROM product p JOIN thing t ON t.id = p.thing JOIN domain d "
                    "ON d.id = t.domain WHERE d.state <> 'destroyed' AND p.kind = ? AND p.name = ?",
                    {kind, name})
                .empty())
            return testing::AssertionFailure()
                   << "QEMU has " << kind << " " << name << " and no entry says so";
    bool known = found.medium.empty();
    std::string shown;
    for (const auto& row :
         db.rows("SELECT t.json, i.image_before, i.image_after, i.image_neither FROM thing t "
                 "LEFT JOIN intent i ON i.thing = t.id WHERE t.key = 'hdc'"))
        for (const auto& image : row) {
            known = known || path_in(image) == found.medium;
            shown += path_in(image) + " ";
        }
    if (!known)
        return testing::AssertionFailure()
               << "the drive holds " << found.medium << ", the store knows of " << shown;
    return testing::AssertionSuccess();
}

testing::AssertionResult store_and_qemu_agree(const std::string& store, const std::string& judge)
{
    const InQemu found = look_at(judge);
    Connection db(store + "/store.db");
    db.rows("BEGIN");
    if (const auto open = db.rows("SELECT id, note FROM intent"); !open.empty())
        return testing::AssertionFailure() << "intent " << open[0][0] << " is open: " << open[0][1];
    if (const auto odd = db.rows("SELECT class || '/' || key || ' is ' || state FROM thing WHERE "
                                 "state NOT IN ('present', 'stale')");
        !odd.empty())
        return testing::AssertionFailure() << odd[0][0];
    std::vector<std::pair<std::string, std::string>> known;
    for (const auto& row : db.rows("SELECT p.kind, p.name FROM product p JOIN thing t ON t.id = "
                                   "p.thing WHERE t.state = 'present' AND p.kind <> 'fdset'"))
        known.emplace_back(row[0], row[1]);
    auto made = found.made;
    std::sort(known.begin(), known.end());
    std::sort(made.begin(), made.end());
    if (known != made)
        return testing::AssertionFailure()
               << "entries say " << known.size() << " products, QEMU has " << made.size();
    const auto medium =
        first_cell(db.rows("SELECT json FROM thing WHERE key = 'hdc' AND state = 'present'"));
    if (path_in(medium) != found.medium)
        return testing::AssertionFailure() << "the entry of hdc says " << path_in(medium)
                                           << ", the drive holds " << found.medium;
    return testing::AssertionSuccess();
}

testing::AssertionResult ended(const Ran& ran, int status)
{
    if (ran.status == status) return testing::AssertionSuccess();
    return testing::AssertionFailure() << "ended with " << ran.status << ", not " << status
                                       << "\nstdout: " << ran.out << "\nstderr: " << ran.err;
}

testing::AssertionResult contains(const std::string& text, const std::string& part)
{
    if (text.find(part) != std::string::npos) return testing::AssertionSuccess();
    return testing::AssertionFailure() << '"' << part << "\" is not in \"" << text << '"';
}

}  // namespace xlstore::test
