// SPDX-License-Identifier: MIT
#include "tests/integration/hostile_peer.hpp"

#include <algorithm>

namespace xlstore::test::hostile {

std::vector<Answer> Peer::answers(const World& world) const
{
    const bool by_descriptor = world.medium == 'b';
    const std::string file = by_descriptor ? "/dev/fdset/1" : material_.images.at('a');
    Answer devices = returns("qom-list", world.tab ? kTab : "[]");
    devices.about = R"(/machine/peripheral")";
    Answer anonymous = returns("qom-list", "[]");
    anonymous.about = R"(/machine/peripheral-anon")";
    Answer objects = returns("qom-list", "[]");
    objects.about = R"(/objects")";
    return {
        std::move(devices),
        std::move(anonymous),
        std::move(objects),
        returns("query-chardev", world.plain ? R"([{"label":"plain"}])" : "[]"),
        returns("query-block", R"([{"device":"ide-5632","inserted":{"file":")" + file + R"("}}])"),
        returns("query-named-block-nodes", R"([{"node-name":"#block1","file":")" + file + "\"}]"),
        returns("query-fdsets", by_descriptor ? fdsets() : "[]"),
        returns("human-monitor-command", R"("")"),
        returns("add-fd", R"({"fdset-id":1,"fd":9})")};
}

std::string Peer::fdsets() const
{
    return R"([{"fdset-id":1,"fds":[{"fd":9,"opaque":"raw:)" + material_.images.at('b') + "\"}]}]";
}

Script Peer::sane(const World& world) const
{
    return script({handshake(), {step::serve(answers(world))}});
}

Script Peer::lying(std::vector<Answer> lies, const World& world) const
{
    const auto told = lies.size();
    for (auto& honest : answers(world)) {
        const auto last = lies.begin() + static_cast<std::ptrdiff_t>(told);
        const bool lied = std::any_of(
            lies.begin(), last, [&](const Answer& lie) { return lie.command == honest.command; });
        if (!lied) lies.push_back(std::move(honest));
    }
    return script({handshake(), {step::serve(std::move(lies))}});
}

Script Peer::until(const std::string& command, const Steps& then, const World& world) const
{
    return script({handshake(), {step::serve(answers(world), command)}, then});
}

Script unwilling()
{
    return {step::accept(), step::close()};
}

Answer late(Answer answer, std::chrono::milliseconds time)
{
    answer.late = time;
    return answer;
}

std::string repeated(std::size_t times, const std::string& text)
{
    std::string all;
    for (std::size_t i = 0; i < times; ++i)
        all += text;
    return all;
}

std::string many(std::size_t count, const std::string& element)
{
    std::string all = "[";
    all.reserve(count * (element.size() + 1) + 2);
    for (std::size_t i = 0; i < count; ++i) {
        if (i > 0) all += ',';
        const auto mark = element.find('#');
        all += mark == std::string::npos
                   ? element
                   : element.substr(0, mark) + std::to_string(i) + element.substr(mark + 1);
    }
    return all + "]";
}

Step very_long(char c)
{
    return step::send_repeatedly(std::string(1U << 16U, c), 1600);
}

std::string identifier(std::string command)
{
    std::replace(command.begin(), command.end(), '-', '_');
    return command;
}

}  // namespace xlstore::test::hostile
