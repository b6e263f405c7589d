"""Open every built page in Chromium without a network: maths set, figures shown, nothing asked for, no error.

`make site-check`, after `make docs`; prints each fault, and ends with 1 if there is one.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

SITE = Path(__file__).parent / "_build"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDTHS = (1440, 390)  # a laptop, a phone

FAULTS = """() => {
  const found = []
  for (const image of document.images)
    if (!(image.complete && image.naturalWidth > 0)) found.push(`no picture: ${image.src}`)
  for (const formula of document.querySelectorAll('.math'))
    if (!formula.querySelector('mjx-container')) found.push(`not set: ${formula.textContent.slice(0, 60)}`)
  for (const wrong of document.querySelectorAll('mjx-merror, [data-mml-node="merror"]'))
    found.push(`wrong formula: ${wrong.textContent.slice(0, 60)}`)
  return found
}"""
WIDER = "() => document.documentElement.scrollWidth - innerWidth"


def faults_of(page, path, asked):
    """Open one page, and return what is wrong with it."""
    asked.clear()
    page.set_viewport_size({"width": WIDTHS[0], "height": 900})
    page.goto(path.as_uri())
    if page.locator(".math").count():
        page.wait_for_function("() => window.MathJax && MathJax.startup && MathJax.startup.promise")
        page.evaluate("() => MathJax.startup.promise")
    found = [*asked, *page.evaluate(FAULTS)]
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        if (beyond := page.evaluate(WIDER)) > 0:
            found.append(f"at {width} px it is {beyond} px too wide")
    return found


def main():
    """Go over all pages."""
    pages, bad = sorted(SITE.rglob("*.html")), 0
    pages = [p for p in pages if "_static" not in p.parts]
    asked = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_context(offline=True).new_page()
        foreign = ("file:", "data:", "blob:")
        page.on("request", lambda r: None if r.url.startswith(foreign) else asked.append(f"asks for {r.url}"))
        page.on("requestfailed", lambda r: asked.append(f"misses {r.url}"))
        page.on("pageerror", lambda e: asked.append(f"error: {e}"))
        for path in pages:
            for fault in faults_of(page, path, asked):
                print(f"{path.relative_to(SITE)}: {fault}")
                bad += 1
        browser.close()
    print(f"{len(pages)} pages, {bad} faults")
    return 1 if bad or not pages else 0


if __name__ == "__main__":
    sys.exit(main())
