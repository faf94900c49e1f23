// SPDX-License-Identifier: MIT
// The two channels of failure. An outcome with a name is a value: Result<T>. Broken machinery
// (SQLite, the kernel refusing what must work) is an exception: DbError, IoError. An exception
// unwinds locks and transactions and leaves an open intent open for recovery.
#ifndef XLSTORE_STORE_BASE_ERROR_HPP_
#define XLSTORE_STORE_BASE_ERROR_HPP_

#include <cassert>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace xlstore {

/// What happened, in terms that a caller branches on. The names (errc_name) are part of the
/// command line's --json output and never change.
enum class Errc {
    invalid,     ///< a bad argument or bad input; nothing was done
    not_found,   ///< no such domain, thing or intent
    gone,        ///< the domain is destroyed or being destroyed (R8)
    exists,      ///< what was to be added is there already; nothing was changed (R16)
    busy,        ///< another process has it, and it was not waited for: the message names it
    refused,     ///< QEMU, its guest or a rule said no; nothing changed unless the message says so
    in_doubt,    ///< QEMU may have acted; the number of the open intent is given where there is one
    lost,        ///< the hold was lost (R15), or the store was moved away or replaced (R17)
    store,       ///< the store cannot be used: owner, mode, version, file system, damage
    no_qemu,     ///< the domain has no QEMU, or it is proved dead
    protocol,    ///< the monitor broke the protocol or hung up; nothing was changed
    cancelled,   ///< the caller gave up before anything was changed; a recovery: what it repaired
                 ///< stays
    order,       ///< a lock was asked for against R7, or a handle was used in a forked child
    io,          ///< the system refused: disk full, descriptors, permissions
    no_memory,   ///< out of memory
    conflict,    ///< the domain or its document is not as the caller expected; nothing was changed
    unfinished,  ///< what has begun cannot be taken back and is not at its end (a committed
                 ///< destruction, a killed QEMU); the advice names what goes on with it
    timeout,     ///< the time ended while it was waited: for a lock, whose holder is named, for a
                 ///< monitor that stayed silent, for a query; nothing was changed
    readonly,    ///< handle, file system or permissions allow no writing; nothing was changed
};

/// The stable word for `code`, as printed by --json.
[[nodiscard]] std::string_view errc_name(Errc code) noexcept;

/// What the kernel's error number means; safe in any thread, as strerror is not.
[[nodiscard]] std::string errno_text(int number);

struct Error {
    Errc code;
    std::string message;  ///< names the object and says what happened; one line, no full stop
    std::string advice;   ///< what to do next; may be empty
    std::optional<std::int64_t> intent;

    Error(Errc code_, std::string message_, std::string advice_ = {})
        : code(code_), message(std::move(message_)), advice(std::move(advice_))
    {}
};

/// SQLite failed. `extended_code` is SQLite's own.
class DbError : public std::runtime_error {
public:
    DbError(int extended_code, const std::string& what)
        : std::runtime_error(what), extended_code_(extended_code)
    {}
    [[nodiscard]] int extended_code() const noexcept { return extended_code_; }
    /// Without the path of the database: for who knows which it is.
    [[nodiscard]] std::string reason() const
    {
        const std::string whole = what();
        const auto at = whole.find(": ");
        return at == std::string::npos ? whole : whole.substr(at + 2);
    }

private:
    int extended_code_;
};

/// Of a store that cannot be written to: file system or permissions are against it.
[[nodiscard]] Error read_only(std::string message);

/// What a caller is told of it: the code, and what helps against this kind of failure.
[[nodiscard]] Error error_of(const DbError& error);

/// A system call failed that has to work.
class IoError : public std::runtime_error {
public:
    IoError(int error_number, const std::string& what);
    [[nodiscard]] int error_number() const noexcept { return errno_; }

private:
    int errno_;
};

/// The Error for the exception that is being handled. REQUIRES a catch block. Never throws: when
/// there is no memory for the words, the code alone is kept.
[[nodiscard]] Error caught() noexcept;
/// The same, with the object's name before its words.
[[nodiscard]] Error caught(const std::string& subject) noexcept;

/// A value or an Error; the shape of C++23's std::expected.
template <class T>
class [[nodiscard]] Result {
public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    [[nodiscard]] bool has_value() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }

    T& operator*() & { return std::get<0>(state_); }
    const T& operator*() const& { return std::get<0>(state_); }
    T&& operator*() && { return std::get<0>(std::move(state_)); }
    T* operator->() { return &std::get<0>(state_); }
    const T* operator->() const { return &std::get<0>(state_); }
    Error& error() & { return std::get<1>(state_); }
    const Error& error() const& { return std::get<1>(state_); }
    Error&& error() && { return std::get<1>(std::move(state_)); }

private:
    std::variant<T, Error> state_;
};

/// Success without a value.
template <>
class [[nodiscard]] Result<void> {
public:
    Result() = default;
    Result(Error error) : error_(std::move(error)) {}

    [[nodiscard]] bool has_value() const noexcept { return !error_.has_value(); }
    explicit operator bool() const noexcept { return has_value(); }
    Error& error() & { return *error_; }
    const Error& error() const& { return *error_; }
    Error&& error() && { return *std::move(error_); }

private:
    std::optional<Error> error_;
};

}  // namespace xlstore

#endif  // XLSTORE_STORE_BASE_ERROR_HPP_
