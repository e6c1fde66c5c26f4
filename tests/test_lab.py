"""The live lab as a reader uses it: on a phone and on a desktop, by finger, mouse and keyboard, in a real browser.

Skipped, saying so, without a browser. With COLDLAB_SCREENSHOTS=FOLDER the visits leave pictures there, to be looked at.
"""

import importlib.util
import io
import os
import re
import shutil
from pathlib import Path

import chapters
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

STROKES = [(0.3, 0.25), (0.45, 0.17), (0.62, 0.22), (0.66, 0.35), (0.5, 0.47), (0.66, 0.56), (0.7, 0.72), (0.55, 0.84)]
STROKES += [(0.33, 0.78)]  # a 3, in shares of the pad
PHONE = {"viewport": {"width": 380, "height": 780}}
FINGER = PHONE | {"has_touch": True, "is_mobile": True}
DESKTOP = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"}
HEAD = '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
HEAD += '<link rel="icon" href="data:,">'


@pytest.fixture(scope="module")
def lab(tmp_path_factory, site):
    """The address of a small site that has the labs of the book as it lays them out, book/lab.html and so on."""
    spec = importlib.util.spec_from_file_location("coldlab_lab", chapters.ROOT / "book/_ext/coldlab_lab.py")
    spec.loader.exec_module(extension := importlib.util.module_from_spec(spec))
    folder = tmp_path_factory.mktemp("site")
    extension.lay_out_lab(chapters.ROOT, folder / "_static")
    shutil.copy(chapters.ROOT / "book/static/lab-still.webp", folder / "_static")
    (folder / "book").mkdir()
    body = (chapters.ROOT / "book/static/lab.html").read_text(encoding="utf-8")
    for name, found in extension.labs(chapters.ROOT / "book").items():
        page = f"{HEAD}<main>{extension.place(body, '../', True, found)}</main>"
        (folder / "book" / f"{name}.html").write_text(page, encoding="utf-8")
    return site(folder)


@pytest.fixture
def visit(browser, lab):
    """A function that opens a page of the lab on a phone; nothing may go wrong there, and no other host be asked."""
    faults, opened = [], []

    def go(name, **settings):
        context = browser.new_context(**(PHONE | settings))
        page = context.new_page()
        opened.append(context)
        page.asked, page.faults = {}, faults

        def answer(route):
            if not route.request.url.startswith((lab, "data:", "blob:")):
                faults.append(f"asked another host, {route.request.url}")
                return route.abort()
            if route.request.method != "GET" or route.request.post_data:
                faults.append(f"something was sent to {route.request.url}")  # a picture, say
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


def draw(page, points, finger=False):
    box = part(page, "pad").bounding_box()
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    if finger:
        send = page.context.new_cdp_session(page).send
        for k, (x, y) in enumerate(places):
            kind = "touchMove" if k else "touchStart"
            send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
        send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        return
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=3)
    page.mouse.up()


def restored(page, press=None):
    """Press the button, or do what presses it; what the lab says at the end."""
    part(page, "status").evaluate("e => e.textContent = ''")
    (press or part(page, "go").click)()
    page.wait_for_function("document.querySelector('[data-part=status]').textContent.startsWith('Error left')")
    return part(page, "status").inner_text()


def says(page, name, words):
    page.wait_for_function(
        "([name, words]) => document.querySelector(`[data-part='${name}']`).textContent.includes(words)",
        arg=[name, words],
    )


def errors(told):
    """The errors of both ends; what follows tells how far the damaged picture was."""
    return [float(number) for number in re.findall(r"\d\.\d{3}", told)][:2]


def looked_at(page, name):
    """Nothing is wider than the page; a picture of it, where one is asked for."""
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), name
    if folder := os.environ.get("COLDLAB_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{page.viewport_size['width']}-{name}.png", full_page=True)


