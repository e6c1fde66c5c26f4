"""The live lab: its JavaScript computes what PyTorch computes, in a real browser, and asks no other host for anything.

Skipped, saying so, without a browser. The pictures are scikit-learn's digits and photographs, which need no download.
"""

import functools
import hashlib
import importlib.util
import json
import re
import shutil

import chapters
import pytest
import torch
from sklearn.datasets import load_sample_images

import coldlab
from coldlab import checkpoints, data, generation, sampling, storage
from coldlab.degradations import EIGHT_BITS, Mask, make
from coldlab.live import portable
from coldlab.metrics import features
from coldlab.unet import told

LIVE = chapters.ROOT / "live"
NETWORKS = [n for n in checkpoints.pretrained() if not coldlab.load_pretrained(n).config.classes]  # told none in a page
CALLS = 22  # of R in a trajectory, at most; about as many as the paper's digits need

# Runs in the page: what the modules make of one network, its images and severities.
RUN = """async ({name, work}) => {
    const {parse} = await import("/live/safetensors.js");
    const {restorer} = await import("/live/unet.js");
    const {SAMPLERS} = await import("/live/sampling.js");
    const {R, D} = restorer(parse(await (await fetch(`/coldlab/weights/${name}.safetensors`)).arrayBuffer()));
    const told = (z) => (x, t) => R(x, t, {z});
    return work.map(({what, x, t, z = null, eps = 2e-6, sampler, severities}) => {
        x = Float64Array.from(x);
        if (what === "D") return Array.from(D.apply(x, t, z));
        if (what === "inverse") return Array.from(D.inverse(x, t, eps, z ?? undefined));
        if (what === "infer") return D.infer(x, t);
        if (what === "R") return Array.from(R(x, t, {eps, z}));
        const start = performance.now();
        const states = [...SAMPLERS[sampler](told(z), D, x, z, severities)];
        const seconds = (performance.now() - start) / 1000;
        return {seconds, states: states.map(({r, x, x0}) => [r, Array.from(x), Array.from(x0)])};
    });
}"""


