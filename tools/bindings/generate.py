#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Declarations of the C interface for another language, made from the headers.

  generate.py python|rust|go OUTPUT HEADER...
"""

import sys

import header as c

SAY = "made by tools/bindings/generate.py from the headers; not to be edited"

# ---- Python: ctypes ------------------------------------------------------------------------------

CTYPES = {"int32_t": "c_int32", "uint32_t": "c_uint32", "int64_t": "c_int64", "uint64_t": "c_uint64", "size_t": "c_size_t",
          "int": "c_int"}


def python_type(header, one):
    if one.name in header.callbacks and one.stars == 0:
        return one.name
    if one.length:
        return f"C.c_char * {one.length}"
    if one.stars == 0:
        return "None" if one.name == "void" else f"C.{CTYPES[one.name]}"
    if one.name == "char":
        # What is handed over has to be freed, so that its address is kept.
        return "C.c_char_p" if one.stars == 1 else "C.POINTER(C.c_char_p)"
    if one.name == "void" or header.structs.get(one.name, ()) is None:
        return "C.c_void_p" if one.stars == 1 else "C.POINTER(C.c_void_p)"
    target = one.name if one.name in header.structs else f"C.{CTYPES[one.name]}"
    return f"C.POINTER({target})"


def out_type(header, variable):
    """Text that is handed over through a pointer is freed by its address, which c_char_p loses."""
    if variable.type.name == "char" and variable.type.stars == 2 and variable.name.endswith("_out"):
        return "C.POINTER(C.c_void_p)"
    return python_type(header, variable.type)


def python(header):
    lines = ["# SPDX-License-Identifier: MIT", f'"""{SAY}"""', "", "import ctypes as C", ""]
    lines += [f"{name} = {value}" for name, value in header.constants.items()]
    for name, fields in header.structs.items():
        if fields is not None:
            lines += ["", "", f"class {name}(C.Structure):", "    pass"]
    lines.append("")
    for function in header.callbacks.values():
        types = [python_type(header, function.returns), *(python_type(header, v.type) for v in function.parameters)]
        lines.append(f"{function.name} = C.CFUNCTYPE({', '.join(types)})")
    for name, fields in header.structs.items():
        if fields is not None:
            lines += ["", f"{name}._fields_ = ["]
            lines += [f'    ("{v.name}", {python_type(header, v.type)}),' for v in fields]
            lines.append("]")
    lines += ["", "# name: result, parameters, their names", "FUNCTIONS = {"]
    for function in header.functions.values():
        types = "".join(out_type(header, v) + ", " for v in function.parameters)
        names = "".join(f'"{v.name}", ' for v in function.parameters)
        lines.append(f'    "{function.name}": ({python_type(header, function.returns)}, ({types}), ({names})),')
    lines.append("}")
    return lines


# ---- Rust ----------------------------------------------------------------------------------------

RUST = {"int32_t": "i32", "uint32_t": "u32", "int64_t": "i64", "uint64_t": "u64", "size_t": "usize", "int": "c_int",
        "char": "c_char", "void": "c_void"}


def rust_type(header, one):
    if one.name in header.callbacks and one.stars == 0:
        return f"Option<{one.name}>"
    if one.length:
        return f"[c_char; {one.length}]"
    return "*mut " * one.stars + RUST.get(one.name, one.name)


def rust_signature(header, function):
    parameters = ", ".join(f"{v.name}: {rust_type(header, v.type)}" for v in function.parameters)
    returns = "" if function.returns == c.Type("void") else f" -> {rust_type(header, function.returns)}"
    return parameters, returns


def rust(header):
    lines = ["// SPDX-License-Identifier: MIT", f"// {SAY}", "#![allow(non_camel_case_types, dead_code)]",
             "use std::os::raw::{c_char, c_int, c_void};", ""]
    lines += [f"pub const {name}: i64 = {value};" for name, value in header.constants.items()]
    for name, fields in header.structs.items():
        lines += ["", "#[repr(C)]", f"pub struct {name} {{"]
        lines += [f"    pub {v.name}: {rust_type(header, v.type)}," for v in fields or []]
        lines.append("    _private: [u8; 0],\n}" if fields is None else "}")
    lines.append("")
    for function in header.callbacks.values():
        parameters, returns = rust_signature(header, function)
        lines.append(f'pub type {function.name} = unsafe extern "C" fn({parameters}){returns};')
    lines += ["", '#[link(name = "xlstore")]', 'extern "C" {']
    for function in header.functions.values():
        parameters, returns = rust_signature(header, function)
        lines.append(f"    pub fn {function.name}({parameters}){returns};")
    lines.append("}")
    return lines


# ---- Go: cgo reads the header itself -------------------------------------------------------------

def camel(name):
    return "".join(word.capitalize() for word in name.split("_")[1:])


def go(header):
    lines = ["// SPDX-License-Identifier: MIT", f"// {SAY}", "package xlstore", "", "// #cgo pkg-config: xlstore",
             "// #include <xlstore/xlstore.h>", "// #include <xlstore/recovery.h>", 'import "C"', "", "const ("]
    lines += [f"\t{camel(name)} = {value}" for name, value in header.constants.items()]
    lines += [")", ""]
    lines += [f"type {camel(name)}Struct = C.{name}" for name in header.structs]
    lines += ["", "// Version is the release of the library that is loaded.",
              "func Version() string { return C.GoString(C.xlstore_version()) }"]
    return lines


def main():
    language, output, *headers = sys.argv[1:]
    lines = {"python": python, "rust": rust, "go": go}[language](c.read(headers))
    with open(output, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
