"""The command line: what each command writes and prints, what it says to mistakes, and that no run is ever lost."""

import errno
import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch
from helpers import rms
from PIL import Image

import coldlab
from coldlab import ColdlabError, checkpoints, data, degradations, generation, load_pretrained, metrics, sampling
from coldlab import __main__ as cli
from coldlab.__main__ import main
from coldlab.lab import looks, results, runs
from coldlab.presets import PRESETS

TINY = ["train", "--steps", "6", "--save-every", "2", "--batch", "8", "--options", "T=3", "--device", "cpu"]
TINY += ["--width", "8", "--mults", "1", "--attention", "--patch", "4", "--sample-every", "2"]
ROOT = Path(coldlab.__file__).parents[1]
pytestmark = pytest.mark.filterwarnings("always::UserWarning")  # the suite's "error" would replace what main prints


def train(out, *more):
    return main([*TINY, *map(str, more), "--out", str(out)])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that nothing disturbed."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert train(out) == 0
    return out


@pytest.fixture
def copy(finished, tmp_path):
    """The same run, to be damaged."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def told(capsys, code, *arguments):
    """The sentence on stderr with which a command ends."""
    assert main([str(a) for a in arguments]) == code
    lines = capsys.readouterr().err.replace("\r", "\n").splitlines()
    (line,) = [line for line in lines if line.startswith("coldlab: ") and not line.startswith("coldlab: warning")]
    assert "Traceback" not in line
    return line


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]


def same_run(a, b):
    """Weights, optimiser, step and published file, bit for bit."""
    states = [checkpoints.load_state(folder / "step-0000006.pt")[1] for folder in (a, b)]
    optimizers = [state.optimizer.state_dict()["state"] for state in states]
    equal = [torch.equal(v, optimizers[1][k][name]) for k in optimizers[0] for name, v in optimizers[0][k].items()]
    equal += [
        torch.equal(p, q)
        for one, two in ((states[0].R, states[1].R), (states[0].ema, states[1].ema))
        for p, q in zip(one.parameters(), two.parameters(), strict=True)
    ]
    published = [safetensors.safe_open(folder / "model.safetensors", "pt") for folder in (a, b)]
    assert published[0].metadata() == published[1].metadata()
    equal += [torch.equal(*(file.get_tensor(name) for file in published)) for name in published[0].keys()]  # noqa: SIM118
    return all(equal)


# --------------------------------------------------------------------------------------------------------------- train


def test_a_run_leaves_its_settings_log_weights_states_and_pictures(finished):
    names = {"config.json", "log.jsonl", "model.safetensors", "loss.png", "samples.png"}
    names |= {"samples-0000002.png", "samples-0000004.png"}  # asked for every other step
    assert set(contents(finished)) == names | {"step-0000004.pt", "step-0000006.pt"}  # the last two states
    config = json.loads((finished / "config.json").read_text(encoding="utf-8"))
    assert config["config"]["dataset"] == "digits"
    assert config["config"]["options"] == {"T": 3}
    assert (config["config"]["size"], config["config"]["channels"], config["config"]["steps"]) == (32, 1, 6)
    images, _ = data.load("digits")
    expected = {"training": 1350, "held_out": 150, "fingerprint": data.fingerprint(images), "beside": {}, "path": None}
    expected |= {"skip_unreadable": False}
    assert config["images"] == expected
    assert config["machine"]["torch"] == torch.__version__
    assert config["machine"]["processes"] == 1
    lines = log(finished)
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert all(0 < line["loss"] < 3 and line["lr"] > 0 and line["images_per_second"] > 0 for line in lines)
    assert lines[0]["lr"] == coldlab.training.learning_rate(load_pretrained(finished).config, 1)
    for name in ("loss.png", "samples.png", "samples-0000002.png"):
        with Image.open(finished / name) as image:
            assert min(image.size) > 100
    assert lines[2]["held_out"] < lines[1]["held_out"] < lines[0]["held_out"]  # so that the last weights are the best
    R = load_pretrained(finished)
    averages = checkpoints.load_state(finished / "step-0000006.pt")[1].ema
    assert all(torch.equal(p, q) for p, q in zip(R.parameters(), averages.parameters(), strict=True))


def test_weights_of_asked_steps_are_kept(tmp_path):
    run = tmp_path / "run"
    assert train(run, "--keep", 1, 3) == 0
    kept = {path.name for path in run.glob("weights-*")}
    assert kept == {"weights-0000001.safetensors", "weights-0000003.safetensors"}
    early, late = (load_pretrained(str(run / name)) for name in sorted(kept))
    assert not torch.equal(*(next(R.parameters()) for R in (early, late)))


def test_the_log_holds_the_mean_loss_since_its_last_line(tmp_path, finished, monkeypatch):
    seen, steps = [], runs.train

    def watched(*arguments):
        for step, loss in steps(*arguments):
            seen.append(loss.item())
            yield step, loss

    monkeypatch.setattr(runs, "train", watched)
    train(tmp_path / "run")
    expected = [sum(seen[i : i + 2]) / 2 for i in (0, 2, 4)]
    assert [line["loss"] for line in log(tmp_path / "run")] == pytest.approx(expected, abs=1e-6)
    assert same_run(tmp_path / "run", finished)  # and a second run of the same settings is the same run


def test_an_existing_run_is_refused_and_left_alone(copy, capsys):
    before = contents(copy)
    assert "already holds a run" in told(capsys, 2, *TINY, "--out", copy)
    for path in copy.glob("step-*.pt"):
        path.unlink()
    after = contents(copy)
    assert "already holds a run" in told(capsys, 2, *TINY, "--out", copy)  # its published weights are worth keeping too
    assert contents(copy) == after
    assert set(after) < set(before)


def test_a_changed_setting_is_refused_on_resume_and_named(copy, capsys):
    before = contents(copy)
    message = told(capsys, 2, *TINY, "--out", copy, "--resume", "--lr", "0.5", "--seed", "3")
    assert "lr: was 0.004, now 0.5" in message or "lr: was" in message
    assert "seed: was 0, now 3" in message
    assert "width" not in message
    assert contents(copy) == before


def test_a_finished_run_may_be_resumed_and_stays_the_same(copy, finished):
    assert train(copy, "--resume") == 0
    assert same_run(copy, finished)
    steps, losses = zip(*((line["step"], line["loss"]) for line in log(copy)), strict=True)
    assert steps == (2, 4, 6)
    assert list(losses) == [line["loss"] for line in log(finished)]


def test_resume_alone_goes_on_with_the_settings_of_the_run(copy, finished):
    for left in ("step-0000006.pt", "model.safetensors"):
        (copy / left).unlink()
    assert main(["train", "--resume", "--device", "cpu", "--out", str(copy)]) == 0
    assert same_run(copy, finished)


def test_there_is_nothing_to_resume_in_an_empty_folder(tmp_path, capsys):
    assert "no whole checkpoint" in told(capsys, 2, *TINY, "--out", tmp_path, "--resume")


def test_a_start_that_failed_does_not_stand_in_the_way(tmp_path, capsys):
    wrong = [*TINY, "--degradation", "desaturate", "--out", tmp_path / "run"]
    assert "colour" in told(capsys, 2, *wrong)  # digits are grey
    assert train(tmp_path / "run") == 0


DRIVER = """
import os, signal, sys
import torch
torch.set_num_threads(int(sys.argv[1]))
from coldlab.lab import runs
from coldlab.__main__ import main
how, arguments, steps, replace = sys.argv[2], sys.argv[3:], runs.train, os.replace
def train(*given):
    for step, loss in steps(*given):
        if step == 3 and how == "SIGTERM":
            os.kill(os.getpid(), signal.SIGTERM)
        yield step, loss
