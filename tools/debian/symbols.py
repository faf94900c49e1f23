#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The symbols file of the library's package: each name with the release that it came with.

  symbols.py SOVERSION MAP HEADER...

The release is that of its node in the version script. A node that lists no name has what the headers declare.
"""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bindings"))
import header as c  # noqa: E402


def nodes(text, declared):
    """name of a node: the functions in it."""
    text = re.sub(r"/\*.*?\*/|#[^\n]*", " ", text, flags=re.DOTALL)
    found = {}
    for name, body in re.findall(r"(\w[\w.]*)\s*\{(.*?)\}", text, re.DOTALL):
        listed = re.search(r"global:(.*?)(?:local:|\Z)", body, re.DOTALL)
        names = [one.strip() for one in listed[1].split(";") if one.strip()] if listed else []
        found[name] = declared if "xlstore_*" in names else names
    return found


def main():
    soversion, version_script, *headers = sys.argv[1:]
    declared = list(c.read(headers).functions)
    print(f"libxlstore.so.{soversion} libxlstore{soversion} #MINVER#")
    print("* Build-Depends-Package: libxlstore-dev")
    for node, names in nodes(pathlib.Path(version_script).read_text(encoding="utf-8"), declared).items():
        release = node.rpartition("_")[2]
        print(f" (optional){node}@{node} {release}")  # not every linker writes the node itself
        for name in sorted(names):
            print(f" {name}@{node} {release}")


if __name__ == "__main__":
    main()
