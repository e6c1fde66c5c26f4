"""data.py: what is loaded equals the raw sources, and every kind of unusable input is told in one sentence."""

import io
import math
import struct
import sys
import types
import warnings
import zipfile

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from sklearn.datasets import load_digits

from coldlab import data
from coldlab.errors import ColdlabError

rng = np.random.default_rng(0)


def picture(path, width=20, height=20, mode="RGB", **options):
    """Write a random image and return its pixels as they were written."""
    shape = (height, width, len(mode)) if len(mode) > 1 else (height, width)
    pixels = rng.integers(0, 256, shape, dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels, mode=None).save(path, **options)
    return pixels


def one_sentence(error):
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert len(text) < 500
    return text


# --- ranges


def test_ranges_are_exact_and_inverse():
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    x = data.to_float(levels)
    assert x.dtype == torch.float32
    assert x.min() == -1
    assert x.max() == 1
    assert torch.equal(data.to_uint8(x), levels)
    torch.testing.assert_close(data.to_unit(x), levels / 255)
    assert torch.equal(data.to_unit(levels), levels / 255)


def test_to_uint8_rounds_and_clamps():
    x = torch.tensor([-7.0, -1.0, 1.0, 7.0, 100.6 / 127.5 - 1, 100.4 / 127.5 - 1])
    assert data.to_uint8(x).tolist() == [0, 0, 255, 255, 101, 100]  # truncation would give 100 twice
    assert data.to_unit(x)[[0, 3]].tolist() == [0, 1]


def test_half_precision_is_not_rounded_further():
    x = (torch.arange(0, 256) / 127.5 - 1).bfloat16()
    torch.testing.assert_close(data.to_unit(x), (x.double() + 1).float() / 2, rtol=0, atol=1e-7)


def test_ranges_refuse_other_types():
    with pytest.raises(ColdlabError, match=r"to_float takes uint8 images, not torch.float32"):
        data.to_float(torch.zeros(1))
    with pytest.raises(ColdlabError, match=r"to_unit takes float images .* not torch.int64"):
        data.to_unit(torch.zeros(1, dtype=torch.long))


# --- digits


def bicubic_3x(image):
    """Keys' bicubic (a = -0.75), 8 -> 24 with replicated borders, written as two matrix products."""
    a, matrix = -0.75, np.zeros((24, 8))
    for i in range(24):
        centre = (i + 0.5) / 3 - 0.5
        for j in range(math.floor(centre) - 1, math.floor(centre) + 3):
            d = abs(centre - j)
            weight = (a + 2) * d**3 - (a + 3) * d**2 + 1 if d <= 1 else a * (d**3 - 5 * d**2 + 8 * d - 4)
            matrix[i, min(max(j, 0), 7)] += weight
    return matrix @ image @ matrix.T


def test_digits_are_scikit_learns():
    raw = load_digits()
    images, labels = (torch.cat(pair) for pair in zip(data.load("digits"), data.load("digits", "test"), strict=True))
    assert images.shape == (1797, 1, 32, 32)
    assert images.dtype == torch.uint8
    assert labels.dtype == torch.long
    assert labels.tolist() == raw.target.tolist()
    assert len(data.load("digits", "train")[0]) == 1500
    for i in (0, 700, 1796):
        enlarged = bicubic_3x(raw.images[i] / 16)
        sigmoid = 1 / (1 + np.exp(-12 * (enlarged - 0.45)))
        low, high = (1 / (1 + np.exp(-12 * (v - 0.45))) for v in (0, 1))
        expected = np.clip((sigmoid - low) / (high - low), 0, 1) * 255
        assert np.abs(images[i, 0, 4:28, 4:28].numpy() - expected).max() <= 0.5 + 1e-6
    assert not images[..., :4].any()
    assert not images[..., -4:].any()
    assert not images[:, :, :4].any()
    assert not images[:, :, -4:].any()


def test_digits_are_crisp():
    images, _ = data.load("digits")
    grey = ((images > 10) & (images < 245)).float().sum() / (images > 10).float().sum()
    assert grey < 0.6  # of the pixels that are not black; 0.87 before the sigmoid
    assert (images.amax((1, 2, 3)) > 250).all()
    assert (images.amin((1, 2, 3)) == 0).all()


