"""Make what the live lab needs beside its code and the weights: mixtures, pictures to begin with, and its still.

The mixture over what blurring leaves of MNIST needs MNIST (COLDLAB_DATA); everything else comes with scikit-learn.
"""

import hashlib
import io
import json
from pathlib import Path

import torch
from landing import at_one_size, face, flower, strip
from PIL import Image
from sklearn.datasets import load_sample_images

import coldlab
from coldlab import data, generation, sampling, storage
from coldlab.live import portable, portable_classes

ROOT = Path(__file__).resolve().parent.parent
LIVE = ROOT / "live"
MIXTURES = {"digits-blur": 10, "mnist-blur": 40, "mnist-blur-classes": 24}  # Gaussians of each, or of each class
STILL = "digits-blur"  # the network of the still
SIDE = 64  # pixels of a photograph


def sheet(images):
    """Images (N, C, H, W) in [-1, 1] side by side, without gaps."""
    pixels = data.to_uint8(torch.cat(list(images), -1)).permute(1, 2, 0).squeeze(-1).numpy()
    return Image.fromarray(pixels)


def write(path, image, **how):
    image.save(drawn := io.BytesIO(), path.suffix[1:], **how)
    storage.write(path, drawn.getvalue())
    print(f"{path.name}: {len(drawn.getvalue()) / 1000:.1f} kB")


def mixtures():
    """mixtures.json: for each network the law of its starts, with the settings of its D that it holds for."""
    made = {}
    for name, components in MIXTURES.items():
        R = coldlab.load_pretrained(name)
        images, labels = data.load(R.config.dataset, "train", R.config.size, R.config.zoom)
        if R.config.classes:
            parts = {k: images[labels == k] for k in range(R.config.classes)}
            priors = {k: generation.fit(R.D, part, components=components) for k, part in parts.items()}
            law = portable_classes(priors, {k: len(part) for k, part in parts.items()})
        else:
            law = portable(generation.fit(R.D, images, components=components))
        made[name] = {"options": R.config.options, "images": data.fingerprint(images), **law}
    storage.write_text(LIVE / "mixtures.json", json.dumps(made, separators=(",", ":")) + "\n")


def digits():
    """The first test digit of each kind, 0 to 9."""
    images, labels = data.load("digits", "test")
    return data.to_float(torch.stack([images[labels == k][0] for k in range(10)]))


def photographs():
    """A face, a flower, a pagoda. The face is NASA's, the others come with scikit-learn (CC BY 2.0)."""
    file = next(name for name in load_sample_images().filenames if name.endswith("china.jpg"))
    return torch.cat([face(), flower(), data.read_image(file, size=SIDE)[0]])


def still():
    """The lab as a picture, for a page without JavaScript: a digit, what the blur leaves, and the way back."""
    R, x0 = coldlab.load_pretrained(STILL), digits()[3:4]
    x_T = R.D(x0, R.D.T)
    severities = sampling.evenly(R.D.T, 4)
    states = [x for _, x, _ in sampling.averaged(R, R.D, x_T, severities=severities)]
    image = strip(at_one_size(torch.cat([x0, x_T, *states])))
    write(ROOT / "book/static/lab-still.webp", image, lossless=True)
    hashes = {STILL: sha256(storage.WEIGHTS / f"{STILL}.safetensors")}
    storage.write_json(LIVE / "made.json", {"lab-still.webp": hashes})


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main():
    write(LIVE / "digits.png", sheet(digits()), optimize=True)
    write(LIVE / "photographs.png", sheet(photographs()), optimize=True)
    still()
    mixtures()


if __name__ == "__main__":
    main()
