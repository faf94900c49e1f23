# SPDX-License-Identifier: MIT
"""The shared library, and how its values become Python's."""

from __future__ import annotations

import ctypes as C
import dataclasses
import json
import os
from typing import Any

from . import _native
from .errors import Error, error_of

_NAME = "libxlstore.so.0.2"


def _load() -> C.CDLL:
    library = C.CDLL(os.environ.get("XLSTORE_LIBRARY", _NAME))
    for name, (result, parameters, _names) in _native.FUNCTIONS.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = parameters
    return library


lib = _load()


def encode(text: str | os.PathLike[str] | None) -> bytes | None:
    return None if text is None else os.fsencode(text)


def decode(text: bytes | None) -> str:
    return "" if text is None else text.decode("utf-8", "backslashreplace")


def taken(pointer: C.c_void_p) -> str:
    """The text that a call has handed over."""
    assert pointer.value is not None
    try:
        return decode(C.string_at(pointer.value))
    finally:
        lib.xlstore_string_free(C.cast(pointer, C.c_char_p))


def last_error(status: int) -> Error:
    error = _native.xlstore_error()
    lib.xlstore_error_init(C.byref(error), C.sizeof(error))
    lib.xlstore_last_error(C.byref(error))
    return error_of(status, decode(error.message), decode(error.advice), error.intent)


def check(status: int) -> None:
    """For a call that has no result: raises what this thread's last error says."""
    if status != _native.XLSTORE_OK:
        raise last_error(status)


@dataclasses.dataclass(frozen=True)
class Result:
    """What an operation ended with. `details` is what `xlstore --json` prints for the same."""
    message: str
    intent: int
    details: Any


def result_of(pointer: C.c_void_p | int | None) -> Result:
    """What the library's result says; raises if it was not done. The result is not freed."""
    status = lib.xlstore_result_status(pointer)
    message = decode(lib.xlstore_result_message(pointer))
    intent = lib.xlstore_result_intent(pointer)
    if status != _native.XLSTORE_OK:
        raise error_of(status, message, decode(lib.xlstore_result_advice(pointer)), intent)
    text = decode(lib.xlstore_result_json(pointer))
    return Result(message, intent, json.loads(text) if text else None)
