#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Opens pidfds for a program under valgrind (pidfd_shim.c).   pidfd_server.py SOCKET"""

import os
import socket
import struct
import sys

with socket.socket(socket.AF_UNIX) as server:
    server.bind(sys.argv[1])
    server.listen(16)
    while True:
        client, _ = server.accept()
        with client:
            try:
                fd = os.pidfd_open(struct.unpack("i", client.recv(4))[0])
            except OSError as error:
                client.send(struct.pack("i", error.errno))
                continue
            socket.send_fds(client, [struct.pack("i", 0)], [fd])
            os.close(fd)
