"""Write book/results.md and book/models.md from the manifests in results/, and from nothing else.

    python tools/results_page.py

Every number on the two pages comes from a manifest; what the paper reports from results/paper.json. A test writes
them again and compares, so that a page cannot be older than its runs.
"""

import json
from pathlib import Path

from coldlab import storage
from coldlab.lab import experiments
from coldlab.lab.reproduce import cores
from coldlab.lab.studies import STUDIES, measures

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
LICENCES = {
    "digits": "scikit-learn's copy of the UCI optical digits, CC BY 4.0",
    "mnist": "MNIST, CC BY-SA 3.0",
    "cifar10": "CIFAR-10; its authors ask to be cited and name no licence",
    "celeba": "CelebA, for non-commercial research only",
}
PAGES = {"results": "book/results.md", "models": "book/models.md"}


def what(name):
    """The Experiment of a run."""
    return experiments.experiment(name)


def siblings(name):
    """The experiments with the preset of this one, itself among them: runs of one task, of different lengths."""
    return [n for n, other in experiments.EXPERIMENTS.items() if other.preset == what(name).preset]


def labelled(name, run):
    """The title with what tells runs of one task apart."""
    if len(siblings(name)) == 1:
        return what(name).title
    return f"{what(name).title}, {run['config']['steps']:,} steps" + ", self-rollout" * name.endswith("-rollout")


# ----------------------------------------------------------------------------------------------------------- numbers


def sampled(run):
    """Our row for what the paper calls "sampled": Algorithm 2's end for blur, otherwise its last prediction."""
    return "Algorithm 2" if run["config"]["degradation"] == "blur" else "last prediction"


def distance_of(run):
    """What the Fréchet distance of a run is called, after its classifier; None where there is none."""
    return next((key for key in run["metrics"]["direct"] if key.startswith("Fréchet")), None)


def paper_cell(cell, form):
    value, status = cell
    return f"{value:{form}}" if status != "R" else f"({value:{form}})†"


def within(value, interval, form):
    """value ± the longer side of its interval."""
    side = max(value - interval[0], interval[1] - value)
    return f"{value:{form}}\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}{side:{form}}"


def signed(difference):
    return f"{difference:+.3f}".replace("-", "\N{MINUS SIGN}")


