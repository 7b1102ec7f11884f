"""Default length of a run: as many steps as fit into four minutes on this machine. Imports nothing heavy."""

from lab.core.number_format import whole

SECONDS = 240.0
"""Default duration of a run, about: the README's walk uses its model after some minutes."""
MOST_STEPS = 2000
"""On a quick machine: the small presets gain little from more."""
FEWEST_STEPS = 300
"""On a slow machine: after fewer steps, samples are not worth reading."""
ROUND = 100
"""Steps are a multiple of this, which is also the default number of steps between evaluations."""


def default_steps(step_seconds: float) -> int:
    """Steps that fit into the default duration, at so many seconds each, evaluations included."""
    fitting = min(SECONDS / step_seconds, MOST_STEPS)
    return max(FEWEST_STEPS, int(fitting) // ROUND * ROUND)


def default_steps_in_words(steps: int) -> str:
    """The reason for a default number of steps, in a sentence."""
    minutes = f"{SECONDS / 60:g} minutes"
    if steps >= MOST_STEPS:
        return f"{whole(steps)} steps, since no length was given: they fit into {minutes} here"
    if steps <= FEWEST_STEPS:
        return f"{whole(steps)} steps, since no length was given: the fewest that a run gets by default"
    return f"{whole(steps)} steps, since no length was given: about as many as this machine takes in {minutes}"