def where(page):
    """Of the picture that the network is asked about: the centre of its ink (column, row), and its longer side."""
    x0 = torch.tensor(page.evaluate("Array.from(document.querySelector('cold-lab').x0)")).reshape(32, 32)
    ink = (x0 + 1) / 2
    pixel = torch.arange(32) + 0.5
    centre = (ink.sum(0) @ pixel / ink.sum()).item(), (ink.sum(1) @ pixel / ink.sum()).item()
    marked = (ink > 0.3).nonzero()
    return centre, (marked.amax(0) - marked.amin(0)).max().item() + 1


@pytest.mark.parametrize("device", [FINGER, DESKTOP], ids=["phone", "desktop"])
def test_a_visitor_draws_restores_uploads_and_breaks(visit, device):
    page = visit("lab", **device)
    looked_at(page, "1-before")
    draw(page, STROKES, finger=device is FINGER)
    says(page, "damaged-told", "levels at most")  # grey to the eye
    told = restored(page)
    assert errors(told)[1] < 0.3
    assert part(page, "step").input_value() == "20"
    assert page.locator("[data-part='film-0'] > div").count() == page.locator("[data-part='film-1'] > div").count() == 8
    says(page, "reading", "reads your picture as 3")
    assert {"error left", "calls of the network"} <= set(page.locator("[data-part='chart'] text").all_text_contents())
    looked_at(page, "2-restored")
    part(page, "step").fill("0")
    assert "t = 20" in part(page, "state-1-told").inner_text()

    photograph = next(name for name in load_sample_images().filenames if name.endswith("flower.jpg"))
    part(page, "file").set_input_files(photograph)
    says(page, "picture-status", "Taken as handwriting")
    looked_at(page, "3-photograph-as-handwriting")
    part(page, "network").select_option("celeba-64-blur")
    page.wait_for_function("document.querySelector('cold-lab').x0?.length === 3 * 64 * 64")
    assert part(page, "picture-status").inner_text() == ""
    pixels = torch.tensor(page.evaluate("Array.from(document.querySelector('cold-lab').x0)")).reshape(3, -1).mean(1)
    assert pixels[0] > pixels[2] + 0.1  # the flower, whose red is stronger than its blue; no face of the lab's
    part(page, "calls").fill("3")
    assert errors(restored(page))[1] < 0.3
    looked_at(page, "4-flower-for-the-network-of-faces")


@pytest.mark.parametrize("device", [FINGER, DESKTOP], ids=["phone", "desktop"])
def test_a_visitor_breaks_it_in_every_way(visit, device):
    page = visit("lab", **device)
    page.get_by_text("Break it").click()
    whole = errors(restored(page))[1]
    says(page, "words", "rounding takes away")
    looked_at(page, "5-eight-bits")
    part(page, "told").check()
    assert whole != errors(restored(page))[1] > 0.2

    page.get_by_text("a wrong severity").click()
    assert part(page, "wrong-told").inner_text() == "10 (it is 12)"  # too much can be told as well as too little
    assert "made it worse" in restored(page) or errors(restored(page))[1] > 0.2
    looked_at(page, "6-wrong-severity")

    page.get_by_text("nonsense for R").click()
    assert min(errors(restored(page))) > 0.2  # a blur depends on the image: noise stays
    looked_at(page, "7-nonsense")
    for nonsense in ("noise", "picture"):
        part(page, "says").select_option(nonsense)
        part(page, "drift").select_option("drift")
        naive, improved = errors(restored(page))
        assert naive > 0.2
        assert improved == 0
    looked_at(page, "8-theorem")


