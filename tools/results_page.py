"""Write book/results.md and book/models.md from the manifests in results/, and from nothing else.

    python tools/results_page.py

Every number on the two pages comes from a manifest; what the paper reports from results/paper.json. A test writes
them again and compares, so that a page cannot be older than its runs.
"""

import dataclasses
import json
from pathlib import Path

import comparison
import console
import results_beyond
import results_calls
import results_generation
import verdict
from cells import (
    RMSE,
    SSIM,
    chart,
    distance_of,
    drawn,
    labelled,
    made,
    of,
    paper_cell,
    parts,
    sampled,
    signed,
    what,
    within,
)
from claims import order
from results_calls import calls
from results_recipes import recipes

from coldlab import storage
from coldlab.lab import experiments
from coldlab.lab.measurements import MEASUREMENTS
from coldlab.lab.reproduce import SPOTS
from coldlab.lab.studies import STUDIES
from coldlab.training import Config

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
LICENCES = {
    "digits": "scikit-learn's copy of the UCI optical digits, CC BY 4.0",
    "mnist": "MNIST, CC BY-SA 3.0",
    "cifar10": "CIFAR-10; its authors ask to be cited and name no licence",
    "celeba": "CelebA, for non-commercial research only",
}
PAGES = {"results": "book/results.md", "models": "book/models.md"}


def doubted(beside, measure):
    """Does the paper's table, as it is quoted, hold the RMSE of a row a second time, as its SSIM?"""
    return measure == "ssim" and measure in beside and beside["ssim"][0] == beside.get("rmse", (None,))[0]


def table(run, paper):
    """The rows of one run: value and interval of each measure; where there is a paper's, it and the difference."""
    distance = distance_of(run)
    columns = ["images", "RMSE", "SSIM", distance or "Fréchet distance"]
    if paper:
        columns = ["images", "RMSE", "paper", "SSIM", "paper", columns[-1]]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    theirs = {"degraded": "degraded", "direct": "direct", sampled(run): "sampled"}
    for row, values in run["metrics"].items():
        cells, spans = [row], run["intervals"][row]
        beside = paper.get(theirs.get(row), {})
        for measure in ("rmse", "ssim"):
            cells.append(within(values[measure], spans[measure], ".3f") if measure in values else "")
            there = beside.get(measure)
            sure = there and there[1] != "R" and not doubted(beside, measure)
            difference = f" ({signed(values[measure] - there[0])})" if sure else ""
            difference = difference or " (doubted: *One cell*, below)" * doubted(beside, measure)
            if paper:
                cells.append(paper_cell(there, ".3f") + difference if there else "")
        if distance:
            cells.append(
                within(values[distance], spans[distance], ".2f") if distance in spans else f"{values[distance]:.2f}"
            )
        else:
            cells.append("no classifier")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def overview(found, runs, paper):
    runs = {name: run for name, run in runs.items() if not what(name).brief}
    yield from chart("overview", comparison.alt(comparison.points(found, runs, paper)))
    yield from (
        "",
        "| RMSE / SSIM | images seen | direct | Algorithm 2 | the best of our samplers, of three, by these images |",
    )
    yield "|---|---:|---|---|---|"
    for name, run in runs.items():
        beside = paper.get(what(name).preset, {})
        rows = comparison.compared(run, beside)
        ours = [of(run, row, RMSE, SSIM) + f" {mark}" for row, _, _, mark in rows]
        ours[-1] += f" ({rows[-1][0]})" * (rows[-1][0] not in ("direct", "Algorithm 2"))
        theirs = ["not comparable"] * len(rows)
        label, seen = f"**{labelled(name, run)}**", f"{run['images_seen']:,}"
        if beside:
            theirs = [" / ".join(paper_cell(there[m], ".3f") for m in ("rmse", "ssim")) for _, _, there, _ in rows]
            counts = found["paper"]["images_seen"]
            seen += f"<br>{counts.get(run['config']['degradation'], counts['blur']):,}"
        cells = [f"{one}<br>{other}" for one, other in zip(ours, theirs, strict=True)]
        yield "| " + " | ".join([f"{label}<br>the paper", seen, *cells]) + " |"
    yield from (
        "",
        f"{comparison.MET}: RMSE and SSIM are at least as good as the paper's; {comparison.PART}: one of the two; "
        f"{comparison.MISSED}: neither. †: the paper's value was recalled only and is **unverified**. "
        "*Not comparable*: the paper has no such task.",
    )


