"""No command writes over what it reads, by whatever name; and every console shows what a command has to say."""

import io
import json
import os
import shutil
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from coldlab import data, load_pretrained
from coldlab.__main__ import main
from coldlab.errors import ColdlabError
from coldlab.lab import outputs

pytestmark = pytest.mark.filterwarnings("always::UserWarning")
TINY = ["--steps", "1", "--batch", "4", "--options", "T=2", "--width", "8", "--mults", "1", "--attention"]
TINY += ["--device", "cpu"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A tiny run on digits."""
    out = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", *TINY, "--out", str(out)]) == 0
    return out


@pytest.fixture
def photos(tmp_path):
    """Two dozen colour pictures, 16 x 16."""
    folder, chance = tmp_path / "photos", np.random.default_rng(0)
    folder.mkdir()
    for k in range(24):
        Image.fromarray(chance.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{k:02d}.png")
    return folder


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(capsys, folder, *words):
    """The sentence of a command that ends with code 2 and leaves `folder` as it was, byte for byte."""
    before = contents(folder)
    assert main([str(word) for word in words]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("coldlab: warning")]
    assert contents(folder) == before
    return line


def picture(path):
    Image.fromarray(data.load("digits", "test")[0][3, 0].numpy()).save(path)
    return path


@pytest.mark.parametrize("name", ["x.gif", "x.GIF", "X.gif", "x-restored.png", "x-Restored.PNG", "x-trajectory.png"])
def test_restore_spares_every_input(name, run, tmp_path, capsys):
    source, other = picture(tmp_path / name), picture(tmp_path / "other.png")
    images = [other, source] if name.lower().endswith(".gif") else [picture(tmp_path / "x.png"), source]
    line = refused(capsys, tmp_path, "restore", *images, "--pretrained", run, "--degrade", "--out", tmp_path)
    assert f"would be written over the input {source}; choose another --out" in line
    words = ["restore", *images, "--pretrained", run, "--degrade", "--out", tmp_path / "results"]
    assert main([str(word) for word in words]) == 0


def test_restore_spares_an_input_below_home(run, tmp_path, capsys, monkeypatch):
    """A quoted ~, or one of a shell that leaves it alone."""
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    picture(tmp_path / "x.gif")
    line = refused(capsys, tmp_path, "restore", "~/x.gif", "--pretrained", run, "--degrade", "--out", tmp_path)
    assert "would be written over the input" in line
    nobody = "~of-nobody-here/x.png"
    assert "of-nobody-here" in refused(capsys, tmp_path, "restore", nobody, "--pretrained", run, "--out", tmp_path)


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_restore_sees_through_links(link, run, tmp_path, capsys):
    source, out = picture(tmp_path / "x.png"), tmp_path / "out"
    out.mkdir()
    link(source, out / "x-restored.png")
    assert "would be written over" in refused(capsys, tmp_path, "restore", source, "--pretrained", run, "--out", out)
    os.symlink(tmp_path, tmp_path / "same")
    gif = picture(tmp_path / "y.gif")
    line = refused(capsys, tmp_path, "restore", gif, "--pretrained", run, "--out", tmp_path / "same")
    assert "would be written over" in line
    assert "would lie inside" in refused(capsys, tmp_path, "restore", gif, "--pretrained", run, "--out", gif)


def test_two_images_whose_results_would_be_one_file_are_told(run, tmp_path, capsys):
    images = picture(tmp_path / "a.png"), picture(tmp_path / "A.bmp")  # one name on Windows and on a Mac
    assert "same name" in refused(capsys, tmp_path, "restore", *images, "--pretrained", run, "--out", tmp_path / "out")


@pytest.mark.parametrize("where", ["photos", "photos/run", "PHOTOS/run", "link/run", "photos/../photos/a/b"])
def test_a_run_does_not_lie_in_its_own_images(where, photos, tmp_path, capsys):
    os.symlink(photos, tmp_path / "link")
    line = refused(capsys, tmp_path, "train", *TINY, "--dataset", photos, "--size", "16", "--out", tmp_path / where)
    assert "would lie inside the input" in line
    assert "--out" in line


@pytest.mark.parametrize("link", [os.symlink, os.link])
@pytest.mark.parametrize("name", ["samples.png", "loss.png", "samples-0000001.png"])
def test_a_run_does_not_write_through_a_picture_that_is_a_link(link, name, photos, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (photos / "00.png").rename(tmp_path / "run" / name)
    link(tmp_path / "run" / name, photos / "00.png")
    line = refused(capsys, tmp_path, "train", *TINY, "--dataset", photos, "--size", "16", "--out", tmp_path / "run")
    assert f"through {photos / '00.png'}, a link among the images; choose another --out" in line


@pytest.mark.parametrize("out", ["run", "a/run", "a/b/run"])
def test_a_run_does_not_lie_in_a_folder_linked_into_its_images(out, photos, tmp_path, capsys):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (photos / "more").mkdir()
    os.symlink(tmp_path, photos / "more" / "back")  # round in a circle, too
    line = refused(capsys, tmp_path, "train", *TINY, "--dataset", photos, "--size", "16", "--out", tmp_path / out)
    assert "a link among the images" in line


def test_many_links_are_looked_at_soon(tmp_path):
    (tmp_path / "x.png").write_bytes(b"")
    (tmp_path / "many").mkdir()
    for k in range(20_000):
        os.symlink(tmp_path / "x.png", tmp_path / "many" / f"{k}.png")
    began = time.perf_counter()
    outputs.spare([tmp_path / "run" / "loss.png"], [tmp_path / "many"])
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize("name", ["samples-0000001.png", "weights-0000001.safetensors", "step-0000001.pt"])
def test_a_zip_named_as_a_run_names_its_files_is_spared(name, photos, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    path = tmp_path / "run" / name
    Path(shutil.make_archive(str(tmp_path / "images"), "zip", photos)).rename(path)
    line = refused(capsys, tmp_path, "train", *TINY, "--dataset", path, "--size", "16", "--out", tmp_path / "run")
    assert "would be written over the input" in line


@pytest.mark.parametrize("words", [["--out", "~/run"], ["--out=~/run"]])
def test_home_is_home_wherever_it_stands(words, tmp_path, monkeypatch):
    """Shells leave a ~ behind = alone, and one in quotes."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    assert main(["train", *TINY, *words]) == 0
    assert (tmp_path / "run" / "model.safetensors").is_file()
    assert not list((tmp_path / "here").iterdir())


@pytest.mark.parametrize("words", [["reproduce", "mnist-blur", "--budget", "2\nm"], ["restore", "a\nb.png"]], ids=str)
def test_a_line_feed_in_a_value_does_not_split_the_sentence(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert "\\n" in refused(capsys, tmp_path, *words)


def test_a_run_in_the_folder_of_its_images_is_refused_by_default_too(photos, monkeypatch, capsys):
    monkeypatch.chdir(photos)
    line = refused(capsys, photos, "train", *TINY, "--dataset", ".", "--size", "16")
    assert "runs/photos-blur" in line.replace("\\", "/")


def test_a_run_does_not_take_the_place_of_its_zip(photos, tmp_path, capsys):
    path = shutil.make_archive(str(tmp_path / "images"), "zip", photos)
    line = refused(capsys, tmp_path, "train", *TINY, "--dataset", path, "--size", "16", "--out", path)
    assert "would lie inside" in line
    assert zipfile.is_zipfile(path)


def test_a_run_beside_its_images_is_welcome(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", *TINY, "--dataset", "photos", "--size", "16", "--patch", "2", "--out", "."]) == 0
    assert load_pretrained(tmp_path).config.dataset == "photos"


def test_sample_spares_the_run_and_the_images(run, photos, tmp_path, capsys):
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    line = refused(capsys, tmp_path, "sample", "--pretrained", copy, "--count", "2", "--out", copy)
    assert "samples.png would be written over the input" in line
    words = ["sample", "--pretrained", copy, "--dataset", photos, "--count", "2", "--out", photos / "new"]
    assert "would lie inside the input" in refused(capsys, tmp_path, *words)
    weights = shutil.copy(run / "model.safetensors", tmp_path / "x-trajectory.png")
    words = ["restore", picture(tmp_path / "x.png"), "--pretrained", weights, "--out", tmp_path]
    assert "written over" in refused(capsys, tmp_path, *words)


def test_named_datasets_are_spared_too(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLDLAB_DATA", str(tmp_path))
    (tmp_path / "MNIST").mkdir()
    for words in (["train", "--dataset", "mnist"], ["reproduce", "mnist-blur"]):
        assert "would lie inside" in refused(capsys, tmp_path, *words, "--out", tmp_path / "MNIST" / "run")
    line = refused(capsys, tmp_path, "reproduce", "mnist-blur", "--results", tmp_path / "MNIST")
    assert "would lie inside" in line


@pytest.mark.parametrize("link", [os.symlink, os.link])
@pytest.mark.parametrize("end", [".webp", "-steps.webp", "-nearest.webp", ".json"])
def test_results_are_not_written_through_links_to_a_dataset(link, end, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLDLAB_DATA", str(tmp_path / "data"))
    for folder in ("data/MNIST/raw", "results"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "data/MNIST/raw/images").write_bytes(b"precious")
    link(tmp_path / "data/MNIST/raw/images", tmp_path / f"results/mnist-blur{end}")
    line = refused(capsys, tmp_path, "reproduce", "mnist-blur", "--results", tmp_path / "results")
    assert "--out" in line


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_picture_takes_the_place_of_a_link_and_leaves_what_it_leads_to(link, tmp_path):
    from coldlab import plots

    (tmp_path / "precious").write_bytes(b"precious")
    for name in ("a.png", "a.gif"):
        link(tmp_path / "precious", tmp_path / name)
    plots.grid(torch.zeros(1, 1, 4, 4), "Black.").save(tmp_path / "a.png")
    plots.gif(torch.zeros(2, 1, 4, 4), tmp_path / "a.gif")
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert Image.open(tmp_path / "a.png").format == "PNG"
    assert Image.open(tmp_path / "a.gif").format == "GIF"


LONG = "a" * 300
NOBODY = [["bench", "--dataset", "~nobody-of-this-name/x"], ["train", "--dataset", "~nobody-of-this-name/x"]]
NOBODY += [["bench", "--dataset", LONG], ["train", "--out", LONG], ["train", "--resume", "--out", LONG]]
NOBODY += [["evaluate", "--pretrained", LONG], ["restore", "x.png", "--pretrained", LONG]]
NOBODY += [
    ["sample", "--pretrained", LONG],
    ["restore", "x.png", "--degrade", "--out", LONG],
    ["sample", "--out", LONG],
]
NOBODY += [["reproduce", "digits-blur", "--out", LONG], ["reproduce", "digits-blur", "--results", LONG]]
NOBODY += [["bench", "--device", "hpu"], ["bench", "--device", "privateuseone"], ["evaluate", "--device", "xpu:9"]]


@pytest.mark.parametrize("words", NOBODY, ids=lambda words: " ".join(words)[:40])
def test_paths_and_devices_that_cannot_be_are_told_in_one_sentence(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "x.png")
    assert refused(capsys, tmp_path, *words).startswith("coldlab: ")


@pytest.mark.parametrize("words", [["restore", "x.png"], ["sample", "--count", "1"], ["train", *TINY]], ids=str)
def test_an_out_that_cannot_be_is_told_before_the_work(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "x.png")
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    monkeypatch.setattr(torch.nn.Module, "__call__", None)  # no network is asked
    for out in ("file", "file/deep/er"):
        line = refused(capsys, tmp_path, *words, "--out", out)
        assert "is no folder to write in; choose another --out" in line


def test_links_in_circles_and_names_that_cannot_be_are_no_tracebacks(tmp_path):
    os.symlink(tmp_path / "a", tmp_path / "b")
    os.symlink(tmp_path / "b", tmp_path / "a")
    outputs.spare([tmp_path / "a" / "x"], [tmp_path / "c", "no\0name"])
    with pytest.raises(ColdlabError, match="written over"):
        outputs.spare([tmp_path / "a"], [tmp_path / "a"])


# ------------------------------------------------------------------------------------------------------------ consoles


@pytest.mark.parametrize("encoding", ["cp932", "cp1252", "ascii"])
def test_consoles_of_other_countries_show_what_they_can(encoding, run, tmp_path, monkeypatch):
    """The é of Fréchet, the frames of --help, and file names: a sign that is missing must not end a command."""
    source = picture(tmp_path / "bild-ü-日本-\udcff.png")  # the last is a byte that is no text at all

    def printed(*words):
        streams = {name: io.TextIOWrapper(io.BytesIO(), encoding=encoding) for name in ("stdout", "stderr")}
        with monkeypatch.context() as patch:
            for name, stream in streams.items():
                patch.setattr(sys, name, stream)
            try:
                code = main([str(word) for word in words])
            except SystemExit as ended:
                code = ended.code
            for stream in streams.values():
                stream.flush()
        return code, *(stream.buffer.getvalue().decode(encoding) for stream in streams.values())

    few = ["evaluate", "--pretrained", run, "--limit", "40", "--resamples", "0", "--device", "cpu"]
    code, out, err = printed(*few)
    assert code == 0, err
    assert "chet (digits-classifier)" in out
    code, out, err = printed(*few, "--json")
    assert "Fréchet (digits-classifier)" in json.loads(out)["metrics"]["direct"]  # nothing is lost in JSON
    code, out, err = printed("evaluate", "--help")
    assert code == 0, err
    assert "--pretrained" in out
    code, out, err = printed("restore", source, "--pretrained", run, "--out", tmp_path / "out", "--degrade")
    assert code == 0, err
    assert "-restored.png" in out
    code, out, err = printed("restore", tmp_path / "weg-日本-\udcff.png", "--pretrained", run)
    assert code == 2
    assert "there is no image file" in err


# ----------------------------------------------------------------------------------------------------- what it is shown


@pytest.mark.parametrize("kind", ["png", "jpg", "npy"])
def test_a_sharp_image_is_not_restored_without_a_word(kind, tmp_path, capsys):
    R = load_pretrained("digits-blur")
    sharp = data.to_float(data.load("digits", "test")[0][3:4])
    told = {}
    for name, x in {"sharp": sharp, "blurred": R.D(sharp, R.D.T), "half": R.D(sharp, 5)}.items():
        path = tmp_path / f"{name}.{kind}"
        if kind == "npy":
            np.save(path, x[0].numpy())
        else:
            Image.fromarray(data.to_uint8(x)[0, 0].numpy()).save(path, **({"quality": 75} if kind == "jpg" else {}))
        for more in ([], ["--severity", "5"], ["--degrade"]):
            assert main(["restore", str(path), "--out", str(tmp_path / "out"), *more]) == 0
            told[name, " ".join(more)] = [
                line for line in capsys.readouterr().err.splitlines() if "holds detail" in line
            ]
    for case in (("sharp", ""), ("sharp", "--severity 5"), ("half", "")):
        assert len(told[case]) == 1, case
        assert "--degrade" in told[case][0]
        assert "--severity" in told[case][0]
    assert not any(told[case] for case in told if case not in (("sharp", ""), ("sharp", "--severity 5"), ("half", "")))


def test_images_that_are_not_square_name_the_option(tmp_path, capsys):
    for k in range(3):
        Image.fromarray(torch.zeros(20, 30, dtype=torch.uint8).numpy()).save(tmp_path / f"{k}.png")
    line = refused(capsys, tmp_path, "train", *TINY, "--dataset", tmp_path, "--out", tmp_path.parent / "run")
    assert "30 x 20" in line or "30x20" in line
    assert "--size" in line
