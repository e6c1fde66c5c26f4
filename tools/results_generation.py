"""The sections on new digits and new faces of the page of results."""

from pathlib import Path

import comparison
from cells import CHART, chart, drawn, spanned

from coldlab import plots
from coldlab.lab import studies
from coldlab.lab.studies import STUDIES, measures

RESULTS = Path(__file__).resolve().parent.parent / "results"


REAL = "training images"  # the row of real images that are no test images
# The attempts that the figure and the short table name: what they are called there, and where, in points from the dot.
NAMED = {
    REAL: ("real", (0, 9), "center"),
    studies.PAPER: ("mean alone", (8, 6), "left"),
    studies.BROKEN: ("mean, noise", (8, 6), "left"),
    "nine numbers, 1 Gaussian": ("1 Gaussian", (-9, -4), "right"),
    "nine numbers, 20 Gaussians": ("20 Gaussians", (-8, -11), "right"),
    "3 calls": ("the same, 3 calls", (9, -15), "left"),
    studies.ONE: ("cool, 1 call", (-8, 5), "right"),
    studies.BEST: ("cool, 3 calls", (0, 10), "center"),
    "hot, 50 calls": ("hot", (0, -20), "center"),
}
CLOSED = "````"


def rows_of(run):
    """{attempt: its values}, real images first."""
    return {**run["real"], **{attempt["attempt"]: attempt for attempt in run["attempts"]}}


def spread(run):
    """The figure of precision against recall, with 95 % intervals: what is recognisable, and what is varied."""
    fig, ax = plots.figure(CHART, 4.2)
    rows = rows_of(run)
    for name, row in rows.items():
        kind = "real" if name in run["real"] else "hot" if row.get("network", "").startswith("hot") else "cold"
        colour = {"real": plots.TEXT, "hot": plots.COLOURS["vermillion"], "cold": plots.COLOURS["blue"]}[kind]
        mark = {"real": "s", "hot": "^", "cold": "o"}[kind]
        ends = [[[abs(row[key] - end)] for end in row["intervals"][key]] for key in ("recall", "precision")]
        style = dict(color=colour, markersize=7 if name in NAMED else 4, alpha=1 if name in NAMED else 0.5)
        ax.errorbar(row["recall"], row["precision"], ends[1], ends[0], fmt=mark, elinewidth=0.7, **style)
        if name in NAMED:
            label, place, side = NAMED[name]
            put = dict(xytext=place, textcoords="offset points", ha=side, fontsize=10)
            ax.annotate(label, (row["recall"], row["precision"]), **put)
    for mark, kind in (("o", "cold"), ("^", "hot"), ("s", "real images")):
        colour = {"cold": plots.COLOURS["blue"], "hot": plots.COLOURS["vermillion"]}.get(kind, plots.TEXT)
        ax.plot([], [], mark, color=colour, linestyle="none", label=kind)
    ax.set(xlabel="recall: share of the real ones that is covered", ylabel="precision: share near real ones")
    ax.set(xlim=(-0.03, 1), ylim=(None, 1))
    ax.tick_params(labelsize=10)
    ax.legend(loc="lower right", fontsize=10, frameon=False)
    return plots.Picture(fig, spread_alt(run))


def spread_alt(run):
    told = (f"{NAMED[name][0]} {row['precision']:.2f} and {row['recall']:.2f}"
            for name, row in rows_of(run).items() if name in NAMED)  # fmt: skip
    return f"Precision against recall of generated digits, a dot for each attempt: {'; '.join(told)}."


def generation(found, runs, paper):
    if (run := found.get("generation-mnist")) is None:
        return
    rows = rows_of(run)
    yield from ("## New digits", "", *trained(run, ", explained in [chapter 6](06_generation.ipynb)"))
    short = {f"**{label}** ({name})": rows[name] for name, (label, *_) in NAMED.items() if name in rows}
    yield from ("", *judged(run, short, ("recognised", "entropy", "frechet", "precision", "recall")), "")
    yield from chart("generation-mnist-spread", spread_alt(run))
    yield from (
        "",
        *drawn(
            "generation-mnist",
            "Rows of generated digits, one attempt each: blots and bars from the mean alone, whole digits of all "
            "kinds where nine numbers are drawn or noise is undone; last, real ones.",
        ),
    )
    yield from (
        "",
        CLOSED + "{dropdown} Every attempt, what a draw is worth, and which digits come",
        *judged(run, rows),
    )
    yield from again(run)
    yield from ("", "Which digits the classifier reads in them, in percent:", "")
    yield from ("| attempt | " + " | ".join(str(k) for k in range(10)) + " |", "|---|" + "---:|" * 10)
    for name in STUDIES["generation-mnist"].shown.values():
        if name in rows:
            histogram = rows[name]["histogram"]
            yield "| " + " | ".join([name, *(f"{100 * v / sum(histogram):.1f}" for v in histogram)]) + " |"
    yield CLOSED
    yield from memory(run)


