# SPDX-License-Identifier: MIT
"""Reads the C headers of the library: constants, structs, callbacks, functions.

The headers keep to a small part of C, and what is outside of it is refused, so that no binding misses
a declaration.
"""

import dataclasses
import re

SCALARS = {"int32_t", "uint32_t", "int64_t", "uint64_t", "size_t", "int", "char", "void"}


class NotUnderstood(Exception):
    """A declaration that this reader does not know how to read."""


@dataclasses.dataclass(frozen=True)
class Type:
    """`name` with so many stars; of an array of char its length."""
    name: str
    stars: int = 0
    length: int = 0


@dataclasses.dataclass(frozen=True)
class Variable:
    name: str
    type: Type


@dataclasses.dataclass(frozen=True)
class Function:
    name: str
    returns: Type
    parameters: tuple


@dataclasses.dataclass
class Header:
    constants: dict = dataclasses.field(default_factory=dict)   # name: value
    structs: dict = dataclasses.field(default_factory=dict)     # name: fields; None: opaque
    callbacks: dict = dataclasses.field(default_factory=dict)   # name: Function
    functions: dict = dataclasses.field(default_factory=dict)   # name: Function


def parse_variable(text):
    """`const char* name` or `char name[16]`."""
    match = re.fullmatch(r"(?P<type>.*?[\s*])(?P<name>\w+)(?:\[(?P<length>\d+)\])?", text.strip())
    if not match:
        raise NotUnderstood(text)
    return Variable(match["name"], parse_type(match["type"], int(match["length"] or 0)))


def parse_type(text, length=0):
    stars = text.count("*")
    words = [word for word in text.replace("*", " ").split() if word not in ("const", "struct")]
    if len(words) != 1:
        raise NotUnderstood(text)
    return Type(words[0], stars, length)


def parse_parameters(text):
    text = " ".join(text.split())
    return () if text == "void" else tuple(parse_variable(one) for one in text.split(","))


def parse(text):
    """What `text` declares; it names no type that it does not declare."""
    header = Header()
    add(text, header)
    check(header)
    return header


def add(text, header):
    """What `text` declares, added to `header`."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)
    for name, value in re.findall(r"^#define (XLSTORE_\w+) \(?(-?\d+)[uU]?\)?\s*$", text, re.MULTILINE):
        header.constants[name] = int(value)
    text = re.sub(r"^\s*#.*?(?<!\\)$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r'extern "C" \{|^\}$', "", text, flags=re.MULTILINE)
    for struct in re.finditer(r"typedef struct (\w+) \{(.*?)\} \1;", text, re.DOTALL):
        header.structs[struct[1]] = [parse_variable(field) for field in struct[2].split(";") if field.strip()]
    text = re.sub(r"typedef struct (\w+) \{.*?\} \1;", "", text, flags=re.DOTALL)
    for declaration in (" ".join(one.split()) for one in text.split(";")):
        if declaration:
            read_declaration(declaration, header)


def read_declaration(declaration, header):
    if opaque := re.fullmatch(r"typedef struct (\w+) \1", declaration):
        header.structs.setdefault(opaque[1], None)
    elif callback := re.fullmatch(r"typedef (.*?) ?\(\*(\w+)\)\((.*)\)", declaration):
        header.callbacks[callback[2]] = Function(callback[2], parse_type(callback[1]), parse_parameters(callback[3]))
    elif function := re.fullmatch(r"(.*?[\s*])(xlstore_\w+)\((.*)\)", declaration):
        header.functions[function[2]] = Function(function[2], parse_type(function[1]), parse_parameters(function[3]))
    else:
        raise NotUnderstood(declaration)


def check(header):
    """Each type that is named is declared."""
    known = SCALARS | set(header.structs) | set(header.callbacks)
    used = [v.type for fields in header.structs.values() if fields for v in fields]
    for function in [*header.functions.values(), *header.callbacks.values()]:
        used += [function.returns, *(v.type for v in function.parameters)]
    unknown = sorted({one.name for one in used} - known)
    if unknown:
        raise NotUnderstood("types: " + " ".join(unknown))


def read(paths):
    header = Header()
    for path in paths:
        with open(path, encoding="utf-8") as file:
            add(file.read(), header)
    check(header)
    return header
