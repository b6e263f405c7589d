"""A regime tracker as a callback of the Hugging Face Trainer. Needs transformers."""

from __future__ import annotations

from typing import Any

from lindyn.torch.tracker import RegimeTracker

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise ImportError(
        "The callback of the Trainer needs transformers; install it with: pip install transformers."
    ) from error


class TrackerCallback(TrainerCallback):
    """Steps a tracker with the Trainer, saves it with every checkpoint, and goes back with a resumed one.

    Args:
        tracker: made from the model that the Trainer gets; with a `path`, it is saved at every checkpoint and at the
            end. To go on after a restart, make it with `resume=True`.

    Examples:
        Trainer(model=model, args=arguments, train_dataset=data, callbacks=[TrackerCallback(tracker)])
    """

    def __init__(self, tracker: RegimeTracker):
        self.tracker = tracker

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Go to the step that training begins at."""
        self.tracker.seek(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count an optimiser step."""
        self.tracker.step(state.global_step)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Save beside a checkpoint."""
        if self.tracker.path is not None:
            self.tracker.save()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Save, and end the live table."""
        self.on_save(args, state, control)
        self.tracker.close()
