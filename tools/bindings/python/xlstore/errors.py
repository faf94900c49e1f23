# SPDX-License-Identifier: MIT
"""What a call that was not done raises: one class for each status of xlstore.h."""

from __future__ import annotations

from . import _native


class Error(Exception):
    """The operation was not done, and nothing has changed unless the message says so.

    `advice` says what to do next. `intent` is the number of an open intent, 0 if there is none.
    """
    status: int = 0

    def __init__(self, message: str, advice: str = "", intent: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.intent = intent


class InvalidError(Error):
    """A bad argument or bad input; nothing was done."""
    status = _native.XLSTORE_E_INVALID


class NotFoundError(Error):
    """No such domain, thing or intent."""
    status = _native.XLSTORE_E_NOT_FOUND


class GoneError(Error):
    """The domain is destroyed or being destroyed."""
    status = _native.XLSTORE_E_GONE


class ExistsError(Error):
    """What was to be added is there already."""
    status = _native.XLSTORE_E_EXISTS


class BusyError(Error):
    """Another process has it, and it was not waited for; the message names it."""
    status = _native.XLSTORE_E_BUSY


class RefusedError(Error):
    """QEMU, its guest or a rule said no."""
    status = _native.XLSTORE_E_REFUSED


class InDoubtError(Error):
    """QEMU may have acted: `intent` stays open. Wait for it, ask again, or leave it to recovery."""
    status = _native.XLSTORE_E_IN_DOUBT


class LostError(Error):
    """The hold was lost, or the store was moved away or replaced."""
    status = _native.XLSTORE_E_LOST


class StoreError(Error):
    """The store cannot be used."""
    status = _native.XLSTORE_E_STORE


class NoQemuError(Error):
    """The domain has no QEMU, or it is proved dead."""
    status = _native.XLSTORE_E_NO_QEMU


class MonitorError(Error):
    """The monitor broke the protocol or hung up."""
    status = _native.XLSTORE_E_PROTOCOL


class CancelledError(Error):
    """The caller gave up before anything was changed."""
    status = _native.XLSTORE_E_CANCELLED


class OrderError(Error):
    """A lock was asked for in the wrong order, or a handle was used in a forked child."""
    status = _native.XLSTORE_E_ORDER


class SystemRefusedError(Error):
    """The system refused: disk full, descriptors, permissions."""
    status = _native.XLSTORE_E_IO


class NoMemoryError(Error):
    """Out of memory."""
    status = _native.XLSTORE_E_NO_MEMORY


class ConflictError(Error):
    """The domain or its document is not as the caller expected."""
    status = _native.XLSTORE_E_CONFLICT


class UnfinishedError(Error):
    """What has begun cannot be taken back and is not at its end; the advice names what goes on with it."""
    status = _native.XLSTORE_E_UNFINISHED


class TimedOutError(Error):
    """The time ended while it was waited for a lock, a monitor or a query."""
    status = _native.XLSTORE_E_TIMEOUT


class ReadOnlyError(Error):
    """Handle, file system or permissions allow no writing."""
    status = _native.XLSTORE_E_READONLY


_BY_STATUS: dict[int, type[Error]] = {one.status: one for one in Error.__subclasses__()}


def error_of(status: int, message: str, advice: str, intent: int) -> Error:
    """The exception for a status of the library, also for one that a later release has made."""
    return _BY_STATUS.get(status, Error)(message, advice, intent)