@pytest.fixture(scope="module")
def page(site, browser):
    """A page of the repository's own host, from which any other host is out of reach."""
    base = site(chapters.ROOT)
    page = browser.new_page()
    page.route("**/*", lambda route: route.continue_() if route.request.url.startswith(base) else route.abort())
    page.route(f"{base}/empty", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
    page.goto(f"{base}/empty")
    yield page
    page.close()


@functools.cache
def pictures(name):
    """A few clean images of the network's kind, float64 in [-1, 1]."""
    config = coldlab.load_pretrained(name).config
    if config.channels == 1:
        return data.to_float(data.load("digits", "test")[0][[3, 8]]).double()
    return torch.cat([data.read_image(file, size=config.size)[0] for file in load_sample_images().filenames]).double()


def flat(x):
    return x.double().flatten().tolist()


def difference(found, expected):
    found = torch.tensor(found, dtype=torch.float64)
    assert found.isfinite().all()
    return (found - expected.double().flatten()).abs().max().item()


def run(page, name, work):
    return page.evaluate(RUN, {"name": name, "work": work})


@pytest.fixture(scope="module", params=NETWORKS)
def degraded(request):
    """(name, R, [(t, x_t, z)]) of a shipped network: its pictures at a few severities, each with a latent."""
    name = request.param
    R, x0 = coldlab.load_pretrained(name), pictures(name)
    draw = torch.Generator().manual_seed(0)
    states = []
    for k, t in enumerate((1, R.D.T // 3, R.D.T)):
        z = R.D.draw(x0, draw)
        x = x0[k % len(x0)][None]
        z = None if z is None else z[:1]
        states.append((t, R.D(x, t, z), x, z))
    return name, R, states


def test_the_damage_and_its_inverse_are_those_of_the_package(page, degraded):
    name, R, states = degraded
    work, expected = [], []
    for t, x_t, x0, z in states:
        latent = None if z is None else z[0].tolist()
        work += [{"what": "D", "x": flat(x0), "t": t, "z": latent}]
        work += [{"what": "inverse", "x": flat(x_t), "t": t, "z": latent, "eps": eps} for eps in (2e-6, EIGHT_BITS)]
        expected += [x_t, R.D.inverse(x_t, t, z=z), R.D.inverse(x_t, t, EIGHT_BITS, z=z)]
    assert max(map(difference, run(page, name, work), expected)) < 1e-6


def test_one_call_of_a_network_is_that_of_the_package(page, degraded):
    name, R, states = degraded
    found = run(page, name, [{"what": "R", "x": flat(x_t), "t": t} for t, x_t, _, _ in states])
    with torch.no_grad():
        expected = [R(x_t, t) for t, x_t, _, _ in states]
    assert max(map(difference, found, expected)) < 1e-5


@pytest.mark.parametrize("sampler", sampling.COURSE)
def test_whole_trajectories_are_those_of_the_package(page, degraded, sampler):
    """Beside PyTorch in float64: its own float32 is 5e-6 off in a call, of which twenty naive steps make 1e-4."""
    name, _, states = degraded
    R = coldlab.load_pretrained(name).double()
    T, x_T, _, z = states[-1]
    severities = sampling.evenly(T, min(T, CALLS))
    latent = None if z is None else z[0].tolist()
    walk = {"what": "walk", "x": flat(x_T), "z": latent, "sampler": sampler, "severities": severities}
    [found] = run(page, name, [walk])
    expected = list(sampling.SAMPLERS[sampler](told(R, z=z), R.D, x_T, z, severities))
    assert [r for r, _, _ in found["states"]] == [r for r, _, _ in expected] == severities[1:]
    for (_, x, x0), (_, right_x, right_x0) in zip(found["states"], expected, strict=True):
        assert difference(x, right_x) < 1e-4
        assert difference(x0, right_x0) < 1e-4
    assert found["seconds"] < (10 if R.D.size == 64 else 3)


@pytest.mark.parametrize("name", [name for name in NETWORKS if "mask" in name])
def test_holes_are_found_where_the_package_finds_them(page, name):
    """In clouds, whose brightness changes from place to place: there the likeliest centre is often one pixel off."""
    D, draw = coldlab.load_pretrained(name).D, torch.Generator().manual_seed(1)
    clouds = torch.rand(40, pictures(name).shape[1], 4, 4, generator=draw, dtype=torch.float64) * 2 - 1
    x0 = torch.nn.functional.interpolate(clouds, size=D.size, mode="bicubic").clamp(-1, 1)
    z = D.draw(x0, draw)
    for t in (10, D.T):
        rounded = data.eight_bits(D(x0, t, z))
        expected = D.infer(rounded, None, t)
        if t == D.T:
            assert (expected != D.likelihood(rounded, t)[0]).any()  # the second look, at the neighbours, has its share
        found = run(page, name, [{"what": "infer", "x": flat(x), "t": t} for x in rounded])
        assert found == expected.tolist()


def test_a_budget_of_calls_is_spread_as_the_package_spreads_it(page):
    found = page.evaluate(
        """async () => {
            const {evenly} = await import("/live/sampling.js");
            return [20, 50, 110].map((T) => Array.from({length: T}, (_, k) => evenly(T, k + 1)));
        }"""
    )
    assert found == [[sampling.evenly(T, steps) for steps in range(1, T + 1)] for T in (20, 50, 110)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("blur", {"T": 5, "kernel": 9, "std": 1.5, "schedule": "incremental", "padding": "zero"}),
        ("blur", {"T": 4, "kernel": 5, "std": 0.2, "schedule": "exponential", "padding": "reflect", "discrete": True}),
        ("pixelate", {"T": 3}),
        ("pixelate", {"T": 4, "mode": "bicubic"}),
        ("mask", {"T": 9, "kernel_std": 0.3, "initial_mask": 2}),
    ],
)
def test_degradations_with_any_settings_are_those_of_the_package(page, name, options):
    D, x0 = make(name, 16, **options), torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)).double()
    z = torch.tensor([[-1, 9]]) if isinstance(D, Mask) else None
    latent = None if z is None else z[0].tolist()
    found = page.evaluate(
        """async ({name, options, x, z, T}) => {
            const {make} = await import("/live/degradations.js");
            const D = make(name, 16, options);
            return Array.from({length: T + 1}, (_, t) => Array.from(D.apply(Float64Array.from(x), t, z)));
        }""",
        {"name": name, "options": options, "x": flat(x0), "z": latent, "T": D.T},
    )
    assert max(difference(found[t], D(x0, t, z)) for t in range(D.T + 1)) < 1e-12


