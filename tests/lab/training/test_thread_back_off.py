from itertools import pairwise

from lab.training.compute_setup import ThreadBackOff


def steps(back_off: ThreadBackOff, seconds: dict[int, float], time: float) -> list[int]:
    """The threads of each step over so much time, where a step on n threads takes seconds[n]."""
    used, spent = [], 0.0
    while spent < time:
        used.append(back_off.threads)
        spent += seconds[back_off.threads]
        back_off.after(seconds[back_off.threads])
    return used


FREE, BUSY = {2: 0.02, 1: 0.035}, {2: 2.0, 1: 0.04}


def test_a_free_machine_keeps_all_threads_also_after_one_slow_step() -> None:
    assert set(steps(ThreadBackOff(1), {1: 0.1}, 10.0)) == {1}
    back_off = ThreadBackOff(2)
    assert set(steps(back_off, FREE, 100.0)) == {2}
    back_off.after(3.0)
    assert set(steps(back_off, FREE, 10.0)) == {2}


def test_a_busy_machine_gets_a_thread_back_and_all_are_tried_again_ever_more_rarely() -> None:
    back_off = ThreadBackOff(2)
    steps(back_off, FREE, 10.0)
    used = steps(back_off, BUSY, 600.0)
    assert used[0] == 2
    assert back_off.threads == 1 or used[-1] == 2
    on_two = [step for step, threads in enumerate(used) if threads == 2]
    assert len(on_two) < 0.01 * len(used)
    tries = [later - earlier for earlier, later in pairwise(on_two) if later - earlier > 1]
    assert len(tries) >= 3
    assert all(later > 1.8 * earlier for earlier, later in pairwise(tries))


def test_all_threads_come_back_when_the_machine_is_free_again_also_on_resuming() -> None:
    back_off = ThreadBackOff(2)
    steps(back_off, FREE, 10.0)
    steps(back_off, BUSY, 60.0)
    assert set(steps(back_off, FREE, 200.0)[-1000:]) == {2}
    resumed = ThreadBackOff(2, now=1)
    assert resumed.after(0.04) == 1
    assert set(steps(resumed, FREE, 100.0)[-1000:]) == {2}


def test_a_machine_that_was_busy_from_the_start_is_known_by_the_cores_it_gives() -> None:
    back_off = ThreadBackOff(2)
    for _ in range(10):
        back_off.after(1.0, 1.3)
    assert back_off.threads == 1
    back_off = ThreadBackOff(2)
    for _ in range(100):
        back_off.after(0.1, 0.18)
    assert back_off.threads == 2


def test_all_threads_are_kept_where_fewer_were_no_quicker() -> None:
    """Starved either way, but on two threads still a little faster than on one."""
    back_off = ThreadBackOff(2)
    used = []
    for _ in range(200):
        used.append(back_off.threads)
        back_off.after(1.0 if back_off.threads == 2 else 1.2, 0.5)
    assert used == [2] * 8 + [1] * 8 + [2] * 184
