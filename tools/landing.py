"""Make the pictures of the book's first page: book/static/landing-*.webp and .png, and the HTML that moves them.

The face is a cut of NASA's portrait of the astronaut Eileen Collins, which is in the public domain; nobody trained on
it. book/static/face.png holds its 64 x 64 pixels. The flower is scikit-learn's.
"""

import io
import re
from pathlib import Path

import torch
from PIL import Image
from sklearn.datasets import load_sample_images

import coldlab
from coldlab import data, generation, sampling, storage, widgets
from coldlab.degradations import make

STATIC = Path(__file__).resolve().parent.parent / "book/static"
CALLS = 20  # of R, for the digit and for the face
SIDE = 64  # pixels of either picture
SEED = 0

# The slider moves once by itself, in four seconds, unless the reader asked for less motion or touches it.
PLAY = """<script>
(() => {
  const range = document.currentScript.previousElementSibling.querySelector("input");
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  const show = (value) => { range.value = value; range.oninput(); };
  let now = 0;
  show(now);
  const timer = setInterval(() => { show(++now); if (now == range.max) clearInterval(timer); }, 100);
  for (const touch of ["pointerdown", "keydown", "focus"]) range.addEventListener(touch, () => clearInterval(timer));
})();
</script>"""


def there_and_back(R, x0):
    """(way down, way back): x0 at CALLS + 1 severities, and the states of the averaged sampler from T to 0."""
    D = R.D
    severities = sampling.evenly(D.T, CALLS)
    down = [D(x0.double(), t).float() for t in reversed(severities)]
    back = [x for _, x, _ in sampling.averaged(R, D, down[-1], severities=severities)]
    return down, back


def at_one_size(x):
    """(N, 3, SIDE, SIDE) of any images whose size divides SIDE, pixels as whole squares."""
    times = SIDE // x.shape[-1]
    return x.expand(-1, 3, -1, -1).repeat_interleave(times, 2).repeat_interleave(times, 3).clamp(-1, 1)


def face():
    return data.read_image(STATIC / "face.png")[0]


def flower():
    file = next(name for name in load_sample_images().filenames if name.endswith("flower.jpg"))
    return data.read_image(file, size=SIDE)[0]


def strip(images, gap=4):
    """Images (N, 3, SIDE, SIDE) side by side, as RGBA with transparent gaps."""
    pixels = [Image.fromarray(x) for x in data.to_uint8(images).permute(0, 2, 3, 1).numpy()]
    canvas = Image.new("RGBA", (len(pixels) * (SIDE + gap) - gap, SIDE))
    for i, picture in enumerate(pixels):
        canvas.paste(picture, (i * (SIDE + gap), 0))
    return canvas


def write(name, image, **how):
    image.save(drawn := io.BytesIO(), Path(name).suffix[1:], **how)
    storage.write(STATIC / name, drawn.getvalue())
    print(f"{name}: {len(drawn.getvalue()) / 1000:.0f} kB")


def slider(digits_net, faces_net):
    """landing-slider.webp, all frames below each other, and landing-slider.html, which shows one of them."""
    x0 = data.to_float(data.load("digits", "test")[0][3:4])
    ways = [there_and_back(digits_net, x0), there_and_back(faces_net, face())]
    both = [[torch.cat([at_one_size(x) for x in frame]) for frame in zip(*way, strict=True)]
            for way in zip(*ways, strict=True)]  # fmt: skip
    down, back = both
    captions = ["the originals"] + [f"blurred, {5 * i} % of the way" for i in range(1, CALLS)]
    captions += ["nothing left to see"] + [f"coming back: step {i} of {CALLS}" for i in range(1, CALLS)]
    captions += ["what the network believes it was"]
    alt = ("A handwritten digit and a face side by side. From left to right of the slider they blur until two plain "
           "patches are left, and a network brings them back.")  # fmt: skip
    # It opens in the middle, where nothing is left to see: that is the picture of a page without JavaScript.
    made = widgets.slider(down + back, captions, alt, scale=5, start=CALLS)
    write("landing-slider.webp", Image.fromarray(made.strip), quality=95, method=6)
    html = re.sub(r'src="data:[^"]+"', 'src="../_static/landing-slider.webp"', made.html)
    html = html.replace("<figure style", '<figure class="landing-slider" style')
    storage.write_text(STATIC / "landing-slider.html", f"{html}\n{PLAY}\n")


def main():
    digits_net, faces_net = (coldlab.load_pretrained(name) for name in ("digits-blur", "celeba-64-blur"))
    slider(digits_net, faces_net)

    # Hot beside cold: one picture, two ways of losing it, at the same shares of T.
    x0 = flower()
    ways = {"hot": make("noise", SIDE), "cold": faces_net.D}
    for name, D in ways.items():
        z = D.draw(x0, torch.Generator().manual_seed(SEED))
        shown = torch.cat([D(x0, round(D.T * share), z) for share in (0, 0.1, 0.25, 0.5, 0.75, 1)])
        write(f"landing-{name}.webp", strip(shown), quality=90, method=6)

    # What the network of faces makes of a flower.
    down, back = there_and_back(faces_net, x0)
    write("landing-guess.webp", strip(torch.cat([x0, down[-1], back[-1]])), quality=95, method=6)

    # The first digits that are generated, as in chapter 6; none is left out.
    prior = generation.fit(digits_net.D, data.load("digits", "train")[0])
    new = generation.generate(digits_net, prior, 12)
    write("landing-new.png", strip(at_one_size(new)).resize((12 * 34 - 2, 32), Image.NEAREST), optimize=True)


if __name__ == "__main__":
    main()
