"""A convolution that looks at each channel by itself, and learns quickly on the small maps of a small network.

The idea that holds this file together: on few pixels a convolution is a small matrix. Its gradient is then a matrix
product. torch's own gradient of a depthwise convolution was slow where we measured, on a CPU without AVX-512: by it, a
training step of the digits' network takes half as long again; larger images gain less, or nothing
(results/depthwise.json).
"""

import functools

import torch
import torch.nn.functional as F
from torch import nn

SMALL = 64  # pixels of a map, at most; a matrix grows with their square


class Depthwise(nn.Conv2d):
    """nn.Conv2d of one filter per channel, stride 1, (B, C, H, W) -> (B, C, H, W): the same weights, the same values.

    While it learns on a CPU, maps of up to 64 pixels go through one matrix per channel, (H W) x (H W), made of the
    weights at each call: x_c -> M_c x_c with M_c[i, o] = the weight through which pixel o sees pixel i. Float rounding
    differs, by 1e-6 of the values.
    """

    def __init__(self, channels, kernel):
        super().__init__(channels, channels, kernel, padding=kernel // 2, groups=channels)

    def forward(self, x):
        height, width = x.shape[2:]
        if x.device.type != "cpu" or not torch.is_grad_enabled() or height * width > SMALL:
            return super().forward(x)
        seen = through(height, width, self.kernel_size[0], self.padding_mode).to(self.weight.dtype)
        M = (self.weight.flatten(1) @ seen).view(-1, height * width, height * width)
        by_channel = x.flatten(2).transpose(0, 1).contiguous()  # or its matrices would be multiplied one by one
        h = torch.baddbmm(self.bias[:, None, None], by_channel, M)
        return h.transpose(0, 1).reshape(x.shape).contiguous(memory_format=torch.channels_last)


@functools.lru_cache(maxsize=32)
def through(height, width, kernel, padding):
    """(kernel^2, (H W)^2): how often pixel o sees pixel i through each weight, i H W + o; borders as in nn.Conv2d."""
    pixels = torch.eye(height * width, device="cpu").view(-1, 1, height, width)
    padded = F.pad(pixels, (kernel // 2,) * 4, mode="constant" if padding == "zeros" else padding)
    return F.unfold(padded, kernel).transpose(0, 1).flatten(1)
