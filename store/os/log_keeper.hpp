// SPDX-License-Identifier: MIT
// What a QEMU prints, kept in a file that cannot fill the disk (R20 R21).
//
// QEMU writes into a pipe that never blocks it; a keeper, a process of its own, copies that into
// the file: the first 512 KiB as they come, and of the rest the last 64 KiB, when QEMU has ended.
// The rest is thrown away, and the file says so. A keeper ends when all that write to its pipe
// have.
//
// Why a process: a limit on the size of QEMU's files (RLIMIT_FSIZE) would be one on its images as
// well, and a buffer that only QEMU holds goes with it, its last words first. The keeper is /bin/sh
// with head and tail, and no fork of this process that goes on: such a one would keep the memory of
// an embedder alive for as long as the guest. If it is killed, QEMU's output is thrown away, since
// QEMU itself holds both ends of the pipe; a full disk makes it skip to the end.
#ifndef XLSTORE_STORE_OS_LOG_KEEPER_HPP_
#define XLSTORE_STORE_OS_LOG_KEEPER_HPP_

#include <string>

namespace xlstore {

/// For a child between fork and exec: async-signal-safe, with every signal at its default. Opens
/// the log at `path` (made with mode 0600, appended to; begun anew if it is full) and starts its
/// keeper. The descriptor to write to, close-on-exec; -1: errno says why not.
[[nodiscard]] int start_log_keeper(const char* path) noexcept;

/// No keeper has the log at `path`: all that was printed is in it. Also when it cannot be looked
/// at.
[[nodiscard]] bool log_is_complete(const std::string& path) noexcept;

}  // namespace xlstore

#endif  // XLSTORE_STORE_OS_LOG_KEEPER_HPP_
