"""What the page `coldlab and others` says of coldlab. (What it says of the others was read off their code by hand.)"""

import re

import chapters
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import coldlab
from coldlab import checkpoints, degradations, sampling
from coldlab.degradations import REGISTRY
from coldlab.lab import results

PAGE = chapters.ROOT / "book" / "others.md"


def tables() -> list[dict[str, dict[str, str]]]:
    """Each table of the page as {row: {column: cell}}."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", PAGE.read_text(encoding="utf-8"), re.MULTILINE):
        lines = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in block.splitlines()]
        head, _, *rows = lines
        assert all(len(row) == len(head) for row in rows), head
        found.append({row[0].strip("*"): dict(zip(head[1:], row[1:], strict=True)) for row in rows})
    return found


@pytest.fixture(scope="module")
def ours():
    """All that the tables say of coldlab, {column: cell}."""
    return {column: cell for table in tables()[1:] for column, cell in table["coldlab"].items()}


def test_the_tables_are_whole():
    """Every code base has a row in each, every cell says something, and the commits and the day of reading are told."""
    read, *rest = tables()
    assert len(rest) == 3
    for table in rest:
        assert list(table) == list(read)
        assert all(cell for row in table.values() for cell in row.values())
    for name, row in read.items():
        assert name == "coldlab" or re.search(r"\b[0-9a-f]{7}\b", row["commit read, and its date"]), name
    assert re.search(r"Read on \d+ \w+ 20\d\d, at these commits", PAGE.read_text(encoding="utf-8"))


def test_what_it_can(ours):
    assert set(re.findall(r"`(\w+)`", ours["degradations"])) == set(REGISTRY) - {"compose"}
    assert set(re.findall(r"`(\w+)`", ours["samplers"])) == set(sampling.SAMPLERS)


@pytest.mark.parametrize("D", [degradations.Blur(32), degradations.Pixelate(32), degradations.Desaturate()], ids=repr)
def test_a_severity_costs_the_same_at_every_t(D, ours):
    assert ours["what severity $t$ costs"].startswith("the same at every $t$")
    x0, counted = torch.zeros(2, 3, 32, 32), []
    for t in (1, D.T):
        with FlopCounterMode(display=False) as counter:
            D(x0, t)
        counted.append(counter.get_total_flops())
    assert counted[0] == counted[1]


def test_what_you_get(ours):
    weights = sorted(path.stem for path in (chapters.ROOT / "coldlab" / "weights").glob("*-classifier.safetensors"))
    assert ours["trained networks"].startswith(f"{len(checkpoints.pretrained())} networks and {len(weights)} class")
    count = int(re.match(r"over (\d+) files", ours["numbers, and the way to them"])[1])
    assert count <= len(results.names()) < count + 15
    assert ours["to learn from"].startswith("ten chapters")
    assert len(chapters.sources()) == 10


def test_how_it_is_made(ours):
    package = (chapters.ROOT / "coldlab").rglob("*.py")
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in package)
    assert ours["lines of Python"] == f"about {round(lines, -3):,}"
    tests = [path.read_text(encoding="utf-8") for path in (chapters.ROOT / "tests").glob("test_*.py")]
    count = sum(len(re.findall(r"^def test_", text, re.MULTILINE)) for text in tests)
    assert int(re.match(r"over (\d+)", ours["tests"])[1]) <= count
    assert (chapters.ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT")
    assert "Attribution 4.0" in (chapters.ROOT / "LICENSE-TEXT").read_text(encoding="utf-8")
    for name in results.names():
        machine = results.load(name)
        device = machine.get("machine", {}).get("device", "") if isinstance(machine, dict) else ""
        assert not re.search("NVIDIA|Tesla|GeForce|A100|H100", device), name


def test_what_the_others_do_better_is_so():
    text = PAGE.read_text(encoding="utf-8")
    sizes = {name: coldlab.load_pretrained(name).config.size for name in checkpoints.pretrained()}
    largest = max(sizes, key=sizes.get)
    minutes = results.load(largest)["seconds"] / 60
    assert f"knows {sizes[largest]} pixels, and was trained for {minutes:.0f} minutes on a CPU" in text
    measured = [results.load(name)["metrics"] for name in checkpoints.pretrained()]
    better = [rows["direct"]["rmse"] < rows["Algorithm 2"]["rmse"] for rows in measured]
    assert "several settings one call beat Algorithm 2, as it does here" in text
    assert sum(better) > len(better) / 2
