# SPDX-License-Identifier: MIT
"""xlstore: libxl-json in SQLite, recoverable after a crash.

    import xlstore

    with xlstore.Store("/var/lib/xlstore") as store:
        store.attach("name:web01", "usbctrls", {"type": "devicemodel", "devid": 1, "version": 3})

and with asyncio:

    await store.aio.attach("name:web01", ...)
    async for change in store.aio.changes():
        ...
"""

from ._library import Result
from ._library import lib as _lib
from .errors import (BusyError, CancelledError, ConflictError, Error, ExistsError, GoneError, InDoubtError,
                     InvalidError, LostError, MonitorError, NoMemoryError, NoQemuError, NotFoundError, OrderError,
                     ReadOnlyError, RefusedError, StoreError, SystemRefusedError, TimedOutError, UnfinishedError)
from .store import Change, Changes, Domain, Finding, Operation, Store


def version() -> str:
    """The release of the library that is loaded."""
    return str(_lib.xlstore_version().decode())


__all__ = ["BusyError", "CancelledError", "Change", "Changes", "ConflictError", "Domain", "Error", "ExistsError", "Finding",
           "GoneError", "InDoubtError", "InvalidError", "LostError", "MonitorError", "NoMemoryError", "NoQemuError",
           "NotFoundError", "Operation", "OrderError", "ReadOnlyError", "RefusedError", "Result", "Store", "StoreError",
           "SystemRefusedError", "TimedOutError", "UnfinishedError", "version"]
