"""Anybody's folder or zip as people really have them: odd names, links, splits called otherwise, broken test images."""

import os
import subprocess
import sys
import warnings
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from coldlab import data
from coldlab.data.folders import tidy
from coldlab.errors import ColdlabError

rng = np.random.default_rng(0)


def picture(path, width=8, height=8):
    """Write a random colour image; returns its pixels (C, H, W)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return torch.from_numpy(pixels).permute(2, 0, 1)


def tree(folder, *names):
    """Write an image under each name, and return them by name."""
    return {name: picture(folder / name) for name in names}


def which(pictures, images):
    """The names of loaded images, as a set; an image that is there twice fails."""
    found = [name for image in images for name, pixels in pictures.items() if torch.equal(image, pixels)]
    assert len(found) == len(images) == len(set(found))
    return set(found)


def both(path, **options):
    """(images, labels) of each split without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return data.load(path, "train", **options), data.load(path, "test", **options)


def plain(name):
    return name


def backslashes(name):
    return name.replace("/", "\\")


def dotted(name):
    return f"./{name}"


def absolute(name):
    return f"/home/me/{name}"


def wrapped(name):
    return f"photos/{name}"


def climbing(name):
    return f"../photos/{name}"


def zipped(folder, rename=plain):
    """A zip of a folder, each entry's name as `rename` makes it, last names first."""
    target = folder.with_suffix(".zip")
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*"), reverse=True):
            if file.is_file():
                entry = zipfile.ZipInfo()
                entry.filename = rename(file.relative_to(folder).as_posix())
                archive.writestr(entry, file.read_bytes())
    return target


# --- the same tree as a folder and as any zip of it

FLAT = tuple(f"{i:02}.png" for i in range(12))
CLASSES = tuple(f"{kind}/{i}.png" for kind in ("cat", "dog") for i in range(6))
SPLIT = ("train/cat/0.png", "train/dog/0.png", "train/dog/1.png", "test/cat/0.png", "test/dog/0.png")
TREES = {
    "flat": FLAT,
    "classes": CLASSES,
    "split": SPLIT,
    "split-one-down": tuple(f"photos/{name}" for name in SPLIT),
    "split-two-down": tuple(f"my/photos/{name}" for name in SPLIT),
    "class-then-split": ("cat/train/0.png", "cat/test/0.png", "dog/train/0.png", "dog/test/0.png", "dog/train/1.png"),
    "in-one-folder": tuple(f"holiday/{name}" for name in FLAT),
    "classes-in-one-folder": tuple(f"holiday/{name}" for name in CLASSES),
    "only-train": tuple(f"train/{name}" for name in CLASSES),
}


@pytest.mark.parametrize("rename", [plain, backslashes, dotted, absolute, wrapped, climbing])
@pytest.mark.parametrize("names", TREES.values(), ids=TREES)
def test_a_folder_and_every_zip_of_it_are_the_same_set(tmp_path, names, rename):
    tree(tmp_path / "set", *names)
    for (images, labels), (again, same) in zip(
        both(tmp_path / "set"), both(zipped(tmp_path / "set", rename)), strict=True
    ):
        assert torch.equal(images, again)
        assert (labels is None) == (same is None)
        assert labels is None or torch.equal(labels, same)


@pytest.mark.skipif(os.sep == "\\", reason="there a backslash separates folders")
def test_a_backslash_zip_that_was_unpacked_as_it_is(tmp_path):
    (tmp_path / "set").mkdir()
    pictures = tree(tmp_path / "set", *(backslashes(name) for name in SPLIT))
    (train, labels), (test, _) = both(tmp_path / "set")
    assert which(pictures, train) == {backslashes(name) for name in SPLIT if name.startswith("train")}
    assert which(pictures, test) == {backslashes(name) for name in SPLIT if name.startswith("test")}
    assert labels.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (r"train\a\0.png", "train/a/0.png"),
        ("./a/0.png", "a/0.png"),
        (r".\a\0.png", "a/0.png"),
        ("/a//b/./0.png", "a/b/0.png"),
        ("//a/0.png", "a/0.png"),
        ("../../a/0.png", "a/0.png"),
        ("a/../b/0.png", "b/0.png"),
        ("a/.../0.png", "a/.../0.png"),
        ("ä b[1].png", "ä b[1].png"),
    ],
)
def test_names_in_zips(name, expected):
    assert tidy(name) == expected


