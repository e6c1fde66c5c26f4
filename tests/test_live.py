"""The live lab: its JavaScript computes what PyTorch computes, in a real browser, and asks no other host for anything.

Skipped, saying so, without a browser. The pictures are scikit-learn's digits and photographs, which need no download.
"""

import functools
import hashlib
import json

import chapters
import pytest
import torch
from sklearn.datasets import load_sample_images

import coldlab
from coldlab import checkpoints, data, evaluation, further, generation, sampling, storage
from coldlab.degradations import EIGHT_BITS, make
from coldlab.live import portable, portable_classes
from coldlab.metrics import features
from coldlab.unet import told

LIVE = chapters.ROOT / "live"
NETWORKS = list(checkpoints.pretrained())
ASKING = [name for name in NETWORKS if coldlab.load_pretrained(name).config.classes]
CALLS = 22  # of R in a trajectory, at most; about as many as the paper's digits need

# Runs in the page: what the modules make of one network, its images and severities.
RUN = """async ({name, work}) => {
    const {parse} = await import("/live/safetensors.js");
    const {restorer} = await import("/live/unet.js");
    const {SAMPLERS} = await import("/live/sampling.js");
    const {R, D} = restorer(parse(await (await fetch(`/coldlab/weights/${name}.safetensors`)).arrayBuffer()));
    return work.map(({what, x, t, z = null, eps = 2e-6, label = null, guidance = 1, sampler, severities}) => {
        const known = {z, label, guidance};
        x = Float64Array.from(x);
        if (what === "D") return Array.from(D.apply(x, t, z));
        if (what === "inverse") return Array.from(D.inverse(x, t, eps, z ?? undefined));
        if (what === "infer") return D.infer(x, t);
        if (what === "R") return Array.from(R(x, t, {eps, ...known}));
        const states = [...SAMPLERS[sampler]((x, t) => R(x, t, known), D, x, z, severities)];
        return states.map(({r, x, x0}) => [r, Array.from(x), Array.from(x0)]);
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


@pytest.fixture(scope="module")
def core_seconds(page):
    """The time that the page's thread has had of a core: on a busy machine a clock on the wall tells of others, too."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    read = functools.partial(session.send, "Performance.getMetrics")
    return lambda: next(metric["value"] for metric in read()["metrics"] if metric["name"] == "TaskDuration")


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
    """Beside PyTorch in float64. From its float32 the page may be further off than that is from its own float64."""
    name, R, states = degraded
    exact = coldlab.load_pretrained(name).double()
    found = run(page, name, [{"what": "R", "x": flat(x_t), "t": t} for t, x_t, _, _ in states])
    with torch.no_grad():
        expected = [exact(x_t, t) for t, x_t, _, _ in states]
        single = [R(x_t, t) for t, x_t, _, _ in states]
    assert max(map(difference, found, expected)) < 5e-6
    assert max(map(difference, found, single)) < 3e-5


@pytest.mark.parametrize("sampler", sampling.COURSE)
def test_whole_trajectories_are_those_of_the_package(page, core_seconds, degraded, sampler):
    """Beside PyTorch in float64: its own float32 is up to 2e-5 off in a call, of which twenty naive steps make 1e-4."""
    name, _, states = degraded
    R = coldlab.load_pretrained(name).double()
    T, x_T, _, z = states[-1]
    severities = sampling.evenly(T, min(T, CALLS))
    latent = None if z is None else z[0].tolist()
    walk = {"what": "walk", "x": flat(x_T), "z": latent, "sampler": sampler, "severities": severities}
    before = core_seconds()
    [found] = run(page, name, [walk])
    assert 0.01 < core_seconds() - before < (10 if R.D.size == 64 else 3)
    expected = list(sampling.SAMPLERS[sampler](told(R, z=z), R.D, x_T, z, severities))
    assert [r for r, _, _ in found] == [r for r, _, _ in expected] == severities[1:]
    for (_, x, x0), (_, right_x, right_x0) in zip(found, expected, strict=True):
        assert difference(x, right_x) < 1e-4
        assert difference(x0, right_x0) < 1e-4


