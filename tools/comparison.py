"""Our results against the paper's, as marks and as a figure: the first screen of the results page."""

from coldlab import plots
from coldlab.lab import experiments

MET, PART, MISSED = "✓ met", "◐ in part", "✗ missed"
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


def points(found, runs, paper):
    """(ours, theirs): {title: (images seen, direct RMSE, RMSE of the best sampler)} of the tasks that the paper has."""
    seen, ours, theirs = found["paper"]["images_seen"], {}, {}
    for name, run in runs.items():
        beside = paper.get(experiments.experiment(name).preset)
        if beside and not experiments.experiment(name).brief:
            rows = compared(run, beside)
            ours[title(name)] = (run["images_seen"], rows[0][1]["rmse"], rows[-1][1]["rmse"])
            numbers = [beside[row]["rmse"][0] for row in ("direct", "sampled")]
            theirs[title(name)] = (seen.get(run["config"]["degradation"], seen["blur"]), *numbers)
    return ours, theirs


def alt(ours, theirs):
    told = (f"{task} {ours[task][1]:.3f} against {theirs[task][1]:.3f}" for task in ours)
    return f"RMSE against images seen, ours and the paper's. Direct: {'; '.join(told)}."


def draw(found, runs, paper):
    """The figure of `points`: a panel for each set, a colour for each task, a line from ours to the paper's."""
    ours, theirs = points(found, runs, paper)
    sets = list(dict.fromkeys(task.partition(",")[0] for task in ours))
    fig, axes = plots.figure(7.2, 3.6, 1, max(1, len(sets)))
    for ax, name in zip([axes] if len(sets) < 2 else axes, sets, strict=True):
        tasks = [task for task in ours if task.startswith(f"{name},")]
        for number, (task, colour) in enumerate(zip(tasks, plots.COLOURS.values(), strict=False)):
            (few, *mine), (many, *others) = ours[task], theirs[task]
            for k, fill in enumerate((colour, "none")):
                marks = dict(color=colour, markerfacecolor=fill, markersize=6.5, linestyle="none")
                ax.plot([few, many], [mine[k], others[k]], color=colour, lw=0.8, linestyle="-" if k == 0 else ":")
                ax.plot(few, mine[k], "o", **marks)
                ax.plot(many, others[k], "D", **marks)
            y, up = (
                (max(mine), 8) if number % 2 else (min(mine), -14)
            )  # above and below in turn, out of each other's way
            where = dict(xytext=(0, up), textcoords="offset points", color=colour, fontsize=9)
            ax.annotate(task.partition(", ")[2], (few, y), **where)
        ax.set(xscale="log", xlabel="images seen", xlim=(1.5e5, 1e8), ylim=(0, None))
        ax.set_title(name, fontsize=10.5)
    fig.axes[0].set_ylabel("RMSE")
    kinds = {"ours, direct": "o", "ours, sampled": "o", "paper, direct": "D", "paper, sampled": "D"}
    for label, mark in kinds.items():
        fill = "full" if label.endswith("direct") else "none"
        fig.axes[0].plot([], [], mark, color=plots.TEXT, fillstyle=fill, label=label, linestyle="none")
    fig.legend(loc="outside upper center", ncols=4, fontsize=9, handletextpad=0.2)
    return plots.Picture(fig, alt(ours, theirs))


def save(path, picture):
    """Write the figure with what it shows beside its pixels, so that a test sees whether it is older than its runs."""
    picture.figure.savefig(path, dpi=plots.DPI, metadata=SETTINGS | {"Description": picture.alt})
