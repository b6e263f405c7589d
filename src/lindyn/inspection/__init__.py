"""Inspection of factor pairs: LoRA adapters, checkpoints with named pairs, live modules."""

from lindyn.inspection.api import inspect
from lindyn.inspection.report import Inspection, PairFailure, PairReport
from lindyn.inspection.starts import START_LAWS, common_thresholds, start_threshold

__all__ = [
    "START_LAWS",
    "Inspection",
    "PairFailure",
    "PairReport",
    "common_thresholds",
    "inspect",
    "start_threshold",
]
