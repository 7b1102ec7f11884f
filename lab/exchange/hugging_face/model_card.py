"""Model card of an exported run: its README.md, with the facts that the run's files hold."""

import re

from lab.exchange.report_facts import Fact, model_facts, result_facts, shown, text_facts, training_facts
from lab.runs.loss_history import LossHistory
from lab.runs.run_folder import Run
from lab.runs.run_follower import RunFollower

MARKED = re.compile(r"([\\`*_{}\[\]<>#!|~$&])")
"""Characters that Markdown or HTML may read as more than themselves."""

HEADER = """---
library_name: transformers
pipeline_tag: text-generation
tags:
- gpt2
---
"""
USE = """## Use

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("path/of/this/folder")
tokenizer = AutoTokenizer.from_pretrained("path/of/this/folder")
```
"""


def model_card(run: Run, step: int, dtype: str) -> str:
    """The card as Markdown; `step` is that of the exported weights, `dtype` their type in words.

    Raises:
        UserError: if the run's settings cannot be read.
    """
    read = RunFollower(run).read()
    config, status, history = read.config, read.status, read.history or LossHistory()
    results = result_facts(config, status, read.phase, history)
    of_step = [] if config.imported is not None else [("step", f"{step:,}")]
    sections = (
        ("Weights", [*of_step, ("type", dtype)]),
        ("Text and tokenizer", text_facts(config)),
        ("Architecture: GPT-2", model_facts(config)),
        ("Training", training_facts(config)),
        ("Results of the run", results),
    )
    tables = [f"## {title}\n\n{_table(facts)}" for title, facts in sections if facts]
    about = "A GPT-2, exported from llmlab, a learning lab for language models in the terminal."
    return "\n".join([f"{HEADER}\n# {_plain(shown(run.name))}\n\n{about}\n", *tables, USE])


def _table(facts: list[Fact]) -> str:
    rows = [f"| {_plain(name)} | {_plain(value)} |" for name, value in facts]
    return "\n".join(["| | |", "|---|---|", *rows, ""])


def _plain(text: str) -> str:
    """Text that Markdown shows as it stands."""
    return MARKED.sub(r"\\\1", text)