def test_a_visitor_without_a_mouse_goes_through_the_lab_by_tab(visit):
    """Every control is met, in the order in which it is read; the way back is walked without a pointer."""
    page = visit("lab", **DESKTOP)
    here = "document.activeElement.dataset.part ?? document.activeElement.name ?? ''"
    met = []
    page.evaluate("document.body.focus()")
    for _ in range(40):
        page.keyboard.press("Tab")
        met.append(re.sub(r"-\d+$", "", page.evaluate(here)) or "pick")
        if met[-1] == "pad":
            page.keyboard.press("4")
        if met[-1] == "go":
            break
    order = ["mode", "network", "pad", "pick", "clear", "file", "framed", "severity", "sampler", "calls", "go"]
    assert [name for k, name in enumerate(met) if name != "clean" and name not in met[:k]] == order
    says(page, "damaged-told", "levels at most")
    assert errors(restored(page, lambda: page.keyboard.press("Enter")))[1] < 0.3
    page.locator("input[name^='mode'][value='restore']").focus()
    page.keyboard.press("ArrowLeft")  # of three, round to the last
    assert part(page, "go").inner_text() == "Try it"
    page.locator("input[name^='way'][value='eight']").focus()
    page.keyboard.press("ArrowLeft")
    part(page, "drift").select_option("drift")
    assert errors(restored(page, lambda: part(page, "go").press("Enter")))[1] == 0


def test_a_walk_is_ended_by_its_button_and_by_whatever_is_changed(visit):
    """What stands on the page answers the settings that stand there, and nothing goes on unseen."""
    page = visit("lab")
    go, results, status = part(page, "go"), part(page, "results"), part(page, "status")
    changes = {"severity": "12", "calls": "5", "weight": "0.5"}
    part(page, "sampler-1").select_option("averaged")  # which has a weight
    restored(page)  # the network is there now
    for name, value in changes.items():
        go.click()
        says(page, "go", "Stop")
        part(page, name).fill(value)
        assert (go.inner_text(), status.inner_text()) == ("Restore it", "")
        assert not results.is_visible()
    page.wait_for_function("document.querySelector('cold-lab').client.open.size === 0", timeout=2000)
    part(page, "calls").fill("20")
    assert "12 (not more than t)" in part(page, "calls-told").inner_text()

    go.click()
    page.wait_for_function("document.querySelector('[data-part=step]').value > 1")
    go.click()
    assert (go.inner_text(), status.inner_text()) == ("Restore it", "Stopped.")
    assert results.is_visible()  # so far it can be looked at
    go.dblclick()
    says(page, "status", "Error left")
    assert page.locator("[data-part=film-0] canvas").count() == 16
    part(page, "calls").fill("3")
    assert not results.is_visible()


def test_the_thumbs_of_the_numbers_stand_where_the_words_say(visit):
    page = visit("lab")
    page.get_by_text("Make new ones").click()
    part(page, "new").click()
    says(page, "new-status", "reads")
    sliders = "[...document.querySelectorAll('[data-part=numbers] input')]"
    stand = f"{sliders}.every((e) => Math.abs(e.value - Math.max(-3, Math.min(3, "
    stand += "Number(e.nextElementSibling.value.replace('−', '-'))))) < 0.06)"
    drawn = page.evaluate(f"{sliders}.map((e) => Number(e.value))")
    assert len(drawn) == 9
    assert any(drawn)
    assert page.evaluate(stand)
    part(page, "zero").click()
    page.wait_for_function(f"{sliders}.every((e) => Number(e.value) === 0)")
    page.locator("[data-part=numbers] input").first.fill("1.5")
    page.wait_for_function(f"{sliders}.map((e) => e.nextElementSibling.value).join(' ').startsWith('1.5 0.0 0.0')")
    assert page.evaluate(stand)
    before = part(page, "made").evaluate("canvas => canvas.toDataURL()")
    part(page, "new-calls").fill("1")  # the same numbers, another number of calls
    page.wait_for_function("before => document.querySelector('[data-part=made]').toDataURL() !== before", arg=before)
    assert page.evaluate(f"Number({sliders}[0].value)") == 1.5


def test_looking_back_is_not_interrupted_by_the_next_step(visit):
    page = visit("lab")
    part(page, "go").click()
    page.wait_for_function("document.querySelector('[data-part=step]').value > 1")
    part(page, "step").fill("1")
    says(page, "status", "Error left")
    assert part(page, "step").input_value() == "1"


