#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""xlstore-recover.service(8) says what the units do, and the Debian package enables those that it says.

    tests/docs/units_test.py [TEST ...]
"""
import pathlib
import re
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
UNITS = {path.name.removesuffix(".in"): path.read_text(encoding="utf-8")
         for path in (SOURCE / "tools/systemd").iterdir() if re.search(r"\.(service|timer)(\.in)?$", path.name)}
PAGE = (SOURCE / "tools/man/xlstore-recover.service.8").read_text(encoding="utf-8")
RULES = (SOURCE / "tools/debian/templates/rules").read_text(encoding="utf-8")


def entry(unit):
    found = re.search(rf"^\.It Sy {re.escape(unit)}\n(.*?)(?=^\.It|^\.El)", PAGE, re.MULTILINE | re.DOTALL)
    return " ".join(found[1].split()) if found else ""


class Units(unittest.TestCase):
    def test_every_unit_is_named_and_no_other(self):
        self.assertGreater(len(UNITS), 5)
        self.assertEqual(set(re.findall(r"^\.Nm (\S+)", PAGE, re.MULTILINE)), set(UNITS))

    def test_what_they_run_is_what_the_page_says(self):
        for unit, command in (("xlstore-recover", "xlfsck"), ("xlstore-prune", "xlstore"),
                              ("xlstore-fleet", "xlstore-fleet")):
            runs = re.search(rf"^ExecStart=\S*/({command} .*)$", UNITS[f"{unit}.service"], re.MULTILINE)[1]
            told = entry(f"{unit}.service") or entry(f"{unit}.timer")
            self.assertIn(f".Ql {runs}", told)

    def test_order_and_statuses_are_those_of_the_unit(self):
        unit = UNITS["xlstore-recover.service"]
        before = re.search(r"^Before=(.*)$", unit, re.MULTILINE)[1].split()
        self.assertIn(".Pq Pa " + " , ".join(before), entry("xlstore-recover.service"))
        statuses = re.search(r"^SuccessExitStatus=(.*)$", unit, re.MULTILINE)[1].split()
        self.assertIn(f"statuses {', '.join(statuses[:-1])} and {statuses[-1]} of", PAGE)

    def test_the_package_enables_what_the_page_says(self):
        calls = [call.replace("\\\n", " ") for call in re.findall(r"^\tdh_installsystemd ((?:.*\\\n)*.*)$", RULES, re.MULTILINE)]
        enabled = {unit for call in calls if "--no-enable" not in call for unit in re.findall(r"\S+\.(?:service|timer)", call)}
        left = {unit for call in calls if "--no-enable" in call for unit in re.findall(r"\S+\.(?:service|timer)", call)}
        installed = {unit for unit, text in UNITS.items() if "[Install]" in text}
        self.assertEqual(enabled | left, installed)
        self.assertTrue(all("--no-start" in call for call in calls))
        for unit in installed:
            self.assertEqual("Not enabled" in entry(unit), unit in left, unit)
            self.assertEqual("package enables it" in entry(unit), unit in enabled, unit)


if __name__ == "__main__":
    unittest.main(verbosity=2)
