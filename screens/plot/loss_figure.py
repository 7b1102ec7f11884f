"""The loss curve of a run as a small figure."""

from pathlib import Path

from lab.reports.loss_curve import LossCurve
from screens.plot.figure import Figure, Series

LOG_FROM = 4.0
"""A curve whose highest loss is so many times its lowest is drawn on a logarithmic scale: there it shows more."""


def loss_figure(
    run: Path, curve: LossCurve, evaluations: tuple[tuple[float, float], ...], *, empty: str = "No steps yet."
) -> Figure:
    """Training loss, averaged over neighbouring steps, and validation loss, as pairs of step and loss."""
    steps, losses = tuple(step for step, _ in evaluations), tuple(loss for _, loss in evaluations)
    everything = [loss for loss in (*curve.losses, *losses) if loss > 0]
    is_log = bool(everything) and max(everything) > LOG_FROM * min(everything)
    series = (
        Series("training loss", "train", "line", "train", curve.steps, curve.losses),
        Series("validation", "val", "line" if len(steps) > 1 else "marks", "validation", steps, losses, dashes=(2, 1)),
    )
    words = "log y" if is_log else "linear y"
    version = (run, curve, evaluations)
    return Figure(series, version, x_label="steps", log_y=is_log, empty=empty, scale_words=words)