def test_a_second_finger_draws_nothing(visit):
    page = visit("lab")
    part(page, "clear").click()
    send, box = page.context.new_cdp_session(page).send, part(page, "pad").bounding_box()
    first, second = (
        {"x": box["x"] + share * box["width"], "y": box["y"] + 50, "id": k} for k, share in enumerate((0.2, 0.8))
    )
    for kind, touched in (("Start", [first]), ("Start", [first, second]), ("Move", [first, second]), ("End", [])):
        send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": touched})
    strokes = page.evaluate("document.querySelector('cold-lab').pad.strokes")
    assert len(strokes) == 1
    assert all(x < 0.5 for x, _ in strokes[0])


def test_new_ones_tell_that_their_network_is_on_its_way(visit):
    page = visit("06_generation")
    page.context.route("**/*.safetensors", lambda route: None)  # asked for, and never there
    part(page, "new").click()
    says(page, "new-status", "on its way")


def test_a_digit_is_asked_for(visit):
    page = visit("10_beyond")
    assert part(page, "network").input_value() == "mnist-blur-classes"
    assert not part(page, "guidance").is_visible()
    part(page, "label").select_option("7")
    says(page, "new-status", "You asked for a 7")
    read = []
    for _ in range(4):
        part(page, "new-status").evaluate("e => e.textContent = ''")
        part(page, "new").click()
        says(page, "new-status", "You asked for a 7")
        read.append("reads 7" in part(page, "new-status").inner_text())
    assert sum(read) >= 2  # each is with 0.98; 1 in 30,000 visits finds less
    looked_at(page, "9-a-seven")
    numbers = "[...document.querySelectorAll('[data-part=numbers] input')].map((e) => e.value)"
    before = page.evaluate(numbers)
    part(page, "guidance").fill("0")
    part(page, "guidance").dispatch_event("change")
    assert part(page, "guidance-told").inner_text() == "not at all"
    assert page.evaluate(numbers) == before  # the same start, for a network that is told less

    page.get_by_text("Restore", exact=True).click()
    assert not part(page, "own").is_visible()
    errors_of = {}
    for label in ("", "3", "0"):  # the picture is a 3
        part(page, "label").select_option(label)
        if label:
            part(page, "guidance").fill("1")
        errors_of[label] = errors(restored(page))[1]
    assert errors_of["3"] < errors_of["0"] - 0.05


def test_a_chapter_has_the_lab_that_its_text_is_about(visit):
    page = visit("04_sampling")
    assert not part(page, "network").is_visible()
    assert (part(page, "sampler-0").input_value(), part(page, "sampler-1").input_value()) == ("naive", "improved")
    part(page, "sampler-1").select_option("single")
    assert "takes the first guess" in part(page, "meaning").inner_text()
    part(page, "calls").fill("3")
    restored(page)
    assert part(page, "chart").is_visible()
    looked_at(page, "10-chapter-4")
    page = visit("06_generation")
    assert part(page, "new").is_visible()
    assert not part(page, "network").is_visible()


def test_a_reader_who_wants_no_motion_sees_the_film_and_the_end(visit):
    seen = []
    for wish in ("no-preference", "reduce"):
        page = visit("index", reduced_motion=wish)
        page.evaluate(
            """() => {
                window.changes = 0;
                const count = (found) => (window.changes += found.length);
                const told = document.querySelector("[data-part='state-1-told']");
                new MutationObserver(count).observe(told, {childList: true});
            }"""
        )
        restored(page)
        assert part(page, "step").input_value() == "20"
        seen.append(page.evaluate("window.changes"))
    assert seen[0] > 20
    assert seen[1] <= 3


def test_a_drawing_is_brought_into_the_frame_unless_the_reader_says_no(visit):
    page = visit("lab")
    draw(page, [(0.1 + x / 4, 0.1 + y / 4) for x, y in STROKES])
    centre, side = where(page)
    assert centre == pytest.approx((16, 16), abs=0.3)
    assert side == pytest.approx(160 / 7, abs=1.6)
    part(page, "framed").uncheck()
    (column, row), side = where(page)
    assert max(column, row, side) < 11


