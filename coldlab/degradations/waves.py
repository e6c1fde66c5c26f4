"""What blurs of large pictures are made of: the waves that every one of them leaves as they are, but for their height.

The idea that holds this file together: a matrix per severity is the quicker way for thumbnails and fills gigabytes for
photographs. All blurs with the same border have the same waves; so these are kept once, and a gain per severity.
"""

import torch

LARGE = 256  # pixels on a side from which on Blur works with waves


def circular_waves(n, taps):
    """(V (n, n), gains (T, n)): sines and cosines that fit the circle, and what each of T blurs leaves of them."""
    k = torch.arange(n, dtype=torch.float64)
    frequency = (k + 1) // 2
    phase = torch.where(k % 2 == 1, torch.pi / 4, -torch.pi / 4)  # sin + cos and sin - cos of each frequency
    V = torch.sin(2 * torch.pi * k[:, None] * frequency / n + phase) * (2 / n) ** 0.5
    return V, responses(taps, 2 * torch.pi * frequency / n)


def reflect_waves(n, taps):
    """The same for mirrors at the first and the last pixel: cosines with a whole number of half waves between."""
    k = torch.arange(n, dtype=torch.float64)
    return torch.cos(torch.pi * k[:, None] * k / (n - 1)), responses(taps, torch.pi * k / (n - 1))


def responses(taps, angle):
    """What symmetric taps (T, kernel) leave of waves that advance by `angle` (n,) per pixel: (T, n)."""
    j = torch.arange(taps.shape[1], dtype=torch.float64) - taps.shape[1] // 2
    return taps @ torch.cos(j[:, None] * angle)


WAVES = {"circular": circular_waves, "reflect": reflect_waves}
