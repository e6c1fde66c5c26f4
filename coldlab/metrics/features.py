"""What a network sees in images: features, logits, and the nets that give them.

The idea that holds this file together: a Fréchet distance, a precision, a class count are numbers *of a net*. So every
net here carries the name under which its numbers are reported, and only Inception's may be called FID.
"""

import hashlib
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from ..errors import ColdlabError, unknown
from ..storage import WEIGHTS, read, refused, sealed, unsealed, write
from .pixels import span

INCEPTION = "6726825d"  # the SHA-256 of the published weights begins so


class Classifier(nn.Module):
    """A small convolutional classifier: its features are the mean over positions of its last layer.

    channels: 1 or 3. width: channels of the first layer; there are 4 * width features. classes: number of classes.
    Takes images (B, C, 32, 32) in [0, 1]. `features(x)` is (B, 4 * width), not negative; `forward(x)` is (B, classes),
    logits, so that softmax(forward(x)) are probabilities. `dim` is the number of features, `name` that of the net.
    Built without weights it is a random net; `classifier` loads a trained one.
    """

    size, batch = 32, 256

    def __init__(self, channels=1, width=16, classes=10, name="random-classifier"):
        super().__init__()
        self.channels, self.width, self.classes, self.dim, self.name = channels, width, classes, 4 * width, name
        self.layers = nn.Sequential(
            _layer(channels, width, 4, 2),  # 32 -> 16
            _layer(width, 2 * width, 3, 1),
            nn.MaxPool2d(2),  # 16 -> 8
            _layer(2 * width, 2 * width, 3, 1),
            _layer(2 * width, 4 * width, 3, 1),
            nn.MaxPool2d(2),  # 8 -> 4
            _layer(4 * width, 4 * width, 3, 1),
        )
        self.head = nn.Linear(self.dim, classes)

    def features(self, x):
        """The features (B, 4 * width) of images (B, C, 32, 32) in [0, 1]."""
        if x.ndim != 4 or x.shape[1:] != (self.channels, 32, 32):
            wanted = f"(B, {self.channels}, 32, 32)"
            raise ColdlabError(f"images have shape {tuple(x.shape)}; {self.name} takes {wanted}: resize them.")
        return self.layers(2 * x - 1).mean((2, 3))

    def forward(self, x):
        """Logits (B, classes) of images (B, C, 32, 32) in [0, 1]."""
        return self.head(self.features(x))


