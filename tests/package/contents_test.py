#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Each installed file is in one Debian package, and each line of a package's list names something.

    tests/package/contents_test.py --build build-asan [TEST ...]

Looks at what `cmake --install` of a build would install and at the debian/ that CMake writes; builds no package
(tests/package/run.sh does).
"""
import argparse
import fnmatch
import pathlib
import re
import sys
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = None  # set from the command line, below


def cached(name):
    return re.search(rf"^{name}:\w+=(.*)$", (BUILD / "CMakeCache.txt").read_text(encoding="utf-8"), re.MULTILINE).group(1)


def installed():
    """Paths below the root that the scripts of the build install, with the prefix /usr."""
    found = set()
    scripts = [BUILD / "cmake_install.cmake"]
    for script in scripts:
        text = script.read_text(encoding="utf-8")
        scripts += map(pathlib.Path, re.findall(r'include\("([^"]+/cmake_install.cmake)"\)', text))
        for call in re.findall(r"^\s*file\(INSTALL DESTINATION (.*?)\)$", text, re.MULTILINE | re.DOTALL):
            found |= files_of(call)
    return found


def files_of(call):
    """What one call of file(INSTALL) installs."""
    destination = re.match(r'"\$\{CMAKE_INSTALL_PREFIX\}/([^"]*)"', call)
    if not destination:
        return set()
    rename = re.search(r'RENAME "([^"]+)"', call)
    names = [pathlib.PurePath(path).name for path in re.findall(r'"(/[^"]+)"', call.split(" FILES", 1)[-1])]
    return {f"usr/{destination[1]}/{rename[1] if rename else name}" for name in names}


def stanzas():
    """field: value, of each paragraph of debian/control."""
    for paragraph in (BUILD / "debian/control").read_text(encoding="utf-8").strip().split("\n\n"):
        yield dict(re.findall(r"^([\w-]+): *((?:.*\n?(?: .*\n?)*))", paragraph + "\n", re.MULTILINE))


def patterns():
    """(package, what its list names), with the directories of this build."""
    for path in sorted((BUILD / "debian").glob("*.install")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield path.name[:-len(".install")], line.split()[0].replace("usr/lib/*/", f"usr/{cached('CMAKE_INSTALL_LIBDIR')}/")


def not_packaged():
    path = BUILD / "debian/not-installed"
    return path.read_text(encoding="utf-8").split() if path.exists() else []


def matches(file, pattern):
    return fnmatch.fnmatchcase(file, pattern) or fnmatch.fnmatchcase(file, pattern + "/*")


class Contents(unittest.TestCase):
    def setUp(self):
        self.files = installed()
        self.assertIn("usr/bin/xlstore", self.files)
        self.assertGreater(len(self.files), 30)

    def test_every_file_is_in_one_package(self):
        for file in sorted(self.files):
            with self.subTest(file=file):
                packages = {package for package, pattern in patterns() if matches(file, pattern)}
                if any(matches(file, pattern) for pattern in not_packaged()):
                    self.assertEqual(packages, set())
                else:
                    self.assertEqual(len(packages), 1, packages)

    def test_every_line_names_something(self):
        """But for xlstore-fleet, which is built where libpqxx is."""
        for package, pattern in patterns():
            if package == "xlstore-fleet" and "usr/bin/xlstore-fleet" not in self.files:
                continue
            with self.subTest(package=package, pattern=pattern):
                self.assertTrue(any(matches(file, pattern) for file in self.files))

    def test_control_is_whole(self):
        source, *packages = stanzas()
        names = [one["Package"].strip() for one in packages]
        soversion = re.search(r"libxlstore([\d.]+)$", next(n for n in names if re.fullmatch(r"libxlstore[\d.]+", n))).group(1)
        self.assertIn(f"usr/{cached('CMAKE_INSTALL_LIBDIR')}/libxlstore.so.{soversion}", self.files)
        self.assertEqual(sorted(set(names)), sorted(names))
        self.assertEqual({package for package, _ in patterns()}, set(names))
        for one in [source, *packages]:
            self.assertEqual([value for value in one.values() if "@" in value.replace("maintainers@", "")], [])
        for one in packages:
            self.assertLess({"Package", "Architecture", "Depends", "Description"}, set(one), one["Package"])
            self.assertLessEqual(max(map(len, one["Description"].splitlines())), 80)

    def test_symbols_are_those_of_the_headers(self):
        symbols = next((BUILD / "debian").glob("libxlstore*.symbols")).read_text(encoding="utf-8")
        declared = set()
        for header in ("store/include/xlstore", "recovery/include/xlstore"):
            for path in (SOURCE / header).glob("*.h"):
                text = re.sub(r"/\*.*?\*/", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
                declared |= set(re.findall(r"^\w[\w* ]*?\b(xlstore_\w+)\(", text, re.MULTILINE))
        self.assertGreater(len(declared), 80)
        self.assertEqual(set(re.findall(r"^ (xlstore_\w+)@", symbols, re.MULTILINE)), declared)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True, type=pathlib.Path, help="a directory that CMake has configured")
    arguments, rest = parser.parse_known_args()
    BUILD = arguments.build.resolve()
    unittest.main(argv=[sys.argv[0], "-v", *rest])