@pytest.mark.parametrize("name", features.classifiers())
def test_readings_of_a_classifier_are_those_of_the_package(page, name):
    net = features.classifier(name)
    images = torch.rand(3, net.channels, 32, 32, generator=torch.Generator().manual_seed(0)).mul(2.4).sub(1.2)
    found = page.evaluate(
        """async ({name, images}) => {
            const {parse} = await import("/live/safetensors.js");
            const {classifier} = await import("/live/classifier.js");
            const file = await (await fetch(`/coldlab/weights/${name}-classifier.safetensors`)).arrayBuffer();
            return images.map((x) => Array.from(classifier(parse(file))(x)));
        }""",
        {"name": name, "images": [flat(x) for x in images]},
    )
    expected = features.predict(net, data.to_unit(images))
    assert max(map(difference, found, expected)) < 1e-5


@pytest.mark.parametrize("content", [b"", b"\x10\0\0\0\0\0\0\0not json", b"<!doctype html>"])
def test_what_is_no_weights_file_is_refused_in_a_sentence(page, content):
    told = page.evaluate(
        """async (bytes) => {
            const {parse} = await import("/live/safetensors.js");
            try {
                parse(Uint8Array.from(bytes).buffer);
            } catch (error) {
                return [error.constructor.name, error.message];
            }
        }""",
        list(content),
    )
    assert told[0] == "ColdlabError"
    assert "load the page again" in told[1]


# ------------------------------------------------------------------------------------------------- what was written


