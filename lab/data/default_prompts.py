"""Default prompts: of a new run, from its validation text, and of Inspect, from the run that is opened."""

from lab.runs.home_folder import demo
from lab.runs.run_folder import Run

DEMO_PROMPT = "Once there was a big dog named Rex. Rex ran"
"""For lessons, claims and commands: several next tokens are likely."""
DEMO_INSPECT_PROMPT, DEMO_INSPECT_HEAD = "Once there was a small cat. The small", (3, 3)
"""What Inspect begins with on the demo: the next token hangs on an earlier one, by way of this layer and head (0-based), whose
effect is the largest of all when it is switched off."""

LONGEST_PROMPT_LINE = 30
"""Characters up to which a whole line is a prompt, such as a speaker's name in a play; of a longer line, its first words."""

PROMPT_WORDS = 4


def prompt_from_text(text: str) -> str:
    """A short prompt in the style of `text`: the beginning of a line, or of a sentence where the lines are long.

    The first line is skipped where there is another, since `text` may begin in the middle of it. A short line keeps its
    newline, so that the model continues below it; a longer one is cut behind its first words, without the space after them.
    """
    for line in text.split("\n")[1:-1]:
        if line.strip() and "�" not in line:
            return line.rstrip() + "\n" if len(line.rstrip()) <= LONGEST_PROMPT_LINE else _first_words(line)
    for mark in (". ", "。", " "):
        _, found, rest = text.partition(mark)
        if found and rest.strip():
            return _first_words(rest.strip("\n"))
    return _first_words(text.strip("\n")) or "\n"


def _first_words(line: str) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    words = " ".join(line.split()[:PROMPT_WORDS])
    for text in (indent + words, words):
        if len(text) <= LONGEST_PROMPT_LINE:
            return text if words else ""
        if whole_words := text[: LONGEST_PROMPT_LINE + 1].rpartition(" ")[0].rstrip():
            return whole_words
    return words[:LONGEST_PROMPT_LINE]


def first_prompt(run: Run) -> str:
    """A run's own prompt: its first sample prompt, or a newline if that is empty, as its samples begin; for the demo, a sentence
    like its training text.
    """
    if run.path == demo():
        return DEMO_PROMPT
    prompts = run.config.train.prompts
    return prompts[0] or "\n" if prompts else "The"
