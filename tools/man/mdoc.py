# SPDX-License-Identifier: MIT
"""Text as mdoc(7), the language of the manual pages."""
import re


def text(words):
    """Plain words on one line."""
    words = words.replace("\\", "\\e")
    words = re.sub(r"(?<![\w-])--?(?=\w)", lambda dash: dash[0].replace("-", "\\-"), words)
    return "\\&" + words if words[:1] in (".", "'") else words


def paragraph(words, width=110):
    """Words filled into lines; a sentence ends its line, as man(7) readers are used to."""
    lines, line = [], ""
    for word in words.split():
        if line and len(line) + 1 + len(word) > width:
            lines.append(line)
            line = ""
        line += (" " if line else "") + word
        if word.endswith(".") and not word.endswith(("e.g.", "i.e.")):
            lines.append(line)
            line = ""
    return [text(one) for one in [*lines, line] if one]


def literal(code):
    return [".Bd -literal -offset indent", *(text(line) for line in code.splitlines()), ".Ed"]


def head(name, section, about, date):
    return ['.\\" SPDX-License-Identifier: MIT', '.\\" Made from the source; not to be edited.', f".Dd {date}",
            f".Dt {name.upper()} {section}", ".Os", ".Sh NAME", f".Nm {name}", f".Nd {text(about)}"]
