"""Depth at any width: three layers of width 10¹², held on the few hundred hidden units that training reaches.

Their modes follow the deep mode curve with the threshold τ = (σ²w)^{3/2}, to the distance of 1/√w from infinite width
and of A(0) from zero. The run states what one generation more of reachable directions would have changed.
"""

import numpy as np

import lindyn as ld

WIDTH, VARIANCE_TIMES_WIDTH = 10**12, 4.0


def main() -> dict[str, float]:
    """Descend, and compare every singular value at every record with its curve."""
    task = ld.SpikedMatrix(dim=30, rank=3, key=0)
    net = ld.DeepLinear.gaussian(30, depth=3, width=WIDTH, variance=VARIANCE_TIMES_WIDTH / WIDTH, key=1, tolerance=1e-4)
    run = ld.simulate(net, task, ld.GradientDescent(learning_rate=2e-5, steps=600), save_every=20)
    modes = np.linalg.svd(task.target, compute_uv=False)
    theory = ld.solutions.deep_mode_curve(modes, net.threshold, run.time[:, None], depth=3)
    gap = float(np.abs(run["singular_values"] - np.sort(theory)[:, ::-1]).max() / modes[0])
    print(net)
    print(f"largest distance of a singular value from its curve: {gap:.4f} of the largest one")
    print(f"cut-off: one generation more changes A by {run.info.reduction_error:.1e} of its size")
    return {"gap": gap, "cut_off": float(run.info.reduction_error or 0.0), "train_error": float(run["train_error"][-1])}


if __name__ == "__main__":
    main()
