"""Files of a run: whole or refused. Cut short, flipped, foreign, hostile; full disks; nothing is overwritten or run."""

import builtins
import dataclasses
import errno
import hashlib
import io
import json
import os
import pickle
import random
import struct

import pytest
import torch
from helpers import images, rms
from test_training import equal_states, pictures, tiny

from coldlab import ColdlabError, checkpoints, data, load_pretrained, storage
from coldlab.__main__ import main
from coldlab.checkpoints import SEAL, WEIGHTS, load_state, load_weights, save_state, save_weights, write
from coldlab.sampling import improved
from coldlab.training import Config, start, train
from coldlab.unet import Preconditioned


@pytest.fixture(scope="module")
def run():
    config = tiny()
    D, state = start(config)
    for _ in train(state, D, pictures(), config):
        pass
    return D, state, config


@pytest.fixture(scope="module")
def saved(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "step-0000006.pt"
    save_state(path, run[1], run[2])
    return path.read_bytes()


@pytest.fixture(scope="module")
def weights(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    save_weights(path, run[1].ema, run[2])
    return path.read_bytes()


def refusal(load, path, content):
    """The message with which a file of this content is refused; the file itself stays as it is."""
    path.write_bytes(content)
    with pytest.raises(ColdlabError) as raised:
        load(path)
    assert path.read_bytes() == content
    message = str(raised.value)
    assert str(path) in message
    assert len(message.split(str(path))[1]) > 20  # says more than the name
    return message


def sealed(content):
    """A file that passes the seal, whatever is in it."""
    archive = io.BytesIO()
    torch.save(content, archive)
    return archive.getvalue() + SEAL + hashlib.sha256(archive.getvalue()).digest()


class Bomb:
    """Unpickling this creates a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return builtins.open, (self.path, "w")


# ---------------------------------------------------------------------------------------------------- resumable states


def test_states_come_back_whole(run, saved, tmp_path):
    (tmp_path / "a.pt").write_bytes(saved)
    D, state, config = load_state(tmp_path / "a.pt")
    assert equal_states(state, run[1])
    assert config == run[2]
    assert isinstance(config.mults, tuple)
    assert repr(D) == repr(run[0])


@pytest.mark.parametrize("keep", [0, 1, 7, 39, 40, 41, 0.25, 0.5, 0.9, -33, -32, -8, -1])
def test_truncated_states_are_refused(saved, tmp_path, keep):
    cut = saved[: int(keep * len(saved)) if isinstance(keep, float) else keep]
    assert "cut short" in refusal(load_state, tmp_path / "a.pt", cut)


def test_any_flipped_byte_of_a_state_is_noticed(saved, tmp_path):
    positions = [0, 1, 30, len(saved) - 1, len(saved) - 33, len(saved) - 40, *range(100, len(saved), len(saved) // 25)]
    for position in positions:
        content = bytearray(saved)
        content[position] ^= 1
        message = refusal(load_state, tmp_path / "a.pt", bytes(content))
        assert "damaged" in message or "cut short" in message, position
    assert "cut short" in refusal(load_state, tmp_path / "a.pt", saved + b"x")


def test_foreign_states_are_refused(tmp_path):
    archive = io.BytesIO()
    torch.save({"weight": torch.zeros(3)}, archive)
    for content in (archive.getvalue(), b"PK\x03\x04" + bytes(100), b"hello", os.urandom(500)):
        assert "another program" in refusal(load_state, tmp_path / "a.pt", content)


@pytest.mark.parametrize("seal", [True, False])
def test_a_hostile_pickle_is_not_executed(tmp_path, seal):
    target = tmp_path / "executed"
    for content in ({"config": Bomb(target)}, Bomb(target)):
        file = sealed(content)
        refusal(load_state, tmp_path / "a.pt", file if seal else file[:-40])
        assert not target.exists()
    refusal(load_state, tmp_path / "a.pt", pickle.dumps(Bomb(target)))
    refusal(load_weights, tmp_path / "a.safetensors", pickle.dumps(Bomb(target)))
    refusal(load_weights, tmp_path / "a.safetensors", sealed(Bomb(target)))
    assert not target.exists()
    torch.load(io.BytesIO(file), weights_only=False)  # the bomb is real: a careless reader sets it off
    assert target.exists()


@pytest.mark.filterwarnings("always::UserWarning")  # main prints them
def test_fifty_corrupted_checkpoints_are_each_one_sentence_for_the_user(saved, weights, tmp_path, capsys):
    """Through the command line: code 2, a sentence, no traceback, nothing executed, nothing changed."""
    chance, target = random.Random(0), tmp_path / "executed"
    hostile = sealed({"config": Bomb(target)}), sealed(Bomb(target)), pickle.dumps(Bomb(target)), sealed([Bomb(target)])
    corrupted = []
    for whole, name in ((saved, "step-0000003.pt"), (weights, "model.safetensors")):
        corrupted += [(name, whole[: chance.randrange(len(whole))]) for _ in range(10)]
        for _ in range(11):
            content = bytearray(whole)
            content[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
            corrupted.append((name, bytes(content)))
        corrupted += [(name, content) for content in hostile]
    assert len(corrupted) == 50
    for k, (name, content) in enumerate(corrupted):
        folder = tmp_path / f"run-{k}"
        folder.mkdir()
        (folder / name).write_bytes(content)
        command = ["train", "--resume", "--out"] if name.endswith(".pt") else ["evaluate", "--pretrained"]
        assert main([*command, str(folder)]) == 2, (name, k)
        printed = capsys.readouterr()
        assert "coldlab: " in printed.err
        assert "Traceback" not in printed.err + printed.out
        assert not target.exists()
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {name: content}


def test_states_with_the_wrong_contents_are_refused_with_a_reason(run, saved, tmp_path):
    whole = torch.load(io.BytesIO(saved), weights_only=True)
    config = json.loads(whole["config"])

    def with_config(**changes):
        return sealed(whole | {"config": json.dumps(config | changes)})

    path = tmp_path / "a.pt"
    message = refusal(load_state, path, with_config(widht=8))
    assert "widht" in message
    assert "did you mean 'width'" in message
    for key in ("config", "step", "R", "ema", "optimizer"):
        message = refusal(load_state, path, sealed({name: value for name, value in whole.items() if name != key}))
        assert f"'{key}'" in message
    refusal(load_state, path, with_config(width=16))  # the weights do not fit
    refusal(load_state, path, with_config(degradation="melt"))
    refusal(load_state, path, with_config(size=None))
    for part in ({"optimizer": 3}, {"R": []}, {"ema": None}, {"step": "x"}, {"config": 1}):
        refusal(load_state, path, sealed(whole | part))
    for content in (3, [], torch.zeros(3), {}):
        refusal(load_state, path, sealed(content))
    path.write_bytes(with_config())
    assert load_state(path)[2] == run[2]  # and the untouched one is taken


def test_a_missing_file_is_told(tmp_path):
    for load, name in ((load_state, "no.pt"), (load_weights, "no.safetensors"), (load_pretrained, "no.safetensors")):
        with pytest.raises(ColdlabError, match=rf"{name} could not be read \(No such file"):
            load(tmp_path / name)


# ------------------------------------------------------------------------------------------------------------- writing


def failing(monkeypatch, where, number):
    def fail(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(where, fail)


@pytest.mark.parametrize("where", ["os.fsync", "os.replace"])
def test_a_full_disk_leaves_what_was_there(run, tmp_path, monkeypatch, where):
    path = tmp_path / "step-0000001.pt"
    path.write_bytes(b"before")
    for save in (lambda: save_state(path, run[1], run[2]), lambda: save_weights(path, run[1].ema, run[2])):
        with monkeypatch.context() as patch:
            failing(patch, where, errno.ENOSPC)
            with pytest.raises(ColdlabError, match=r"step-0000001.pt could not be written \(No space left.*unchanged"):
                save()
        assert path.read_bytes() == b"before"
        assert [p.name for p in tmp_path.iterdir()] == [path.name]  # and no half of it lies about


def test_a_read_only_folder_is_told(run, tmp_path, monkeypatch):
    path = tmp_path / "step-0000001.pt"
    path.write_bytes(b"before")
    real = builtins.open

    def guarded(file, mode="r", *more, **options):
        if "w" in mode:
            raise PermissionError(errno.EROFS, os.strerror(errno.EROFS), str(file))
        return real(file, mode, *more, **options)

    monkeypatch.setattr(builtins, "open", guarded)
    with pytest.raises(ColdlabError, match=r"could not be written \(Read-only file system"):
        save_state(path, run[1], run[2])
    monkeypatch.undo()
    assert path.read_bytes() == b"before"
    with pytest.raises(ColdlabError, match="could not be written"):
        write(tmp_path / "missing" / "a.pt", b"x")
    with pytest.raises(ColdlabError, match="could not be written"):
        write(path / "a.pt", b"x")  # a file where a folder should be


def test_files_are_flushed_to_the_disk_before_they_are_renamed(tmp_path, monkeypatch):
    order, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("fsync"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append(os.path.getsize(a)), replace(a, b)))
    write(tmp_path / "a", b"12345")
    assert order[:2] == ["fsync", 5]
    assert (tmp_path / "a").read_bytes() == b"12345"


# ------------------------------------------------------------------------------------------------------ weights to use


def test_weights_come_back_ready_to_use(run, weights, tmp_path):
    D, state, config = run
    (tmp_path / "model.safetensors").write_bytes(weights)
    R = load_weights(tmp_path / "model.safetensors")
    x, t = D(images(4, 1), 3), torch.tensor([1, 2, 3, 3])
    assert torch.equal(R(x, t), state.ema(x, t))
    assert not R.training
    assert not any(p.requires_grad for p in R.parameters())
    assert R.config == config
    assert repr(R.D) == repr(D)
    assert isinstance(R, Preconditioned)
    plain_config = tiny(precondition=False)
    plain = start(plain_config)[1].R
    save_weights(tmp_path / "plain.safetensors", plain, plain_config)
    R = load_weights(tmp_path / "plain.safetensors")
    assert torch.equal(R(x, t), plain(x, t))
    assert torch.equal(R.D(images(4, 1), 3), D(images(4, 1), 3))


def test_weights_may_be_stored_in_half_the_space(run, weights, tmp_path):
    D, state, config = run
    save_weights(tmp_path / "half.safetensors", state.ema, config, half=True)
    size = (tmp_path / "half.safetensors").stat().st_size
    values = sum(p.numel() for p in state.ema.parameters())
    assert size < 2 * values + 6000 < len(weights)
    R = load_weights(tmp_path / "half.safetensors")
    for p, q in zip(R.parameters(), state.ema.parameters(), strict=True):
        assert p.dtype == torch.float32
        assert torch.equal(p, q.half().float())
    x = D(images(4, 1), 2)
    assert 0 < rms(R(x, 2) - state.ema(x, 2)) < 0.01


def test_the_same_weights_make_the_same_file(run, weights, tmp_path):
    for _ in range(4):  # the library alone writes its metadata in an order that changes
        save_weights(tmp_path / "again.safetensors", run[1].ema, run[2])
        assert (tmp_path / "again.safetensors").read_bytes() == weights


def header(content):
    return json.loads(content[8 : 8 + struct.unpack("<Q", content[:8])[0]])


def test_weights_carry_their_config_and_digest(run, weights):
    metadata = header(weights)["__metadata__"]
    assert json.loads(metadata["config"]) == json.loads(json.dumps(dataclasses.asdict(run[2])))
    assert len(metadata["sha256"]) == 64
    assert set(header(weights)) - {"__metadata__"} == set(run[1].ema.state_dict())


def test_any_flipped_byte_of_the_weights_is_noticed_or_means_nothing(run, weights, tmp_path):
    x, path = run[0](images(2, 1), 2), tmp_path / "a.safetensors"
    expected = run[1].ema(x, 2)
    length = 8 + struct.unpack("<Q", weights[:8])[0]
    positions = [*range(0, length, max(1, length // 60)), *range(length, len(weights), (len(weights) - length) // 15)]
    refused = 0
    for position in [*positions, len(weights) - 1]:
        content = bytearray(weights)
        content[position] ^= 1
        path.write_bytes(content)
        try:
            R = load_weights(path)
        except ColdlabError:
            refused += 1
            continue
        assert position < length  # such as a character of the header that names nothing
        assert torch.equal(R(x, 2), expected)
        assert R.config == run[2]
    assert refused > 0.9 * len(positions)


@pytest.mark.parametrize("change", ["seed: 0 1", "T: 3 2", "width: 8 4"])
def test_a_config_that_was_changed_afterwards_is_noticed(weights, tmp_path, change):
    name, before, after = change.replace(":", '\\":').split()
    old, new = (f"{name} {value}".encode() for value in (before, after))
    end = 8 + struct.unpack("<Q", weights[:8])[0]
    header, numbers = weights[:end], weights[end:]  # three bytes may stand among the numbers by chance
    assert header.count(old) == 1
    refusal(load_weights, tmp_path / "a.safetensors", header.replace(old, new) + numbers)


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 9, 100, 0.5, -1])
def test_truncated_weights_are_refused(weights, tmp_path, keep):
    cut = weights[: int(keep * len(weights)) if isinstance(keep, float) else keep]
    refusal(load_weights, tmp_path / "a.safetensors", cut)


def test_foreign_and_hostile_weights_are_refused_with_a_reason(run, weights, tmp_path):
    from safetensors.torch import load, save

    path = tmp_path / "a.safetensors"
    tensors, metadata = load(weights), header(weights)["__metadata__"]
    assert "metadata" in refusal(load_weights, path, save(tensors))  # no config: of another program
    without = {key: save(tensors, {k: v for k, v in metadata.items() if k != key}) for key in ("config", "sha256")}
    assert "damaged" in refusal(load_weights, path, without["config"])
    assert "'sha256'" in refusal(load_weights, path, without["sha256"])
    refusal(load_weights, path, struct.pack("<Q", 2**60) + b"{}")  # a header larger than any memory
    refusal(load_weights, path, struct.pack("<Q", 2**63) + b"{" * 100)
    huge = {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}
    far = json.dumps({"a": huge, "__metadata__": metadata}).encode()
    refusal(load_weights, path, struct.pack("<Q", len(far)) + far)
    nested = b"[" * 100_000
    refusal(load_weights, path, struct.pack("<Q", len(nested)) + nested)
    refusal(load_weights, path, os.urandom(1000))
    changed = tensors | {next(iter(tensors)): torch.zeros(1)}
    refusal(load_weights, path, save(changed, metadata))

    def signed(config, tensors=tensors):
        """A file whose digest is right: its maker had the package."""
        facts = {"config": json.dumps(config)}
        return save(tensors, facts | {"sha256": storage.digest(tensors, facts)})

    config = json.loads(metadata["config"])
    path.write_bytes(signed(config))
    assert load_weights(path).config == run[2]
    assert "did you mean 'patch'" in refusal(load_weights, path, signed(config | {"pach": 2}))
    refusal(load_weights, path, signed(config | {"width": 16}))
    refusal(load_weights, path, signed(config | {"degradation": "melt"}))
    refusal(load_weights, path, signed([config]))
    fewer = dict(list(tensors.items())[1:])
    assert next(iter(tensors)) in refusal(load_weights, path, signed(config, fewer))


# ---------------------------------------------------------------------------------------------------------- by its name


def test_pretrained_networks_are_found_by_name_file_and_folder(run, saved, weights, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(weights)
    by_folder, by_file = load_pretrained(tmp_path), load_pretrained(str(tmp_path / "model.safetensors"))
    x = images(2, 1)
    assert torch.equal(by_folder(x, 1), by_file(x, 1))
    unfinished = tmp_path / "unfinished"
    unfinished.mkdir()
    with pytest.raises(ColdlabError, match=r"unfinished holds no"):
        load_pretrained(unfinished)
    (unfinished / "step-0000006.pt").write_bytes(saved)
    assert torch.equal(load_pretrained(unfinished)(x, 1), by_file(x, 1))
    assert torch.equal(load_pretrained(unfinished / "step-0000006.pt")(x, 1), by_file(x, 1))
    with pytest.raises(ColdlabError, match=r"unknown checkpoint 'digits-blr'; did you mean 'digits-blur'\? Known: "):
        load_pretrained("digits-blr")
    assert "digits-blur" in checkpoints.pretrained()


def test_the_shipped_network_is_small_and_restores_digits_it_has_not_seen():
    path = WEIGHTS / "digits-blur.safetensors"
    assert path.stat().st_size <= 3_000_000
    R = load_pretrained("digits-blur")
    assert (R.config.dataset, R.config.degradation, R.config.size, R.config.channels) == ("digits", "blur", 32, 1)
    assert isinstance(R.config, Config)
    x0 = data.to_float(data.load("digits", "test")[0][:24])
    x_T = R.D(x0, R.D.T)
    *_, (_, restored, _) = improved(R, R.D, x_T)
    assert rms(restored - x0) < 0.7 * rms(x_T - x0)
    assert rms(R(x_T, R.D.T) - x0) < 0.7 * rms(x_T - x0)
