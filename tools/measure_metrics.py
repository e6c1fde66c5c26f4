"""Measure on MNIST what chapter 7 says about metrics; writes results/metrics-mnist.json.

    python tools/measure_metrics.py                     # about half an hour on one core, nearly all of it restoration
    python tools/measure_metrics.py --rows rows.pt      # keeps the restored images in that file, and uses them again

The 10,000 test images are degraded by the blur of mnist-blur and restored directly and by both algorithms.
"""

import argparse
import hashlib
import time
from pathlib import Path

import torch

from coldlab import checkpoints, evaluation

ROOT = Path(__file__).resolve().parent.parent
NETWORK = "mnist-blur"


def restored(cache):
    """(the rows of all test images, seconds that they took, SHA-256 of the weights)."""
    weights = hashlib.sha256((checkpoints.WEIGHTS / f"{NETWORK}.safetensors").read_bytes()).hexdigest()
    if cache and cache.exists():
        rows, seconds, made_with = torch.load(cache, weights_only=True)
        if made_with == weights:
            return rows, seconds, weights
    R, started = checkpoints.load_pretrained(NETWORK), time.perf_counter()
    rows = evaluation.restored(R, R.D, evaluation.images_for(R, "mnist"))
    seconds = time.perf_counter() - started
    if cache:
        torch.save((rows, seconds, weights), cache)
    return rows, seconds, weights


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=Path, help="keep the restored images in this file, or take them from it")
    cache = parser.parse_args().rows
    rows, seconds, weights = restored(cache)


if __name__ == "__main__":
    main()