def dying(source, target):
    if how == "SIGKILL" and "step-0000004" in str(target):
        os.kill(os.getpid(), signal.SIGKILL)  # the state is written, but not yet in its place
    replace(source, target)
runs.train, os.replace = train, dying
sys.exit(main(arguments))
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """{how: (folder, stderr, exit code)} of runs that were ended from outside, side by side."""
    ends, threads = {}, str(torch.get_num_threads())
    for how in ("SIGKILL", "SIGTERM"):
        out = tmp_path_factory.mktemp("killed") / how
        command = [sys.executable, "-c", DRIVER, threads, how, *TINY, "--out", str(out)]
        options = dict(cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": threads}, stdout=subprocess.DEVNULL)
        ends[how] = out, subprocess.Popen(command, **options, stderr=subprocess.PIPE, text=True, errors="replace")
    return {how: (out, process.communicate()[1], process.returncode) for how, (out, process) in ends.items()}


def interrupted(out, monkeypatch, capsys):
    """The same with Ctrl-C, in this process."""

    def train(*arguments, steps=runs.train):
        for step, loss in steps(*arguments):
            if step == 3:
                os.kill(os.getpid(), signal.SIGINT)
            yield step, loss

    with monkeypatch.context() as patch:
        patch.setattr(runs, "train", train)
        code = main([*TINY, "--out", str(out)])
    return out, capsys.readouterr().err, code


@pytest.mark.parametrize(
    ("how", "code", "kept"), [("SIGKILL", -9, [2]), ("SIGTERM", 128 + 15, [2, 3]), ("SIGINT", 128 + 2, [2, 3])]
)
def test_a_run_that_was_ended_goes_on_bit_for_bit(killed, finished, how, code, kept, tmp_path, monkeypatch, capsys):
    out, errors, returned = killed[how] if how in killed else interrupted(tmp_path / "run", monkeypatch, capsys)
    assert returned == code, errors
    assert sorted(int(path.stem[5:]) for path in out.glob("step-*.pt")) == kept
    for path in out.glob("step-*.pt"):
        checkpoints.load_state(path)
    if code > 0:
        assert f"stopped at step 3 of 6; go on with --resume --out {out}" in errors
        assert "Traceback" not in errors
    assert train(out, "--resume") == 0
    assert same_run(out, finished)
    steps = [line["step"] for line in log(out)]
    assert steps == sorted(set(steps))
    assert steps[-2:] == [4, 6]
    assert not list(out.glob(".*.part"))  # the half-written file is swept away


def test_a_damaged_state_is_passed_over_for_the_one_before_it(copy, finished, capsys):
    newest = copy / "step-0000006.pt"
    newest.write_bytes(newest.read_bytes()[:-1000])
    (copy / "model.safetensors").unlink()
    assert train(copy, "--resume") == 0
    captured = capsys.readouterr()
    assert "skipped" in captured.out + captured.err
    assert same_run(copy, finished)
    for path in copy.glob("step-*.pt"):
        path.write_bytes(b"torn")
    message = told(capsys, 2, *TINY, "--out", copy, "--resume")
    assert "no whole checkpoint" in message
    assert "cut short" in message


@pytest.mark.parametrize("line", [b'\0\0\0{"step": 2}', b"hi}", b'{"a": 1}', b"\xff\xfe", b"3}", b'{"step": 1}'])
def test_lines_that_are_none_of_a_log_are_dropped(line, copy, finished):
    log = copy / "log.jsonl"
    before = log.read_bytes()
    log.write_bytes(line + b"\n" + before + line)
    assert main([*TINY, "--out", str(copy), "--resume"]) == 0
    assert log.read_bytes() == before


def test_a_log_whose_last_line_was_torn_is_mended(copy, finished):
    (copy / "step-0000006.pt").unlink()
    with open(copy / "log.jsonl", "a", encoding="utf-8") as file:
        file.write('{"step": 7, "lo')
    assert train(copy, "--resume") == 0
    assert [line["step"] for line in log(copy)] == [2, 4, 6]
    assert same_run(copy, finished)


@pytest.mark.parametrize("where", ["state", "log"])
def test_a_full_disk_ends_the_run_and_the_last_state_resumes(tmp_path, finished, capsys, monkeypatch, where):
    out, full = tmp_path / "run", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with monkeypatch.context() as patch:
        if where == "state":
            real = os.replace

            def replace(source, target):
                if "step-0000004" in str(target):
                    raise full
                real(source, target)

            patch.setattr(os, "replace", replace)
        else:
            import builtins

            real_open, opened = builtins.open, []

            def opening(file, mode="r", *more, **options):
                if mode == "a":
                    opened.append(file)
                    if len(opened) == 2:
                        raise full
                return real_open(file, mode, *more, **options)

            patch.setattr(builtins, "open", opening)
        message = told(capsys, 2, *TINY, "--out", out)
    assert "No space left" in message
    assert [path.name for path in out.glob("*.pt")] == ["step-0000002.pt"]
    assert train(out, "--resume") == 0
    assert same_run(out, finished)


def poisoned(at, steps=runs.train):
    """A training loop in which a weight becomes NaN after step `at`."""

    def train(state, *more):
        for step, loss in steps(state, *more):
            if step == at:
                with torch.no_grad():
                    next(state.R.parameters()).view(-1)[0] = float("nan")
            yield step, loss

    return train


def test_a_loss_that_is_no_number_stops_the_run_and_the_good_state_stays(tmp_path, finished, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(runs, "train", poisoned(at=3))  # so that the loss of step 4 is NaN
        message = told(capsys, 2, *TINY, "--out", tmp_path / "run")
    assert "not a number at step" in message
    assert ("step 3" in message) or ("step 4" in message)
    assert [path.name for path in (tmp_path / "run").glob("*.pt")] == ["step-0000002.pt"]
    load_pretrained(tmp_path / "run")  # the weights of step 2
    assert train(tmp_path / "run", "--resume") == 0
    assert same_run(tmp_path / "run", finished)


def test_too_little_memory_is_one_sentence(tmp_path, capsys, monkeypatch):
    def train(*arguments):
        yield 1, torch.zeros(())
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(runs, "train", train)
    message = told(capsys, 2, *TINY, "--out", tmp_path / "run")
    assert "--batch 8 needs more memory than cpu has; try half of it" in message


def overfitting(monkeypatch, losses):
    """Let the held-out images say so, whatever the network has learned."""
    losses = iter(losses)
    monkeypatch.setattr(runs, "validate", lambda *given: next(losses))


def test_the_weights_that_do_best_on_held_out_images_are_kept(tmp_path, monkeypatch):
    overfitting(monkeypatch, [0.5, 0.3, 0.4])
    assert train(tmp_path / "run") == 0
    kept = load_pretrained(tmp_path / "run")
    _, best, _ = checkpoints.load_state(tmp_path / "run" / "step-0000004.pt")
    _, last, _ = checkpoints.load_state(tmp_path / "run" / "step-0000006.pt")
    assert all(torch.equal(p, q) for p, q in zip(kept.parameters(), best.ema.parameters(), strict=True))
    assert not all(torch.equal(p, q) for p, q in zip(kept.parameters(), last.ema.parameters(), strict=True))
    assert (best.best, last.best) == (0.3, 0.3)
    assert [line["held_out"] for line in log(tmp_path / "run")] == [0.5, 0.3, 0.4]


def test_resuming_remembers_which_weights_were_best(tmp_path, monkeypatch):
    overfitting(monkeypatch, [0.3, 0.4, 0.5])
    assert train(tmp_path / "run") == 0
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    (tmp_path / "run" / "step-0000006.pt").unlink()
    overfitting(monkeypatch, [0.35])
    assert train(tmp_path / "run", "--resume") == 0
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before


def test_without_held_out_images_the_last_weights_are_kept(tmp_path):
    assert train(tmp_path / "run", "--held-out", 0) == 0
    kept = load_pretrained(tmp_path / "run")
    _, last, _ = checkpoints.load_state(tmp_path / "run" / "step-0000006.pt")
    assert all(torch.equal(p, q) for p, q in zip(kept.parameters(), last.ema.parameters(), strict=True))
    found = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))["images"]
    assert (found["training"], found["held_out"]) == (1500, 0)


