"""Experiments on what a model writes: documents that it simulates, names that it knows or not, copies of the training text."""

import random
import re

import numpy as np

from lab.core.errors import UserError
from lab.core.number_format import fixed, whole
from lab.experiments.batch_passes import losses_of
from lab.experiments.experiment_context import ExperimentContext, Ids
from lab.experiments.experiment_result import ExperimentResult, Measure, experiment
from lab.views.blocks import Cell, Column, Table, View
from lab.views.number_tables import number, share
from models.check import check
from models.config import SamplingSettings
from models.sampling import generate, generate_batch
from models.tokenizers.token_labels import printable

SAME = 0.05
"""Difference in nats a token up to which a question counts as changing nothing."""
WRITTEN, ANSWER_COLUMNS = 4, [Column("", "left"), Column("nats a token"), Column("text", "left")]
EXAMPLE = "The dog ran. / Who ran? / It."


@experiment
def question(context: ExperimentContext) -> ExperimentResult:
    """Measures the mean −ln p per token of an answer after the beginning alone, `alone`, and after the question too, `asked`, and
    of what the model writes there itself, `written`. The input `text` is beginning, question and answer with / between them.
    """
    parts = [part.strip() for part in context.inputs.get("text", EXAMPLE).split("/")]
    if len(parts) != 3 or not all(parts):
        raise UserError("Type a beginning, a question and its answer, with a / between each two.")
    begin, asked, answer = (context.tokenizer.encode(f" {part}" if at else part) for at, part in enumerate(parts))
    room = context.config.context - len(answer)
    if room < 1:
        raise UserError(f"The answer is longer than the context of {context.run_name}; type a shorter one.")
    costs = []
    for given in (begin, begin + asked):
        losses = losses_of(context.model, np.array([given[-room:] + answer]))
        costs.append(float(losses[0, -len(answer) :].double().mean()))
    before, after = costs
    settings = [SamplingSettings(seed=context.sampling.seed + at) for at in range(WRITTEN)]
    drawn = list(zip(*generate_batch(context.model, begin + asked, len(answer), settings), strict=True))
    nats = -np.log([[token.probability for token in text] for text in drawn]).mean(1)  # (WRITTEN,)
    when = {"without": before, "after": after}
    rows = [[Cell(f"the answer, {name} the question"), number(cost, 2), Cell(parts[2])] for name, cost in when.items()]
    for text, mean in zip(drawn, nats, strict=True):
        shown = printable(context.tokenizer.decode_bytes([token.id for token in text]))
        rows.append([Cell("the model, after the question"), number(mean, 2), Cell(shown)])
    how = (
        "leaves this answer about as"
        if abs(after - before) < SAME
        else f"makes this answer {'more' if after < before else 'less'}"
    )
    sentence = (
        f"The question {how} probable: from {fixed(before, 2)} to "
        f"{fixed(after, 2)} nats a token. What the model writes there itself costs {fixed(float(nats.mean()), 2)} on average."
    )
    view = View("question", "a question and what follows", sentence, [Table(ANSWER_COLUMNS, rows)])
    return ExperimentResult(view, {"alone": before, "asked": after, "written": float(nats.mean()), "tokens": len(answer)})


SAMPLES, SAMPLE_TOKENS, INVENTED = 8, 40, 8
EXCERPT, SEARCHED, GOES_ON = 18, 2_000_000, 8
"""Most tokens of a stretch that are shown, most training tokens that are searched, and tokens that greedy decoding adds."""


