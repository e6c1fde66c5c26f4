"""Begin a chapter: a source with every part that a chapter has, and its line in the table of contents.

    python tools/chapter.py your_chapter  # make chapter NAME=your_chapter: book/11_your_chapter.py

What stands in it runs and passes the book's tests of form; every sentence of it is there to be replaced.
"""

import re
import sys
from pathlib import Path

import chapters
import console
import stamp

from coldlab import storage

BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
COLAB = "https://colab.research.google.com/github/{slug}/blob/main/book/{stem}.ipynb"

TEMPLATE = """# %% [markdown]
# # {title}
#
# [![Open in Colab]({badge})]({colab})
#
# **After this chapter you can** do this, decide that, and say why.
#
# **You need** [chapter 1](01_degradations.ipynb): what D is.
#
# **It takes** 20 minutes to read; the cells run in about 10 s on two CPU cores, measured. No GPU.

# %% tags={install_tags}
{install_cell}

# %% [markdown]
# One paragraph: what the chapter is about, and why one would want to know.

# %%
from coldlab import data, metrics, plots
from coldlab.data import to_float, to_unit
from coldlab.degradations import make

DATASET = "digits"  # or "mnist", or the path of a folder of your own images

images, _ = data.load(DATASET, "test", size=32)
x0 = to_float(images[:8])  # (8, 1, 32, 32), in [-1, 1]
print(tuple(x0.shape))

# %% [markdown]
# ## A puzzle first
#
# A question that the next figure answers. **Write your guess down before you look:** which of two blurs moves the
# digits further, the first or the second?

# %%
D = make("blur", 32)
once, twice = D(x0, 1), D(x0, 2)

# %% tags=["hide-input", "plot"]
plots.rows(
    {{"clean": x0, "t = 1": once, "t = 2": twice}},
    alt="Three rows of eight digits: clean, blurred once, blurred twice. "
    "What readers who do not see it must know.",
)

# %% [markdown]
# The reading of the figure, right below it. Each number in a sentence is asserted by the Check that follows: the first
# blur moves the digits further than the second.

# %% tags=["hide-cell", "check"]
first = metrics.rmse(to_unit(once), to_unit(x0))
second = metrics.rmse(to_unit(twice), to_unit(once))
assert first > second

# %% [markdown]
# ## What goes wrong
#
# **A mistake that one really makes.** Its symptom, shown.

# %% [markdown]
# ## Exercises
#
# > **Exercise 1.** Write a line of the real thing. A cell says right or wrong.

# %% tags=["hide-cell", "solution"]
print("right")

# %% [markdown]
# > **Exercise 2.** Predict, then measure.

# %% tags=["hide-cell", "solution"]
print("measured")

# %% [markdown]
# > **Exercise 3.** Go on from here.

# %% tags=["hide-cell", "solution"]
print("gone on")

# %% [markdown]
# ## Recap
#
# - One line for each thing that a reader takes home.
#
# **Further reading.** A. Bansal et al., [Cold Diffusion](https://arxiv.org/abs/2208.09392).
"""


def begin(name: str, root: Path = chapters.ROOT) -> Path:
    """Write the source of the next chapter and enter it in _toc.yml. Exits with a reason where that cannot be."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        sys.exit(f"{name!r} is no name of a chapter; take lower-case letters, digits and _, such as blur_or_noise")
    known = chapters.sources(root)
    if any(source.stem[3:] == name for source in known):
        sys.exit(f"there is a chapter called {name} already")
    stem = f"{int(known[-1].stem[:2]) + 1 if known else 1:02d}_{name}"
    source = TEMPLATE.format(
        title=name.replace("_", " ").capitalize(),
        badge=BADGE,
        colab=COLAB.format(slug="/".join(stamp.current(root).group("owner", "name")), stem=stem),
        install_tags=str(chapters.INSTALL_TAGS).replace("'", '"'),
        install_cell=chapters.INSTALL_CELL.read_text(encoding="utf-8").rstrip("\n"),
    )
    contents = root / "_toc.yml"
    lines = contents.read_text(encoding="utf-8").splitlines(keepends=True)
    last = max(i for i, line in enumerate(lines) if re.search(r"file: book/\d\d_", line))
    lines.insert(last + 1, f"      - file: book/{stem}\n")
    path = root / "book" / f"{stem}.py"
    storage.write_text(path, source)
    storage.write_text(contents, "".join(lines))
    return path


def main(names: list[str]) -> int:
    if len(names) != 1:
        sys.exit("name one chapter: make chapter NAME=your_chapter")
    path = begin(names[0])
    print(f"{path.relative_to(chapters.ROOT)} is there and in _toc.yml. make execute CHAPTER={path.stem} runs it.")
    return 0


if __name__ == "__main__":
    console.degrade()
    sys.exit(main(sys.argv[1:]))
