"""The explorer in headless Chromium: until it is ready, from a slider to the picture, and the size of the page.

    python -m benchmarks.explorer [rounds]

A slider that changes every picture, the map included, is moved at d = 500; the clock runs from the event until the
frame after the map is complete. The best of several rounds is told, since a busy machine is no property of the page.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

MOVES = 15  # of the slider, in a round
_READY = "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
_MOVE = """async step => {
  const slider = document.getElementById('c_noise'), spent = [];
  for (let k = 0; k < step; k++) {
    await new Promise(r => setTimeout(r, 60));
    const began = performance.now(), before = last.draws;
    slider.value = 1 + 0.05 * (k % 2);
    slider.dispatchEvent(new Event('input'));
    await new Promise(done => { const look = () => last.draws > before && !map.task ? setTimeout(done, 0)
      : requestAnimationFrame(look); requestAnimationFrame(look); });
    spent.push(performance.now() - began);
  }
  return spent;
}"""


def measure(*, rounds: int) -> dict[str, Any]:
    """Return kB of the page, and the best round's milliseconds until ready and median from slider to picture."""
    from playwright.sync_api import sync_playwright

    from lindyn.explorer import write_page

    path = write_page(Path(tempfile.mkdtemp()) / "page.html")
    program = next(p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p)
    ready, moves = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for _ in range(rounds):
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(path.as_uri())
            page.wait_for_function("window.last && map.task === null")
            ready.append(page.evaluate(_READY))
            moves.append(statistics.median(page.evaluate(_MOVE, MOVES)))
            page.close()
        browser.close()
    return {"kilobytes": path.stat().st_size / 1000, "ready_ms": min(ready), "slider_ms": min(moves)}


if __name__ == "__main__":
    found = measure(rounds=int(sys.argv[1]) if len(sys.argv) > 1 else 5)
    print(", ".join(f"{name} {value:.1f}" for name, value in found.items()))