@pytest.mark.parametrize("name", json.loads((LIVE / "mixtures.json").read_text(encoding="utf-8")))
def test_starts_are_made_of_the_numbers_that_the_blur_leaves(page, name):
    """Written from its own numbers, an image's start is D's: what is missing lies below a gain of 2e-6."""
    D, x0 = coldlab.load_pretrained(name).D, pictures(name)
    normals = torch.randn(9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = page.evaluate(
        """async ({name, x0, normals}) => {
            const {Mixture} = await import("/live/generation.js");
            const law = new Mixture((await (await fetch("/live/mixtures.json")).json())[name], 32);
            const draws = Array.from({length: 4000}, () => law.draw());
            return {start: Array.from(law.write(law.read(x0))), from: law.from(1, normals),
                middle: law.middle, spread: law.spread, draws: draws.map((draw) => Array.from(draw))};
        }""",
        {"name": name, "x0": flat(x0[0]), "normals": normals.tolist()},
    )
    assert difference(found["start"], D(x0[:1], D.T)) < 1e-4
    law = json.loads((LIVE / "mixtures.json").read_text(encoding="utf-8"))[name]
    below = torch.tril_indices(9, 9)
    factor = torch.zeros(9, 9, dtype=torch.float64)
    factor[below[0], below[1]] = torch.tensor(law["factors"][1], dtype=torch.float64)
    means = torch.tensor(law["means"], dtype=torch.float64)
    assert difference(found["from"], means[1] + factor @ normals) < 1e-9
    middle, spread = (torch.tensor(found[part], dtype=torch.float64) for part in ("middle", "spread"))
    draws = torch.tensor(found["draws"], dtype=torch.float64)
    assert ((draws.mean(0) - middle) / spread).abs().max() < 6 / 4000**0.5
    assert (draws.std(0) / spread - 1).abs().max() < 0.15


def test_a_prior_as_numbers_is_the_prior():
    D = make("blur", 32)
    prior = generation.fit(D, data.load("digits", "train")[0], components=2)
    law = portable(prior)
    k = len(law["gains"])
    below = torch.tril_indices(k, k)
    for j, covariance in enumerate(torch.from_numpy(prior.mixture.covariances_)):
        factor = torch.zeros(k, k, dtype=torch.float64)
        factor[below[0], below[1]] = torch.tensor(law["factors"][j], dtype=torch.float64)
        assert torch.allclose(factor @ factor.T, covariance, rtol=1e-5, atol=1e-5 * covariance.abs().max().item())
    c = torch.from_numpy(prior.mixture.means_[:1])
    left, gains = torch.tensor(law["left"]), torch.tensor(law["gains"])
    inner = left[:, law["rows"]] @ torch.diag(c[0].float() * gains) @ left[:, law["columns"]].T
    assert difference(inner.flatten().tolist(), prior.survivors.write(c[:, None])) < 1e-5


def test_nothing_that_was_made_beforehand_is_stale(page):
    """The table of networks agrees with the files; the still and the mixtures were made with what ships."""
    table = page.evaluate("import('/live/networks.js').then(({NETWORKS}) => NETWORKS)")
    assert set(table) == set(NETWORKS)
    for name, row in table.items():
        R = coldlab.load_pretrained(name)
        assert (row["size"], row["channels"], row["T"]) == (R.config.size, R.config.channels, R.D.T)
        assert row.get("eyes") in (None, R.config.dataset)
    for hashes in json.loads((LIVE / "made.json").read_text(encoding="utf-8")).values():
        for name, digest in hashes.items():
            content = (storage.WEIGHTS / f"{name}.safetensors").read_bytes()
            assert hashlib.sha256(content).hexdigest() == digest, "run python tools/live.py"
    for name, law in json.loads((LIVE / "mixtures.json").read_text(encoding="utf-8")).items():
        R = coldlab.load_pretrained(name)
        assert (law["options"], law["t"]) == (R.config.options, R.D.T), "run python tools/live.py"


# ----------------------------------------------------------------------------------------------- as a reader uses it

STROKES = [(0.3, 0.25), (0.45, 0.17), (0.62, 0.22), (0.66, 0.35), (0.5, 0.47), (0.66, 0.56), (0.7, 0.72), (0.55, 0.84)]
STROKES += [(0.33, 0.78)]  # a 3, in shares of the pad
HEAD = '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
HEAD += '<link rel="icon" href="data:,">'


@pytest.fixture(scope="module")
def lab(tmp_path_factory, site):
    """The address of a small site that has the lab as the book lays it out: book/full.html and book/compact.html."""
    spec = importlib.util.spec_from_file_location("coldlab_book", chapters.ROOT / "book/_ext/coldlab_book.py")
    spec.loader.exec_module(extension := importlib.util.module_from_spec(spec))
    folder = tmp_path_factory.mktemp("site")
    extension.lay_out_lab(chapters.ROOT, folder / "_static")
    shutil.copy(chapters.ROOT / "book/static/lab-still.webp", folder / "_static")
    (folder / "book").mkdir()
    body = (chapters.ROOT / "book/static/lab.html").read_text(encoding="utf-8")
    for name, tag in (("full", "<cold-lab>"), ("compact", "<cold-lab compact>"), ("make", '<cold-lab mode="make">')):
        page = f"{HEAD}<main>{body.replace('<cold-lab>', tag)}</main>"
        (folder / "book" / f"{name}.html").write_text(page, encoding="utf-8")
    return site(folder)


@pytest.fixture
def visit(browser, lab):
    """A function that opens a page of the lab on a phone; nothing may go wrong there, and no other host be asked."""
    faults, opened = [], []

    def go(name, **settings):
        context = browser.new_context(viewport={"width": 380, "height": 780}, **settings)
        page = context.new_page()
        opened.append(context)
        page.asked, page.faults = {}, faults

        def answer(route):
            if not route.request.url.startswith((lab, "data:", "blob:")):
                faults.append(f"asked another host, {route.request.url}")
                return route.abort()
            return route.continue_()

        def answered(response):
            page.asked[response.url.removeprefix(lab)] = int(response.headers.get("content-length", 0))
            if response.status >= 400:
                faults.append(f"{response.status} for {response.url}")

        context.route("**/*", answer)
        page.on("response", answered)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.goto(f"{lab}/book/{name}.html")
        if settings.get("java_script_enabled", True):
            page.wait_for_selector("cold-lab.lab-ready")
            page.wait_for_function("document.querySelector('cold-lab').x0")
        return page

    yield go
    for context in opened:
        context.close()
    assert faults == []


def part(page, name):
    return page.locator(f"[data-part='{name}']")


def draw(page, points):
    box = part(page, "pad").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=3)
    page.mouse.up()


