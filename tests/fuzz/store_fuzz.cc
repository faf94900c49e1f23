// SPDX-License-Identifier: MIT
// A store whose files (database, log, lock files, spare) were written over: it is opened, looked at
// and repaired. Each gives a store or a clear error, a look changes no byte of it, and what a repair
// calls mended a look behind it finds nothing in. The input: a byte of ways, then blows, each a byte
// of file and kind, the place in three bytes, the length in one, and the bytes that go there.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <string_view>

#include "recovery/runs/fsck.hpp"
#include "store/core/store.hpp"
#include "store/database/db.hpp"
#include "store/lifecycle/new_domain.hpp"

namespace {

using namespace xlstore;

constexpr std::array<const char*, 5> kFiles{"store.db", "store.db-wal", "locks", "slow", "spare"};
enum Way : unsigned { no_log = 1, preen = 2, every_page = 4 };
enum Kind { write_over, zeros, cut, longer };

void require(bool holds)
{
    if (!holds) std::abort();
}

std::string content(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

// Into the same file: a lock file that was put back otherwise is known as such (R17).
void put(const std::string& path, std::string_view text)
{
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    require(fd >= 0 && write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    require(ftruncate(fd, static_cast<off_t>(text.size())) == 0);
    close(fd);
}

std::string document(int domid)
{
    return R"({"c_info":{"type":"hvm","name":"d)" + std::to_string(domid) +
           R"(","uuid":"8f2c7d10-4b6e-4a51-9d3c-00000000000)" + std::to_string(domid) +
           R"("},"b_info":{"type.hvm":{}},"disks":[{"pdev_path":"/a.iso","vdev":"hdc","format":"raw",)"
           R"("removable":1,"is_cdrom":1}],"nics":[{"devid":0,"mac":"00:16:3e:00:00:01"}],)"
           R"("on_crash":"restart"})";
}

/// A store of two domains, one of which is over; its files as they are at the end.
class Sound {
public:
    Sound()
    {
        std::string name = "/dev/shm/xlstore-fuzz-XXXXXX";
        require(mkdtemp(name.data()) != nullptr);
        root_ = name;
        require(setenv("XENSTORED_PATH", (root_ + "/none").c_str(), 1) == 0);
        options_.directory = root_ + "/s";
        require(Store::init(options_.directory).has_value());
        {
            auto store = Store::open(options_);
            require(store.has_value());
            for (const int domid : {7, 8})
                require((*store)
                            ->loop()
                            .wait_for(import_domain(**store, domid, document(domid), "document",
                                                    Clock::now() + std::chrono::seconds(20)))
                            .has_value());
        }
        for (const char* file : kFiles)
            files_[file] = content(path(file));
    }
    Sound(const Sound&) = delete;
    Sound& operator=(const Sound&) = delete;
    ~Sound() { std::filesystem::remove_all(root_); }

    [[nodiscard]] const StoreOptions& options() const { return options_; }
    [[nodiscard]] std::map<std::string, std::string> files() const { return files_; }
    [[nodiscard]] std::string path(const std::string& file) const
    {
        return options_.directory + "/" + file;
    }

private:
    std::string root_;
    StoreOptions options_;
    std::map<std::string, std::string> files_;
};

void strike(std::map<std::string, std::string>& files, std::string_view input)
{
    for (int blows = 0; input.size() >= 5 && blows < 24; ++blows) {
        const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(input[at]); };
        std::string& file = files[kFiles.at(byte(0) % kFiles.size())];
        const auto kind = static_cast<Kind>(byte(0) / kFiles.size() % 4);
        const std::size_t place =
            file.empty() ? 0 : (byte(1) * 65536U + byte(2) * 256U + byte(3)) % file.size();
        const std::size_t length = byte(4);
        input.remove_prefix(5);
        const auto text = input.substr(0, length);
        if (kind == cut) file.resize(place);
        if (kind == longer) file.append(text);
        if (kind == zeros)
            file.replace(place, std::min(length * 64, file.size() - place), length * 64, '\0');
        if (kind == write_over) {
            file.replace(place, std::min(text.size(), file.size() - place), text);
        }
        if (kind != zeros && kind != cut) input.remove_prefix(text.size());
    }
}

std::map<std::string, std::string> all_of(const Sound& sound)
{
    std::map<std::string, std::string> all;
    for (const auto& entry : std::filesystem::directory_iterator(sound.options().directory))
        if (entry.is_regular_file() && entry.path().filename() != "store.db-shm")
            all[entry.path().filename().string()] = content(entry.path().string());
    return all;
}

void put_back(const Sound& sound, const std::map<std::string, std::string>& files, bool log)
{
    for (const auto& entry : std::filesystem::directory_iterator(sound.options().directory))
        if (entry.is_regular_file() && !files.contains(entry.path().filename().string()))
            std::filesystem::remove(entry.path());
    for (const auto& [name, text] : files)
        if (log || name != "store.db-wal")
            put(sound.path(name), text);
        else
            std::filesystem::remove(sound.path(name));
}

void require_clear(const Error& error)
{
    require(!error.message.empty() && error.message.size() < 16384);
    for (const char c : error.message)
        require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F);
}

struct Run {
    std::optional<unsigned> bits;  // of the report; nothing: it could not be run, and said why
    std::string told;              // a line a finding
    bool operator==(const Run&) const = default;
};

enum class Threads { one, two };

Run run(const Sound& sound, recovery::Mode mode, bool every_page, Threads threads = Threads::one)
{
    Run run;
    recovery::Options options;
    options.mode = mode;
    options.every_page = every_page;
    options.threads = threads == Threads::two;
    options.found = [&](const recovery::Finding& finding) {
        require(!finding.subject.empty());
        run.told += finding.subject + ": " + finding.evidence + "\n";
    };
    try {
        auto checked = recovery::fsck(sound.options(), std::move(options), "");
        if (checked)
            run.bits = checked->report.exit_bits;
        else
            require_clear(checked.error());
    } catch (const DbError&) {
        // xlfsck says that of a database that is damaged behind its back
    }
    return run;
}

void read_it(const Sound& sound)
{
    try {
        auto store = Store::open_untouched(sound.options());
        if (!store) require_clear(store.error());
    } catch (const DbError&) {
    }
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const Sound sound;
    if (size < 1) return 0;
    const unsigned ways = data[0];
    auto files = sound.files();
    strike(files, {reinterpret_cast<const char*>(data) + 1, size - 1});
    put_back(sound, files, !(ways & no_log));

    const auto before = all_of(sound);
    read_it(sound);
    const auto looked = run(sound, recovery::Mode::look, ways & every_page);
    require(run(sound, recovery::Mode::look, ways & every_page, Threads::two) == looked);
    require(all_of(sound) == before);

    const auto mode = ways & preen ? recovery::Mode::preen : recovery::Mode::yes;
    const auto mended = run(sound, mode, true).bits;
    if (!mended || *mended > 1) return 0;
    require(run(sound, recovery::Mode::look, true).bits == 0U);
    require(Store::open(sound.options()).has_value());
    return 0;
}
