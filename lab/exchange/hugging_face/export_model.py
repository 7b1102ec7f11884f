"""Export a run as a model folder: settings, weights, tokenizer and model card, all or nothing."""

import json
import os
import re
from pathlib import Path
from typing import Any, Literal, get_args

from lab.core.atomic_io import holds_run, os_error_in_words, sync_folder, write_atomic
from lab.core.errors import UserError
from lab.core.unfinished_folder import unfinished_folder
from lab.core.visible_text import shortened, visible
from lab.exchange.hugging_face.model_folder import HUB_MODELS, generation_config_json, gpt2_config_json
from lab.exchange.report_facts import Fact, model_facts, result_facts, shown, text_facts, training_facts
from lab.runs.find_runs import open_run
from lab.runs.home_folder import BUNDLED, bundled, home
from lab.runs.run_folder import Run, tokenizer_of
from lab.runs.run_history import LossHistory, RunFollower
from lab.runs.run_schema import RunConfig
from models.config import END_OF_TEXT, TokenizerError
from models.tokenizers.gpt2_vocabulary_files import byte_of_character
from models.tokenizers.tokenizer import Tokenizer

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
"""Splits text by GPT-2's pattern and writes its bytes as characters; in decoding the reverse."""


def tokenizer_json(tokenizer: Tokenizer) -> dict[str, Any]:
    """The content of tokenizer.json: byte-level BPE with the same ids.
    Raises UserError if a token is not the merge of two others."""
    character_of = {byte: character for character, byte in byte_of_character().items()}
    written = {id: "".join(character_of[byte] for byte in tokenizer.token_bytes(id)) for id in tokenizer.ordinary}
    merges = []
    try:
        for id in tokenizer.ordinary[256:]:
            parents = tokenizer.parents(id)
            assert parents is not None, "every token behind the bytes is a merge"
            merges.append([written[parent] for parent in parents])
    except TokenizerError as error:
        raise UserError(f"The run's tokenizer cannot be exported: {error}") from error
    as_it_stands = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": id, "content": text, **as_it_stands, "special": True} for text, id in tokenizer.special.items()],
        "normalizer": None,
        "pre_tokenizer": BYTE_LEVEL,
        "post_processor": None,
        "decoder": BYTE_LEVEL,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: id for id, token in written.items()} | tokenizer.special,
            "merges": merges,
        },
    }


def tokenizer_config_json(tokenizer: Tokenizer, context: int) -> dict[str, Any]:
    """The content of tokenizer_config.json.

    The class is the general one: that of GPT-2 would add an end-of-text token to a vocabulary without one.
    """
    names = ("bos_token", "eos_token", "unk_token", "pad_token")
    special = {} if tokenizer.end_of_text is None else dict.fromkeys(names, END_OF_TEXT)
    if padding := [text for text in tokenizer.special if "pad" in text.lower()]:
        special["pad_token"] = padding[0]
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": context, "clean_up_tokenization_spaces": False}
    return settings | special


Dtype = Literal["fp32", "bf16", "fp16"]
DTYPES: tuple[Dtype, ...] = get_args(Dtype)
TORCH_NAMES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


def export_model(run: Run, target: Path, dtype: Dtype = "fp32", checkpoint: str = "best") -> int:
    """Write the run's weights and tokenizer into `target`, which must be empty or not exist. Returns the step of the weights.

    `checkpoint` is "best", "last" or a snapshot's step in decimal digits.
    Raises UserError if there is something in `target`, the run has no such weights or another's tokenizer, a weight is too
    large for the type, or the system refuses."""
    target = Path(os.path.abspath(target.expanduser()))
    check_target(target)
    tokenizer = tokenizer_of(run)
    files: dict[str, Any] = {
        "config.json": gpt2_config_json(run.config.model, TORCH_NAMES[dtype], tokenizer.end_of_text),
        "generation_config.json": generation_config_json(run.config.model, tokenizer.end_of_text),
        "tokenizer.json": tokenizer_json(tokenizer),
        "tokenizer_config.json": tokenizer_config_json(tokenizer, run.config.model.context),
    }
    import torch

    from lab.runs.weights_file import NotFiniteError, load_model, write_weights
    from models.hugging_face_weights import HEAD, to_hugging_face

    model, step = load_model(run, checkpoint)
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[dtype]
    # Without the head, which is the embedding.
    stored = {name: weight.to(kind) for name, weight in to_hugging_face(model.state_dict()).items() if name != HEAD}
    try:
        with unfinished_folder(target.parent) as folder:
            for name, content in files.items():
                write_atomic(folder / name, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
            write_atomic(folder / "README.md", model_card(run, step, TORCH_NAMES[dtype]).encode("utf-8", "replace"))
            write_weights(folder / "model.safetensors", stored, {})
            _share(folder, like=target)
            os.rename(folder, target)
            sync_folder(target.parent)
    except NotFiniteError as error:
        raise UserError(
            f"{run.name} cannot be exported as {dtype}: {error} holds a number that is too large; use bf16."
        ) from error
    except OSError as error:
        raise os_error_in_words(error, f"write {shortened(visible(str(target)), 200)}") from error
    return step


def check_target(target: Path) -> None:
    """Check that there is nothing at the path of an export, or an empty folder, and that it is no place of the lab's own.

    Raises:
        UserError: otherwise.
    """
    shown = shortened(visible(str(target)), 200)
    parents = [Path(os.path.realpath(folder)) for folder in (target.parent, home())]
    is_among_runs = parents[0] == parents[1] and not target.name.startswith(".")
    if is_among_runs or any(map(holds_run, (parents[0], *parents[0].parents))):
        raise UserError(f"{shown} is where the lab keeps runs; give a folder elsewhere.")
    if not os.path.lexists(target):
        above = next(folder for folder in target.parents if os.path.lexists(folder))
        if not above.is_dir():
            raise UserError(f"{shortened(visible(str(above)), 200)} is no folder, so that nothing can be written into it.")
        return
    if target.is_symlink() or not target.is_dir():
        raise UserError(f"{shown} is there already and is no folder; give a folder that does not exist yet.")
    if os.path.samefile(target, os.curdir):
        raise UserError(f"{shown} is the folder that you are in; give one that does not exist yet.")
    try:
        is_empty = not os.listdir(target)
    except OSError as error:
        raise os_error_in_words(error, f"write {shown}") from error
    if not is_empty:
        raise UserError(f"{shown} is not empty, and an export replaces nothing; give a folder that does not exist yet.")


def _share(folder: Path, like: Path) -> None:
    """Give an export, which is made for others, the permissions of the folder that it replaces, else what the umask leaves."""
    mask = os.umask(0o077)
    os.umask(mask)
    for path in folder.iterdir():
        path.chmod(0o666 & ~mask)
    folder.chmod(like.stat().st_mode & 0o7777 if like.exists() else 0o777 & ~mask)


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
    Raises UserError if the run's settings cannot be read."""
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
    known = LICENSES.get(base, OWN_LICENSE) if (base and config.imported) or run.path in map(bundled, BUNDLED) else "unknown"
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
