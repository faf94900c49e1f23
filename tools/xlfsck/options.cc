// SPDX-License-Identifier: MIT
// getopt_long, because e2fsck's letters are single ones with values (-C FD) and may stand together.
// What options may not be given together is checked once all are read.
#include "tools/xlfsck/options.hpp"

#include <getopt.h>

#include "store/core/store.hpp"
#include "store/text/json_text.hpp"
#include "store/text/number_text.hpp"
#include "tools/common/moment.hpp"

namespace xlstore::tools {

const char* const kUsage =
    "Usage: xlfsck [--store DIR] [-n|-p|-y] [-f] [-v] [-C FD] [--json] [--evict]\n"
    "              [--rebuild [--userdata DIR]] [--timeout SECONDS] [DOMAIN]\n"
    "       xlfsck --libxl [-n|-p|-y] [-v] [--json] [--store DIR] [--root DIR]\n"
    "              [--timeout SECONDS] [DOMAIN]\n"
    "       xlfsck --libxl --undo DIR\n"
    "       xlfsck -n --bundle FILE [-v]\n"
    "       xlfsck --explain CODE\n"
    "Checks a store against the living QEMUs, and repairs it.\n"
    "  -n  look only, answer no to everything, write nothing\n"
    "  -p, -a  preen: repair without questions what is safe without a human\n"
    "  -y  answer yes to everything\n"
    "  -f, --force  check even what seems clean: each document as SQL shows it\n"
    "  -v, --verbose  say more\n"
    "  -C FD  write progress to this descriptor: PASS DONE OF; 0: a bar on the terminal\n"
    "  --store DIR  the store's directory (default: $XLSTORE_DIR, else /var/lib/xlstore)\n"
    "  --json  one object a line, the last one the summary\n"
    "  --evict  take out of QEMU what no entry knows, instead of adopting it\n"
    "  --rebuild  register QEMUs that no row knows; make a database if there is none\n"
    "  --userdata DIR  libxl's documents, for that (default /var/lib/xen)\n"
    "  --libxl  check a Xen host that has no store: libxl's files against QEMU and xenstore (-n is "
    "the default);\n"
    "           with -p and -y, or --store, a store is checked before\n"
    "  --root DIR  libxl's directories are below DIR, for that (default: this host's)\n"
    "  --undo DIR  put back what a repair with --libxl replaced; it printed DIR\n"
    "  --bundle FILE  look at what 'xlstore bundle' wrote, on another host (-n alone)\n"
    "  --timeout SECONDS  for each domain (default 10)\n"
    "  --explain CODE  print what the manual says of a problem, by number or name\n"
    "  -V, --version  print the versions of program, schema, SQLite and QEMU\n"
    "  -h, --help  print this\n"
    "Exit status, a sum: 0 clean, 1 something was corrected, 2 a guest or another process must "
    "act\n"
    "first, 4 something was left uncorrected, 8 something could not be looked at (or written),\n"
    "16 wrong usage, 32 cancelled by an interrupt.\n";

namespace {

using recovery::Mode;

enum Long {
    kStore = 256,
    kJson,
    kTimeout,
    kEvict,
    kRebuild,
    kUserdata,
    kExplain,
    kLibxl,
    kRoot,
    kUndo,
    kBundle
};

constexpr option kLong[] = {{"store", required_argument, nullptr, kStore},
                            {"json", no_argument, nullptr, kJson},
                            {"timeout", required_argument, nullptr, kTimeout},
                            {"evict", no_argument, nullptr, kEvict},
                            {"rebuild", no_argument, nullptr, kRebuild},
                            {"userdata", required_argument, nullptr, kUserdata},
                            {"explain", required_argument, nullptr, kExplain},
                            {"libxl", no_argument, nullptr, kLibxl},
                            {"root", required_argument, nullptr, kRoot},
                            {"undo", required_argument, nullptr, kUndo},
                            {"bundle", required_argument, nullptr, kBundle},
                            {"force", no_argument, nullptr, 'f'},
                            {"verbose", no_argument, nullptr, 'v'},
                            {"version", no_argument, nullptr, 'V'},
                            {"help", no_argument, nullptr, 'h'},
                            {nullptr, 0, nullptr, 0}};

class Parser {
public:
    Parser(int argc, char** argv) : argc_(argc), argv_(argv) {}

