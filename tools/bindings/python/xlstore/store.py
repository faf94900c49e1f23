# SPDX-License-Identifier: MIT
"""An open store.

Each operation waits, or, as a method of `Store.aio`, is awaited on asyncio's loop: the library has one
descriptor for all that is under way, and this registers it. A store belongs to one thread.

A task that is cancelled while it awaits an operation cancels the operation, too. What has become of it
is in `Operation.error` then: CancelledError if nothing was changed, InDoubtError with the intent's
number if QEMU may have acted.
"""

from __future__ import annotations

import asyncio
import ctypes as C
import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from . import _native
from ._library import Result, check, decode, encode, fitting, last_error, lib, result_of, taken, word
from .errors import Error, InvalidError, OrderError

Json = Mapping[str, Any] | Sequence[Any] | str


def _text(value: Json) -> bytes:
    return word(value.rstrip("\0") if isinstance(value, str) else json.dumps(value))


@dataclasses.dataclass(frozen=True)
class Domain:
    """A domain as its row has it, and what the kernel says of its QEMU at this moment."""
    domid: int
    id: int
    name: str
    uuid: str
    state: str
    revision: int
    open_intents: int
    qemu_pid: int
    qemu_alive: bool | None
    seen: str


@dataclasses.dataclass(frozen=True)
class Change:
    """One committed change, as Store.aio.changes() tells it."""
    line: int
    domid: int
    id: int
    intent: int
    missed: int
    operation: str
    device_class: str
    key: str
    outcome: str


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing that recovery found."""
    code: int
    problem: str
    action: int
    domid: int
    intent: int
    subject: str
    message: str
    evidence: str
    error: str
    fixed: str


def _domain_of(info: _native.xlstore_domain_info) -> Domain:
    alive = {_native.XLSTORE_QEMU_ALIVE: True, _native.XLSTORE_QEMU_DEAD: False}.get(info.qemu)
    return Domain(info.domid, info.id, decode(info.name), decode(info.uuid), decode(info.state), info.revision,
                  info.open_intents, info.qemu_pid, alive, decode(info.seen))


def _milliseconds(timeout: float | None) -> int:
    """0 is the library's standard time; the shortest that can be asked for is 1 ms."""
    if timeout is None:
        return 0
    if not 0 <= timeout < 0xffffffff / 1000:
        raise InvalidError(f"timeout: {timeout} is no number of seconds that the library takes")
    return max(1, round(timeout * 1000))


def _call(timeout: float | None, flags: int = 0) -> _native.xlstore_call:
    call = _native.xlstore_call()
    lib.xlstore_call_init(C.byref(call), C.sizeof(call))
    call.flags = flags
    call.timeout_ms = _milliseconds(timeout)
    return call


def _words(words: Sequence[str | os.PathLike[str]]) -> Any:
    return (C.c_char_p * (len(words) + 1))(*[encode(one) for one in words], None)


class Operation:
    """An operation under way. Await it for its Result."""

    def __init__(self, aio: _Aio, name: str, arguments: Sequence[Any]) -> None:
        self._aio = aio
        self._future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._keep = arguments  # what the library reads stays alive
        self._callback = _native.xlstore_callback(self._ended)
        self._op = C.c_void_p()
        self.error: Error | None = None
        aio.begin(self)
        try:
            check(getattr(lib, name)(*arguments, self._callback, None, C.byref(self._op)))
        except Error:
            aio.end(self)
            raise

    def cancel(self) -> None:
        """Ends it now; what has become of it is raised by the one that awaits it."""
        if self._op:
            lib.xlstore_op_cancel(self._op)

    def forget(self) -> None:
        """The store was closed, and its callback does not come."""
        self._op = C.c_void_p()
        if not self._future.get_loop().is_closed():
            self._future.cancel()

    def _ended(self, result: int, _userdata: int | None) -> None:
        self._op = C.c_void_p()
        self._aio.end(self)
        try:
            ended = result_of(result)
        except Error as error:
            self.error = error
            if self._is_awaited():
                self._future.set_exception(error)
        else:
            if self._is_awaited():
                self._future.set_result(ended)

    def _is_awaited(self) -> bool:
        return not self._future.done() and not self._future.get_loop().is_closed()

    def __await__(self) -> Iterator[Any]:
        try:
            result: Result = yield from self._future.__await__()
        except asyncio.CancelledError:
            self.cancel()
            raise
        return result


