// SPDX-License-Identifier: MIT
// Every bound of the library in one place, with its unit. A bound is refused with a clear error,
// never silently cut.
#ifndef XLSTORE_STORE_BASE_LIMITS_HPP_
#define XLSTORE_STORE_BASE_LIMITS_HPP_

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace xlstore::limits {

// JSON that comes from a caller or a file.
inline constexpr std::size_t document_bytes_max = 16u << 20;  // libxl's largest seen: 12 KiB
inline constexpr std::size_t thing_bytes_max = 1u << 20;
inline constexpr std::size_t json_depth_max = 64;  // libxl's deepest is 6

inline constexpr std::size_t json_members_max = 20'000;  // of an object and those around it

// QMP. QEMU is not trusted: query-qmp-schema is the longest honest line (about 200 KiB on 7.2).
inline constexpr std::size_t qmp_line_bytes_max = 8u << 20;
inline constexpr std::size_t qmp_depth_max = 64;
inline constexpr std::size_t qmp_events_max = 10'000;  // between a command and its reply
inline constexpr std::size_t qmp_foreign_replies_max =
    1'000;  // replies to a dead client's commands
// Messages that were meant for the client before us; together they may have as many bytes as a
// line.
inline constexpr std::size_t qmp_leftovers_max = 1'000;
inline constexpr std::size_t qmp_text_bytes_max = 512;  // of QEMU's text in a message of ours

// What one list of QEMU's may name: a thing costs QEMU more than its name, and no machine type has
// room for so many. A longer list is refused: it cannot be looked into.
inline constexpr std::size_t listed_names_max = 20'000;
inline constexpr std::size_t listed_bytes_max = 1u << 20;  // of names and files
// Descriptor sets that one operation sweeps up; the rest is left to the next one.
inline constexpr std::size_t fdsets_swept_max = 64;

// xenstore. The bytes of a message behind its header are the daemon's own bound, and so is a path's
// length. What one look takes in is bounded because a guest may write below its
// own nodes as much as its quota allows.
inline constexpr std::size_t xenstore_payload_bytes_max = 4096;
inline constexpr std::size_t xenstore_path_bytes_max = 3072;
inline constexpr std::size_t xenstore_nodes_max = 100'000;         // of one listing or tree
inline constexpr std::size_t xenstore_tree_bytes_max = 32u << 20;  // of paths and values

// Text from outside, where it is stored; see store/text/plain_text.hpp.
inline constexpr std::size_t evidence_bytes_max = 2'000;
inline constexpr std::size_t operation_bytes_max = 200;
inline constexpr std::size_t program_bytes_max = 64;
inline constexpr std::size_t error_bytes_max = 16u << 10;  // of an error's message in JSON

// The write-ahead log is started anew at a quarter of this, if no reader is in the way.
inline constexpr std::size_t log_bytes_large = 16u << 20;

// SQL that an embedder or a person asks (store/database/query.hpp). A value has room for a document
// with what comes beside it.
inline constexpr int query_value_bytes_max = 32 << 20;
inline constexpr int query_text_bytes_max = 64 << 10;
inline constexpr int query_columns_max = 500;
inline constexpr std::int64_t query_memory_bytes_max = 256 << 20;  // of SQLite's
inline constexpr std::size_t query_answer_bytes_max = 256u << 20;  // as JSON

// Default time limits; the command line's --timeout sets all of them.
inline constexpr std::chrono::milliseconds operation_timeout{30'000};
inline constexpr std::chrono::milliseconds create_timeout{60'000};
inline constexpr std::chrono::milliseconds wait_timeout{3'600'000};   // for an intent to be closed
inline constexpr std::chrono::milliseconds guest_unplug_wait{5'000};  // then "asked, waiting"
inline constexpr std::chrono::milliseconds image_open_wait{10'000};   // on a server that hangs

}  // namespace xlstore::limits

#endif  // XLSTORE_STORE_BASE_LIMITS_HPP_
