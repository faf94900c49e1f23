# SPDX-License-Identifier: MIT
"""Over TLS on 127.0.0.1, with certificates that the test makes: settings of libpq's do what they say, and a host is who its
certificate says."""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import fixture
import server


class Authority:
    """Signs certificates; its own is signed by itself."""

    def __init__(self, directory, name="authority"):
        self.directory = directory
        self.certificate, self.key = (os.path.join(directory, f"{name}.{kind}") for kind in ("crt", "key"))
        self.run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", self.key,
                 "-out", self.certificate)

    @staticmethod
    def run(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=120)

    def signed(self, name, extension=None):
        """Certificate and key of that name."""
        path = os.path.join(self.directory, f"{name}-signed")
        request = ["req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{path}.key", "-out",
                   f"{path}.csr"]
        self.run(*request, *(["-addext", extension] if extension else []))
        self.run("x509", "-req", "-in", f"{path}.csr", "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial", "-days",
                 "2", "-copy_extensions", "copy", "-out", f"{path}.crt")
        os.chmod(f"{path}.key", 0o600)
        return f"{path}.crt", f"{path}.key"


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if server.missing() or not shutil.which("openssl"):
            raise unittest.SkipTest(server.missing() or "openssl is not there: no certificate can be made")
        if not (fixture.BIN / "xlstore-fleet").exists():
            raise unittest.SkipTest("xlstore-fleet was not built: libpqxx-dev is not there")
        cls.directory = tempfile.mkdtemp(prefix="xltls-", dir="/tmp")
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.authority = Authority(cls.directory)
        cls.server = server.Server(cls.authority)
        cls.addClassCleanup(cls.server.remove)
        cls.server.sql("CREATE DATABASE fleet", database="postgres")
        cls.certificates = {role: cls.authority.signed(role) for role in ("owner", "a", "reader")}
        said = cls.fleet("owner", "init", "--host", "a", "--host", "b", "--reader", "reader")
        assert said.returncode == 0, said.stderr
        cls.store = os.path.join(cls.directory, "store")
        for words in (["init"], ["import", "7", "-"]):
            subprocess.run([fixture.BIN / "xlstore", "--store", cls.store, *words], input=fixture.document(7), text=True,
                           check=True, capture_output=True)

    @classmethod
    def fleet(cls, role, *words, certificate=None, **settings):
        crt, key = cls.certificates.get(certificate or role, ("/nowhere", "/nowhere"))
        wanted = {"host": "localhost", "hostaddr": "127.0.0.1", "port": cls.server.port, "dbname": "fleet", "user": role,
                  "sslmode": "verify-full", "sslrootcert": cls.authority.certificate, "sslcert": crt, "sslkey": key, **settings}
        database = " ".join(f"{name}={value}" for name, value in wanted.items())
        return subprocess.run([fixture.BIN / "xlstore-fleet", "--store", getattr(cls, "store", "/nowhere"), "--database",
                               database, *words], capture_output=True, text=True, timeout=120, check=False)

    def test_a_host_pushes_over_it(self):
        done = self.fleet("a", "push")
        self.assertEqual(done.returncode, 0, done.stderr)
        asked = self.fleet("reader", "--json", "query", "SELECT ssl, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        self.assertIn("CN=reader", asked.stdout, asked.stderr)
        self.assertEqual(json.loads(self.fleet("reader", "--json", "query", "SELECT host, domid FROM fleet.living").stdout),
                         [{"host": "a", "domid": 7}])

    def assert_refused(self, done, words):
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertRegex(done.stderr, words)
        self.assertEqual(len(done.stderr.splitlines()), 2, "what happened, and what to do: " + done.stderr)

    def test_a_server_of_another_authority_is_refused(self):
        other = Authority(self.directory, "other")
        self.assert_refused(self.fleet("a", "push", sslrootcert=other.certificate), "certificate verify failed")

    def test_a_server_of_another_name_is_refused(self):
        self.assert_refused(self.fleet("a", "push", host="127.0.0.1"), "does not match host name")

    def test_without_tls_it_is_refused(self):
        self.assert_refused(self.fleet("a", "push", sslmode="disable"), "no pg_hba.conf entry|no encryption")

    def test_a_host_is_no_other_host(self):
        self.assert_refused(self.fleet("b", "push", certificate="a"), "certificate authentication failed")
        self.assert_refused(self.fleet("a", "push", sslcert="/nowhere"), "certificate")
        self.assertTrue(pathlib.Path(self.server.data, "server.key").exists())
