"""The U-Net: the paper's numbers of weights, any size of image, and slow second implementations of its parts."""

import math
import re

import pytest
import torch
import torch.nn.functional as F
from helpers import images

from coldlab import ColdlabError
from coldlab.degradations import Blur, Mask
from coldlab.unet import Block, LayerNorm, LinearAttention, Preconditioned, TimeEmbedding, UNet, count


def small(channels=1, width=8, mults=(1, 2), seed=0, **options):
    """A small network whose every weight matters: none is left at 0 or 1."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        R = UNet(channels, width, mults, **options).eval()
        for p in R.parameters():
            p.data += 0.1 * torch.randn(p.shape)
    return R


# -------------------------------------------------------------------------------------------------------- paper's sizes


@pytest.mark.parametrize(
    ("options", "weights"),
    [
        ({}, 56_612_916),
        ({"channels": 3}, 56_615_708),
        ({"mults": (1, 2, 4)}, 14_359_860),
        ({"channels": 3, "time": False}, 56_278_745),
    ],
    ids=str,
)
def test_the_papers_networks_have_the_papers_number_of_weights(options, weights):
    with torch.device("meta"):
        assert count(UNet(**options)) == weights


def test_the_papers_settings_run_on_28_by_28():
    R = UNet(1, 8, (1, 2, 4, 8)).eval()
    with torch.no_grad():
        assert R(images(2, 1, 28), 3).shape == (2, 1, 28, 28)


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (27, 33), (28, 28), (32, 16), (9, 64)], ids=str)
@pytest.mark.parametrize("options", [{}, {"patch": 2}, {"mults": (1, 1, 1, 2)}], ids=str)
@torch.no_grad()
def test_any_size_of_image_goes_in_and_comes_out(size, options):
    x = torch.randn(2, 3, *size)
    y = small(3, **options)(x, 5)
    assert y.shape == x.shape
    assert y.isfinite().all()


@torch.no_grad()
def test_odd_sizes_are_padded_by_repeating_the_border_and_cut_again():
    R, x = small(mults=(1, 2, 2)), images(2, 1, 13)
    padded = torch.cat([x, x[..., -1:].expand(-1, -1, -1, 3)], 3)
    padded = torch.cat([padded, padded[:, :, -1:].expand(-1, -1, 3, -1)], 2)
    assert padded.shape[-2:] == (16, 16)
    assert torch.allclose(R(x, 4), R(padded, 4)[..., :13, :13], rtol=0, atol=1e-6)


# ------------------------------------------------------------------------------------------ slow second implementations


def slow_norm(h, norm):
    mean = h.mean(1, keepdim=True)
    variance = ((h - mean) ** 2).mean(1, keepdim=True)
    return (h - mean) / (variance + 1e-5).sqrt() * norm.weight.view(1, -1, 1, 1) + norm.bias.view(1, -1, 1, 1)


def slow_conv(h, conv, padding):
    """A convolution (or a depthwise one) as a sum over taps, without torch's conv."""
    H, W = h.shape[-2:]
    size = conv.weight.shape[-1]
    h = F.pad(h, (padding,) * 4)
    out = 0
    for i in range(size):
        for j in range(size):
            window, taps = h[:, :, i : i + H, j : j + W], conv.weight[:, :, i, j]
            if conv.groups > 1:
                out = out + window * taps.view(1, -1, 1, 1)
            else:
                out = out + torch.einsum("bihw,oi->bohw", window, taps)
    return out if conv.bias is None else out + conv.bias.view(1, -1, 1, 1)


def slow_gelu(h):
    return h * 0.5 * (1 + torch.erf(h / math.sqrt(2)))


def slow_block(block, x, e=None):
    norm, wide, _, narrow = block.think
    h = slow_conv(x, block.look, 3)
    if block.hear is not None:
        linear = block.hear[1]
        h = h + (slow_gelu(e) @ linear.weight.T + linear.bias)[:, :, None, None]
    h = slow_norm(h, norm) if isinstance(norm, LayerNorm) else h
    h = slow_conv(slow_gelu(slow_conv(h, wide, 1)), narrow, 1)
    return h + (x if isinstance(block.carry, torch.nn.Identity) else slow_conv(x, block.carry, 0))


