"""Papers as checked experiments: the catalogue, the table, and checks that can fail."""

import json
import math
from dataclasses import dataclass, fields
from typing import ClassVar

import pytest

import lindyn as ld
from helpers.commands import as_json, lindyn
from lindyn.papers import Paper, catalogue, claim
from lindyn.papers.catalogue import keys, paper
from lindyn.support.citations import cite

# a training of digits that ends long before interpolation
_BRIEF = {"heads": (2, 3), "steps": 200, "each": 10}

# for each paper and claim a setting that must make its check fail
PERTURBED = {
    "bordelon2024": {
        "R9-1-lazy": {"lazy": 0.01, "sources": (0.5,)},
        "R9-1-rich": {"rich": 1e6, "sources": (0.5,)},
        "R9-1-border": {"border": 0.8, "capacities": (2.0,)},
        "R9-2-before": {"crossing": 0.01},
        "R9-2-after": {"crossing": 1e6},
        "R9-2-clock": {"clock": 10.0},
        "R9-3-layers": {"rate": 0.1},
        "R9-3-floor": {"formula_size": 2.0},
        "R9-3-power": {"cap": 2.0},
        "R9-4-lazy": {"frontier_source": 1.5, "sizes": (16, 32, 64, 128)},
        "R9-4-rich": {"frontier_source": 1.5, "sizes": (16, 32, 64, 128)},
        "R9-5": {"easy": 1.2},
    },
    "tu2024": {
        "figure-1-train": {"dim": 100},
        "figure-1-test": {"dim": 100},
        "figure-1-formula": {"dim": 60, "width_exponent": 1.0},
        "threshold": {"threshold": 30.0},
        "threshold-lazy": {"threshold": 30.0},
        "alignment": {"width": 500},
        "acceleration": {"threshold": 30.0},
        "converges": {"until": 0.5},
        "balanced-stalls": {"until": 0.5},
        "low-rank-bias": {"threshold": 1e4},
        "no-lazy-bias": {"seen": 0.99},
        "figure-2-active": {"exponents": (-0.7, -2.5, -2.0)},
        "figure-2-lazy": {"exponents": (-0.7, -2.5, -2.0)},
        "figure-2-price": {"exponents": (-2.0, -2.01, -0.7)},
    },
    "kunin2024": {
        "R2-1": {"rtol": 1e-4},
        "R2-1-kernel": {"start": (-0.8, 0.3)},
        "R2-1-balanced": {"start": (-0.8, 0.3)},
        "R2-2": {"until": 2.0},
        "R2-3": {"until": 0.5, "starts": 300},
        "R2-4": {"balances": (-3.0, 0.0)},
        "R2-4-upstream": {"balances": (0.0, 1.0)},
        "R2-5": {"ratio": 0.45},
        "R2-5-delayed": {"imbalance": 1e-6},
        "R2-6": {"scale": 1.0},
        "R2-6-pair": {"scale": 2.0},
        "R2-6-kernel": {"scale": 1.0},
    },
    "domine2024": {
        "R1-1": {"rtol": 1e-4},
        "R1-1-descent": {"rate": 0.25},
        "R1-2-square": {"strong": 1.0},
        "R1-2-lazy": {"strong": 1.0},
        "R1-2-delayed": {"strong": -10.0},
        "R1-2-mirror": {"sides": (8, 6)},
        "R1-3": {"delayed": (-2.0,)},
        "R1-4": {"learned": 0.9},
        "R1-4-stuck": {"stuck": 1.0},
        "R1-5": {"rtol": 1e-4},
        "R1-5-forgetting": {"span": 0.3},
        "R1-6-noise": {"samples": 20},
        "R1-6-transfer": {"learned": 0.5},
        "R1-6-trained": {"learned": 0.01},
    },
    "bantzis2025": {
        "C3.1-narrow": {"narrow": 8, "wider": 8, "search": 500},
        "C3.1-share": {"narrow": 8, "wider": 8, "search": 500},
        "C3.1-wide": {"wide": 3, "wider": 3, "search": 500},
        "C3.1-rank": {"wide": 3, "wider": 3, "search": 500},
        "C3.2-speed": {"tiny": 0.1},
        "C3.2-rank": {"tiny": 0.1},
        "C3.3-floor": {"left": 1.0, "steps": 4},
        "C3.3-deep": {"left": 1.0, "steps": 4},
        "C3.3-linear": {"left": 1.0, "steps": 4},
        "C3.3-scale": {"left": 1.0, "steps": 4},
        "C3.3-plateau": {"steps": 120, "scales": (3.0, 1.0)},
        "C3.4-three": {"steps": 120, "scales": (3.0, 1.0)},
        "C3.4-four": {"steps": 120, "scales": (3.0, 1.0)},
    },
    "golikov2024": {
        "C10.1-first": {"exponent": 2.0, "leak": 0.2},
        "C10.1-second": {"exponent": 2.0, "leak": 0.2},
        "C10.1-explained": {"exponent": 2.0, "leak": 0.2},
        "C10.2-linear": {"exponent": 2.0, "leak": 0.2},
        "C10.2-bound": {"likeness": -1.0, "epsilons": (0.05,)},
        "C10.2-says": {"samples": 60, "epsilons": (0.05,)},
    },
    "han2025": {
        "C4.1-reduction": {"shift": 1.001, "law_dim": 150, "draws": 30},
        "C4.1-law": {"shift": 1.001, "law_dim": 150, "draws": 30},
        "C4.1-first": {"strength": 0.1, "steps": 300},
        "C4.1-clean": {"strength": 0.1, "steps": 300},
        "C4.2": {"strength": 0.1, "steps": 300},
        "C4.2-dimension": {"strength": 0.1, "steps": 300},
        "C4.1-rate": {"early": 10, "steps": 10},
        "C4.1-last": {"early": 10, "steps": 10},
        "C4.1-memory": {"early": 10, "steps": 10},
        "C4.4": {"early": 10, "steps": 10},
        "C4.3-memorised": {"weak": 6.0, "strong": (1.0,)},
        "C4.3-rejected": {"weak": 6.0, "strong": (1.0,)},
    },
    "jacot2024": {
        "C7.1": _BRIEF | {"optimizer": "AdamW"},
        "C7.1-relu": _BRIEF | {"optimizer": "AdamW"},
        "C7.1-descent": {"optimizer": "AdamW", "short": 20},
        "C7.2": _BRIEF | {"steps": 1, "heads": (2, 3, 5)},
        "C7.2-weights": _BRIEF,
        "C7.2-product": _BRIEF,
        "C7.2-collapse": _BRIEF,
        "C7.3": _BRIEF | {"heads": (3,), "steps": 2000, "unseen": 10},
        "C7.3-end": _BRIEF,
        "C7.3-nc3": _BRIEF,
        "C7.4": {"power": 1.0},
        "C7.4-noise": {"noise_rate": 0.02},
        "C7.5": _BRIEF,
    },
    "atanasov2024": {
        "R8-1-lazy": {"lazy": (0.3, 3.0), "rich": (0.3, 3.0), "depths": (2,)},
        "R8-1-rich": {"lazy": (0.3, 3.0), "rich": (0.3, 3.0), "depths": (2,)},
        "R8-1-exact": {"settled": 0.9, "depths": (2,)},
        "R8-2-upper-lazy": {"lazy_side": (0.1, 10.0), "rich_side": (0.1, 10.0), "per_decade": 10},
        "R8-2-upper-rich": {"lazy_side": (0.1, 10.0), "rich_side": (0.1, 10.0), "per_decade": 10},
        "R8-2-lower": {"lazy_side": (0.1, 10.0), "rich_side": (0.1, 10.0), "per_decade": 10},
        "R8-2-flow": {"per_decade": 3, "portrait_depths": (2,)},
        "R8-2-factor": {"per_decade": 10, "portrait_depths": (4,)},
        "R8-3-rise": {"factors": (0.8,)},
        "R8-3-return": {"factors": (1.6, 2.2)},
        "R8-3-below": {"below": 1.2},
        "R8-4-plateau": {"collapse": (1.0, 10.0)},
        "R8-4-staircase": {"staircase": 1.0},
        "R8-4-gaussian": {"gaussian": 1.0},
        "R8-5-silent": {"silent": 1.0},
        "R8-5-lazy": {"fixed": 10.0},
    },
    "movahedi2024": {
        "C6.1": {"width": 5, "draws": 100},
        "C6.1-width": {"narrow_draws": 20},
        "C6.3-curve": {"threshold": 0.5},
        "C6.3-delay": {"lazy": 1.0},
        "C6.2-plain": {"steps": 5, "seeds": 1},
        "C6.2-inside": {"steps": 5, "seeds": 1},
        "C6.2-train": {"steps": 5, "seeds": 1},
        "C6.2-half": {"cut": 30.0, "seeds": 1, "steps": 100},
        "C6.2-outside": {"cut": 30.0, "seeds": 1, "steps": 100},
        "C6.4": {"cut": 30.0, "seeds": 1, "steps": 100},
        "C6.3": {"frozen": False, "steps": 30},
    },
    "nam2025": {
        "C5.1-curve": {"share": 0.6},
        "C5.1-sigmoid": {"sigmoid_threshold": 0.1},
        "C5.1-depth": {"depth": 2},
        "C5.2-times": {"exponent": 1.0},
        "C5.2-loss": {"scaling_exponent": 0.6},
        "C5.3-amplification": {"share": 0.6},
        "C5.4-delay": {"lazy": (0.003, 0.03)},
        "C5.4-law": {"lazy": (0.003, 0.03)},
        "C5.4-rich": {"rich": 3.0},
        "C5.4-decay": {"control_decay": 0.01},
        "C5.4-digits": {"scales": (0.7, 2.0)},
        "C5.4-digits-delay": {"scales": (0.7, 2.0)},
        "C5.4-digits-small": {"small": 3.0, "scales": ()},
        "C5.4-digits-decay": {"digits_control": 1.0},
    },
}


