"""Plots of machine usage while a run is watched: CPU, memory, GPU."""

from __future__ import annotations

from collections.abc import Callable

from lab.core.number_format import bytes_, fixed, probability
from lab.reports.machine_usage import Usage, UsageMeter
from screens.plot.figure import Figure, Series

GIGA = 1e9


def usage_plots(meter: UsageMeter | None) -> list[Figure]:
    """CPU and memory of the machine and of the trainer; the GPU's where there is one."""
    samples = list(meter.samples) if meter else []
    if meter is None or len(samples) < 2:
        return [Figure((), version=("usage", 0), empty="Usage: only while you watch it train.")]
    last, version = samples[-1], ("usage", id(meter), samples[-1].at)
    beginning = samples[0].at

    def series(name: str, role: str, value: Callable[[Usage], float | None], short: str = "") -> Series:
        known = [(sample.at - beginning, found) for sample in samples if (found := value(sample)) is not None]
        kind = "line" if role == "train" else "dots"
        return Series(name, short or name, kind, role, [x for x, _ in known], [y for _, y in known])  # type: ignore[arg-type]

    def cores(share: float) -> float:
        return share * meter.cores

    figures = [
        Figure(
            (
                series(
                    f"all {fixed(cores(last.cpu), 1)} of {meter.cores} cores",
                    "raw",
                    lambda sample: cores(sample.cpu),
                    f"all {fixed(cores(last.cpu), 1)} cores",
                ),
                series(_now("trainer", last.trainer_cpu, lambda x: fixed(x, 1)), "train", lambda sample: sample.trainer_cpu),
            ),
            version=(*version, "cpu"),
            x_label="seconds",
        ),
        Figure(
            (
                series(
                    f"all {bytes_(last.memory)} of {bytes_(meter.memory)}",
                    "raw",
                    lambda sample: sample.memory / GIGA,
                    f"all {bytes_(last.memory)}",
                ),
                series(
                    _now("trainer", last.trainer_memory, bytes_),
                    "train",
                    lambda sample: None if sample.trainer_memory is None else sample.trainer_memory / GIGA,
                ),
            ),
            version=(*version, "memory"),
            x_label="seconds",
        ),
    ]
    if any(sample.gpu is not None for sample in samples):
        figures.append(
            Figure(
                (series(_now("GPU busy", last.gpu, lambda x: probability(x, 0)), "train", lambda sample: sample.gpu),),
                version=(*version, "gpu"),
                x_label="seconds",
            )
        )
        figures.append(
            Figure(
                (
                    series(
                        _now("GPU memory", last.gpu_memory, bytes_),
                        "train",
                        lambda sample: None if sample.gpu_memory is None else sample.gpu_memory / GIGA,
                    ),
                ),
                version=(*version, "gpu memory"),
                x_label="seconds",
            )
        )
    return figures


def _now(name: str, value: float | None, words: Callable[[float], str]) -> str:
    return name if value is None else f"{name} {words(value)}"