def test_an_entry_that_a_zip_holds_twice_is_one_image(tmp_path):
    tree(tmp_path / "set", *FLAT)
    path = zipped(tmp_path / "set")
    content = (tmp_path / "set" / "00.png").read_bytes()
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("00.png", content)
    (train, _), (test, _) = both(path)
    assert (len(train), len(test)) == (11, 1)


# --- splits


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"),
        ("Train", "Test"),
        ("TRAIN", "TEST"),
        ("training", "testing"),
        ("train", "val"),
        ("train", "valid"),
        ("train", "validation"),
        ("Training", "Validation"),
    ],
)
@pytest.mark.parametrize("above", ["", "sub/", "sub/more/"])
def test_splits_by_other_names(tmp_path, train, test, above):
    pictures = tree(tmp_path, *(f"{above}{train}/{i}.png" for i in range(12)), f"{above}{test}/a.png")
    (images, labels), (held, _) = both(tmp_path)
    assert labels is None
    assert which(pictures, images) == {f"{above}{train}/{i}.png" for i in range(12)}
    assert which(pictures, held) == {f"{above}{test}/a.png"}


def test_of_three_splits_val_is_left_out_and_told(tmp_path):
    pictures = tree(tmp_path, "train/a.png", "val/b.png", "test/c.png", "sample.png")
    told = (
        r"^2 images in .* lie outside of its folders for training and test and are left out: sample.png, val/b.png\.$"
    )
    for split, expected in (("train", "train/a.png"), ("test", "test/c.png")):
        with pytest.warns(UserWarning, match=told) as warned:
            assert which(pictures, data.load(tmp_path, split)[0]) == {expected}
        assert [w.filename for w in warned] == [__file__]  # at the caller's line, once


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("train/a.png", "more/b.png"), "train in"),
        (("test/a.png", "b.png"), "test in"),
        (("trainA/a.png", "trainB/b.png", "testA/c.png", "testB/d.png"), r"testA, testB, trainA, \.\.\. in"),
        (("train2017/a.png", "val2017/b.png"), "train2017, val2017 in"),
    ],
)
def test_what_only_looks_like_splits_is_told(tmp_path, names, told):
    tree(tmp_path, *names)
    with pytest.warns(UserWarning, match=rf"^{told} .* ordinary folders? here, and every tenth image .* splits\.$"):
        data.load(tmp_path, "test")


@pytest.mark.parametrize("names", [("trains/a.png", "cars/b.png"), ("valley/a.png", "hill/b.png"), CLASSES, FLAT])
def test_ordinary_names_are_not_remarked_upon(tmp_path, names):
    tree(tmp_path, *names)
    both(tmp_path)


# --- links


@pytest.fixture
def link():
    """Make a link, or skip where the system forbids them."""

    def link(path, target):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.symlink_to(target, target_is_directory=target.is_dir())
        except OSError as error:
            pytest.skip(f"no links here ({error})")

    return link


@pytest.mark.parametrize("at", ["loop", "deep/er/loop", "0-first"])
def test_a_link_to_its_own_folder_adds_nothing(tmp_path, link, at):
    pictures = tree(tmp_path / "set", *FLAT)
    link(tmp_path / "set" / at, tmp_path / "set")
    (train, labels), (test, _) = both(tmp_path / "set")
    assert labels is None
    assert which(pictures, train) | which(pictures, test) == set(FLAT)
    assert len(train) + len(test) == 12


