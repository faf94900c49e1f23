#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What is generated from the headers is what a C compiler makes of them.

  declarations_test.py PACKAGE_DIRECTORY LIBRARY
"""

import ctypes
import glob
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HEADERS = sorted(glob.glob(f"{SOURCE}/store/include/xlstore/*.h")) + [f"{SOURCE}/recovery/include/xlstore/recovery.h"]
INCLUDES = [f"-I{SOURCE}/store/include", f"-I{SOURCE}/recovery/include"]
PACKAGE, LIBRARY = sys.argv[1:3]


def native():
    spec = importlib.util.spec_from_file_location("_native", f"{PACKAGE}/_native.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def declared():
    names = set()
    for path in HEADERS:
        with open(path, encoding="utf-8") as file:
            names |= set(re.findall(r"\b(xlstore_\w+)\(", re.sub(r"/\*.*?\*/", "", file.read(), flags=re.DOTALL)))
    return names


def generate(language, to):
    subprocess.run([sys.executable, f"{SOURCE}/tools/bindings/generate.py", language, to, *HEADERS], check=True)


class Declarations(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = directory.name

    def test_structs_lie_in_memory_as_in_c(self):
        module = native()
        structs = {name: one for name, one in vars(module).items()
                   if isinstance(one, type) and issubclass(one, ctypes.Structure)}
        self.assertIn("xlstore_call", structs)
        lines, wanted = [], []
        for name, struct in sorted(structs.items()):
            lines.append(f'printf("{name} %zu\\n", sizeof({name}));')
            wanted.append(f"{name} {ctypes.sizeof(struct)}")
            for field, _ in struct._fields_:
                place = getattr(struct, field)
                lines.append(f'printf("{name}.{field} %zu %zu\\n", offsetof({name}, {field}), '
                             f"sizeof((({name}*)0)->{field}));")
                wanted.append(f"{name}.{field} {place.offset} {place.size}")
        program = f"{self.path}/sizes.c"
        with open(program, "w", encoding="utf-8") as file:
            file.write("#include <stdio.h>\n#include <xlstore/recovery.h>\nint main(void) {\n" + "\n".join(lines) +
                       "\nreturn 0; }\n")
        subprocess.run(["cc", "-o", f"{self.path}/sizes", program, *INCLUDES], check=True)
        out = subprocess.run([f"{self.path}/sizes"], check=True, capture_output=True, text=True).stdout
        self.assertEqual(out.splitlines(), wanted)

    def test_constants_have_their_values(self):
        module = native()
        constants = {name: value for name, value in vars(module).items() if name.startswith("XLSTORE_")}
        self.assertEqual(constants["XLSTORE_E_IN_DOUBT"], -7)
        text = "".join(f'_Static_assert({name} == {value}, "{name}");\n' for name, value in constants.items())
        subprocess.run(["cc", "-x", "c", "-fsyntax-only", *INCLUDES, "-include", "xlstore/recovery.h", "-"], check=True,
                       input=text, text=True)

    def test_every_function_is_there(self):
        self.assertEqual(set(native().FUNCTIONS), declared())

    def test_what_is_not_understood_is_refused(self):
        sys.path.insert(0, f"{SOURCE}/tools/bindings")
        import header  # pylint: disable=import-outside-toplevel
        for text in ("int32_t xlstore_x(unknown* a);", "struct xlstore_y { int a; };", "union u { int a; };"):
            with self.assertRaises(header.NotUnderstood, msg=text):
                header.parse(text)

    @unittest.skipUnless(shutil.which("rustc"), "rustc is not installed")
    def test_rust(self):
        source = f"{self.path}/xlstore.rs"
        generate("rust", source)
        with open(source, encoding="utf-8") as file:
            self.assertEqual(set(re.findall(r"pub fn (\w+)", file.read())), declared())
        subprocess.run(["rustc", "--crate-type", "lib", "--edition", "2021", "--emit", "metadata", "-o",
                        f"{self.path}/xlstore.rmeta", source], check=True)

    @unittest.skipUnless(shutil.which("go"), "go is not installed")
    def test_go(self):
        generate("go", f"{self.path}/xlstore.go")
        with open(f"{self.path}/go.mod", "w", encoding="utf-8") as file:
            file.write("module xlstore\n")
        with open(f"{self.path}/xlstore.pc", "w", encoding="utf-8") as file:
            file.write(f"Name: xlstore\nDescription: x\nVersion: 0\nCflags: {' '.join(INCLUDES)}\n"
                       f"Libs: -L{os.path.dirname(LIBRARY)} -lxlstore\n")
        subprocess.run(["go", "vet", "."], check=True, cwd=self.path, env={
            **os.environ, "PKG_CONFIG_PATH": self.path, "GOCACHE": f"{self.path}/cache", "GOFLAGS": "-mod=mod"})


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