def test_the_lab_by_keyboard_alone(visit):
    page = visit("index")
    part(page, "pad").focus()
    page.keyboard.press("7")
    part(page, "severity").focus()
    page.keyboard.press("ArrowLeft")
    assert part(page, "severity-told").inner_text() == "19 of 20"
    part(page, "go").focus()
    assert errors(restored(page, lambda: page.keyboard.press("Enter")))[1] < 0.3


def test_new_digits_are_made_and_moved(visit):
    page = visit("lab")
    page.get_by_text("Make new ones").click()
    part(page, "new").click()
    page.wait_for_function("document.querySelector('[data-part=new-status]').textContent.includes('reads')")
    assert page.locator("[data-part='numbers'] input").count() == 9
    before = part(page, "made").evaluate("e => e.toDataURL()")
    page.locator("[data-part='numbers'] input").nth(1).fill("3")
    page.wait_for_function("(was) => document.querySelector('[data-part=made]').toDataURL() !== was", arg=before)
    assert page.locator("[data-part='gallery'] canvas").count() == 1


def test_the_network_is_changed_for_new_ones_only_as_long_as_needed_and_said_so(visit):
    page = visit("lab")
    part(page, "network").select_option("cifar10-mask")
    page.get_by_text("Make new ones").click()
    assert part(page, "network").input_value() == "mnist-blur"
    assert "with a hole (32 pixels wide)” makes no new ones" in part(page, "new-status").inner_text()
    page.get_by_text("Restore", exact=True).click()
    assert part(page, "network").input_value() == "cifar10-mask"
    assert part(page, "severity-told").inner_text() == "50 of 50"
    page.get_by_text("Make new ones").click()
    part(page, "network").select_option("digits-blur")  # which the reader chose, and keeps
    page.get_by_text("Restore", exact=True).click()
    assert part(page, "network").input_value() == "digits-blur"


def test_a_network_of_files_is_given_a_file_and_told(visit):
    """It has met no others; given floats it draws a black disc where the hole was."""
    page = visit("lab")
    part(page, "network").select_option("cifar10-mask")
    page.wait_for_function("document.querySelector('cold-lab').x0?.length === 3 * 32 * 32")
    part(page, "clean").click()  # the hole goes into the middle
    hole = page.evaluate("document.querySelector('cold-lab').z")
    assert all(abs(place - 16) <= 1 for place in hole)
    said = restored(page)
    assert page.evaluate("document.querySelector('cold-lab').z") == hole  # nothing that was on its way takes its place
    _, sampled, damaged = (float(word) for word in re.findall(r" (0\.\d+)\b", said))
    assert sampled < damaged
    page.get_by_text("Break it", exact=True).click()
    worse = float(re.findall(r" (0\.\d+)\b", restored(page))[1])
    assert worse > sampled + 0.02
    assert "met none but rounded pictures" in part(page, "words").inner_text()
    part(page, "told").check()
    again = float(re.findall(r" (0\.\d+)\b", restored(page))[1])
    assert abs(again - sampled) < 0.002


def test_what_the_former_network_made_goes_with_it(visit):
    page = visit("lab")
    restored(page)
    page.get_by_text("Make new ones").click()
    read = "document.querySelector('[data-part=new-status]').textContent.includes('reads')"
    part(page, "new").click()
    page.wait_for_function(read)
    part(page, "network").select_option("digits-blur")
    assert not part(page, "pair").is_visible()
    assert page.locator("[data-part='gallery'] canvas, [data-part='numbers'] input").count() == 0
    assert "reads" not in part(page, "new-status").inner_text()
    part(page, "new").click()  # and is left at once
    part(page, "network").select_option("mnist-blur")
    page.wait_for_timeout(800)
    assert not part(page, "pair").is_visible()
    part(page, "new").click()
    page.wait_for_function(read)
    assert page.locator("[data-part='gallery'] canvas").count() == 1