def test_folders_that_link_to_one_another_end(tmp_path, link):
    pictures = tree(tmp_path, *(f"{k}/{k}.png" for k in range(8)))
    for k in range(8):
        for other in range(8):
            link(tmp_path / f"{k}/to-{other}", tmp_path / str(other))
    with pytest.warns(UserWarning, match=r"images in .* are links to others of it and are left out: "):
        train, labels = data.load(tmp_path, "train")
    assert which(pictures, train) == {f"{k}/{k}.png" for k in range(7)}
    assert labels.tolist() == list(range(7))


def test_links_to_other_places_are_followed(tmp_path, link):
    pictures = tree(tmp_path / "elsewhere", "a.png", "b/b.png", "c.png")
    link(tmp_path / "set/train", tmp_path / "elsewhere")
    link(tmp_path / "set/test/c.png", tmp_path / "elsewhere/c.png")
    link(tmp_path / "all", tmp_path / "set")
    with pytest.warns(UserWarning, match=r"1 images .* are links to others of it .*: train/c.png|test/c.png"):
        train, _ = data.load(tmp_path / "all", "train")
    with pytest.warns(UserWarning, match="links"):
        test, _ = data.load(tmp_path / "all", "test")
    assert which(pictures, train).isdisjoint(which(pictures, test))
    assert which(pictures, train) | which(pictures, test) == set(pictures)


def test_splits_made_of_links_are_splits(tmp_path, link):
    pictures = tree(tmp_path / "all", *FLAT)
    for name in FLAT:
        link(tmp_path / ("test" if name < "03" else "train") / name, tmp_path / "all" / name)
    with pytest.warns(UserWarning, match=r"12 images in .* lie outside of its folders for training and test"):
        test, _ = data.load(tmp_path, "test")
    assert which(pictures, test) == set(FLAT[:3])


def test_an_image_linked_into_both_splits_is_in_one(tmp_path, link):
    pictures = tree(tmp_path, *(f"train/{name}" for name in FLAT))
    for name in FLAT[:3]:
        link(tmp_path / "test" / name, tmp_path / "train" / name)
    tree(tmp_path, "test/z.png")
    with pytest.warns(UserWarning, match=r"3 images in .* are links to others .*: test/00.png, test/01.png, test/02"):
        train, _ = data.load(tmp_path, "train")
    assert which(pictures, train) == set(pictures)


