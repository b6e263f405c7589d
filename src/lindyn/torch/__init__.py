"""For PyTorch: starts with a wanted threshold. Needs the extra: pip install 'lindyn[torch]'."""

from lindyn.torch.initialise import lora_init_, mixed_init_

__all__ = ["lora_init_", "mixed_init_"]