def test_tensorboard_gets_the_log_or_a_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)  # as where it is not installed
    assert "pip install tensorboard" in told(capsys, 2, *TINY, "--out", tmp_path / "run", "--tensorboard")
    written = []

    class Writer:
        def __init__(self, out, purge_step):
            written.append((out, purge_step))

        def add_scalar(self, name, value, step):
            written.append((name, value, step))

        def flush(self):
            pass

    board = type(sys)("tensorboard")
    board.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", board)
    assert train(tmp_path / "run", "--tensorboard") == 0
    assert written[0] == (tmp_path / "run", 1)
    for line in log(tmp_path / "run"):
        for name in ("loss", "lr", "held_out", "images_per_second"):
            assert (name, line[name], line["step"]) in written


def test_images_too_many_for_the_device_stay_with_the_host(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 2000))
    many, few = torch.zeros(501, dtype=torch.uint8), torch.zeros(500, dtype=torch.uint8)
    moved = []
    monkeypatch.setattr(torch.Tensor, "to", lambda x, device: moved.append(len(x)) or x)
    for images in (many, few):
        runs.place(images, torch.device("cuda"))
    assert moved == [500]


def test_compile_compiles_the_network_that_is_trained_and_nothing_else(tmp_path, finished, monkeypatch, capsys):
    compiled = []
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda module, *more, **options: compiled.append(type(module).__name__)
    )
    assert train(tmp_path / "run", "--compile") == 0
    assert compiled == ["UNet"]
    assert "compiled in" in capsys.readouterr().out
    assert same_run(tmp_path / "run", finished)  # warming up takes no step