@pytest.mark.parametrize(("label", "guidance"), [(7, 0.0), (7, 1.0), (0, 2.5)])
@pytest.mark.parametrize("name", ASKING)
def test_a_network_that_is_asked_for_a_class_answers_as_the_package_does(page, name, label, guidance):
    R = coldlab.load_pretrained(name)
    x_T, severities = R.D(pictures(name)[:1], R.D.T), sampling.evenly(R.D.T, 20)
    known = {"label": label, "guidance": guidance}
    call = {"what": "R", "x": flat(x_T), "t": R.D.T}
    walk = {"what": "walk", "x": flat(x_T), "sampler": "improved", "severities": severities}
    once, unasked, found = run(page, name, [call | known, call, walk | known])
    with torch.no_grad():
        asked = further.asked(coldlab.load_pretrained(name).double(), label, guidance)
        assert difference(once, asked(x_T, R.D.T)) < 1e-5
        assert (difference(once, torch.tensor(unasked)) > 0.1) == (guidance > 0)  # it heard what it was asked for
        expected = list(sampling.improved(asked, R.D, x_T, None, severities))
    for (_, x, x0), (_, right_x, right_x0) in zip(found, expected, strict=True):
        assert difference(x, right_x) < 1e-4
        assert difference(x0, right_x0) < 1e-4


@pytest.mark.parametrize("name", [name for name in NETWORKS if coldlab.load_pretrained(name).D.blind])
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
        ("mask", {"T": 9, "kernel_std": 0.3, "initial_mask": 2, "centre": "centred"}),
    ],
)
def test_degradations_with_any_settings_are_those_of_the_package(page, name, options):
    D, x0 = make(name, 16, **options), torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)).double()
    z = torch.tensor([[-1, 9]]) if D.blind else None
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


def test_priors_of_classes_are_one_mixture_whose_gaussians_have_a_label():
    D, (images, labels) = make("blur", 32), data.load("digits", "train")
    priors = {k: generation.fit(D, images[labels == k], components=2) for k in (3, 8)}
    law = portable_classes(priors, {3: 100, 8: 300})
    assert law["classes"] == [3, 3, 8, 8]
    assert sum(law["weights"][:2]) == pytest.approx(0.25)
    alone = portable(priors[8])
    assert (law["means"][2:], law["factors"][2:], law["left"]) == (alone["means"], alone["factors"], alone["left"])
    priors[8] = generation.fit(D, images[labels == 8], components=2, keep=1)
    with pytest.raises(ValueError, match="different numbers"):
        portable_classes(priors, {3: 100, 8: 300})


@pytest.mark.parametrize("name", ASKING)
def test_a_start_of_a_class_is_drawn_from_its_gaussians_alone(page, name):
    law = json.loads((LIVE / "mixtures.json").read_text(encoding="utf-8"))[name]
    found = page.evaluate(
        """async ({name}) => {
            const {Mixture} = await import("/live/generation.js");
            const law = new Mixture((await (await fetch("/live/mixtures.json")).json())[name], 32);
            const middles = (label) => Array.from({length: 300}, () => law.draw({label, temperature: 0}));
            return [middles(7), middles(null), law.draw({label: 3, temperature: 0, random: () => 1 - 1e-12})];
        }""",
        {"name": name},
    )
    of = {tuple(round(v, 6) for v in mean): label for mean, label in zip(law["means"], law["classes"], strict=True)}
    sevens, any_of_them, last = ([of[tuple(round(v, 6) for v in c)] for c in part] for part in (*found[:2], [found[2]]))
    assert set(sevens) == {7}
    assert set(any_of_them) == set(range(10))
    assert last == [3]


def test_nothing_that_was_made_beforehand_is_stale(page):
    """The table of networks agrees with the files; the still and the mixtures were made with what ships."""
    table = page.evaluate("import('/live/networks.js').then(({NETWORKS}) => NETWORKS)")
    assert set(table) == set(NETWORKS)
    for name, row in table.items():
        R = coldlab.load_pretrained(name)
        assert (row["size"], row["channels"], row["T"]) == (R.config.size, R.config.channels, R.D.T)
        assert row.get("eyes") in (None, R.config.dataset)
        assert row.get("asks", 0) == R.config.classes
        assert row.get("files", False) == evaluation.sees_files(R)
        assert row.get("hole", False) == R.D.blind
    for hashes in json.loads((LIVE / "made.json").read_text(encoding="utf-8")).values():
        for name, digest in hashes.items():
            content = (storage.WEIGHTS / f"{name}.safetensors").read_bytes()
            assert hashlib.sha256(content).hexdigest() == digest, "run python tools/live.py"
    laws = json.loads((LIVE / "mixtures.json").read_text(encoding="utf-8"))
    assert set(laws) == {name for name, row in table.items() if row.get("made")}
    for name, law in laws.items():
        R = coldlab.load_pretrained(name)
        assert (law["options"], law["t"]) == (R.config.options, R.D.T), "run python tools/live.py"
        assert set(law.get("classes", [])) == set(range(R.config.classes or 0)), "run python tools/live.py"
