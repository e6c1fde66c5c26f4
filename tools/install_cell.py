# This cell does nothing where coldlab is installed. In Colab or a bare kernel it installs coldlab and whatever coldlab
# still needs; torch, torchvision and numpy stay at the versions you have.
import importlib
import subprocess
import sys
from importlib import metadata, util

if util.find_spec("coldlab") is None:
    held = [f"{name}=={metadata.version(name)}" for name in ("torch", "torchvision", "numpy") if util.find_spec(name)]
    wanted = ["coldlab @ git+https://github.com/OWNER/coldlab", *held]
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-color", *wanted]
    pip = subprocess.run(install, capture_output=True, text=True, errors="replace")
    if pip.returncode:
        told = [line.strip() for line in pip.stderr.splitlines() if line.strip()]
        reasons = [line for line in told if line.startswith(("fatal:", "ERROR:")) and "Ignored" not in line]
        reason = (reasons or told[-1:] or [""])[0][:200]
        sys.exit(f"coldlab could not be installed. {reason} Is there a network? Then run this cell again.")
    importlib.invalidate_caches()
