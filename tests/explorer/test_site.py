"""The first page of the documentation, in a real browser without a network: the explorer stands in it and works."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.browser]


def test_the_first_page_shows_the_explorer_and_asks_for_nothing(tmp_path):
    from playwright.sync_api import sync_playwright

    docs = tmp_path / "docs"
    docs.mkdir()
    for name in ("conf.py", "api_pages.py", "index.md", "explorer.md"):
        shutil.copy(ROOT / "docs" / name, docs)
    for name in ("_static", "images"):
        shutil.copytree(ROOT / "docs" / name, docs / name)
    (docs / "node_modules").symlink_to(ROOT / "docs" / "node_modules")
    extensions = "extensions=myst_parser,sphinx.ext.autodoc,sphinx.ext.mathjax"
    others = "exclude_patterns=api/**,node_modules"  # the rest of the site needs minutes
    command = [sys.executable, "-m", "sphinx", "-Q", "-b", "html", "-D", extensions, "-D", others]
    subprocess.run([*command, docs, tmp_path / "site"], check=True)
    asked = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_context(offline=True).new_page()
        page.on("request", lambda r: asked.append(r.url) if not r.url.startswith(("file:", "data:", "blob:")) else None)
        page.on("requestfailed", lambda r: asked.append(r.url))
        page.on("pageerror", lambda e: asked.append(str(e)))
        page.goto((tmp_path / "site" / "index.html").as_uri())
        page.locator("iframe.explorer").scroll_into_view_if_needed()
        inside = page.locator("iframe.explorer").element_handle().content_frame()
        inside.wait_for_function("window.last && map.task === null")
        before = inside.evaluate("last.law.tau")
        inside.locator("#map").click(position={"x": 60, "y": 60})
        inside.wait_for_function("before => last.law.tau !== before", arg=before)
        browser.close()
    assert asked == []
