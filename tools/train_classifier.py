"""Train one of the small classifiers that ship, write its weights in half precision and its manifest.

    python tools/train_classifier.py digits
    python tools/train_classifier.py mnist
    python tools/train_classifier.py cifar10

writes coldlab/weights/NAME-classifier.safetensors and results/NAME-classifier.json. The accuracy in the manifest is
that of the published file on the whole test set, which nothing was chosen by: the last weights are those that ship.
"""

import argparse
import dataclasses
import sys
import time
from pathlib import Path

import console
import torch
import torch.nn.functional as F
from torch import nn

from coldlab import data
from coldlab.lab import results
from coldlab.metrics import features

ROOT = Path(__file__).resolve().parent.parent


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What is trained and how; the learning rate rises for a fifth of the steps and falls linearly to zero."""

    width: int
    epochs: int
    batch: int = 128
    lr: float = 0.1  # SGD with Nesterov's momentum 0.9
    decay: float = 5e-4  # of the weights of convolutions and of the head
    flip: bool = False  # left and right; digits do not survive it
    shift: int = 2  # up to so many pixels each way
    scale: float = 0.15  # zoom between 1 - scale and 1 + scale
    turn: float = 0.15  # rotation up to so many radians
    seed: int = 0


RECIPES = {
    "digits": Recipe(width=8, epochs=60),
    "mnist": Recipe(width=16, epochs=12),
    "cifar10": Recipe(width=32, epochs=10, flip=True, shift=2, scale=0.0, turn=0.0),
}


def augment(x, recipe, generator):
    """Images (B, C, H, W), each flipped, shifted, scaled and turned by its own draw; what comes in repeats the edge."""
    draw = lambda: 2 * torch.rand(len(x), generator=generator) - 1  # noqa: E731
    size, angle = 1 + recipe.scale * draw(), recipe.turn * draw()
    mirror = torch.where(draw() < 0, -1.0, 1.0) if recipe.flip else torch.ones(len(x))
    move = torch.stack([draw(), draw()], 1) * 2 * recipe.shift / x.shape[-1]
    if not (recipe.scale or recipe.turn):  # whole pixels stay sharp
        move = (move * x.shape[-1] / 2).round() * 2 / x.shape[-1]
    turn = torch.stack([angle.cos() * mirror, -angle.sin(), angle.sin() * mirror, angle.cos()], 1).view(-1, 2, 2)
    grid = F.affine_grid(torch.cat([turn * size.view(-1, 1, 1), move[:, :, None]], 2), x.shape, align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def fit(net, images, labels, recipe):
    """Train the net on uint8 images; prints one line per epoch."""
    generator = torch.Generator().manual_seed(recipe.seed)
    matrices = [p for p in net.parameters() if p.ndim > 1]
    others = [p for p in net.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": recipe.decay}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, recipe.lr, momentum=0.9, nesterov=True)
    per_epoch = len(images) // recipe.batch
    steps, step, started = recipe.epochs * per_epoch, 0, time.perf_counter()
    for epoch in range(1, recipe.epochs + 1):
        total = 0.0
        for batch in torch.randperm(len(images), generator=generator)[: per_epoch * recipe.batch].split(recipe.batch):
            part = step / steps
            optimizer.param_groups[0]["lr"] = optimizer.param_groups[1]["lr"] = recipe.lr * min(
                5 * part, 1.25 * (1 - part)
            )
            x = augment(data.to_unit(images[batch]), recipe, generator)
            loss = F.cross_entropy(net(x.contiguous(memory_format=torch.channels_last)), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step, total = step + 1, total + loss.item()
        seconds = time.perf_counter() - started
        print(f"epoch {epoch:3d} of {recipe.epochs}: loss {total / per_epoch:.4f}, {seconds:.0f} s", flush=True)
    return seconds


@torch.no_grad()
def report(net, images, labels):
    """Accuracy, and whether the confidences mean something: how often the net is right where it is sure."""
    confidence, guess = features.predict(net, images).max(1)
    right, sure = guess == labels, confidence > 0.9
    bins = (confidence * 15).long().clamp(max=14)
    gaps = [
        (bins == b).float().mean() * (confidence[bins == b].mean() - right[bins == b].float().mean()).abs()
        for b in bins.unique()
    ]
    return {
        "test_images": len(images),
        "accuracy": right.float().mean().item(),
        "confident": sure.float().mean().item(),
        "accuracy_where_confident": right[sure].float().mean().item(),
        "calibration_error": sum(gaps).item(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", choices=RECIPES)
    dataset = parser.parse_args().dataset
    recipe, name = RECIPES[dataset], f"{dataset}-classifier"
    images, labels = data.load(dataset, "train", size=32)
    test, truth = data.load(dataset, "test", size=32)
    torch.manual_seed(recipe.seed)
    net = features.Classifier(images.shape[1], recipe.width, name=name).to(memory_format=torch.channels_last)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    seconds = fit(net.train(), images, labels, recipe)
    weights = ROOT / f"coldlab/weights/{name}.safetensors"
    features.save_classifier(weights, net.eval())
    measured = report(features.classifier(dataset), test, truth)
    manifest = {
        "config": dataclasses.asdict(recipe),
        "seconds": round(seconds, 1),
        "training_images": len(images),
        "parameters": sum(p.numel() for p in net.parameters()),
        "features": net.dim,
        **measured,
    }
    results.save(ROOT / f"results/{name}.json", f"python tools/train_classifier.py {dataset}", manifest)
    print(f"{weights.relative_to(ROOT)}: {weights.stat().st_size / 1e6:.2f} MB; results/{name}.json", measured)


if __name__ == "__main__":
    console.degrade()
    sys.exit(main())