def test_a_severity_that_was_chosen_for_the_reader_is_taken_back(visit):
    page = visit("lab")
    page.get_by_text("Break it", exact=True).click()
    page.get_by_text("What is told: a wrong severity").click()
    assert part(page, "severity").input_value() == "12"
    page.get_by_text("The network: nonsense for R").click()
    assert part(page, "severity").input_value() == "20"


def test_a_severity_that_the_reader_chose_stays(visit):
    page = visit("lab")
    part(page, "severity").fill("12")
    page.get_by_text("Break it", exact=True).click()
    for words in ("What is told: a wrong severity", "The network: nonsense for R"):
        page.get_by_text(words).click()
        assert part(page, "severity").input_value() == "12"


def test_the_closeness_told_is_that_of_the_picture(visit):
    page = visit("lab")
    photograph = Image.fromarray(load_sample_images().images[0]).resize((200, 130))
    content = io.BytesIO()
    photograph.save(content, "PNG")
    part(page, "network").select_option("cifar10-blur")
    part(page, "file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": content.getvalue()})
    page.wait_for_function("document.querySelector('cold-lab').pad.given")
    part(page, "zoom").fill("4")
    for name in ("mnist-blur", "cifar10-blur"):
        part(page, "network").select_option(name)
    assert page.evaluate("document.querySelector('cold-lab').pad.place.zoom") == 1
    assert part(page, "zoom").input_value() == "1"
    assert part(page, "zoom-told").inner_text() == "1.0 ×"


def test_a_lab_whose_worker_did_not_come_starts_another(visit):
    page = visit("lab")
    page.faults.clear()
    page.context.route("**/worker.js", lambda route: route.abort())
    part(page, "go").click()
    page.wait_for_function("document.querySelector('[data-part=status]').textContent.includes('could not start')")
    page.context.unroute("**/worker.js")
    assert restored(page)
    page.faults.clear()  # the refused file is one


def test_a_classifier_that_does_not_come_takes_nothing_from_the_result(visit):
    page = visit("lab")
    page.context.route("**/mnist-classifier.safetensors", lambda route: route.abort())
    said = restored(page)
    page.wait_for_function("document.querySelector('[data-part=reading]').textContent.includes('could not be loaded')")
    assert part(page, "status").inner_text() == said
    page.get_by_text("Make new ones").click()
    part(page, "new").click()
    page.wait_for_function("document.querySelector('[data-part=new-status]').textContent.includes('could not be')")
    assert page.locator("[data-part='gallery'] canvas").count() == 1
    page.faults.clear()


def test_a_drawing_is_there_again_after_the_next_page(visit):
    page = visit("lab")
    draw(page, STROKES)
    drawn = "Array.from(document.querySelector('cold-lab').x0)"
    before = page.evaluate(drawn)
    address = page.url.rsplit("/", 1)[0]
    for name in ("index", "lab"):
        page.goto(f"{address}/{name}.html")
        page.wait_for_function("document.querySelector('cold-lab').x0")
        assert page.evaluate(drawn) == before
    part(page, "clear").click()
    page.reload()
    page.wait_for_function("document.querySelector('cold-lab').x0")
    assert page.evaluate(drawn) != before


def test_the_weight_is_told_where_it_cannot_be_chosen(visit):
    page = visit("index")
    assert not part(page, "weight").is_visible()
    assert "has weight w = 0.1." in part(page, "meaning").inner_text()


def test_pictures_to_pick_from_that_come_late_do_not_replace_an_upload(visit):
    page = visit("lab")
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


