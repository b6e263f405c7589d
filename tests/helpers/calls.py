"""Calls of every public entrance beyond tasks and networks: functions, methods of results, arguments that work."""

import functools
from types import SimpleNamespace

import numpy as np
import optax

import lindyn as ld
import torch
from lindyn.networks import deep_laws, laws
from lindyn.papers import tu2024
from lindyn.solutions import deep_balanced_time, deep_threshold, mode_threshold, mode_times

FIRST, SECOND, TWO = np.arange(8.0).reshape(2, 4) / 8, np.ones((3, 2)), ("inner", "outer")


class Pair(torch.nn.Module):
    """Two linear layers that form one product."""

    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(4, 2, bias=False)
        self.outer = torch.nn.Linear(2, 3, bias=False)

    def forward(self, x):
        """Return the product's output."""
        return self.outer(self.inner(x))


class Adapted(torch.nn.Module):
    """A layer that holds a pair of LoRA factors, as PEFT names them."""

    def __init__(self):
        super().__init__()
        self.base_layer = torch.nn.Linear(4, 3)
        self.lora_A = torch.nn.ModuleDict({"default": torch.nn.Linear(4, 2, bias=False)})
        self.lora_B = torch.nn.ModuleDict({"default": torch.nn.Linear(2, 3, bias=False)})
        self.scaling = {"default": 1.0}


@functools.cache
def things():
    """Return the right objects that calls share, made once."""
    task = ld.SpikedMatrix(5, rank=2, singular_values=None, key=1)
    net = ld.TwoLayer.gaussian(5, 30, 0.01)
    deep = ld.DeepLinear.gaussian(3, depth=3, width=30, variance=0.02, generations=2)
    seen = ["train_error", "test_error", "singular_values", "matrix"]
    run = ld.simulate(net, task, ld.GradientDescent(steps=3), observables=seen)
    descent = ld.simulate(net, task, ld.GradientDescent(steps=3), observables=["cost", "sharpness"])
    other = ld.simulate(ld.Mixed.matching(net), task, times=run.time)
    grid = dict(shape=30, rank=2, variance_exponents=(-2.0, -1.0), width_exponents=(1.0, 2.0))  # noqa: C408
    settings = ld.diagrams.DiagramSettings(**grid, steps=5)
    rng = np.random.default_rng(0)
    tracker = ld.torch.RegimeTracker(Pair(), pair=TWO, every=1)
    for _ in range(3):
        tracker.step()
    portrait = ld.diagrams.PortraitSettings(richness=[0.1, 1.0], learning_rates=[1e-3, 1e-2], steps=5)
    factors = {"learning_rate": 0.1, "steps": 4}
    half = np.arange(16).reshape(4, 4) % 3 > 0
    law, last = ld.PowerLaw(1.5, 0.5, 9), {"times": [1.0, 9.0], "observables": "loss"}
    decades = [ld.simulate(ld.Lazy(tau), law, **last) for tau in (1.0, 2.0)]
    return SimpleNamespace(
        half_seen=ld.Completion(np.ones((4, 4)), half, held_out=~half),
        frontier=ld.simulation.compute_frontier(decades, [1, 2]),
        task=task, net=net, deep=deep, run=run, descent=descent, other=other, grid=grid, settings=settings,
        diagram=ld.phase_diagram(settings), portrait_settings=portrait, portrait=ld.phase_diagram(portrait),
        spiked=ld.SpikedMatrix(12, singular_values=[30.0, 20.0], key=0).target,
        target=rng.standard_normal((5, 5)), inputs=rng.standard_normal((9, 4)), outputs=rng.standard_normal((9, 1)),
        neuron=ld.TwoLayer.from_weights([[0.1, 0.0, 0.1, 0.2]], [[1.0]]), advice=ld.advise(60, rank=2), tracker=tracker,
        prediction=ld.predict_factors((FIRST, SECOND), np.ones((3, 4)), **factors),
        inspection=ld.inspect(Pair(), pair=TWO), skills=ld.tasks.Skills([0.6, 0.3, 0.1]),
        expected=ld.predict(60, laws.standard(width=5000, variance=1e-4), rank=2, steps=5),
        regime=ld.prediction.regime(1.0, [9.0, 3.0], width=50),
        points=ld.diagrams.refine(settings, cells=6),
        clock=ld.prediction.adam_clock(0.1, 1e-3, 50),
        spectrum=ld.prediction.SpikedSpectrum(60, [20.0, 15.0]),
        paper=tu2024.PAPER(), labels=torch.arange(6) % 3, classifier=torch.nn.Sequential(
            torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 5), torch.nn.Linear(5, 3)),
    )  # fmt: skip


