// SPDX-License-Identifier: MIT
// What a QEMU was started with, read from its command line: what it made, before a toolstack or a
// person plugged anything in (R19). Registration and xlfsck --rebuild ask this one reader.
//
// QEMU's options as they come: `-device driver,id=x` and its JSON form, the same of -object,
// -netdev, -chardev and -blockdev, -drive with its short forms, and the files of -readconfig. What
// QEMU names by itself (a serial port's character device, the machine's memory, the n-th device
// without id) is counted as QEMU counts it: "serial7" is its own only where there are eight. Pure
// but for read_qemu_command_line().
#ifndef XLSTORE_STORE_QMP_QEMU_COMMAND_LINE_HPP_
#define XLSTORE_STORE_QMP_QEMU_COMMAND_LINE_HPP_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "store/base/error.hpp"

namespace xlstore {

struct QemuCommandLine {
    /// By kind of product (store/model/plan.hpp), the ids that it gives.
    std::map<std::string, std::set<std::string>, std::less<>> names;
    std::size_t anonymous = 0;          ///< devices that it makes without an id
    std::set<std::string> files;        ///< images, as spelled
    std::vector<std::string> sockets;   ///< paths of Unix sockets, in order
    std::optional<std::int64_t> domid;  ///< -xen-domid
    bool own_memory = true;             ///< no object is named to be the machine's memory
    bool has_monitor = false;           ///< it asks for one, as every QEMU with QMP does
    std::vector<std::string> not_read;  ///< files of -readconfig that could not be read

    /// Did it make this? `type`: a device's driver, an object's class; "": not known.
    [[nodiscard]] bool makes(std::string_view kind, const std::string& name,
                             std::string_view type) const;
    [[nodiscard]] bool names_file(const std::string& file) const { return files.contains(file); }
    /// Why it does not say all that this QEMU was started with; nothing: it does.
    [[nodiscard]] std::optional<std::string> gap() const;
};

/// The content of a file of -readconfig; nothing: it cannot be read.
using ReadConfig = std::function<std::optional<std::string>(const std::string& path)>;

/// `words` without the program's name.
[[nodiscard]] QemuCommandLine parse_qemu_command_line(const std::vector<std::string>& words,
                                                      const ReadConfig& read);

/// The words of a living process, without its program's name. Error io: there are none to read (a
/// zombie, /proc mounted with hidepid), or they are larger than 4 MiB.
[[nodiscard]] Result<std::vector<std::string>> command_line_words(pid_t pid);

/// That of a living process, with its files of -readconfig. REQUIRES that the caller proves
/// afterwards that the pid is still that process. Errors: as of command_line_words().
[[nodiscard]] Result<QemuCommandLine> read_qemu_command_line(pid_t pid);

}  // namespace xlstore

#endif  // XLSTORE_STORE_QMP_QEMU_COMMAND_LINE_HPP_
