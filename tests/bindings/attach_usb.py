#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A toolstack in Python that gives a domain a USB mouse, and is killed at it (../crash/operations.py).

    attach_usb.py STORE DOMAIN      $PYTHONPATH has the package, $XLSTORE_LIBRARY names the library
"""

import sys

import xlstore

MOUSE = {"ctrl": 0, "port": 2, "type.emulated": {"driver": "usb-mouse"}}

with xlstore.Store(sys.argv[1]) as store:
    print(store.attach(sys.argv[2], "usbdevs", MOUSE).message, flush=True)
