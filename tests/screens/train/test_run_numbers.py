"""The numbers beside the loss plot, of a recorded run."""

import msgspec

from screens.train.run_numbers import newest_numbers
from screens.train.watched_run import WatchedRun
from tests.lab.reports.recorded_curves import recorded


def test_at_the_end_both_validation_losses_are_said_to_be_of_all_the_text() -> None:
    """While it trains they are of the share that evaluations are made on: that number changes at the end, and its name too."""
    run = recorded("overfitting")
    final, best = run.head.status.final, run.head.status.final_best
    assert final is not None
    assert best is not None
    assert best.step < final.step
    ended = dict(newest_numbers(WatchedRun("tale", run.head.config, run.head.status, "finished", run.history)))
    assert ended["val, all"] == f"{final.val_loss:.3f}"
    assert ended["best, all"] == f"{best.val_loss:.3f} @ {best.step}"
    status = msgspec.structs.replace(run.head.status, final=None, final_best=None)
    lowest = run.history.best_evaluation
    assert lowest is not None
    before = dict(newest_numbers(WatchedRun("tale", run.head.config, status, "training", run.history)))
    assert before["best val"] == f"{lowest.val_loss:.3f} @ {lowest.step}"
