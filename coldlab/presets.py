"""The paper's experiments by name, DATASET-DEGRADATION: the data, the degradation and what the authors spent on it.

The idea that holds this file together: a number of the paper can be compared only with a run of the same degradation at
the same size, so that the settings stand in one table, and `--dataset mnist --degradation blur` finds its row.
"""

from dataclasses import dataclass, field, replace

from .degradations import make
from .errors import ColdlabError, unknown

UNET, MODEL, CONVNEXT = "U-Net 64 (1, 2, 4, 8)", "ResNet U-Net 128 (1, 2, 2, 2)", "ConvNeXt U-Net"
BUDGET = "700,000 steps of 64 images"


@dataclass(frozen=True)
class Preset:
    """One experiment: `dataset` at `size` (enlarged by `zoom`, then cropped), the degradation and its options.

    network, budget: what the paper's official code used; None where the experiment is ours. A dataset of None is one
    that coldlab does not fetch (AFHQ): give its folder.
    """

    dataset: str | None
    size: int
    degradation: str
    options: dict = field(default_factory=dict)
    zoom: float | None = None
    network: str | None = UNET
    budget: str | None = BUDGET

    def build(self):
        """The degradation itself."""
        return make(self.degradation, self.size, **self.options)


MNIST = dict(T=20, kernel=11, std=7.0)
SPECIAL_6 = dict(T=50, schedule="special_6", padding="reflect")
REFLECT = dict(T=200, kernel=15, std=0.01, schedule="exponential", padding="reflect")
FLAT = dict(T=300, kernel=27, std=0.01, schedule="exponential", padding="circular", discrete=True)  # to generate from
MASK = dict(T=50, kernel_std=0.1, initial_mask=11, centre="random")
MASK_CELEBA = dict(T=100, kernel_std=0.2, initial_mask=1, centre="centred")
BICUBIC = dict(mode="bicubic")
# At half the size: as many blurs as give half the width (19.7 and 43 pixels at T), half the hole, and the same blocks.
REFLECT_64, FLAT_64, MASK_64 = REFLECT | dict(T=110), FLAT | dict(T=185), MASK_CELEBA | dict(kernel_std=0.1)

PRESETS = {
    "digits-blur": Preset("digits", 32, "blur", network=None, budget=None),
    "mnist-blur": Preset("mnist", 32, "blur", MNIST),
    "mnist-flatblur": Preset("mnist", 32, "blur", MNIST | dict(discrete=True), network=None, budget=None),
    "mnist-noise": Preset("mnist", 32, "noise", dict(T=200), network=None, budget=None),
    "cifar10-blur": Preset("cifar10", 32, "blur", SPECIAL_6, network=MODEL),
    "celeba-blur": Preset("celeba", 128, "blur", REFLECT, zoom=1.12),
    "celeba-flatblur": Preset("celeba", 128, "blur", FLAT, zoom=1.12),
    "afhq-flatblur": Preset(None, 128, "blur", FLAT, zoom=1.12),
    "mnist-mask": Preset("mnist", 32, "mask", MASK, budget="60,000 steps (paper), 700,000 (code)"),
    "cifar10-mask": Preset("cifar10", 32, "mask", MASK, network=MODEL, budget="60,000 steps (paper), 700,000 (code)"),
    "celeba-mask": Preset("celeba", 128, "mask", MASK_CELEBA, budget="350,000 steps of 200 images"),
    "cifar10-fade": Preset("cifar10", 32, "fade", dict(T=100, kernel_std=0.1), network=None, budget=None),
    "cifar10-noise": Preset("cifar10", 32, "noise", dict(T=200), network=None, budget=None),
    "cifar10-animorph": Preset("cifar10", 32, "animorph", dict(T=200), network=None, budget=None),
    "cifar10-desaturate+snow": Preset("cifar10", 32, "desaturate+snow", network=None, budget=None),
    "celeba-32-animorph": Preset("celeba", 32, "animorph", dict(T=200, into="digits"), 1.12, None, None),
    "celeba-64-blur": Preset("celeba", 64, "blur", REFLECT_64, zoom=1.12, network=None, budget=None),
    "celeba-64-flatblur": Preset("celeba", 64, "blur", FLAT_64, zoom=1.12, network=None, budget=None),
    "celeba-64-mask": Preset("celeba", 64, "mask", MASK_64, network=None, budget=None),
    "celeba-64-pixelate": Preset("celeba", 64, "pixelate", dict(T=3) | BICUBIC, network=None, budget=None),
    "celeba-fade": Preset("celeba", 128, "fade", dict(T=750, kernel_std=0.05, initial_mask=1)),
    "mnist-pixelate": Preset("mnist", 32, "pixelate", dict(T=3) | BICUBIC),
    "cifar10-pixelate": Preset("cifar10", 32, "pixelate", dict(T=3) | BICUBIC, network=MODEL),
    "celeba-pixelate": Preset("celeba", 128, "pixelate", dict(T=4) | BICUBIC),
    "cifar10-snow": Preset("cifar10", 32, "snow", dict(T=200, level=3), network=CONVNEXT),
    "celeba-snow": Preset("celeba", 128, "snow", dict(T=200, level=4), network=CONVNEXT),
    "cifar10-desaturate": Preset("cifar10", 32, "desaturate", dict(T=20), network=CONVNEXT),
    "celeba-desaturate": Preset("celeba", 128, "desaturate", dict(T=20), network=CONVNEXT),
    "celeba-animorph": Preset("celeba", 128, "animorph", dict(T=200)),
    "celeba-noise": Preset("celeba", 128, "noise", dict(T=200)),
    "afhq-noise": Preset(None, 128, "noise", dict(T=200)),
}


def preset(name):
    """The preset called `name`; an unknown one raises with the list."""
    if name not in PRESETS:
        raise unknown("preset", name, PRESETS)
    return PRESETS[name]


def resolve(config):
    """A training.Config with what its preset knows and it does not say: options, size, zoom.

    A preset of the very size that the config asks for comes first: "celeba-64-blur" before "celeba-blur".
    """
    if not isinstance(config.options, dict):
        raise ColdlabError(f"options = {config.options!r}; it is a dict, such as {{'T': 40}}.")
    names = f"{config.dataset}-{config.size}-{config.degradation}", f"{config.dataset}-{config.degradation}"
    preset = next((PRESETS[name] for name in names if name in PRESETS), None)
    if preset is None:
        return config
    options = preset.options | config.options
    return replace(config, options=options, size=config.size or preset.size, zoom=config.zoom or preset.zoom)
