"""Fill the pages of papers from a run: `python docs/paper_pages.py [KEY …]`, all papers if none is named.

A page is prose around one block between two comments, which this script writes: how long the run took, its figure, and
the table of its claims. Every page has the block, so that what it states was found by one command.
"""

import re
import sys
import time
from pathlib import Path

import lindyn as ld

PAGES, IMAGES = Path(__file__).parent / "papers", Path(__file__).parent / "images"
BEGIN, END = "<!-- filled by docs/paper_pages.py -->", "<!-- end of what the run has filled -->"
BLOCK = re.compile(f"{re.escape(BEGIN)}\n.*?{re.escape(END)}\n", re.DOTALL)
TEMPLATE = """\
{begin}
```bash
lindyn reproduce {key}
```

![{summary}](../images/{key}.png)

{agree} of {count} claims agree; the run took {seconds:.0f} s of one core.

{table}
Left out: {left_out}.
{end}
"""


def linked(row: str) -> str:
    """Make links of "works (8.3)" and "theory (2.3)" in the last cell of a row, where the equation has a place."""
    anchors = (PAGES.parent / "equations.md").read_text(encoding="utf-8")

    def link(found: re.Match[str]) -> str:
        name = f"eq-{found[1]}-{found[2]}"
        return f"{{ref}}`({found[1]}.{found[2]}) <{name}>`" if f"({name})=" in anchors else found[0]

    first, bar, last = row.rpartition(" | ")
    return first + bar + re.sub(r"(?:works|theory) \((\d+)\.(\d+)\)", link, last)


def block_of(result: ld.papers.Reproduction, seconds: float) -> str:
    """Return the block of a page."""
    paper = result.paper
    table = "\n".join(linked(row) for row in result.to_markdown().splitlines())
    return TEMPLATE.format(
        begin=BEGIN, end=END, key=paper.key, summary=paper.summary, agree=sum(f.passed for f in result.findings),
        count=len(result.findings), seconds=seconds, table=table + "\n", left_out=paper.left_out or "nothing",
    )  # fmt: skip


def fill(key: str) -> None:
    """Run a paper, draw its figure and write its page's block."""
    page = PAGES / f"{key}.md"
    if not BLOCK.search(page.read_text(encoding="utf-8")):
        raise SystemExit(f"{page} has no block to fill: put the lines {BEGIN!r} and {END!r} where it belongs.")
    began = time.process_time()
    result = ld.reproduce(key, progress=False)
    seconds = time.process_time() - began
    if result.skipped:
        needed = ", ".join(sorted({str(c.needs) for c in result.skipped}))
        raise SystemExit(f"{key} has claims that need {needed}: install it, so that the page holds all of them.")
    block = block_of(result, seconds)
    page.write_text(BLOCK.sub(lambda _: block, page.read_text(encoding="utf-8")), encoding="utf-8")
    ld.plots.save_figure(result.plot(), IMAGES / f"{key}.png")
    verdict = "all claims agree" if result.passed else "claims disagree"
    sys.stdout.write(f"{key}: {seconds:.0f} s of one core, {verdict}\n")


if __name__ == "__main__":
    for name in sys.argv[1:] or [entry.key for entry in ld.papers.catalogue()]:
        fill(name)