def test_digits_are_independent_copies():
    images, _ = data.load("digits")
    images.zero_()
    assert data.load("digits")[0].any()


@pytest.mark.parametrize("size", [16, 28, 64])
def test_size_resizes_digits(size):
    images, labels = data.load("digits", "test", size=size)
    assert images.shape == (297, 1, size, size)
    assert images.dtype == torch.uint8
    assert len(labels) == 297


# --- torchvision's sets, without a network: tiny official files in the official format


def idx(array):
    """MNIST's file format: two zero bytes, type 8 (uint8), the number of dimensions, the dimensions, the bytes."""
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


@pytest.fixture
def mnist(tmp_path, monkeypatch):
    pytest.importorskip("torchvision")
    monkeypatch.setenv("COLDLAB_DATA", str(tmp_path))
    sets = {}
    for name, split, n in (("train", "train", 7), ("t10k", "test", 5)):
        images, labels = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8), np.arange(n, dtype=np.uint8)
        for folder in ("MNIST/raw", "FashionMNIST/raw"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / f"{name}-images-idx3-ubyte").write_bytes(idx(images))
            (tmp_path / folder / f"{name}-labels-idx1-ubyte").write_bytes(idx(labels))
        sets[split] = images
    return sets


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "MNIST"])
def test_mnist_keeps_every_pixel(mnist, name):
    for split, raw in mnist.items():
        images, labels = data.load(name, split)
        assert images.shape == (len(raw), 1, 28, 28)
        assert np.array_equal(images[:, 0].numpy(), raw)
        assert labels.tolist() == list(range(len(raw)))
        assert labels.dtype == torch.long


def test_zoom_follows_the_papers_training_code(mnist):
    """Resize to 35, cut the centre 32, as torchvision with Pillow does, which rounds twice: hence one level of room."""
    from torchvision import transforms

    images, _ = data.load("mnist", "test", size=32, zoom=1.12)
    official = transforms.Compose([transforms.Resize(35), transforms.CenterCrop(32), transforms.PILToTensor()])
    expected = torch.stack([official(Image.fromarray(raw)) for raw in mnist["test"]])
    assert images.shape == (5, 1, 32, 32)
    assert (images.int() - expected.int()).abs().max() <= 1
    raw = torch.from_numpy(mnist["test"])[:, None].double()
    exact = F.interpolate(raw, size=(35, 35), mode="bilinear", antialias=True)[..., 2:34, 2:34]
    assert (images - exact).abs().max() <= 0.5 + 1e-4  # rounded, not truncated


def test_mnist_is_resized_without_cutting(mnist):
    images, _ = data.load("mnist", "test", size=14)
    exact = F.interpolate(
        torch.from_numpy(mnist["test"])[:, None].double(), size=(14, 14), mode="bilinear", antialias=True
    )
    assert (images - exact).abs().max() <= 0.5 + 1e-4


def test_broken_files_are_told(mnist, tmp_path):
    file = tmp_path / "MNIST/raw/t10k-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(ColdlabError, match=r"files of mnist in .* are broken \(.*\); delete its folder") as error:
        data.load("mnist", "test")
    one_sentence(error)


def test_no_network_is_one_sentence(tmp_path, monkeypatch):
    datasets = pytest.importorskip("torchvision.datasets")
    monkeypatch.setenv("COLDLAB_DATA", str(tmp_path))

    def offline(self):
        raise RuntimeError("Error downloading x.gz:\nTried a mirror, got:\n<urlopen error no route to host>\n")

    for name, kind in (("mnist", "MNIST"), ("cifar10", "CIFAR10"), ("celeba", "CelebA")):
        monkeypatch.setattr(getattr(datasets, kind), "download", offline)
        with pytest.raises(
            ColdlabError, match=rf"^{name} is not in .* could not be downloaded from .*no route"
        ) as error:
            data.load(name)
        text = one_sentence(error)
        assert str(tmp_path) in text
        assert "COLDLAB_DATA" in text
        assert "'digits', which needs no download" in text
        source = {"mnist": datasets.MNIST.mirrors[0], "cifar10": datasets.CIFAR10.url, "celeba": "Google Drive"}[name]
        assert source in text


