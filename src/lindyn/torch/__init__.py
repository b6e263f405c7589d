"""For PyTorch. Needs the extra: pip install 'lindyn[torch]'."""

from lindyn.torch.tracker import RegimeTracker, TrackingWarning

__all__ = ["RegimeTracker", "TrackingWarning"]
