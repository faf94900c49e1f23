// SPDX-License-Identifier: MIT
// What SQLite and the kernel report becomes an Error here, and nowhere else, so that the advice for
// a full disk, a log that was cut off or a foreign lock is written once. caught() runs where memory
// may have run out: it never throws, and gives up words before it gives up the code.
#include "store/base/error.hpp"

#include <sqlite3.h>

#include <cerrno>
#include <filesystem>
#include <new>
#include <system_error>

namespace xlstore {

std::string_view errc_name(Errc code) noexcept
{
    switch (code) {
    case Errc::invalid:
        return "invalid";
    case Errc::not_found:
        return "not_found";
    case Errc::gone:
        return "gone";
    case Errc::exists:
        return "exists";
    case Errc::busy:
        return "busy";
    case Errc::refused:
        return "refused";
    case Errc::in_doubt:
        return "in_doubt";
    case Errc::lost:
        return "lost";
    case Errc::store:
        return "store";
    case Errc::no_qemu:
        return "no_qemu";
    case Errc::protocol:
        return "protocol";
    case Errc::cancelled:
        return "cancelled";
    case Errc::order:
        return "order";
    case Errc::io:
        return "io";
    case Errc::no_memory:
        return "no_memory";
    case Errc::conflict:
        return "conflict";
    case Errc::unfinished:
        return "unfinished";
    case Errc::timeout:
        return "timeout";
    case Errc::readonly:
        return "readonly";
    }
    return "unknown";
}

namespace {

Error no_room(const DbError& error)
{
    return Error(Errc::io, error.what(),
                 "make room on the file system of the store, then try again; destruction and "
                 "recovery ('xlstore destroy', 'xlfsck -p') need none while the store's reserve "
                 "lasts");
}

Error shorter_than_its_index(const DbError& error)
{
    return Error(Errc::lost,
                 std::string(error.what()) +
                     ": its log (store.db-wal) was moved away, replaced or cut off while a process "
                     "had the store open (R17)",
                 "end the programs that have the store open ('xlstore locks' names them), then run "
                 "'xlfsck -p'; the QEMUs run on");
}

Error system_refused(const IoError& error)
{
    const bool forbidden = error.error_number() == EACCES || error.error_number() == EPERM;
    return Error(Errc::io, error.what(),
                 forbidden ? "run it as root, or as a user who may do this" : "");
}

Error path_refused(const std::filesystem::filesystem_error& error)
{
    auto refused =
        system_refused(IoError(error.code().value(), "cannot use " + error.path1().string()));
    // So does absolute() fail.
    if (error.code() == std::errc::no_such_file_or_directory && error.path1().is_relative())
        refused.advice = "the working directory is gone: give the absolute path";
    return refused;
}

}  // namespace

Error read_only(std::string message)
{
    return Error(Errc::readonly, std::move(message),
                 "nothing was changed; mount its file system writable, or give its owner the right "
                 "to write there, then try again; to look needs neither ('xlfsck -n')");
}

Error error_of(const DbError& error)
{
    // The index of the log could not be made.
    if (error.extended_code() == SQLITE_IOERR_SHMSIZE) return no_room(error);
    // The index of the log names more of it than there is.
    if (error.extended_code() == SQLITE_IOERR_SHORT_READ) return shorter_than_its_index(error);
    switch (error.extended_code() & 0xff) {
    case SQLITE_FULL:
        return no_room(error);
    case SQLITE_IOERR:
        return Error(Errc::io, error.what(),
                     "the disk or its file system failed, or is full: see what the kernel says of "
                     "it (dmesg)");
    case SQLITE_READONLY:
        return read_only(error.what());
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
        return Error(Errc::io, error.what(),
                     "see whether this user may write there, whether the file system is mounted "
                     "read-only or has no space left, and how many files a process may open "
                     "(ulimit -n)");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:  // for as long as SQLite tries
        return Error(
            Errc::busy, error.what(),
            "a program other than xlstore has the database locked: end it, then try again");
    case SQLITE_RANGE:  // Db::fail_for_number()
        return Error(Errc::store, error.what(),
                     "run 'xlfsck -p', which lowers it, also while others have the store open; "
                     "then try again");
    case SQLITE_NOMEM:
        return Error(Errc::no_memory, error.what(),
                     "end a program that takes much memory, then try again");
    default:
        return Error(Errc::store, error.what(),
                     "run 'xlfsck -n' to see what is wrong with the database");
    }
}

Error caught() noexcept
{
    try {
        try {
            throw;
        } catch (const DbError& e) {
            return error_of(e);
        } catch (const IoError& e) {
            if (e.error_number() == EROFS) return read_only(e.what());
            return system_refused(e);
        } catch (const std::filesystem::filesystem_error& e) {
            return path_refused(e);
        } catch (const std::bad_alloc&) {
            throw;
        } catch (const std::exception& e) {
            return Error(Errc::io, e.what());
        }
    } catch (const std::bad_alloc&) {
        return Error(Errc::no_memory, "out of memory");  // short enough to need none
    } catch (...) {
        return Error(Errc::io, "unknown");
    }
}

Error caught(const std::string& subject) noexcept
{
    Error error = caught();
    try {
        error.message = subject + ": " + error.message;
    } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch)
        // As it is.
    }
    return error;
}

std::string errno_text(int number)
{
    return std::generic_category().message(number);
}

IoError::IoError(int error_number, const std::string& what)
    : std::runtime_error(what + ": " + errno_text(error_number)),
      errno_(error_number)
{}

}  // namespace xlstore