@pytest.mark.parametrize(
    "error", [ImportError("no such module"), RuntimeError("operator torchvision::nms does not exist")]
)
def test_mismatched_torchvision_is_one_sentence(monkeypatch, error):
    class Broken(types.ModuleType):
        def __getattr__(self, name):
            raise error

    monkeypatch.setitem(sys.modules, "torchvision", Broken("torchvision"))
    monkeypatch.delitem(sys.modules, "torchvision.datasets", raising=False)
    with pytest.raises(ColdlabError, match=r"needs torchvision, which does not import beside torch") as raised:
        data.load("cifar10")
    assert torch.__version__ in one_sentence(raised)
    assert str(error) in str(raised.value)
    assert data.load("digits")[0].shape[0] == 1500  # needs none


def test_cifar10_is_channels_first(tmp_path, monkeypatch):
    datasets = pytest.importorskip("torchvision.datasets")
    raw = rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    calls = []

    def fake(root, train, download):
        calls.append((root, train, download))
        return types.SimpleNamespace(data=raw, targets=[3, 1, 2])

    monkeypatch.setattr(datasets, "CIFAR10", fake)
    monkeypatch.setenv("COLDLAB_DATA", str(tmp_path))
    images, labels = data.load("cifar10", "test")
    assert np.array_equal(images.permute(0, 2, 3, 1).numpy(), raw)
    assert labels.tolist() == [3, 1, 2]
    assert images.is_contiguous()
    assert calls == [(tmp_path, False, False)]  # nothing downloaded


def test_celeba_takes_a_folder_of_aligned_jpegs(tmp_path, monkeypatch):
    monkeypatch.setenv("COLDLAB_DATA", str(tmp_path))
    for number in (1, 9000, 9001, 10000):
        picture(tmp_path / data.ALIGNED / f"{number:06}.jpg", 89, 109)
    train, labels = data.load("celeba", "train")
    test, _ = data.load("celeba", "test")
    assert train.shape == test.shape == (2, 3, 89, 89)
    assert labels is None
    decoded = np.asarray(Image.open(tmp_path / data.ALIGNED / "009001.jpg"))
    assert np.array_equal(test[0].permute(1, 2, 0).numpy(), decoded[10:99])  # the centre square
    small, _ = data.load("celeba", "test", size=64)
    square = torch.from_numpy(decoded[10:99].copy()).permute(2, 0, 1)[None].double()
    exact = F.interpolate(square, size=(64, 64), mode="bilinear", antialias=True)
    assert (small[:1] - exact).abs().max() <= 0.5 + 1e-3


def test_celeba_without_test_images(tmp_path, monkeypatch):
    monkeypatch.setenv("COLDLAB_DATA", str(tmp_path))
    picture(tmp_path / data.ALIGNED / "000001.jpg", 89, 109)
    with pytest.raises(ColdlabError, match=r"no test images in .*009000 are train"):
        data.load("celeba", "test")


def test_celeba_through_torchvision(tmp_path, monkeypatch):
    datasets = pytest.importorskip("torchvision.datasets")
    monkeypatch.setenv("COLDLAB_DATA", str(tmp_path))
    monkeypatch.setattr(datasets, "CelebA", lambda root, split, **_: types.SimpleNamespace(filename=[f"{split}.png"]))
    picture(tmp_path / data.ALIGNED / "000001.jpg", 89, 109)  # the full set goes first
    raw = picture(tmp_path / "celeba/img_align_celeba/train.png", 178, 218)
    images, labels = data.load("celeba", "train")
    assert np.array_equal(images[0].permute(1, 2, 0).numpy(), raw[20:198])
    assert labels is None


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("COLDLAB_DATA", "~/somewhere")
    assert data.folder().name == "somewhere"
    assert "~" not in str(data.folder())
    monkeypatch.delenv("COLDLAB_DATA")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data.folder() == tmp_path / "coldlab"


