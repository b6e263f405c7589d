"""The verb: read the pairs of a source one by one, measure each, and compare it with its start or another source."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lindyn.inspection import recognition
from lindyn.inspection.adapter_config import CONFIG
from lindyn.inspection.clocks import law_deviation, start_deviation
from lindyn.inspection.differences import difference
from lindyn.inspection.files import TensorFiles, read_json
from lindyn.inspection.formats.layout import Reading
from lindyn.inspection.formats.reading import read_adapter
from lindyn.inspection.locating import locate
from lindyn.inspection.matching import partners
from lindyn.inspection.naming import printable
from lindyn.inspection.pairs import Factors, Pair, PairSpec, pairs_of
from lindyn.inspection.ranks import noise_floor, roundoff, suggested_rank
from lindyn.inspection.report import Inspection, PairFailure, PairReport
from lindyn.networks.pair_modes import factor_modes, imbalance_drift, share_outside_rows
from lindyn.support import checks


def inspect(
    source: Any,
    *,
    pair: PairSpec | Sequence[PairSpec] | None = None,
    start: Any = None,
    against: Any = None,
    scale: float | None = None,
    vectors: bool = False,
) -> Inspection:
    """Say which modes of factor pairs are lazy and which active: in a LoRA adapter, a checkpoint or a live module.

    For each pair A = s W2 W1 (LoRA: ΔW = s·BA): singular values m_k, the threshold τ_k of each and its activity
    m_k/√(m_k² + τ_k²) (2.9), the threshold τ that its start has set, measured from the conserved imbalance
    W1W1ᵀ − W2ᵀW2, beside those of the common starts (2.7), stable and effective rank; and, with the start, the share
    of the update outside the rows of W1(0) and the drift of the imbalance. A mode is active where m_k > τ_k, its own
    threshold, here as in the table and the figure. Thin QR decompositions only; files are mapped and read pair by
    pair, and no base model is loaded.

    Args:
        source: folder or .safetensors file of an adapter in one of the layouts of `lindyn.inspection.formats` (PEFT,
            diffusers, kohya, LyCORIS, MLX, torchtune, LitGPT, loralib), the id of a downloaded Hub repository, or of
            a checkpoint with `pair`; or an `nn.Module` with LoRA layers, with two linear layers in a row, or `pair`.
        pair: "first=NAME,second=NAME" of two weights as `nn.Linear` stores them: first (r, d_in), second (d_out, r);
            `*` in both names stands for the same text, `[0:64]` or `[:,0:64]` for a slice, `.T` for a transpose.
            Several may be given.
        start: the same source before training (saved with `save_pretrained`, or a copy of the module).
        against: another source of the same pairs, such as a second checkpoint: ΔW is compared with its ΔW.
        scale: s, where no config gives it.
        vectors: keep the singular vectors u_k, v_k of every pair.

    Returns:
        An `Inspection`: reports by pair; pairs that could not be read stand in its `failures`, each with a sentence,
        and tensors that the layout does not know in `unread`.

    Raises:
        InvalidArgument: no pair can be found at all: no such file, no config, a pickled or corrupt file, wrong names.
        ImportError: safetensors is missing (`pip install 'lindyn[adapters]'`).

    References:
        theory (2.7), (2.9). Thresholds predict runs of SGD; under Adam, dropout noise or large momentum steps they
        describe a pair but do not predict it.

    Examples:
        >>> import numpy as np, tempfile
        >>> from pathlib import Path
        >>> from safetensors.numpy import save_file
        >>> path = Path(tempfile.mkdtemp()) / "model.safetensors"
        >>> balanced = np.eye(4, 6, dtype="float32")
        >>> save_file({"down": 2 * balanced, "up": 2 * balanced.T}, path)
        >>> report = inspect(path, pair="first=down,second=up").pairs[0]
        >>> report.shape, report.singular_values.tolist(), report.active_modes
        ((6, 6), [4.0, 4.0, 4.0, 4.0], 4)
    """
    began = time.perf_counter()
    specs, vectors = _specs(pair), checks.flag("vectors", vectors)
    if scale is not None:
        scale = checks.number("scale", scale, above=0)
    reading = _read(source, "source", specs, scale)
    others = {
        name: None if other is None else partners(reading.pairs, _read(other, name, specs, scale).pairs)
        for name, other in (("start", start), ("against", against))
    }
    reports, failures = [], []
    for each in reading.pairs:
        compared = _Compared(*(None if o is None else (o.get(each.name),) for o in others.values()))
        try:
            reports.append(_report(each, compared, vectors=vectors))
        except checks.InvalidArgument as error:
            failures.append(PairFailure(printable(each.name), printable(str(_about_pair(error)))))
    name = str(source) if isinstance(source, str | Path) else type(source).__name__
    return Inspection(
        source=printable(name),
        layout=reading.layout,
        pairs=tuple(reports),
        failures=tuple(failures),
        unread=tuple(map(printable, reading.unread)),
        seconds=time.perf_counter() - began,
    )


class _Compared(NamedTuple):
    """What a pair is compared with: None where no such source is given, (None,) where the source has no such pair."""

    start: tuple[Pair | None] | None
    against: tuple[Pair | None] | None


def _specs(pair: Any) -> list[PairSpec]:
    if pair is None:
        return []
    if not isinstance(pair, str | Sequence) or isinstance(pair, bytes):
        raise checks.InvalidArgument("pair", "read first=NAME,second=NAME", f"it is {checks.shown(pair)}")
    specs: list[Any] = [pair] if _is_one(pair) else list(pair)
    for spec in specs:
        if not isinstance(spec, str) and not _is_one(spec):
            raise checks.InvalidArgument("pair", "read first=NAME,second=NAME", f"it holds {checks.shown(spec)}")
    return specs


def _is_one(pair: Any) -> bool:
    if not isinstance(pair, str | tuple | list):
        return False
    return isinstance(pair, str) or (len(pair) == 2 and all(isinstance(p, str) and "=" not in p for p in pair))


def _read(source: Any, name: str, specs: list[PairSpec], scale: float | None) -> Reading:
    """Read one of the sources; a refusal calls it by the name of its argument."""
    try:
        return _reading(source, specs, scale)
    except checks.InvalidArgument as error:
        shown = type(error)(*(printable(p) for p in (error.name, error.must, error.but, error.remedy, error.subject)))
        raise (shown if name == "source" else shown.renamed({"source": name})) from error


def _reading(source: Any, specs: list[PairSpec], scale: float | None) -> Reading:
    if hasattr(source, "named_modules"):
        from lindyn.inspection.modules import module_pairs

        return Reading("live module", module_pairs(source, specs, scale), ())
    if not isinstance(source, str | Path):
        raise checks.InvalidArgument("source", "be a path or an nn.Module", f"it is {type(source).__name__}")
    path = locate(source)
    if not specs:
        return read_adapter(path, scale)
    files = TensorFiles(path)
    beside = next((p for p in (path.parent / "config.json", path.parent / CONFIG) if p.is_file()), None)
    known = {} if beside is None else read_json(beside)
    return Reading("checkpoint", [p for spec in specs for p in pairs_of(files, spec, scale, known)], ())


def _report(pair: Pair, compared: _Compared, *, vectors: bool) -> PairReport:
    stored = pair.load()
    first, second = (checks.array(n, m, 2, dtype=np.float64) for n, m in zip(_FACTORS, stored[:2], strict=True))
    now = Factors(first, second, stored.scale, stored.alpha)
    roundoffs = roundoff(stored.first), roundoff(stored.second)
    notes = list(pair.notes)
    size = abs(now.scale)
    if now.scale < 0:
        notes.append(f"s = {now.scale:g} is negative, as of a subtracted adapter: measured at |s|; every u_k is turned")
    modes = factor_modes(now.first, now.second, size)
    alpha = None if now.alpha is None else abs(now.alpha)
    law = pair.law
    expected = None
    if law in recognition.START_LAWS:
        expected = recognition.start_threshold(law, modes.shape, modes.width, size)
    return PairReport(
        name=printable(pair.name),
        kind=printable(pair.kind),
        shape=modes.shape,
        rank=modes.width,
        scale=now.scale,
        law=law,
        recognised=recognition.recognise(modes, law) if pair.labelled else None,
        nominal_threshold=modes.nominal_threshold,
        expected_threshold=expected,
        common_thresholds=recognition.common_thresholds(modes.shape, modes.width, size, alpha),
        imbalance=modes.imbalance,
        singular_values=modes.singular_values,
        thresholds=modes.thresholds,
        activities=modes.activities,
        active_modes=modes.active_modes if pair.labelled else None,
        stable_rank=modes.stable_rank,
        effective_rank=modes.effective_rank,
        suggested_rank=suggested_rank(modes.singular_values, noise_floor(now, roundoffs)),
        left=modes.left if vectors else None,
        right=modes.right if vectors else None,
        **({"start_deviation": law_deviation(law, modes.shape, modes.width)} | _compare(now, compared, notes)),
        notes=tuple(map(printable, notes)),
    )


def _compare(now: Factors, compared: _Compared, notes: list[str]) -> dict[str, Any]:
    """Fields of the report that the start and the other source give."""
    found: dict[str, Any] = {}
    for name, partner in compared._asdict().items():
        subject = "At its start" if name == "start" else "In the source compared with"
        if partner is None:
            continue
        if partner[0] is None:
            notes.append("the start has no pair of this name" if name == "start" else "the other has no such pair")
            continue
        try:
            other = partner[0].load()
            if name == "start":
                found |= _since(now, other, notes)
            else:
                found["against"] = difference(now, other)
        except checks.InvalidArgument as error:
            raise checks.InvalidArgument.sentence(f"{subject}: {_about_pair(error)}") from error
    return found


def _since(now: Factors, start: Factors, notes: list[str]) -> dict[str, Any]:
    at_start = factor_modes(start.first, start.second, abs(start.scale))
    drift = imbalance_drift((now.first, now.second), (start.first, start.second))
    share = share_outside_rows((now.first, now.second), start.first, start.second)
    if at_start.singular_values[0] > 0:
        notes.append("the start is not zero: the singular values are those of s·W2W1, the start's part included")
    return {
        "start_threshold": at_start.nominal_threshold,
        "share_outside_rows": None if math.isnan(share) else share,
        "imbalance_drift": drift,
        "start_deviation": start_deviation(start.first, start.second),
        "change": difference(now, start),
    }


_FACTORS = ("first", "second")
_SUBJECTS = {
    "first": "The first factor",
    "second": "The second factor",
    "source": "The file",
    "pair": "The pair",
    "start": "The start",
}


def _about_pair(error: checks.InvalidArgument) -> checks.InvalidArgument:
    """Say "The first factor must …" where the functions of factor pairs say "Argument `first` must …"."""
    if not error.must:
        return error
    return error.about(_SUBJECTS.get(error.name.partition("[")[0], f"Its {error.name}"))