def slow_attention(attention, x):
    B, _, H, W = x.shape
    q, k, v = slow_conv(slow_norm(x, attention.norm), attention.qkv, 0).reshape(B, 3, 4, 32, H * W).unbind(1)
    out = torch.zeros(B, 4, 32, H * W, dtype=x.dtype)
    for b in range(B):
        for head in range(4):
            weights = k[b, head].exp() / k[b, head].exp().sum(1, keepdim=True)  # over the pixels, for each channel of k
            context = torch.einsum("dn,en->de", weights, v[b, head])
            out[b, head] = torch.einsum("de,dn->en", context, q[b, head] / 32**0.5)
    return x + slow_conv(out.reshape(B, 128, H, W), attention.out, 0)


def slow_embedding(time, t):
    half = time.frequencies.numel()
    first, _, second = time.mlp
    rows = []
    for severity in t.tolist():
        angles = [severity * 10_000 ** (-i / (half - 1)) for i in range(half)]
        rows.append([math.sin(a) for a in angles] + [math.cos(a) for a in angles])
    e = torch.tensor(rows, dtype=first.weight.dtype)
    return slow_gelu(e @ first.weight.T + first.bias) @ second.weight.T + second.bias


def slow_unet(R, x, t):
    """The paper's wiring: two levels, the deepest skip used, the first level's not."""
    e = slow_embedding(R.time, t)
    (a, b, attend, down), (c, d, attend2, _) = R.down
    first = slow_attention(attend, slow_block(b, slow_block(a, x, e), e))
    deep = slow_attention(attend2, slow_block(d, slow_block(c, down(first), e), e))
    one, mix, two = R.middle[0], R.middle[2], R.middle[1]
    h = slow_block(two, slow_attention(mix, slow_block(one, deep, e)), e)
    (u, v, attend3, up) = R.up[0]
    h = up(slow_attention(attend3, slow_block(v, slow_block(u, torch.cat([h, deep], 1), e), e)))
    return slow_conv(slow_block(R.last, h), R.out, 0)


def shaken(module):
    for p in module.parameters():
        p.data = torch.randn(p.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(p.numel())) * 0.3
    return module.double().eval()


@torch.no_grad()
@pytest.mark.parametrize(("c_in", "c_out", "embedding", "norm"), [(3, 6, 8, True), (4, 4, 8, 1), (2, 5, None, False)])
def test_a_block_does_what_it_says(c_in, c_out, embedding, norm):
    block = shaken(Block(c_in, c_out, embedding, norm))
    x = images(2, c_in, 9, torch.float64)
    e = torch.randn(2, 8, dtype=torch.float64)
    assert torch.allclose(block(x, e), slow_block(block, x, e), rtol=0, atol=1e-10)
    assert isinstance(block.carry, torch.nn.Identity) == (c_in == c_out)
    if embedding:
        assert (block(x, e) - block(x, -e)).abs().max() > 1e-3


@torch.no_grad()
def test_linear_attention_does_what_it_says():
    attention = shaken(LinearAttention(6))
    x = images(2, 6, 5, torch.float64)[:, :, :4]  # not square
    assert torch.allclose(attention(x), slow_attention(attention, x), rtol=0, atol=1e-10)


@torch.no_grad()
def test_the_time_embedding_is_sines_and_cosines_of_t():
    time = shaken(TimeEmbedding(8))
    t = torch.tensor([0, 1, 7, 200])
    assert torch.allclose(time(t), slow_embedding(time, t), rtol=0, atol=1e-5)
    assert len(time(t).round(decimals=6).unique(dim=0)) == 4


@torch.no_grad()
def test_the_network_is_wired_like_the_papers():
    R = small(2).double()
    x, t = images(3, 2, 8, torch.float64), torch.tensor([1, 5, 20])
    assert torch.allclose(R(x, t), slow_unet(R, x, t), rtol=0, atol=1e-5)


# ------------------------------------------------------------------------------------------------- severity and labels


@torch.no_grad()
def test_t_is_an_int_or_one_per_image():
    R, x = small(), images(3, 1)
    assert torch.equal(R(x, 5), R(x, torch.tensor([5, 5, 5])))
    assert torch.equal(R(x, 5), R(x, torch.tensor(5)))
    mixed = R(x, torch.tensor([1, 9, 4]))
    for i, t in enumerate((1, 9, 4)):
        assert torch.allclose(mixed[i], R(x[i : i + 1], t)[0], rtol=0, atol=1e-5)
    assert (R(x, 1) - R(x, 9)).abs().max() > 1e-3
    with pytest.raises(ColdlabError, match=r"3 images.*\(2,\)"):
        R(x, torch.tensor([1, 2]))