# --- arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "mnits"}, "unknown dataset 'mnits'; did you mean 'mnist'"),
        ({"name": "nothing-like-it"}, "Known: celeba, cifar10, digits, fashion-mnist, mnist"),
        ({"name": "no/such/folder"}, "no folder or zip at 'no/such/folder'"),
        ({"name": "photos.zip"}, "no folder or zip at 'photos.zip'"),
        ({"name": "digits", "split": "val"}, "split is 'val'; it is either 'train' or 'test'"),
        ({"name": "digits", "size": 0}, "size is 0; it is a whole number"),
        ({"name": "digits", "size": 32.0}, r"size is 32\.0"),
        ({"name": "digits", "size": True}, "size is True"),
        ({"name": "digits", "size": 32, "zoom": 0.5}, r"zoom is 0\.5; it lies in 1\.\.10"),
        ({"name": "digits", "zoom": math.nan}, "zoom is nan"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ColdlabError, match=message):
        data.load(**arguments)


# --- anybody's folder or zip


def as_folder(folder):
    return folder


def as_zip(folder):
    target = folder.with_suffix(".zip")
    with zipfile.ZipFile(target, "w") as archive:
        for file in sorted(folder.rglob("*"), reverse=True):  # a zip keeps its own order
            archive.write(file, file.relative_to(folder))
        archive.writestr("__MACOSX/._a.png", b"not an image")
    return target


@pytest.fixture(params=[as_folder, as_zip])
def packed(request):
    return request.param


def test_flat_folder_every_tenth_is_test(tmp_path, packed):
    raw = [picture(tmp_path / "set" / f"{i:02}.png") for i in range(25)]
    (tmp_path / "set/.hidden.png").write_bytes(b"x")
    (tmp_path / "set/notes.txt").write_text("no image", encoding="utf-8")
    path = packed(tmp_path / "set")
    train, labels = data.load(path, "train")
    test, _ = data.load(str(path), "test")
    assert labels is None
    assert train.shape == (23, 3, 20, 20)
    assert test.shape == (2, 3, 20, 20)
    assert np.array_equal(test.permute(0, 2, 3, 1).numpy(), np.stack([raw[9], raw[19]]))
    assert np.array_equal(train.permute(0, 2, 3, 1).numpy(), np.stack([raw[i] for i in range(25) if i not in (9, 19)]))


def test_few_images_still_have_a_test_image(tmp_path):
    for i in range(3):
        picture(tmp_path / f"{i}.png")
    assert len(data.load(tmp_path, "train")[0]) == 2
    assert len(data.load(tmp_path, "test")[0]) == 1


def test_a_single_image_is_test(tmp_path):
    picture(tmp_path / "a.png")
    assert len(data.load(tmp_path, "test")[0]) == 1
    with pytest.raises(ColdlabError, match="holds one image, which is the test split"):
        data.load(tmp_path, "train")


def test_subfolders_are_labels(tmp_path, packed):
    raw = {kind: [picture(tmp_path / "set" / kind / f"{i}.png") for i in range(5)] for kind in ("dog", "cat", "eel")}
    path = packed(tmp_path / "set")
    images, labels = data.load(path, "train")
    held, held_labels = data.load(path, "test")
    assert labels.tolist() == [0] * 5 + [1] * 4 + [2] * 5
    assert held_labels.tolist() == [1]
    assert np.array_equal(held[0].permute(1, 2, 0).numpy(), raw["dog"][4])  # the tenth by name
    assert np.array_equal(images[-1].permute(1, 2, 0).numpy(), raw["eel"][4])


def test_train_and_test_subfolders_are_the_splits(tmp_path, packed):
    for split, kinds in (("train", ("a", "b", "c")), ("test", ("b", "c")), ("other", ("a",))):
        for kind in kinds:
            picture(tmp_path / "set" / split / kind / "1.png")
    path = packed(tmp_path / "set")
    with pytest.warns(UserWarning, match=r"^1 images in .* lie outside of its folders .*: other/a/1.png\.$"):
        assert data.load(path, "train")[1].tolist() == [0, 1, 2]
    with pytest.warns(UserWarning, match="lie outside"):
        images, labels = data.load(path, "test")
    assert len(images) == 2
    assert labels.tolist() == [1, 2]


