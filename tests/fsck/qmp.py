#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""One command to a monitor: qmp.py SOCKET COMMAND [ARGUMENTS]. It has to be done."""
import json
import socket
import sys

client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[1])
stream = client.makefile("rw")
stream.readline()
for command, arguments in (("qmp_capabilities", ""), (sys.argv[2], sys.argv[3])):
    stream.write(json.dumps({"execute": command, "arguments": json.loads(arguments or "{}")}) + "\n")
    stream.flush()
    reply = json.loads(stream.readline())
    while "event" in reply:
        reply = json.loads(stream.readline())
    if "return" not in reply:
        sys.exit(json.dumps(reply))
