"""Prints the newest released Python of this machine that runs: of those on the PATH and of version managers'."""

import glob
import os
import re
import subprocess
import sys

MANAGERS = (
    os.path.join(os.environ.get("PYENV_ROOT", "~/.pyenv"), "versions/*/bin"),
    "~/.local/share/uv/python/*/bin",
    "~/.local/share/mise/installs/python/*/bin",
    "~/.asdf/installs/python/*/bin",
    "/opt/python/*/bin",
)
ASK = "import sys, ensurepip, venv; v = sys.version_info; print(v.major, v.minor, v.micro, v.releaselevel == 'final')"


def version(python):
    """(3, minor, micro) of an executable; None where it does not run, cannot make environments, or is no release."""
    try:
        asked = subprocess.run([python, "-I", "-c", ASK], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    numbers = asked.stdout.split()
    released = asked.returncode == 0 and len(numbers) == 4 and numbers[3] == "True"
    return tuple(map(int, numbers[:3])) if released else None


folders = os.environ.get("PATH", "").split(os.pathsep)
folders += [folder for pattern in MANAGERS for folder in glob.glob(os.path.expanduser(pattern))]
pythons = [path for folder in folders for path in glob.glob(os.path.join(folder, "python3.*"))]
pythons = [sys.executable, *(p for p in pythons if re.fullmatch(r"python3\.\d+", os.path.basename(p)))]
print(max((v, python) for python in dict.fromkeys(pythons) if (v := version(python)))[1])
