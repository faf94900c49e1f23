# SPDX-License-Identifier: MIT
"""Where each row of a sound database stands in its files, read without SQLite (sqlite.org/fileformat2.html)."""

import struct


class Files:
    """The pages of a database and its log, as a reader sees them."""

    def __init__(self, database, log=b""):
        told = struct.unpack(">H", database[16:18])[0]
        self.size = size = 65536 if told == 1 else told  # of a page
        frame = 24 + size
        self.bytes = {"store.db": database, "store.db-wal": log}
        self.where = {number + 1: ("store.db", number * size) for number in range(len(database) // size)}
        self.last_commit = len(log)  # where the frames of the last commit begin
        pending = {}
        begins = 32
        for at in range(32, len(log) - frame + 1, frame):
            if log[at + 8:at + 16] != log[16:24]:
                break
            page, commit = struct.unpack(">II", log[at:at + 8])
            pending[page] = ("store.db-wal", at + 24)
            if commit:
                self.where.update(pending)
                pending = {}
                self.last_commit = begins
                begins = at + frame

    def page(self, number):
        name, at = self.where[number]
        return self.bytes[name][at:at + self.size]

    def place(self, number, start, size):
        """(file, from, to) of bytes of a page."""
        name, at = self.where[number]
        return name, at + start, at + start + size


def varint(data, at):
    value = 0
    for i in range(9):
        byte = data[at]
        at += 1
        if i == 8:
            return value << 8 | byte, at
        value = value << 7 | byte & 0x7f
        if byte < 0x80:
            return value, at
    raise AssertionError


def values_of(record):
    head, at = varint(record, 0)
    types = []
    while at < head:
        kind, at = varint(record, at)
        types.append(kind)
    values = []
    for kind in types:
        size = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)[kind] if kind < 10 else (kind - 12 - kind % 2) // 2
        body = record[at:at + size]
        at += size
        if kind == 0:
            values.append(None)
        elif kind <= 6:
            values.append(int.from_bytes(body, "big", signed=True))
        elif kind in (8, 9):
            values.append(kind - 8)
        else:
            values.append(body.decode())
    return values


def rows(files, root):
    """(rowid or None, values, [places]) of each row of the tree; places are (file, from, to)."""
    page = files.page(root)
    usable = files.size
    head = 100 if root == 1 else 0
    kind = page[head]
    assert kind in (2, 5, 10, 13), (root, kind)
    count = int.from_bytes(page[head + 3:head + 5], "big")
    pointers = head + (12 if kind in (2, 5) else 8)
    children = []
    for i in range(count):
        start = at = int.from_bytes(page[pointers + 2 * i:pointers + 2 * i + 2], "big")
        if kind in (2, 5):
            children.append(int.from_bytes(page[at:at + 4], "big"))
            at += 4
        if kind == 5:
            continue
        size, at = varint(page, at)
        rowid = None
        if kind == 13:
            rowid, at = varint(page, at)
        most = usable - 35 if kind == 13 else (usable - 12) * 64 // 255 - 23
        local = size
        if size > most:
            least = (usable - 12) * 32 // 255 - 23
            local = least + (size - least) % (usable - 4)
            local = local if local <= most else least
        record = page[at:at + local]
        end = at + local + (4 if size > local else 0)
        places = [files.place(root, start, end - start)]
        following = int.from_bytes(page[end - 4:end], "big") if size > local else 0
        while following:
            more = files.page(following)
            take = min(usable - 4, size - len(record))
            record += more[4:4 + take]
            places.append(files.place(following, 0, 4 + take))
            following = int.from_bytes(more[:4], "big")
        yield rowid, values_of(record), places
    if kind in (2, 5):
        children.append(int.from_bytes(page[head + 8:head + 12], "big"))
        for child in children:
            yield from rows(files, child)