def table(run, paper):
    """The rows of one run: value and interval of each measure; where there is a paper's, it and the difference."""
    distance = distance_of(run)
    columns = ["images", "RMSE", "SSIM", distance or "Fréchet distance"]
    if paper:
        columns = ["images", "RMSE", "paper", "SSIM", "paper", columns[-1], "FID, paper"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    theirs = {"degraded": "degraded", "direct": "direct", sampled(run): "sampled"}
    for row, values in run["metrics"].items():
        cells, spans = [row], run["intervals"][row]
        beside = paper.get(theirs.get(row), {})
        for measure in ("rmse", "ssim"):
            cells.append(within(values[measure], spans[measure], ".3f"))
            there = beside.get(measure)
            difference = f" ({signed(values[measure] - there[0])})" if there and there[1] != "R" else ""
            if paper:
                cells.append(paper_cell(there, ".3f") + difference if there else "")
        cells.append(within(values[distance], spans[distance], ".2f") if distance else "no classifier")
        if paper:
            cells.append(paper_cell(beside["fid"], ".2f") if "fid" in beside else "")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def made(run):
    """How a run came about, in one sentence."""
    config, machine = run["config"], run["machine"]
    return (
        f"{config['steps']:,} steps of {config['batch']} images, {run['images_seen']:,} images seen, "
        f"{run['parameters'] / 1e6:.1f} million weights, {run['seconds'] / 60:.0f} minutes on {cores(machine)}, "
        f"seed {config['seed']}, torch {machine['torch'].split('+')[0]}, commit `{machine['commit'][:10]}`"
    )


# ------------------------------------------------------------------------------------------------------------ claims


def apart(run, measure, low, high):
    """Is `low` below `high` in this measure? "yes", "no", or "undecided" where the 95 % intervals overlap."""
    one, two = run["intervals"][low][measure], run["intervals"][high][measure]
    return "yes" if one[1] < two[0] else "no" if two[1] < one[0] else "undecided"


def claims(run):
    """(claim, answer) for the order that the paper reports."""
    distance = distance_of(run)
    found = {"Algorithm 1 has a larger RMSE than Algorithm 2": apart(run, "rmse", "Algorithm 2", "Algorithm 1")}
    found["direct has the smaller RMSE, against the sampled"] = apart(run, "rmse", "direct", sampled(run))
    found["direct has the larger SSIM"] = apart(run, "ssim", sampled(run), "direct")
    if distance:
        found["the sampled have the smaller Fréchet distance"] = apart(run, distance, sampled(run), "direct")
    return found


# ------------------------------------------------------------------------------------------------------- the results


def overview(found, runs, paper):
    runs = {name: run for name, run in runs.items() if not what(name).brief}
    yield from ("## In one table", "")
    yield "| ours / the paper's | images seen | direct: RMSE | SSIM | sampled: RMSE | SSIM |"
    yield "|---|---:|---|---|---|---|"
    for name, run in runs.items():
        cells = [labelled(name, run), f"{run['images_seen']:,}"]
        beside = paper.get(what(name).preset, {})
        for row, theirs in (("direct", "direct"), (sampled(run), "sampled")):
            for measure in ("rmse", "ssim"):
                there = f" / {paper_cell(beside[theirs][measure], '.3f')}" if beside else ""
                cells.append(f"{run['metrics'][row][measure]:.3f}{there}")
        yield "| " + " | ".join(cells) + " |"
    spent = "The paper's networks saw 44.8 million images (700,000 steps of 64)"
    yield from ("", f"{spent}, for inpainting 3.84 million by the paper's text.")


def each_run(found, runs, paper):
    for name, run in runs.items():
        if what(name).brief:
            continue
        yield from ("", f"## {labelled(name, run)}", "", f"`{run['command']}`", "")
        yield f"{made(run)}. {run['test_images']:,} test images."
        if run["x_T_rounded_to_8_bits"]:
            yield "Each $x_T$ was rounded to 8 bits first, as in the paper's code."
        yield from ("", *table(run, paper.get(what(name).preset, {})), "")
        yield from figure(name, f"{what(name).title}: {what(name).seen}")


def figure(name, alt, width="100%"):
    yield from (f"```{{image}} ../results/{name}.png", f":alt: {alt}", f":width: {width}", ":class: dark-light", "```")


def inverse(found, runs, paper):
    run = found["inverse"]
    yield from (f"`{run['command']}`", "")
    yield "| RMSE / SSIM | degraded | inverse of $x_T$ in float32 | in 8 bits | our network, direct | the paper's |"
    yield "|---|---|---|---|---|---|"
    for name, measured in run["experiments"].items():
        if name in runs:
            ways = [measured["metrics"][row] for row in ("degraded", "float32", "8 bits")]
            cells = ["{rmse:.3f} / {ssim:.3f}".format(**way) for way in (*ways, runs[name]["metrics"]["direct"])]
            theirs = paper.get(name, {}).get("direct")
            cells.append(" / ".join(paper_cell(theirs[m], ".3f") for m in ("rmse", "ssim")) if theirs else "")
            yield "| " + " | ".join([what(name).title, *cells]) + " |"
    rows = "degraded, the inverse in float32, in 8 bits, original"
    yield from ("", *figure("inverse", f"Eight test images of CIFAR-10: {rows}."))


def progress(found, runs, paper):
    names = [name for name in siblings("mnist-blur") if name in runs]
    yield from ("## What training longer buys", "")
    ways = ("direct", "Algorithm 2", "Algorithm 1")
    yield f"| | images seen | minutes | {' | '.join(f'{way}: RMSE / SSIM' for way in ways)} | command |"
    yield "|---|---:|---:|---|---|---|---|"
    for name in names:
        run = runs[name]
        pairs = ["{rmse:.3f} / {ssim:.3f}".format(**run["metrics"][way]) for way in ways]
        cells = [labelled(name, run), f"{run['images_seen']:,}", f"{run['seconds'] / 60:.0f}", *pairs]
        yield "| " + " | ".join([*cells, f"`reproduce {name}`"]) + " |"
    for name in names:
        if what(name).keep:
            steps = ", ".join(f"{step:,}" for step in what(name).keep)
            alt = f"The same digits restored by Algorithm 2 with the weights of steps {steps} and the last."
            yield from ("", *figure(f"{name}-progress", alt))
            yield from ("", "Eight test digits by Algorithm 2, with the weights that one run had after so many steps.")


def steps(found, runs, paper):
    for name in runs:
        if what(name).states:
            yield from ("", f"{what(name).title}:", "")
            yield from figure(f"{name}-steps", f"{what(name).title}, Algorithm 2 from x_T to x_0: {what(name).states}")


def calls(found, runs, paper):
    runs = {name: run for name, run in runs.items() if "calls" in run}
    counts = list(next(iter(runs.values()))["calls"])
    yield f"| | direct | {' | '.join(f'{n} calls' for n in counts)} | every severity |"
    yield "|---" * (len(counts) + 3) + "|"
    for name, run in runs.items():
        ways = [
            run["metrics"]["direct"],
            *(run["calls"][n]["Algorithm 2"] for n in counts),
            run["metrics"]["Algorithm 2"],
        ]
        distance = distance_of(run)
        triples = [f"{v['rmse']:.3f} / {v['ssim']:.3f} / {v[distance]:.2f}" for v in ways]
        yield "| " + " | ".join([labelled(name, run), *triples[:-1], f"{triples[-1]} ({run['T']})"]) + " |"


def by_class(found, runs, paper):
    shown = [name for name in siblings("mnist-blur") if name in runs and not name.endswith("-rollout")]
    yield from ("## Which digits come back", "")
    yield "The share of restored test images that the shipped classifier reads as the digit they were, in percent."
    yield from ("", "| | all | " + " | ".join(str(k) for k in range(10)) + " |", "|---|" + "---:|" * 11)
    for name in shown:
        for row in ("original", "direct", "Algorithm 2", "Algorithm 1"):
            if row == "original" and name != shown[0]:
                continue
            seen = runs[name]["read_as_their_class"][row]
            label = row if row == "original" else f"{row}, {runs[name]['config']['steps']:,} steps"
            yield "| " + " | ".join([label, *(f"{100 * v:.1f}" for v in (seen["share"], *seen["by_class"]))]) + " |"


def generation(found, runs, paper):
    run = found["generation-mnist"]
    attempts = {attempt["attempt"]: attempt for attempt in run["attempts"]}
    yield from ("## New digits", "", *generated(run, ", explained in [chapter 6](06_generation.ipynb)"))
    yield from ("", "Which digits the classifier reads in them, in percent:", "")
    yield from ("| attempt | " + " | ".join(str(k) for k in range(10)) + " |", "|---|" + "---:|" * 10)
    for name in COUNTED:
        histogram = attempts[name]["histogram"]
        yield "| " + " | ".join([name, *(f"{100 * v / sum(histogram):.1f}" for v in histogram)]) + " |"
    yield from (
        "",
        *figure(
            "generation-mnist",
            "Rows of generated digits: pieces of a frame, specks, threes, then digits, clean or broken; real.",
        ),
    )


def faces(found, runs, paper):
    if "generation-celeba-64" in found:
        yield from (*generated(found["generation-celeba-64"]), "")
        yield from figure(
            "generation-celeba-64",
            "Rows of faces: one in many colours; with noise dark shapes; different ones, striped or soft; real.",
        )


def generated(run, more=""):
    """The command, what the networks saw, and a row for real images and for each attempt."""
    seen = ", ".join(f"{net['images_seen']:,} images ({name})" for name, net in run["networks"].items())
    yield from (f"`{run['command']}`{more}. The networks saw {seen}.", "")
    keys = measures(run)
    titles = [{"frechet": f"Fréchet ({run['classifier']})", "entropy": "class entropy"}.get(k, k) for k in keys]
    yield f"| attempt | images | {' | '.join(titles)} |"
    yield "|---|---:|" + "---:|" * len(keys)
    few = f"{STUDIES[run['name']].few:,}"
    rows = [(name, "all" if name == "test images" else few, found) for name, found in run["real"].items()]
    for name, count, values in (*rows, *((a["attempt"], f"{a['count']:,}", a) for a in run["attempts"])):
        yield "| " + " | ".join([name, count, *(f"{values[key]:{form}}" for key, form in keys.items())]) + " |"


COUNTED = (
    "the mean alone (the paper, perfect symmetry)",
    "the mean alone, network trained with it",
    "nine numbers, 20 Gaussians",
    "80 Gaussians, temperature 0.75, 3 calls",
    "hot, 200 calls",
)


def order(found, runs, paper):
    runs = {name: run for name, run in runs.items() if not what(name).brief}
    yield from ("## Does the paper's order hold?", "")
    yield "By the 95 % intervals above: *yes* or *no* where they do not overlap, otherwise *undecided*."
    answers = {name: claims(run) for name, run in runs.items()}
    columns = list(dict.fromkeys(claim for each in answers.values() for claim in each))
    yield from ("", f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|")
    for name, found_there in answers.items():
        cells = [labelled(name, runs[name]), *(found_there.get(claim, "") for claim in columns)]
        yield "| " + " | ".join(cells) + " |"


def missing(found, runs, paper):
    rest = {n: what(n).title for n in experiments.EXPERIMENTS if "intervals" not in found.get(n, {})}
    rest |= {n: "Generation" for n in (*STUDIES, "inverse") if n not in found}
    if rest:
        yield from ("## Not run yet", "")
        yield from (f"- {title}: `python -m coldlab reproduce {name}`" for name, title in rest.items())


# -------------------------------------------------------------------------------------------------------- the models


def models(found, runs, paper):
    for path in sorted((ROOT / "coldlab/weights").glob("*.safetensors"), key=lambda path: path.stem):
        run, name = found[path.stem], path.stem
        yield from ("", f"## {name}", "")
        dataset = name.split("-")[0]
        if name.endswith("-classifier"):
            read = experiments.SETS[dataset]
            yield f"Reads {read}, for the Fréchet distances and shares of this book: `{run['command']}`."
            yield f"{run['parameters']:,} weights, {run['accuracy']:.2%} of {run['test_images']:,} test images right."
        else:
            config = run["config"]
            side = config["size"]
            yield f"Undoes `{run['degradation']}` on {experiments.SETS[dataset]}, {side} x {side} pixels."
            yield f"Made by `{run['command']}`: {made(run)}."
            rows = {row: "RMSE {rmse:.3f}, SSIM {ssim:.3f}".format(**values) for row, values in run["metrics"].items()}
            yield f"On {run['test_images']:,} test images: direct {rows['direct']}; Algorithm 2 {rows['Algorithm 2']}."
        yield f"{path.stat().st_size / 1e6:.1f} MB in half precision. Trained on {LICENCES[dataset]}."


PARTS = {
    part.__name__: part
    for part in (overview, progress, steps, calls, inverse, by_class, generation, faces, order, missing, models)
} | {"runs": each_run}


def page(name):
    """The text of tools/pages/NAME.md with each line "@part" replaced by what the manifests say of it."""
    found = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))}
    runs = {name: found[name] for name in experiments.EXPERIMENTS if "intervals" in found.get(name, {})}
    runs.pop("digits-blur", None)
    lines = []
    for line in (ROOT / f"tools/pages/{name}.md").read_text(encoding="utf-8").splitlines():
        part = PARTS.get(line[1:]) if line.startswith("@") else None
        lines += part(found, runs, found["paper"]["values"]) if part else [line]
    return "\n".join(lines).strip() + "\n"


if __name__ == "__main__":
    for name, path in PAGES.items():
        storage.write_text(ROOT / path, page(name))
        print(path)