@torch.no_grad()
def test_labels():
    R, x = small(classes=10), images(3, 1)
    outputs = [R(x, 5, torch.full((3,), label)) for label in range(10)]
    assert all((a - b).abs().max() > 1e-4 for i, a in enumerate(outputs) for b in outputs[:i])
    any_label = R(x, 5)
    assert torch.equal(any_label, R(x, 5, torch.full((3,), -1)))
    assert all((any_label - y).abs().max() > 1e-4 for y in outputs)
    mixed = R(x, 5, torch.tensor([7, -1, 0]))
    for i, expected in enumerate((outputs[7], any_label, outputs[0])):
        assert torch.allclose(mixed[i], expected[i], rtol=0, atol=1e-5)
    with pytest.raises(ColdlabError, match=r"without labels.*classes=10"):
        small()(x, 5, torch.tensor([1, 2, 3]))
    with pytest.raises((ColdlabError, IndexError)):
        R(x, 5, torch.tensor([1, 2, 11]))


# ------------------------------------------------------------------------------------------------------------- switches


@torch.no_grad()
def test_ablation_switches():
    x = images(2, 1)
    full = small()
    no_time = small(time=False)
    assert torch.equal(no_time(x, 1), no_time(x, 9))
    assert not any("hear" in name for name, _ in no_time.named_parameters())
    no_skips = small(skips=False)
    assert no_skips(x, 1).shape == x.shape
    assert count(no_skips) < count(full)
    attends = lambda R: sum(isinstance(m, LinearAttention) for m in R.modules())  # noqa: E731
    assert attends(full) == 4  # two down, the middle, one up
    assert attends(small(attention=False)) == attends(small(attention=())) == 0
    assert attends(small(attention=(0,))) == 2  # level 0 on the way down, and the middle
    assert attends(small(attention=(1,))) == 3
    assert attends(small(mults=(1, 1, 1), attention=(2,))) == 3


@torch.no_grad()
def test_residual_networks_predict_what_to_add():
    R, x = small(3, inputs=6, residual=True), images(2, 6)
    R.out.weight.zero_()
    R.out.bias.zero_()
    assert torch.equal(R(x, 1), x[:, 3:])


@torch.no_grad()
def test_patches_are_folded_and_unfolded():
    R, x = small(patch=2), images(2, 1)
    assert R.down[0][0].look.in_channels == 4
    assert R.out.out_channels == 4
    R.out.weight.zero_()
    R.out.bias.copy_(torch.arange(4.0))
    assert torch.equal(R(x, 1)[0, 0, :2, :2], torch.tensor([[0.0, 1.0], [2.0, 3.0]]))


@torch.no_grad()
def test_memory_layout_batch_and_kind_do_not_change_the_result():
    R, x = small(3), images(4, 3)
    plain = R(x, 5)
    last = small(3).to(memory_format=torch.channels_last)
    assert torch.allclose(last(x.contiguous(memory_format=torch.channels_last), 5), plain, rtol=0, atol=1e-5)
    assert torch.allclose(R(x[2:3], 5), plain[2:3], rtol=0, atol=1e-5)
    assert torch.allclose(small(3).double()(x.double(), 5).float(), plain, rtol=0, atol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        assert (R(x, 5).float() - plain).abs().max() < 0.1 * plain.abs().max()


def test_every_weight_is_used_and_trained():
    for options in ({}, {"classes": 3}, {"patch": 2, "attention": (1,)}):
        R = small(2, mults=(1, 1, 2), **options)
        label = torch.tensor([0, 1, 2, -1]) if "classes" in options else None
        R(images(4, 2), torch.tensor([1, 2, 3, 4]), label).sum().backward()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in R.parameters())


def test_what_cannot_be_raises():
    R = small(3)
    with pytest.raises(ColdlabError, match=r"\(B, 3, H, W\).*\(2, 1, 16, 16\)"):
        R(images(2, 1), 1)
    with pytest.raises(ColdlabError, match=r"\(B, 3, H, W\).*\(3, 16, 16\)"):
        R(images(2)[0], 1)
    for options in ({"width": 7}, {"mults": ()}, {"attention": (5,)}, {"classes": 10, "time": False}, {"width": 0}):
        with pytest.raises(ColdlabError, match="no UNet with width"):
            small(**{"width": 8} | options)


# ------------------------------------------------------------------------------------------------------ preconditioning


