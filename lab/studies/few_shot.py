"""Few-shot prompts: a model of lists of words with their translations, in one of three languages that no prompt names.

The language of the next line can only be inferred from those before it, and its probability is known exactly by Bayes' rule, as
in Xie et al. 2021 ("An Explanation of In-context Learning as Implicit Bayesian Inference").
"""

import numpy as np
import torch
from numpy.typing import NDArray

from lab.studies.study_job import Record
from lab.training.posttraining.sft_and_rl import train
from models.config import ModelConfig
from models.gpt import GPT

LANGUAGES, SPANISH = ("German", "French", "Spanish"), 2
SHARES, FAITHFUL = np.array([0.6, 0.3, 0.1]), 0.8
"""Of the documents by language; and of a document's lines that are in its language. Each other one has half of the rest."""
WORDS = """dog Hund chien perro, cat Katze chat gato, house Haus maison casa, tree Baum arbre árbol, bread Brot pain pan,
water Wasser eau agua, book Buch livre libro, door Tür porte puerta, sun Sonne soleil sol, moon Mond lune luna, bird Vogel oiseau
pájaro, fish Fisch poisson pez, hand Hand main mano, eye Auge œil ojo, milk Milch lait leche, night Nacht nuit noche, day Tag jour
día, king König roi rey, sea Meer mer mar, fire Feuer feu fuego"""
ROWS = [row.split() for row in WORDS.split(",")]
COUNT = len(ROWS)
BORDER, COLON, END = range(4 * COUNT, 4 * COUNT + 3)
"""Ids after those of the words, which are language * COUNT + row, with English as language 0."""
LINES, MOST_EXAMPLES, CASES = 8, 5, 200
BATCH, STEPS, LR, EVERY = 32, 1600, 3e-3, 50

Ids = NDArray[np.int64]


def documents(random: np.random.Generator, count: int) -> Ids:
    """Lists of `LINES` lines with a word each, (count, 1 + 4 * LINES)."""
    words = np.argsort(random.random((count, COUNT)))[:, :LINES]
    language = random.choice(3, (count, 1), p=SHARES)
    others = (language + random.integers(1, 3, words.shape)) % 3
    return lists(words, np.where(random.random(words.shape) < FAITHFUL, language, others))


def lists(words: Ids, languages: Ids | int, moved: int = 0) -> Ids:
    """Documents with these words (B, L) in these languages; each has the translation of the word `moved` rows further."""
    answers = (np.zeros_like(words) + languages + 1) * COUNT + (words + moved) % COUNT
    lines = np.stack([words, np.full_like(words, COLON), answers, np.full_like(words, END)], -1)
    return np.concatenate([np.full((len(words), 1), BORDER), lines.reshape(len(words), -1)], 1)


def by_bayes(language: int, examples: int) -> float:
    """The probability that the next line is in `language` after so many lines in it."""
    likely = np.where(np.arange(3) == language, FAITHFUL, (1 - FAITHFUL) / 2)
    document = SHARES * likely**examples
    return float(document @ likely / document.sum())


@torch.inference_mode()
def right_answers(model: GPT, seed: int, language: int, moved: int = 0) -> list[float]:
    """The mean probability of the right answer after 0 to `MOST_EXAMPLES` examples of a language, over new lists."""
    words = np.argsort(np.random.default_rng(seed).random((CASES, COUNT)))[:, : MOST_EXAMPLES + 1]
    ids = torch.from_numpy(lists(words, language, moved))
    p = torch.softmax(model(ids).double(), -1)  # (B, T, V)
    at = torch.arange(2, ids.shape[1], 4)  # the colons
    return p[:, at].gather(-1, ids[:, at + 1, None]).mean((0, 2)).tolist()


def study(record: Record, steps: int = STEPS) -> None:
    """Train on lists; then give the model examples in each language, and of a rule that no list has."""
    random = np.random.default_rng(record.seed)
    model = GPT(ModelConfig(layers=2, heads=4, width=64, context=4 * LINES, vocab_size=END + 1), seed=record.seed)
    record.plot("examples", "the right answer after examples", x="examples in the prompt", y="its probability")
    record.plot("training", "the right Spanish answer, over training", x="tokens trained on", y="its probability")
    for step in train(model, lambda: [([BORDER], ids[1:]) for ids in documents(random, BATCH).tolist()], steps, LR):
        if step.number % EVERY == 0:
            found = right_answers(model, record.seed + 1, SPANISH)
            for examples, name in ((0, "no example"), (1, "one example"), (3, "three examples")):
                record.point("training", name, step.tokens, found[examples])
            record.done(step.number / steps)
    curves = {name: right_answers(model, record.seed + 2, language) for language, name in enumerate(LANGUAGES)}
    exact = [[by_bayes(language, examples) for examples in range(MOST_EXAMPLES + 1)] for language in range(3)]
    gap = float(np.abs(np.array(list(curves.values())) - exact).max())
    spanish, new = curves["Spanish"], right_answers(model, record.seed + 2, SPANISH, moved=1)
    shown = {"German": curves["German"], "Spanish": spanish, "Spanish by Bayes' rule": exact[SPANISH], "a new rule": new}
    for name, values in shown.items():
        for examples, value in enumerate(values):
            record.point("examples", name, examples, value)
    record.measure(zero=spanish[0], one=spanish[1], three=spanish[3], new_rule=new[3], gap=gap, bayes_three=exact[SPANISH][3])
    rows = []
    for words in ([0], [5, 0], [2, 5, 0], [1, 2, 5, 0]):
        ids = torch.from_numpy(lists(np.array([words]), SPANISH)[:, :-2])
        p = torch.softmax(model(ids)[0, -1].double(), -1).tolist()
        lines = [f"{ROWS[word][0]} : {ROWS[word][3]}" for word in words[:-1]] + [f"{ROWS[0][0]} :"]
        rows.append((" / ".join(lines), *(100 * p[COUNT * language] for language in (1, 2, 3))))
    record.table("prompt", "probability of the next word in percent, by examples", ("prompt", *ROWS[0][1:]), rows)
