"""The live lab: its JavaScript computes what PyTorch computes, in a real browser, and asks no other host for anything.

Skipped, saying so, without a browser. The pictures are scikit-learn's digits and photographs, which need no download.
"""

import functools

import chapters
import pytest
import torch
from sklearn.datasets import load_sample_images

import coldlab
from coldlab import checkpoints, data, sampling
from coldlab.degradations import EIGHT_BITS, Mask, make
from coldlab.metrics import features
from coldlab.unet import told

NETWORKS = checkpoints.pretrained()
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


@pytest.mark.parametrize("sampler", sampling.SAMPLERS)
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
    D, x0 = coldlab.load_pretrained(name).D, pictures(name).repeat(6, 1, 1, 1)
    z = D.draw(x0, torch.Generator().manual_seed(1))
    for t in (3, D.T):
        rounded = data.eight_bits(D(x0, t, z))
        found = run(page, name, [{"what": "infer", "x": flat(x), "t": t} for x in rounded])
        assert found == D.infer(rounded, None, t).tolist()


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
