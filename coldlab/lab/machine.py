"""What a number was made on: the hardware, the versions, the commit. And which device to use.

The idea that holds this file together: a result without its machine cannot be compared, so both are written together.
"""

import platform
import subprocess
from pathlib import Path

import torch

from .. import __version__
from ..errors import ColdlabError


def pick_device(name=None):
    """The device asked for, or a CUDA GPU where there is one, else the CPU.

    Apple's GPUs are taken only where they are asked for: nothing of coldlab has been measured on one.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # which "meta" cannot
    except (RuntimeError, AssertionError, NotImplementedError, ImportError, AttributeError):
        raise ColdlabError(f"device {name!r} is not available here; --device cpu always is.") from None
    return device


def machine(device):
    """The hardware and the versions that a number was made with."""
    return {
        "commit": commit(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def commit():
    """The commit of this checkout of coldlab ("+" if changed since), or its version where it was installed."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:  # an environment may lie inside another project's checkout, whose commit says nothing
        subprocess.run([*git, "ls-files", "--error-unmatch", "machine.py"], capture_output=True, check=True)
        describe = [*git, "describe", "--always", "--abbrev=40", "--dirty=+", "--exclude=*"]
        return subprocess.run(describe, capture_output=True, text=True, check=True, errors="replace").stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return f"coldlab {__version__}"


def cpu_name():
    try:  # platform.processor() is empty on Linux
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
