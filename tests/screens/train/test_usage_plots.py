"""What training takes of the machine, as the small panels show it."""

from lab.reports.machine_usage import Usage, UsageMeter
from screens.train.run_plots import usage_plots


def meter(*samples: Usage) -> UsageMeter:
    made = UsageMeter()
    made.cores, made.memory = 4, 8_000_000_000
    made.samples.extend(samples)
    return made


def test_before_the_second_sample_there_is_a_sentence() -> None:
    for found in (usage_plots(None), usage_plots(meter(Usage(1.0, 0.5, 10)))):
        assert [figure.empty for figure in found] == ["Usage: only while you watch it train."]


def test_processor_and_memory_are_the_machine_s_and_the_trainer_s() -> None:
    samples = (Usage(100.0, 0.5, 2_000_000_000), Usage(101.5, 0.75, 3_000_000_000, 2.5, 400_000_000))
    cpu, memory = usage_plots(meter(*samples))
    everything, trainer = cpu.series
    assert (everything.name, list(everything.xs), list(everything.ys)) == ("all 3.0 of 4 cores", [0.0, 1.5], [2.0, 3.0])
    assert (trainer.name, list(trainer.xs), list(trainer.ys)) == ("trainer 2.5", [1.5], [2.5])
    everything, trainer = memory.series
    assert (everything.name, list(everything.ys)) == ("all 3.0 GB of 8.0 GB", [2.0, 3.0])
    assert (trainer.name, list(trainer.ys)) == ("trainer 400 MB", [0.4])


def test_a_card_has_panels_of_its_own_where_there_is_one() -> None:
    samples = (Usage(100.0, 0.5, 1, gpu=0.5, gpu_memory=10**9), Usage(101.0, 0.5, 1, gpu=0.98, gpu_memory=2 * 10**9))
    figures = usage_plots(meter(*samples))
    assert [figure.series[0].name for figure in figures[2:]] == ["GPU busy 98%", "GPU memory 2.0 GB"]
    assert list(figures[3].series[0].ys) == [1.0, 2.0]