@torch.no_grad()
def test_the_preconditioned_network_sees_the_image_and_its_inverse():
    D, seen = Blur(16), []

    class Net(torch.nn.Module):
        channels = 1

        def forward(self, x, t, label=None):
            seen.append((x, t, label))
            return x[:, :1]

    R, x, t = Preconditioned(Net(), D), D(images(3, 1), 20), torch.tensor([20, 1, 7])
    R(x, t)
    R(x, t, eps=4e-3)
    R(x, 20, "label", eps=torch.tensor([4e-3, 2e-6, 4e-3]))
    for (shown, _, _), expected in zip(seen[:2], (D.inverse(x, t), D.inverse(x, t, 4e-3)), strict=True):
        assert torch.equal(shown[:, :1], x)
        assert torch.equal(shown[:, 1:], expected)
    assert not torch.equal(seen[0][0], seen[1][0])
    assert torch.equal(seen[2][0][1:2, 1:], D.inverse(x, 20, 2e-6)[1:2])
    assert seen[0][1] is t
    assert seen[2][2] == "label"
    assert not [name for name in R.state_dict() if name.startswith("D")]


@torch.no_grad()
@pytest.mark.parametrize("channels", [1, 3])
def test_the_preconditioned_network_counts_channels_as_its_user_does(channels):
    D, other = Blur(16), 4 - channels
    R = Preconditioned(small(channels, inputs=2 * channels), D)
    assert R(images(2, channels), 5).shape == (2, channels, 16, 16)
    for wrong in (images(2, other), images(2, 2 * channels), images(2, channels)[0]):
        told = rf"takes \(B, {channels}, H, W\) images, not {re.escape(str(tuple(wrong.shape)))}; .*coldlab train"
        with pytest.raises(ColdlabError, match=told):
            R(wrong, 5)


# ------------------------------------------------------------------------------------ borders, seams, places and holes


def test_convolutions_can_repeat_what_lies_at_the_border():
    torch.manual_seed(0)
    x = torch.rand(1, 1, 16, 16)
    zeros, replicate = (small(patch=2, padding=padding) for padding in ("zeros", "replicate"))
    off = (zeros(x, 1) - replicate(x, 1)).abs()[0, 0]
    assert off[:2].max() > 1e-3
    blocks = [Block(4, 4), Block(4, 4)]
    blocks[1].load_state_dict(blocks[0].state_dict())
    for layer in (blocks[1].look, blocks[1].think[1], blocks[1].think[3]):
        layer.padding_mode = "replicate"
    flat = torch.full((1, 4, 16, 16), 0.7)
    spread = [block(flat).std((2, 3)).max() for block in blocks]
    assert spread[1] < 1e-6 < 1e-3 < spread[0]  # a flat picture has no border to be seen
    modes = {name: m.padding_mode for name, m in replicate.named_modules() if isinstance(m, torch.nn.Conv2d)}
    assert {mode for name, mode in modes.items() if name.endswith(("look", "think.1", "think.3"))} == {"replicate"}
    with pytest.raises(ColdlabError, match="did you mean 'zeros'"):
        small(padding="zeroes")


def test_refining_starts_as_nothing_and_sees_single_pixels():
    x = torch.rand(2, 1, 16, 16)
    plain, refined = small(patch=4), small(patch=4, refine=6)
    refined.load_state_dict(plain.state_dict(), strict=False)
    torch.nn.init.zeros_(refined.refine[-1].weight), torch.nn.init.zeros_(refined.refine[-1].bias)
    assert torch.equal(plain(x, 3), refined(x, 3))
    torch.nn.init.normal_(refined.refine[-1].weight)
    y = x.clone()
    y[0, 0, 7, 7] += 1
    off = (refined(y, 3) - plain(y, 3)) - (refined(x, 3) - plain(x, 3))
    assert off[0, 0, 5:10, 5:10].abs().min() > 0


def test_what_is_whole_stays_as_it_is_beside_a_hole():
    D = Mask(32)
    R = Preconditioned(small(channels=3, inputs=7, patch=4), D).eval()
    x0 = torch.rand(2, 3, 32, 32).double() * 2 - 1
    z = torch.tensor([[5, 5], [20, 31]])
    x = D(x0, 30, z)
    restored, left = R(x, 30, z=z), D.left(x0, 30, z).expand(-1, 3, -1, -1)
    assert (restored - x0)[left > 0.99].abs().max() < 0.05
    assert restored.dtype == torch.float32
    # In use a guess is an image; while it learns, R is not cut off where it errs.
    torch.nn.init.constant_(R.net.out.bias, 50.0)
    assert R(x, 30, z=z).max() < 1.01
    assert R.train()(x.float(), 30, z=z).max() > 2
