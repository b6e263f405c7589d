"""The pages of papers: every paper has one, and what a run has filled in states the claims as the code has them."""

import importlib.util
from pathlib import Path

import pytest

import lindyn as ld
from lindyn.papers.catalogue import keys, paper

DOCS = Path(__file__).parents[2] / "docs"
spec = importlib.util.spec_from_file_location("paper_pages", DOCS / "paper_pages.py")
paper_pages = importlib.util.module_from_spec(spec)
spec.loader.exec_module(paper_pages)


@pytest.mark.parametrize("key", keys())
def test_every_paper_has_a_page_with_a_figure(key):
    text = (DOCS / "papers" / f"{key}.md").read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert "../images/" in text


@pytest.mark.parametrize("key", keys())
def test_the_filled_block_has_every_claim_with_what_is_expected_today(key):
    text = (DOCS / "papers" / f"{key}.md").read_text(encoding="utf-8")
    found = paper_pages.BLOCK.search(text)
    assert found is not None, f"put {paper_pages.BEGIN!r} and {paper_pages.END!r} into the page, and fill it"
    table = found.group().replace("\\|", "|")  # bars inside cells; the table's own have spaces around them
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    stated = {row[0].removeprefix("| "): (row[1], row[3]) for row in rows}
    assert stated == {c.key: (c.sentence, c.expectation) for c in paper(key).claims()}
    assert (DOCS / "images" / f"{key}.png").exists()
    sections = [line for line in text.splitlines() if line.startswith("## ")]
    assert {"## What is theirs, what is ours", "## What could not be verified"} <= {*sections}


def test_a_block_links_equations_and_says_what_disagrees():
    claim = ld.papers.Claim("K", "A sentence", "Figure 1", 1.0, "derived, works (8.3)", "near", 0.1, False, "measure")
    result = ld.papers.claims.Reproduction(paper("tu2024")(), (ld.papers.claims.Finding(claim, 2.0, 0.0),))
    block = paper_pages.block_of(result, 3.0)
    assert "| K | A sentence | 2 (**disagrees**) | 1 ± 0.1 | Figure 1; derived, {ref}`(8.3) <eq-8-3>` |" in block
    assert "0 of 1 claims agree; the run took 3 s of one core." in block
    assert paper_pages.BLOCK.fullmatch(block)
