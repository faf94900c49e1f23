# SPDX-License-Identifier: MIT
"""What stands between xlstore-fleet and a server: a socket that ends the connection at a chosen step, and a server that
is not the one it should be."""
import os
import socket
import struct
import threading

PORT_NAME = ".s.PGSQL.5432"


class Proxy:
    """Passes all on, in messages of the protocol; before message `stop` (from 0, both directions together) it calls
    `then` and ends the connection. `stop` None: it only counts, in `passed`."""

    def __init__(self, directory, server_directory, stop=None, then=None):
        self.to = os.path.join(server_directory, PORT_NAME)
        self.stop, self.then, self.passed = stop, then, 0
        self.lock = threading.Lock()
        self.over = False
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(directory, PORT_NAME))
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self.to)
            except OSError:
                client.close()
                continue
            ends = (client, server)
            for source, sink, first in ((client, server, True), (server, client, False)):
                threading.Thread(target=self.carry, args=(source, sink, first, ends), daemon=True).start()

    def carry(self, source, sink, bare, ends):
        """`bare`: the first message has no type (the client's startup packet)."""
        try:
            while True:
                head = self.read(source, 4 if bare else 5)
                length = struct.unpack("!I", head[-4:])[0]
                body = self.read(source, length - 4)
                bare = False
                self.count()
                sink.sendall(head + body)
        except OSError:
            for end in ends:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    @staticmethod
    def read(source, size):
        data = b""
        while len(data) < size:
            part = source.recv(size - len(data))
            if not part:
                raise OSError("ended")
            data += part
        return data

    def count(self):
        with self.lock:
            if self.over or self.passed == self.stop:
                if not self.over and self.then:
                    self.then()
                self.over = True
                raise OSError("cut")
            self.passed += 1

    def close(self):
        self.listener.close()


class OldServer:
    """Lets a client in, and says that it is PostgreSQL 9.6."""

    def __init__(self, directory):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.path.join(directory, PORT_NAME))
        self.listener.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    @staticmethod
    def message(kind, body):
        return kind + struct.pack("!I", len(body) + 4) + body

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with client:
                client.recv(4096)
                client.sendall(self.message(b"R", struct.pack("!I", 0)) +
                               self.message(b"S", b"server_version\x009.6.24\x00") +
                               self.message(b"S", b"client_encoding\x00UTF8\x00") +
                               self.message(b"Z", b"I"))
                client.recv(4096)

    def close(self):
        self.listener.close()
