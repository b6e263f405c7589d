"""The line between lazy and active moves with depth: γ_σ² + γ_w = 2/L.

Smallest test errors of predicted training (d = 100, rank 5) along the width w = d³, for two, three and four layers. The
error rises where the threshold (σ²w)^{L/2} reaches the signal's size d: at a smaller σ²w the deeper the network is.
"""

import numpy as np

from lindyn.diagrams import DiagramSettings, compute

DIM, DEPTHS, LEVEL = 100, (2, 3, 4), 0.4


def main() -> dict[int, float]:
    """Find where the smallest test error rises through a level, for each depth."""
    exponents = np.linspace(-3.2, -1.6, 25)
    places = {}
    print("depth   smallest test error rises through 0.4 at γ_σ² + γ_w   active line 2/L")
    for depth in DEPTHS:
        settings = DiagramSettings(
            variance_exponents=exponents, width_exponents=(3.0,), shape=(DIM, DIM), rank=5, depth=depth, steps=2000
        )
        errors = compute(settings, 0, exponents, np.full(exponents.size, 3.0))["predict"]["min_test_error"]
        rises = np.flatnonzero((errors[:-1] < LEVEL) & (errors[1:] >= LEVEL))
        k = int(rises[-1])
        share = (LEVEL - errors[k]) / (errors[k + 1] - errors[k])
        places[depth] = float(exponents[k] + share * (exponents[k + 1] - exponents[k]) + 3.0)
        print(f"{depth:5d}   {places[depth]:55.3f}   {2 / depth:15.3f}")
    return places


if __name__ == "__main__":
    main()