    Parsed run()
    {
        settings_.store = default_directory();
        optind = 0;  // from the beginning, although it was used before
        opterr = 0;
        int option = 0;
        while (!result_ &&
               (option = getopt_long(argc_, argv_, ":npyafvVhC:", kLong, nullptr)) != -1)
            take(option);
        if (result_) return *std::move(result_);
        for (; optind < argc_; ++optind) {
            if (!settings_.domain.empty()) return BadUsage{"more than one domain was named"};
            settings_.domain = argv_[optind];
            if (settings_.domain.empty()) return BadUsage{"the name of the domain is empty"};
        }
        return checked();
    }

private:
    void take(int option)
    {
        switch (option) {
        case 'n':
            return mode(Mode::look);
        case 'p':
        case 'a':
            return mode(Mode::preen);
        case 'y':
            return mode(Mode::yes);
        case 'C':
            return progress();
        case kTimeout:
            return timeout();
        case kStore:
            settings_.store = optarg;
            settings_.store_named = true;
            if (settings_.store.empty()) bad("--store takes a directory");
            return;
        case kUserdata:
            settings_.userdata = optarg;
            if (settings_.userdata.empty()) bad("--userdata takes a directory");
            return;
        case kRoot:
            settings_.root = optarg;
            if (!settings_.root.starts_with('/')) bad("--root takes an absolute path");
            return;
        case kUndo:
            settings_.undo = optarg;
            if (settings_.undo.empty()) bad("--undo takes a directory");
            return;
        case kBundle:
            settings_.bundle = optarg;
            if (settings_.bundle.empty()) bad("--bundle takes a file");
            return;
        case kExplain:
            result_ = Explain{optarg};
            return;
        case 'V':
            result_ = Instead::version;
            return;
        case 'h':
            result_ = Instead::help;
            return;
        case ':':
            return bad(word() + " needs a value");
        case '?':
            return bad("unknown option " + word());
        default:
            flag(option);
        }
    }
    void flag(int option)
    {
        bool& which = option == 'f'       ? settings_.whole
                      : option == 'v'     ? settings_.verbose
                      : option == kJson   ? settings_.json
                      : option == kEvict  ? settings_.evict
                      : option == kLibxl  ? settings_.libxl
                                          : settings_.rebuild;
        which = true;
    }
    void bad(std::string why) { result_ = BadUsage{std::move(why)}; }
    // The option that getopt_long did not take, as it was typed.
    [[nodiscard]] std::string word() const
    {
        const bool is_letter = optopt > 0 && optopt < kStore;
        return is_letter ? std::string("-") + static_cast<char>(optopt) : argv_[optind - 1];
    }
    void mode(Mode mode)
    {
        if (settings_.mode && *settings_.mode != mode)
            return bad("only one of -n, -p (or -a) and -y may be given");
        settings_.mode = mode;
    }
    void progress()
    {
        const auto fd = parse_number<int>(optarg);
        if (!fd || *fd < 0 || *fd > 1'000'000)
            return bad("-C takes a descriptor's number, not " + json_shown(optarg));
        settings_.progress_fd = *fd;
    }
    void timeout()
    {
        const auto seconds = parse_seconds(optarg);
        if (!seconds)
            return bad("--timeout takes seconds, 0 to 1000000, not " + json_shown(optarg));
        settings_.timeout_s = *seconds;
    }
    [[nodiscard]] Parsed checked()
    {
        auto& s = settings_;
        if (!s.libxl && (!s.root.empty() || !s.undo.empty()))
            return BadUsage{"--root and --undo go with --libxl"};
        if (s.libxl && (s.evict || s.rebuild || s.whole))
            return BadUsage{"--libxl takes none of --evict, --rebuild and -f"};
        if (!s.undo.empty() && (s.mode || !s.domain.empty()))
            return BadUsage{"--undo takes no mode and no domain"};
        const bool looks = s.mode.value_or(Mode::look) == Mode::look;
        if (!s.bundle.empty() && (s.libxl || s.store_named || s.rebuild || s.evict || !looks))
            return BadUsage{"--bundle is looked at: it goes with -n, -f, -v and a domain alone"};
        if ((s.libxl || !s.bundle.empty()) && !s.mode) s.mode = Mode::look;
        if (s.rebuild && s.mode == Mode::preen)
            return BadUsage{
                "--rebuild gives rows to what runs on this host: that needs -y, or answers"};
        if (!s.userdata.empty() && !s.rebuild) return BadUsage{"--userdata goes with --rebuild"};
        if (s.evict && s.mode == Mode::preen)
            return BadUsage{
                "--evict takes things out of a running guest: that needs -y, or answers"};
        return s;
    }

    int argc_;
    char** argv_;
    Settings settings_;
    std::optional<Parsed> result_;
};

}  // namespace

Parsed parse_options(int argc, char** argv)
{
    return Parser(argc, argv).run();
}

}  // namespace xlstore::tools
