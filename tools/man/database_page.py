#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""xlstore.db(5): the views and tables of a store.

  database_page.py OUTPUT DATE SCHEMA/README.md STEP.sql...

What views mean is taken from schema/README.md. Tables and their columns are those that the steps make, with the comments of
the steps, so that the page has each of them.
"""
import pathlib
import re
import sqlite3
import sys

import mdoc

INTRODUCTION = """
A store of xlstore(1) is a directory; its database is store.db, with SQLite's log in store.db-wal beside it. Read it with
`xlstore sql`, or with sqlite3(1) and -readonly; another program that opens it for writing breaks rules that rows alone cannot
keep, and a copy of the file alone is an older state.

Stable are the views: they keep their columns, and may get further ones. Tables, indexes and triggers are not: they may change
with each step of the schema. PRAGMA user_version is the number of steps that the store has had; a step is never edited once
it is released, and loses nothing.

A row says what was committed, never what QEMU has at this moment: as_of (UTC) and evidence, which each view has, say as of
when and on what.
"""


def plain(markdown):
    """Inline Markdown as words."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    return words.replace("`", "").replace("**", "").strip()


def section_lines(markdown):
    """Paragraphs, and tables of two columns as lists."""
    lines = []
    for block in re.split(r"\n\s*\n", markdown.strip()):
        if block.startswith("|"):
            rows = [[plain(cell) for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in block.splitlines()[2:]]
            lines += [".Pp", ".Bl -tag -width indent -compact"]
            for names, about in rows:
                lines += [f".It {mdoc.text(names)}", *mdoc.paragraph(about)]
            lines.append(".El")
        else:
            lines += [".Pp", *mdoc.paragraph(plain(block))]
    return lines


def view_lines(readme):
    sections = re.findall(r"^### `(\w+)`\n(.*?)(?=^##)", readme, re.MULTILINE | re.DOTALL)
    return [line for name, said in sections for line in (f".Ss {name}", *section_lines(said))]


def comments_of_tables(steps):
    """table: what the last step that made it says above it."""
    found = {}
    for step in steps:
        for comment, name in re.findall(r"((?:^-- .*\n)+)(?:CREATE TABLE \w+ AS .*\nDROP TABLE .*\n)?CREATE TABLE (\w+) \(", step, re.MULTILINE):
            found[name] = re.sub(r"^-- ?", "", comment, flags=re.MULTILINE)
    return found


def made_by(steps):
    """A database in memory that has had these steps."""
    database = sqlite3.connect(":memory:")
    database.execute("PRAGMA foreign_keys = OFF")
    for step in steps:
        database.executescript(step)
    return database


def table_lines(steps):
    database = made_by(steps)
    about = comments_of_tables(steps)
    lines = [".Bl -tag -width indent"]
    for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"):
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({name})")]
        lines += [f".It Sy {name}", *mdoc.paragraph(about.get(name, "")), ".Pp", *mdoc.paragraph("Columns: " + ", ".join(columns) + ".")]
    return [*lines, ".El"]


def main():
    output, date, readme, *files = sys.argv[1:]
    readme = pathlib.Path(readme).read_text(encoding="utf-8")
    steps = [pathlib.Path(file).read_text(encoding="utf-8") for file in files]
    lines = mdoc.head("xlstore.db", 5, "database of a store: views and tables", date) + [".Sh DESCRIPTION"]
    for block in INTRODUCTION.strip().split("\n\n"):
        lines += [".Pp", *mdoc.paragraph(plain(block))]
    lines += [".Sh VIEWS", *view_lines(readme), ".Sh HISTORY OF A STORE",
              *section_lines(re.search(r"^### History\n(.*?)(?=^##)", readme, re.MULTILINE | re.DOTALL)[1]),
              ".Sh TABLES", f"As of schema version {len(steps)}.", *table_lines(steps),
              ".Sh EXAMPLES", ".Pp"]
    first = re.search(r"^## A cookbook\n\n(.*?)\n\n```sql\n(.*?)```", readme, re.MULTILINE | re.DOTALL)
    lines += [*mdoc.paragraph(plain(first[1])), *mdoc.literal(first[2].rstrip("\n")), ".Pp",
              "More are in", ".Pa schema/README.md", "of the source.",
              ".Sh SEE ALSO", ".Xr sqlite3 1 ,", ".Xr xlstore 1 ,", ".Xr xlfsck 8"]
    pathlib.Path(output).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