def test_a_broken_link_is_an_unreadable_image(tmp_path, link):
    tree(tmp_path, *FLAT)
    link(tmp_path / "x.png", tmp_path / "gone.png")
    link(tmp_path / "y.png", tmp_path / "y.png")
    with pytest.raises(ColdlabError, match=r"cannot read 2 of 14 images in .*: x.png, y.png \("):
        data.load(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.timeout(60)
def test_a_pipe_is_no_image(tmp_path):
    tree(tmp_path, *FLAT)
    os.mkfifo(tmp_path / "x.png")
    os.mkfifo(tmp_path / "y.zip")
    assert len(data.load(tmp_path, "train")[0]) == 11
    with pytest.raises(ColdlabError, match=r"y.zip' is neither a folder nor a file"):
        data.load(tmp_path / "y.zip")


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    tree(tmp_path, *FLAT, "locked/a.png")
    scandir = os.scandir

    def refusing(path):
        if os.path.basename(path) == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("coldlab.data.folders.os.scandir", refusing)
    with pytest.raises(ColdlabError, match=r"the folder .*locked/ cannot be read \(Permission denied\); .*--skip-unre"):
        data.load(tmp_path)
    with pytest.warns(UserWarning, match=r"locked/ cannot be read \(Permission denied\); it is left out\.$"):
        assert len(data.load(tmp_path, skip_unreadable=True)[0]) == 11


# --- what coldlab wrote


RUN = {
    "of this version": ("config.json", "log.jsonl", "model.safetensors", "step-0000004.pt"),
    "killed early": ("config.json", "log.jsonl"),
    "weights alone": ("model.safetensors",),
    "states alone": ("step-0000004.pt", "step-0000008.pt"),
}
DRAWN = ("loss.png", "samples.png", "samples-0000002.png")


@pytest.mark.parametrize("files", RUN.values(), ids=RUN)
@pytest.mark.parametrize("at", ["runs/photos-blur/", "my-run/", ""], ids=["runs", "beside", "itself"])
@pytest.mark.parametrize("pack", [plain, zipped], ids=["folder", "zip"])
def test_a_run_inside_the_data_adds_no_images(tmp_path, files, at, pack):
    pictures = tree(tmp_path / "photos", *FLAT)
    tree(tmp_path / "photos", *(f"{at}{name}" for name in DRAWN))
    for name in files:
        (tmp_path / "photos" / f"{at}{name}").write_bytes(b"{}")
    path = pack(tmp_path / "photos")
    with pytest.warns(UserWarning, match=r"^3 pictures in .* were written by coldlab and are left out: ") as warned:
        train, labels = data.load(path, "train")
    assert len(warned) == 1
    assert labels is None
    with pytest.warns(UserWarning, match="written by coldlab"):
        test, _ = data.load(path, "test")
    assert which(pictures, train) | which(pictures, test) == set(FLAT)


def test_what_restore_and_sample_write_adds_no_images(tmp_path):
    pictures = tree(tmp_path, *FLAT)
    made = ("restored/a-restored.png", "restored/a-trajectory.png", "samples/samples.png", "samples/trajectory.png")
    tree(tmp_path, *made, "b-restored.png", "b-trajectory.png")
    with pytest.warns(UserWarning, match=r"^6 pictures .*: b-restored.png, b-trajectory.png, restored/a-restored"):
        train, _ = data.load(tmp_path, "train")
    assert which(pictures, train) == set(FLAT) - {"09.png"}


def test_pictures_that_only_have_such_names_stay(tmp_path):
    pictures = tree(tmp_path, *FLAT, *DRAWN, "a-restored.png", "trajectory.txt.png")
    (tmp_path / "config.json").write_bytes(b"{}")
    (train, _), (test, _) = both(tmp_path)
    assert which(pictures, train) | which(pictures, test) == set(pictures)


def test_a_run_alone_is_no_data(tmp_path):
    tree(tmp_path, *DRAWN)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(
        ColdlabError, match=r"no images \(.*\) that coldlab did not write among 4 files in .*: loss.png"
    ):
        data.load(tmp_path)


# --- files that cannot be read, or do not fit together: told before a training, of both splits


def cut(path):
    path.write_bytes(path.read_bytes()[:-60])


@pytest.mark.parametrize("spoil", [cut, lambda path: path.write_bytes(b"text")], ids=["truncated", "no image"])
@pytest.mark.parametrize("broken", ["19.png", "test/dog/0.png"], ids=["flat", "split"])
@pytest.mark.parametrize("pack", [plain, zipped], ids=["folder", "zip"])
def test_a_broken_test_image_is_told_before_the_training(tmp_path, spoil, broken, pack):
    names = SPLIT if "/" in broken else [f"{i:02}.png" for i in range(25)]
    pictures = tree(tmp_path / "set", *names)
    spoil(tmp_path / "set" / broken)
    path = pack(tmp_path / "set")
    for split, count in (("train", len(names)), ("test", 2)):
        told = rf"^cannot read 1 of {count} images in .*: {broken} \(.*\); .*--skip-unreadable.* other {count - 1}\.$"
        with pytest.raises(ColdlabError, match=told):
            data.load(path, split)
    (train, _), (test, labels) = both(path, skip_unreadable=True)
    assert which(pictures, train) | which(pictures, test) == set(names) - {broken}
    assert labels is None if len(names) == 25 else labels.tolist() == [0]
    spoil(tmp_path / "set" / ("09.png" if len(names) == 25 else "test/cat/0.png"))
    path = pack(tmp_path / "set")
    with pytest.raises(
        ColdlabError, match=r"^none of the 2 images for test in .* can be read: .*; mend one at least\.$"
    ):
        data.load(path, "train", skip_unreadable=True)


def test_a_broken_training_image_does_not_spoil_the_test(tmp_path):
    tree(tmp_path, *FLAT)
    cut(tmp_path / "00.png")
    assert len(data.load(tmp_path, "test")[0]) == 1


def test_images_that_are_not_square_need_a_size_before_any_is_decoded(tmp_path, monkeypatch):
    tree(tmp_path, *FLAT)
    picture(tmp_path / "09.png", 9, 8)  # of the test split
    monkeypatch.setattr("coldlab.data.reading.decode", None)
    with pytest.raises(ColdlabError, match=r"differ in size \(00.png is 8x8, 09.png is 9x8\); .*size=64 \(--size 64\)"):
        data.load(tmp_path)
    for name in FLAT:
        picture(tmp_path / name, 9, 8)
    with pytest.raises(
        ColdlabError, match=r"are not square \(00.png is 9x8\); give a size, such as .*\(--size 64\)\.$"
    ):
        data.load(tmp_path)


def test_turned_photographs_need_a_size_too(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for i in range(3):
        Image.new("RGB", (8, 6)).save(tmp_path / f"{i}.jpg", **({"exif": exif} if i else {}))
    with pytest.raises(ColdlabError, match="are not square"):
        data.load(tmp_path)
    assert data.load(tmp_path, size=6)[0].shape == (2, 3, 6, 6)


def test_no_memory_is_one_sentence(tmp_path, monkeypatch):
    tree(tmp_path, *FLAT)

    empty = torch.empty

    def full(*shape, **options):
        if len(shape) == 1:
            return empty(*shape, **options)
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough memory")

    monkeypatch.setattr("coldlab.data.reading.torch.empty", full)
    with pytest.raises(ColdlabError, match=r"^the images of .* take 0\.0 GiB, more than is free; give a smaller size"):
        data.load(tmp_path)


# --- odd paths and names


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", r"^unknown dataset ''"),
        ("~nobody-of-this-name/photos", r"^no folder or zip at '~nobody-of-this-name/photos'"),
        ("photos/" + "x" * 5000, r"^no folder or zip at 'photos/x"),
        ("a\0b/c", r"^no folder or zip at 'a\\x00b/c'"),
        ("photos.ZIP", r"^no folder or zip at 'photos.ZIP'"),
        ("two\nlines", r"^unknown dataset 'two\\nlines'"),
    ],
)
def test_odd_paths_are_one_sentence(name, message):
    with pytest.raises(ColdlabError, match=message) as error:
        data.load(name)
    assert "\n" not in str(error.value)
    with pytest.raises(ColdlabError, match=r"^there is no image file '") as error:
        data.read_image(name or "nothing")
    assert "\n" not in str(error.value)