def restored(page, press=True):
    """Press the button; what the lab says at the end."""
    part(page, "status").evaluate("e => e.textContent = ''")
    if press:
        part(page, "go").click()
    page.wait_for_function("document.querySelector('[data-part=status]').textContent.startsWith('Error left')")
    return part(page, "status").inner_text()


def errors(told):
    return [float(number) for number in re.findall(r"\d\.\d{3}", told)]


def where(page):
    """Of the picture that the network is asked about: the centre of its ink (column, row), and its longer side."""
    x0 = torch.tensor(page.evaluate("Array.from(document.querySelector('cold-lab').x0)")).reshape(32, 32)
    ink = (x0 + 1) / 2
    pixel = torch.arange(32) + 0.5
    centre = (ink.sum(0) @ pixel / ink.sum()).item(), (ink.sum(1) @ pixel / ink.sum()).item()
    marked = (ink > 0.3).nonzero()
    return centre, (marked.amax(0) - marked.amin(0)).max().item() + 1


def test_a_visitor_draws_restores_uploads_and_breaks(visit):
    page = visit("full")
    draw(page, STROKES)
    told = restored(page)
    assert errors(told)[1] < 0.3
    assert part(page, "step").input_value() == "20"
    assert page.locator("[data-part='film-0'] > div").count() == page.locator("[data-part='film-1'] > div").count() == 8
    page.wait_for_function("document.querySelector('[data-part=reading]').textContent")
    assert "reads your picture as 3" in part(page, "reading").inner_text()
    part(page, "step").fill("0")
    assert "t = 20" in part(page, "state-1-told").inner_text()

    part(page, "network").select_option("celeba-64-blur")
    photograph = next(name for name in load_sample_images().filenames if name.endswith("flower.jpg"))
    part(page, "file").set_input_files(photograph)
    part(page, "calls").fill("3")
    assert errors(restored(page))[1] < 0.3

    part(page, "network").select_option("mnist-blur")
    page.get_by_text("Break it").click()
    page.get_by_text("Nonsense for R").click()
    assert errors(restored(page))[1] > 0.2  # a blur depends on the image: noise stays
    part(page, "drift").select_option("drift")
    naive, improved = errors(restored(page))
    assert naive > 0.2
    assert improved == 0


def test_a_drawing_is_brought_into_the_frame_unless_the_reader_says_no(visit):
    page = visit("full")
    draw(page, [(0.1 + x / 4, 0.1 + y / 4) for x, y in STROKES])
    centre, side = where(page)
    assert centre == pytest.approx((16, 16), abs=0.3)
    assert side == pytest.approx(160 / 7, abs=1.6)
    part(page, "framed").uncheck()
    (column, row), side = where(page)
    assert max(column, row, side) < 11


def test_the_lab_by_keyboard_alone(visit):
    page = visit("compact")
    part(page, "pad").focus()
    page.keyboard.press("7")
    part(page, "severity").focus()
    page.keyboard.press("ArrowLeft")
    assert part(page, "severity-told").inner_text() == "19 of 20"
    part(page, "go").focus()
    page.keyboard.press("Enter")
    assert errors(restored(page, press=False))[1] < 0.3


