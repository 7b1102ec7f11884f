"""A tokenizer of the lab as the files that `transformers.AutoTokenizer` opens: tokenizer.json and its settings."""

from typing import Any

from lab.core.errors import UserError
from models.tokenizers.gpt2_vocabulary_files import byte_of_character
from models.tokenizers.tokenizer import PATTERN, Tokenizer
from models.tokenizers.tokenizer_kinds import END_OF_TEXT, TokenizerError

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
"""Splits text by GPT-2's pattern and writes its bytes as characters; in decoding the reverse."""


def tokenizer_json(tokenizer: Tokenizer) -> dict[str, Any]:
    """The content of tokenizer.json: byte-level BPE with the same ids.

    Raises:
        UserError: if it splits text by another pattern than GPT-2's, or a token is not the merge of two others.
    """
    if tokenizer.pattern != PATTERN:
        raise UserError("The run's tokenizer splits text by a pattern of its own, so that it cannot be exported.")
    written = _written(tokenizer)
    merges = []
    try:
        for id in tokenizer.ordinary[256:]:
            parents = tokenizer.parents(id)
            assert parents is not None, "every token behind the bytes is a merge"
            merges.append([written[parent] for parent in parents])
    except TokenizerError as error:
        raise UserError(f"The run's tokenizer cannot be exported: {error}") from error
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": id,
                "content": text,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for text, id in tokenizer.special.items()
        ],
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


def _written(tokenizer: Tokenizer) -> dict[int, str]:
    """The ordinary tokens by id, their bytes written as printable characters."""
    character_of = {byte: character for character, byte in byte_of_character().items()}
    return {id: "".join(character_of[byte] for byte in tokenizer.token_bytes(id)) for id in tokenizer.ordinary}
