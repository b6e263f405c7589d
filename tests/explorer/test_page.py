"""The page in a real browser: what it computes is what the library computes, and everything can be reached."""

import shutil
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import pytest

from lindyn.explorer import write_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
AXE = Path(__file__).parents[2] / "docs" / "node_modules" / "axe-core" / "axe.min.js"
QUIET = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    return write_page(tmp_path_factory.mktemp("explorer") / "page.html").as_uri()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    """A page that must ask for nothing but its own file and log no error."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    page = context.new_page()
    wrong = []
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: wrong.append(str(e)))
    page.on("request", lambda r: wrong.append(r.url) if not r.url.startswith(("file:", "blob:", "data:")) else None)
    page.goto(address)
    page.wait_for_function("window.last")
    yield page
    assert wrong == []
    context.close()


def predicted(page):
    """Run the snippet of the page and return its prediction."""
    found = {}
    code = page.locator("#code").inner_text().replace("print(run)\nld.plots.prediction(run)", "")
    exec(code, found)
    return found["run"]


def presets(page):
    return page.evaluate("Object.keys(PRESETS)")


def after(page, act):
    """Do something and wait until the page has drawn again."""
    before = page.evaluate("last.draws")
    act()
    page.wait_for_function("before => last.draws > before", arg=before)


def test_every_preset_agrees_with_the_library_through_its_own_snippet(page):
    for preset in presets(page):
        after(page, lambda name=preset: page.select_option("#preset", name))
        seen = page.evaluate("({steps: last.steps, curves: last.curves, tau: last.law.tau, eta: last.law.eta})")
        run = predicted(page)
        whole = [k for k, n in enumerate(seen["steps"]) if float(n).is_integer()]
        rows = [int(seen["steps"][k]) for k in whole]
        curves = np.array(seen["curves"])[whole]
        assert seen["tau"] == pytest.approx(run.info.threshold, rel=1e-12)
        for column, name in enumerate(("train_error", "test_error", "stable_rank")):
            # the same arithmetic in two languages, over some forty nodes
            np.testing.assert_allclose(curves[:, column], run[name][rows], rtol=1e-9, atol=1e-12, err_msg=preset)


def test_a_picked_point_moves_the_curves_and_arrow_keys_go_on(page):
    before = page.evaluate("last.law.tau")
    box = page.locator("#map").bounding_box()
    after(page, lambda: page.mouse.click(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"]))
    picked = page.evaluate("last.law.tau")
    assert picked != before
    page.locator("#map").focus()
    after(page, lambda: page.keyboard.press("ArrowRight"))
    moved = page.evaluate("last.law.tau")
    d = page.evaluate("last.spec.d")
    assert moved / picked == pytest.approx(d**0.05)


def test_the_address_restores_the_view_in_a_new_tab(page):
    after(page, lambda: page.select_option("#preset", "Deep in the lazy region"))
    other = page.context.new_page()
    other.goto(page.url)
    other.wait_for_function("window.last")
    assert other.evaluate("last.curves") == page.evaluate("last.curves")


def test_values_out_of_range_are_refused_beside_their_control(page, address):
    page.fill("#n_gamma_v", "7")
    page.keyboard.press("Tab")
    assert "must lie between -3 and 0, but it is 7" in page.locator("#w_gamma_v").inner_text()
    page.fill("#n_rank", "2.5")
    page.keyboard.press("Tab")
    assert "whole number" in page.locator("#w_rank").inner_text()
    other = page.context.new_page()
    other.goto(address + "#d_out=abc&steps=200")
    other.wait_for_function("window.last")
    assert "must be a number" in other.locator("#w_d_out").inner_text()
    assert other.evaluate("state.steps") == 200


def test_outside_the_theory_the_page_says_so(page):
    after(page, lambda: page.select_option("#preset", "Infinite noise"))
    assert "approximate" in page.locator("#facts").inner_text()
    page.fill("#n_strength", "0.1")
    after(page, lambda: page.keyboard.press("Tab"))
    assert "use lindyn predict" in page.locator("#facts").inner_text()


def test_figure_and_data_are_saved(page, tmp_path):
    for button, suffix, start in (
        ("#svgout", ".svg", b"<svg"),
        ("#csvout", ".csv", b"step,flow"),
        ("#pngout", ".png", b"\x89PNG"),
    ):
        with page.expect_download() as download:
            page.click(button)
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        assert path.suffix == suffix
        assert path.read_bytes().startswith(start)
    rows = np.genfromtxt(tmp_path / "lindyn.csv", delimiter=",", names=True)
    np.testing.assert_array_equal(rows["test_error"], np.array(page.evaluate("last.curves"))[:, 1])


def test_the_keyboard_alone_reaches_every_control(page):
    reached = set()
    page.keyboard.press("Tab")
    for _ in range(60):
        reached.add(page.evaluate("document.activeElement.id"))
        page.keyboard.press("Tab")
    names = page.evaluate("CONTROLS.map(c => c[0])")
    expected = {f"{kind}_{name}" for name in names for kind in ("c", "n")}
    expected |= {"preset", "c_axis", "c_scale", "panel", "map", "svgout", "pngout", "csvout", "copy", "tourstart"}
    assert expected <= reached


def test_the_tour_tells_five_steps(page):
    page.click("#tourstart")
    titles = [page.locator("#tourtitle").inner_text()]
    for _ in range(4):
        page.click("#tournext")
        titles.append(page.locator("#tourtitle").inner_text())
    assert [title[:6] for title in titles] == [f"{k} of 5" for k in range(1, 6)]
    assert page.locator("#tournext").is_disabled()


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1024, 768), (390, 844)])
def test_nothing_is_cut_off_at_any_size_and_axe_finds_no_serious_fault(page, width, height):
    page.set_viewport_size({"width": width, "height": height})
    page.wait_for_timeout(100)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    serious = [
        (v["id"], v["nodes"][0]["html"][:90]) for v in found["violations"] if v["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_the_file_is_small(address):
    assert Path(urlparse(address).path).stat().st_size < 300_000


def test_numbers_are_json_of_the_command(page):
    """The page and `lindyn predict --json` tell the same numbers."""
    from helpers.commands import as_json

    after(page, lambda: page.select_option("#preset", "Deep in the active region"))
    law, spec = page.evaluate("last.law"), page.evaluate("last.spec")
    told = as_json(
        "predict", "--dim", 200, "--singular-values", ",".join(map(str, spec["signal"])), "--noise", 1,
        "--variance", law["variance"], "--width", law["width"], "--learning-rate", law["eta"], "--steps", 750,
    )  # fmt: skip
    best = page.evaluate("last.best")
    assert told["test_error"][int(best["steps"])] == pytest.approx(best["test"], rel=1e-9)


def test_exact_descent_is_laid_over_and_can_be_cancelled(browser, page):
    from lindyn.explorer.server import serve

    assert page.locator("#descend").count() == 0  # no server, no button
    server = serve()
    try:
        tab = browser.new_page()
        tab.goto(server.address + "#d_out=60&d_in=60&rank=2&steps=100&gamma_v=-2&gamma_w=2.2")
        tab.wait_for_function("window.last")
        tab.click("#descend")
        tab.wait_for_function("exact !== null", timeout=60_000)
        shown = tab.evaluate("({step: exact.step, test: exact.test, steps: last.steps, curves: last.curves})")
        theory = np.interp(shown["step"], shown["steps"], np.array(shown["curves"])[:, 1])
        assert np.abs(theory - shown["test"]).max() < 0.15  # one draw at d = 60 against the large-d theory
        tab.fill("#n_steps", "10000")
        tab.keyboard.press("Tab")
        tab.fill("#n_d_out", "800")
        tab.keyboard.press("Tab")
        tab.click("#descend")
        tab.wait_for_function("document.getElementById('descend').textContent.startsWith('Cancel')")
        tab.click("#descend")
        tab.wait_for_function("document.getElementById('r_err').textContent === 'Cancelled.'")
        tab.close()
    finally:
        server.shutdown()
        server.server_close()


def test_a_slider_redraws_in_a_twentieth_of_a_second(page):
    """Measured for the record of the run; the bound is wide, since a busy machine is no fault of the page."""
    spent = []
    page.locator("#c_noise").focus()
    for _ in range(9):
        after(page, lambda: page.keyboard.press("ArrowRight"))
        spent.append(page.evaluate("last.ms"))
    assert np.median(spent) < 1000