def test_a_path_that_may_not_be_looked_at(monkeypatch):
    def forbidden(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("coldlab.data.files.Path.exists", forbidden)
    for call in (data.load, data.read_image):
        with pytest.raises(
            ColdlabError, match=r"^'photos/mine' cannot be looked at \(Permission denied\); check its per"
        ):
            call("photos/mine")


def test_names_of_any_kind_stay_on_one_line(tmp_path):
    names = ["two\nlines.png", "x" * 200 + ".png", "ä [1] 100%.png"]
    try:
        for name in names:
            (tmp_path / name).write_bytes(b"no image")
    except OSError as error:
        pytest.skip(f"such names are not possible here ({error})")
    with pytest.raises(ColdlabError, match=r"two lines.png") as error:
        data.load(tmp_path)
    text = str(error.value)
    assert "\n" not in text
    assert len(text.replace(str(tmp_path), "")) < 450
    (tmp_path / "sub").mkdir()
    for i, name in enumerate(names):
        picture(tmp_path / "sub" / f"{i}{name}"[:200].replace(".png", "") / "a.png")
    assert len(data.load(tmp_path / "sub", "train")[0]) == 2


@pytest.mark.parametrize("damage", ["truncated", "directory", "empty"])
def test_a_damaged_zip_is_one_sentence(tmp_path, damage):
    tree(tmp_path / "set", *FLAT)
    path = zipped(tmp_path / "set")
    content = bytearray(path.read_bytes())
    if damage == "directory":
        at = content.rindex(b"PK\1\2")
        content[at : at + 4] = b"nope"
    path.write_bytes({"truncated": content[: len(content) // 2], "empty": b""}.get(damage, bytes(content)))
    with pytest.raises(ColdlabError, match=r"cannot be read as a zip \(.*\); make or download it again\.$"):
        data.load(path)


def test_a_damaged_entry_is_an_unreadable_image(tmp_path):
    tree(tmp_path / "set", *FLAT)
    path = zipped(tmp_path / "set")
    content = bytearray(path.read_bytes())
    at = content.index(b"IDAT")
    content[at + 8] ^= 255
    path.write_bytes(content)
    with pytest.raises(ColdlabError, match=r"cannot read 1 of 12 images in .*: 11.png \("):
        data.load(path)


# --- the fingerprint


def test_the_fingerprint_tells_every_change():
    images = torch.from_numpy(rng.integers(0, 256, (2000, 1, 4, 4), dtype=np.uint8))
    changed = images.clone()
    changed[1999, 0, 3, 3] ^= 1
    swapped = images[[1, 0, *range(2, 2000)]]
    others = (changed, swapped, images[:-1], images[:0], images.view(2000, 1, 2, 8), images.view(1000, 2, 4, 4))
    seen = {data.fingerprint(x) for x in (images, *others)}
    assert len(seen) == 7
    assert all(len(f) == 16 and int(f, 16) >= 0 for f in seen)


def test_the_fingerprint_is_that_of_the_values_wherever_they_lie():
    images = torch.from_numpy(rng.integers(0, 256, (1500, 3, 4, 4), dtype=np.uint8))
    expected = data.fingerprint(images)
    assert data.fingerprint(images.contiguous(memory_format=torch.channels_last)) == expected
    assert data.fingerprint(torch.stack([images, images], 1)[:, 1]) == expected
    small = torch.arange(4, dtype=torch.uint8).view(1, 1, 2, 2)
    assert data.fingerprint(small) == "32cad18a71cb8f1e"  # runs store it: it must not change with the version


def test_the_fingerprint_of_a_moved_folder(tmp_path):
    tree(tmp_path / "here", *SPLIT)
    (tmp_path / "there/deep").mkdir(parents=True)
    before = data.fingerprint(data.load(tmp_path / "here")[0])
    (tmp_path / "here").rename(tmp_path / "there/deep/moved")
    assert data.fingerprint(data.load(tmp_path / "there/deep/moved")[0]) == before
    picture(tmp_path / "there/deep/moved/train/cat/9.png")
    assert data.fingerprint(data.load(tmp_path / "there/deep/moved")[0]) != before


@pytest.mark.parametrize("images", [torch.zeros(2, 1, 4, 4), [1, 2], None])
def test_the_fingerprint_takes_uint8_images(images):
    with pytest.raises(ColdlabError, match=r"^fingerprint takes uint8 images, not (torch.float32|list|NoneType); "):
        data.fingerprint(images)


RESIZED = """
import torch
from coldlab import data
from coldlab.data.files import fit_uint8
images = torch.randint(0, 256, (100, 3, 89, 89), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
print(*(data.fingerprint(fit_uint8(images, size, 1.0)) for size in (100, 64)))
"""


def test_resized_images_are_the_same_on_other_processors():
    """Torch's arithmetic without vector instructions and with them; in float32 some of 4 million values differ."""
    found = set()
    for kind in ("default", "avx2"):
        environment = os.environ | {"ATEN_CPU_CAPABILITY": kind}
        command = [sys.executable, "-c", RESIZED]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, encoding="utf-8", errors="replace", check=True
        )
        found.add(done.stdout)
    assert len(found) == 1