def _layer(inputs, outputs, side, stride):
    convolution = nn.Conv2d(inputs, outputs, side, stride, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def save_classifier(path, net):
    """Write a Classifier as safetensors in half precision, with its shape and a digest of all as metadata."""
    values = {name: value for name, value in net.state_dict().items() if value.is_floating_point()}
    tensors = {name: value.to("cpu", torch.float16).contiguous() for name, value in values.items()}
    shape = {"name": net.name, "channels": net.channels, "width": net.width, "classes": net.classes}
    write(path, sealed(tensors, {"classifier": json.dumps(shape)}))


def classifier(name, device="cpu"):
    """A trained Classifier, frozen and ready to use: "digits", "mnist" or "cifar10", or a file of `save_classifier`.

    They ship with the package; results/NAME-classifier.json says how each was trained and how often it is right.
    Raises ColdlabError for an unknown name and for a file that is damaged or something else.
    """
    path = Path(name)
    if path.suffix != ".safetensors":
        key = str(name).removesuffix("-classifier")
        if key not in classifiers():
            raise unknown("classifier", str(name), classifiers())
        path = WEIGHTS / f"{key}-classifier.safetensors"
    content = read(path)
    try:
        tensors, metadata = unsealed(content)
        net = Classifier(**json.loads(metadata["classifier"]))
        counts = {key: value for key, value in net.state_dict().items() if not value.is_floating_point()}
        net.load_state_dict({key: value.float() for key, value in tensors.items()} | counts)
    except Exception as error:  # whatever a foreign or hostile content provokes
        raise refused(path, error) from None
    return net.to(device, memory_format=torch.channels_last).requires_grad_(False).eval()


def classifiers():
    """The names that `classifier` knows."""
    return sorted(path.stem.removesuffix("-classifier") for path in WEIGHTS.glob("*-classifier.safetensors"))


def classifier_for(dataset):
    """The classifier whose features compare images of a dataset: its own, for colour photographs cifar10's, or None.

    CelebA has no classes to learn; that of CIFAR-10 at least learned from photographs.
    """
    name = {"celeba": "cifar10"}.get(dataset, dataset)
    return name if name in classifiers() else None


# ------------------------------------------------------------------------------------------------------- any net


@torch.no_grad()
def extract(net, images, batch=None):
    """The features (N, net.dim), float32 on the CPU, of images (N, C, H, W): uint8, or floats in [0, 1].

    Grey images are repeated for a net of colour, and colour ones are turned to grey (luma); a net with a size gets them
    resized to it, bilinearly and antialiased. batch: images at a time. Raises ColdlabError for other images.
    """
    return torch.cat([net.features(x).float().cpu() for x in _batches(net, images, batch)])


@torch.no_grad()
def predict(net, images, batch=None):
    """The class probabilities (N, classes), float32 on the CPU, that a Classifier gives to images as in `extract`."""
    return torch.cat([net(x).softmax(1).cpu() for x in _batches(net, images, batch)])


def frechet_name(net):
    """What a Fréchet distance of this net's features is called: "FID" for the official Inception weights only."""
    return "FID" if isinstance(net, Inception) and net.official else f"Fréchet ({net.name})"


def _batches(net, images, batch):
    """Checked images as the net wants them: floats, its channels and, where it has one, its size, on its device."""
    if images.ndim != 4 or images.shape[1] not in (1, 3) or len(images) == 0:
        raise ColdlabError(f"images have shape {tuple(images.shape)}; features are made of (N, C, H, W) with C 1 or 3.")
    if images.is_floating_point():
        found, inside = span(images)
        if not inside:
            raise ColdlabError(f"images are {found}; features take [0, 1]: use coldlab.data.to_unit.")
    elif images.dtype != torch.uint8:
        raise ColdlabError(f"images are {images.dtype}; features take uint8, or floats in [0, 1].")
    device = next(net.parameters()).device
    for part in tqdm(images.split(batch or net.batch), f"features of {net.name}", delay=2, leave=False, disable=None):
        x = part.to(device).float() / (1 if images.is_floating_point() else 255)
        if x.shape[1] > net.channels:
            x = (x * torch.tensor([0.299, 0.587, 0.114], device=device).view(3, 1, 1)).sum(1, keepdim=True)  # BT.601
        x = x.expand(-1, net.channels, -1, -1)
        if net.size and x.shape[-2:] != (net.size, net.size):
            x = F.interpolate(x, (net.size, net.size), mode="bilinear", antialias=True)
        yield x.clamp(0, 1)


# ------------------------------------------------------------------------------------------------------- Inception


class Inception(nn.Module):
    """The Inception network of FID, as torch-fidelity builds it: 2048 pool features of images (B, 3, H, W) in [0, 1].

    Images are rounded to 8 bits, as if they came from PNG files, and enlarged to 299 x 299 the way TensorFlow 1 did.
    `name` is "inception" for the published weights, recognised by their SHA-256, and tells of other weights otherwise.
    """

    channels, dim, size, batch = 3, 2048, None, 32

    def __init__(self, extractor, official):
        super().__init__()
        self.extractor, self.official = extractor, official
        self.name = "inception" if official else "inception with other weights"

    def features(self, x):
        """The features (B, 2048) of images (B, 3, H, W) in [0, 1]."""
        return self.extractor((x * 255).round().to(torch.uint8))[0]


def inception(weights=None, device="cpu"):
    """Inception from torch-fidelity (pip install "coldlab[fid]"); its licence and its download are the user's business.

    weights: a file in torch-fidelity's format (weights-inception-2015-12-05-6726825d.pth); None downloads that one into
    torch's cache folder, 96 MB. Raises ColdlabError where the library or the weights are missing, and for a file that
    is something else; a file is checked to hold tensors only before anything in it is used.
    """
    try:
        from torch_fidelity import feature_extractor_inceptionv3 as fidelity
    except ImportError:
        raise ColdlabError(
            'Inception features need torch-fidelity: pip install "coldlab[fid]"; the shipped classifiers need nothing.'
        ) from None
    path = _download(fidelity.URL_INCEPTION_V3) if weights is None else Path(weights).expanduser()
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        torch.load(path, map_location="cpu", weights_only=True)
        extractor = fidelity.FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
        )
    except OSError as error:
        raise ColdlabError(f"{path} could not be read ({error.strerror}).") from None
    except Exception as error:  # whatever a foreign or hostile content provokes
        told = " ".join(str(error).split())[:120]
        raise ColdlabError(f"{path} holds no Inception weights in torch-fidelity's format ({told}).") from None
    net = Inception(extractor, official=digest.startswith(INCEPTION))
    return net.to(device).requires_grad_(False).eval()


def _download(url):
    """The published weights in torch's cache folder; a file is kept only if its SHA-256 is the right one."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if path.exists():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=INCEPTION)
    except (OSError, RuntimeError) as error:
        told = " ".join(str(error).split())[:120]
        raise ColdlabError(
            f"the Inception weights could not be downloaded ({told}); give a file that you have, or use a classifier "
            "that ships."
        ) from None
    return path