def each_run(found, runs, paper):
    for name, run in runs.items():
        if what(name).brief:
            continue
        beside_it = paper.get(what(name).preset, {})
        yield from ("", f"## {labelled(name, run)}", "")
        yield from drawn(name, f"{what(name).title}: {what(name).seen}")
        rows = {row[0]: row for row in comparison.compared(run, beside_it)}.values()  # the best may be Algorithm 2
        shown = (f"{row} {ours['rmse']:.3f} / {ours['ssim']:.3f}" for row, ours, *_ in rows)
        yield from ("", f"RMSE / SSIM: degraded {of(run, 'degraded', RMSE, SSIM)}, {', '.join(shown)}.", "")
        yield from ("````{dropdown} Every number of this run, and how it was made", f"`{run['command']}`", "")
        yield f"{made(run)}. {run['test_images']:,} test images."
        if run.get("x_T_rounded_to_8_bits"):
            yield "Each $x_T$ was rounded to 8 bits first, as in the paper's code."
        yield from ("", *table(run, beside_it), "")
        yield from (line for told in beside(run) for line in (told, ""))
        yield from ("````", "")


CLASSICAL = {
    "sharpened": "sharpened",
    "inverse": "the regularised inverse",
    "linear": "the best linear estimate, from the covariance of the training images",
}


def beside(run):
    """What a run's numbers are to be seen beside: restorations without a network, holes told, images moved, frames."""
    if known := run.get("baselines"):
        shown = "; ".join(f"{CLASSICAL[row]} {of(known, row, RMSE, SSIM)}" for row in CLASSICAL if row in known)
        some = f", of the first {known['test_images']:,} images" if known["test_images"] < run["test_images"] else ""
        yield f"Without a network (RMSE / SSIM{some}): {shown}."
    if holes := run.get("holes"):
        rows = [row for row in holes["told"] if row not in ("degraded", "last prediction")]
        pairs = (" and ".join(of(holes[way], row, RMSE, SSIM) for way in ("read", "told")) for row in rows)
        shown = "; ".join(f"{row} {pair}" for row, pair in zip(rows, pairs, strict=True))
        exact = f"{holes['exact']:.0%} exactly, {holes['within_a_pixel']:.1%} within a pixel"
        yield (
            f"Where the holes are is read off the images: of the first {holes['test_images']:,}, {exact}. "
            f"With the place read and told: {shown}."
        )
    if others := run.get("judges"):
        names = list(others["direct"])
        lines = [["", *names], ["---"] * (len(names) + 1)]
        lines += [
            [row, *(f"{v[n]:.3g}" if n in v else "" for n in names)]
            for row, v in others.items()
            if row != "test_images"
        ]
        yield f"What other judges say of the first {others['test_images']:,} images:"
        yield "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
        yield disagreement(run)
    if moved := run.get("moved"):
        pairs = (f"by {k} {of(rows, 'direct', RMSE, SSIM)}" for k, rows in moved.items())
        yield f"Moved down and to the right, direct: {'; '.join(pairs)}."
    if seen := run.get("artefacts"):
        pairs = (f"{row} {v['ring']:.2f} and {max(v['excess']):.2f}" for row, v in seen.items() if row != "degraded")
        yield (
            "Error along the border against the error beside it, and the largest excess of power over that of the "
            f"originals at any frequency of rows or columns: {'; '.join(pairs)}."
        )
    if seen := run.get("spots"):
        pairs = (f"{row} {v['median']:.3f} and {v['largest']:.3f}" for row, v in seen.items())
        yield (
            "How far the pixel where the hole closes last stands out from those around it, the median of the first "
            f"{SPOTS} images and the largest: {'; '.join(pairs)}."
        )


def disagreement(run):
    """Whether the judges order direct restoration and Algorithm 2 alike, in one sentence."""
    direct, sampled = (run["metrics"][row] | run["judges"][row] for row in ("direct", "Algorithm 2"))
    nets = [m for m in direct if m.startswith(("Fréchet", "KID", "ST-LPIPS"))]
    nearer = {"direct": [m for m in nets if direct[m] < sampled[m]]}
    nearer["Algorithm 2"] = [m for m in nets if m not in nearer["direct"]]
    for (way, by), other in zip(nearer.items(), reversed(nearer), strict=True):
        if len(by) == len(nets):
            return f"They agree: {way} is nearer than {other} by all of them."
    told = "; ".join(f"{way} is nearer by {', '.join(by)}" for way, by in nearer.items())
    return f"**They disagree**: {told}."


