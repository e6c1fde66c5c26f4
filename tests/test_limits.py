"""Every number of every command: out of its range it costs one sentence, never a traceback, never an hour."""

import inspect
import itertools
import math

import pytest
import torch

from coldlab import ColdlabError
from coldlab import __main__ as cli
from coldlab.__main__ import main
from coldlab.degradations import REGISTRY, make
from coldlab.lab import limits

pytestmark = pytest.mark.filterwarnings("always::UserWarning")
WRONG = ("nan", "inf", "-inf", "1e999", "-1", "-5", "-0.5", "0", "1.5x", "99999999999999999999999", "9" * 400, "", "x")
POSITIONAL = {"restore": ["x.png"], "reproduce": ["mnist-blur"]}


# (command, option, its type) of every number that the command line takes.
NUMBERS = [(f.__name__, name, number) for f in cli.COMMANDS for name, number in limits.numbers(f).items()]


def test_the_walk_finds_the_numbers_and_the_table_knows_them_all():
    assert len(NUMBERS) > 50
    assert {("train", "lr", float), ("train", "keep", int), ("bench", "threads", int)} <= set(NUMBERS)
    assert {("sample", "sigma", float), ("evaluate", "limit", int), ("restore", "severity", int)} <= set(NUMBERS)
    assert {name for _, name, _ in NUMBERS} == set(limits.RANGES)
    assert {name for _, name, _ in NUMBERS if several(name)} == {"mults", "attention", "keep"}


def several(name):
    """Whether train's option of this name takes several words."""
    return limits.several(limits.arguments(cli.train).get(name))


class Begun(Exception):
    """The command has begun its work."""


@pytest.fixture
def nothing_begins(monkeypatch):
    """The commands with their signatures, but a stop in the place of what they do."""

    def stopped(command):
        def begin(*given, **named):
            raise Begun

        begin.__signature__ = inspect.signature(command)
        for name in ("__name__", "__doc__", "__module__", "__annotations__"):
            setattr(begin, name, getattr(command, name))
        return begin

    monkeypatch.setattr(cli, "COMMANDS", tuple(stopped(command) for command in cli.COMMANDS))


def allowed(name, number, text):
    """Whether the documented range of an option holds what the text says."""
    try:
        value = number(text)
    except ValueError:
        return False
    span = limits.RANGES[name]
    return span.low <= value <= span.high and not (span.above and value == span.low)


@pytest.mark.parametrize(("command", "name", "number"), NUMBERS, ids=lambda v: v if isinstance(v, str) else "")
def test_a_number_out_of_its_range_is_one_sentence_before_anything_begins(
    command, name, number, nothing_begins, capsys
):
    flag = f"--{name.replace('_', '-')}"
    ways = [[f"{flag}={text}"] for text in WRONG]
    if several(name):  # a later word, too
        ways += [[flag, "1", text] for text in WRONG] + [[flag, "1", "2", text, "--device", "cpu"] for text in WRONG]
    for way, text in zip(ways, itertools.cycle(WRONG), strict=False):
        words = [command, *POSITIONAL.get(command, []), *way]
        if allowed(name, number, text):
            with pytest.raises(Begun):
                main(words)
            continue
        code = main(words)
        printed = capsys.readouterr()
        assert code == 2, (words, printed)
        (line,) = printed.err.splitlines()
        assert line.startswith(f"coldlab: {flag} "), line
        assert "must be" in line


@pytest.mark.parametrize("name", sorted(set(REGISTRY) - {"compose"}))
def test_the_numbers_of_every_degradation_are_refused_likewise(name, capsys):
    """Those that D can hold are timed; the others are one sentence that names the setting."""
    dataset = "cifar10" if name in ("desaturate", "snow") else "digits"
    tiny = [
        "bench",
        "--parts",
        "degrade",
        "--dataset",
        dataset,
        "--size",
        "8",
        "--width",
        "8",
        "--mults",
        "1",
        "--attention",
    ]
    tiny += ["--patch", "4", "--batch", "2", "--rounds", "1", "--device", "cpu", "--degradation", name]
    for key, default in cli.settings_of(REGISTRY[name]).items():
        if isinstance(default, bool) or not isinstance(default, int | float):
            continue
        for text in ("nan", "1e999", "-1e999", "-1", "0", "10001", "99999999999999999999", "-0.5", "1e-300"):
            code = main([*tiny, "--options", f"{key}={text}"])
            printed = capsys.readouterr()
            assert code in (0, 2), (key, text, printed)
            if code == 2:
                (line,) = [line for line in printed.err.splitlines() if line.startswith("coldlab: ")]
                assert key in line, (key, text, line)
            else:
                assert text in ("-1", "0", "-0.5", "1e-300"), (key, text)
                D, x = make(name, 16, **{key: type(default)(float(text))}), torch.rand(2, 3, 16, 16)
                z = D.draw(x)
                degraded = D(x, D.T, z)
                back = D.inverse(degraded, D.T, z=z)
                assert degraded.isfinite().all(), (key, text)
                assert back is None or back.isfinite().all(), (key, text)


def test_a_range_says_what_it_holds():
    assert limits.Range(0, 10, above=True).sentence(0) == "it must be above 0"
    assert limits.Range(0, 10).sentence(0) is None
    assert limits.Range(0, 10).sentence(11) == "it must be at most 10"
    assert limits.Range(1, 10).sentence(math.nan) == "it must be a number from 1 up to 10"
    with pytest.raises(ColdlabError, match="--keep -3; it must be 1 or more"):
        limits.check("keep", (5, -3))
    with pytest.raises(ColdlabError, match="option std=nan"):
        limits.check("options", {"std": math.nan})
    limits.check("resume", True)
    limits.check("device", None)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_memory_that_is_not_there_is_one_sentence(error, monkeypatch, capsys):
    def presets():
        raise error

    monkeypatch.setattr(cli, "COMMANDS", (cli.train, presets))
    assert main(["presets"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("coldlab: there is not enough memory")
