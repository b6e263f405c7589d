"""The page in a real browser: what it computes is what the library computes, and everything can be reached."""

import shutil
from pathlib import Path
from urllib.parse import urlparse

import numpy as np
import pytest

import lindyn as ld
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
    code = page.locator("#code").inner_text()
    exec(code.partition("print(run)")[0], found)
    return found["run"]


def presets(page):
    return page.evaluate("Object.keys(PRESETS)")


def after(page, act):
    """Do something and wait until the page has drawn again."""
    before = page.evaluate("last.draws")
    act()
    page.wait_for_function("before => last.draws > before", arg=before)


@pytest.mark.filterwarnings("ignore::lindyn.prediction.validity.ValidityWarning")  # some show where the theory ends
def test_every_preset_agrees_with_the_library_through_its_own_snippet(page):
    for preset in presets(page):
        after(page, lambda name=preset: page.select_option("#preset", name))
        seen = page.evaluate("({steps: last.steps, curves: last.curves, tau: last.law.tau, network: state.network})")
        run, curves = predicted(page), np.array(seen["curves"], dtype=float)
        assert seen["tau"] == pytest.approx(run.info.threshold, rel=1e-12)
        # the same arithmetic in two languages, over some forty nodes; a table of six digits at depth
        exact = {"rtol": 1e-9, "atol": 1e-12} if seen["network"] == "2" else {"rtol": 1e-6, "atol": 1e-6}
        # at depth the page states no error of its own
        names = ("train_error", "test_error", "stable_rank", None, "error_estimate" if seen["network"] == "2" else None)
        if seen["network"] == "lora":
            exact, names = {"rtol": 1e-7, "atol": 1e-10}, ("train_error", None, "stable_rank")  # QR against numbers
        assert {"train_error"} < {name for name in names if name in run.data}
        for column, name in enumerate(names):
            if name in run.data:
                first = 1 if seen["network"] == "lora" else 0  # the stable rank of A = 0 is not a number there
                np.testing.assert_allclose(
                    curves[first:, column], run[name][seen["steps"]][first:], **exact, err_msg=f"{preset}, {name}"
                )


@pytest.mark.parametrize(
    "changed",
    [
        "d_out=60&d_in=60&rank=5&strength=0.25&gamma_v=-1.8&gamma_w=2.4",  # weak modes
        "d_out=40&d_in=90&rank=10&gamma_v=-2&gamma_w=2.2&steps=500",  # many of them
        "d_out=200&d_in=200&strength=0.3&network=3&gamma_v=-2&gamma_w=2.3&steps=300",
        "d_out=80&d_in=80&strength=0.4&decay=1&gamma_v=-1.5&gamma_w=2.6&steps=400",
    ],
)
@pytest.mark.filterwarnings("ignore::lindyn.prediction.validity.ValidityWarning")
def test_weak_and_many_modes_are_those_of_the_deterministic_equivalent(page, address, changed):
    tab = page.context.new_page()
    tab.goto(address + "#" + changed)
    tab.wait_for_function("window.last")
    assert tab.evaluate("last.spec.merged")
    assert tab.locator(".doubtful").count() == 0
    run, steps, curves = predicted(tab), *tab.evaluate("[last.steps, last.curves]")
    exact = {"rtol": 1e-6, "atol": 1e-6} if "network=3" in changed else {"rtol": 1e-9, "atol": 1e-12}
    names = ("train_error", "test_error", "stable_rank", None, None if "network=3" in changed else "error_estimate")
    for column, name in enumerate(names):  # at depth the page states no error of its own
        if name in run.data:
            np.testing.assert_allclose(np.array(curves, dtype=float)[:, column], run[name][steps], **exact)


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
    before = page.locator("#modes").inner_html()
    after(page, lambda: page.keyboard.press("ArrowUp"))
    assert page.locator("#modes").inner_html() != before


