"""The section on the number of calls: a figure from all manifests that visited fewer severities, and its table."""

import comparison
from cells import CHART, RMSE, SSIM, chart, distance_of, labelled, of, what

from coldlab import plots

ROWS = {"Algorithm 2": "-", "averaged": (0, (4, 2))}


def curves(runs):
    """{title: {row: (calls, RMSE over that of one call, the same of the distance)}} of the runs that the page shows."""
    told = {}
    for name, run in runs.items():
        if not run.get("calls") or what(name).brief or what(name).title in told:
            continue
        direct, distance, rows = run["metrics"]["direct"], distance_of(run), {}
        for row in ROWS:
            found = {int(n): there[row] for n, there in run["calls"].items() if row in there}
            found |= {run["T"]: run["metrics"][row]} if row in run["metrics"] else {}
            if found:
                ratios = [[values[m] / direct[m] for values in found.values()] for m in ("rmse", distance) if m]
                rows[row] = ([1, *found], *([1.0, *ratio] for ratio in ratios))
        told[what(name).title] = rows
    return told


def alt(told):
    ends = (
        f"{task} {' and '.join(f'{found[1][-1]:.2f} ({row})' for row, found in rows.items())}"
        for task, rows in told.items()
    )
    return (
        f"RMSE and Fréchet distance over those of one call, against the calls. RMSE with all calls: {'; '.join(ends)}."
    )


def draw(told):
    """Two panels with one axis of calls: what each further call does to the RMSE, and to the distance."""
    fig, axes = plots.figure(CHART, 5.6, 2, 1)
    for k, (ax, label) in enumerate(zip(axes, ("RMSE / one call's", "distance / one call's"), strict=True)):
        ax.axhline(1, color=plots.TEXT, lw=0.6)
        for (task, rows), colour in zip(told.items(), plots.COLOURS.values(), strict=False):
            for row, found in rows.items():
                if len(found) > k + 1:
                    name = task if row == next(iter(rows)) and k == 0 else None
                    ax.plot(found[0], found[k + 1], color=colour, linestyle=ROWS[row], marker="o", ms=3.5, label=name)
        ax.set(xscale="log", ylabel=label, xticks=[1, 2, 3, 5, 10, 20, 50, 100])
        ax.set_xticklabels(["1", "2", "3", "5", "10", "20", "50", "100"])
        ax.minorticks_off()
        ax.tick_params(labelsize=10)
    axes[1].set(yscale="log", xlabel="calls of R (whole: Algorithm 2, dashed: averaged)")
    low, high = axes[1].get_ylim()
    heights = [v for v in (0.25, 0.5, 1, 2, 4) if low < v < high]
    axes[1].set_yticks(heights, [f"{v:g}" for v in heights])
    axes[1].minorticks_off()
    fig.legend(loc="outside upper center", ncols=1, fontsize=10, handlelength=1.2)
    return plots.Picture(fig, alt(told))


def calls(found, runs, paper):
    if told := curves(runs):
        yield from (*chart("calls", alt(told)), "")
    yield from ("````{dropdown} RMSE / SSIM / Fréchet distance of all runs", *table(runs), "````")


def table(runs):
    runs = {name: run for name, run in runs.items() if run.get("calls")}
    counts = list(dict.fromkeys(n for run in runs.values() for n in run["calls"]))
    yield f"| | direct | {' | '.join(f'{n} calls' for n in counts)} | every severity |"
    yield "|---" * (len(counts) + 3) + "|"
    for name, run in runs.items():
        forms = (RMSE, SSIM, (distance_of(run), ".2f"))
        for row in dict.fromkeys(row for there in run["calls"].values() for row in there):
            cells = [of(run["calls"].get(n, {}), row, *forms) for n in counts]
            last = f"{of(run, row, *forms)} ({run['T']})"
            yield "| " + " | ".join([f"{labelled(name, run)}, {row}", of(run, "direct", *forms), *cells, last]) + " |"


def save(folder, runs):
    """Write the section's figure."""
    if told := curves(runs):
        comparison.save(folder / "calls.png", draw(told))
