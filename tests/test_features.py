"""features.py: the classifiers that ship, files that are refused, and Inception wired without its weights."""

import json
import shutil
import sys

import chapters
import pytest
import torch
from torch_fidelity import feature_extractor_inceptionv3 as fidelity

from coldlab import checkpoints, data, metrics
from coldlab.errors import ColdlabError
from coldlab.metrics import features

SHIPPED = features.classifiers()


def manifest(name):
    return json.loads((chapters.ROOT / f"results/{name}-classifier.json").read_text(encoding="utf-8"))


def test_classifiers_ship_with_a_manifest_and_within_a_megabyte():
    assert {"digits", "mnist"} <= set(SHIPPED)
    for name in SHIPPED:
        path = checkpoints.WEIGHTS / f"{name}-classifier.safetensors"
        assert path.stat().st_size < 1e6
        made, net = manifest(name), metrics.classifier(name)
        assert made["name"] == net.name == f"{name}-classifier"
        assert made["features"] == net.dim
        assert made["parameters"] == sum(p.numel() for p in net.parameters())
        assert {"command", "config", "machine", "seconds", "accuracy", "test_images"} <= set(made)
    assert manifest("mnist")["accuracy"] >= 0.992
    assert not any(name.endswith("classifier") for name in checkpoints.pretrained())


def test_the_accuracy_on_digits_is_the_stated_one():
    images, labels = data.load("digits", "test")
    probabilities = metrics.predict(metrics.classifier("digits"), images)
    assert probabilities.shape == (297, 10)
    assert (probabilities.argmax(1) == labels).double().mean().item() == pytest.approx(
        manifest("digits")["accuracy"], abs=0.005
    )
    sure = metrics.recognised(probabilities).item()
    assert sure == pytest.approx(manifest("digits")["confident"], abs=0.01)


@pytest.mark.parametrize("name", SHIPPED)
def test_features_and_logits(name):
    net = metrics.classifier(name)
    x = torch.rand(6, net.channels, 32, 32, generator=torch.Generator().manual_seed(0))
    seen = net.features(x)
    assert seen.shape == (6, net.dim)
    assert (seen >= 0).all()
    torch.testing.assert_close(net(x), net.head(seen))
    torch.testing.assert_close(metrics.predict(net, x), net(x).softmax(1))
    assert not any(p.requires_grad for p in net.parameters())
    assert not net.training
    torch.testing.assert_close(metrics.classifier(f"{name}-classifier").features(x), seen)


def test_extract_takes_what_images_come_as():
    grey, colour = metrics.classifier("digits"), features.Classifier(3, 4).eval()
    x = data.load("digits", "test")[0][:10]
    seen = metrics.extract(grey, x)
    torch.testing.assert_close(metrics.extract(grey, data.to_unit(x), batch=3), seen)
    torch.testing.assert_close(metrics.extract(grey, x.expand(-1, 3, -1, -1)), seen, rtol=1e-4, atol=1e-5)
    assert metrics.extract(colour, x).shape == (10, 16)
    assert metrics.extract(grey, x[..., 2:-2, 2:-2]).shape == (10, 32)  # 28 x 28, resized
    assert seen.dtype == torch.float32


def test_wrong_images_are_refused():
    net = metrics.classifier("digits")
    x = torch.rand(2, 1, 32, 32)
    with pytest.raises(ColdlabError, match=r"shape \(2, 32, 32\); features are made of \(N, C, H, W\)"):
        metrics.extract(net, x[:, 0])
    with pytest.raises(ColdlabError, match=r"shape \(0, 1, 32, 32\)"):
        metrics.extract(net, x[:0])
    with pytest.raises(ColdlabError, match=r"images are from -.*use coldlab.data.to_unit"):
        metrics.extract(net, 2 * x - 1)
    with pytest.raises(ColdlabError, match="from nan"):
        metrics.extract(net, x * float("nan"))
    with pytest.raises(ColdlabError, match=r"torch\.int64; features take uint8, or floats"):
        metrics.extract(net, x.long())
    with pytest.raises(ColdlabError, match=r"digits-classifier takes \(B, 1, 32, 32\): resize"):
        net.features(x[..., 1:])


