"""Which pair of another source, a start or a second checkpoint, is the same pair."""

from __future__ import annotations

from collections import defaultdict

from lindyn.inspection.pairs import Pair


def partners(now: list[Pair], other: list[Pair]) -> dict[str, Pair]:
    """Return name of a pair now → its partner in another source.

    The same module, adapter and expert; an adapter that was renamed still has its start where the module has one only;
    and where no module has the same name at all, names are compared without what comes before their shared end, as a
    Lightning checkpoint puts `model.` before every name.

    Examples:
        >>> from lindyn.inspection.pairs import Factors
        >>> one = Pair("q [a]", lambda: Factors(0, 0, 1.0), module="q", adapter="a")
        >>> two = Pair("q", lambda: Factors(0, 0, 1.0), module="q")
        >>> partners([one], [two])["q [a]"] is two
        True
    """
    exact = {(_module(p), p.adapter, p.expert): p for p in other}
    by_module: dict[tuple[str, int | None], list[Pair]] = defaultdict(list)
    for p in other:
        by_module[_module(p), p.expert].append(p)
    strip_now, strip_other = _prefixes({_module(p) for p in now}, {_module(p) for p in other})
    if strip_now or strip_other:
        exact = {(m.removeprefix(strip_other), a, e): p for (m, a, e), p in exact.items()}
        by_module = defaultdict(list, {(m.removeprefix(strip_other), e): p for (m, e), p in by_module.items()})
    found = {}
    adapters = defaultdict(set)
    for p in now:
        adapters[_module(p), p.expert].add(p.adapter)
    for p in now:
        module = _module(p).removeprefix(strip_now)
        partner = exact.get((module, p.adapter, p.expert))
        alone = by_module.get((module, p.expert), [])
        if partner is None and len(alone) == len(adapters[_module(p), p.expert]) == 1:
            partner = alone[0]
        if partner is not None:
            found[p.name] = partner
    return found


def _module(pair: Pair) -> str:
    return pair.module or pair.name


def _prefixes(now: set[str], other: set[str]) -> tuple[str, str]:
    """What to take from the front of either side's names where the two have none in common; mostly nothing."""
    if now & other or not now or not other:
        return "", ""
    for longer, shorter, turned in ((now, other, False), (other, now, True)):
        one = min(longer)
        for short in shorter:
            if one.endswith("." + short):
                prefix = one.removesuffix(short)
                if all(name.startswith(prefix) for name in longer):
                    return ("", prefix) if turned else (prefix, "")
    return "", ""
