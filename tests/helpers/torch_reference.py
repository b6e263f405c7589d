"""Training of the full network by PyTorch's autograd and optimisers, in float64: what the reduced runs must equal."""

from collections.abc import Callable

import numpy as np

import torch

torch.set_num_threads(1)


def tensor(value) -> torch.Tensor:
    return torch.tensor(np.asarray(value, np.float64))


def squared_error(target) -> Callable:
    """Return A, step ↦ ½‖A − T‖_F²."""
    t = tensor(target)
    return lambda a, _: 0.5 * ((a - t) ** 2).sum()


def train(
    w1, w2, loss: Callable, optimizer: Callable, steps: int, *, multiplier: float = 1.0, clip_norm: float | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Train A = multiplier·W2W1; return A at each step from 0 on, and the layers at the end.

    `optimizer` makes a torch optimiser from the two parameters, `loss` is a function of A and the step.
    """
    first, second = torch.nn.Parameter(tensor(w1)), torch.nn.Parameter(tensor(w2))
    rule, path = optimizer([first, second]), []
    for step in range(steps + 1):
        rule.zero_grad()
        matrix = multiplier * second @ first
        path.append(matrix.detach().numpy())
        if step == steps:
            break
        loss(matrix, step).backward()
        if clip_norm is not None:
            norm = torch.sqrt((first.grad**2).sum() + (second.grad**2).sum())
            for parameter in (first, second):
                parameter.grad *= torch.clamp(clip_norm / norm, max=1.0)
        rule.step()
    return np.stack(path), first.detach().numpy(), second.detach().numpy()


def train_sequentially(
    w1, w2, loss: Callable, rate: float, steps: int, *, momentum: float = 0.0, weight_decay: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Train with the gradient of A taken once a step and W2 moved by the W1 just made, as in the published code."""
    first, second = tensor(w1), tensor(w2)
    speed1, speed2, path = torch.zeros_like(first), torch.zeros_like(second), []
    for step in range(steps + 1):
        matrix = (second @ first).requires_grad_()
        path.append(matrix.detach().numpy())
        if step == steps:
            break
        (gradient,) = torch.autograd.grad(loss(matrix, step), matrix)
        speed1 = momentum * speed1 + second.T @ gradient + weight_decay * first
        first = first - rate * speed1
        speed2 = momentum * speed2 + gradient @ first.T + weight_decay * second
        second = second - rate * speed2
    return np.stack(path), first.numpy(), second.numpy()


def train_layers(layers, loss: Callable, optimizer: Callable, steps: int, *, every: int = 1) -> np.ndarray:
    """Train A = W_L ⋯ W_1; return A at every so many steps from 0 on."""
    parameters, path = [torch.nn.Parameter(tensor(layer)) for layer in layers], []
    rule = optimizer(parameters)
    for step in range(steps + 1):
        rule.zero_grad()
        matrix = parameters[0]
        for layer in parameters[1:]:
            matrix = layer @ matrix
        if step % every == 0:
            path.append(matrix.detach().numpy())
        if step < steps:
            loss(matrix, step).backward()
            rule.step()
    return np.stack(path)


class PlainMuon(torch.optim.Optimizer):
    """Muon as published, in the precision of its parameters: momentum, Nesterov's, the quintic iteration, no factor."""

    def __init__(self, parameters, lr: float, momentum: float, steps: int):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "steps": steps})

    @torch.no_grad()
    def step(self):
        """Make one step."""
        for group in self.param_groups:
            for p in group["params"]:
                buffer = self.state[p].setdefault("buffer", torch.zeros_like(p))
                buffer.lerp_(p.grad, 1 - group["momentum"])
                x = p.grad.lerp(buffer, group["momentum"])
                x = x.T if (tall := x.shape[0] > x.shape[1]) else x
                x = x / x.norm().clamp(min=1e-7)
                for _ in range(group["steps"]):
                    gram = x @ x.T
                    x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
                p.sub_(group["lr"] * (x.T if tall else x))
