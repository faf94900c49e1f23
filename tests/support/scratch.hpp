// SPDX-License-Identifier: MIT
// What tests share: a store in a directory of its own, a real QEMU with a second monitor that only
// the test uses, and the real commands as child processes. Everything that is started is ended by
// its pid; every directory goes with its object.
#ifndef XLSTORE_TESTS_SUPPORT_SCRATCH_HPP_
#define XLSTORE_TESTS_SUPPORT_SCRATCH_HPP_

#include <gtest/gtest.h>
#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "store/core/store.hpp"

namespace xlstore::test {

using Words = std::vector<std::string>;
using Environment = std::map<std::string, std::string>;

/// A directory with a short path (sockets live in it), removed with the object. Each process
/// still has the path on its command line is killed first: no test leaves a QEMU behind. A guard
/// does the same if the test dies.
class ScratchDirectory {
public:
    ScratchDirectory();
    ScratchDirectory(const ScratchDirectory&) = delete;
    ScratchDirectory& operator=(const ScratchDirectory&) = delete;
    ~ScratchDirectory();
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] std::string operator/(const std::string& name) const
    {
        return path_ + "/" + name;
    }

private:
    std::string path_;
    Fd leash_;  // its end tells the guard
    pid_t guard_ = -1;
};

/// A store made by Store::init below a scratch directory.
class ScratchStore {
public:
    ScratchStore();
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] const ScratchDirectory& directory() const noexcept { return directory_; }
    /// Another handle on it. @throws std::runtime_error when it cannot be opened.
    [[nodiscard]] std::unique_ptr<Store> open() const;

private:
    ScratchDirectory directory_;
    std::string path_;
};

void write_file(const std::string& path, const std::string& text);
[[nodiscard]] std::string read_file(const std::string& path);  ///< "" when there is none
/// Looks again and again, until it is true or the time is over.
bool wait_until(std::chrono::milliseconds limit, const std::function<bool()>& condition);

/// What a command did.
struct Ran {
    int status = -1;  ///< exit status; 128 + signal when it was killed
    std::string out;
    std::string err;
    /// The most that it had resident, as far as it was seen while it ran (every 2 ms).
    long memory_kib = 0;
};
/// Runs a command to its end with these additions to the environment; killed at the deadline.
Ran run(const Words& command, const Environment& environment = {}, const std::string& input = {},
        std::chrono::seconds limit = std::chrono::seconds(60));
/// Why `command`, which does nothing but try a feature of the system, fails here; "": it does not.
std::string why_not(const Words& command);
/// `xlstore --store STORE words…` and `xlfsck --store STORE words…` of this build.
Ran xlstore(const std::string& store, Words words, const Environment& environment = {},
            const std::string& input = {});
Ran xlfsck(const std::string& store, Words words, const Environment& environment = {});
/// It is there, and may trace.
[[nodiscard]] bool strace_works();
/// A program of this build, or of the directory XLSTORE_BIN.
[[nodiscard]] std::string binary(const std::string& name);
/// The environment in which a process dies at its Nth passing of a crash point.
[[nodiscard]] Environment crash_at(const std::string& point, int passing = 1);
inline constexpr int kKilled = 128 + 9;

/// A child process that runs on until it is ended.
class Child {
public:
    explicit Child(const Words& command, const Environment& environment = {});
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child();
    [[nodiscard]] pid_t pid() const noexcept { return pid_; }
    void signal(int number) const;
    /// Waits for its end; 128 + signal when it was killed.
    int wait();

private:
    pid_t pid_ = -1;
};

/// Processes, zombies left out, with a word on their command line that holds `text`; those whose
/// program is QEMU.
[[nodiscard]] std::vector<pid_t> processes_with(const std::string& text);
[[nodiscard]] std::vector<pid_t> qemus_with(const std::string& text);
/// A pid that belongs to a living process (not to a zombie).
[[nodiscard]] bool is_alive(pid_t pid);

/// A libxl-json document of an HVM guest with a CD in hdc.
[[nodiscard]] std::string hvm_document(const std::string& name, const std::string& uuid,
                                       const std::string& cd_image);
