"""The pages of results and models: current, complete, and made of manifests alone."""

import json
import shutil

import pytest
import results_page
from results_page import LICENCES, PAGES, ROOT, apart, page, sampled, table

from coldlab.lab import experiments, results
from coldlab.lab.studies import STUDIES

RUN = [name for name in experiments.EXPERIMENTS if name in results.names() and "intervals" in results.load(name)]
USED = [*RUN, "paper", *(name for name in (*STUDIES, "inverse") if name in results.names())]


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """The manifests in a folder of their own, to be changed."""
    folder = tmp_path / "results"
    folder.mkdir()
    for path in results_page.RESULTS.glob("*.json"):
        shutil.copy(path, folder)
    monkeypatch.setattr(results_page, "RESULTS", folder)
    return folder


@pytest.mark.parametrize("name", PAGES)
def test_the_page_is_what_the_manifests_say_now(name):
    stored = (ROOT / PAGES[name]).read_text()
    assert stored == page(name), f"{PAGES[name]} is older than results/; run python tools/results_page.py"


def changed():
    """Whether one of the pages is another now, or cannot be written at all."""
    try:
        return any(page(name) != (ROOT / PAGES[name]).read_text() for name in PAGES)
    except KeyError:
        return True


@pytest.mark.parametrize("name", USED)
def test_without_one_of_its_manifests_a_page_is_another(name, copied):
    (copied / f"{name}.json").unlink()
    assert changed()


@pytest.mark.parametrize("name", RUN)
def test_a_changed_number_changes_a_page(name, copied):
    path = copied / f"{name}.json"
    run = json.loads(path.read_text())
    run["metrics"]["direct"]["rmse"] += 0.001
    path.write_text(json.dumps(run))
    assert changed()


def test_each_run_stands_there_with_its_command_or_is_listed_as_not_run():
    text = (ROOT / PAGES["results"]).read_text()
    for name in experiments.EXPERIMENTS:
        if name in RUN and name != "digits-blur":
            run = results.load(name)
            assert f"reproduce {name}`" in text
            assert f"{run['images_seen']:,}" in text
            assert (ROOT / f"results/{name}.png").exists()
        elif name not in results.names():
            assert f"- {results_page.titled(name)}: `python -m coldlab reproduce {name}`" in text


def test_values_that_could_not_be_checked_are_marked_and_not_subtracted():
    run = {
        "config": {"degradation": "mask"},
        "metrics": {"direct": {"rmse": 0.5, "ssim": 0.5}},
        "intervals": {"direct": {"rmse": [0.4, 0.6], "ssim": [0.4, 0.6]}},
    }
    paper = {"direct": {"rmse": [0.1, "R"], "ssim": [0.2, "V1"], "fid": [3.0, "R"]}}
    line = table(run, paper)[-1]
    assert "(0.100)†" in line
    assert "(3.00)†" in line
    assert "+0.400" not in line
    assert "0.200 (+0.300)" in line


def test_the_paper_s_sampled_row_is_the_last_prediction_where_its_code_takes_that():
    assert sampled({"config": {"degradation": "blur"}}) == "Algorithm 2"
    assert sampled({"config": {"degradation": "mask"}}) == "last prediction"
    assert sampled({"config": {"degradation": "pixelate"}}) == "last prediction"


def test_an_order_is_claimed_only_where_the_intervals_are_apart():
    run = {"intervals": {"a": {"rmse": [0.1, 0.2]}, "b": {"rmse": [0.25, 0.3]}, "c": {"rmse": [0.15, 0.27]}}}
    assert apart(run, "rmse", "a", "b") == "yes"
    assert apart(run, "rmse", "b", "a") == "no"
    assert apart(run, "rmse", "a", "c") == "undecided"


def test_the_inverse_does_what_the_page_says():
    run, paper = results.load("inverse")["experiments"], results.load("paper")["values"]
    cifar, mnist = run["cifar10-blur"]["metrics"], run["mnist-blur"]["metrics"]
    for measure, better in (("rmse", -1), ("ssim", 1)):
        assert better * cifar["float32"][measure] > better * paper["cifar10-blur"]["direct"][measure][0]
        assert better * paper["cifar10-blur"]["direct"][measure][0] > better * cifar["8 bits"][measure]
    assert mnist["float32"]["ssim"] < 0.2
    assert paper["cifar10-blur"]["degraded"]["rmse"][0] > cifar["degraded"]["rmse"]
    for name in ("mnist-pixelate", "cifar10-pixelate"):
        assert run[name]["metrics"]["float32"]["rmse"] > run[name]["metrics"]["degraded"]["rmse"]


def test_few_calls_do_what_the_page_and_chapter_4_say():
    run, name = results.load("mnist-blur"), "Fréchet (mnist-classifier)"
    direct, many = run["metrics"]["direct"], run["metrics"]["Algorithm 2"]
    assert direct["rmse"] < run["calls"]["2"]["rmse"] < run["calls"]["3"]["rmse"] < many["rmse"]
    assert max(run["calls"][n][name] for n in "23") < direct[name] < many[name]


def test_the_distance_overlooks_what_the_page_says():
    mask, blur = results.load("cifar10-mask")["metrics"], results.load("cifar10-blur")["metrics"]
    name = "Fréchet (cifar10-classifier)"
    assert abs(mask["Algorithm 1"][name] - blur["direct"][name]) < 0.5
    assert mask["Algorithm 1"]["rmse"] > 0.3
    assert mask["last prediction"][name] < mask["direct"][name]


def test_late_severities_are_as_rare_as_the_page_says():
    for name, T, t, share in (("cifar10-mask", 50, 1, 1 / 2500), ("celeba-64-blur", 110, 4, 0.0013)):
        config = results.load(name)["config"]
        assert f"T={T}" in config["options"]
        assert (t / T) ** config["late"] == pytest.approx(share, rel=0.03)  # the largest of `late` draws is t or less


def test_calls_on_faces_do_what_the_page_says():
    run, name = results.load("celeba-64-blur"), "Fréchet (cifar10-classifier)"
    ways = [run["metrics"]["direct"], *(run["calls"][n] for n in ("2", "3", "5", "10")), run["metrics"]["Algorithm 2"]]
    assert [way["rmse"] for way in ways] == sorted(way["rmse"] for way in ways)
    assert [way[name] for way in ways] == sorted((way[name] for way in ways), reverse=True)


def test_every_shipped_file_has_a_card_with_the_licence_of_its_data():
    text = (ROOT / PAGES["models"]).read_text()
    cards = text.split("\n## ")[1:]
    files = sorted(path.stem for path in (ROOT / "coldlab/weights").glob("*.safetensors"))
    assert [card.splitlines()[0] for card in cards] == files
    for card in cards:
        assert LICENCES[card.split("-")[0]] in card
        assert "test images" in card


def test_the_weights_stay_small():
    sizes = [path.stat().st_size for path in (ROOT / "coldlab/weights").glob("*.safetensors")]
    assert max(sizes) <= 6e6
    assert sum(sizes) <= 30e6
