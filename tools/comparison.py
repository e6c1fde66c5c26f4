"""Our results against the paper's, as marks and as a figure: the first screen of the results page."""

from cells import CHART

from coldlab import plots
from coldlab.lab import experiments

MET, PART, MISSED = "✓\N{NO-BREAK SPACE}met", "◐\N{NO-BREAK SPACE}in\N{NO-BREAK SPACE}part", "✗\N{NO-BREAK SPACE}missed"
WAYS = ("Algorithm 2", "last prediction", "averaged")
SETTINGS = {"Software": None}  # the same bytes on every version


def title(name):
    return experiments.experiment(name).title


def compared(run, beside):
    """[(row, ours, theirs, mark), ...]: direct, Algorithm 2, and the best of our samplers beside the paper's sampled.

    ours: the row's measures; theirs: the paper's, empty where it has no such task. The best is the one with the
    smallest RMSE at the paper's number of calls.
    """
    best = min((row for row in WAYS if row in run["metrics"]), key=lambda row: run["metrics"][row]["rmse"], default="")
    rows = [("direct", "direct"), ("Algorithm 2", "sampled"), (best, "sampled")]
    measures = run["metrics"]
    return [
        (row, measures[row], beside.get(theirs, {}), verdict(measures[row], beside[theirs]) if beside else "")
        for row, theirs in rows
        if row in measures
    ]


def verdict(ours, cells):
    """Are RMSE and SSIM, to three digits, at least as good as the paper's? † where its values were recalled only."""
    good = [round(ours["rmse"], 3) <= cells["rmse"][0], round(ours.get("ssim", 0), 3) >= cells["ssim"][0]]
    mark = MET if all(good) else PART if any(good) else MISSED
    return mark + "†" * ("R" in (cells["rmse"][1], cells["ssim"][1]))


MARKS = {  # of the figure, from the images as they come to what is restored: form, filled, whose
    "degraded": ("|", False, "none"),
    "the inverse alone": ("x", False, "none"),
    "ours, told of 8 bits": ("s", False, "ours"),
    "ours, best sampler": ("o", False, "ours"),
    "ours, one call": ("o", True, "ours"),
    "the paper, sampled": ("D", False, "paper"),
    "the paper, one call": ("D", True, "paper"),
}
HUES = {"none": plots.TEXT, "ours": plots.COLOURS["blue"], "paper": plots.COLOURS["vermillion"]}


def points(found, runs, paper):
    """{title: {mark: RMSE}} of the tasks that the paper has; † where its values were recalled only."""
    alone, told = found.get("inverse", {}).get("experiments", {}), {}
    for name, run in runs.items():
        beside = paper.get(experiments.experiment(name).preset)
        if not beside or experiments.experiment(name).brief:
            continue
        rows = compared(run, beside)
        dots = {"degraded": run["metrics"]["degraded"]["rmse"]} if "degraded" in run["metrics"] else {}
        if name in alone:
            dots["the inverse alone"] = alone[name]["metrics"]["float32"]["rmse"]
        if "eight_bits" in run:
            dots["ours, told of 8 bits"] = run["eight_bits"]["told"]["direct"]["rmse"]
        dots |= {"ours, best sampler": rows[-1][1]["rmse"], "ours, one call": rows[0][1]["rmse"]}
        dots |= {
            f"the paper, {way}": beside[row]["rmse"][0] for way, row in (("sampled", "sampled"), ("one call", "direct"))
        }
        recalled = "R" in (beside["direct"]["rmse"][1], beside["sampled"]["rmse"][1])
        told.setdefault(title(name) + "†" * recalled, dots)
    return told


def alt(told):
    pairs = (
        f"{task} {dots['ours, one call']:.3f} against {dots['the paper, one call']:.3f}" for task, dots in told.items()
    )
    return f"A row for each task, RMSE to the right; one call of ours against one of the paper's: {'; '.join(pairs)}."


def draw(found, runs, paper):
    """The figure of `points`: a row for each task, a dot for each RMSE, ours above the line and the paper's below."""
    told = points(found, runs, paper)
    fig, ax = plots.figure(CHART, 1.3 + 0.62 * max(1, len(told)))
    for row, dots in enumerate(told.values()):
        ax.axhline(row, color=plots.TEXT, lw=0.4, alpha=0.5)
        for mark, value in dots.items():
            form, full, whose = MARKS[mark]
            place = row + {"ours": -0.16, "paper": 0.16, "none": 0}[whose]
            ax.plot(value, place, form, color=HUES[whose], markersize=8, fillstyle="full" if full else "none", mew=1.5)
    labels = [task.replace(", ", "\n", 1) for task in told]
    ax.set(yticks=range(len(told)), yticklabels=labels, ylim=(len(told) - 0.5, -0.5), xlim=(0, None), xlabel="RMSE")
    ax.tick_params(axis="y", length=0, labelsize=10.5)
    ax.tick_params(axis="x", labelsize=10.5)
    ax.xaxis.label.set_size(11)
    ax.spines["left"].set_visible(False)
    for mark, (form, full, whose) in MARKS.items():
        shape = dict(color=HUES[whose], fillstyle="full" if full else "none", markersize=8, mew=1.5, linestyle="none")
        ax.plot([], [], form, label=mark, **shape)
    fig.legend(loc="outside upper center", ncols=2, fontsize=10, handletextpad=0.2, columnspacing=1.0)
    return plots.Picture(fig, alt(told))


def save(path, picture):
    """Write the figure with what it shows beside its pixels, so that a test sees whether it is older than its runs."""
    picture.figure.savefig(path, dpi=plots.DPI, metadata=SETTINGS | {"Description": picture.alt})
