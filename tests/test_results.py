"""The manifests: found by name, whole, and in agreement with the text that quotes them."""

import re
from pathlib import Path

import numpy as np
import pytest

from coldlab import embed, plots
from coldlab.checkpoints import pretrained
from coldlab.errors import ColdlabError
from coldlab.lab import results

ROOT = Path(__file__).resolve().parent.parent


def test_every_shipped_network_has_a_manifest_of_how_it_was_made():
    for name in pretrained():
        manifest = results.load(name)
        assert {"command", "config", "machine", "seconds", "metrics"} <= set(manifest), name
        assert manifest["machine"]["commit"], name


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(ColdlabError, match="mnist-blur"):
        results.load("mnist-blurr")


def test_pictures_lie_beside_their_manifests_and_show_themselves():
    shown = results.picture("generation-mnist", "Rows of <digits>.")._repr_mimebundle_()
    assert shown["text/plain"] == "Figure: Rows of <digits>."
    assert 'aria-label="Rows of &lt;digits&gt;."' in shown["text/html"]
    assert "<div>nine numbers</div>" in shown["text/html"]
    with pytest.raises(ColdlabError, match="generation-mnist"):
        results.picture("generation-mnis", "Rows of digits.")
    with pytest.raises(ColdlabError, match="alt is ''"):
        results.picture("generation-mnist", "")


@pytest.mark.parametrize("path", sorted(results.FOLDER.glob("*.webp")), ids=lambda path: path.stem)
def test_pictures_are_exact_and_say_what_is_in_them(path):
    """In a lossy file a restoration would be judged by what the format makes of it."""
    assert b"VP8L" in path.read_bytes()[:64]
    pixels, layout = embed.read(path)
    assert (
        layout["top"] + len(layout["rows"]) * (layout["size"][0] * layout["dots"] + plots.SPACE)
        == len(pixels) + plots.SPACE
    )
    plots.stored(path, "Rows.")


@pytest.mark.parametrize("name", ["digits-blur", "celeba-64-blur", "generation-celeba-64", "classes"])
def test_a_picture_that_is_read_is_the_one_that_was_drawn(name, tmp_path):
    results.picture(name, "Rows.").save(tmp_path / "again.webp")
    (before, layout), (after, again) = map(embed.read, (results.FOLDER / f"{name}.webp", tmp_path / "again.webp"))
    assert list(again["rows"]) == list(layout["rows"])
    images = [x[of["top"] :, of["left"] :] for x, of in ((before, layout), (after, again))]  # letters differ by machine
    assert np.array_equal(*(x[..., 3] for x in images))
    assert np.array_equal(*(x[x[..., 3] > 0] for x in images))


def test_no_name_leads_out_of_the_folder():
    with pytest.raises(ColdlabError):
        results.load("../pyproject")


def test_the_table_of_masks_shows_what_its_trials_measured():
    readme = (ROOT / "results/README.md").read_text(encoding="utf-8")
    part = readme.partition("## What R is shown behind masks")[2].partition("\n## ")[0]
    shown = re.findall(r"^\| (?!trial).*? \| ([\d,]+) \| (.*?) \| (.*?) \| (.*?) \|$", part, re.M)
    form, trials = "{rmse:.3f} / {ssim:.3f}", results.load("mask-recipe")["trials"]
    rows = ("direct", "Algorithm 2", "averaged")
    expected = [(f"{t['images_seen']:,}", *(form.format(**t["metrics"][row]) for row in rows)) for t in trials]
    assert shown == expected
    assert form.format(**trials[0]["metrics"]["degraded"]) in part
    first = trials[0]["metrics"]
    assert first["Algorithm 2"]["rmse"] > 2 * first["direct"]["rmse"]  # what the text says of it
    before, _, _, second, ships = trials[4:]
    now = ships["metrics"]
    assert now["Algorithm 2"]["rmse"] < now["direct"]["rmse"] < second["metrics"]["direct"]["rmse"]
    dots = [trial["dot"]["Algorithm 2"] for trial in (ships, before, trials[7])]
    told = (
        "by {:.2f} under\nAlgorithm 2 ({:.2f} in the network of 20,000 steps, {:.2f} after the 6,000 steps of small t, "
    )
    assert told.format(*dots) + f"{ships['dot']['original']:.2f} in the originals" in part


def test_the_table_of_moved_digits_shows_what_its_trials_measured():
    readme = (ROOT / "results/README.md").read_text(encoding="utf-8")
    part = readme.partition("## Digits that may stand anywhere")[2].partition("\n## ")[0]
    shown = re.findall(r"^\| (?!trial).*? \| ([\d,]+) \| (.*?) \| (.*?) \| (.*?) \|$", part, re.M)
    form, trials = "{rmse:.3f} / {ssim:.3f}", results.load("place-recipe")["trials"]
    values = [(t["metrics"]["direct"], *t["moved"].values()) for t in trials]
    expected = [
        (f"{t['images_seen']:,}", *(form.format(**v) for v in row)) for t, row in zip(trials, values, strict=True)
    ]
    assert shown == expected
    plain, centred, half = (row[0]["rmse"] for row in values)
    assert 1.15 < centred / plain < 1.19  # a sixth
    assert 1.03 < half / plain < 1.05  # 4 percent