def test_signals_are_as_before_after_a_run(tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with runs.signals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        assert stop == [signal.SIGTERM, signal.SIGINT]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--dataset", "digts"], ["unknown dataset 'digts'", "did you mean 'digits'", "mnist"]),
        (["--degradation", "blurr"], ["unknown degradation 'blurr'", "did you mean 'blur'", "snow"]),
        (["--degradation", "compose"], ["compose"]),
        (["--options", "kernal=3"], ["unknown option of blur 'kernal'", "did you mean 'kernel'"]),
        (["--options", "T"], ["option 'T'", "KEY=VALUE"]),
        (["--options", "T=abc"], ["T", "abc"]),
        (["--options", "T=0"], ["T = 0"]),
        (["--options", "T=True"], ["T=True", "no int"]),
        (["--options", "size=3"], ["size=3", "--size"]),
        (["--options", "name=3"], ["name=3"]),
        (["--device", "meta"], ["'meta' is not available here"]),
        (["--options", "T=3", "std=0"], ["std"]),
        (["--loss", "l3"], ["unknown loss 'l3'", "l1, l2"]),
        (["--device", "cuda:99"], ["'cuda:99' is not available here", "--device cpu"]),
        (["--device", "gpu"], ["'gpu' is not available here", "--device cpu"]),
        (["--steps", "0"], ["steps"]),
        (["--batch", "0"], ["batch"]),
        (["--save-every", "0"], ["save-every"]),
        (["--width", "7"], ["width 7"]),
        (["--attention", "4"], ["attention"]),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) and value[0].startswith("--") else "",
)
def test_a_mistake_is_answered_with_one_sentence(tmp_path, capsys, arguments, words):
    message = told(capsys, 2, *TINY, "--out", tmp_path / "run", *arguments)
    assert all(word in message for word in words), message


def test_an_out_that_cannot_be_a_folder_is_told(tmp_path, capsys):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for out in (tmp_path / "file", tmp_path / "file" / "run"):
        assert "choose another --out" in told(capsys, 2, *TINY, "--out", out)
    assert (tmp_path / "file").read_text(encoding="utf-8") == "x"


# ------------------------------------------------------------------------------------------------------------ evaluate


