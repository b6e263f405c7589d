"""Everything that cannot be used is refused in one sentence that names the argument and says what it must be."""

import numpy as np
import optax

import lindyn as ld
from helpers.refusals import refused
from lindyn.networks import laws as law

NAN, INF = np.nan, np.inf
EYE, WIDE = np.eye(3), np.ones((3, 4))
TASK = ld.SpikedMatrix(target=EYE)
REGRESSION = ld.Regression(np.eye(4, 3) + 1, np.ones((4, 3)))
MASKED = ld.Completion([[1.0, NAN, 2.0], [3.0, 4.0, 5.0], [6.0, 7.0, 8.0]])
MIXED = ld.Mixed(1.0)
NET = ld.TwoLayer.gaussian(3, 100, 0.01)
NTK = ld.TwoLayer.parametrized(3, law.ntk(3, width=100))
BATCHES = np.zeros((2, 2), int)


def descent(**options):
    return ld.GradientDescent(**{"learning_rate": 0.01, "steps": 2, **options})


def run(system=NET, task=TASK, method="auto", **options):
    return ld.simulate(system, task, method, **options)


# what is done → the argument that must be named, and a part of what must be said of its value or of the remedy
TABLE = {
    "arrays": [
        (lambda: ld.Mixed(1.0, start=[1.0, 2.0]), "start", "2-dimensional"),
        (lambda: ld.Mixed(1.0, start=NAN * EYE), "start", "9 of its 9 entries"),
        (lambda: ld.solutions.MixedSolution(EYE, 1.0, start=WIDE), "start", "have shape (3, 3)"),
        (lambda: ld.simulation.alignment(NAN * EYE), "reference", "finite"),
    ],
    "dynamics": [
        (lambda: ld.Mixed(-1.0), "threshold", "at least 0, but it is -1"),
        (lambda: ld.Mixed(NAN), "threshold", "finite"),
        (lambda: ld.Mixed(1.0, weight_decay=-1), "weight_decay", "at least 0"),
        (lambda: ld.Lazy(0.0), "threshold", "does not move"),
        (lambda: ld.Balanced(np.zeros((3, 3))), "start", "or use Mixed"),
        (lambda: ld.solutions.MixedSolution(EYE, -1.0), "threshold", "at least 0"),
        (lambda: ld.solutions.MixedSolution(EYE, 0.0), "threshold", "give a start or a positive threshold"),
        (lambda: ld.solutions.MixedSolution(EYE, 1.0)([1.0, 0.5]), "time", "sorted"),
        (lambda: ld.solutions.mode_curve(1.0, -1.0, 1.0), "threshold", "-1"),
        (lambda: ld.solutions.mode_curve(-1.0, 1.0, 1.0), "singular_value", "-1"),
        (lambda: ld.solutions.mode_curve(1.0, 1.0, -2.0), "time", "-2"),
        (lambda: ld.solutions.mode_curve(NAN, 1.0, 1.0), "singular_value", "nan"),
        (lambda: ld.solutions.mode_time(0.0, 1.0, 0.0), "singular_value", "positive"),
        (lambda: ld.solutions.mode_time(1.0, -1.0, 0.5), "threshold", "-1"),
        (lambda: ld.solutions.mode_time(1.0, 1.0, 2.0), "level", "between 0 and the singular value"),
    ],
    "methods": [
        (lambda: descent(learning_rate=0), "learning_rate", "greater than 0"),
        (lambda: descent(learning_rate=NAN), "learning_rate", "finite"),
        (lambda: descent(learning_rate="fast"), "learning_rate", "'auto', 'figure1', but it is 'fast'"),
        (lambda: descent(steps=-1), "steps", "at least 0"),
        (lambda: descent(steps=2.5), "steps", "whole number"),
        (lambda: descent(order="random"), "order", "'sequential', but it is 'random'"),
        (lambda: descent(momentum=1.0), "momentum", "[0, 1)"),
        (lambda: descent(nesterov=True), "nesterov", "set momentum=0.9"),
        (lambda: descent(weight_decay=-1), "weight_decay", "at least 0"),
        (lambda: descent(clip_norm=0), "clip_norm", "greater than 0"),
        (lambda: descent(clip_norm=1, order="sequential"), "clip_norm", "simultaneous"),
        (lambda: descent(batch_size=0), "batch_size", "at least 1"),
        (lambda: descent(batches=[[1], [2]], batch_size=1), "batches", "instead of `batch_size`"),
        (lambda: descent(batches=np.zeros((3, 2), int)), "batches", "steps = 2"),
        (lambda: descent(batches=np.zeros((2, 2))), "batches", "integers"),
        (lambda: descent(label_noise=-1), "label_noise", "at least 0"),
        (lambda: descent(key=-1), "key", "at least 0"),
        (lambda: ld.methods.Muon(momentum=-0.1), "momentum", "[0, 1)"),
        (lambda: ld.methods.Muon(scale="big"), "scale", "'big'"),
        (lambda: ld.methods.Muon(newton_schulz_steps=0), "newton_schulz_steps", "at least 1"),
        (lambda: ld.methods.Muon(learning_rate=-1), "learning_rate", "greater than 0"),
        (lambda: ld.methods.Optimizer(rule="adam"), "rule", "for example optax.adam(1e-2)"),
        (lambda: ld.Flow(solver="euler"), "solver", "'kvaerno5', but it is 'euler'"),
        (lambda: ld.Flow(rtol=0), "rtol", "greater than 0"),
        (lambda: ld.Flow(atol=-1), "atol", "greater than 0"),
        (lambda: ld.Flow(max_steps=0), "max_steps", "at least 1"),
        (lambda: ld.Flow(weight_decay=-1), "weight_decay", "at least 0"),
    ],
    "what does not meet": [
        (lambda: run(task=EYE), "task", "ndarray"),
        (lambda: run(system=EYE), "system", "ndarray"),
        (lambda: run(task=ld.SpikedMatrix(target=WIDE)), "system", "task's shape (3, 4), but its shape is (3, 3)"),
        (lambda: run(ld.Mixed(1.0, WIDE)), "system", "task's shape (3, 3), but its shape is (3, 4)"),
        (lambda: run(method="newton"), "method", "'newton'"),
        (lambda: run(MIXED, times=[1.0, 0.5]), "times", "entry 1 (0.5) is below entry 0 (1); sort them"),
        (lambda: run(MIXED, times=[-1.0, 0.5]), "times", "the first is -1"),
        (lambda: run(MIXED, times=[0.0, NAN]), "times", "1 of its 2 entries"),
        (lambda: run(MIXED, times=[]), "times", "non-empty"),
        (lambda: run(MIXED), "times", "pass times=[0, …]"),
        (lambda: run(method=descent(), times=[0.0, 1.0]), "times", "use save_every, or a Flow"),
        (lambda: run(method=descent(), save_every=0), "save_every", "at least 1"),
        (lambda: run(method=descent(), save_every=[0, 3]), "save_every", "from 0 to 2"),
        (lambda: run(method=descent(), save_every=[1, 0]), "save_every", "increasing"),
        (lambda: run(MIXED, MASKED, ld.ClosedForm(), times=[1.0]), "method", "Completion is not a multiple"),
        (lambda: run(MIXED, REGRESSION, ld.ClosedForm(), times=[1.0]), "method", "use Flow()"),
        (lambda: run(NET, TASK, ld.ClosedForm(), times=[1.0]), "method", "use Mixed.matching(network)"),
        (lambda: run(ld.Mixed(1.0, weight_decay=1.0), TASK, ld.ClosedForm(), times=[1.0]), "method", "weight_decay is"),
        (lambda: run(ld.Mixed(0.0), times=[1.0]), "threshold", "zero is a fixed point"),
        (
            lambda: run(MIXED, method=ld.Flow(weight_decay=0.5), times=[1.0]),
            "weight_decay",
            "Mixed(…, weight_decay=0.5)",
        ),
        (lambda: run(MIXED, method=descent(momentum=0.9)), "momentum", "Euler steps, but it is 0.9"),
        (lambda: run(MIXED, method=descent(order="sequential")), "order", "simulate a network"),
        (lambda: run(MIXED, method=descent(weight_decay=0.1)), "weight_decay", "Mixed(…, weight_decay=…)"),
        (lambda: run(MIXED, method=descent(clip_norm=1.0)), "clip_norm", "simulate a network"),
        (lambda: run(MIXED, REGRESSION, descent(batch_size=1)), "batch_size", "simulate a network"),
        (lambda: run(MIXED, REGRESSION, descent(batches=BATCHES)), "batches", "simulate a network"),
        (lambda: run(MIXED, REGRESSION, descent(label_noise=1.0)), "label_noise", "simulate a network"),
        (lambda: run(MIXED, method=ld.methods.Muon(steps=1)), "method", "simulate a network"),
        (lambda: run(MIXED, method=ld.methods.Optimizer(rule=optax.sgd(0.1))), "method", "Optimizer"),
        (lambda: run(method=descent(batch_size=1)), "batch_size", "SpikedMatrix has no samples; use a Regression"),
        (lambda: run(method=descent(batches=BATCHES)), "batches", "SpikedMatrix has no samples"),
        (lambda: run(method=descent(label_noise=1.0)), "label_noise", "SpikedMatrix has no samples"),
        (lambda: run(NET, REGRESSION, descent(batch_size=9)), "batch_size", "at most 4"),
        (
            lambda: run(NET, REGRESSION, descent(batches=BATCHES + 4)),
            "batches",
            "from 0 to 3, but they run from 4 to 4",
        ),
        (lambda: run(NTK, method=descent(weight_decay=0.1)), "weight_decay", "parametrised network"),
        (lambda: run(NTK, method=descent(clip_norm=1.0)), "clip_norm", "parametrised network"),
        (lambda: run(NTK, method=ld.methods.Muon(steps=1)), "method", "parametrised network"),
        (lambda: run(NTK, method=ld.methods.Optimizer(rule=optax.sgd(0.1))), "method", "parametrised network"),
        (lambda: run(task=ld.SpikedMatrix(target=0 * EYE), method=ld.GradientDescent()), "learning_rate", "zero"),
    ],
    "observables": [
        (lambda: run(method=descent(), observables=["energy"]), "observables", "'train_error'"),
        (lambda: run(method=descent(), observables=["test_error"]), "observables", "give the task a `signal`"),
        (lambda: run(MIXED, times=[1.0], observables=["balancedness"]), "observables", "simulate a network"),
        (lambda: run(method=descent(), observables=["cost", "cost"]), "observables", "'cost' comes twice"),
        (lambda: run(method=descent(), observables=[lambda s: 1.0]), "observables", "wrap it as Observable(name"),
        (lambda: run(method=descent(), observables=[3]), "observables", "it holds 3"),
        (lambda: ld.simulation.singular_values(0), "top", "at least 1"),
        (lambda: ld.simulation.alignment(EYE, rank=4), "rank", "at most 3"),
        (lambda: ld.simulation.distance_to(run(MIXED, times=[1.0])), "reference", "observables=[…, 'matrix']"),
    ],
}


@refused(TABLE)
def test_one_sentence_names_the_argument_and_the_remedy(refusal):
    refusal.check()
