"""A recommendation as the lines of Python that carry it out."""

from __future__ import annotations


def lora_code(rank: int, threshold: float, *, learning_rate: float, momentum: float, steps: int) -> str:
    """Return the lines that set a LoRA pair to a threshold and train it: α = r, so that s = 1 and t = ηn (2.7).

    Args:
        rank: r.
        threshold: τ on the singular values of ΔW.
        learning_rate: η on the clock of s = 1.
        momentum: of heavy-ball SGD, 0 for none.
        steps: step to stop at.

    Examples:
        >>> print(lora_code(8, 0.25, learning_rate=0.01, momentum=0.0, steps=500))
        import torch
        from peft import LoraConfig, get_peft_model
        from lindyn.torch import lora_init_
        <BLANKLINE>
        config = LoraConfig(r=8, lora_alpha=8, target_modules=["..."])  # name your layers; s = alpha/r = 1
        model = get_peft_model(model, config)
        lora_init_(model, threshold=0.25, seed=0)  # A = sqrt(2 tau/s) x orthonormal rows, B = 0
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(trained, lr=0.01)  # stop at step 500
    """
    return "\n".join(
        [
            "import torch",
            "from peft import LoraConfig, get_peft_model",
            "from lindyn.torch import lora_init_",
            "",
            f'config = LoraConfig(r={rank}, lora_alpha={rank}, target_modules=["..."])'
            "  # name your layers; s = alpha/r = 1",
            "model = get_peft_model(model, config)",
            f"lora_init_(model, threshold={threshold:.6g}, seed=0)  # A = sqrt(2 tau/s) x orthonormal rows, B = 0",
            "trained = [p for p in model.parameters() if p.requires_grad]",
            _sgd("trained", learning_rate, momentum, steps),
        ]
    )


def pair_code(
    shape: tuple[int, int], width: int, threshold: float, *, learning_rate: float, momentum: float, steps: int
) -> str:
    """Return the lines that set two linear layers to a threshold and train them.

    The start is orthogonal, exact from w = d_in + d_out on (2.4): a wider pair trains on the same path.

    Examples:
        >>> print(pair_code((3, 4), 10**6, 0.5, learning_rate=0.01, momentum=0.9, steps=500).splitlines()[3])
        first, second = torch.nn.Linear(4, 7, bias=False), torch.nn.Linear(7, 3, bias=False)
    """
    d_out, d_in = shape
    w = min(width, d_out + d_in)
    return "\n".join(
        [
            "import torch",
            "from lindyn.torch import mixed_init_",
            "",
            f"first, second = torch.nn.Linear({d_in}, {w}, bias=False), torch.nn.Linear({w}, {d_out}, bias=False)",
            f"mixed_init_(first, second, threshold={threshold:.6g}, seed=0)",
            _sgd("[first.weight, second.weight]", learning_rate, momentum, steps),
        ]
    )


def _sgd(parameters: str, learning_rate: float, momentum: float, steps: int) -> str:
    also = f", momentum={momentum:g}" if momentum else ""
    return f"optimizer = torch.optim.SGD({parameters}, lr={learning_rate:.6g}{also})  # stop at step {steps}"
