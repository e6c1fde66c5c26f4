# This cell does nothing where coldlab is installed. In Colab or a bare kernel it
# installs coldlab and whatever coldlab still needs; torch, torchvision and numpy
# stay at the versions you have.
import importlib
import subprocess
import sys
from importlib import metadata, util

if util.find_spec("coldlab") is None:
    held = ("torch", "torchvision", "numpy")
    held = [f"{n}=={metadata.version(n)}" for n in held if util.find_spec(n)]
    wanted = ["coldlab @ git+https://github.com/OWNER/coldlab", *held]
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-color", *wanted]
    pip = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if pip.returncode:
        told = [line.strip() for line in pip.stderr.splitlines() if line.strip()]
        reasons = [line for line in told if line.startswith(("fatal:", "ERROR:"))]
        reasons = [line for line in reasons if "Ignored" not in line]
        reason = (reasons or told[-1:] or [""])[0][:200]
        sys.exit(
            f"coldlab could not be installed. {reason} Is there a network? "
            "Then run this cell again."
        )
    importlib.invalidate_caches()
