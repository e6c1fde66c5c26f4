"""What stands on the page of results besides the runs: its first lines, its figures, what chapters 8 to 10 measure."""

import json

import comparison
import pytest
import results_beyond
import results_calls
import results_generation
import results_page
import results_recipes
import verdict
from cells import NARROW, what
from results_page import page

from coldlab.lab import results


def test_the_last_prediction_would_change_no_mark_of_the_first_table():
    _, runs, paper = results_page.manifests()
    for name, run in runs.items():
        of, beside = run["metrics"], paper.get(results_page.what(name).preset)
        if beside and "last prediction" in of:
            assert (
                len({comparison.verdict(of[row], beside["sampled"]) for row in ("Algorithm 2", "last prediction")}) == 1
            )


def test_the_figures_are_of_these_manifests():
    from PIL import Image

    found, runs, paper = results_page.manifests()
    told = comparison.alt(comparison.points(found, runs, paper))
    with Image.open(results_page.RESULTS / "overview.png") as picture:
        assert picture.text["Description"] == told
    with Image.open(results_page.RESULTS / "generation-mnist-spread.png") as picture:
        assert picture.text["Description"] == results_generation.spread_alt(found["generation-mnist"])
    with Image.open(results_page.RESULTS / "calls.png") as picture:
        assert picture.text["Description"] == results_calls.alt(results_calls.curves(runs))


def test_the_curves_of_calls_begin_at_one_call_and_end_at_all():
    _, runs, _ = results_page.manifests()
    told = results_calls.curves(runs)
    run, found = runs["mnist-blur"], told["MNIST, deblurring"]["Algorithm 2"]
    assert found[0] == [1, *map(int, run["calls"]), run["T"]]
    assert found[1][0] == found[2][0] == 1
    assert found[1][-1] == run["metrics"]["Algorithm 2"]["rmse"] / run["metrics"]["direct"]["rmse"]
    bare = {"mnist-blur": {**run, "calls": {"2": {"averaged": {"rmse": 1.0}}}, "metrics": {"direct": {"rmse": 0.5}}}}
    assert results_calls.curves(bare) == {"MNIST, deblurring": {"averaged": ([1, 2], [1.0, 2.0])}}
    assert results_calls.draw(results_calls.curves(bare)).alt


def test_the_figure_shows_each_task_of_the_paper_once_with_ours_and_theirs():
    found, runs, paper = results_page.manifests()
    told = comparison.points(found, runs, paper)
    assert len(told) == len({what(name).preset for name in runs if not what(name).brief} & set(paper))
    needed = {"degraded", "ours, one call", "ours, best sampler", "the paper, one call", "the paper, sampled"}
    for task, dots in told.items():
        assert needed <= set(dots) <= set(comparison.MARKS)
        name = next(name for name in runs if what(name).title == task.strip("†") and what(name).preset in paper)
        rows = [paper[what(name).preset][row]["rmse"] for row in ("direct", "sampled")]
        assert [dots["the paper, one call"], dots["the paper, sampled"]] == [value for value, _ in rows]
        assert task.endswith("†") == any(status == "R" for _, status in rows)


# ---- the first lines ----------------------------------------------------------------------------------------------


def first_lines(*known):
    return "\n".join(verdict.in_short(*known))


def test_the_first_lines_follow_the_manifests():
    found, runs, paper = results_page.manifests()
    runs = {name: json.loads(json.dumps(run)) for name, run in runs.items() if name in ("mnist-blur", "cifar10-blur")}
    for name in runs:  # as good as the paper by both measures, then by neither
        runs[name]["metrics"]["direct"] |= {"rmse": 0.01, "ssim": 0.99}
    assert "on all 2, by one of the two on none, by neither on none." in first_lines(found, runs, paper)
    runs["mnist-blur"]["metrics"]["direct"] |= {"rmse": 0.9, "ssim": 0.1}
    assert "on 1 of 2 tasks (CIFAR-10 deblurring)" in (told := first_lines(found, runs, paper))
    assert "by neither on 1 (MNIST deblurring)" in told
    assert "MNIST deblurring 0.900 to" in told
    assert "what a seed" not in told
    assert "Each network was trained once" in told
    runs["mnist-blur"]["config"]["seed"] = 1
    assert "Most networks were trained once" in first_lines(found, runs, paper)


