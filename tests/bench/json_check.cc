// SPDX-License-Identifier: MIT
// Would another library check JSON better than json_minify() does? The same rules (no key twice, depth, members)
// over nlohmann's SAX parser as the library has it, RapidJSON's iterative reader and yajl: what each says of texts
// that matter here, and what a document costs. README.md has the figures and the verdict.
//
//   json_check verdicts                what each takes, and where it says the fault is
//   json_check time [BYTES]            microseconds a document of about so many bytes
//   json_check memory NAME [BYTES]     KiB that one check of NAME (ours, rapidjson, yajl) needs at the most
#include <rapidjson/error/en.h>
#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>
#include <sys/resource.h>
#include <yajl/yajl_parse.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "store/base/limits.hpp"
#include "store/text/json_text.hpp"

namespace {

using xlstore::limits::json_depth_max;
using xlstore::limits::json_members_max;

struct Verdict {
    bool taken = false;
    std::optional<std::size_t> offset = {};  // of the fault, where the library says one
    std::string reason = {};
};

/// The rules that none of the libraries has: of each open object its keys, decoded.
class Rules {
public:
    bool open()
    {
        keys_.emplace_back();
        return keys_.size() <= json_depth_max || fail("too deep");
    }
    bool close()
    {
        members_ -= keys_.back().size();
        keys_.pop_back();
        return true;
    }
    bool key(std::string name)
    {
        if (!keys_.back().insert(std::move(name)).second) return fail("duplicate key");
        return ++members_ <= json_members_max || fail("too many members");
    }
    [[nodiscard]] const std::string& reason() const { return reason_; }

private:
    bool fail(const char* why)
    {
        reason_ = why;
        return false;
    }
    std::vector<std::set<std::string>> keys_;
    std::size_t members_ = 0;
    std::string reason_;
};

Verdict ours(const std::string& text)
{
    const auto checked = xlstore::json_minify(text, "text");
    return {checked.has_value(), {}, checked ? "" : checked.error().message};
}

struct RapidHandler : rapidjson::BaseReaderHandler<rapidjson::UTF8<>, RapidHandler> {
    Rules rules;
    bool StartObject() { return rules.open(); }
    bool EndObject(rapidjson::SizeType) { return rules.close(); }
    bool StartArray() { return rules.open(); }
    bool EndArray(rapidjson::SizeType) { return rules.close(); }
    bool Key(const char* text, rapidjson::SizeType size, bool)
    {
        return rules.key(std::string(text, size));
    }
};

Verdict rapid(const std::string& text)
{
    rapidjson::MemoryStream stream(text.data(), text.size());
    rapidjson::Reader reader;
    RapidHandler handler;
    constexpr unsigned flags = rapidjson::kParseIterativeFlag | rapidjson::kParseNumbersAsStringsFlag |
                               rapidjson::kParseValidateEncodingFlag;
    const auto result = reader.Parse<flags>(stream, handler);
    if (result) return {true};
    return {false, result.Offset(),
            handler.rules.reason().empty() ? rapidjson::GetParseError_En(result.Code())
                                           : handler.rules.reason()};
}

Verdict yajl(const std::string& text)
{
    Rules rules;
    const auto rules_of = [](void* context) -> Rules& { return *static_cast<Rules*>(context); };
    static const auto of = rules_of;
    const yajl_callbacks callbacks = {
        [](void*) { return 1; },
        [](void*, int) { return 1; },
        nullptr,
        nullptr,
        [](void*, const char*, size_t) { return 1; },
        [](void*, const unsigned char*, size_t) { return 1; },
        [](void* c) { return of(c).open() ? 1 : 0; },
        [](void* c, const unsigned char* key, size_t size) {
            return of(c).key(std::string(reinterpret_cast<const char*>(key), size)) ? 1 : 0;
        },
        [](void* c) { return of(c).close() ? 1 : 0; },
        [](void* c) { return of(c).open() ? 1 : 0; },
        [](void* c) { return of(c).close() ? 1 : 0; }};
    const yajl_handle handle = yajl_alloc(&callbacks, nullptr, &rules);
    const auto* bytes = reinterpret_cast<const unsigned char*>(text.data());
    auto status = yajl_parse(handle, bytes, text.size());
    if (status == yajl_status_ok) status = yajl_complete_parse(handle);
    Verdict verdict{status == yajl_status_ok};
    if (!verdict.taken) {
        verdict.offset = yajl_get_bytes_consumed(handle);
        unsigned char* words = yajl_get_error(handle, 0, bytes, text.size());
        verdict.reason = rules.reason().empty() ? reinterpret_cast<char*>(words) : rules.reason();
        yajl_free_error(handle, words);
    }
    yajl_free(handle);
    return verdict;
}

struct Checker {
    const char* name;
    Verdict (*check)(const std::string&);
};
constexpr Checker kCheckers[] = {{"ours", ours}, {"rapidjson", rapid}, {"yajl", yajl}};

std::string nested(std::size_t levels)
{
    return std::string(levels, '[') + std::string(levels, ']');
}

/// Disks and nics as libxl writes them.
std::string document(std::size_t bytes)
{
    std::string text = "{\n    \"c_info\": {\"type\": \"hvm\", \"name\": \"web\"},\n    \"disks\": [";
    for (int i = 0; text.size() < bytes; ++i)
        text += std::string(i > 0 ? "," : "") + "\n        {\n            \"pdev_path\": \"/srv/images/disk-" +
                std::to_string(i) + "\",\n            \"vdev\": \"xvd" + std::to_string(i) +
                "\",\n            \"format\": \"raw\",\n            \"readwrite\": 1\n        }";
    return text + "\n    ]\n}\n";
}

void verdicts()
{
    const std::pair<const char*, std::string> texts[] = {
        {"empty", ""},
        {"a document", document(2000)},
        {"key twice", R"({"a":1,"a":2})"},
        {"key twice, once escaped", R"({"a":1,"\u0061":2})"},
        {"100000 levels", nested(100000)},
        {"2^64, -0, 1.50, 1e2", R"([18446744073709551616,-0,1.50,1e2])"},
        {"1e999", "[1e999]"},
        {"01", "[01]"},
        {"trailing comma", "[1,]"},
        {"two values", "1 2"},
        {"comment", "[1/* */]"},
        {"not UTF-8 in a value", "[\"\xff\"]"},
        {"not UTF-8 in a key", "{\"\xff\":1}"},
        {"overlong UTF-8", "[\"\xc0\xaf\"]"},
        {"lone surrogate", R"(["\ud800"])"},
        {"\\u0000", R"(["\u0000"])"},
        {"raw control character", "[\"\x01\"]"},
        {"NUL at the end", std::string("[1]\0", 4)},
        {"BOM", "\xef\xbb\xbf[1]"},
        {"NaN", "[NaN]"},
    };
    for (const auto& [name, text] : texts) {
        std::printf("%s\n", name);
        for (const auto& checker : kCheckers) {
            const Verdict verdict = checker.check(text);
            std::string reason = verdict.reason.substr(0, 60);
            std::replace(reason.begin(), reason.end(), '\n', ' ');
            std::printf("    %-10s %-8s %s%s\n", checker.name, verdict.taken ? "taken" : "refused",
                        verdict.offset ? ("at " + std::to_string(*verdict.offset) + " ").c_str() : "",
                        reason.c_str());
        }
    }
}

void time(std::size_t bytes)
{
    using Clock = std::chrono::steady_clock;
    const std::string text = document(bytes);
    const int rounds = std::max(20, static_cast<int>(8'000'000 / text.size()));
    // In turns, and the fastest of each: other work on the machine slows a round, never quickens it.
    double best[std::size(kCheckers)];
    std::fill(std::begin(best), std::end(best), 1e9);
    for (int round = 0; round < rounds; ++round)
        for (std::size_t i = 0; i < std::size(kCheckers); ++i) {
            const auto begin = Clock::now();
            if (!kCheckers[i].check(text).taken) std::abort();
            best[i] = std::min(
                best[i], std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
        }
    std::printf("%zu bytes:", text.size());
    for (std::size_t i = 0; i < std::size(kCheckers); ++i)
        std::printf("  %s %.1f us", kCheckers[i].name, best[i]);
    std::printf("\n");
}

long peak_kib()
{
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

int memory(const std::string& name, std::size_t bytes)
{
    const std::string text = document(bytes);
    for (const auto& checker : kCheckers)
        if (checker.name == name) {
            const long before = peak_kib();
            if (!checker.check(text).taken) std::abort();
            std::printf("%s: %ld KiB for %zu KiB\n", checker.name, peak_kib() - before,
                        text.size() / 1024);
            return 0;
        }
    return 2;
}

}  // namespace

int main(int argc, char** argv)
{
    const std::string what = argc > 1 ? argv[1] : "";
    const auto bytes = [&](int at) {
        return argc > at ? std::strtoul(argv[at], nullptr, 10) : 3000UL;
    };
    if (what == "verdicts") return verdicts(), 0;
    if (what == "time") return time(bytes(2)), 0;
    if (what == "memory" && argc > 2) return memory(argv[2], bytes(3));
    std::fputs("usage: json_check verdicts | time [BYTES] | memory NAME [BYTES]\n", stderr);
    return 2;
}
