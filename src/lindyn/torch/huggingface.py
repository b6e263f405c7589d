"""Trackers as callbacks of the Hugging Face Trainer. Needs transformers."""

from __future__ import annotations

import warnings
from typing import Any

from lindyn.support.checks import InvalidArgument
from lindyn.torch.collapse_tracker import CollapseTracker
from lindyn.torch.tracker import RegimeTracker, TrackingWarning

try:
    from transformers import TrainerCallback
except ImportError as error:
    raise ImportError(
        "The callback of the Trainer needs transformers; install it with: pip install transformers."
    ) from error


class TrackerCallback(TrainerCallback):
    """Steps a tracker with the Trainer, saves it with every checkpoint, and goes back with a resumed one.

    Each log of the Trainer (`state.log_history`, and the callbacks after this one) also has "lindyn/active_modes",
    "lindyn/imbalance_drift", "lindyn/turn" and "lindyn/adam_clock" of the last record; learning rates are read from the
    Trainer's optimiser. A tracker that has to stop says so in a warning, and training goes on.

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
        if kwargs.get("optimizer") is not None:
            self.tracker.watch(kwargs["optimizer"])

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep the learning rates of this step: the schedule moves on before its end."""
        self.tracker.note_rates()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count an optimiser step."""
        try:
            self.tracker.step(state.global_step)
        except InvalidArgument as error:
            if self.tracker.stopped is None:
                raise
            warnings.warn(str(error), TrackingWarning, stacklevel=2)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Add active modes and drift to what is logged."""
        _add(self.tracker.summary(), logs, state)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Save beside a checkpoint."""
        if self.tracker.path is not None:
            self.tracker.save()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Save, and end the live table."""
        self.on_save(args, state, control)
        self.tracker.close()


class CollapseCallback(TrainerCallback):
    """Steps a tracker of neural collapse with the Trainer, and adds its last record to each log.

    Each log of the Trainer (`state.log_history`, which its checkpoints keep, and the callbacks after this one) also has
    "lindyn/nc1", "lindyn/nc2", "lindyn/nc3", "lindyn/certificate" and, with linear layers in a row,
    "lindyn/balancedness".

    Args:
        tracker: made from the model that the Trainer gets.

    Examples:
        Trainer(model=model, args=arguments, train_dataset=data, callbacks=[CollapseCallback(tracker)])
    """

    def __init__(self, tracker: CollapseTracker):
        self.tracker = tracker

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Go to the step that training begins at."""
        self.tracker.seek(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count an optimiser step."""
        self.tracker.step(state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Add the last record to what is logged."""
        _add(self.tracker.summary(), logs, state)


def _add(found: dict[str, float], logs: Any, state: Any) -> None:
    """Add numbers to a log, and to the history that the Trainer has just written it into."""
    if logs is not None:
        logs.update(found)
    if state.log_history:
        state.log_history[-1].update(found)
