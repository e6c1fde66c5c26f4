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

from .errors import ColdlabError, unknown

WEIGHTS = Path(__file__).parent / "weights"
BATCH = 256  # images at a time


class Classifier(nn.Module):
    """A small convolutional classifier: its features are the mean over positions of its last layer.

    channels: 1 or 3. width: channels of the first layer; there are 4 * width features. classes: number of classes.
    Takes images (B, C, 32, 32) in [0, 1]. `features(x)` is (B, 4 * width), not negative; `forward(x)` is (B, classes),
    logits, so that softmax(forward(x)) are probabilities. `dim` is the number of features, `name` that of the net.
    Built without weights it is a random net; `classifier` loads a trained one.
    """

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
    from safetensors.torch import save

    from .checkpoints import digest, sorted_header, write

    tensors = {
        name: value.to("cpu", torch.float16).contiguous()
        for name, value in net.state_dict().items()
        if value.is_floating_point()
    }
    shape = {"name": net.name, "channels": net.channels, "width": net.width, "classes": net.classes}
    metadata = {"classifier": json.dumps(shape)}
    write(path, sorted_header(save(tensors, metadata | {"sha256": digest(tensors, metadata)})))


def classifier(name, device="cpu"):
    """A trained Classifier, frozen and ready to use: "digits", "mnist" or "cifar10", or a file of `save_classifier`.

    They ship with the package; results/NAME-classifier.json says how each was trained and how often it is right.
    Raises ColdlabError for an unknown name and for a file that is damaged or something else.
    """
    from safetensors.torch import load

    from .checkpoints import digest, read, refused

    path = Path(name)
    if path.suffix != ".safetensors":
        known = classifiers()
        key = str(name).removesuffix("-classifier")
        if key not in known:
            raise unknown("classifier", str(name), known)
        path = WEIGHTS / f"{key}-classifier.safetensors"
    content = read(path)
    try:
        tensors = load(content)
        metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        if metadata.pop("sha256") != digest(tensors, metadata):
            raise ValueError("it is damaged, its contents do not match their SHA-256")
        net = Classifier(**json.loads(metadata["classifier"]))
        counts = {key: value for key, value in net.state_dict().items() if not value.is_floating_point()}
        net.load_state_dict({key: value.float() for key, value in tensors.items()} | counts)
    except Exception as error:  # whatever a foreign or hostile content provokes
        raise refused(path, error) from None
    return net.to(device, memory_format=torch.channels_last).requires_grad_(False).eval()


def classifiers():
    """The names that `classifier` knows."""
    return sorted(path.stem.removesuffix("-classifier") for path in WEIGHTS.glob("*-classifier.safetensors"))
