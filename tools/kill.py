"""Kill a short run at random moments, resume it, and compare its weights with those of an undisturbed run, bit for bit.

    python tools/kill.py [KILLS=10] [SEED=0]

Each killed run gets SIGKILL once, at a moment drawn from the time that the undisturbed run took, start-up included.
"""

import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import console
import torch

from coldlab import checkpoints

COMMAND = [sys.executable, "-m", "coldlab", "train", "--steps", "120", "--save-every", "5", "--batch", "16"]
COMMAND += ["--width", "8", "--mults", "1", "1", "--attention", "--device", "cpu"]


def start(out, *more):
    silent = dict(stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return subprocess.Popen([*COMMAND, "--out", str(out), *more], **silent, text=True, errors="replace")


def finish(process):
    errors = process.communicate()[1]
    if process.returncode:
        raise SystemExit(f"a run that was not killed failed:\n{errors}")


def result(out):
    """Every tensor of the last state, and the published weights."""
    _, state, _ = checkpoints.load_state(out / "step-0000120.pt")
    moments = [v for values in state.optimizer.state_dict()["state"].values() for v in values.values()]
    published = checkpoints.load_weights(out / "model.safetensors")
    return [*state.R.parameters(), *state.ema.parameters(), *moments, *published.parameters()]


def same(a, b):
    return all(torch.equal(p, q) for p, q in zip(a, b, strict=True))


def main(kills=10, seed=0):
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        began = time.monotonic()
        finish(start(whole))
        seconds = time.monotonic() - began
        for k in range(kills):
            out, moment = Path(folder) / f"killed-{k}", chance.uniform(0, seconds)
            process = start(out)
            time.sleep(moment)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            states = sorted(path.stem for path in out.glob("step-*.pt"))
            finish(start(out, "--resume") if states else start(out))  # killed before its first checkpoint: again
            equal = same(result(out), result(whole))
            print(f"killed after {moment:5.1f} s at {states[-1] if states else 'no checkpoint'}: same bits {equal}")
            if not equal:
                raise SystemExit("the resumed run differs")


if __name__ == "__main__":
    console.degrade()
    main(*map(int, sys.argv[1:]))