def entrances():
    """Return entrance → (function, arguments with which it works)."""
    t = things()
    eye, wide = np.eye(3), np.arange(12.0).reshape(3, 4)
    line = t.run.time
    deep = {"shape": 3, "depth": 3, "width": 20, "key": 0}
    longest = {"tolerance": 1e-3, "generations": 2, "longest": (1.0, 2.0)}
    return {
        # networks of any depth
        "DeepLinear.gaussian": (ld.DeepLinear.gaussian, {**deep, "variance": 0.05, **longest, "dtype": "float64"}),
        "DeepLinear.exponents": (
            ld.DeepLinear.exponents,
            {"shape": 3, "depth": 3, "variance_exponent": -3.0, "width_exponent": 2.0, "key": 0},
        ),
        "DeepLinear.parametrized": (
            ld.DeepLinear.parametrized,
            {"shape": 3, "law": deep_laws.deep_ntk(3, widths=(20, 20)), "key": 0, "generations": 2},
        ),
        **{
            f"DeepLinear.{name}": (getattr(ld.DeepLinear, name), {**deep, "generations": 2})
            for name in ("pytorch_default", "ntk", "mean_field", "mup")
        },
        "DeepLinear.from_weights": (
            ld.DeepLinear.from_weights,
            {"weights": [wide, eye, eye], "threshold": 1.0, **longest},
        ),
        "DeepLinear.orthogonal": (
            ld.DeepLinear.orthogonal,
            {"shape": 3, "depth": 3, "width": 9, "gain": 1.0, "output_scale": 0.5, "end_variance": 0.1, "key": 0},
        ),
        "DeepLinear.balanced": (ld.DeepLinear.balanced, {"start": eye, "depth": 3, "width": 4}),
        "DeepLinear.at_rates": (t.deep.at_rates, {"rates": (1.0, 1.0, 2.0)}),
        "DeepLinear.weights": (t.deep.weights, {"key": 0}),
        "DeepParametrization": (
            ld.networks.DeepParametrization,
            {"name": "mine", "widths": (9, 9), "variances": (1.0, 1.0, 1.0), "multiplier": 1.0,
             "rates": (1.0, 1.0, 1.0), "distribution": "normal"},
        ),
        "TwoLayer.with_learning_rates": (t.net.with_learning_rates, {"first": 1.0, "second": 2.0}),
        "TwoLayer.closed_form": (t.net.closed_form, {"task": t.task}),
        "Parametrization.threshold_on": (laws.ntk(3, width=9).threshold_on, {"shape": 3}),
        "Parametrization.feature_learning": (laws.ntk(3, width=9).feature_learning, {"singular_value": 1.0}),
        # dynamics
        "Mixed": (ld.Mixed, {"threshold": 1.0, "start": eye, "weight_decay": 0.1}),
        "Lazy": (ld.Lazy, {"threshold": 1.0, "start": eye, "weight_decay": 0.1}),
        "Balanced": (ld.Balanced, {"start": eye, "weight_decay": 0.1}),
        "DeepBalanced": (ld.dynamics.DeepBalanced, {"start": eye, "depth": 3, "weight_decay": 0.1}),
        "Mixed.matching": (ld.Mixed.matching, {"network": t.net, "weight_decay": 0.1}),
        "DeepBalanced.matching": (ld.dynamics.DeepBalanced.matching, {"network": t.deep}),
        "Mixed.closed_form": (ld.Mixed(1.0).closed_form, {"task": t.task}),
        # tasks
        "Skills": (ld.tasks.Skills, {"frequencies": [0.6, 0.4], "strength": 2.0}),
        "Skills.power_law": (ld.tasks.Skills.power_law, {"count": 3, "exponent": 1.5, "strength": 1.0}),
        "Skills.curves": (t.skills.curves, {"threshold": 0.1, "times": [0.0, 1.0], "start": 0.1}),
        "Skills.emergence_times": (t.skills.emergence_times, {"threshold": 0.1, "start": 0.0, "share": 0.5}),
        "Skills.cost": (t.skills.cost, {"matrix": eye}),
        "CustomCost.gradient": (ld.CustomCost(lambda a: (a**2).sum(), 3).gradient, {"matrix": eye}),
        "Regression.sample_gradient": (
            ld.Regression(wide, eye).sample_gradient,
            {"matrix": wide, "rows": [0, 1], "label_noise": np.zeros((2, 3))},
        ),
        # methods
        "GradientDescent": (
            ld.GradientDescent,
            {"steps": 3, "learning_rate": 0.01, "order": "simultaneous", "momentum": 0.5, "nesterov": True,
             "weight_decay": 0.1, "clip_norm": 1.0, "batch_size": 2, "label_noise": 0.1, "key": 0},
        ),
        "GradientDescent, batches": (ld.GradientDescent, {"steps": 2, "batches": np.zeros((2, 1), int)}),
        "Muon": (
            ld.methods.Muon,
            {"steps": 3, "learning_rate": 0.01, "momentum": 0.5, "nesterov": True, "weight_decay": 0.1,
             "newton_schulz_steps": 5, "scale": "original"},
        ),
        "Optimizer": (ld.methods.Optimizer, {"rule": optax.sgd(0.1), "steps": 3, "learning_rate": 0.5, "key": 0}),
        "Flow": (ld.Flow, {"solver": "tsit5", "rtol": 1e-6, "atol": 1e-8, "weight_decay": 0.1, "max_steps": 99}),
        "GeometricFlow": (ld.methods.GeometricFlow, {"steps": 9, "step": 0.1, "weight_decay": 0.0}),
        "stability_bound": (
            ld.methods.stability_bound, {"system": t.net, "task": t.task, "momentum": 0.5, "nesterov": False}
        ),
        "published_learning_rate": (
            ld.methods.published_learning_rate, {"system": t.net, "task": t.task, "rule": "figure1"}
        ),
        "probe_equivariance": (ld.methods.probe_equivariance, {"rule": optax.sgd(0.1), "steps": 3}),
        # the verb
        "simulate": (
            ld.simulate,
            {"system": t.net, "task": t.task, "method": ld.GradientDescent(steps=3), "save_every": 2,
             "observables": ["cost"], "progress": False},
        ),
        "simulate, times": (
            ld.simulate,
            {"system": ld.Mixed(1.0), "task": t.task, "method": "auto", "times": [0.0, 0.5],
             "observables": ["singular_values"]},
        ),
        "simulate, depth": (
            ld.simulate, {"system": t.deep, "task": ld.SpikedMatrix(3, rank=1), "method": ld.GradientDescent(steps=2)}
        ),
        "replay": (
            ld.simulation.replay, {"run": t.run, "record": 1, "observables": ["cost"], "progress": False}
        ),
        "compare": (ld.compare, {"first": t.run, "second": t.other, "pair": None}),
        "Trajectory.save": (t.run.save, {"path": "run.zarr", "overwrite": True}),
        "Trajectory.load": (ld.Trajectory.load, {"path": "stored"}),
        "Trajectory.plot": (t.run.plot, {"ax": None}),
        "Comparison.largest": (ld.compare(t.run, t.other).largest, {"name": "train_error"}),
        "singular_values": (ld.simulation.singular_values, {"top": 2}),
        "alignment": (ld.simulation.alignment, {"reference": eye, "rank": 2}),
        "distance_to": (ld.simulation.distance_to, {"reference": t.run}),
        "Observable": (
            ld.simulation.Observable,
            {"name": "mine", "function": lambda state: state.time, "dims": (), "description": "d", "unit": "1",
             "needs_network": False},
        ),
        # solutions
        "mode_curve": (
            ld.solutions.mode_curve, {"singular_value": 1.0, "threshold": 0.5, "time": [0.1, 1.0], "start": 0.1}
        ),
        "mode_time": (ld.solutions.mode_time, {"singular_value": 1.0, "threshold": 0.5, "level": 0.9, "start": 0.1}),
        "deep_mode_curve": (
            ld.solutions.deep_mode_curve, {"singular_value": 1.0, "threshold": 0.5, "time": 1.0, "depth": 3}
        ),
        "deep_mode_time": (
            ld.solutions.deep_mode_time, {"singular_value": 1.0, "threshold": 0.5, "level": 0.5, "depth": 3}
        ),
        "deep_balanced_time": (
            deep_balanced_time, {"singular_value": 1.0, "start": 0.1, "level": 0.5, "depth": 3}
        ),
        "deep_threshold": (deep_threshold, {"variances": (0.1, 0.1, 0.1), "widths": (9, 9)}),
        "mode_times": (mode_times, {"singular_values": [2.0, 1.0], "threshold": 0.5}),
        "mode_amplification": (
            ld.solutions.mode_amplification, {"singular_value": 1.0, "threshold": 0.5, "start": 0.1}
        ),
        "grokking_delay": (
            ld.prediction.grokking_delay,
            {"threshold": 3.0, "weight_decay": 0.1, "critical": 0.5, "signal": 1.0, "learning_rate": 0.1},
        ),
        "critical_threshold": (
            ld.prediction.critical_threshold, {"task": t.half_seen, "weight_decay": 0.3, "level": 0.2}
        ),
        "time_below": (
            ld.prediction.time_below, {"times": [0.0, 1.0, 2.0], "error": [1.0, 0.1, 0.01], "level": 0.05}
        ),
        "mode_threshold": (mode_threshold, {"strength": 1.0, "kernel": 3.0}),
        "MixedSolution": (ld.solutions.MixedSolution, {"target": eye, "threshold": 1.0, "start": eye / 2}),
        "MixedSolution, call": (ld.solutions.MixedSolution(eye, 1.0), {"time": [0.0, 1.0]}),
        "MixedSolution.at": (ld.solutions.MixedSolution(eye, 1.0).at, {"time": 1.0}),
        "NarrowSolution": (
            ld.solutions.NarrowSolution, {"target": wide, "first": np.ones((1, 4)), "second": np.ones((3, 1))}
        ),
        "FactorFlow": (
            ld.solutions.FactorFlow,
            {"target": wide, "first": np.ones((2, 4)), "second": np.ones((3, 2)), "weight_decay": 0.1, "rtol": 1e-6},
        ),
        "FactorFlow, call": (ld.solutions.FactorFlow(wide, np.ones((2, 4)), np.ones((3, 2))), {"time": [0.0, 0.1]}),
        "target_modes": (ld.solutions.target_modes, {"target": wide}),
        "stability_limit": (
            ld.solutions.stability_limit,
            {"gram_in": 1.0, "gram_out": 1.0, "top": 1.0, "threshold": 0.5, "curvature": 1.0, "momentum": 0.5},
        ),
        "unstable_above": (ld.solutions.unstable_above, {"rate": 2.0, "momentum": 0.5, "nesterov": True}),
        "published_rate": (
            ld.solutions.published_rate,
            {"rule": "figure1", "threshold": 1.0, "top": 3.0, "size": 5.0, "bound": 1.0, "unit": 1.0},
        ),
        "figure2_rate": (
            ld.solutions.figure2_rate,
            {"threshold": [1.0, 9.0], "top": 3.0, "size": 5.0, "bound": [1.0, 2.0], "unit": 1.0},
        ),
        "narrow_threshold": (
            ld.solutions.narrow_threshold, {"variance_in": 1.0, "variance_out": 0.0, "d_in": 4, "d_out": 3}
        ),
        "wide_threshold": (ld.solutions.wide_threshold, {"variance_in": 1.0, "variance_out": 0.0, "width": 9}),
        # predictions
        "predict": (
            ld.predict,
            {"shape": 60, "law": laws.exponents(60, variance_exponent=-2.0, width_exponent=2.0), "depth": None,
             "rank": 2, "noise": 1.0, "scale": 1.0, "learning_rate": 0.001, "steps": 5, "save_every": 2},
        ),
        "predict, values": (
            ld.predict,
            {"shape": (60, 40), "law": laws.standard(width=5000, variance=1e-4), "singular_values": [30.0, 20.0],
             "steps": 5},
        ),
        "predict, depth": (
            ld.predict,
            {"shape": 60, "law": deep_laws.deep_standard((10**6, 10**6), (1e-6, 1e-6, 1e-6)), "depth": 3, "rank": 2,
             "steps": 5},
        ),
        "predict_cells": (
            ld.prediction.predict_cells,
            {"shape": 60, "variance_exponent": [-2.0, -1.0], "width_exponent": [2.0, 1.0], "step": [4, 5], "rank": 2,
             "noise": 1.0, "scale": 1.0, "learning_rate": "auto"},
        ),
        "predict_factors": (
            ld.predict_factors,
            {"start": (np.ones((2, 4)), np.zeros((3, 2))), "target": wide, "curvature": 1.0, "scale": 1.0,
             "learning_rate": 0.01, "steps": 4, "save_every": 2, "rate_ratio": 1.0, "momentum": 0.0,
             "weight_decay": 0.0, "optimizer": "sgd", "formula": "auto", "draws": 2, "key": 0},
        ),
        "predict_factors, gradient": (
            ld.predict_factors,
            {"start": (np.ones((2, 4)), np.zeros((3, 2))), "gradient": wide, "loss": "mse", "learning_rate": 0.01,
             "steps": 4},
        ),
        "limit": (
            ld.prediction.limit, {"net": t.neuron, "task": ld.Regression(t.inputs[:2], t.outputs[:2]), "sign": 1}
        ),
        "output_sign": (
            ld.prediction.output_sign, {"net": t.neuron, "task": ld.Regression(t.inputs[:2], t.outputs[:2])}
        ),
        "regime": (
            ld.prediction.regime,
            {"threshold": 1.0, "singular_values": [3.0, 0.5], "depth": 2, "width": 50, "start_variance": 1e-4},
        ),
        "regime, depth": (ld.prediction.regime, {"threshold": 1.0, "singular_values": [3.0, 0.5], "depth": 3}),
        "Regime.to_xarray": (t.regime.to_xarray, {"points": 5}),
        "phase_of": (
            ld.prediction.phase_of,
            {"threshold": 1.0, "singular_values": [3.0], "width": 9, "start_variance": 1e-4, "rank": 1},
        ),
        "estimate_spectrum": (ld.prediction.estimate_spectrum, {"target": t.target, "noise": 1.0}),
        "mean_signal_spectrum": (ld.prediction.mean_signal_spectrum, {"shape": 60, "rank": 3, "scale": 2.0}),
        "SpikedSpectrum": (ld.prediction.SpikedSpectrum, {"shape": 60, "signal": [30.0, 9.0], "noise": 1.0}),
        "SpikedSpectrum.curves": (
            t.spectrum.curves, {"threshold": 1.0, "times": [0.0, 0.1], "start_variance": 1e-4}
        ),
        "ModeSpectrum.of": (ld.prediction.ModeSpectrum.of, {"target": eye, "signal": eye}),
        "adam_clock": (ld.prediction.adam_clock, {"deviation": 0.1, "learning_rate": [1e-3, 1e-3], "steps": None}),
        "AdamClock.at": (t.clock.at, {"step": 3}),
        "AdamClock.step_at": (t.clock.step_at, {"x": 0.2}),
        "advise": (
            ld.advise,
            {"shape": 60, "rank": 2, "noise": 1.0, "scale": 1.0, "width": 60000, "optimizer": "gd", "momentum": 0.0,
             "curvature": 1.0, "learning_rate": 1e-4, "steps": 40},
        ),
        "advise, values": (ld.advise, {"shape": (60, 40), "singular_values": [40.0, 30.0], "loss": "mse"}),
        "advise, target": (ld.advise, {"target": t.spiked, "noise": 1.0}),
        "advise, gradient": (ld.advise, {"gradient": t.spiked, "width": 3, "curvature": 1.0, "steps": 30}),
        "advise, adam": (
            ld.advise, {"shape": 60, "width": 4, "optimizer": "adam", "learning_rate": 1e-3, "steps": 40}
        ),
        "start_geometry": (ld.prediction.start_geometry, {"network": t.net, "task": t.task}),
        "average_start_geometry": (
            ld.prediction.average_start_geometry,
            {"law": laws.standard(width=9, variance=0.1), "covariance": eye, "d_out": 2, "front_end": eye},
        ),
        "escape_direction": (
            ld.prediction.escape_direction, {"network": t.deep, "task": ld.SpikedMatrix(3, rank=1), "key": 0}
        ),
        "margin_bound": (
            ld.prediction.margin_bound,
            {"outputs": [0.5, -1.0, 2.0], "labels": [1.0, -1.0, 1.0], "dim": 2, "norm": 1.0, "deviation": 0.1,
             "confidence": 0.1},
        ),
        "catapult": (ld.simulation.catapult, {"run": t.descent}),
        "average_geometry": (
            ld.torch.average_geometry, {"factory": Pair, "inputs": np.ones((2, 4)), "draws": 2, "seed": 0}
        ),
        "distance_from_linear": (
            ld.torch.distance_from_linear, {"model": t.classifier, "inputs": torch.ones(2, 4)}
        ),
        # diagrams
        "DiagramSettings": (
            ld.diagrams.DiagramSettings,
            {**t.grid, "noise": 1.0, "scale": 1.0, "spectrum": "mean", "seeds": (0, 1), "sources": ("predict",),
             "learning_rate": 0.001, "steps": 5, "dtype": "float64", "axes": "log", "depth": 3},
        ),
        "DiagramSettings, values": (
            ld.diagrams.DiagramSettings,
            {"shape": (6, 5), "singular_values": (9.0, 5.0), "variance_exponents": (-2.0,), "width_exponents": (1.0,)},
        ),
        "DiagramSettings.like": (
            ld.diagrams.DiagramSettings.like,
            {"target": t.target * 9, "noise": 1.0, "variance_exponents": (-2.0,), "width_exponents": (1.0,)},
        ),
        "DiagramSettings.over": (
            ld.diagrams.DiagramSettings.over,
            {"variances": [1e-4, 1e-2], "widths": [10, 100], "shape": 6, "axes": "log", "rank": 1},
        ),
        "DiagramSettings.from_dict": (ld.diagrams.DiagramSettings.from_dict, {"data": t.settings.as_dict()}),
        "DiagramSettings.task": (t.settings.task, {"seed": 0}),
        "DiagramSettings.law": (t.settings.law, {"variance_exponents": [-1.0], "width_exponents": [1.0]}),
        "figure2": (ld.diagrams.figure2, {"sources": ("predict",), "seeds": (0,), "steps": 9}),
        "phase_diagram": (
            ld.phase_diagram,
            {"settings": t.settings, "path": "diagram.zarr", "workers": None, "dask": None, "lanes": 1,
             "progress": False},
        ),
        "estimate": (ld.diagrams.estimate, {"0": t.settings, "lanes": 1}),
        "compute": (
            ld.diagrams.compute,
            {"settings": t.settings, "seed": 0, "variance_exponents": [-1.0], "width_exponents": [1.0], "lanes": 1},
        ),
        "refine": (
            ld.diagrams.refine,
            {"settings": t.settings, "quantity": "min_test_error", "level": 0.5, "cells": 6, "path": "points.zarr",
             "progress": False},
        ),
        "load_diagram": (ld.diagrams.load_diagram, {"path": "stored"}),
        "load_points": (ld.diagrams.load_points, {"path": "stored"}),
        # inspection
        "inspect": (ld.inspect, {"source": Pair(), "pair": TWO, "scale": 1.0, "vectors": True}),
        "inspect, start": (
            ld.inspect, {"source": Pair(), "pair": TWO, "start": Pair(), "vectors": False}
        ),
        "Inspection.adam_clocks": (t.inspection.adam_clocks, {"learning_rate": 1e-3, "steps": 9}),
        "Inspection.ranked": (t.inspection.ranked, {"by": "file"}),
        "Inspection.to_dict": (t.inspection.to_dict, {"vectors": True}),
        "Inspection.save_vectors": (ld.inspect(Pair(), pair=TWO, vectors=True).save_vectors, {"path": "vectors.npz"}),
        "common_thresholds": (
            ld.inspection.common_thresholds, {"shape": (3, 4), "rank": 2, "scale": 1.0, "alpha": 4.0}
        ),
        "start_threshold": (
            ld.inspection.start_threshold,
            {"law": ld.inspection.START_LAWS[0], "shape": (3, 4), "rank": 2, "scale": 1.0},
        ),
        "crossings": (ld.inspection.crossings, {"dataset": t.tracker.dataset}),
        "follow": (
            ld.inspection.follow,
            {"prediction": t.prediction, "dataset": t.tracker.dataset, "pair": None, "tolerance": 0.02},
        ),
        "load_tracking": (ld.inspection.load_tracking, {"path": "stored"}),
        # torch
        "mixed_init_": (
            ld.torch.mixed_init_,
            {"first": torch.nn.Linear(4, 9), "second": torch.nn.Linear(9, 3), "threshold": 1.0, "form": "auto",
             "side": None, "start": None, "seed": 0},
        ),
        "lora_init_": (ld.torch.lora_init_, {"module": Adapted(), "threshold": 1.0, "seed": 0}),
        "RegimeTracker": (
            ld.torch.RegimeTracker,
            {"pairs": Pair(), "every": 2, "pair": TWO, "scale": 1.0, "leave_out": ()},
        ),
        "RegimeTracker.step": (t.tracker.step, {"count": 3}),
        "RegimeTracker.save": (t.tracker.save, {"path": "tracking.zarr"}),
        "RegimeTracker.plot": (t.tracker.plot, {"pairs": None}),
        "RegimeTracker.watch": (t.tracker.watch, {"optimizer": torch.optim.SGD(Pair().parameters(), 0.1)}),
        "balancedness": (ld.torch.balancedness, {"model": t.classifier}),
        "neural_collapse": (
            ld.torch.neural_collapse, {"model": t.classifier, "data": (torch.eye(6, 4), t.labels)}
        ),
        # plots
        "plots.errors": (ld.plots.errors, {"0": t.run, "labels": ["a"], "ax": None, "log": True}),
        "plots.singular_values": (
            ld.plots.singular_values, {"0": t.run, "signal_modes": 2, "labels": ["a"], "log": True}
        ),
        "plots.figure1": (
            ld.plots.figure1, {"descent": t.run, "formula": t.other, "signal_modes": 2}
        ),
        "plots.prediction": (ld.plots.prediction, {"run": t.expected}),
        "plots.mode_growth": (ld.plots.mode_growth, {"split": t.regime}),
        "plots.pair_modes": (ld.plots.pair_modes, {"inspection": t.inspection, "ax": None}),
        "plots.phase_panels": (ld.plots.phase_panels, {"diagram": t.diagram, "source": "predict", "seed": 0}),
        "plots.refined_panel": (ld.plots.refined_panel, {"points": t.points, "level": 0.5, "ax": None}),
        "plots.trade_off": (ld.plots.trade_off, {"advice": t.advice}),
        "plots.who_crossed_when": (
            ld.plots.who_crossed_when, {"dataset": t.tracker.dataset, "pairs": None, "modes": 2}
        ),
        "plots.followed": (
            ld.plots.followed,
            {"steps": line, "predicted": np.ones((len(line), 2)), "measured": np.ones((len(line), 2)), "title": "t",
             "verdict": "v"},
        ),
        "plots.loss_frontier": (ld.plots.loss_frontier, {"frontier": t.frontier, "label": "best", "color": "C1"}),
        "plots.save_figure": (ld.plots.save_figure, {"figure": t.run.plot().figure, "path": "figure.png"}),
        "plots.richness_portrait": (ld.plots.richness_portrait, {"diagram": t.portrait, "source": None, "ax": None}),
        # further tasks, curves and counts
        "PortraitSettings": (
            ld.diagrams.PortraitSettings,
            {"richness": [0.1, 1.0], "learning_rates": [1e-3, 1e-2], "depth": 2, "singular_values": [1.0], "steps": 5,
             "goal": 0.1, "sources": ("predict",)},
        ),
        "compute_portrait": (
            ld.diagrams.compute_portrait,
            {"settings": t.portrait_settings, "richness": [0.1], "learning_rates": [1e-3]},
        ),
        "DiagonalRegression": (
            ld.tasks.DiagonalRegression,
            {"variances": [2.0, 1.0], "weights": [1.0, 0.5], "counts": [1, 3], "floor": 0.1},
        ),
        "PowerLaw": (ld.tasks.PowerLaw, {"capacity": 1.5, "source": 1.0, "modes": 50, "bins": 9}),
        "SignalNoise": (
            ld.tasks.SignalNoise,
            {"samples": 6, "dim": 8, "snr": 0.5, "flip": 0.1, "neurons": 4, "noise": 1.0, "key": 0},
        ),
        "RowFlow": (ld.methods.RowFlow, {"steps_per_decade": 10}),
        "CollapseTracker": (
            ld.torch.CollapseTracker, {"model": t.classifier, "data": (torch.eye(6, 4), t.labels), "every": 5}
        ),
        "collapse": (ld.simulation.collapse, {"labels": [0, 1, 0]}),
        "adapter_mode": (
            ld.solutions.adapter_mode, {"singular_value": 1.0, "threshold": 0.5, "overlap": 0.1, "time": [0.1, 1.0]}
        ),
        "orthogonal_kernel": (ld.solutions.orthogonal_kernel, {"learned": [0.1, 0.5], "threshold": 0.5, "depth": 3}),
        "orthogonal_mode_curve": (
            ld.solutions.orthogonal_mode_curve,
            {"singular_value": 1.0, "threshold": 0.5, "time": [0.1, 1.0], "depth": 3},
        ),
        "orthogonal_mode_time": (
            ld.solutions.orthogonal_mode_time,
            {"singular_value": 1.0, "threshold": 0.5, "level": [0.1, 0.5], "depth": 3},
        ),
        "start_variance": (ld.solutions.start_variance, {"variances": (0.1, 0.1), "widths": (9,)}),
        "scaling_exponent": (
            ld.simulation.scaling_exponent,
            {"run": t.run, "observable": "train_error", "window": None, "decades": 1.0, "floor": 0.0},
        ),
        "compute_frontier": (
            ld.simulation.compute_frontier,
            {"runs": [t.run, t.run], "sizes": [1.0, 2.0], "observable": "train_error", "points": 4},
        ),
        "small_loss_split": (ld.prediction.small_loss_split, {"losses": [0.1, 0.2, 0.9, 1.0], "level": 0.5}),
        # papers, citations, the page
        "cite": (ld.cite, {"0": "tu2024mixed"}),
        "reproduce": (ld.reproduce, {"key": "tu2024", "claims": ["threshold"], "full": False, "progress": False}),
        "Paper.with_settings": (t.paper.with_settings, {}),
        "catalogue": (ld.papers.catalogue, {}),
        "to_javascript": (
            ld.explorer.to_javascript,
            {"function": ld.solutions.mode_curve, "name": "curve", "arguments": ["s", "tau", "t"]},
        ),
        "write_page": (ld.explorer.write_page, {"path": "page.html"}),
    }  # fmt: skip


def call(function, arguments):
    """Call a function with arguments by name; those whose names are digits go first, by place."""
    places = [value for name, value in arguments.items() if name.isdigit()]
    return function(*places, **{name: value for name, value in arguments.items() if not name.isdigit()})
