# SPDX-License-Identifier: MIT
"""The shared library, and how its values become Python's."""

from __future__ import annotations

import ctypes as C
import dataclasses
import json
import os
import types
from collections.abc import Callable, Sequence
from typing import Any

from . import _native
from .errors import Error, InvalidError, error_of

_NAME = "libxlstore.so.0.2"


_INTEGERS = (C.c_int32, C.c_uint32, C.c_int64, C.c_uint64)


def fitting(value: int, kind: Any, name: str) -> int:
    """The number, which ctypes would cut without a word if C's type did not hold it."""
    low = -(1 << 8 * C.sizeof(kind) - 1) if kind(-1).value < 0 else 0
    high = low + (1 << 8 * C.sizeof(kind)) - 1
    if isinstance(value, int) and not low <= value <= high:
        raise InvalidError(f"{name}: {value} is none of {low} to {high}")
    return value


def _checked(function: Any, parameters: Sequence[Any], names: Sequence[str]) -> Callable[..., Any]:
    numbers = [one for one in zip(range(len(names)), parameters, names) if one[1] in _INTEGERS]

    def call(*arguments: Any) -> Any:
        for place, kind, name in numbers:
            fitting(arguments[place], kind, name)
        return function(*arguments)
    return call if numbers else function


def _load() -> Any:
    library = C.CDLL(os.environ.get("XLSTORE_LIBRARY", _NAME))
    loaded = types.SimpleNamespace()
    for name, (result, parameters, names) in _native.FUNCTIONS.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = parameters
        setattr(loaded, name, _checked(function, parameters, names))
    return loaded


lib = _load()


def _bytes(text: str | bytes | os.PathLike[str], encoder: Callable[[Any], bytes]) -> bytes:
    """For C, which would take a text for a shorter one if it held a NUL."""
    try:
        encoded = encoder(text)
    except UnicodeEncodeError:
        raise InvalidError(f"{text!r} has a surrogate that stands for no byte") from None
    if b"\0" in encoded:
        raise InvalidError(f"{text!r} holds a NUL")
    return encoded


def word(text: str) -> bytes:
    """A text. A byte of it that is not UTF-8 is a lone surrogate, as os.fsdecode() has it."""
    return _bytes(text, lambda given: given.encode("utf-8", "surrogateescape"))


def encode(path: str | os.PathLike[str] | None) -> bytes | None:
    return None if path is None else _bytes(path, os.fsencode)


def decode(text: bytes | None) -> str:
    """For people."""
    return "" if text is None else text.decode("utf-8", "backslashreplace")


def taken(pointer: C.c_void_p) -> str:
    """The text that a call has handed over, as word() takes it."""
    assert pointer.value is not None
    try:
        return C.string_at(pointer.value).decode("utf-8", "surrogateescape")
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
