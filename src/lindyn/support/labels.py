"""Descriptions and units of every recorded quantity, in one table for each kind of record.

Units: "1" is dimensionless; "target" is that of the target's entries and singular values; time and learning rate are
measured in "1/target".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Label(NamedTuple):
    """What a quantity is, in one line, and its unit."""

    description: str
    unit: str = "1"

    @property
    def attributes(self) -> dict[str, str]:
        """The attributes of a labelled array (CF conventions)."""
        return {"long_name": self.description, "units": self.unit}


# of a matrix A = W2 W1 at one time: trajectories, predictions, trackers
OF_STATES: Mapping[str, Label] = {
    "time": Label("flow time (learning rate × step)", "1/target"),
    "step": Label("step of the optimiser", "1"),
    "mode": Label("mode, largest singular value first"),
    "train_error": Label("train error per entry", "target²"),
    "test_error": Label("test error per entry", "target²"),
    "error_estimate": Label("how far the test error of one run can be from the prediction", "target²"),
    "cost": Label("cost C(A)", "target²"),
    "loss": Label("squared error 2C(A), summed over outputs", "target²"),
    "distance": Label("squared distance per entry to a reference", "target²"),
    "singular_values": Label("singular values of A", "target"),
    "singular_values_std": Label("standard deviation over starts", "target"),
    "signal_modes": Label("learned strength of each signal mode", "target"),
    "thresholds": Label("threshold τ_k of each mode", "target"),
    "threshold": Label("threshold τ: lazy below, active above", "target"),
    "nominal_threshold": Label("threshold of the pair as a whole, from its imbalance", "target"),
    "activity": Label("s/√(s² + τ²): 0 lazy, 1 active"),
    "activities": Label("activity m_k/√(m_k² + τ_k²): 0 lazy, 1 active"),
    "active_modes": Label("modes above their own threshold"),
    "alignment": Label("share of each reference mode in the leading singular subspaces of A"),
    "stable_rank": Label("stable rank ‖A‖_F²/‖A‖_op²"),
    "effective_rank": Label("exponential of the entropy of s/Σs"),
    "balancedness": Label("‖W1W1ᵀ − W2ᵀW2‖_F / ‖W‖_F²"),
    "imbalance_drift": Label("‖D(t) − D(0)‖_F over its scale at the start, D = W1W1ᵀ − W2ᵀW2"),
    "turn": Label("‖W − W(0)‖_F / ‖W(0)‖_F of the factor that starts larger (LoRA: A)"),
    "share_outside_rows": Label("share of ‖A − A(0)‖_F² outside the row space of W1(0)"),
    "adam_clock": Label(
        "Adam's clock x: sum of the learning rates over the deviation of that factor's entries at the start"
    ),
    "ntk_drift": Label("‖Θ(t) − Θ(0)‖_F / ‖Θ(0)‖_F of the tangent kernel Θ"),
    "ntk_distance": Label("1 − ⟨Θ(t), Θ(0)⟩/(‖Θ(t)‖ ‖Θ(0)‖): how far the tangent kernel has turned"),
    "kernel_alignment": Label("⟨G₀, ΘG₀⟩/(‖Θ‖ ‖G₀‖²), G₀ = ∇C(0): share of the tangent kernel on what is learned"),
    "sharpness": Label("largest eigenvalue of the Hessian of the cost over all layers", "target"),
    "layer_singular_values": Label("singular values of each reduced layer", "target^(1/L)"),
    "imbalance": Label("‖W_lW_lᵀ − W_{l+1}ᵀW_{l+1}‖_F of each pair of layers", "target^(2/L)"),
    "gram_in": Label("C1 = W1ᵀW1; at any depth that of all layers but the last", "target"),
    "gram_out": Label("C2 = W2W2ᵀ; at any depth that of all layers but the first", "target"),
    "geometry": Label("JᵀJ of the function x ↦ Jx that is learned; J = A without a front end", "target²"),
    "matrix": Label("A = W2W1", "target"),
    "w1": Label("reduced first layer", "target^½"),
    "w2": Label("reduced second layer", "target^½"),
}

# of one training of a phase diagram, from its start to where the published rules stop it
OF_CELLS: Mapping[str, Label] = {
    "min_test_error": Label("smallest test error per entry before stopping", "target²"),
    "stable_rank": Label("stable rank at the smallest test error"),
    "steps_to_min": Label("steps until the smallest test error"),
    "last_step": Label("step at which the published rules stop"),
    "unfinished": Label("1 where the largest number of steps ended the run before the published rules did"),
    "train_error": Label("train error per entry at the last step", "target²"),
    "active_modes": Label("singular values of A above the threshold at the smallest test error"),
    "distance": Label("largest ‖A − A_formula‖_F²/(d_out d_in) along the run", "target²"),
    "learning_rate": Label("learning rate η", "1/target"),
    "error_estimate": Label("how far one run can be from the predicted smallest test error", "target²"),
    "valid": Label("1 where that is within a tenth of the error of predicting zero, 0 elsewhere"),
}

# of one training of a portrait, from orthogonal layers to its largest number of steps
OF_PORTRAITS: Mapping[str, Label] = {
    "train_error": Label("cost at the last step, over that of the start"),
    "peak_error": Label("largest cost along the run, over that of the start"),
    "steps_to_goal": Label("step from which on the cost stays below the goal"),
    "sharpness": Label("norm of the tangent kernel at the last step, for steps of learning rate 1", "target"),
    "unfinished": Label("1 where the cost is not below the goal after the largest number of steps"),
}

# of the grid of a phase diagram
OF_GRIDS: Mapping[str, Label] = {
    "variance_exponent": Label("γ_σ²"),
    "width_exponent": Label("γ_w"),
    "learning_rate": Label("learning rate η of the layers as parametrised", "1/target"),
    "richness": Label("richness γ, the inverse output scale"),
    "status": Label("0 missing, 1 done, 2 failed, 3 ended by the largest number of steps"),
    "reason": Label("why a cell failed"),
}

# of a classifier in training: its features, and neighbouring layers
OF_COLLAPSE: Mapping[str, Label] = {
    "nc1": Label("NC1: variance of the features within classes over that between them"),
    "nc2": Label("NC2: condition number of the class means"),
    "nc3": Label("NC3: mean cosine of a class mean and its row of the last layer"),
    "certificate": Label("bound of NC1 from weights and training error"),
    "condition": Label("condition number of the last layer, which NC2 equals at interpolation"),
    "nc3_of_weights": Label("what NC3 is at interpolation, from the last layer"),
    "imbalance": Label("‖D‖_F, D = W2ᵀW2 − W1W1ᵀ − b1b1ᵀ; of its diagonal across a ReLU"),
    "balancedness": Label("‖D‖_F/(‖W1W1ᵀ‖_F + ‖W2ᵀW2‖_F)"),
    "across": Label("what lies between the two layers: nothing (linear) or a ReLU"),
}
