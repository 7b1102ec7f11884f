"""Model card of an exported run: its README.md, with the facts that the run's files hold."""

import re

from lab.core.errors import UserError
from lab.exchange.hugging_face.hub_models import HUB_MODELS
from lab.exchange.report_facts import Fact, model_facts, result_facts, shown, text_facts, training_facts
from lab.runs.find_runs import open_run
from lab.runs.home_folder import demo
from lab.runs.loss_history import LossHistory
from lab.runs.run_folder import Run
from lab.runs.run_follower import RunFollower
from lab.runs.run_schema import RunConfig

MARKED = re.compile(r"([\\`*_{}\[\]<>#!|~$&])")
"""Characters that Markdown or HTML may read as more than themselves."""

HEADER = """---
library_name: transformers
pipeline_tag: text-generation
license: {license}
{base}tags:
- gpt2
---
"""
LICENSES = {"distilbert/distilgpt2": "apache-2.0"}
"""Of the models on the Hub that can be imported; OpenAI's own are under the other."""
OWN_LICENSE = "mit"
UNKNOWN = """## License

None is named: add one at `license:` above before you share the model. The text that it has learned may restrict the choice.
"""
USE = """## Use

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("path/of/this/folder")
tokenizer = AutoTokenizer.from_pretrained("path/of/this/folder")
ids = tokenizer("The", return_tensors="pt").input_ids
print(tokenizer.decode(model.generate(ids, max_new_tokens=50, do_sample=True)[0]))
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
    base = _base_model(config)
    known = LICENSES.get(base, OWN_LICENSE) if (base and config.imported) or run.path == demo() else "unknown"
    header = HEADER.format(license=known, base=f"base_model: {base}\n" if base else "")
    end = [USE, UNKNOWN] if known == "unknown" else [USE]
    return "\n".join([f"{header}\n# {_plain(shown(run.name))}\n\n{about}\n", *tables, *end])


def _base_model(config: RunConfig) -> str:
    """Name on the Hub of the model whose weights it began with, as far as its runs in between are still there; else empty."""
    while config.imported is None:
        origin = config.start or config.tuning
        try:
            earlier = open_run(origin.base).config if origin is not None else config
        except UserError:
            return ""
        if earlier.created >= config.created:  # none, or a later run of the base's name
            return ""
        config = earlier
    imported = config.imported
    names = [model.repositories[0] for name, model in HUB_MODELS.items() if imported.source in (name, *model.repositories)]
    return names[0] if names and imported.revision else ""


def _table(facts: list[Fact]) -> str:
    rows = [f"| {_plain(name)} | {_plain(value)} |" for name, value in facts]
    return "\n".join(["| | |", "|---|---|", *rows, ""])


def _plain(text: str) -> str:
    """Text that Markdown shows as it stands."""
    return MARKED.sub(r"\\\1", text)