def faces(found, runs, paper):
    if (run := found.get("generation-celeba-64")) is None:
        return
    yield from (*trained(run), "")
    rows = rows_of(run)
    itself = {name: row for name, row in rows.items() if name in run["real"] and row["recall"] == 1}  # no reference
    yield from judged(run, {name: row for name, row in rows.items() if name not in itself})
    if itself:
        (real,) = itself.values()
        yield from ("", f"Two real faces differ by {real['spread']:.3f} on average (*spread*).")
    yield from ("", *lacking(run))
    yield from again(run)
    yield ""
    yield from drawn(
        "generation-celeba-64",
        "Rows of faces: one in many colours; with noise dark shapes; different ones, striped or soft; real.",
    )
    yield from memory(run)


def lacking(run):
    """What an older measurement does not have, said."""
    if not any("intervals" in row for row in run["attempts"]):
        yield "These rows have no intervals: small differences between them may be ties."
    if "training images" not in run["real"]:
        yield "What a generator would get that returns real training faces was not measured here,"
        yield "so the rows of restored images are the yardstick."
    if "copies" not in run:
        yield "Copies of training images were not searched for."


def trained(run, more=""):
    """The command, and what the networks saw."""
    seen = ", ".join(f"{net['images_seen']:,} images ({name})" for name, net in run["networks"].items())
    yield f"`{run['command']}`{more}. The networks saw {seen}."


def judged(run, rows, only=()):
    """A row for each of these attempts; only: the measures to be shown, without the number of images."""
    keys = {key: form for key, form in measures(run).items() if not only or key in only}
    titles = [{"frechet": f"Fréchet ({run['classifier']})", "entropy": "class entropy"}.get(k, k) for k in keys]
    searched = not only and all("copies" in values for values in rows.values())
    yield f"| attempt |{' images |' * (not only)} {' | '.join(titles)} |" + " taken for copies |" * searched
    yield "|---|" + "---:|" * (len(keys) + searched + (not only))
    for name, values in rows.items():
        count = values.get("count", run.get("images_of_each"))
        cells = [name] if only else [name, f"{count:,}" if count else ""]
        for key, form in keys.items():
            spans = values.get("intervals", {})
            cells.append(spanned(values[key], spans[key], form) if key in spans else f"{values[key]:{form}}")
        if searched:
            cells.append("{pixels:.1%} / {features:.1%}".format(**values["copies"]))
        yield "| " + " | ".join(cells) + " |"


def again(run):
    """What several draws of the same attempts gave."""
    drawn = {name: values["seeds"] for name, values in rows_of(run).items() if "seeds" in values}
    if not drawn:
        return
    yield from ("", "Drawn anew, the same attempts give (lowest to highest of the draws):", "")
    keys = {key: form for key, form in measures(run).items() if key in next(iter(drawn.values()))[0]}
    yield f"| attempt | draws | {' | '.join(keys)} |"
    yield "|---|---:|" + "---:|" * len(keys)
    for name, draws in drawn.items():
        ends = [[f"{end(d[key] for d in draws):{form}}" for end in (min, max)] for key, form in keys.items()]
        yield "| " + " | ".join([name, str(len(draws)), *(f"{low} to {high}" for low, high in ends)]) + " |"


def draw(found):
    """Write the section's own figure."""
    if (run := found.get("generation-mnist")) is not None:
        comparison.save(RESULTS / "generation-mnist-spread.png", spread(run))


def memory(run):
    """What the search for copies is worth: what it catches of forged ones, and of restored images that are none."""
    if "copies" not in run:
        return
    found = run["copies"]
    moves = f"moved by up to {found['shift']} pixels" + " or mirrored" * found["mirror"]
    yield from (
        "",
        f"Is an image a copy of a training image, even {moves}? What the search makes of images that are known:",
        "",
    )
    yield from ("| images | taken for copies by pixels | by features |", "|---|---:|---:|")
    for name, share in found["taken_for_copies"].items():
        yield f"| {name} | {share['pixels']:.1%} | {share['features']:.1%} |"
    image = f"{run['name']}-nearest"
    if (RESULTS / f"{image}.webp").exists():
        yield from ("", *drawn(image, "Generated images, and below each the training image that it resembles most."))