def test_a_zipped_folder_is_no_class(tmp_path):
    for i in range(4):
        picture(tmp_path / "all/holiday" / f"{i}.png")
    images, labels = data.load(as_zip(tmp_path / "all"), "train")
    assert len(images) == 3
    assert labels is None


def test_zip_is_not_unpacked(tmp_path):
    picture(tmp_path / "set/a.png")
    path = as_zip(tmp_path / "set")
    before = sorted(tmp_path.rglob("*"))
    data.load(path, "test")
    assert sorted(tmp_path.rglob("*")) == before


def test_grey_files_stay_grey_and_mixed_ones_do_not(tmp_path):
    raw = picture(tmp_path / "a.png", mode="L")
    picture(tmp_path / "b.jpg", mode="L")
    images, _ = data.load(tmp_path, "train")
    assert images.shape == (1, 1, 20, 20)
    assert np.array_equal(images[0, 0].numpy(), raw)
    picture(tmp_path / "c.bmp")  # the test split is now colour, so train is RGB as well
    images, _ = data.load(tmp_path, "train")
    assert images.shape == (2, 3, 20, 20)
    assert np.array_equal(images[0].numpy(), np.stack([raw] * 3))


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp", "tif", "TIFF"])
def test_lossless_formats_keep_every_pixel(tmp_path, suffix):
    raw = picture(tmp_path / f"a.{suffix}", 13, 13, **({"lossless": True} if suffix == "webp" else {}))
    images, _ = data.load(tmp_path, "test")
    assert np.array_equal(images[0].permute(1, 2, 0).numpy(), raw)


