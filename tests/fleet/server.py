# SPDX-License-Identifier: MIT
"""A PostgreSQL 15 in a temporary directory, on a Unix socket alone. As root it runs as user postgres."""
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from libpq import Connection

BIN = pathlib.Path("/usr/lib/postgresql/15/bin")
ROOM = 400 << 20  # bytes
DEADLINE = 60  # seconds for the server to begin or to end


def missing():
    """Why there can be no server here; "": there can."""
    if not (BIN / "postgres").exists():
        return "PostgreSQL 15 (postgresql-15) is not installed"
    if os.geteuid() == 0 and not shutil.which("setpriv"):
        return "setpriv is not there, and PostgreSQL does not run as root"
    return ""


class Server:
    """`owner` owns databases and may make roles; it is no superuser."""

    def __init__(self, authority=None):
        """`authority`: it is reached on 127.0.0.1, too, by TLS alone, and by those who have a certificate of it."""
        # In memory, where there is room: a database is a thousand files. Short: a socket lies in it.
        memory = os.path.isdir("/dev/shm") and shutil.disk_usage("/dev/shm").free > ROOM
        self.directory = tempfile.mkdtemp(prefix="xlpg-", dir="/dev/shm" if memory else "/tmp")
        self.data = os.path.join(self.directory, "data")
        self.process = None
        self.connections = {}
        self.user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        if self.user:
            os.chown(self.directory, self.user.pw_uid, self.user.pw_gid)
            os.chmod(self.directory, 0o755)
        subprocess.run(self.as_user(BIN / "initdb", "-D", self.data, "-U", "admin", "-A", "trust", "-E", "UTF8",
                                    "--locale=C", "--no-sync", "--no-instructions", "--wal-segsize=4"), check=True, capture_output=True)
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as file:
            file.write(f"listen_addresses = ''\nunix_socket_directories = '{self.directory}'\nfsync = off\n"
                       "shared_buffers = 16MB\nmax_connections = 30\nautovacuum = off\n"
                       "max_wal_size = 64MB\nmin_wal_size = 32MB\n")
        self.port = 5432
        if authority:
            self.listen_by_tls(authority)
        self.start()
        self.sql("CREATE ROLE owner LOGIN CREATEDB CREATEROLE", user="admin", database="postgres")

    def listen_by_tls(self, authority):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        for made, name in zip(authority.signed("localhost", "subjectAltName=DNS:localhost"), ("server.crt", "server.key")):
            shutil.copy(made, os.path.join(self.data, name))
            os.chmod(os.path.join(self.data, name), 0o600)
            if self.user:
                os.chown(os.path.join(self.data, name), self.user.pw_uid, self.user.pw_gid)
        shutil.copy(authority.certificate, os.path.join(self.data, "root.crt"))
        os.chmod(os.path.join(self.data, "root.crt"), 0o644)
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as file:
            file.write(f"listen_addresses = '127.0.0.1'\nport = {self.port}\nssl = on\nssl_ca_file = 'root.crt'\n")
        pathlib.Path(self.data, "pg_hba.conf").write_text("local all all trust\nhostssl all all 127.0.0.1/32 cert\n",
                                                          encoding="utf-8")

    def as_user(self, *words):
        words = [str(word) for word in words]
        if not self.user:
            return words
        return ["setpriv", f"--reuid={self.user.pw_uid}", f"--regid={self.user.pw_gid}", "--clear-groups", *words]

    def start(self):
        if self.process:  # one that is ended in a proxy's thread may not be at its end yet
            self.process.wait(DEADLINE)
        with open(os.path.join(self.directory, "log"), "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(self.as_user(BIN / "postgres", "-D", self.data), stdout=log, stderr=log,
                                            cwd=self.directory)
        until = time.monotonic() + DEADLINE
        while not self.connection("postgres", "admin").lives():
            if time.monotonic() > until or self.process.poll() is not None:
                raise RuntimeError("the server does not begin: " + self.log())
            time.sleep(0.01)

    def log(self):
        return pathlib.Path(self.directory, "log").read_text(encoding="utf-8")

    def forget(self):
        """Connections of a server that ends look alive until they are used."""
        while self.connections:
            self.connections.popitem()[1].close()

    def stop(self):
        self.forget()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(DEADLINE)

    def crash(self):
        """It ends at once, as after a power cut but for what the kernel has, and recovers at its next start."""
        self.forget()
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(DEADLINE)

    def remove(self):
        if self.process.poll() is None:
            self.crash()
        shutil.rmtree(self.directory)

    def conninfo(self, database, user):
        return f"host={self.directory} port={self.port} dbname={database} user={user}"

    def sql(self, text, database, user="owner", check=True):
        """Rows as lists of texts. Without `check`: (rows, what the server has against it)."""
        rows, said = self.connection(database, user).run(text)
        if not check:
            return rows, said
        if said:
            raise AssertionError(f"{text[:500]}\n{said}")
        return rows

    def connection(self, database, user):
        """Kept for the next statement; made anew where the server was."""
        one = self.connections.get((database, user))
        if one and not one.lives():
            self.connections.pop((database, user)).close()
            one = None
        return one or self.connections.setdefault((database, user), Connection(self.conninfo(database, user)))

    def drop(self, database):
        for key in [key for key in self.connections if key[0] == database]:
            self.connections.pop(key).close()
        self.sql(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)", database="postgres", user="admin")
