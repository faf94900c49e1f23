# SPDX-License-Identifier: MIT
"""The files of a directory as they were, to be put back."""

import os


class Kept:
    """The regular files of a directory and its sockets. They are put back into the same files: lock files that are
    put back otherwise, and a copy of the directory, are known as such (R17). So is a socket, by its inode (R11):
    with `aside`, a directory, each gets a second name there."""

    def __init__(self, directory, aside=None, without=()):
        self.directory = directory
        self.aside = aside
        self.files = {path.name: path.read_bytes() for path in directory.iterdir()
                      if path.is_file() and path.name not in without}
        self.sockets = {path.name for path in directory.iterdir() if aside and path.is_socket()}
        for name in self.sockets:
            os.link(directory / name, aside / name)

    def put_back(self):
        for path in self.directory.iterdir():
            if path.is_file() and path.name not in self.files:
                path.unlink()
        for name, text in self.files.items():
            path = self.directory / name
            with open(path, "r+b" if path.exists() else "wb") as file:
                file.write(text)
                file.truncate()
            path.chmod(0o600)
        for name in self.sockets:
            if not (self.directory / name).exists():
                os.link(self.aside / name, self.directory / name)