class _Calls:
    """The operations; `_do` is what waits, or starts."""

    def _do(self, name: str, *arguments: Any) -> Any:
        raise NotImplementedError

    def attach(self, domain: str, device_class: str, thing: Json, *, timeout: float | None = None) -> Any:
        """Adds a thing, an element of the document's array `device_class`, to a running domain."""
        return self._do("xlstore_attach", word(domain), word(device_class), _text(thing), C.byref(_call(timeout)))

    def detach(self, domain: str, device_class: str, key: str, *, timeout: float | None = None) -> Any:
        """Takes it out. InDoubtError also means: the guest was asked, and has not let go yet."""
        return self._do("xlstore_detach", word(domain), word(device_class), word(key), C.byref(_call(timeout)))

    def insert(self, domain: str, vdev: str, file: str | os.PathLike[str], *, force: bool = False,
               wait_for_guest: bool = False, timeout: float | None = None) -> Any:
        """Puts a raw image into a CD drive."""
        call = _call(timeout, _tray(force, wait_for_guest))
        return self._do("xlstore_insert", word(domain), word(vdev), encode(file), C.byref(call))

    def eject(self, domain: str, vdev: str, *, force: bool = False, wait_for_guest: bool = False,
              timeout: float | None = None) -> Any:
        """Takes the medium out of a CD drive, which stays, empty."""
        call = _call(timeout, _tray(force, wait_for_guest))
        return self._do("xlstore_eject", word(domain), word(vdev), C.byref(call))

    def batch(self, domain: str, requests: Json, *, all_or_none: bool = False, timeout: float | None = None) -> Any:
        """Several of these under one slow lock and one connection."""
        flags = _native.XLSTORE_ALL_OR_NONE if all_or_none else 0
        return self._do("xlstore_batch", word(domain), _text(requests), flags, C.byref(_call(timeout)))

    def wait(self, intent: int, *, timeout: float | None = None) -> Any:
        """Waits until the intent is closed."""
        return self._do("xlstore_wait", intent, C.byref(_call(timeout)))

    def create(self, domid: int, document: Json, command: Sequence[str | os.PathLike[str]], *,
               timeout: float | None = None) -> Any:
        """Starts `command`, a QEMU, as a domain with this document."""
        return self._do("xlstore_create", domid, _text(document), _words(command), C.byref(_call(timeout)))

    def soft_reset(self, domain: str, command: Sequence[str | os.PathLike[str]], *, timeout: float | None = None) -> Any:
        """Gives a running domain a new QEMU."""
        return self._do("xlstore_soft_reset", word(domain), _words(command), C.byref(_call(timeout)))

    def import_(self, domid: int, document: Json, *, force: bool = False, timeout: float | None = None) -> Any:
        """Makes a domain of a document, without a QEMU."""
        call = _call(timeout, _native.XLSTORE_FORCE if force else 0)
        return self._do("xlstore_import", domid, _text(document), C.byref(call))

    def register(self, domain: str, monitor: str | os.PathLike[str], *, pid: int = 0, handed_in: bool = False,
                 timeout: float | None = None) -> Any:
        """Registers a QEMU that another program started."""
        flags = _native.XLSTORE_HANDED_IN if handed_in else 0
        return self._do("xlstore_register", word(domain), encode(monitor), pid, flags, C.byref(_call(timeout)))

    def destroy(self, domain: str, *, timeout: float | None = None) -> Any:
        """Kills the domain's QEMU, sees it dead, and forgets the document last."""
        return self._do("xlstore_destroy", word(domain), C.byref(_call(timeout)))

    def rename(self, domain: str, name: str, *, revision: int = 0, timeout: float | None = None) -> Any:
        """Another name, in row and document by one commit."""
        return self._do("xlstore_rename", word(domain), word(name), revision, C.byref(_call(timeout)))

    def close_document(self, domain: str, reason: str, *, timeout: float | None = None) -> Any:
        """Closes a running domain's document, as for its migration."""
        return self._do("xlstore_close_document", word(domain), word(reason), C.byref(_call(timeout)))

    def reopen_document(self, domain: str, *, timeout: float | None = None) -> Any:
        """Opens it again."""
        return self._do("xlstore_reopen_document", word(domain), C.byref(_call(timeout)))

    def recover(self, *, mode: int = _native.XLSTORE_RECOVER_PREEN, domain: str | None = None, flags: int = 0,
                found: Callable[[Finding], None] | None = None) -> Any:
        """Settles what operations that died left behind, by what QEMU shows.

        One at a time on a store; a program that goes on working meanwhile opens the store once more for it.
        """
        options = _native.xlstore_recover_options()
        lib.xlstore_recover_options_init(C.byref(options), C.sizeof(options))
        options.mode = fitting(mode, C.c_int32, "mode")
        options.flags = fitting(flags, C.c_uint32, "flags")
        options.domain = None if domain is None else word(domain)
        if found:
            options.found = _native.xlstore_found(lambda finding, _: found(_finding_of(finding.contents)))
        return self._do("xlstore_recover", _Kept(options))