def test_sixteen_bits_are_rounded_to_eight(tmp_path):
    values = np.array([[0, 128, 129], [65535, 32768, 257 * 77], [0, 1, 2]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert data.load(tmp_path, "test")[0].flatten().tolist() == [0, 0, 1, 255, 128, 77, 0, 0, 0]


def test_camera_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees to the right
    raw = picture(tmp_path / "a.png", 8, 6, exif=exif)
    expected = np.rot90(raw, -1).copy()
    assert np.array_equal(data.load(tmp_path, "test", size=6)[0][0].permute(1, 2, 0).numpy(), expected[1:7])
    x, _ = data.read_image(tmp_path / "a.png")
    assert np.array_equal(data.to_uint8(x)[0].permute(1, 2, 0).numpy(), expected)


def test_transparent_is_white(tmp_path):
    pixels = np.zeros((2, 2, 4), dtype=np.uint8)
    pixels[0, 0] = (10, 20, 30, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    images, _ = data.load(tmp_path, "test")
    assert images[0, :, 0, 0].tolist() == [10, 20, 30]
    assert (images[0, :, 1] == 255).all()


def test_size_takes_the_centre_square(tmp_path):
    raw = picture(tmp_path / "a.png", 40, 30)
    images, _ = data.load(tmp_path, "test", size=30)
    assert np.array_equal(images[0].permute(1, 2, 0).numpy(), raw[:, 5:35])
    assert data.load(tmp_path, "test", size=17)[0].shape == (1, 3, 17, 17)


def test_different_sizes_need_a_size(tmp_path):
    picture(tmp_path / "a.png", 40, 30)
    picture(tmp_path / "b.png", 64, 48)
    picture(tmp_path / "c.png", 64, 48)
    with pytest.raises(
        ColdlabError, match=r"differ in size \(a.png is 40x30, b.png is 64x48\); give a size, such as size=64"
    ):
        data.load(tmp_path)
    assert data.load(tmp_path, size=64)[0].shape == (2, 3, 64, 64)


def test_unreadable_files_are_counted_and_named(tmp_path, packed):
    for i in range(8):
        picture(tmp_path / "set" / f"{i}.png")
    for i in (1, 2, 3, 5):
        (tmp_path / "set" / f"{i}.png").write_bytes(b"this is text")
    truncated = (tmp_path / "set/0.png").read_bytes()
    (tmp_path / "set/0.png").write_bytes(truncated[: len(truncated) // 2])
    path = packed(tmp_path / "set")
    with pytest.raises(
        ColdlabError, match=r"cannot read 5 of 8 images .*: 0.png, 1.png, 2.png, \.\.\. .*uses the other 3"
    ) as error:
        data.load(path)
    assert "--skip-unreadable, in Python skip_unreadable=True" in one_sentence(error)
    assert data.load(path, skip_unreadable=True)[0].shape == (2, 3, 20, 20)
    assert data.load(path, "test")[0].shape == (1, 3, 20, 20)  # that split is whole


def test_labels_follow_the_readable_files(tmp_path):
    for kind in "abc":
        picture(tmp_path / kind / "0.png")
        picture(tmp_path / kind / "1.png")
    (tmp_path / "a/1.png").write_bytes(b"")
    images, labels = data.load(tmp_path, skip_unreadable=True)
    assert len(images) == 4
    assert labels.tolist() == [0, 1, 1, 2]


def test_nothing_readable_is_an_error_even_when_skipping(tmp_path):
    (tmp_path / "a.png").write_bytes(b"x")
    (tmp_path / "b.png").write_bytes(b"x")
    with pytest.raises(
        ColdlabError, match=r"none of the 1 images for training in .* can be read: a.png \(in no format"
    ):
        data.load(tmp_path, skip_unreadable=True)


def test_no_images(tmp_path, packed):
    (tmp_path / "set").mkdir()
    with pytest.raises(ColdlabError, match=r"no images \(.png, .*\) among 0 files in .*: none"):
        data.load(packed(tmp_path / "set"))
    for name in ("a.txt", "b.csv", "c", "d.gif"):
        (tmp_path / "set" / name).write_text("x", encoding="utf-8")
    with pytest.raises(ColdlabError, match=r"among 4 files in .*: a.txt, b.csv, c, \.\.\."):
        data.load(packed(tmp_path / "set"))


def test_a_file_is_no_folder(tmp_path):
    picture(tmp_path / "a.png")
    with pytest.raises(ColdlabError, match="neither a folder nor a zip of images; read_image reads a single image"):
        data.load(tmp_path / "a.png")
    (tmp_path / "b.zip").write_bytes(b"PK broken")
    with pytest.raises(ColdlabError, match=r"cannot be read as a zip \(File is not a zip file\); make or download"):
        data.load(tmp_path / "b.zip")


def test_too_many_pixels_for_this_machine(tmp_path, monkeypatch):
    picture(tmp_path / "a.png")
    monkeypatch.setattr("os.sysconf", lambda name: 10)
    with pytest.raises(ColdlabError, match=r"more than this machine's .*; give a smaller size, such as size=64"):
        data.load(tmp_path, "test")


# --- one image


def test_read_image_8_bits(tmp_path):
    raw = picture(tmp_path / "a.png", 12, 7)
    x, bits = data.read_image(tmp_path / "a.png")
    assert bits == 8
    assert x.shape == (1, 3, 7, 12)
    assert x.dtype == torch.float32
    assert x.is_contiguous()
    torch.testing.assert_close(x[0].permute(1, 2, 0), torch.from_numpy(raw) / 127.5 - 1)
    grey, _ = data.read_image(tmp_path / "a.png", channels=1)
    luma = np.asarray(Image.open(tmp_path / "a.png").convert("L"))
    assert (data.to_uint8(grey)[0, 0].int() - torch.from_numpy(luma.astype(np.int32))).abs().max() <= 1
    picture(tmp_path / "b.jpg", mode="L")
    x, bits = data.read_image(str(tmp_path / "b.jpg"), channels=3)
    assert bits == 8
    assert x.shape == (1, 3, 20, 20)
    assert torch.equal(x[:, 0], x[:, 2])


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_read_image_16_bits(tmp_path, suffix):
    values = rng.integers(0, 65536, (5, 6), dtype=np.uint16)
    values[0, :2] = 0, 65535
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    x, bits = data.read_image(tmp_path / f"a.{suffix}")
    assert bits == 16
    assert x.shape == (1, 1, 5, 6)
    assert x.min() == -1
    assert x.max() == 1
    assert np.array_equal(((x[0, 0].double() + 1) * 32767.5).round().numpy(), values)  # no level is lost


@pytest.mark.parametrize("shape", [(6, 7), (1, 6, 7), (3, 6, 7), (6, 7, 3), (1, 3, 6, 7), (1, 1, 6, 7)])
@pytest.mark.parametrize("kind", ["float32", "float64", "uint8", "uint16"])
def test_read_image_npy(tmp_path, shape, kind):
    top = {"uint8": 255, "uint16": 65535}.get(kind, 1)
    array = (rng.uniform(0 if top > 1 else -1, top, shape)).astype(kind)
    np.save(tmp_path / "a.npy", array)
    x, bits = data.read_image(tmp_path / "a.npy")
    assert bits == {"uint8": 8, "uint16": 16}.get(kind, 24)
    assert x.dtype == torch.float32
    assert x.shape == (1, 3 if 3 in shape else 1, 6, 7)
    flat = array.transpose(2, 0, 1) if shape == (6, 7, 3) else array
    expected = flat.astype(np.float64) / (top / 2) - 1 if top > 1 else flat
    np.testing.assert_allclose(x.numpy().reshape(expected.shape), expected, atol=2e-7)


def test_read_image_float_npy_is_bit_exact(tmp_path):
    x = torch.randn(1, 1, 8, 8) * 1.5  # noise leaves [-1, 1]
    np.save(tmp_path / "a.npy", x.numpy())
    assert torch.equal(data.read_image(tmp_path / "a.npy", channels=1, size=8)[0], x)


def test_read_image_half_precision(tmp_path):
    x = rng.uniform(-1, 1, (4, 5)).astype(np.float16)
    np.save(tmp_path / "a.npy", x)
    read, bits = data.read_image(tmp_path / "a.npy")
    assert np.array_equal(read[0, 0].numpy(), x.astype(np.float32))
    assert bits == 8  # 11 in truth; of the three answers the one that promises no more


def test_read_image_size(tmp_path):
    raw = picture(tmp_path / "a.png", 40, 20)
    x, _ = data.read_image(tmp_path / "a.png", size=10)
    square = torch.from_numpy(raw[:, 10:30].copy()).permute(2, 0, 1)[None] / 127.5 - 1
    torch.testing.assert_close(x, F.interpolate(square, size=(10, 10), mode="bilinear", antialias=True))


def test_read_image_warns_of_unit_range(tmp_path):
    np.save(tmp_path / "a.npy", np.linspace(0, 1, 16, dtype=np.float32).reshape(4, 4))
    with pytest.warns(UserWarning, match=r"no value below 0; floats are taken to be in \[-1, 1\], not \[0, 1\]"):
        data.read_image(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.linspace(-1, 1, 16, dtype=np.float32).reshape(4, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.read_image(tmp_path / "b.npy")


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.png", b"no image", "cannot be read as an image"),
        ("a.npy", b"no array", "cannot be read as an image"),
        (
            "a.npy",
            npy(np.array([{}]), allow_pickle=True),
            r"cannot be read .*allow_pickle=False",
        ),  # nothing is executed
        ("a.npy", npy(np.zeros((4, 5, 6, 7))), r"its shape is \(4, 5, 6, 7\), not \(H, W\)"),
        ("a.npy", npy(np.zeros((0, 4))), r"its shape is \(0, 4\)"),
        ("a.npy", npy(np.zeros((4, 4), dtype=np.int64)), "its type is int64, not uint8, uint16 or float"),
        ("a.npy", npy(np.full((4, 4), 200.0)), r"its values reach from 200\.0 to 200\.0; floats are in \[-1, 1\]"),
        ("a.npy", npy(np.full((4, 4), np.nan)), "its values reach from nan"),
    ],
)
def test_read_image_refuses(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ColdlabError, match=message) as error:
        data.read_image(tmp_path / name)
    one_sentence(error)


def test_read_image_arguments(tmp_path):
    with pytest.raises(ColdlabError, match=r"no image file .*missing.png"):
        data.read_image(tmp_path / "missing.png")
    with pytest.raises(ColdlabError, match="channels is 4; it is 1, 3 or None"):
        data.read_image(tmp_path / "missing.png", channels=4)
    with pytest.raises(ColdlabError, match="size is -1"):
        data.read_image(tmp_path / "missing.png", size=-1)


# --- TIFF: what no other format can say


def tiff(path, values, bits, order="<", sample=1, photometric=1):
    """A grey TIFF written byte by byte. values: (H, W) whole numbers; sample: 1 unsigned, 2 signed, 3 float."""
    if bits == 12:  # two values in three bytes
        pairs = values.reshape(-1, 2).astype(np.uint32)
        packed = pairs[:, 0] << 12 | pairs[:, 1]
        content = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], 1).astype(np.uint8).tobytes()
    else:
        content = values.astype(f"{order}{'uif'[sample - 1]}{bits // 8}").tobytes()
    height, width = values.shape
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8, 277: 1, 278: height}
    tags |= {279: len(content), 339: sample}
    folder = struct.pack(f"{order}H", len(tags))
    folder += b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags.items())
    start = struct.pack(f"{order}2sHI", b"II" if order == "<" else b"MM", 42, 8 + len(content))
    path.write_bytes(start + content + folder + bytes(4))
    return path


@pytest.mark.parametrize("top", [255, 65535, 2**31 - 1])
@pytest.mark.parametrize(
    ("bits", "sample", "order"), [(32, 1, "<"), (32, 2, "<"), (32, 2, ">"), (32, 3, "<"), (16, 2, ">")]
)
def test_pixels_without_an_agreed_range_are_refused(tmp_path, top, bits, sample, order):
    """Read as 16 bits, 0..255 was a black picture."""
    values = (np.arange(36).reshape(6, 6) * (min(top, 2 ** (bits - 1) - 1) / 35)).astype(np.int64)
    path = tiff(tmp_path / "a.tif", values, bits, order, sample)
    for call in (lambda: data.read_image(path), lambda: data.load(tmp_path, "test")):
        with pytest.raises(
            ColdlabError, match=r"signed and 32-bit pixels have no agreed range: save unsigned"
        ) as error:
            call()
        one_sentence(error)


def test_pillows_own_32_bit_tiff_is_refused(tmp_path):
    for kind in (np.int32, np.float32):
        Image.fromarray(np.full((3, 3), 200, dtype=kind)).save(tmp_path / "a.tif")
        with pytest.raises(ColdlabError, match="32-bit pixels have no agreed range"):
            data.read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bit_tiff_of_both_byte_orders(tmp_path, order):
    values = rng.integers(0, 65536, (6, 6))
    x, bits = data.read_image(tiff(tmp_path / "a.tif", values, 16, order))
    assert bits == 16
    assert np.array_equal(((x[0, 0].double() + 1) * 32767.5).round().numpy(), values)


@pytest.mark.parametrize("bits", [8, 16])
def test_tiff_whose_zero_is_white(tmp_path, bits):
    values = rng.integers(0, 2**bits, (6, 6))
    inverted = data.read_image(tiff(tmp_path / "a.tif", values, bits, photometric=0))
    expected = data.read_image(tiff(tmp_path / "b.tif", 2**bits - 1 - values, bits))
    assert torch.equal(inverted[0], expected[0])
    assert inverted[1] == expected[1] == bits


def test_12_bit_tiff_reaches_white(tmp_path):
    values = rng.integers(0, 4096, (6, 6))
    values[0, :2] = 0, 4095
    x, bits = data.read_image(tiff(tmp_path / "a.tif", values, 12))
    assert bits == 12
    assert np.array_equal(((x[0, 0].double() + 1) * 2047.5).round().numpy(), values)
    images, _ = data.load(tmp_path, "test")
    assert np.array_equal(images[0, 0].numpy(), (values * (255 / 4095)).round())
