// SPDX-License-Identifier: MIT
// What tests share: a store in a directory of its own, a real QEMU with a second monitor that only
// the test uses, and the real commands as child processes. Everything that is started is ended by
// its pid; every directory goes with its object.
#ifndef XLSTORE_TESTS_SUPPORT_SCRATCH_HPP_
#define XLSTORE_TESTS_SUPPORT_SCRATCH_HPP_

#include <sys/types.h>

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "store/store.hpp"

namespace xlstore::test {

/// A directory with a short path (sockets live in it), removed with the object.
class ScratchDirectory {
public:
    ScratchDirectory();
    ScratchDirectory(const ScratchDirectory&) = delete;
    ScratchDirectory& operator=(const ScratchDirectory&) = delete;
    ~ScratchDirectory();
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

private:
    std::string path_;
};

/// A store made by Store::init below a scratch directory.
class ScratchStore {
public:
    ScratchStore();
    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] const ScratchDirectory& directory() const noexcept { return directory_; }
    /// Another handle on it; fails the test when it cannot be opened.
    [[nodiscard]] std::unique_ptr<Store> open() const;

private:
    ScratchDirectory directory_;
    std::string path_;
};

/// What a command did.
struct Ran {
    int status = -1;  ///< exit status; 128 + signal when it was killed
    std::string out;
    std::string err;
};
/// Runs a command to its end with these additions to the environment; killed at the deadline.
Ran run(const std::vector<std::string>& command, const std::map<std::string, std::string>& environment = {},
        std::chrono::seconds limit = std::chrono::seconds(60));
/// `xlstore --store STORE words…` and `xlfsck --store STORE words…` of this build.
Ran xlstore(const std::string& store, std::vector<std::string> words,
            const std::map<std::string, std::string>& environment = {});
Ran xlfsck(const std::string& store, std::vector<std::string> words);
[[nodiscard]] std::string binary(const std::string& name);

/// A child process that runs on until it is ended.
class Child {
public:
    explicit Child(const std::vector<std::string>& command, const std::map<std::string, std::string>& environment = {});
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

/// A libxl-json document of an HVM guest with a CD in hdc.
[[nodiscard]] std::string hvm_document(const std::string& name, const std::string& uuid, const std::string& cd_image);
/// QEMU's command for it: no guest, a CD drive ide-5632 (hdc), a USB controller, and a second
/// monitor at `judge_socket`.
[[nodiscard]] std::vector<std::string> qemu_command(const std::string& cd_image, const std::string& judge_socket);

/// Asks a QEMU over its second monitor, with no code of the project's: one command, the reply line.
[[nodiscard]] std::string qmp(const std::string& socket, const std::string& command, const std::string& arguments = "");

/// A domain that runs: `xlstore create` on a scratch store. Destroyed and, if need be, killed.
class ScratchDomain {
public:
    explicit ScratchDomain(const ScratchStore& store, int domid = 7, const std::string& name = "web");
    ScratchDomain(const ScratchDomain&) = delete;
    ScratchDomain& operator=(const ScratchDomain&) = delete;
    ~ScratchDomain();
    [[nodiscard]] pid_t qemu_pid() const noexcept { return qemu_pid_; }
    [[nodiscard]] const std::string& judge() const noexcept { return judge_; }
    [[nodiscard]] const std::string& image(char which) const { return images_.at(which); }  ///< 'a', 'b'
    [[nodiscard]] std::string word() const { return "domid:" + std::to_string(domid_); }
    /// Names below /machine/peripheral.
    [[nodiscard]] std::string devices() const;
    /// What is in ide-5632: the path, by way of the descriptor set's name if need be; "" when empty.
    [[nodiscard]] std::string medium() const;

private:
    std::string store_;
    int domid_;
    std::string judge_;
    std::map<char, std::string> images_;
    pid_t qemu_pid_ = -1;
};

/// A plan of class qemu that adds a USB tablet / a null chardev with this id.
[[nodiscard]] std::string tablet(const std::string& id);
[[nodiscard]] std::string chardev(const std::string& id);

/// One value of one row of the raw tables, over a connection of its own.
[[nodiscard]] std::string sql(const std::string& store, const std::string& query);

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_SCRATCH_HPP_
