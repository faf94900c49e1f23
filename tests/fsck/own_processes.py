# SPDX-License-Identifier: MIT
"""A test that is alone with its processes.

xlfsck --libxl looks among all processes that /proc shows for one that may be creating a domain. Tests play such a
process, and beside them others run that expect none.
"""

import os
import shutil
import subprocess
import sys


def begin_alone():
    """The program that calls this is begun once more in a pid namespace of its own, if this system allows it."""
    if os.environ.get("XLSTORE_ALONE") or not shutil.which("unshare"):
        return
    words = ["unshare", *([] if os.geteuid() == 0 else ["--user", "--map-current-user"]), "--pid", "--fork", "--mount-proc",
             "--kill-child"]
    if subprocess.run([*words, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
        os.execvpe(words[0], [*words, sys.executable, *sys.argv], {**os.environ, "XLSTORE_ALONE": "1"})
