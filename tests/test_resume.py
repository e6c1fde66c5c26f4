"""How a run goes on: on the images it began with, wherever they are now, and longer than it was meant to."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from test_training import equal_states

from coldlab import checkpoints, data, load_pretrained
from coldlab.__main__ import main
from coldlab.degradations import family
from coldlab.lab import runs
from coldlab.training import learning_rate

pytestmark = pytest.mark.filterwarnings("always::UserWarning")
TINY = ["--steps", "4", "--save-every", "2", "--batch", "4", "--options", "T=2", "--width", "8", "--mults", "1"]
TINY += ["--attention", "--patch", "4", "--device", "cpu", "--lr", "0.01", "--warmup", "2"]


def pictures(folder, count, start=0):
    folder.mkdir(exist_ok=True)
    for k in range(start, start + count):
        chance = np.random.default_rng(k)
        Image.fromarray(chance.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(folder / f"{k:03d}.png")
    return folder


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working directory with photos/, and a run on them in tmp_path/run, begun from there by a relative name."""
    (tmp_path / "home").mkdir()
    (tmp_path / "elsewhere").mkdir()
    pictures(tmp_path / "home" / "photos", 24)
    monkeypatch.chdir(tmp_path / "home")
    assert train(tmp_path / "run", "--dataset", "photos") == 0
    return tmp_path / "home"


def train(out, *more):
    return main(["train", *TINY, *map(str, more), "--out", str(out)])


def go_on(out, *more):
    return main(["train", "--resume", "--device", "cpu", "--out", str(out), *map(str, more)])


def state(out, step):
    return checkpoints.load_state(out / f"step-{step:07d}.pt")[1]


def back_to(out, step):
    """The run as it was after `step`, stopped there."""
    for path in out.glob("step-*.pt"):
        if int(path.stem[5:]) > step:
            path.unlink()
    (out / "model.safetensors").unlink()


def told(capsys, code, out, *more):
    assert go_on(out, *more) == code
    lines = [line for line in capsys.readouterr().err.replace("\r", "\n").splitlines() if line.startswith("coldlab: ")]
    (line,) = [line for line in lines if not line.startswith("coldlab: warning")] or lines
    return line


def test_a_run_finds_its_images_from_another_working_directory(home, tmp_path, monkeypatch):
    whole, run = state(tmp_path / "run", 4), tmp_path / "run"
    monkeypatch.chdir(tmp_path / "elsewhere")
    back_to(run, 2)
    assert go_on(run) == 0
    assert equal_states(state(run, 4), whole)
    assert load_pretrained(run).config.dataset == "photos"
    assert main(["evaluate", "--pretrained", str(run), "--resamples", "0"]) == 0  # so do the commands that use it
    assert main(["sample", "--pretrained", str(run), "--count", "2", "--start", "mean", "--out", "s"]) == 0


def test_images_that_moved_are_named_and_known_by_their_content(home, tmp_path, monkeypatch, capsys):
    whole, run = state(tmp_path / "run", 4), tmp_path / "run"
    shutil.move(home / "photos", tmp_path / "elsewhere" / "moved")
    monkeypatch.chdir(tmp_path)
    back_to(run, 2)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    capsys.readouterr()
    line = told(capsys, 2, run)
    assert str(home / "photos") in line
    assert "--dataset" in line
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    assert "no folder or zip at 'else/where'" in told(capsys, 2, run, "--dataset", "else/where")
    assert go_on(run, "--dataset", "elsewhere/moved") == 0
    assert equal_states(state(run, 4), whole)
    assert load_pretrained(run).config.dataset == "elsewhere/moved"
    assert go_on(run) == 0  # it knows the new place from now on


def test_a_moved_run_is_found_beside_its_moved_images(home, tmp_path, monkeypatch):
    """From one machine to another: the path that was written down is not there, the name beside the run is."""
    whole = state(tmp_path / "run", 4)
    shutil.move(home / "photos", tmp_path / "elsewhere" / "photos")
    shutil.move(tmp_path / "run", tmp_path / "elsewhere" / "run")
    monkeypatch.chdir(tmp_path / "elsewhere")
    back_to(tmp_path / "elsewhere" / "run", 2)
    assert go_on("run") == 0
    assert equal_states(state(tmp_path / "elsewhere" / "run", 4), whole)