def test_evaluate_prints_json_and_nothing_else(finished, capsys):
    assert main(["evaluate", "--pretrained", str(finished), "--limit", "5", "--json", "--device", "cpu"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["dataset"], report["images"]) == ("digits", 5)
    R = load_pretrained(finished)
    truth = data.to_float(data.load("digits", "test")[0][:5])
    x_T = R.D(truth.double(), 3).float()  # rounded once, as `evaluation.begin` does
    *_, (_, first, _) = sampling.naive(R, R.D, x_T)
    *_, (_, second, last) = sampling.improved(R, R.D, x_T)
    *_, (_, third, _) = sampling.averaged(R, R.D, x_T)
    rows = {"degraded": x_T, "direct": R(x_T, 3), "Algorithm 1": first, "Algorithm 2": second, "averaged": third}
    rows["last prediction"] = last
    assert set(report["metrics"]) == set(rows)
    for row, x in rows.items():
        for metric in (metrics.rmse, metrics.psnr, metrics.ssim):
            expected = metric(data.to_unit(x), data.to_unit(truth)).item()
            assert report["metrics"][row][metric.__name__] == pytest.approx(expected, abs=1e-4)


def test_evaluate_prints_a_table(finished, capsys):
    assert main(["evaluate", "--pretrained", str(finished / "model.safetensors"), "--limit", "4", "--batch", "3"]) == 0
    out = capsys.readouterr().out
    assert "4 test images of digits, blur with T = 3" in out
    for word in ("RMSE", "PSNR", "SSIM", "degraded", "direct", "Algorithm 1", "Algorithm 2"):
        assert word in out
    values = {line.split()[0]: line.split()[-3:] for line in out.splitlines() if line.startswith("degraded")}
    truth = data.to_float(data.load("digits", "test")[0][:4])
    blurred = load_pretrained(finished).D(truth, 3)
    assert float(values["degraded"][0]) == pytest.approx(rms(blurred - truth) / 2, abs=6e-4)


def test_evaluate_adds_a_distance_and_intervals(finished, capsys):
    command = ["evaluate", "--pretrained", str(finished), "--limit", "40", "--resamples", "50", "--device", "cpu"]
    assert main([*command, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    R, truth = load_pretrained(finished), data.to_float(data.load("digits", "test")[0][:40])
    net = metrics.classifier("digits")
    x, y = (metrics.extract(net, data.to_unit(v)) for v in (R.D(truth, 3), truth))
    name = "Fréchet (digits-classifier)"
    assert report["metrics"]["degraded"][name] == pytest.approx(metrics.frechet(x, y).item(), rel=1e-3)
    for row, values in report["metrics"].items():
        assert set(values) == set(report["intervals"][row]) == {"rmse", "psnr", "ssim", name}
        for measure, value in values.items():
            low, high = report["intervals"][row][measure]
            assert low < value < high
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "95 % interval over images (50 bootstrap draws)" in out
    assert name in out
    assert main([*command, "--features", "none", "--resamples", "0"]) == 0
    assert not any(word in capsys.readouterr().out for word in ("Fréchet", "FID", "interval"))
    assert main([*command, "--limit", "32"]) == 0
    assert f"no {name}: 32 images for 32 features are too few" in capsys.readouterr().out


def test_evaluate_names_the_nets_it_knows(finished, capsys, tmp_path):
    assert "unknown classifier 'mnits'; did you mean 'mnist'" in told(
        capsys, 2, "evaluate", "--pretrained", finished, "--features", "mnits"
    )
    assert "unknown classifier ''" in told(capsys, 2, "evaluate", "--pretrained", finished, "--features=")
    missing = told(capsys, 2, "evaluate", "--pretrained", finished, "--features", tmp_path / "none.pth")
    assert "could not be read" in missing
    assert "--resamples -1" in told(capsys, 2, "evaluate", "--pretrained", finished, "--resamples", "-1")


@pytest.mark.parametrize("option", ["--limit", "--batch"])
def test_evaluate_of_nothing_is_refused(finished, capsys, option):
    assert option in told(capsys, 2, "evaluate", "--pretrained", finished, option, "0")


def test_an_unknown_checkpoint_is_answered_with_the_nearest(capsys, tmp_path):
    for command in (["evaluate"], ["sample"], ["restore", picture(tmp_path)]):
        message = told(capsys, 2, *command, "--pretrained", "digits-blr")
        assert "unknown checkpoint 'digits-blr'; did you mean 'digits-blur'?" in message


# -------------------------------------------------------------------------------------------------------------- sample


def test_sample_writes_a_comparison_and_a_film_strip(finished, tmp_path, capsys):
    arguments = ["sample", "--start", "test", "--pretrained", finished, "--count", "2", "--out", tmp_path / "s"]
    arguments = [str(argument) for argument in arguments]
    assert main([*arguments, "--steps", "2"]) == 0
    assert set(contents(tmp_path / "s")) == {"samples.png", "trajectory.png"}
    first = contents(tmp_path / "s")
    assert main(arguments) == 0
    assert contents(tmp_path / "s")["trajectory.png"] != first["trajectory.png"]  # one row more
    capsys.readouterr()
    assert "1..3" in told(capsys, 2, *arguments, "--steps", "4")
    assert "--steps 0; it must be 1 or more" in told(capsys, 2, *arguments, "--steps", "0")
    assert "--count 0" in told(capsys, 2, "sample", "--pretrained", finished, "--count", "0")
    (tmp_path / "file").write_text("x", encoding="utf-8")
    arguments[-1] = tmp_path / "file"
    assert "choose another --out" in told(capsys, 2, *arguments)


def test_sample_generates_from_a_mixture_and_says_which(tmp_path, capsys):
    common = ["sample", "--count", "9", "--steps", "2", "--out", str(tmp_path / "s")]
    assert main(common) == 0
    assert "over 9 numbers" in capsys.readouterr().out
    first = contents(tmp_path / "s")
    assert set(first) == {"samples.png", "trajectory.png"}
    assert main(common) == 0
    assert contents(tmp_path / "s") == first  # the seed decides
    for other in ("--seed 1", "--start mean", "--components 3", "--sigma 0.002", "--temperature 0.7"):
        assert main([*common, *other.split()]) == 0
        assert contents(tmp_path / "s")["samples.png"] != first["samples.png"], other
    out = capsys.readouterr().out
    assert "a mixture of 1 over 1 numbers" in out
    assert "a mixture of 3 over 9 numbers" in out
    assert "did you mean 'mean'?" in told(capsys, 2, "sample", "--start", "means")
    assert "at least ten for each" in told(capsys, 2, "sample", "--components", "151")
    assert "sigma" in told(capsys, 2, "sample", "--sigma", "-1")
    for ignored in ("--components 3", "--sigma 0.1", "--temperature 0.5"):
        assert ignored.split()[0] in told(capsys, 2, "sample", "--start", "test", *ignored.split())


def test_sample_s_defaults_are_what_was_best_on_mnist(tmp_path, capsys):
    assert main(["sample", "--count", "4", "--out", str(tmp_path / "a")]) == 0
    assert "a mixture of 6 over 9 numbers" in capsys.readouterr().out  # one for every 250 of 1,500 digits
    told = ["--steps", "3", "--temperature", "0.75", "--components", "6"]
    assert main(["sample", "--count", "4", "--out", str(tmp_path / "b"), *told]) == 0
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    best = {a["attempt"]: a for a in results.load("generation-mnist")["attempts"]}[
        "80 Gaussians, temperature 0.75, 3 calls"
    ]
    assert (best["components"], best["temperature"], best["severities"]) == (80, 0.75, [20, 13, 7, 0])
    assert generation.ENOUGH // generation.PER_GAUSSIAN == best["components"]


def test_sample_starts_noise_from_noise(tmp_path):
    assert train(tmp_path / "noise", "--degradation", "noise", "--steps", "1") == 0
    assert main(["sample", "--pretrained", str(tmp_path / "noise"), "--count", "2", "--out", str(tmp_path / "s")]) == 0
    assert set(contents(tmp_path / "s")) == {"samples.png", "trajectory.png"}


# ------------------------------------------------------------------------------------------------------------- restore


def digit(index=3):
    return data.to_float(data.load("digits", "test")[0][index : index + 1])


def picture(folder, x=None, kind="png"):
    """An image (1, C, 32, 32) in [-1, 1] as a file of 8 bits, 16 bits or floats."""
    x = digit() if x is None else x
    path = folder / f"x.{'png' if kind == 'png16' else kind}"
    if kind == "npy":
        np.save(path, x[0].numpy())
    elif kind == "png16":
        values = ((x[0, 0].double() + 1) / 2 * 65535).round().numpy().astype(np.uint16)
        Image.fromarray(values).save(path)
    else:
        values = data.to_uint8(x)[0]
        Image.fromarray((values[0] if len(values) == 1 else values.permute(1, 2, 0)).numpy()).save(path)
    return path


def restored(R, x, severity, eps, sampler=sampling.improved):
    *_, (_, x0, _) = sampler(lambda x, s: R(x, s, eps=eps), R.D, x, None, range(severity, -1, -1))
    return data.to_uint8(x0)[0, 0].numpy()


@pytest.mark.parametrize(("kind", "eps"), [("png", 4e-3), ("jpg", 4e-3), ("png16", 4e-3 / 256), ("npy", 2e-6)])
def test_restore_takes_files_that_their_owner_degraded(finished, tmp_path, capsys, kind, eps):
    R = load_pretrained(finished)
    path = picture(tmp_path, R.D(digit(), 3), kind)
    out = tmp_path / "out"
    walk = ["--pretrained", str(finished), "--sampler", "improved"]
    assert main(["restore", str(path), *walk, "--out", str(out)]) == 0
    assert set(contents(out)) == {"x-restored.png", "x-trajectory.png", "x.gif"}
    with Image.open(out / "x-restored.png") as image:
        assert (image.mode, image.size) == ("L", (32, 32))
        pixels = np.asarray(image).astype(int)
    read, bits = data.read_image(path, 1, 32)
    assert bits == {"png": 8, "jpg": 8, "png16": 16, "npy": 24}[kind]
    assert abs(pixels - restored(R, read, 3, eps)).max() <= 1  # the preconditioner's eps follows the file's precision
    others = [e for e in (4e-3, 4e-3 / 256, 2e-6) if e != eps]
    assert all(abs(pixels - restored(R, read, 3, e)).max() > 1 for e in others)
    with Image.open(out / "x.gif") as gif:
        assert gif.n_frames == 4
    with Image.open(out / "x-trajectory.png") as image:
        assert image.size[0] > image.size[1]
    assert "x-restored.png" in capsys.readouterr().out


def test_restore_starts_at_the_severity_given_with_the_sampler_given(finished, tmp_path):
    R = load_pretrained(finished)
    path = picture(tmp_path, R.D(digit(), 2), "npy")
    arguments = ["restore", str(path), "--pretrained", str(finished), "--out", str(tmp_path / "out")]
    read, _ = data.read_image(path, 1, 32)
    for name, sampler in (("improved", sampling.improved), ("naive", sampling.naive)):
        assert main([*arguments, "--severity", "2", "--sampler", name]) == 0
        with Image.open(tmp_path / "out" / "x-restored.png") as image:
            pixels = np.asarray(image).astype(int)
        assert abs(pixels - restored(R, read, 2, 2e-6, sampler)).max() <= 1
        with Image.open(tmp_path / "out" / "x.gif") as gif:
            assert gif.n_frames == 3


def test_restore_degrades_a_clean_file_first_where_asked(finished, tmp_path, capsys):
    R = load_pretrained(finished)
    path, out = picture(tmp_path), tmp_path / "out"
    assert main(["restore", str(path), "--pretrained", str(finished), "--degrade", "--out", str(out)]) == 0
    assert "warning" not in capsys.readouterr().err  # what was degraded here was not rounded
    with Image.open(out / "x-restored.png") as image:
        assert abs(np.asarray(image).astype(int) - restored(R, R.D(digit(), 3), 3, 2e-6)).max() <= 1


def test_an_8_bit_file_of_a_severity_that_8_bits_cannot_carry_gets_a_warning(tmp_path, capsys):
    D = load_pretrained("digits-blur").D

    def warned(x, kind, severity):
        arguments = [str(picture(tmp_path, x, kind)), "--severity", str(severity), "--out", str(tmp_path / "out")]
        assert main(["restore", *arguments]) == 0
        return capsys.readouterr().err

    message = warned(D(digit(), D.T), "png", D.T)
    assert "warning" in message
    for word in ("x.png", f"severity {D.T}", "256 levels", "8 bits", ".npy", "16-bit"):
        assert word in message
    assert "warning" not in warned(D(digit(), D.T), "npy", D.T)
    assert "warning" not in warned(D(digit(), D.T), "png16", D.T)
    assert "warning" not in warned(D(digit(), 1), "png", 1)


def test_the_shipped_network_restores_a_file(tmp_path):
    """From a float file of T = 20 and from 16 bits: closer to the digit than what went in."""
    D, x0 = load_pretrained("digits-blur").D, digit()
    for kind in ("npy", "png16"):
        path = picture(tmp_path, D(x0, D.T), kind)
        assert main(["restore", str(path), "--out", str(tmp_path / kind)]) == 0
        back, _ = data.read_image(tmp_path / kind / "x-restored.png")
        assert rms(back - x0) < 0.8 * rms(D(x0, D.T) - x0)


def test_a_file_of_8_bits_is_restored_by_one_call_where_the_network_never_saw_one(finished, tmp_path, capsys):
    """What the inverse makes of its rounding grows from call to call; whoever names a sampler gets it."""
    R = load_pretrained(finished)
    for kind, words in (("png", "one call"), ("png16", ""), ("npy", "")):
        path = picture(tmp_path, R.D(digit(), 3), kind)
        assert main(["restore", str(path), "--pretrained", str(finished), "--out", str(tmp_path / "out")]) == 0
        told = capsys.readouterr().out
        assert ("one call" in told) == bool(words)
        with Image.open(tmp_path / "out" / "x.gif") as film:
            assert film.n_frames == (2 if words else 4)
    read, _ = data.read_image(picture(tmp_path, R.D(digit(), 3), "png"), 1, 32)
    assert (
        main(["restore", str(tmp_path / "x.png"), "--pretrained", str(finished), "--out", str(tmp_path / "out")]) == 0
    )
    with Image.open(tmp_path / "out" / "x-restored.png") as image:
        assert abs(np.asarray(image).astype(int) - data.to_uint8(R(read, 3, eps=4e-3))[0, 0].numpy()).max() <= 1
    assert "one call" in capsys.readouterr().out
    assert main(["restore", str(tmp_path / "x.png"), "--out", str(tmp_path / "out")]) == 0  # digits-blur saw some
    assert "one call" not in capsys.readouterr().out


def test_colour_and_other_sizes_are_fitted_to_the_network(finished, tmp_path):
    R = load_pretrained(finished)
    colour = torch.rand(1, 3, 48, 40) * 2 - 1
    path = picture(tmp_path, colour)
    use = ["--pretrained", str(finished), "--sampler", "improved"]
    assert main(["restore", str(path), *use, "--out", str(tmp_path / "out")]) == 0
    read, _ = data.read_image(path, 1, 32)
    with Image.open(tmp_path / "out" / "x-restored.png") as image:
        assert (image.mode, image.size) == ("L", (32, 32))
        assert abs(np.asarray(image).astype(int) - restored(R, read, 3, 4e-3)).max() <= 1


def test_what_does_not_fit_the_network_is_told(finished, tmp_path, capsys):
    colour = torch.randint(0, 256, (48, 40, 3), dtype=torch.uint8).numpy()
    for k in range(12):
        Image.fromarray(colour).save(tmp_path / f"{k}.png")
    assert (
        main(["restore", str(tmp_path / "0.png"), "--pretrained", str(finished), "--out", str(tmp_path / "out")]) == 0
    )
    words = "0.png is 40 x 48, colour; it is taken as 32 x 32, grey"
    assert words in capsys.readouterr().err
    line = told(capsys, 2, "evaluate", "--pretrained", finished, "--dataset", tmp_path)
    assert all(words in line for words in ("is colour", "grey images", "--pretrained"))


def test_several_files_are_restored_at_once_or_none_is(finished, tmp_path, capsys):
    (tmp_path / "a").mkdir()
    one = picture(tmp_path).rename(tmp_path / "one.png")
    two = picture(tmp_path, kind="npy").rename(tmp_path / "two.npy")
    arguments = ["--pretrained", str(finished), "--out", str(tmp_path / "out")]
    assert main(["restore", str(one), str(two), *arguments]) == 0
    assert len(contents(tmp_path / "out")) == 6
    shutil.rmtree(tmp_path / "out")
    capsys.readouterr()
    same = shutil.copy(one, tmp_path / "a" / "one.png")
    assert "same name" in told(capsys, 2, "restore", one, same, *arguments)
    assert "no image file" in told(capsys, 2, "restore", one, tmp_path / "none.png", *arguments)
    assert not (tmp_path / "out").exists()


def test_a_folder_stands_for_the_images_in_it(finished, tmp_path, capsys):
    photos = tmp_path / "my photos"
    (photos / "deeper").mkdir(parents=True)
    for name in ("b.PNG", "a.png", ".hidden.png", "deeper/c.png"):
        picture(tmp_path).rename(photos / name)
    (photos / "notes.txt").write_text("no image", encoding="utf-8")
    arguments = ["--pretrained", str(finished), "--out", str(tmp_path / "out")]
    assert main(["restore", str(photos), *arguments]) == 0
    assert sorted(path.name for path in (tmp_path / "out").glob("*-restored.png")) == [
        "a-restored.png",
        "b-restored.png",
    ]
    (tmp_path / "empty").mkdir()
    capsys.readouterr()
    assert "no image file in the folder" in told(capsys, 2, "restore", tmp_path / "empty", *arguments)


def test_whole_pictures_are_restored_by_the_colour_network_unless_another_is_named(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("coldlab.__main__.model", lambda name, device: asked.append(name) or 1 / 0)
    for extra in ([], ["--whole"], ["--whole", "--pretrained", "digits-blur"]):
        with pytest.raises(ZeroDivisionError):
            main(["restore", str(picture(tmp_path)), "--out", str(tmp_path / "out"), *extra])
    assert asked == ["digits-blur", "cifar10-blur", "digits-blur"]


def test_restore_says_what_it_cannot_do(finished, tmp_path, capsys):
    path = picture(tmp_path)
    use = ["--pretrained", finished, "--out", tmp_path / "out"]
    (tmp_path / "text.png").write_text("no image", encoding="utf-8")
    assert "no image was given" in told(capsys, 2, "restore", *use)
    assert "text.png' cannot be read as an image" in told(capsys, 2, "restore", tmp_path / "text.png", *use)
    assert "--severity 4; this network knows 1..3" in told(capsys, 2, "restore", path, *use, "--severity", 4)
    assert "--severity 0; it must be 1 or more" in told(capsys, 2, "restore", path, *use, "--severity", 0)
    assert "did you mean 'naive'" in told(capsys, 2, "restore", path, *use, "--sampler", "naiv")
    (tmp_path / "out").write_text("a file", encoding="utf-8")
    assert "choose another --out" in told(capsys, 2, "restore", path, *use)


def test_a_hole_is_found_in_a_file_and_said(tmp_path, capsys):
    R = checkpoints.load_pretrained("cifar10-mask")
    x0 = degradations.make("blur", 32, T=1, kernel=9, std=3.0)(torch.randn(1, 3, 32, 32, generator=seeded(0)), 1)
    x = R.D((4 * x0).clamp(-1, 1), 40, torch.tensor([[9, 21]]))
    path, use = tmp_path / "hole.png", ["--pretrained", "cifar10-mask", "--out", str(tmp_path / "out")]
    Image.fromarray(data.to_uint8(x[0]).permute(1, 2, 0).numpy()).save(path)
    assert main(["restore", str(path), *use, "--severity", "40"]) == 0
    assert f"{path}: the hole is found at row 9, column 21.\n" in capsys.readouterr().out
    restored, _ = data.read_image(tmp_path / "out" / "hole-restored.png")
    whole = R.D.left(x, 40, torch.tensor([[9, 21]]))[0, 0] > 0.999
    assert whole.sum() > 200
    assert (restored - x)[..., whole].abs().max() < 0.15  # what was whole is as it was
    assert main(["restore", str(path), *use, "--severity", "1"]) == 0  # a hole of one pixel may be anywhere
    assert "which is not sure" in capsys.readouterr().out
    Image.fromarray(data.to_uint8((4 * x0).clamp(-1, 1)[0]).permute(1, 2, 0).numpy()).save(tmp_path / "clean.png")
    assert main(["restore", str(tmp_path / "clean.png"), *use]) == 0
    said = capsys.readouterr()
    assert "holds detail" in said.err
    assert "the hole is found" not in said.out  # none is named where there is none


def test_no_hole_is_named_in_a_picture_without_one_and_each_in_one_with(recwarn):
    """Where no hole is, the likeliest place is where it would hide least: a corner that is half outside."""
    from sklearn.datasets import load_sample_images

    whole = [torch.from_numpy(image.copy()).permute(2, 0, 1) for image in load_sample_images().images]
    cuts = [
        image[:, i : i + 64 : 2, j : j + 64 : 2] for image in whole for i in range(0, 360, 60) for j in (9, 300, 570)
    ]
    x0 = data.to_float(torch.stack(cuts))
    D = checkpoints.load_pretrained("cifar10-mask").D
    hole = data.eight_bits(D(x0, D.T, D.draw(x0, seeded(0))))
    smaller = data.eight_bits(D(x0, 10, D.draw(x0, seeded(0))))
    for share, pictures in ((0, hole), (1, x0), (1, smaller)):
        found = [D.infer(x[None], None, D.T) for x in pictures]
        said = [
            looks.warn_of_detail("a", x[None], D, D.T, degradations.EIGHT_BITS, z)
            for x, z in zip(pictures, found, strict=True)
        ]
        assert abs(sum(said) / len(said) - share) <= 0.06


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_a_random_degradation_can_only_be_undone_where_it_was_done(tmp_path, capsys):
    out = tmp_path / "snow"
    assert train(out, "--degradation", "snow", "--steps", "1") == 0
    path, use = picture(tmp_path), ["--pretrained", str(out), "--out", str(tmp_path / "out")]
    capsys.readouterr()
    assert "only --degrade" in told(capsys, 2, "restore", path, *use)
    assert main(["restore", str(path), *use, "--degrade"]) == 0
    assert main(["restore", str(path), *use, "--sampler", "direct"]) == 0  # one call needs no z
    R, (x, _) = checkpoints.load_pretrained(out), data.read_image(path, 1, 32)
    with torch.no_grad():
        expected = R(x, R.D.T).clamp(-1, 1)
    restored, _ = data.read_image(next((tmp_path / "out").glob("*-restored.png")), 1)
    assert (restored - expected).abs().max() <= 1.01 / 255
    start = ["sample", "--pretrained", str(out), "--count", "2", "--out", str(tmp_path / "s"), "--start"]
    assert main([*start, "test"]) == 0
    capsys.readouterr()
    assert "leaves much of the image" in told(capsys, 2, *start, "mixture")
    assert main(["evaluate", "--pretrained", str(out), "--limit", "3", "--json"]) == 0


# ------------------------------------------------------------------------------------------------------- presets, help


def test_presets_prints_every_experiment_with_its_settings(capsys):
    assert main(["presets"]) == 0
    out = capsys.readouterr().out
    paper = ("mnist-blur", "cifar10-blur", "celeba-blur", "mnist-mask", "cifar10-mask", "celeba-mask", "cifar10-snow")
    for name in (*paper, *PRESETS):
        assert any(line.startswith(name + " ") for line in out.splitlines()), name
    assert "T=50, kernel_std=0.1, initial_mask=11, centre=random" in out
    assert "T=100, kernel_std=0.2, initial_mask=1, centre=centred" in out
    assert "700,000 steps" in out


@pytest.mark.parametrize("command", [None, "train", "sample", "restore", "evaluate", "presets"])
def test_every_command_has_help_with_all_its_options(command, capsys):
    with pytest.raises(SystemExit) as raised:
        main([*([command] if command else []), "--help"])
    assert raised.value.code == 0
    out = capsys.readouterr().out
    if command is None:
        assert all(name in out for name in ("train", "sample", "restore", "evaluate", "presets"))
        return
    assert inspect.getdoc(getattr(cli, command)).split(".")[0].split()[0] in out
    for option in set(inspect.signature(getattr(cli, command)).parameters) - {"asked"}:
        flag = {"images": "PATH", "json_": "--json", "config": "--dataset"}.get(option, f"--{option.replace('_', '-')}")
        assert flag in out, option


@pytest.mark.parametrize("arguments", [["train", "--setps", "3"], ["trian"], []], ids=str)
def test_unknown_options_and_commands_end_with_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    captured = capsys.readouterr()
    told = captured.err + captured.out
    assert "Traceback" not in told
    if "--setps" in arguments:
        assert "--steps" in told  # the nearest one


def test_the_module_runs_as_a_command_and_returns_its_code(tmp_path):
    command = [sys.executable, "-m", "coldlab", "restore", str(tmp_path / "none.png")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, errors="replace")
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.splitlines() == [f"coldlab: there is no image file '{tmp_path / 'none.png'}'."]


def test_an_error_of_ours_is_not_hidden(monkeypatch):
    def broken():
        raise RuntimeError("a bug")

    monkeypatch.setattr(cli, "COMMANDS", (cli.train, broken))
    with pytest.raises(RuntimeError, match="a bug"):
        main(["broken"])
    assert issubclass(ColdlabError, ValueError)