def test_the_address_restores_the_view_in_a_new_tab(page):
    for preset in ("Deep in the lazy region", "Three layers", "LoRA adapter"):
        after(page, lambda name=preset: page.select_option("#preset", name))
        other = page.context.new_page()
        other.goto(page.url)
        other.wait_for_function("window.last")
        assert other.evaluate("[state, last.curves]") == page.evaluate("[state, last.curves]")
        assert len(page.url.partition("#")[2]) < 130
        other.close()


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
    third = page.context.new_page()
    third.goto(address + "#network=lora&gamma_w=2.5")
    third.wait_for_function("window.last")
    assert "between 0 and 1, but it is 2.5" in third.locator("#w_gamma_w").inner_text()
    assert third.evaluate("state.gamma_w") == 0.4


def test_outside_the_theory_the_page_says_so(page):
    after(page, lambda: page.select_option("#preset", "Infinite noise"))
    assert "approximate" in page.locator("#facts").inner_text()
    page.evaluate("TABLES.equivalent.unusable = 0")  # as if the sums known beforehand were missed
    page.fill("#n_strength", "0.1")
    after(page, lambda: page.keyboard.press("Tab"))
    assert "cannot be resolved here" in page.locator("#facts").inner_text()
    assert page.locator(".doubtful").count() == 1  # and the pictures fade
    assert page.evaluate("csv()").strip().splitlines()[-1].startswith("# The spectrum")
    after(page, lambda: page.select_option("#preset", "Underparameterised"))
    assert "cannot go below a test error of 0.35" in page.locator("#facts").inner_text()
    after(page, lambda: page.select_option("#c_network", "3"))
    assert page.locator("#n_decay").is_disabled()
    assert "two layers only" in page.locator("#u_decay").inner_text()


def test_the_map_is_what_predict_cells_says_and_is_hatched_where_it_says_so(page):
    after(page, lambda: page.select_option("#preset", "Deep in the active region"))
    page.wait_for_function("map.task === null")
    cells, signal, steps = page.evaluate("[map.cells, last.spec.signal, state.steps]")
    gamma_v, gamma_w = (np.array([0.1 * (c[k] + 0.5) for c in cells]) for k in ("j", "i"))
    at = {"singular_values": signal, "noise": 1.0}
    told = ld.prediction.predict_cells(200, gamma_v - 3, gamma_w, [c["steps"] for c in cells], **at)
    # the map does not round widths, which shows where a width is small
    wide = gamma_w > 2
    np.testing.assert_allclose(np.array([c["test"] for c in cells])[wide], told["test_error"][wide], rtol=1e-4)
    wide, unit = gamma_w > 1.2, np.sum(np.square(signal)) / 200**2
    outside = np.array([c["outside"] for c in cells])
    far = np.abs(told["error_estimate"] / (0.1 * unit) - 1) > 1e-2
    np.testing.assert_array_equal(outside[wide & far], told["error_estimate"][wide & far] > 0.1 * unit)
    assert 0.05 < outside.mean() < 0.5
    hatched = page.locator("#map path[fill='url(#hatch)']").get_attribute("d").count("z")
    assert hatched == outside.sum()
    assert all(c["steps"] <= steps for c in cells)


def test_figure_and_data_are_saved(page, tmp_path):
    for button, suffix, start in (
        ("#svgout", ".svg", b"<svg"),
        ("#csvout", ".csv", b"step,flow_time"),
        ("#pngout", ".png", b"\x89PNG"),
    ):
        with page.expect_download() as download:
            page.click(button)
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        assert path.suffix == suffix
        assert path.read_bytes().startswith(start)
    rows = np.genfromtxt(tmp_path / "lindyn.csv", delimiter=",", names=True)
    curves = np.array(page.evaluate("last.curves"))
    np.testing.assert_array_equal(rows["test_error"], curves[:, 1])
    np.testing.assert_array_equal(rows["error_estimate"], curves[:, 4])
    assert {"signal_mode_1", "threshold"} <= set(rows.dtype.names)


