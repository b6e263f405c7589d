"""The verb: read the pairs of a source one by one, measure each, and compare it with its start."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lindyn.inspection import recognition
from lindyn.inspection.adapter_config import CONFIG
from lindyn.inspection.adapters import adapter_pairs, has_adapters
from lindyn.inspection.files import TensorFiles, read_json, weights_file
from lindyn.inspection.pairs import Factors, Pair, PairSpec, pairs_of
from lindyn.inspection.report import Inspection, PairFailure, PairReport
from lindyn.networks.pair_modes import factor_modes, imbalance_drift, share_outside_rows
from lindyn.support import checks


def inspect(
    source: Any,
    *,
    pair: PairSpec | Sequence[PairSpec] | None = None,
    start: Any = None,
    scale: float | None = None,
) -> Inspection:
    """Say which modes of factor pairs are lazy and which active: in a LoRA adapter, a checkpoint or a live module.

    For each pair A = s W2 W1 (LoRA: ΔW = s·BA): singular values m_k, the threshold τ_k of each and its activity
    m_k/√(m_k² + τ_k²) (2.9), the threshold τ that its start has set, measured from the conserved imbalance
    W1W1ᵀ − W2ᵀW2, beside those of the common starts (2.7), stable and effective rank; and, with the start, the share
    of the update outside the rows of W1(0) and the drift of the imbalance. Thin QR decompositions only; files are
    mapped and read pair by pair, and no base model is loaded.

    Args:
        source: folder or .safetensors file of a PEFT adapter, or of a checkpoint with `pair`; or an `nn.Module` with
            LoRA layers, or with two linear layers in a row, or with `pair`.
        pair: "first=NAME,second=NAME" of two weights as `nn.Linear` stores them: first (r, d_in), second (d_out, r);
            `*` in both names stands for the same text, `[0:64]` or `[:,0:64]` for a slice, `.T` for a transpose.
            Several may be given.
        start: the same source before training (saved with `save_pretrained`, or a copy of the module).
        scale: s, where no config gives it.

    Returns:
        An `Inspection`: reports by pair; pairs that could not be read stand in its `failures`, each with a sentence.

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
    specs: list[PairSpec] = [] if pair is None else [pair] if _is_one(pair) else list(pair)  # type: ignore[list-item]
    if scale is not None:
        scale = checks.number("scale", scale, above=0)
    found = _pairs(source, specs, scale)
    before = {} if start is None else _start_pairs(start, specs, scale)
    reports, failures = [], []
    for each in found:
        try:
            reports.append(_report(each, before.get(each.name), has_start=start is not None))
        except checks.InvalidArgument as error:
            failures.append(PairFailure(each.name, str(_about_pair(error))))
    name = str(source) if isinstance(source, str | Path) else type(source).__name__
    return Inspection(name, tuple(reports), tuple(failures), time.perf_counter() - began)


def _is_one(pair: Any) -> bool:
    return isinstance(pair, str) or (len(pair) == 2 and all(isinstance(p, str) and "=" not in p for p in pair))


def _pairs(source: Any, specs: list[PairSpec], scale: float | None) -> list[Pair]:
    if hasattr(source, "named_modules"):
        from lindyn.inspection.modules import module_pairs

        return module_pairs(source, specs, scale)
    if not isinstance(source, str | Path):
        raise checks.InvalidArgument("source", "be a path or an nn.Module", f"it is {type(source).__name__}")
    path = Path(source)
    if not path.exists():
        raise checks.InvalidArgument("source", "be a file or folder that exists", f"there is no {path}")
    if path.is_dir():
        stems = ("adapter_model",) if (path / CONFIG).is_file() else ("adapter_model", "model")
        path = weights_file(path, *stems)
    files = TensorFiles(path)
    if specs:
        config = path.parent / "config.json"
        known = read_json(config) if config.is_file() else {}
        return [p for spec in specs for p in pairs_of(files, spec, scale, known)]
    if not has_adapters(files.names) and not (path.parent / CONFIG).is_file():
        raise checks.InvalidArgument(
            "source",
            "be a LoRA adapter, or come with `pair`",
            f"{path.name} holds no LoRA tensors",
            "name the factors, as in first=encoder.weight,second=decoder.weight",
        )
    return adapter_pairs(files, scale)


def _start_pairs(start: Any, specs: list[PairSpec], scale: float | None) -> dict[str, Pair]:
    try:
        return {p.name: p for p in _pairs(start, specs, scale)}
    except checks.InvalidArgument as error:
        raise error.renamed({"source": "start"}) from error


def _report(pair: Pair, before: Pair | None, *, has_start: bool) -> PairReport:
    now = pair.load()
    modes = factor_modes(now.first, now.second, now.scale)
    law = pair.law
    expected = None
    if law in recognition.START_LAWS:
        expected = recognition.start_threshold(law, modes.shape, modes.width, modes.scale)
    notes = list(pair.notes)
    since: dict[str, float | None] = {}
    if before is not None:
        try:
            since = _since(now, before.load(), notes)
        except checks.InvalidArgument as error:
            raise checks.InvalidArgument.sentence(f"At its start: {_about_pair(error)}") from error
    elif has_start:
        notes.append("the start has no pair of this name")
    return PairReport(
        name=pair.name,
        shape=modes.shape,
        rank=modes.width,
        scale=modes.scale,
        law=law,
        recognised=recognition.recognise(modes, law),
        nominal_threshold=modes.nominal_threshold,
        expected_threshold=expected,
        common_thresholds=recognition.common_thresholds(modes.shape, modes.width, modes.scale, now.alpha),
        imbalance=modes.imbalance,
        singular_values=modes.singular_values,
        thresholds=modes.thresholds,
        activities=modes.activities,
        active_modes=modes.active_modes if pair.labelled else None,
        stable_rank=modes.stable_rank,
        effective_rank=modes.effective_rank,
        notes=tuple(notes),
        **since,
    )


def _since(now: Factors, start: Factors, notes: list[str]) -> dict[str, float | None]:
    at_start = factor_modes(start.first, start.second, start.scale)
    drift = imbalance_drift((now.first, now.second), (start.first, start.second))
    share = share_outside_rows((now.first, now.second), start.first, start.second)
    if at_start.singular_values[0] > 0:
        notes.append("the start is not zero: the singular values are those of s·W2W1, the start's part included")
    return {
        "start_threshold": at_start.nominal_threshold,
        "share_outside_rows": None if math.isnan(share) else share,
        "imbalance_drift": drift,
    }


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
