"""For PyTorch: starts with a wanted threshold, and a tracker. Needs the extra: pip install 'lindyn[torch]'."""

from lindyn.torch.initialise import lora_init_, mixed_init_
from lindyn.torch.tracker import RegimeTracker, TrackingWarning

__all__ = ["RegimeTracker", "TrackingWarning", "lora_init_", "mixed_init_"]