def test_labels_that_changed_are_refused(tmp_path, capsys):
    for name, first in (("a", 0), ("b", 12)):
        (tmp_path / "sorted" / name).mkdir(parents=True)
        pictures(tmp_path / "sorted" / name, 12, first)
    run = tmp_path / "run"
    assert train(run, "--dataset", tmp_path / "sorted", "--classes", 2) == 0
    assert go_on(run, "--steps", "5") == 0
    moved = sorted((tmp_path / "sorted" / "b").iterdir())[:4]
    for path in moved:  # the same images in the same order, of another class
        path.rename(tmp_path / "sorted" / "a" / path.name)
    capsys.readouterr()
    assert "the labels are not those of the run" in told(capsys, 2, run, "--steps", "9")


@pytest.mark.parametrize("name", ["animorph", "animorph+blur"])
def test_images_that_a_degradation_mixes_in_are_inputs_too(name, home, tmp_path, capsys):
    """They are not written over, and a run does not go on with others."""
    other, run = tmp_path / "into", tmp_path / "run of two"
    other.mkdir()
    pictures(other, 12, 40)
    part = "animorph." * ("+" in name)
    morph = ["--dataset", home / "photos", "--degradation", name, "--options", f"{part}T=2", f"{part}into={other}"]
    before = {path.name: path.read_bytes() for path in other.iterdir()}
    capsys.readouterr()
    assert train(other, *morph) == 2
    assert "the input" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in other.iterdir()} == before
    assert train(run, *morph) == 0
    assert go_on(run, "--steps", "5") == 0
    out = tmp_path / "sampled"
    assert main(["sample", "--pretrained", str(run), "--start", "test", "--count", "2", "--out", str(other)]) == 2
    assert "the input" in capsys.readouterr().err
    assert main(["sample", "--pretrained", str(run), "--start", "test", "--count", "2", "--out", str(out)]) == 0
    sorted(other.iterdir())[0].unlink()
    family.images_of.cache_clear()  # as in another process
    capsys.readouterr()
    assert f"the images of {other} are not those of the run" in told(capsys, 2, run, "--steps", "9")


@pytest.mark.parametrize("change", ["added", "removed", "replaced"])
def test_images_that_changed_are_refused_with_both_counts_and_fingerprints(change, home, tmp_path, capsys):
    run, photos = tmp_path / "run", home / "photos"
    first = json.loads((run / "config.json").read_text(encoding="utf-8"))["images"]["fingerprint"]
    if change == "added":
        pictures(photos, 9, 100)
    elif change == "removed":
        (photos / "003.png").unlink()
    else:
        shutil.copy(photos / "004.png", photos / "003.png")
    now, _ = data.load(photos)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    capsys.readouterr()
    for more in ([], ["--dataset", photos], ["--steps", 9]):
        line = told(capsys, 2, run, *more)
        assert f"{len(now)}, fingerprint {data.fingerprint(now)}, not 22, fingerprint {first}" in line
        assert "--dataset" in line
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_images_of_another_shape_are_refused(home, tmp_path, capsys):
    capsys.readouterr()
    assert "numbers each" in told(capsys, 2, tmp_path / "run", "--dataset", "digits")


def test_one_level_of_one_pixel_is_refused(home, tmp_path, capsys):
    first = data.fingerprint(data.load(home / "photos")[0])
    path = home / "photos" / "000.png"
    pixels = np.asarray(Image.open(path)).copy()
    pixels[0, 0, 0] += 1 if pixels[0, 0, 0] < 255 else -1
    Image.fromarray(pixels).save(path)
    capsys.readouterr()
    now = data.fingerprint(data.load(home / "photos")[0])
    assert f"fingerprint {now}, not 22, fingerprint {first}" in told(capsys, 2, tmp_path / "run")


def test_the_same_images_in_another_order_are_refused(home, tmp_path, capsys):
    one, other = home / "photos/000.png", home / "photos/001.png"
    a, b = one.read_bytes(), other.read_bytes()
    one.write_bytes(b), other.write_bytes(a)  # same count, same mean
    capsys.readouterr()
    assert "not 22, fingerprint" in told(capsys, 2, tmp_path / "run")


def test_a_run_that_does_not_say_its_images_goes_on_with_a_warning(home, tmp_path, capsys):
    (tmp_path / "run" / "config.json").unlink()
    capsys.readouterr()
    assert "does not say which images" in told(capsys, 0, tmp_path / "run")
    assert "fingerprint" in (tmp_path / "run" / "config.json").read_text(encoding="utf-8")