@dataclass(frozen=True)
class OnePaper(Paper):
    """A paper whose only number is a setting."""

    key: ClassVar[str] = "one2026"
    title: ClassVar[str] = "A number"
    citation: ClassVar[str] = "tu2024mixed"
    summary: ClassVar[str] = "It is two."
    seconds: ClassVar[float] = 0.0
    value: float = 2.0

    @claim("near", "It is two", place="Figure 1", expected=2.0, source="the paper", tolerance=0.1, relative=True)
    def near(self):
        return self.value

    @claim("above", "It is over one", place="Figure 1", expected=1.0, source="the paper", bound="above")
    def above(self):
        return self.value

    def figure(self):
        raise AssertionError


@pytest.mark.parametrize(
    ("value", "near", "above"), [(2.0, True, True), (2.19, True, True), (2.3, False, True), (math.nan, False, False)]
)
def test_a_claim_agrees_within_its_tolerance_and_never_with_nan(value, near, above):
    found = OnePaper(value).reproduce()
    assert [f.passed for f in found.findings] == [near, above]
    assert found.passed == (near and above)
    assert str(found).count("DISAGREES") == 2 - near - above


def test_the_table_says_found_expected_and_source():
    text = str(OnePaper(2.5).reproduce(["near"]))
    assert "found 2.5, expected 2 ± 10 % (the paper): DISAGREES" in text
    assert "0 of 1 claims agree" in text


