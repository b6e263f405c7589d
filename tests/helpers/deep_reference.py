"""Deep linear networks written out: full Gaussian weights, and descent on ½‖A − T‖² by the chain rule."""

import numpy as np


def gaussian_layers(sizes, variances, rng):
    """W_1 … W_L with iid N(0, σ_l²) entries, sizes d_in, w_1, …, d_out."""
    shapes = zip(sizes[1:], sizes[:-1], strict=True)
    return [np.sqrt(v) * rng.standard_normal(s) for v, s in zip(variances, shapes, strict=True)]


def descend(layers, target, rate, steps, every=1):
    """A at every so many steps from 0 on; a leading axis of the layers holds several networks."""
    layers, path = [np.array(w) for w in layers], []
    for step in range(steps + 1):
        below = [None]
        for w in layers[:-1]:
            below.append(w if below[-1] is None else w @ below[-1])
        matrix = layers[-1] if below[-1] is None else layers[-1] @ below[-1]
        if step % every == 0:
            path.append(matrix)
        if step == steps:
            break
        signal, gradients = matrix - target, []
        for w, b in zip(reversed(layers), reversed(below), strict=True):
            gradients.append(signal if b is None else signal @ np.swapaxes(b, -1, -2))
            signal = np.swapaxes(w, -1, -2) @ signal
        layers = [w - rate * g for w, g in zip(layers, reversed(gradients), strict=True)]
    return np.stack(path)