def inverse(found, runs, paper):
    if (run := found.get("inverse")) is None:
        return
    yield from (f"`{run['command']}`", "")
    yield (
        "| RMSE / SSIM | degraded | inverse of $x_T$ in float32 | in 8 bits | our network, direct | "
        "told of 8 bits | 8 bits, not told | the paper's |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for name, measured in run["experiments"].items():
        if name in runs:
            cells = [of(measured, row, RMSE, SSIM) for row in ("degraded", "float32", "8 bits")]
            files = runs[name].get("eight_bits", {})
            cells += [of(runs[name], "direct", RMSE, SSIM)]
            cells += [of(files.get(way, {}), "direct", RMSE, SSIM) for way in ("told", "not told")]
            theirs = paper.get(name, {}).get("direct")
            cells.append(" / ".join(paper_cell(theirs[m], ".3f") for m in ("rmse", "ssim")) if theirs else "")
            yield "| " + " | ".join([what(name).title, *cells]) + " |"
    rows = "degraded, the inverse in float32, in 8 bits, original"
    yield from ("", *drawn("inverse", f"Eight test images of CIFAR-10: {rows}."))


def progress(found, runs, paper):
    names = [name for name in experiments.EXPERIMENTS if name in runs and what(name).preset == "mnist-blur"]
    if not names:
        return
    yield from ("## What training longer buys", "")
    ways = ("direct", "Algorithm 2", "Algorithm 1")
    yield f"| | images seen | minutes | {' | '.join(f'{way}: RMSE / SSIM' for way in ways)} | command |"
    yield "|---|---:|---:|---|---|---|---|"
    for name in names:
        run = runs[name]
        pairs = [of(run, way, RMSE, SSIM) for way in ways]
        cells = [labelled(name, run), f"{run['images_seen']:,}", f"{run['seconds'] / 60:.0f}", *pairs]
        yield "| " + " | ".join([*cells, f"`reproduce {name}`"]) + " |"
    for name in names:
        if what(name).keep:
            steps = ", ".join(f"{step:,}" for step in what(name).keep)
            alt = f"The same digits restored by Algorithm 2 with the weights of steps {steps} and the last."
            yield from ("", *drawn(f"{name}-progress", alt))
            yield from ("", "Eight test digits by Algorithm 2, with the weights that one run had after so many steps.")


def seeds(found, runs, paper):
    """What a seed is worth: runs that differ in nothing else."""
    groups = {}
    for name, run in runs.items():
        known = dataclasses.asdict(Config()) | run["config"]  # an older manifest does not name the newest settings
        rest = {key: value for key, value in known.items() if key != "seed"}
        groups.setdefault(json.dumps(rest, sort_keys=True), []).append(name)
    groups = [names for names in groups.values() if len(names) > 1]
    if groups:
        yield from ("## What a seed is worth", "", "Lowest to highest of runs that differ in nothing but the seed:", "")
        yield "| | runs | row | RMSE | SSIM | Fréchet distance |"
        yield "|---|---:|---|---|---|---|"
    for names in groups:
        measured = [runs[name]["metrics"] for name in names]
        for row in (row for row in measured[0] if row != "degraded"):
            cells = []
            for m, form in (RMSE, SSIM, (distance_of(runs[names[0]]), ".2f")):
                values = [each[row][m] for each in measured if m in each.get(row, {})]
                cells.append(f"{min(values):{form}} to {max(values):{form}}" if values else "")
            yield "| " + " | ".join([labelled(names[0], runs[names[0]]), str(len(names)), row, *cells]) + " |"


def steps(found, runs, paper):
    for name in runs:
        if what(name).states:
            yield from ("", f"{what(name).title}:", "")
            yield from drawn(f"{name}-steps", f"{what(name).title}, Algorithm 2 from x_T to x_0: {what(name).states}")


def by_class(found, runs, paper):
    shown = [n for n in runs if what(n).preset == "mnist-blur" and "read_as_their_class" in runs[n]]
    if not shown:
        return
    yield from ("## Which digits come back", "")
    yield "The share of restored test images that the shipped classifier reads as the digit they were, in percent."
    told = {n: labelled(n, runs[n]).removeprefix(f"{what(n).title}, ") for n in shown}
    shares = (f"{told[n]}: {runs[n]['read_as_their_class']['direct']['share']:.1%}" for n in shown)
    yield from ("", f"Of one call's digits, all classes together: {', '.join(shares)}.")
    yield from ("", "````{dropdown} By class and by sampler")
    yield from ("| | all | " + " | ".join(str(k) for k in range(10)) + " |", "|---|" + "---:|" * 11)
    for name in shown:
        for row, seen in runs[name]["read_as_their_class"].items():
            if row in ("degraded", "last prediction") or (row == "original" and name != shown[0]):
                continue
            label = row if row == "original" else f"{row}, {told[name]}"
            yield "| " + " | ".join([label, *(f"{100 * v:.1f}" for v in (seen["share"], *seen["by_class"]))]) + " |"
    yield "````"


def missing(found, runs, paper):
    run = {n for n in experiments.EXPERIMENTS if "intervals" in found.get(n, {})}
    run |= {part for n in run for part in parts(n)}
    rest = {n: what(n).title for n in experiments.EXPERIMENTS if n not in run}
    rest |= {n: "Generation" for n in STUDIES if n not in found}
    rest |= {n: measurement.told for n, measurement in MEASUREMENTS.items() if n not in found}
    if rest:
        yield from ("## Not run yet", "")
        yield from (f"- {title}: `python -m coldlab reproduce {name}`" for name, title in rest.items())


def shipped(found, runs, paper):
    """The networks that restore, side by side."""
    yield "| network | images | damage, up to T | images seen | direct | Algorithm 2 |"
    yield "|---|---|---|---:|---:|---:|"
    for name in sorted(path.stem for path in (ROOT / "coldlab/weights").glob("*.safetensors")):
        if "degradation" in (run := found[name]):
            config = run["config"]
            set_ = f"{experiments.SETS.get(config['dataset'], config['dataset'])}, {config['size']} x {config['size']}"
            rows = [of(run, row, RMSE, SSIM) for row in ("direct", "Algorithm 2")]
            cells = [f"`{name}`", set_, f"{config['degradation']}, {run['T']}", f"{run['images_seen']:,}", *rows]
            yield "| " + " | ".join(cells) + " |"


def models(found, runs, paper):
    for path in sorted((ROOT / "coldlab/weights").glob("*.safetensors"), key=lambda path: path.stem):
        run, name = found[path.stem], path.stem
        yield from ("", f"## {name}", "")
        dataset = next(known for known in (*LICENCES, name) if name.startswith(known))
        if name.endswith("-classifier"):
            read = experiments.SETS.get(dataset, dataset)
            yield f"Reads {read}, for the Fréchet distances and shares of this book: `{run['command']}`."
            yield f"{run['parameters']:,} weights, {run['accuracy']:.2%} of {run['test_images']:,} test images right."
        else:
            config = run["config"]
            side = config["size"]
            yield f"Undoes `{run['degradation']}` on {experiments.SETS.get(dataset, dataset)}, {side} x {side} pixels."
            yield f"Made by `{run['command']}`: {made(run)}."
            shown = [row for row in ("direct", "Algorithm 2") if row in run["metrics"]]  # judged with others: fewer
            rows = (row + " RMSE {rmse:.3f}, SSIM {ssim:.3f}".format(**run["metrics"][row]) for row in shown)
            yield f"On {run['test_images']:,} test images: {'; '.join(rows)}."
        size = path.stat().st_size
        told = f"{size / 1e6:.1f} MB" if size > 1e5 else f"{size / 1e3:.0f} kB"
        yield f"{told} in half precision. Trained on {LICENCES.get(dataset, f'{dataset}; see its licence')}."


PARTS = {"runs": each_run} | {
    part.__name__: part
    for part in (
        *(
            verdict.opening,
            verdict.in_short,
            overview,
            progress,
            seeds,
            steps,
            calls,
            inverse,
            by_class,
            order,
            missing,
            shipped,
            models,
        ),
        *(results_generation.generation, results_generation.faces, *results_beyond.PARTS, recipes),
    )
}


def manifests():
    """(all manifests by name, those of restoration, the paper's values)."""
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))}
    runs = {name: found[name] for name in experiments.EXPERIMENTS if "intervals" in found.get(name, {})}
    runs.pop("digits-blur", None)
    return found, runs, found["paper"]["values"]


def page(name):
    """The text of tools/pages/NAME.md with each line "@part" replaced by what the manifests say of it."""
    known, lines = manifests(), []
    for line in (ROOT / f"tools/pages/{name}.md").read_text(encoding="utf-8").splitlines():
        part = PARTS.get(line[1:]) if line.startswith("@") else None
        lines += part(*known) if part else [line]
    return "\n".join(lines).strip() + "\n"


if __name__ == "__main__":
    console.degrade()
    for name, path in PAGES.items():
        storage.write_text(ROOT / path, page(name))
        print(path)
    comparison.save(RESULTS / "overview.png", comparison.draw(*manifests()))
    results_generation.draw(manifests()[0])
    results_calls.save(RESULTS, manifests()[1])
