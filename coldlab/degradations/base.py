"""What every degradation is: D(x0, t, z), t = 0..T, with D(x0, 0, z) = x0, and what all of them share.

The idea that holds this file together: severity costs nothing. Whatever the paper does by t operations in a row is here
one look-up in a table of T + 1 entries (a matrix, a mask, a weight) and one multiplication, so that a batch may mix
severities freely. All randomness is one explicit latent z, drawn once per image and kept for the whole trajectory.
"""

import operator
from contextlib import contextmanager, nullcontext

import torch
from torch import nn

from ..errors import ColdlabError, unknown

FLOAT32, EIGHT_BITS = 2e-6, 4e-3  # the eps of `Degradation.inverse`: how wrong the pixels of x_t may be, relatively


class Degradation(nn.Module):
    """D(x0, t, z): images (B, C, H, W), any float, in [-1, 1]; t an int or (B,) long in 0..T; returns the same shape.

    D is deterministic given z. Subclasses are dataclasses that fill their tables in `__post_init__` and implement
    `degrade`; those with randomness set `needs_z` and implement `draw`.
    """

    size = None  # the side of its images, or (height, width), in pixels; None: any
    needs_z = False
    blind = False  # whether `infer` reads z off the degraded image alone, as it does for holes and fades

    def __post_init__(self):
        super().__init__()
        if not isinstance(self.T, int) or self.T < 1:
            raise ColdlabError(f"{type(self).__name__} got T = {self.T!r}; it needs a whole number, 1 or more.")

    @property
    def shape(self):
        """(height, width) of its images in pixels; None where any will do."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def draw(self, x0, generator=None):
        """All the randomness of D for the batch x0, one entry per image (None where D has none)."""
        return None

    def degrade(self, x0, t, z):
        """D without checks; t as in `forward`, x0 in float32 or float64."""
        raise NotImplementedError

    def inverse(self, x, t, eps=FLOAT32, z=None):
        """A regularised inverse of D_t for D affine in x0: gain g -> g / (g^2 + eps^2), clamped to [-3, 3].

        eps, a float or (B,), is the relative size of the error in x: FLOAT32 = 2e-6, or EIGHT_BITS = 4e-3 for a file.
        z: D's latent; by default it is read off x, where it can be (`blind`).
        Returns the shape of x, or None where D is not affine or z is unknown. Source: ours (Tikhonov's, squared gains).
        """
        if type(self).invert is Degradation.invert or (self.needs_z and not self.blind):
            return None
        z = self.infer(x, None, t) if self.blind and z is None else z
        t = self.check(x, t, z)
        with full_precision(x.device.type):
            return self.invert(x.to(torch.promote_types(x.dtype, torch.float32)), t, eps, z).clamp(-3, 3).to(x.dtype)

    def invert(self, x, t, eps, z):
        """`inverse` without checks and before the clamp; affine degradations implement it."""

    def left(self, x, t, z):
        """How much of each pixel of x0 is left, (B or 1, 1, H, W), where some have lost more than others; else None."""

    def forward(self, x0, t, z=None):
        t = self.check(x0, t, z)
        # Near t = T two neighbouring severities differ by 1e-3 and less; bfloat16 resolves 4e-3 near 1.
        with full_precision(x0.device.type):
            x = self.degrade(x0.to(torch.promote_types(x0.dtype, torch.float32)), t, z).to(x0.dtype)
        if x.shape != x0.shape:
            shapes = f"{tuple(x0.shape)} a degraded {tuple(x.shape)}"
            raise ColdlabError(
                f"{type(self).__name__} made of {shapes}; it has to keep the shape: look at z and t in it."
            )
        return x

    def check(self, x0, t, z):
        """Raise ColdlabError for what D cannot take; returns t, a plain int if it is one number."""
        name = type(self).__name__
        if not torch.is_tensor(x0) or not x0.is_floating_point():
            kind = x0.dtype if torch.is_tensor(x0) else type(x0).__name__
            raise ColdlabError(f"{name} got images as {kind}; it needs floats in [-1, 1]: use coldlab.data.to_float.")
        if x0.ndim != 4 or (self.shape is not None and x0.shape[-2:] != self.shape):
            h, w = self.shape or ("any", "any")
            raise ColdlabError(f"{name} got images of shape {tuple(x0.shape)}; it needs (B, C, {h}, {w}): resize them.")
        if torch.is_tensor(t):
            if t.shape != x0.shape[:1] or t.dtype not in (torch.int64, torch.int32):
                raise ColdlabError(f"{name} got t {tuple(t.shape)}, {t.dtype}; it needs an int or a ({len(x0)},) long.")
            # Reading t back from a GPU would stall its queue at every call; there index_select refuses it.
            lowest, highest = (t.min().item(), t.max().item()) if len(t) and t.device.type == "cpu" else (0, 0)
        else:
            try:
                t = lowest = highest = int(operator.index(t))
            except TypeError:
                raise ColdlabError(f"{name} got severity t = {t!r}; it needs a whole number in 0..{self.T}.") from None
        if lowest < 0 or highest > self.T:
            wrong = lowest if lowest < 0 else highest
            raise ColdlabError(f"{name} got severity t = {wrong}; it must lie in 0..{self.T} (0 is the clean image).")
        if self.needs_z and z is None:
            raise ColdlabError(f"{name} is random and needs z: draw it once, z = D.draw(x0), and pass it at every t.")
        if any(len(part) != len(x0) for part in leaves(z)):
            raise ColdlabError(f"{name} got {len(x0)} images and z for {len(leaves(z)[0])}; z has one entry per image.")
        return t

    def _apply(self, fn, recurse=True):
        """Follow the module to its device, but never let .half() or .double() round the tables."""
        super()._apply(fn, recurse)
        for name, table in self._buffers.items():
            if name in self.exact and table.dtype != torch.float32:
                setattr(self, name, self.exact[name].float().to(table.device))
        return self

    def table(self, name, values):
        """Keep a float64 table of T + 1 entries: as a float32 buffer that moves with the module, and as it is."""
        if "_buffers" not in vars(self):
            raise ColdlabError(f"{type(self).__name__} has to call super().__post_init__() before it fills its tables.")
        if len(values) not in (1, self.T + 1):
            found = f"{type(self).__name__}'s table {name!r} has {len(values)} entries"
            raise ColdlabError(f"{found}; it needs {self.T + 1}, one for each t from 0 to T.")
        self.register_buffer(name, values.float(), persistent=False)
        self.__dict__.setdefault("exact", {})[name] = values

    def at(self, name, t, x):
        """Entry t of a table, shaped to multiply x (B, C, H, W), in the precision and on the device of x."""
        if name not in self.__dict__.get("exact", {}):
            raise unknown(f"table of {type(self).__name__}", name, self.__dict__.get("exact", {}))
        table = self.exact[name] if x.dtype == torch.float64 else self.rounded(name)
        if not torch.is_tensor(t):
            return table[t].to(x.device)  # the float64 tables stay on the host: only the entry that is used moves
        entries = table.index_select(0, t.to(table.device)).to(x.device)
        return entries.reshape(len(t), *[1] * (4 - table.ndim), *table.shape[1:])

    def rounded(self, name):
        """A table's float32 buffer. Those of the inverse are made here: a sampler in float64 has no use for them."""
        if name not in self._buffers:
            device = next(iter(self._buffers.values())).device
            with torch.inference_mode(False):  # or the table would be unfit for training ever after
                self.register_buffer(name, self.exact[name].float().to(device), persistent=False)
        return self._buffers[name]


@contextmanager
def full_precision(device_type):
    """Keep matrix products in float32 proper: no autocast, no TF32, whatever the caller has switched on."""
    backends = []
    try:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
    except RuntimeError:  # the caller has used torch's newer switches, which do not mix with the older one
        backends = [torch.backends.cuda.matmul, torch.backends.mkldnn.matmul]
        before = [backend.fp32_precision for backend in backends]
        for backend in backends:
            backend.fp32_precision = "ieee"
    try:
        amp = torch.amp.is_autocast_available(device_type)  # not on the device meta, which has shapes alone
        with torch.autocast(device_type, enabled=False) if amp else nullcontext():
            yield
    finally:
        if backends:
            for backend, precision in zip(backends, before, strict=True):
                backend.fp32_precision = precision
        else:
            torch.set_float32_matmul_precision(before)


def leaves(z):
    """The tensors in z, which may be None, a tensor, or tuples of them."""
    if z is None:
        return []
    return [leaf for part in z for leaf in leaves(part)] if isinstance(z, tuple) else [z]


def each(fn, z):
    """z with fn applied to each of its tensors: each(lambda v: v[:8], z) are the latents of the first eight images."""
    if z is None:
        return None
    return tuple(each(fn, part) for part in z) if isinstance(z, tuple) else fn(z)


class Separable(Degradation):
    """D(x, t) = A_t x B_t^T: one matrix per severity for either axis, A_0 = I (paper, section 5.1).

    A_t (height, height) mixes rows and B_t (width, width) columns; for squares they are the same and kept once.
    """

    def chain(self, steps):
        """Fill the tables from the T one-step matrices of an axis of n pixels, steps(n): A_t = step_t ... step_1."""
        for axis, n in self.axes:
            A = [torch.eye(n, dtype=torch.float64)]
            for step in steps(n):
                A.append(step @ A[-1])
            if getattr(self, "discrete", False):
                A[-1] = torch.full_like(A[0], 1 / n)  # the spatial mean of rows and columns
            self.table("A" + axis, torch.stack(A))

    @property
    def axes(self):
        """(what its tables' names end in, its pixels) of each axis that has tables of its own."""
        height, width = self.shape
        return [("", height)] if height == width else [("", height), ("_across", width)]

    def both(self, name, t, x):
        """Entry t of a table for rows, and of that for columns, as `at` gives them."""
        tables = [self.at(name + axis, t, x) for axis, _ in self.axes]
        return tables[0], tables[-1]

    def degrade(self, x0, t, z):
        A, B = self.both("A", t, x0)
        return A @ x0 @ B.mT

    @property
    def gains(self):
        """What is left of each direction: the singular values of A_t, largest first, (T + 1, height), float64."""
        self.decompose()
        return self.exact["g"]

    def decompose(self):
        """A_t = U_t diag(g_t) V_t^T, once. Large sizes take seconds, so it waits until somebody asks."""
        if "g" in self.exact:
            return
        with torch.inference_mode(False):  # or the tables would be unfit for training ever after
            for axis, _ in self.axes:
                parts = torch.linalg.svd(self.exact["A" + axis])
                self.exact |= dict(zip(("U" + axis, "g" + axis, "Vt" + axis), parts, strict=True))

    def pairs(self, t, x):
        """The product of the gains of each pair of directions, a row's and a column's, (height, width) or per image."""
        g, h = (v.squeeze(-2) if torch.is_tensor(t) else v for v in self.both("g", t, x))
        return g[..., :, None] * h[..., None, :]

    def invert(self, x, t, eps, z):
        self.decompose()
        (U, U2), (Vt, Vt2) = self.both("U", t, x), self.both("Vt", t, x)
        return Vt.mT @ (U.mT @ x @ U2 * regularised(self.pairs(t, x), eps)) @ Vt2


def regularised(gain, eps):
    """1 / gain where gain >> eps, falling to 0 where the error outweighs what is left: g / (g^2 + eps^2)."""
    if torch.is_tensor(eps):
        eps = eps.reshape(-1, 1, 1, 1)
    return gain / (gain**2 + eps**2)