/// QEMU's command for it: the guest does not run, a CD drive ide-5632 (hdc), a USB controller
/// xenusb-0, and a second monitor at `judge_socket`.
[[nodiscard]] Words qemu_command(const std::string& cd_image, const std::string& judge_socket);

/// Asks a QEMU over its second monitor, with no code of the project's: one command, the reply line.
[[nodiscard]] std::string qmp(const std::string& socket, const std::string& command,
                              const std::string& arguments = "");
/// Names below /machine/peripheral, sorted, with blanks between.
[[nodiscard]] std::string devices_of(const std::string& socket);
/// What is in ide-5632: the path, by way of the descriptor set's name if need be; "" when empty.
[[nodiscard]] std::string medium_of(const std::string& socket);
/// Where its devices are, by QEMU's own answers: "rng=3.0 t1=xenusb-1.0/2 …", of those that are PCI
/// functions or plugged into a USB bus; sorted.
[[nodiscard]] std::string places_of(const std::string& socket);
/// Everything that an operation could change in it, as one text to compare.
[[nodiscard]] std::string state_of(const std::string& socket);

/// Images, document and sockets for one domain, in a directory.
struct Material {
    Material(const ScratchDirectory& directory, int domid, const std::string& name);
    std::string uuid;
    std::string document;                ///< path of the file
    std::string judge;                   ///< path of the second monitor
    std::map<char, std::string> images;  ///< 'a' (in the drive), 'b'
    [[nodiscard]] Words qemu() const { return qemu_command(images.at('a'), judge); }
};

/// `xlstore create DOMID DOCUMENT -- COMMAND`.
[[nodiscard]] Words create_words(int domid, const Material& material, const Words& command);

/// A domain that runs: `xlstore create` on a scratch store. @throws std::runtime_error when that
/// fails.
class ScratchDomain {
public:
    explicit ScratchDomain(const ScratchStore& store, int domid = 7,
                           const std::string& name = "web", const Words& more = {});
    [[nodiscard]] pid_t qemu_pid() const noexcept { return qemu_pid_; }
    [[nodiscard]] const std::string& judge() const noexcept { return material_.judge; }
    [[nodiscard]] const std::string& image(char which) const  ///< 'a', 'b'
    {
        return material_.images.at(which);
    }
    [[nodiscard]] const Material& material() const noexcept { return material_; }
    [[nodiscard]] std::string word() const { return "domid:" + std::to_string(domid_); }
    [[nodiscard]] std::string devices() const { return devices_of(judge()); }
    [[nodiscard]] std::string medium() const { return medium_of(judge()); }

private:
    int domid_;
    Material material_;
    pid_t qemu_pid_ = -1;
};

/// A plan of class qemu that adds a USB tablet / a null chardev with this id.
[[nodiscard]] std::string tablet(const std::string& id);
[[nodiscard]] std::string chardev(const std::string& id);
/// A plan of class qemu that adds one device; `more`: further arguments, ", \"bus\": …".
[[nodiscard]] std::string device_plan(const std::string& id, const std::string& driver,
                                      const std::string& more = "");

/// One value of one row of the raw tables, over a connection of its own; "" for NULL or no row.
[[nodiscard]] std::string sql(const std::string& store, const std::string& query);
/// All rows of all tables in which an operation leaves something (not sessions), as one text.
[[nodiscard]] std::string dump(const std::string& store);
/// What is at `path` ("$.error.code") in a JSON text.
[[nodiscard]] std::string json_at(const std::string& text, const std::string& path);

/// What must hold at any moment, after any kill (R1): each device, chardev and medium that QEMU
/// has beyond its initial devices has an entry, or an open intent that holds it. The raw tables, no
/// recovery.
[[nodiscard]] testing::AssertionResult invariant_holds(const std::string& store,
                                                       const std::string& judge);
/// Nothing is pending, and what entries call present is what QEMU has.
[[nodiscard]] testing::AssertionResult store_and_qemu_agree(const std::string& store,
                                                            const std::string& judge);

[[nodiscard]] testing::AssertionResult ended(const Ran& ran, int status);
[[nodiscard]] testing::AssertionResult contains(const std::string& text, const std::string& part);

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_SCRATCH_HPP_