def test_a_file_that_is_no_picture_is_told_where_it_was_chosen(visit, tmp_path):
    page = visit("lab")
    before = page.evaluate("Array.from(document.querySelector('cold-lab').x0)")
    (tmp_path / "note.png").write_text("no picture", encoding="utf-8")
    part(page, "file").set_input_files(tmp_path / "note.png")
    says(page, "picture-status", "“note.png” is no picture that")
    assert page.evaluate("Array.from(document.querySelector('cold-lab').x0)") == before
    looked_at(page, "11-no-picture")
    (tmp_path / "nothing.png").write_bytes(b"")
    part(page, "file").set_input_files(tmp_path / "nothing.png")
    says(page, "picture-status", "“nothing.png” is empty")


def test_a_huge_picture_is_made_smaller_and_kept_for_another_network(visit, tmp_path):
    page = visit("lab")
    Image.new("RGB", (6000, 4500), (200, 40, 40)).save(tmp_path / "huge.jpg", quality=50)
    part(page, "network").select_option("cifar10-blur")
    page.wait_for_function("document.querySelector('cold-lab').x0?.length === 3 * 32 * 32")
    part(page, "file").set_input_files(tmp_path / "huge.jpg")
    page.wait_for_function("document.querySelector('cold-lab').pad.given")
    picture = "(({width, height}) => [width, height])(document.querySelector('cold-lab').pad.given)"
    assert page.evaluate(picture) == [2048, 1536]
    part(page, "network").select_option("celeba-64-blur")
    page.wait_for_function("document.querySelector('cold-lab').x0?.length === 3 * 64 * 64")
    x0 = torch.tensor(page.evaluate("Array.from(document.querySelector('cold-lab').x0)")).reshape(3, -1)
    assert torch.allclose(x0.mean(1), torch.tensor([200.0, 40, 40]) / 127.5 - 1, atol=0.03)


def test_a_picture_may_be_dropped_on_the_lab(visit):
    page = visit("lab")
    page.evaluate(
        """async () => {
            const canvas = Object.assign(document.createElement("canvas"), {width: 30, height: 30});
            const blob = await new Promise((done) => canvas.toBlob(done));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([blob], "mine.png", {type: "image/png"}));
            const lab = document.querySelector("cold-lab");
            lab.dispatchEvent(new DragEvent("drop", {dataTransfer, cancelable: true}));
        }"""
    )
    says(page, "picture-status", "Taken as handwriting")
    part(page, "photograph").click()
    page.wait_for_function("document.querySelector('cold-lab').x0?.length === 3 * 32 * 32")
    assert part(page, "network").input_value() == "cifar10-blur"
    assert page.evaluate("document.querySelector('cold-lab').pad.given !== null")
    assert not part(page, "photograph").is_visible()


def test_a_network_that_does_not_come_is_told_and_asked_for_again(visit):
    page = visit("index")
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
    page = visit("10_beyond")
    assert part(page, "new").is_visible()
    assert not part(page, "pad").is_visible()


@pytest.mark.parametrize("name", ["index", "lab", "04_sampling", "06_generation", "10_beyond"])
def test_a_page_with_the_lab_is_light_before_it_is_touched(visit, name):
    page = visit(name)
    page.wait_for_timeout(500)
    assert not [url for url in page.asked if "weights" in url or "mixtures" in url]
    assert 10_000 < sum(page.asked.values()) < 300_000
    with page.expect_response("**/mnist-blur*.safetensors"):  # a touch of any kind asks for the network
        page.locator("cold-lab button:visible").first.click()


def test_the_lab_is_a_picture_without_javascript(visit):
    page = visit("lab", java_script_enabled=False)
    assert "handwritten 3" in page.locator("cold-lab img").get_attribute("alt")
    assert page.locator("cold-lab img").bounding_box()["width"] > 300
    assert "needs JavaScript" in page.locator("cold-lab noscript").inner_text()


def test_every_control_has_a_name(visit):
    page = visit("lab")
    nameless = """() => [...document.querySelectorAll("cold-lab :is(button, input, select, canvas[tabindex])")]
        .filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim() ||
            [...(e.labels ?? [])].some((label) => label.textContent.trim())))
        .map((e) => e.outerHTML)"""
    assert page.evaluate(nameless) == []