def test_files_of_others_in_a_folder_stay_there(home, tmp_path, capsys):
    photos, run = tmp_path / "home" / "photos", tmp_path / "run"
    (photos / ".film.mkv.part").write_bytes(b"precious")
    assert go_on(photos) == 2
    assert (photos / ".film.mkv.part").exists()
    for name in (".film.mkv.part", ".step-0000002.pt.77.part"):
        (run / name).write_bytes(b"")
    assert go_on(run) == 0
    assert (run / ".film.mkv.part").exists()
    assert not (run / ".step-0000002.pt.77.part").exists()  # what a kill has left of our own


def test_the_newest_states_are_those_of_the_largest_steps(home, tmp_path):
    run = tmp_path / "run"
    _, state, config = checkpoints.newest_state(run)
    for name in ("step-best.pt", "step-old.pt"):  # somebody's copies
        shutil.copy(run / "step-0000004.pt", run / name)
    for step in (9_999_990, 9_999_999, 10_000_000, 10_000_010):
        state.step = step
        runs.save(run, state, config)
    kept = ["step-10000000.pt", "step-10000010.pt", "step-best.pt", "step-old.pt"]
    assert sorted(path.name for path in run.glob("step-*.pt")) == kept
    assert checkpoints.newest_state(run)[1].step == 10_000_010


WRONG = [None, 3, "photos", [], {}, {"fingerprint": "a"}, {"fingerprint": 3, "training": "many", "held_out": None}]
WRONG += [{"path": 7}, {"path": ["photos"], "skip_unreadable": "no"}, {"training": 1.5, "held_out": {}}]


@pytest.mark.parametrize("images", WRONG, ids=str)
def test_a_config_that_somebody_edited_says_what_it_can(images, home, tmp_path, capsys):
    path = tmp_path / "run" / "config.json"
    content = json.loads(path.read_text(encoding="utf-8")) | {"images": images}
    path.write_text(json.dumps(content), encoding="utf-8")
    capsys.readouterr()
    assert "does not say which images" in told(capsys, 0, tmp_path / "run")
    path.write_text(json.dumps(content), encoding="utf-8")
    assert main(["evaluate", "--pretrained", str(tmp_path / "run"), "--limit", "2", "--resamples", "0"]) == 0


# ------------------------------------------------------------------------------------------------------------ settings


def test_a_setting_that_is_asked_for_is_never_passed_over(tmp_path, capsys):
    """The default's value too: --lr 0.003 on a run with 0.01."""
    run = tmp_path / "run"
    assert train(run, "--no-precondition") == 0
    capsys.readouterr()
    wrong = {
        "--lr 0.003": "lr: was 0.01, now 0.003",
        "--lr=0.003": "lr: was 0.01, now 0.003",
        "--width 32": "width: was 8, now 32",
        "--mults 1 1 2": "mults: was",
        "--seed 1": "seed: was 0, now 1",
        "--options T=3": "options: was",
        "--attention 0": "attention: was ()",
        "--held_out 3": "held_out: was",
    }
    for words, message in wrong.items():
        assert message in told(capsys, 2, run, *words.split()), words
    assert go_on(run, "--no-precondition", "--lr", "0.01", "--attention", "--options", "T=2") == 0


def test_channels_that_the_images_do_not_have_are_told(tmp_path, capsys):
    assert train(tmp_path / "run", "--channels", "3") == 2
    assert "--channels 3, and digits is grey" in capsys.readouterr().err


# -------------------------------------------------------------------------------------------------------------- longer


def interrupt(monkeypatch, at, out, *more):
    """Ctrl-C after step `at`."""
    import os
    import signal

    def steps(*given, real=runs.train):
        for step, loss in real(*given):
            if step == at:
                os.kill(os.getpid(), signal.SIGINT)
            yield step, loss

    with monkeypatch.context() as patch:
        patch.setattr(runs, "train", steps)
        assert go_on(out, *more) == 130


