"""Draw the picture of the README and of the book's first page, book/static/hero.png: the first ten test digits."""

import io
from pathlib import Path

import coldlab
from coldlab import data, evaluation, plots, storage

R = coldlab.load_pretrained("digits-blur")
pictures = evaluation.compare(R, R.D, data.to_float(data.load("digits", "test")[0][:10]))
pictures = {name: pictures[name] for name in ("degraded", "direct", "Algorithm 1", "Algorithm 2", "original")}
alt = "Ten blurred digits that look like grey squares, restored directly, by Algorithm 1 and 2, and the originals."
plots.rows(pictures, alt).save(drawn := io.BytesIO())
storage.write(Path(__file__).resolve().parent.parent / "book/static/hero.png", drawn.getvalue())
