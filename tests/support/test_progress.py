"""A progress bar shows what is done, and no more when what it watches ends early."""

import pytest

from lindyn.support.progress import Progress


def test_a_bar_that_is_cut_off_stays_where_it_was():
    with pytest.raises(KeyboardInterrupt), Progress("training", 10, show=True) as bar:
        for done in range(1, 4):
            bar.update(done)
        shown = bar._bar
        raise KeyboardInterrupt
    assert [(task.completed, task.total) for task in shown.tasks] == [(3, 10)]
    assert not shown.live.is_started
