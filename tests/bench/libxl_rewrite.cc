// SPDX-License-Identifier: MIT
// The two commits of a CD change beside what libxl does for one: its document is read, parsed,
// changed, printed, written under another name and renamed, by libxenlight itself. libxl's way
// survives no crash between that and QEMU. They take turns. Bar: ahead at every size.
//
// libxenlight wants a hypervisor and a xenstore when it is opened; what it asks of these then is
// answered here, and nothing else asks them.
//
//   libxl_rewrite [ROUNDS]      default: 200
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>

extern "C" {
#include <libxl.h>
}

#include "tests/bench/two_commits.hpp"

namespace {
char anything;
}

// Found by the library in place of its own.
#pragma GCC visibility push(default)
extern "C" {
void* xc_interface_open(void*, void*, unsigned)
{
    return &anything;
}
int xc_interface_close(void*)
{
    return 0;
}
void* xs_open(unsigned long)
{
    return &anything;
}
void xs_close(void*) {}
}
#pragma GCC visibility pop

namespace {

using namespace xlstore;
using namespace xlstore::bench;

constexpr int kRounds = 200;

class Libxl {
public:
    explicit Libxl(const std::string& path) : path_(path)
    {
        log_ = xtl_createlogger_stdiostream(stderr, XTL_ERROR, 0);
        if (libxl_ctx_alloc(&ctx_, LIBXL_VERSION, 0, reinterpret_cast<xentoollog_logger*>(log_)) !=
            0)
            throw std::runtime_error("libxl_ctx_alloc");
    }
    Libxl(const Libxl&) = delete;
    Libxl& operator=(const Libxl&) = delete;
    ~Libxl()
    {
        libxl_ctx_free(ctx_);
        xtl_logger_destroy(reinterpret_cast<xentoollog_logger*>(log_));
    }
    void write(const std::string& text) const
    {
        const std::string fresh = path_ + ".new";
        std::FILE* file = std::fopen(fresh.c_str(), "we");
        if (!file || std::fwrite(text.data(), 1, text.size(), file) != text.size() ||
            std::fclose(file) != 0 || std::rename(fresh.c_str(), path_.c_str()) != 0)
            throw std::runtime_error("cannot write " + path_);
    }
    void change_one_disk(std::size_t which) const
    {
        std::ostringstream text;
        text << std::ifstream(path_).rdbuf();
        libxl_domain_config config;
        libxl_domain_config_init(&config);
        if (libxl_domain_config_from_json(ctx_, &config, text.str().c_str()) != 0)
            throw std::runtime_error("libxl does not read the document");
        auto& medium = config.disks[which].pdev_path;
        std::free(medium);
        medium = strdup("/srv/xen/other.iso");
        char* changed = libxl_domain_config_to_json(ctx_, &config);
        libxl_domain_config_dispose(&config);
        if (!changed) throw std::runtime_error("libxl does not write the document");
        write(changed);
        std::free(changed);
    }

private:
    std::string path_;
    xentoollog_logger_stdiostream* log_ = nullptr;
    libxl_ctx* ctx_ = nullptr;
};

bool measure(std::int64_t disks, int rounds)
{
    Fixture fixture(disks);
    const Draft draft = change(fixture, disks / 2);
    // Beside the store's directory, where libxl's files are; what is renamed within costs a look.
    const auto store = std::filesystem::path(fixture.database()).parent_path();
    const Libxl libxl(store.string() + "-libxl-json");
    libxl.write(document(disks));
    Times ours;
    Times theirs;
    for (int i = 0; i < rounds; ++i) {
        const Moment begun;
        if (!fixture.store->loop().wait_for(one_operation(fixture, draft)))
            throw std::runtime_error("an operation failed");
        const Moment between;
        libxl.change_one_disk(static_cast<std::size_t>(disks / 2));
        const Moment ended;
        ours.add(begun, between);
        theirs.add(between, ended);
    }
    std::printf("%5lld disks: two commits %6.0f us (CPU %6.0f), libxl's rewrite %6.0f us (CPU "
                "%6.0f): %.2f times as fast\n",
                static_cast<long long>(disks), ours.passed(), ours.used(), theirs.passed(),
                theirs.used(), theirs.passed() / ours.passed());
    return ours.used() < theirs.used();
}

}  // namespace

int main(int argc, char** argv)
{
    const int rounds = argc > 1 ? std::atoi(argv[1]) : kRounds;
    try {
        bool ahead = true;
        for (const std::int64_t disks : {1, 5, 60, 1000})
            ahead = measure(disks, rounds) && ahead;
        return ahead ? 0 : 1;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "libxl_rewrite: %s\n", e.what());
        return 1;
    }
}
