"""Simulate, predict and diagnose the training of linear networks, exactly and at any width.

Four nouns and one verb: a task (what is learned), a network or a dynamics (what moves), a method (how the motion is
computed) and a trajectory (what comes out), joined by `simulate`.
"""

from lindyn._version import __version__
from lindyn.advice import Advice, advise
from lindyn.checks import InvalidArgument
from lindyn.citations import cite
from lindyn.closed_form import MixedSolution, mode_curve, mode_time
from lindyn.dynamics import Balanced, Lazy, Mixed
from lindyn.factor_prediction import predict_factors
from lindyn.factors import FactorModes, factor_modes, imbalance_drift, share_outside_rows
from lindyn.initialisation import StartReport, lora_weights, mixed_weights
from lindyn.inspection import inspect
from lindyn.methods import ClosedForm, Flow, GradientDescent, Muon, Optimizer
from lindyn.narrow import FactorFlow, NarrowSolution
from lindyn.networks import TwoLayer
from lindyn.observables import Observable, alignment, distance_to, singular_values
from lindyn.parametrizations import Parametrization
from lindyn.phase_diagram import DiagramSettings, phase_diagram
from lindyn.prediction import predict, predict_cells
from lindyn.rates import StabilityWarning, published_learning_rate, stability_bound
from lindyn.simulate import simulate
from lindyn.tasks import Completion, CustomCost, Regression, SpikedMatrix
from lindyn.trajectory import Comparison, Trajectory, compare

__all__ = [
    "Advice",
    "Balanced",
    "ClosedForm",
    "Comparison",
    "Completion",
    "CustomCost",
    "DiagramSettings",
    "FactorFlow",
    "FactorModes",
    "Flow",
    "GradientDescent",
    "InvalidArgument",
    "Lazy",
    "Mixed",
    "MixedSolution",
    "Muon",
    "NarrowSolution",
    "Observable",
    "Optimizer",
    "Parametrization",
    "Regression",
    "SpikedMatrix",
    "StabilityWarning",
    "StartReport",
    "Trajectory",
    "TwoLayer",
    "__version__",
    "advise",
    "alignment",
    "cite",
    "compare",
    "distance_to",
    "factor_modes",
    "imbalance_drift",
    "inspect",
    "lora_weights",
    "mixed_weights",
    "mode_curve",
    "mode_time",
    "phase_diagram",
    "predict",
    "predict_cells",
    "predict_factors",
    "published_learning_rate",
    "share_outside_rows",
    "simulate",
    "singular_values",
    "stability_bound",
]