def test_the_keyboard_alone_reaches_every_control(page):
    reached = set()
    page.keyboard.press("Tab")
    for _ in range(60):
        reached.add(page.evaluate("document.activeElement.id"))
        page.keyboard.press("Tab")
    names = page.evaluate("CONTROLS.map(c => c[0])")
    expected = {f"{kind}_{name}" for name in names for kind in ("c", "n")}
    expected |= {"preset", "c_network", "c_axis", "c_scale", "c_panel", "map", "modes", "err", "rank", "code"}
    expected |= {"svgout", "pngout", "csvout", "copy", "tourstart"}
    assert expected <= reached


def test_values_are_read_by_pointer_and_by_arrow_keys_with_their_units(page):
    box = page.locator("#err").bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    read = page.locator("#r_err").inner_text()
    assert "squares per entry" in read
    assert "±" in read
    page.locator("#modes").focus()
    page.keyboard.press("ArrowRight")
    assert "in units of a singular value" in page.locator("#r_modes").inner_text()
    assert page.locator("#r_err").inner_text() != read
    page.keyboard.press("Home")
    assert page.locator("#r_rank").inner_text().startswith("step 0, t = 0")


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
    page.locator("#settings").evaluate("box => { box.open = true; }")
    page.click("#tourstart")
    page.fill("#n_noise", "9")
    page.keyboard.press("Tab")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    serious = [
        (v["id"], v["nodes"][0]["html"][:90]) for v in found["violations"] if v["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_the_file_is_small(address):
    assert Path(urlparse(address).path).stat().st_size < 300_000


@pytest.mark.filterwarnings("ignore::lindyn.prediction.validity.ValidityWarning")
def test_numbers_of_the_presets_are_json_of_the_command(page):
    """The page and `lindyn predict --json` tell the same numbers; an adapter is not among what the command predicts."""
    from helpers.commands import as_json

    for preset in presets(page):
        after(page, lambda name=preset: page.select_option("#preset", name))
        law, spec, state = page.evaluate("[last.law, last.spec, state]")
        if state["network"] == "lora":
            continue
        extra = ("--weight-decay", spec["decay"]) if spec["decay"] else ()
        told = as_json(
            "predict", "--rows", state["d_out"], "--columns", state["d_in"], "--singular-values",
            ",".join(map(str, spec["signal"])), "--noise", state["noise"], "--variance", law["variance"], "--width",
            law["width"], "--learning-rate", law["eta"], "--steps", state["steps"], "--depth", state["network"], *extra,
        )  # fmt: skip
        best = page.evaluate("last.best")
        exact = {"rel": 1e-9} if state["network"] == "2" else {"rel": 1e-6, "abs": 1e-6}
        assert told["min_test_error"] == pytest.approx(best["test"], **exact), preset
        assert told["steps_to_min"] == best["steps"], preset


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
        law, spec = tab.evaluate("[last.law, last.spec]")
        task = ld.SpikedMatrix(shape=(60, 60), singular_values=spec["signal"], noise=1.0, key=0)
        net = ld.TwoLayer.gaussian((60, 60), law["width"], law["variance"], key=1)
        run = ld.simulate(net, task, ld.GradientDescent(learning_rate=law["eta"], steps=100), progress=False)
        steps = np.array(shown["step"], dtype=int)
        np.testing.assert_allclose(shown["test"], run["test_error"][steps], rtol=1e-12)  # the same steps
        theory = np.interp(steps, shown["steps"], np.array(shown["curves"], dtype=float)[:, 1])
        assert np.abs(theory - shown["test"]).max() < 0.15  # one draw at d = 60 against the large-d theory
        other = browser.new_page()  # a second tab, whose run is its own
        other.goto(tab.url.replace("steps=100", "steps=50"))
        other.wait_for_function("window.last")
        other.click("#descend")
        other.wait_for_function("exact !== null", timeout=60_000)
        assert other.evaluate("exact.step.at(-1)") == 50
        assert tab.evaluate("exact.step.at(-1)") == 100
        assert other.locator("#err polyline[stroke='#000']").count() == 2
        other.close()
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