def test_the_table_of_faces_shows_what_its_trials_measured():
    readme = (ROOT / "results/README.md").read_text(encoding="utf-8")
    part = readme.partition("## Faces without a frame")[2].partition("\n## ")[0]
    shown = re.findall(r"^\| (?!trial).*? \| ([\d,]+) \| (.*?) \| (.*?) \| (.*?) \|$", part, re.M)
    form, trials = "{rmse:.3f} / {ssim:.3f}, {ring:.2f}, {excess:.2f}", results.load("faces-recipe")["trials"]
    rows = ("direct", "Algorithm 2", "averaged")
    expected = [
        (f"{t['images_seen']:,}", *(form.format(**t["metrics"][row], **t["artefacts"][row]) for row in rows))
        for t in trials
    ]
    assert shown == expected
    power = trials[1]["power_of_algorithm_2"]  # of waves of 48, 24, 16, ... pixels, along rows and columns
    assert all(48 / (line.index(max(line)) + 1) == 24 and line[12 - 1] < 0.5 for line in power)
    frame = results.load("celeba-64-blur")["artefacts"]["Algorithm 2"]
    assert f"it is {max(frame['excess']):.2f}" in part
    assert frame["ring"] < 1.1


def test_the_table_of_dots_shows_what_its_trials_measured():
    readme = (ROOT / "results/README.md").read_text(encoding="utf-8")
    part = readme.partition("## A dot where the hole closes")[2].partition("\n## ")[0]
    shown = re.findall(r"^\| (?!trial).*? \| ([\d,]+) \| (.*?) \| (.*?) \| (.*?) \|$", part, re.M)
    trials, rows = results.load("dot-recipe")["trials"], ("direct", "Algorithm 2", "averaged")
    form = "{rmse:.3f} / {ssim:.3f}, {median:.3f}"
    expected = [
        (f"{t['images_seen']:,}", *(form.format(**t["metrics"][row], **t["spots"][row]) for row in rows))
        for t in trials
    ]
    assert shown == expected
    first, second, third = (t["spots"] for t in trials)
    assert "{median:.3f}, {largest:.3f} at most".format(**second["original"]) in part
    assert 0.2 < second["Algorithm 2"]["median"] / first["Algorithm 2"]["median"] < 0.3  # a quarter
    assert second["averaged"]["median"] < second["original"]["median"]
    assert all(spot["largest"] < second["original"]["largest"] for row, spot in second.items() if row in rows)
    assert all(third[row]["median"] < 1.2 * third["original"]["median"] for row in rows)
    before, now = (t["metrics"] for t in trials[1:])
    assert all(now[row]["rmse"] < before[row]["rmse"] for row in rows)
    dots = " to ".join(f"{t['Algorithm 1']['median']:.2f}" for t in (second, third))
    assert f"from 0.099 to {results.load('celeba-64-mask')['metrics']['Algorithm 1']['rmse']:.3f}" in part
    assert f"({dots})" in part


def test_the_table_of_depthwise_steps_shows_what_was_measured():
    readme = (ROOT / "results/README.md").read_text(encoding="utf-8")
    part = readme.partition("## Depthwise convolutions by matrices")[2].partition("\n## ")[0]
    shown = re.findall(r"^\| (\S+) \| \d+ x (\d+) \| ([\d.]+) s \| ([\d.]+) s \| ([\d.]+) \|$", part, re.M)
    trials = results.load("depthwise")["trials"]
    for row, trial in zip(shown, trials, strict=True):
        assert row[:2] == (trial["network"], str(trial["size"]))
        for cell, value in zip(row[2:4], trial["seconds"].values(), strict=True):
            assert float(cell) == pytest.approx(value, abs=0.006 if value > 1 else 0.0006)
        assert row[4] == f"{trial['times_as_fast']['median']:.2f}"
    either = [t["times_as_fast"]["least"] < 1 < t["times_as_fast"]["most"] for t in trials]
    assert either == [False, False, True, True]


def test_the_page_tells_what_another_processor_makes_of_the_same_seed():
    page = (ROOT / "book/results.md").read_text(encoding="utf-8")
    first, again = results.load("digits-blur"), results.load("digits-blur-again")
    assert first["config"] == again["config"]
    (direct, other), (end, other_end) = (
        [f"{run['metrics'][row]['rmse']:.3f}" for run in (again, first)] for row in ("direct", "Algorithm 2")
    )
    assert f"RMSE of {direct} in place of {other} by one call and {end} in place of {other_end} by" in page


def test_the_text_on_speed_quotes_its_readings():
    text, readings = (ROOT / "results/recipe.md").read_text(encoding="utf-8"), results.load("speed-cpu")
    for rates in readings["images_per_second"].values():
        for way, rate in rates.items():
            assert f"{rate:,}" in text, way
    best = max(rates["bfloat16, compiled"] / rates["float32"] for rates in readings["images_per_second"].values())
    assert f"{best:.2f} times at best" in text


def test_the_recipe_s_table_shows_what_its_trials_measured():
    table = (ROOT / "results/recipe.md").read_text(encoding="utf-8").replace("*", "")
    rows = {
        row[0]: row for row in re.findall(r"^\| ([A-Z]): (.*?) \| .*? \| ([\d,]+) \| (.*?) \| (.*?) \|$", table, re.M)
    }
    trials = results.load("recipe")["trials"]
    assert set(rows) == set(trials)
    for letter, trial in trials.items():
        pair = ["{rmse:.4f} / {ssim:.3f}", "{rmse:.3f} / {ssim:.3f}"]
        shown = [form.format(**trial[key]) for form, key in zip(pair, ("direct", "improved"), strict=True)]
        assert rows[letter] == (letter, trial["change"], f"{trial['network']['images_seen']:,}", *shown)