def test_new_digits_are_made_and_moved(visit):
    page = visit("full")
    page.get_by_text("Make new ones").click()
    part(page, "new").click()
    page.wait_for_function("document.querySelector('[data-part=new-status]').textContent.includes('reads')")
    assert page.locator("[data-part='numbers'] input").count() == 9
    before = part(page, "made").evaluate("e => e.toDataURL()")
    page.locator("[data-part='numbers'] input").nth(1).fill("3")
    page.wait_for_function("(was) => document.querySelector('[data-part=made]').toDataURL() !== was", arg=before)
    assert page.locator("[data-part='gallery'] canvas").count() == 1


def test_pictures_to_pick_from_that_come_late_do_not_replace_an_upload(visit):
    page = visit("full")
    held = []
    page.context.route("**/photographs.png", lambda route: held.append(route))
    part(page, "network").select_option("celeba-64-blur")
    part(page, "file").set_input_files(next(name for name in load_sample_images().filenames if "flower" in name))
    page.wait_for_function("document.querySelector('cold-lab').x0")
    uploaded = page.evaluate("Array.from(document.querySelector('cold-lab').x0)")
    held[0].continue_()
    page.wait_for_function("document.querySelectorAll('[data-part=picks] button').length === 3")
    page.wait_for_timeout(200)
    assert page.evaluate("Array.from(document.querySelector('cold-lab').x0)") == uploaded
    part(page, "network").select_option("cifar10-blur")  # the same picture, for another network
    page.wait_for_function("document.querySelector('cold-lab').x0?.length === 3 * 32 * 32")


def test_a_file_that_is_no_picture_is_told(visit, tmp_path):
    page = visit("full")
    (tmp_path / "note.png").write_text("no picture", encoding="utf-8")
    part(page, "file").set_input_files(tmp_path / "note.png")
    page.wait_for_function("document.querySelector('[data-part=status]').textContent.includes('no picture that')")


def test_a_network_that_does_not_come_is_told_and_asked_for_again(visit):
    page = visit("compact")
    page.context.route(
        "**/*.safetensors", lambda route: route.abort(), times=2
    )  # at the first touch, and for the damage
    page.context.set_default_timeout(20_000)
    part(page, "clear").click()
    page.wait_for_function("document.querySelector('[data-part=status]').textContent.includes('could not be loaded')")
    page.faults.clear()  # the browser's own words on it
    part(page, "pad").focus()
    page.keyboard.press("3")
    assert errors(restored(page))[1] < 0.3


def test_a_lab_may_begin_with_another_mode(visit):
    page = visit("make")
    assert part(page, "new").is_visible()
    assert not part(page, "pad").is_visible()


def test_a_page_with_the_compact_lab_is_light_before_it_is_touched(visit):
    page = visit("compact")
    page.wait_for_timeout(500)
    assert not [url for url in page.asked if "weights" in url or "mixtures" in url]
    assert 10_000 < sum(page.asked.values()) < 300_000
    part(page, "clear").click()
    page.wait_for_function(
        "document.querySelector('[data-part=damaged-told]').textContent.startsWith('what is left of')"
    )
    page.wait_for_function("!document.querySelector('[data-part=damaged-told]').textContent.includes('touch')")
    assert [url for url in page.asked if "mnist-blur.safetensors" in url]


def test_the_lab_is_a_picture_without_javascript(visit):
    page = visit("full", java_script_enabled=False)
    assert "handwritten 3" in page.locator("cold-lab img").get_attribute("alt")
    assert page.locator("cold-lab img").bounding_box()["width"] > 300
    assert "needs JavaScript" in page.locator("cold-lab noscript").inner_text()


def test_every_control_has_a_name(visit):
    page = visit("full")
    nameless = """() => [...document.querySelectorAll("cold-lab :is(button, input, select, canvas[tabindex])")]
        .filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim() ||
            [...(e.labels ?? [])].some((label) => label.textContent.trim())))
        .map((e) => e.outerHTML)"""
    assert page.evaluate(nameless) == []
