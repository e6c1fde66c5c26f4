"""What a run's intervals allow to be said about the order that the paper reports."""

from cells import distance_of, labelled, sampled, what


def apart(run, measure, low, high):
    """Is `low` below `high` in this measure? "yes", "no", or "undecided"; empty where the run has no such rows.

    By the 95 % interval of the difference, each draw of which takes the same images of both; of a manifest without
    them by the rows' own intervals, which is said.
    """
    paired = run.get("differences", {})
    for one, other, sign in ((low, high, 1), (high, low, -1)):
        if measure in (there := paired.get(one, {}).get(other, {})):
            ends = sorted(sign * end for end in there[measure])
            return "yes" if ends[1] < 0 else "no" if ends[0] > 0 else "undecided"
    spans = [run["intervals"].get(row, {}).get(measure) for row in (low, high)]
    if None in spans:
        return ""
    one, two = spans
    return ("yes" if one[1] < two[0] else "no" if two[1] < one[0] else "undecided") + " (unpaired)"


def claims(run, paper=None):
    """(claim, answer) for the order that the paper reports; marked where its own values of this task are reversed.

    paper: {"direct", "sampled": {measure: (value, status)}} of this task.
    """
    distance, own, theirs = distance_of(run), {"sampled": sampled(run)}, paper or {}

    def below(low, high, measure, named):
        answer = apart(run, measure, own.get(low, low), own.get(high, high))
        values = [theirs.get(row, {}).get(named, (None,))[0] for row in (low, high)]
        return answer + "‡" * (answer != "" and None not in values and values[0] > values[1])

    found = {"Algorithm 1 has the larger RMSE": below("Algorithm 2", "Algorithm 1", "rmse", "rmse")}
    if distance:
        found["and the larger Fréchet distance"] = below("Algorithm 2", "Algorithm 1", distance, "fid")
    found["direct has the smaller RMSE, against the sampled"] = below("direct", "sampled", "rmse", "rmse")
    found["direct has the larger SSIM"] = below("sampled", "direct", "ssim", "ssim")
    if distance:
        found["the sampled have the smaller Fréchet distance"] = below("sampled", "direct", distance, "fid")
        found["direct is nearer than the degraded"] = below("direct", "degraded", distance, "fid")
    return found


def order(found, runs, paper):
    runs = {name: run for name, run in runs.items() if not what(name).brief}
    yield from ("## Does the paper's order hold?", "")
    yield (
        "*Yes* or *no* where the 95 % interval of the difference excludes 0, otherwise *undecided*. Each draw takes "
        "the same test images of both rows, so an order can be certain although the intervals above overlap "
        "(*unpaired*: judged by those). ‡: the paper's own values of this task, as quoted, are in the other order."
    )
    answers = {name: claims(run, paper.get(what(name).preset)) for name, run in runs.items()}
    columns = list(dict.fromkeys(claim for each in answers.values() for claim in each))
    yield from ("", f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|")
    for name, found_there in answers.items():
        cells = [labelled(name, runs[name]), *(found_there.get(claim, "") for claim in columns)]
        yield "| " + " | ".join(cells) + " |"
    yield from exceptions(runs)


def exceptions(runs):
    """What the Fréchet distance says against the paper's, or against common sense, in words."""
    first, worse = [], []
    for name, run in runs.items():
        distance = distance_of(run)
        if distance is None:
            continue
        values = {row: measured[distance] for row, measured in run["metrics"].items()}
        if apart(run, distance, "Algorithm 2", "Algorithm 1").startswith("no"):
            first.append(f"{labelled(name, run)} ({values['Algorithm 1']:.2f} against {values['Algorithm 2']:.2f})")
        if apart(run, distance, "direct", "degraded").startswith("no"):
            worse.append(f"{labelled(name, run)} ({values['direct']:.2f} against {values['degraded']:.2f})")
    if first:
        yield from ("", f"By the classifier's distance *Algorithm 1* beats Algorithm 2 on {', '.join(first)}.")
    if worse:
        told = "lie *further* from the originals than the degraded images by that distance"
        yield from ("", f"The direct restorations of {', '.join(worse)} {told}: it is no measure of restoration there.")
