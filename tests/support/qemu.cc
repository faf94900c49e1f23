// SPDX-License-Identifier: MIT
#include "tests/support/qemu.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "store/base/fd.hpp"
#include "tests/support/process.hpp"
#include "tests/support/rows.hpp"

namespace xlstore::test {

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

using nlohmann::json;

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

std::vector<std::string> each_of(const std::string& socket, const std::string& command,
                                 const std::string& member)
{
    std::vector<std::string> all;
    for (const auto& one : answer(socket, command))
        all.push_back(one[member]);
    return all;
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
    text += "chardevs: " + joined(each_of(socket, "query-chardev", "label")) + "\n";
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

}  // namespace xlstore::test
