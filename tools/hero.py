"""Draw the picture of the README and of the book's first page: book/static/hero.png."""

from pathlib import Path

import torch

import coldlab
from coldlab import data, plots, sampling

R = coldlab.load_pretrained("digits-blur")
D = R.D
images, labels = data.load("digits", "test")
x0 = data.to_float(torch.stack([images[labels == digit][2] for digit in (3, 5)]))
rows = {}
for name, sampler in {"Algorithm 1": sampling.naive, "Algorithm 2": sampling.improved}.items():
    states = {D.T: D(x0, D.T)} | {r: x for r, x, _ in sampler(R, D, D(x0, D.T))}
    rows[name] = torch.cat([torch.stack([states[t][k] for t in (20, 16, 10, 5, 2, 0)]) for k in range(len(x0))])
alt = "Two digits restored from blur, by Algorithm 1 above and Algorithm 2 below, from severity 20 to 0."
plots.rows(rows, alt, scale=2).save(Path(__file__).resolve().parent.parent / "book/static/hero.png")
