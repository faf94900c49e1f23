#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Declared, listed, exported, called: the same functions in all four.

  complete.py LIBRARY TEST_PROGRAM MAP HEADER...

Every function that the headers declare is named by one node of the version script MAP, and exported by the library with
that version; nothing else is; and the test program calls each of them. The library needs no other than those of NEEDED,
which an embedder has anyway.
"""

import re
import subprocess
import sys


def symbols(*nm):
    out = subprocess.run(["nm", *nm], check=True, capture_output=True, text=True).stdout
    names = {line.split()[-1].split("@")[0] for line in out.splitlines()}
    return {n for n in names if n.startswith("xlstore_")}


NEEDED = {"libsqlite3", "libstdc++", "libm", "libgcc_s", "libc", "libpthread", "ld-linux-x86-64",
          "libasan", "libubsan"}


def needed(library):
    out = subprocess.run(["readelf", "-d", library], check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"\(NEEDED\).*\[([^\]]+?)\.so", out))


def declared(path):
    with open(path, encoding="utf-8") as file:
        text = re.sub(r"/\*.*?\*/", "", file.read(), flags=re.DOTALL)
    return {n for n in re.findall(r"\b(xlstore_\w+)\(", text)}


def nodes(path):
    """Each function that the version script names, with its node; a function twice is refused."""
    with open(path, encoding="utf-8") as file:
        text = re.sub(r"#.*", "", file.read())
    found = [(name, node) for node, body in re.findall(r"(XLSTORE_[\d.]+) \{(.*?)\}", text, re.DOTALL)
             for name in re.findall(r"\b(xlstore_\w+);", body)]
    if len(dict(found)) != len(found):
        raise SystemExit("a function stands in two nodes")
    return dict(found)


def versions(library):
    out = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True).stdout
    names = [line.split()[-1] for line in out.splitlines()]
    return dict(name.split("@@") if "@@" in name else (name, "") for name in names if not name.startswith("XLSTORE_"))


def main():
    library, program, listed, *headers = sys.argv[1:]
    wanted = set().union(*map(declared, headers))
    exported = symbols("-D", "--defined-only", library)
    called = symbols("-u", program)
    problems = []
    if versions(library) != nodes(listed):
        differ = set(versions(library).items()) ^ set(nodes(listed).items())
        problems.append(f"exported and listed differ: {' '.join(sorted('@'.join(one) for one in differ))}")
    for what, names in (("declared and not exported", wanted - exported), ("exported and not declared", exported - wanted),
                        ("not called by the test", wanted - called)):
        if names:
            problems.append(f"{what}: {' '.join(sorted(names))}")
    libraries = needed(library)
    if "libsqlite3" not in libraries or libraries - NEEDED:
        problems.append(f"needs {' '.join(sorted(libraries))}")
    if len(wanted) < 70:
        problems.append(f"only {len(wanted)} functions were found in the headers")
    print("\n".join(problems) or f"{len(wanted)} functions: declared, listed, exported, called")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