def test_a_finished_run_trains_longer_the_same_each_time(tmp_path, monkeypatch, capsys):
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    assert train(first) == 0
    for copy in (second, third):
        shutil.copytree(first, copy)
    capsys.readouterr()
    assert go_on(first, "--steps", 10) == 0
    printed = capsys.readouterr().out
    assert "4 steps become 10: from step 4 on the learning rate is that of a run of 10 steps" in printed
    config = load_pretrained(first).config
    lines = [json.loads(line) for line in (first / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 10]
    assert state(first, 10).step == 10
    assert config.steps in (4, 10)  # of the weights that did best
    longer = checkpoints.load_state(first / "step-0000010.pt")[2]
    assert longer.steps == 10
    assert lines[-1]["lr"] == learning_rate(longer, 9)
    assert go_on(second, "--steps", 10) == 0
    interrupt(monkeypatch, 7, third, "--steps", 10)
    assert go_on(third) == 0  # it knows its new end
    for copy in (second, third):
        assert equal_states(state(copy, 10), state(first, 10))
        for name in ("model.safetensors",):
            assert (copy / name).read_bytes() == (first / name).read_bytes() or copy is third
    assert go_on(first, "--steps", 10) == 0  # finished again: nothing more to do
    capsys.readouterr()
    for steps in (9, 4, 1):
        assert f"has taken 10 steps, --steps {steps} would end before" in told(capsys, 2, first, "--steps", steps)


def test_a_kill_before_the_first_checkpoint_forgets_nothing_that_was_asked(tmp_path, monkeypatch):
    run = tmp_path / "run"
    assert train(run) == 0

    def killed(*arguments):
        raise SystemExit(137)

    with monkeypatch.context() as patch:
        patch.setattr(runs, "train", killed)
        with pytest.raises(SystemExit):
            go_on(run, "--steps", 10)
    assert go_on(run) == 0
    assert state(run, 10).step == 10


def test_the_default_number_of_steps_counts_where_it_is_asked_for(tmp_path, monkeypatch, capsys):
    asked = []
    assert train(tmp_path / "run") == 0
    monkeypatch.setattr(runs, "train", lambda state, D, images, config, *more: asked.append(config.steps) or iter(()))
    assert go_on(tmp_path / "run", "--steps", 1000) == 0
    assert asked == [1000]


def test_an_unfinished_run_may_end_earlier(tmp_path, monkeypatch, capsys):
    run = tmp_path / "run"
    assert train(run, "--steps", 8) == 0
    back_to(run, 6)
    capsys.readouterr()
    assert go_on(run, "--steps", 7) == 0
    assert "8 steps become 7" in capsys.readouterr().out
    assert state(run, 7).step == 7


# -------------------------------------------------------------------------------------------------------- broken files


def spoil(path):
    path.write_bytes(path.read_bytes()[:60])


def test_a_broken_image_of_the_test_split_ends_no_run(tmp_path, capsys):
    """It is told before the first step, and not at the first picture, or after a resume."""
    photos, run = pictures(tmp_path / "photos", 24), tmp_path / "run"
    spoil(photos / "009.png")  # every tenth is test
    assert train(run, "--dataset", photos, "--sample-every", "1") == 2
    assert "009.png" in capsys.readouterr().err
    assert not list(run.glob("*"))
    assert train(run, "--dataset", photos, "--sample-every", "1", "--skip-unreadable") == 0
    assert (run / "samples-0000001.png").exists()
    back_to(run, 2)
    assert go_on(run) == 0
    assert (run / "samples.png").exists()
    spoil(photos / "019.png")  # now there is no test image left
    back_to(run, 2)
    capsys.readouterr()
    assert go_on(run) == 2
    assert "none of the 2 images for test" in capsys.readouterr().err
    assert (run / "step-0000002.pt").exists()  # nothing is lost


def test_unreadable_images_are_left_out_where_asked_for(tmp_path, capsys):
    photos, run = pictures(tmp_path / "photos", 40), tmp_path / "run"
    spoil(photos / "003.png")
    spoil(photos / "019.png")
    assert train(run, "--dataset", photos) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "003.png" in line
    assert train(run, "--dataset", photos, "--skip-unreadable") == 0
    back_to(run, 2)
    assert go_on(run) == 0  # it remembers
    capsys.readouterr()
    common = ["--pretrained", str(run), "--device", "cpu"]
    for words in (["evaluate", *common, "--resamples", "0"], ["sample", *common, "--count", "2", "--start", "mean"]):
        more = ["--out", str(tmp_path / "s")] if words[0] == "sample" else []
        assert main([*words, *more]) == 2
        assert "019.png" in capsys.readouterr().err  # of the test split
        assert main([*words, *more, "--skip-unreadable"]) == 0


def test_a_pool_holds_what_it_says():
    images = torch.arange(100, dtype=torch.uint8).view(100, 1, 1, 1).expand(100, 1, 32, 32).contiguous()
    config = load_pretrained("digits-blur").config
    pool = runs.pool_of(images, "digits", config)
    assert (len(pool.among), len(pool.held), len(pool.drawn)) == (90, 10, 8)
    assert torch.equal(pool.drawn, pool.held[:8])
    assert sorted([*pool.among.tolist(), *pool.held[:, 0, 0, 0].tolist()]) == list(range(100))
    few = runs.pool_of(images[:20], "digits", config)  # two held out: test images are drawn
    assert torch.equal(few.drawn, data.load("digits", "test")[0][:8])