def test_other_files_are_refused(tmp_path):
    with pytest.raises(ColdlabError, match="unknown classifier 'mnst'; did you mean 'mnist'"):
        metrics.classifier("mnst")
    with pytest.raises(ColdlabError, match="could not be read"):
        metrics.classifier(tmp_path / "none.safetensors")
    with pytest.raises(ColdlabError, match="was refused"):
        metrics.classifier(checkpoints.WEIGHTS / "digits-blur.safetensors")
    content = bytearray((checkpoints.WEIGHTS / "digits-classifier.safetensors").read_bytes())
    content[-5] ^= 1
    (tmp_path / "damaged.safetensors").write_bytes(content)
    with pytest.raises(ColdlabError, match="damaged"):
        metrics.classifier(tmp_path / "damaged.safetensors")


def test_a_classifier_survives_its_file(tmp_path):
    net = features.Classifier(3, 4, 7, "inception").eval()
    assert metrics.frechet_name(net) == "Fréchet (inception)"  # a name alone makes no FID
    net.name = "mine"
    features.save_classifier(tmp_path / "mine.safetensors", net)
    again = metrics.classifier(tmp_path / "mine.safetensors")
    assert (again.name, again.channels, again.dim, again.classes) == ("mine", 3, 16, 7)
    x = torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(again(x), net(x), rtol=0.02, atol=0.02)  # half precision


# ------------------------------------------------------------------------------------------------------- Inception


@pytest.fixture(scope="module")
def random_weights(tmp_path_factory):
    """A file in the format of torch-fidelity's weights, with random ones."""

    class Blank(fidelity.FeatureExtractorInceptionV3):
        def load_state_dict(self, state_dict):
            pass

    folder = tmp_path_factory.mktemp("inception")
    torch.save({}, folder / "empty.pth")
    torch.manual_seed(0)
    net = Blank("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(folder / "empty.pth"))
    torch.save(net.state_dict(), folder / "random.pth")
    return folder / "random.pth"


def test_inception_is_wired(random_weights):
    """The features are those of torch-fidelity's own extractor on the same 8-bit images."""
    net = metrics.inception(random_weights)
    x = data.load("digits", "test")[0][:3].expand(-1, 3, -1, -1)
    seen = metrics.extract(net, data.to_unit(x[:, :1]))  # grey images are repeated
    assert seen.shape == (3, net.dim) == (3, 2048)
    theirs = fidelity.FeatureExtractorInceptionV3("x", ["2048"], feature_extractor_weights_path=str(random_weights))
    torch.testing.assert_close(seen, theirs(x.contiguous())[0])


def test_only_the_published_weights_give_fid(random_weights, monkeypatch):
    net = metrics.inception(random_weights)
    assert metrics.frechet_name(net) == "Fréchet (inception with other weights)"
    assert metrics.frechet_name(metrics.classifier("digits")) == "Fréchet (digits-classifier)"
    monkeypatch.setattr(features, "INCEPTION", features.hashlib.sha256(random_weights.read_bytes()).hexdigest()[:8])
    assert metrics.frechet_name(metrics.inception(random_weights)) == "FID"


def test_wrong_inception_files_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ColdlabError, match="could not be read"):
        metrics.inception(tmp_path / "none.pth")
    (tmp_path / "text.pth").write_text("no weights", encoding="utf-8")
    with pytest.raises(ColdlabError, match="holds no Inception weights"):
        metrics.inception(tmp_path / "text.pth")
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(ColdlabError, match="holds no Inception weights in torch-fidelity's format"):
        metrics.inception(tmp_path / "other.pth")


class Hostile:
    def __reduce__(self):
        return (exec, ("raise SystemExit('executed')",))


def test_a_hostile_inception_file_is_not_executed(tmp_path):
    torch.save(Hostile(), tmp_path / "hostile.pth")
    with pytest.raises(ColdlabError, match="holds no Inception weights"):
        metrics.inception(tmp_path / "hostile.pth")


def test_no_download_and_no_library_are_told(monkeypatch, tmp_path):
    def offline(url, path, hash_prefix):
        assert hash_prefix == features.INCEPTION
        raise OSError("Name or service not known")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(ColdlabError, match=r"could not be downloaded \(Name or service not known\); give a file"):
        metrics.inception()
    monkeypatch.setitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3", None)
    monkeypatch.delattr("torch_fidelity.feature_extractor_inceptionv3")
    with pytest.raises(ColdlabError, match=r'pip install "coldlab\[fid\]"'):
        metrics.inception()


def test_a_download_is_used_from_the_cache(random_weights, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(
        torch.hub, "download_url_to_file", lambda url, path, hash_prefix: shutil.copy(random_weights, path)
    )
    assert not metrics.inception().official
    assert [path.name for path in (tmp_path / "hub/checkpoints").iterdir()] == [
        "weights-inception-2015-12-05-6726825d.pth"
    ]