@dataclass(frozen=True)
class Needy(OnePaper):
    """Has a claim that needs a module which nobody has."""

    @claim("far", "It is far", place="Figure 1", expected=0.0, source="the paper", needs="no_such_module")
    def far(self):
        raise AssertionError


def test_a_claim_whose_module_is_not_installed_is_named_and_not_run():
    found = Needy().reproduce()
    assert [f.claim.key for f in found.findings] == ["near", "above"]
    assert "not run: far, which needs no_such_module" in str(found)
    assert found.to_dict()["skipped"] == [{"id": "far", "needs": "no_such_module"}]
    with pytest.raises(ld.InvalidArgument, match="needs no_such_module"):
        Needy().reproduce(["far"])


@pytest.mark.parametrize("key", keys())
def test_every_paper_states_title_claims_and_a_citation_that_is_there(key):
    cls = paper(key)
    assert cls.key == key
    assert cls.citation in cite(cls.citation)
    claims = cls.claims()
    assert len({c.key for c in claims}) == len(claims) > 0
    assert all(c.sentence and c.place and c.source for c in claims)
    assert all(f.default is not None for f in fields(cls))
    assert all(c.tolerance or c.bound != "near" or c.expected in (0.0, 1.0) for c in claims)


def test_every_claim_of_the_catalogue_has_a_setting_that_must_make_it_fail():
    assert {key: {*claims} for key, claims in PERTURBED.items()} == {
        key: {claim.key for claim in paper(key).claims()} for key in keys()
    }
    for key, claims in PERTURBED.items():
        assert all(paper(key)(**changes) != paper(key)() for changes in claims.values())


def perturbed():
    """Paper, setting and the claims that it must make fail: those of one setting share their experiments."""
    groups = {}
    for key, claims in PERTURBED.items():
        for name, changes in claims.items():
            groups.setdefault((key, repr(changes)), (changes, []))[1].append(name)
    return [
        pytest.param(key, changes, names, id=f"{key} {change}") for (key, change), (changes, names) in groups.items()
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("key", "changes", "names"), perturbed())
def test_a_perturbed_experiment_fails_its_checks(key, changes, names):
    found = paper(key)(**changes).reproduce(names).findings
    assert [f.claim.key for f in found if f.passed] == []


def test_one_claim_is_run_alone_and_found_by_name():
    result = ld.reproduce("tu2024", claims=["figure-2-active"])
    assert [f.claim.key for f in result.findings] == ["figure-2-active"]
    assert result["figure-2-active"].passed
    with pytest.raises(ld.InvalidArgument, match="claim"):
        ld.reproduce("tu2024", claims=["nothing"])
    with pytest.raises(ld.InvalidArgument, match="paper"):
        ld.reproduce("nobody1999")


def test_the_command_lists_and_runs(tmp_path):
    listed = as_json("reproduce")
    assert {e["paper"] for e in listed} == {e.key for e in catalogue()}
    out = as_json("reproduce", "tu2024", "--claim", "figure-2-lazy")
    (found,) = out["claims"]
    assert {"id", "expected", "found", "tolerance", "source", "passed", "seconds"} <= set(found)
    assert found["passed"] is True
    assert json.dumps(out)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--claim", "x"], "--claim must be left out, but it has no meaning without a paper"),
        (["tu2024", "--all"], "--all must be given instead of a paper"),
        (["--all", "--claim", "x"], "--claim must come with one paper"),
        (["nobody1999"], "must be one of"),
    ],
)
def test_calls_without_meaning_are_refused(arguments, part):
    done = lindyn("reproduce", *arguments)
    assert done.returncode == 2
    assert part in done.stderr