def _tray(force: bool, wait_for_guest: bool) -> int:
    return (_native.XLSTORE_FORCE if force else 0) | (_native.XLSTORE_WAIT_FOR_GUEST if wait_for_guest else 0)


def _finding_of(one: _native.xlstore_finding) -> Finding:
    return Finding(one.code, decode(one.problem), one.action, one.domid, one.intent, decode(one.subject),
                   decode(one.message), decode(one.evidence), decode(one.error), decode(one.fixed))


class _Kept:
    """A struct that the library may read until its operation has ended."""

    def __init__(self, struct: C.Structure) -> None:
        self.struct = struct
        self._as_parameter_ = C.byref(struct)


class _Aio(_Calls):
    """The operations as awaitables on the running asyncio loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fd = -1  # that it watches, in the process _pid
        self._pid = 0
        self._users: set[Operation | Changes] = set()

    def _do(self, name: str, *arguments: Any) -> Operation:
        return Operation(self, name + "_start", (self._store.handle(), *arguments))

    def begin(self, user: Operation | Changes) -> None:
        """The loop watches the descriptor for as long as there is a user of it."""
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop.is_closed():
            self._loop = None  # it ended before what was under way on it
        if self._loop is None:
            loop.add_reader(lib.xlstore_fd(self._store.handle()), self._dispatch)
            self._loop, self._fd, self._pid = loop, lib.xlstore_fd(self._store.handle()), os.getpid()
        elif self._loop is not loop:
            raise OrderError("the store is in use on another asyncio loop")
        self._users.add(user)

    def end(self, user: Operation | Changes) -> None:
        self._users.discard(user)
        if not self._users:
            self._leave_loop()

    def close(self) -> None:
        """The store ends: no callback comes any more."""
        self._leave_loop()
        users, self._users = self._users, set()
        for user in users:
            user.forget()

    def _leave_loop(self) -> None:
        # A forked child would take the descriptor away from its parent's loop.
        if self._loop is not None and not self._loop.is_closed() and self._pid == os.getpid():
            self._loop.remove_reader(self._fd)
        self._loop = None

    def _dispatch(self) -> None:
        check(lib.xlstore_dispatch(self._store.handle()))

    def changes(self, after: int = -1) -> Changes:
        """An asynchronous iterator over changes, of any process; `after`: a line, or -1 for from now on."""
        return Changes(self, self._store, after)


class Changes:
    """Changes as they are committed, until aclose(), or the store is closed."""

    def __init__(self, aio: _Aio, store: Store, after: int) -> None:
        self._aio = aio
        self._queue: asyncio.Queue[Change | None] = asyncio.Queue()
        self._callback = _native.xlstore_changed(self._changed)
        self._watch = C.c_void_p()
        aio.begin(self)
        try:
            check(lib.xlstore_watch_start(store.handle(), after, self._callback, None, C.byref(self._watch)))
        except Error:
            aio.end(self)
            raise

    def __aiter__(self) -> Changes:
        return self

    async def __anext__(self) -> Change:
        change = await self._queue.get()
        if change is None:
            self._queue.put_nowait(None)  # the next one learns it, too
            raise StopAsyncIteration
        return change

    async def aclose(self) -> None:
        """Ends it."""
        if self._watch:
            self._aio.end(self)
            self.forget()

    def forget(self) -> None:
        """No callback comes any more."""
        lib.xlstore_watch_end(self._watch)
        self._watch = C.c_void_p()
        self._queue.put_nowait(None)

    def _changed(self, change: Any, _userdata: int | None) -> None:
        one = change.contents
        self._queue.put_nowait(Change(one.line, one.domid, one.id, one.intent, one.missed, decode(one.operation),
                                      decode(one.device_class), decode(one.key), decode(one.outcome)))


class Store(_Calls):
    """An open store. Raises StoreError, BusyError, SystemRefusedError."""

    def __init__(self, directory: str | os.PathLike[str] | None = None, *, read_only: bool = False,
                 program: str = "python3-xlstore", timeout: float | None = None,
                 log: Callable[[int, str], None] | None = None) -> None:
        options = _native.xlstore_open_options()
        lib.xlstore_open_options_init(C.byref(options), C.sizeof(options))
        options.read_only = int(read_only)
        options.program = word(program)
        options.timeout_ms = _milliseconds(timeout)
        self._log = _native.xlstore_log(lambda level, line, _: log(level, decode(line)) if log else None)
        if log:
            options.log = self._log
        self._handle: C.c_void_p | None = C.c_void_p()
        where = lib.xlstore_default_directory() if directory is None else encode(directory)
        try:
            check(lib.xlstore_open(where, C.byref(options), C.byref(self._handle)))
        except Error:
            self._handle = None
            raise
        self.aio = _Aio(self)

    @staticmethod
    def init(directory: str | os.PathLike[str]) -> None:
        """Makes a new store."""
        check(lib.xlstore_init(encode(directory), None))

    def handle(self) -> C.c_void_p:
        if self._handle is None:
            raise OrderError("the store was closed", "open it again")
        return self._handle

    @property
    def is_open(self) -> bool:
        return self._handle is not None

    def close(self) -> None:
        """Ends it. Operations under way are forgotten: those that await them are cancelled."""
        if self._handle is not None:
            self.aio.close()
            handle, self._handle = self._handle, None
            lib.xlstore_close(handle)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self.close()

    def _do(self, name: str, *arguments: Any) -> Result:
        result = C.c_void_p()
        try:
            status = getattr(lib, name)(self.handle(), *arguments, C.byref(result))
            if not result:
                raise last_error(status)  # it did not run
            return result_of(result)
        finally:
            lib.xlstore_result_free(result)

    # ---- What the rows say: nothing is written, and no lock taken ----

    def find(self, domain: str) -> Domain:
        """The domain that `domain` names: "domid:7", "uuid:...", "name:...", "id:N", or a bare word."""
        info = self._info()
        check(lib.xlstore_find(self.handle(), word(domain), C.byref(info)))
        return _domain_of(info)

    def domains(self) -> Iterator[Domain]:
        """All that are not destroyed, by domid."""
        info = self._info()
        domid = -1
        while (status := lib.xlstore_next(self.handle(), domid, C.byref(info))) != _native.XLSTORE_E_NOT_FOUND:
            check(status)
            yield _domain_of(info)
            domid = info.domid

    @staticmethod
    def _info() -> _native.xlstore_domain_info:
        info = _native.xlstore_domain_info()
        lib.xlstore_domain_info_init(C.byref(info), C.sizeof(info))
        return info

    def document(self, domain: str) -> tuple[str, int]:
        """The document as libxl would write it, and its revision."""
        text, revision = C.c_void_p(), C.c_int64()
        check(lib.xlstore_document(self.handle(), word(domain), C.byref(text), C.byref(revision)))
        return taken(text), revision.value

    def monitor_path(self, domain: str) -> str:
        """Where the monitor of the registered QEMU is."""
        return self._handed_over(lib.xlstore_monitor_path, word(domain))

    def things(self, domain: str) -> list[dict[str, Any]]:
        """The entries of a domain."""
        return self._rows(lib.xlstore_things, word(domain))

    def intents(self, domain: str | None = None) -> list[dict[str, Any]]:
        """The open intents, of a domain or of all."""
        return self._rows(lib.xlstore_intents, None if domain is None else word(domain))

    def history(self, domain: str | None = None, *, after: int = 0, most: int = 0) -> list[dict[str, Any]]:
        """Lines of history above the number `after`."""
        return self._rows(lib.xlstore_history, None if domain is None else word(domain), after, most)

    def settled_since(self, domain: str, since: int = 0) -> dict[str, Any]:
        """What of a domain's things was settled above the line `since` of history, and what each is now."""
        return self._rows(lib.xlstore_settled_since, word(domain), since)[0]

    def locks(self) -> list[dict[str, Any]]:
        """The locks as the kernel has them, beside what their holders claim."""
        return self._rows(lib.xlstore_locks)

    def query(self, sql: str, *parameters: object, timeout: float | None = None) -> list[dict[str, Any]]:
        """Rows of SQL that reads; `parameters` are bound to ?1, ?2, ..."""
        values = [None if one is None else word(str(one)) for one in parameters]
        array = (C.c_char_p * max(1, len(values)))(*values)
        return self._rows(lib.xlstore_query_json, word(sql), array, len(values), C.byref(_call(timeout)))

    def _handed_over(self, function: Callable[..., int], *arguments: Any) -> str:
        text = C.c_void_p()
        check(function(self.handle(), *arguments, C.byref(text)))
        return taken(text)

    def _rows(self, function: Callable[..., int], *arguments: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self._handed_over(function, *arguments))
        return rows

    # ---- Edits under the fast lock ----

    def put_thing(self, domain: str, device_class: str, thing: Json, *, revision: int = 0,
                  timeout: float | None = None) -> int:
        """Adds or replaces an entry whose primary is not QEMU; the new revision."""
        now = C.c_int64()
        check(lib.xlstore_put_thing(self.handle(), word(domain), word(device_class), _text(thing), revision,
                                    C.byref(_call(timeout)), C.byref(now)))
        return now.value

    def remove_thing(self, domain: str, device_class: str, key: str, *, revision: int = 0,
                     timeout: float | None = None) -> int:
        """Takes such an entry away; the new revision."""
        now = C.c_int64()
        check(lib.xlstore_remove_thing(self.handle(), word(domain), word(device_class), word(key), revision,
                                       C.byref(_call(timeout)), C.byref(now)))
        return now.value

    def write_document(self, domain: str, document: Json, *, revision: int = 0, timeout: float | None = None) -> int:
        """Writes a whole document back; the new revision."""
        now = C.c_int64()
        check(lib.xlstore_write_document(self.handle(), word(domain), _text(document), revision,
                                         C.byref(_call(timeout)), C.byref(now)))
        return now.value

    # ---- Keeping ----

    def backup(self, file: str | os.PathLike[str]) -> Result:
        """Writes one committed state of the store into a file that is not there yet."""
        return self._do("xlstore_backup", encode(file))