def test_where_iterating_pays_is_read_off_the_intervals():
    found, runs, paper = results_page.manifests()
    run = json.loads(json.dumps(runs["cifar10-blur"]))
    name = "Fréchet (cifar10-classifier)"
    for sign, told in (
        (-1, "beats the sampled images on 1 of 1 tasks;"),
        (1, "beats the sampled images on 0 of 1 tasks;"),
    ):
        run["differences"]["direct"]["Algorithm 2"] = {"rmse": [sign, sign], "ssim": [1, 1], name: [sign, sign]}
        assert told in (line := first_lines(found, {"cifar10-blur": run}, paper))
        assert f"sampled are nearer on {int(sign == 1)}." in line


# ---- what chapters 8 to 10 measure --------------------------------------------------------------------------------


def section(part, name, change=lambda run: None):
    run = json.loads(json.dumps(results.load(name)))
    change(run)
    return "\n".join(part({name: run}, {}, {}))


@pytest.mark.parametrize("part", results_beyond.PARTS, ids=lambda part: part.__name__)
def test_a_measurement_stands_there_with_its_command_and_without_it_nothing(part):
    name = part.__name__.replace("_", "-")
    assert f"`{results.load(name)['command']}`" in section(part, name)
    assert f"`{results.load(name)['command']}`" in page("results")
    assert list(part({}, {}, {})) == []


def test_what_a_transform_gains_is_said_with_what_it_is_told():
    text = section(results_beyond.transforms, "transforms")
    for name, of in results.load("transforms")["transforms"].items():
        assert f"| {name} | {of['start']}{NARROW}of{NARROW}{of['T']} |" in text
    assert "**But look at $z$.** Under snow" in text

    def estimated_well(run):
        run["transforms"]["snow"]["metrics"]["Algorithm 2, z not told"]["rmse"] = 0.001

    assert "But look at" not in section(results_beyond.transforms, "transforms", estimated_well)

    def reversed_under_blur(run):
        run["transforms"]["blur"]["differences"]["direct"]["Algorithm 2"]["rmse"] = [-0.2, -0.1]

    text = section(results_beyond.transforms, "transforms", reversed_under_blur)
    assert "further under blur" in text


def test_the_order_of_blur_and_noise_is_that_of_their_gains():
    assert "is noise, mask" in section(results_beyond.blur_or_noise, "blur-or-noise")

    def hopeless(run):
        run["arms"]["noise"]["levels"][0]["network"]["rmse"]["mean"] = 9.0

    assert "blur in float32 and noise, where much" in section(results_beyond.blur_or_noise, "blur-or-noise", hopeless)


def test_a_walk_is_marked_by_its_paired_difference():
    text = section(results_beyond.walks, "walks")
    for name, of in results.load("walks")["walks"].items():
        assert f"| **{name}** ({of['images']:,} images) | {of['direct']['rmse']:.4f} |" in text
    row = results.load("walks")["walks"]["mnist-blur"]["rows"][0]
    assert f"| improved |  | {row['rmse']:.4f}{NARROW}+ |" in text

    def won(run):
        run["walks"]["mnist-blur"]["rows"][0]["minus_direct"] = [-0.2, -0.1]

    assert f"| improved |  | {row['rmse']:.4f}{NARROW}− |" in section(results_beyond.walks, "walks", won)

    def all_won(run):
        for of in run["walks"].values():
            for row in of["rows"]:
                row["minus_direct"] = [-0.2, -0.1]

    assert "is worse than one call" not in section(results_beyond.walks, "walks", all_won)


def test_what_a_study_lacks_is_said():
    run = {"attempts": [{}], "real": {}}
    assert len(told := " ".join(results_generation.lacking(run))) > 100
    assert "no intervals" in told
    run = {"attempts": [{"intervals": {}}], "real": {"training images": {}}, "copies": {}}
    assert list(results_generation.lacking(run)) == []


def test_the_recipes_are_those_of_the_runs():
    found, runs, paper = results_page.manifests()
    run = json.loads(json.dumps(runs["mnist-mask"]))
    run["config"] |= {
        "precondition": True,
        "residual": False,
        "timestep_bias": 1.0,
        "rollout": 1.0,
        "rollout_from_T": True,
    }
    run["config"] |= {"rollout_calls": 4, "shift": 2, "augmented": 0.5, "flip": True}
    *_, line = results_recipes.recipes(found, {"mnist-mask": run}, paper)
    cells = "yes | the image | uniform | all, from $T$ in 4 calls | mirrored, 50% moved, enlarged, slanted"
    assert line == f"| MNIST, inpainting | {cells} |"
    run["config"] |= {"precondition": False, "residual": True, "timestep_bias": 2.0, "rollout": 0.0}
    run["config"] |= {"shift": 0, "flip": False}
    *_, line = results_recipes.recipes(found, {"mnist-mask": run}, paper)
    assert line == "| MNIST, inpainting | no | what to add | late ones favoured (2) | none | as they are |"
