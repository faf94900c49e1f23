#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The manual of the C interface: libxlstore(3), and a page for each of the headers.

  library_pages.py DIRECTORY DATE HEADER...

The text is that of the headers, so that the two cannot differ: comments are paragraphs, declarations stand as they are. The first
header is the one that embedders include; headers that the named ones include from xlstore/ follow by themselves. Each function
has its name in the directory, too, as a page that leads to the one of its header.
"""
import pathlib
import re
import sys

import mdoc


def own_headers(paths):
    """The headers named, and those of the same directories that they include."""
    found, waiting = [], [pathlib.Path(path) for path in paths]
    folders = {path.parent for path in waiting}
    while waiting:
        path = waiting.pop(0)
        if path not in found:
            found.append(path)
            included = re.findall(r'^#include "xlstore/([\w.]+)"', path.read_text(encoding="utf-8"), re.MULTILINE)
            waiting += [folder / name for name in included for folder in folders if (folder / name).exists()]
    return found


def comment_text(comment):
    """A comment without its stars."""
    lines = re.sub(r"^/\*+|\*/$", "", comment.strip()).split("\n")
    return "\n".join([lines[0].strip(), *(re.sub(r"^ ?\* ?", "", line.rstrip()) for line in lines[1:])]).strip("\n")


def blocks(said):
    """The paragraphs of a comment as mdoc: prose is filled, what is indented stands as it is."""
    lines = []
    for block in re.split(r"\n\s*\n", said):
        if not block.strip():
            continue
        if re.match(r" {2,}\S", block):
            lines += mdoc.literal("\n".join(line[2:] for line in block.split("\n")))
        else:
            lines += [".Pp"]
            for part in re.split(r"\n(?= +- )", "\n" + block):
                lines += ([".Pp"] if part.lstrip().startswith("- ") else []) + mdoc.paragraph(part)
    return lines


class Page:
    """One header, taken apart: what it is for, and its sections with comments and declarations in their order."""

    def __init__(self, path):
        source = path.read_text(encoding="utf-8")
        self.path = path
        self.name = "libxlstore_" + path.stem
        opening = re.match(r"/\* SPDX-License-Identifier: MIT\n \*\n(.*?\*/)", source, re.DOTALL)
        self.opening = comment_text("/*\n" + opening[1])
        body = re.sub(r"#ifdef __(?:cplusplus|GNUC__)\n.*?#endif\n", "", source[opening.end():], flags=re.DOTALL)
        body = re.sub(r"^#(?:ifndef|define) XLSTORE_\w+_H_\n|^#endif /\* XLSTORE_\w+_H_ \*/\n", "", body, flags=re.MULTILINE)
        self.body = re.sub(r"^#include .*\n", "", body, flags=re.MULTILINE)
        code = re.sub(r"/\*.*?\*/", " ", self.body, flags=re.DOTALL)
        self.functions = re.findall(r"^\w[\w* ]*?\b(xlstore_\w+)\(", code, re.MULTILINE)

    def about(self):
        """The first sentence of the opening, or what stands before its colon, where it is long."""
        sentence = re.split(r"\.(?:\s|$)", " ".join(self.opening.split()), maxsplit=1)[0]
        said = sentence if len(sentence) < 85 else sentence.split(": ")[0]
        return said[0].lower() + said[1:]

    def sections(self):
        """(title or "", its text)"""
        parts = re.split(r"^/\* ---- (.*?) -+ (\*/|\*)$", self.body, flags=re.MULTILINE)
        yield "", parts[0]
        for title, end, rest in zip(parts[1::3], parts[2::3], parts[3::3]):
            yield title, rest if end == "*/" else "/*" + rest

    def described(self):
        lines = []
        for title, body in self.sections():
            if title:
                lines.append(f".Ss {mdoc.text(title)}")
            for chunk in re.split(r"\n\s*\n(?=/\*|\w|#)", body):
                lines += self.chunk(chunk.strip("\n"))
        return lines

    @staticmethod
    def chunk(source):
        """A comment that begins a line is prose; from the first declaration on it is C, until the next such comment."""
        lines = []
        for part in re.split(r"^(/\*.*?\*/)[ ]*$", source, flags=re.DOTALL | re.MULTILINE):
            if part.startswith("/*"):
                lines += blocks(comment_text(part))
            elif part.strip():
                lines += [".Pp", *mdoc.literal(part.strip("\n"))]
        return lines


def page_text(page, date):
    include = [".Sh LIBRARY", "libxlstore (\\-lxlstore)", ".Sh SYNOPSIS",
               f".In xlstore/{page.path.name if page.path.name == 'recovery.h' else 'xlstore.h'}"]
    return [*mdoc.head(page.name, 3, page.about(), date), *include, ".Sh DESCRIPTION", *blocks(page.opening)[1:], *page.described(),
            ".Sh SEE ALSO", ".Xr libxlstore 3 ,", ".Xr xlstore 1"]


def overview(pages, date):
    opening = pages[0].opening
    prose, _, rest = re.sub(r"\n(?=[A-Z]{4,}  )", "\f", "\n" + opening, count=1).partition("\f")
    lines = mdoc.head("libxlstore", 3, "crash-recoverable store for libxl's documents, to embed", date)
    lines += [".Sh LIBRARY", "libxlstore (\\-lxlstore)", ".Sh SYNOPSIS", ".In xlstore/xlstore.h", ".In xlstore/recovery.h",
              ".Pp", "cc $(pkg-config \\-\\-cflags xlstore)", ".Ar program.c", "$(pkg-config \\-\\-libs xlstore)",
              ".Sh DESCRIPTION", *blocks(prose)[1:]]
    labelled, _, after = re.sub(r"\n\s*\n(?=\S)", "\f", rest, count=1).partition("\f")
    if labelled.strip():
        lines.append(".Bl -tag -width THREADS")
        for label, words in re.findall(r"^([A-Z]{4,})  (.*?)(?=^[A-Z]{4,}  |\Z)", labelled, re.MULTILINE | re.DOTALL):
            lines += [f".It {label}", *mdoc.paragraph(words)]
        lines.append(".El")
    lines += blocks(after) + [".Ss Pages", ".Bl -tag -width indent"]
    for page in pages:
        if page.functions:
            lines += [f".It Xr {page.name} 3", *mdoc.paragraph(page.about() + "."), ".Pp", ".nh", *mdoc.paragraph(", ".join(page.functions)), ".hy"]
    return [*lines, ".El", ".Sh SEE ALSO", ".Xr xlstore 1 ,", ".Xr xlstore.db 5 ,", ".Xr xlfsck 8"]


def main():
    directory, date, *headers = sys.argv[1:]
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("*.3"):
        old.unlink()
    pages = [Page(path) for path in own_headers(headers)]
    written = {"libxlstore.3": overview(pages, date)}
    for page in pages:
        if page.functions:
            written[page.name + ".3"] = page_text(page, date)
            written |= {f"{function}.3": [f".so man3/{page.name}.3"] for function in page.functions}
    for name, lines in written.items():
        (directory / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
