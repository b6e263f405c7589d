"""Trackers as callbacks of Lightning. Needs the package lightning."""

from __future__ import annotations

import warnings
from typing import Any

from lindyn.support.checks import InvalidArgument
from lindyn.torch.collapse_tracker import CollapseTracker
from lindyn.torch.tracker import RegimeTracker, TrackingWarning

try:
    from lightning.pytorch.callbacks import Callback
except ImportError as error:
    raise ImportError("The callback of Lightning needs lightning; install it with: pip install lightning.") from error


class TrackerCallback(Callback):
    """Steps a tracker with Lightning's trainer, saves it with every checkpoint, and goes back with a resumed one.

    Each record goes to the trainer's loggers as "lindyn/active_modes", "lindyn/imbalance_drift", "lindyn/turn" and
    "lindyn/adam_clock"; learning rates are read from the trainer's optimiser. A tracker that has to stop says so in a
    warning, and training goes on.

    Args:
        tracker: made from the module that is trained (or layers of it); with a `path`, it is saved at every
            checkpoint and at the end. To go on after a restart, make it with `resume=True`.

    Examples:
        Trainer(max_steps=1000, callbacks=[TrackerCallback(tracker)]).fit(module, loader)
    """

    def __init__(self, tracker: RegimeTracker):
        self.tracker = tracker

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Go to the step that training begins at."""
        self.tracker.seek(trainer.global_step)

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Keep the learning rates of this step: the schedule may move on before its end."""
        self.tracker.watch(optimizer)
        self.tracker.note_rates()

    def on_train_batch_end(self, trainer: Any, *args: Any, **kwargs: Any) -> None:
        """Count the optimiser steps made so far (none while gradients accumulate), and log a record."""
        before = self.tracker.records
        try:
            self.tracker.step(trainer.global_step)
        except InvalidArgument as error:
            if self.tracker.stopped is None:
                raise
            warnings.warn(str(error), TrackingWarning, stacklevel=2)
        if self.tracker.records > before:
            _log(trainer, self.tracker.summary())

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Save beside a checkpoint."""
        self._save()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Save, and end the live table."""
        self._save()
        self.tracker.close()

    def _save(self) -> None:
        if self.tracker.path is not None:
            self.tracker.save()


class CollapseCallback(Callback):
    """Steps a tracker of neural collapse with Lightning's trainer.

    Each record goes to the trainer's loggers as "lindyn/nc1", "lindyn/nc2", "lindyn/nc3", "lindyn/certificate" and,
    with linear layers in a row, "lindyn/balancedness".

    Args:
        tracker: made from the module that is trained, or the classifier in it.

    Examples:
        Trainer(max_steps=1000, callbacks=[CollapseCallback(tracker)]).fit(module, loader)
    """

    def __init__(self, tracker: CollapseTracker):
        self.tracker = tracker

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Go to the step that training begins at, and log the first record."""
        self.tracker.seek(trainer.global_step)
        _log(trainer, self.tracker.summary())

    def on_train_batch_end(self, trainer: Any, *args: Any, **kwargs: Any) -> None:
        """Count the optimiser steps made so far (none while gradients accumulate), and log a record."""
        before = self.tracker.records
        self.tracker.step(trainer.global_step)
        if self.tracker.records > before:
            _log(trainer, self.tracker.summary())


def _log(trainer: Any, found: dict[str, float]) -> None:
    for logger in trainer.loggers:
        logger.log_metrics(found, step=trainer.global_step)
