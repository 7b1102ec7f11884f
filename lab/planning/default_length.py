"""How long a run is trained where nobody says: as many steps as this machine takes in a few minutes. Imports nothing heavy."""

from lab.core.number_format import whole

SECONDS = 240.0
"""So long a run takes by default, about: the README's walk goes on with its model after some minutes."""
MOST_STEPS = 2000
"""By default, however quick the machine is: the small presets gain little from more."""
FEWEST_STEPS = 300
"""By default, however slow it is: after fewer a model writes nothing that one could look at."""
ROUND = 100
"""Steps are a multiple of this, which is also how often a run is evaluated by default."""


def default_steps(step_seconds: float) -> int:
    """Steps of a run that nobody gave a length, on a machine where one takes so long, its share of the evaluations included."""
    fitting = min(SECONDS / step_seconds, MOST_STEPS)
    return max(FEWEST_STEPS, int(fitting) // ROUND * ROUND)


def default_steps_in_words(steps: int) -> str:
    """Why it is so many steps."""
    minutes = f"{SECONDS / 60:g} minutes"
    if steps >= MOST_STEPS:
        return f"{whole(steps)} steps, since no length was given: they fit into {minutes} here"
    if steps <= FEWEST_STEPS:
        return f"{whole(steps)} steps, since no length was given: the fewest by default, and {minutes} or more here"
    return f"{whole(steps)} steps, since no length was given: about as many as this machine takes in {minutes}"