@experiment
def two_names(context: ExperimentContext) -> ExperimentResult:
    """Measures for two beginnings, typed as `text` with a / between them, how sure the model goes on: the largest `probability_1`
    and `probability_2`, `entropy_1` in nats and so on; and `times_1` that the words which only this one has occur in its text. If
    one of the two was found, invented names stand in place of the other: `entropy_low` and `entropy_high` are of all not found.
    """
    prompts = [part.strip() for part in context.inputs.get("text", "The dog / The Dodo").split("/")]
    words = [re.findall(r"\w+", prompt) for prompt in prompts]
    own = [[word for word in each if word not in words[1 - at]] for at, each in enumerate(words)] if len(words) == 2 else []
    if not own or not all(own):
        raise UserError("Type two beginnings that differ in a name, with a / between them.")
    text = context.sample_text(SEARCHED)
    names = [" ".join(each) for each in own]
    times = [len(re.findall(rf"\b{re.escape(name)}\b", text)) for name in names]
    is_one_known, known = times.count(0) == 1, 0 if times[0] else 1
    begin, _, end = prompts[known].partition(own[known][0])
    chance, invented = random.Random(context.sampling.seed), list[str]()
    while is_one_known and len(invented) < INVENTED:
        name = "".join(chance.choice("bdfgklmnprstvz") + chance.choice("aeiou") for _ in range(3)).capitalize()
        invented += [f"{begin}{name}{end}"] * (name not in text)
    rows, measures, entropies = list[list[Cell]](), dict[str, Measure](), list[float]()
    for at, prompt in enumerate(prompts + invented):
        ids = context.encode(prompt)
        logits = context.trace(ids, ()).trace["logits"][-1].double()
        p, log_p = logits.softmax(-1), logits.log_softmax(-1)
        top, entropy = float(p.max()), -float((p * log_p).sum())
        entropies.append(entropy)
        if at < len(prompts):
            measures |= {f"probability_{at + 1}": top, f"entropy_{at + 1}": entropy, f"times_{at + 1}": times[at]}
            drawn = [token.id for token in generate(context.model, ids, GOES_ON, SamplingSettings(greedy=True))]
            shown = Cell(printable(context.tokenizer.decode_bytes(drawn)))
            rows.append([Cell(names[at]), Cell(whole(times[at]), times[at]), share(top), number(entropy, 2), shown])
    after = [f"after “{row[0].text}” (found {row[1].text} ×) {row[2].text}, with entropy {row[3].text}" for row in rows]
    columns = [Column("name", "left"), *map(Column, ("found", "probability", "entropy")), Column("greedy", "left")]
    sentence = f"Probability of the most probable next token: {'; '.join(after)} nats."
    if is_one_known:
        own_entropy = entropies.pop(known)
        low, high = min(entropies), max(entropies)
        measures |= {"entropy_low": low, "entropy_high": high}
        where = "lower than after each of them" if own_entropy < low else "higher than after each of them"
        where = "among those: here it does not tell them apart" if low <= own_entropy <= high else where
        rows.append([Cell(f"{INVENTED} invented"), Cell(""), Cell(""), Cell(f"{fixed(low, 2)} to {fixed(high, 2)}"), Cell("")])
        sentence += (
            f" After “{names[1 - known]}” and {INVENTED} invented names the entropy is {fixed(low, 2)} to {fixed(high, 2)}; "
        )
        sentence += f"that after “{names[known]}” is {where}."
    elif not any(times):
        sentence += " Neither was found: type a name that its text has."
    title = f"two names, counted in {whole(min(SEARCHED, len(context.tokens()[0])))} training tokens"
    return ExperimentResult(View("two_names", title, sentence, [Table(columns, rows)]), measures)


@experiment
def copied_stretches(context: ExperimentContext) -> ExperimentResult:
    """Measures the length in tokens of the longest stretch that the training text has verbatim: the mean over samples of the
    model, `sampled`, and over passages of held-out text, `held_out`; their difference in standard errors, `more_in_errors`.
    """
    passages, part = context.windows(SAMPLES, SAMPLE_TOKENS)
    length = passages.shape[1] - 1
    train = as_characters(context.tokens()[0][:SEARCHED])
    settings, drawn = [SamplingSettings(seed=context.sampling.seed + at) for at in range(SAMPLES)], []
    for tokens in generate_batch(context.model, context.ids, length, settings):
        drawn.append([token.id for token in tokens])
        check()
    tables, lengths = [], []
    columns = [Column("tokens"), Column(f"the stretch (at most {EXCERPT} tokens of it)", "left")]
    for name, texts in {"written by the model": np.array(drawn).T, f"passages of the {part}": passages[:, 1:]}.items():
        cells = []
        for text in texts:
            start, count = longest_stretch(train, as_characters(text))
            check()
            shown = printable(context.tokenizer.decode_bytes(text[start : start + min(count, EXCERPT)]))
            cells.append([number(count, 0, bar=count / length), Cell(shown)])
        tables.append(Table(columns, sorted(cells, key=lambda row: -(row[0].value or 0)), title=name))
        lengths.append(np.array([row[0].value for row in cells]))
    sampled, held_out = (float(each.mean()) for each in lengths)
    error = max(float(np.sqrt(sum(each.var() / max(1, len(each) - 1) for each in lengths))), 1e-9)
    apart = (sampled - held_out) / error
    compared = "no clear difference" if abs(apart) <= 2 else "it copies more" if apart > 0 else "it copies less"
    sentence = f"The longest verbatim stretch has {fixed(sampled, 1)} tokens on average in its samples, "
    sentence += f"{fixed(held_out, 1)} in passages of the {part}: {compared}."
    view = View("copied_stretches", f"verbatim in {whole(len(train))} training tokens", sentence, [*tables])
    return ExperimentResult(view, {"sampled": sampled, "held_out": held_out, "part": part, "more_in_errors": apart})


def as_characters(ids: Ids) -> str:
    """A text with a character for each token, in which Python finds tokens quickly."""
    return ids.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def longest_stretch(train: str, text: str) -> tuple[int, int]:
    """The longest stretch of a text that the training text has: its place in the text and its length. A character is a token."""
    start = length = 0
    for at in range(len(text)):
        while at + length < len(text) and text[at : at + length + 1] in train:
            start, length = at, length + 1
    return start, length
