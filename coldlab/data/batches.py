"""From a set of images to a batch: which are held out, how they reach the device, how each is varied.

The idea that holds this file together: what a step sees is a function of the config and of one generator.
"""

import torch
import torch.nn.functional as F


def split(images, config):
    """(numbers of the images to train on, images held out): every k-th is held out, some of each kind where sorted."""
    count = min(config.held_out, len(images) // 10)
    held = torch.zeros(len(images), dtype=torch.bool)
    held[torch.linspace(0, len(images) - 1, count).long()] = True
    return (~held).nonzero().flatten(), images[held]  # those to train on are not copied: they may fill the memory


def fetch(images, chosen, device):
    """images[chosen] on `device`. From host memory the copy runs behind the work that the device still has to do."""
    if images.device == device:
        return images.index_select(0, chosen.to(device))
    rows = images.index_select(0, chosen)
    return (rows.pin_memory() if device.type == "cuda" else rows).to(device, non_blocking=True)


def augment(x, config, draw):
    """Each image (B, C, H, W) moved, enlarged, slanted and mirrored at random, as the config says; borders repeat.

    shift: by up to so many whole pixels. scale: by a factor 1 - scale to 1 + scale. slant: sheared by up to so many
    pixels per pixel, as handwriting leans. augmented: which share of the batch these three change. flip: half of them
    mirrored. Without scale and slant no pixel is mixed.
    """
    B, _, H, W = x.shape
    before = x

    def uniform(limit):
        return limit * (2 * torch.rand(B, generator=draw, device=x.device) - 1)

    if config.shift:
        moves = torch.randint(-config.shift, config.shift + 1, (2, B, 1), generator=draw, device=x.device)
    if config.scale or config.slant:
        size, lean = 1 + uniform(config.scale), uniform(config.slant)
        theta = torch.zeros(B, 2, 3, device=x.device)  # from where in x each pixel of the answer comes
        theta[:, 0, 0], theta[:, 1, 1], theta[:, 0, 1] = 1 / size, 1 / size, lean / size
        if config.shift:
            theta[:, 1, 2], theta[:, 0, 2] = 2 * moves[0, :, 0] / H, 2 * moves[1, :, 0] / W
        grid = F.affine_grid(theta, x.shape, align_corners=False)
        x = F.grid_sample(x, grid, mode="bicubic", padding_mode="border", align_corners=False).clamp(-1, 1)
    elif config.shift:
        rows = (torch.arange(H, device=x.device) + moves[0]).clamp(0, H - 1)  # (B, H): the row that each row shows
        columns = (torch.arange(W, device=x.device) + moves[1]).clamp(0, W - 1)
        x = x.gather(2, rows[:, None, :, None].expand_as(x)).gather(3, columns[:, None, None, :].expand_as(x))
    if config.augmented < 1:
        changed = torch.rand(B, 1, 1, 1, generator=draw, device=x.device) < config.augmented
        x = torch.where(changed, x, before)
    if config.flip:
        mirrored = torch.rand(B, 1, 1, 1, generator=draw, device=x.device) < 0.5
        x = torch.where(mirrored, x.flip(-1), x)
    return x
