# SPDX-License-Identifier: MIT
"""Connections of a test's own to PostgreSQL, through libpq: a psql for each statement takes longer than most tests."""
import ctypes

TUPLES_OK, COMMAND_OK, EMPTY_QUERY = 2, 1, 0
CONNECTION_OK = 0


def load():
    library = ctypes.CDLL("libpq.so.5")
    for name, result, arguments in (
            ("PQconnectdb", ctypes.c_void_p, [ctypes.c_char_p]), ("PQstatus", ctypes.c_int, [ctypes.c_void_p]),
            ("PQfinish", None, [ctypes.c_void_p]), ("PQerrorMessage", ctypes.c_char_p, [ctypes.c_void_p]),
            ("PQexec", ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p]), ("PQclear", None, [ctypes.c_void_p]),
            ("PQresultStatus", ctypes.c_int, [ctypes.c_void_p]), ("PQntuples", ctypes.c_int, [ctypes.c_void_p]),
            ("PQnfields", ctypes.c_int, [ctypes.c_void_p]),
            ("PQgetvalue", ctypes.c_char_p, [ctypes.c_void_p, ctypes.c_int, ctypes.c_int])):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class Connection:
    library = None

    def __init__(self, conninfo):
        Connection.library = Connection.library or load()
        self.handle = self.library.PQconnectdb((conninfo + " options='-c client_min_messages=error'").encode())

    def lives(self):
        return self.library.PQstatus(self.handle) == CONNECTION_OK

    def close(self):
        self.library.PQfinish(self.handle)

    def run(self, text):
        """(rows as lists of texts, what the server has against it or "")."""
        result = self.library.PQexec(self.handle, text.encode())
        try:
            if self.library.PQresultStatus(result) not in (TUPLES_OK, COMMAND_OK, EMPTY_QUERY):
                return [], self.library.PQerrorMessage(self.handle).decode()
            columns = range(self.library.PQnfields(result))
            return [[self.library.PQgetvalue(result, row, column).decode() for column in columns]
                    for row in range(self.library.PQntuples(result))], ""
        finally:
            self.library.PQclear(result)
