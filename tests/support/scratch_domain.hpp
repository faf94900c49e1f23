// SPDX-License-Identifier: MIT
// A domain of a test: its document, its images and its QEMU, started by `xlstore create`.
#ifndef XLSTORE_TESTS_SUPPORT_SCRATCH_DOMAIN_HPP_
#define XLSTORE_TESTS_SUPPORT_SCRATCH_DOMAIN_HPP_

#include <sys/types.h>

#include <map>
#include <string>

#include "tests/support/process.hpp"
#include "tests/support/qemu.hpp"
#include "tests/support/scratch_directory.hpp"
#include "tests/support/scratch_store.hpp"

namespace xlstore::test {

/// A libxl-json document of an HVM guest with a CD in hdc.
[[nodiscard]] std::string hvm_document(const std::string& name, const std::string& uuid,
                                       const std::string& cd_image);
/// QEMU's command for it: the guest does not run, a CD drive ide-5632 (hdc), a USB controller
/// xenusb-0, and a second monitor at `judge_socket`.
[[nodiscard]] Words qemu_command(const std::string& cd_image, const std::string& judge_socket);

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

}  // namespace xlstore::test

#endif  // XLSTORE_TESTS_SUPPORT_SCRATCH_DOMAIN_HPP_
