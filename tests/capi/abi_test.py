#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The interface is compatible with the one that was released last (store/ABI.md).

  abi_test.py             compares the headers with abi/VERSION.abi and abi/VERSION.constants
  abi_test.py --write     writes both: for a release

What is compared is a library of empty functions, made from the headers: that the real one has the same functions is
capi.complete's to say, and its sources include the same headers. So this needs no build, and no debug information.
"""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, f"{SOURCE}/tools/bindings")
import header as c  # noqa: E402

HEADERS = sorted(glob.glob(f"{SOURCE}/store/include/xlstore/*.h")) + [f"{SOURCE}/recovery/include/xlstore/recovery.h"]
KEPT = f"{SOURCE}/tests/capi/abi"
INCOMPATIBLE = 8 | 4    # of abidiff's status: some change, an incompatible one
TOOLS_FAILED = 1 | 2


def number():
    status = read(f"{SOURCE}/store/include/xlstore/status.h")
    return ".".join(re.search(rf"#define XLSTORE_VERSION_{part} (\d+)", status)[1] for part in ("MAJOR", "MINOR"))


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def constants():
    return {name: str(value) for name, value in c.read(HEADERS).constants.items()}


def kept_constants():
    return dict(line.split() for line in read(f"{KEPT}/{number()}.constants").splitlines())


class Library:
    """The functions that the headers in a directory declare, each empty."""

    def __init__(self, path):
        self.path = path
        os.makedirs(f"{path}/xlstore")
        for header in HEADERS:
            shutil.copy(header, f"{path}/xlstore")

    def edit(self, name, old, new):
        path = f"{self.path}/xlstore/{name}"
        text = read(path)
        assert text.count(old) == 1, (name, old)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace(old, new))

    def build(self):
        text = "".join(read(path) for path in sorted(glob.glob(f"{self.path}/xlstore/*.h")))
        text = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
        text = re.sub(r"typedef struct \w+ \{.*?\} \w+;", "", text, flags=re.DOTALL)
        functions = re.findall(r"^((?:const )?\w+\*? ?\*?)\b(xlstore_\w+)(\([^;]*?\));", text, re.MULTILINE | re.DOTALL)
        source = f"{self.path}/empty.c"
        with open(source, "w", encoding="utf-8") as file:
            file.write("#include <xlstore/xlstore.h>\n#include <xlstore/recovery.h>\n")
            for returns, name, parameters in functions:
                end = "{ }" if returns.strip() == "void" else "{ return 0; }"
                file.write(f"{returns} {name}{parameters} {end}\n")
        library = f"{self.path}/libxlstore.so"
        subprocess.run(["cc", "-g", "-w", "-shared", "-fPIC", f"-I{self.path}", f"-Wl,-soname,libxlstore.so.{number()}",
                        "-o", library, source], check=True)
        return library, len(functions)


def dump(library, to):
    subprocess.run(["abidw", "--headers-dir", f"{os.path.dirname(library)}/xlstore", "--drop-private-types",
                    "--no-corpus-path", "--no-comp-dir-path", "--short-locs", "--out-file", to, library], check=True)


@unittest.skipUnless(shutil.which("abidiff"), "there is no abidiff here: install abigail-tools")
class Abi(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.library = Library(f"{directory.name}/now")

    def compared(self):
        """abidiff's status and words, with the dump that is kept."""
        library, functions = self.library.build()
        self.assertEqual(functions, len(c.read(sorted(glob.glob(f"{self.library.path}/xlstore/*.h"))).functions))
        ended = subprocess.run(["abidiff", "--no-added-syms", "--suppressions", f"{KEPT}/growth.abignore",
                                "--headers-dir2", f"{self.library.path}/xlstore", "--drop-private-types",
                                f"{KEPT}/{number()}.abi", library], check=False, capture_output=True, text=True)
        self.assertFalse(ended.returncode & TOOLS_FAILED, ended.stderr)
        return ended.returncode & INCOMPATIBLE, ended.stdout

    def test_programs_of_the_last_release_go_on(self):
        self.assertEqual(self.compared(), (0, ""))

    def test_constants_keep_their_values(self):
        now = constants()
        self.assertEqual({name: now.get(name) for name in kept_constants()}, kept_constants())

    def test_what_may_come_is_allowed(self):
        self.library.edit("status.h", "const char* xlstore_version(void);",
                          "const char* xlstore_version(void);\nint32_t xlstore_new(int32_t number);")
        self.library.edit("operation.h", "} xlstore_call;", "    uint32_t later;\n} xlstore_call;")
        self.assertEqual(self.compared()[0], 0)

    def test_a_function_that_goes_is_found(self):
        self.library.edit("status.h", "const char* xlstore_version(void);", "")
        status, words = self.compared()
        self.assertTrue(status)
        self.assertIn("xlstore_version", words)

    def test_a_parameter_that_changes_is_found(self):
        self.library.edit("status.h", "void xlstore_string_free(char* text);",
                          "void xlstore_string_free(char* text, int32_t how);")
        status, words = self.compared()
        self.assertTrue(status)
        self.assertIn("xlstore_string_free", words)

    def test_a_member_in_the_middle_is_found(self):
        self.library.edit("operation.h", "    uint32_t timeout_ms;", "    uint64_t between;\n    uint32_t timeout_ms;")
        status, words = self.compared()
        self.assertTrue(status)
        self.assertIn("between", words)


def write():
    with tempfile.TemporaryDirectory() as directory:
        library, _ = Library(f"{directory}/now").build()
        dump(library, f"{KEPT}/{number()}.abi")
    with open(f"{KEPT}/{number()}.constants", "w", encoding="utf-8") as file:
        file.writelines(f"{name} {value}\n" for name, value in sorted(constants().items()))


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        write()
    elif not shutil.which("abidiff"):
        print("skipped: there is no abidiff here: install abigail-tools")
        sys.exit(77)
    else:
        unittest.main()
