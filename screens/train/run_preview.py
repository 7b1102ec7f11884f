"""Pictures of a planned run: its model with the parameters of each part, its learning rate, and its text at both ends."""

from lab.core.number_format import count, counted, whole
from lab.planning.sequence_preview import TextSplit
from lab.runs.run_schema import TrainConfig
from lab.views.blocks import StageEntry
from models.config import ModelConfig, schedule_factor
from models.parameter_count import inventory
from screens.plot.figure import Figure, Series
from screens.widgets.forward_pass_list import ForwardPassDrawing
from screens.widgets.piece_lines import PieceLine, PieceLinesView, wrap_pieces

POINTS = 200
"""Points of the learning rate's curve."""
CHARACTERS = 4000
"""Characters of the text's beginning that are laid out: more than a screen shows."""
EMBED, ATTENTION, MLP, NORM, LOGITS = "embed + position", "attention", "mlp", "final norm", "logits → softmax"


class ModelPicture(ForwardPassDrawing, can_focus=False):
    """The model as Inspect draws it, with the shape and the parameters of each part beside it."""

    TITLE = "the model, from the tokens up"
    model: ModelConfig | None = None

    def show(self, model: ModelConfig) -> None:
        self.model, self.current = model, -1  # no part is chosen
        layers = [(f"{layer + 1} {part}", layer) for layer in range(model.layers) for part in (ATTENTION, MLP)]
        groups = [("tokens", None), (EMBED, None), *layers, (NORM, None), (LOGITS, None)]
        self.steps = tuple(StageEntry(group, group, group, layer) for group, layer in groups)
        self._build()

    def _notes(self) -> dict[str, tuple[str, ...]]:
        return part_notes(self.model) if self.model is not None else {}


def part_notes(model: ModelConfig) -> dict[str, tuple[str, ...]]:
    """Parameters and shape of each part, by its name."""
    counts: dict[str, int] = {}
    for weight in inventory(model):
        first, *rest = weight.name.split(".")
        part = {"wte": EMBED, "wpe": EMBED, "ln_f": NORM, "lm_head": LOGITS}.get(first)
        part = part or f"{int(rest[0]) + 1} {ATTENTION if rest[1] in ('ln_1', 'attn') else MLP}"
        counts[part] = counts.get(part, 0) + (weight.count if weight.tied_to is None else 0)
    shapes = {
        EMBED: f"{whole(model.vocab_size)} tokens, {model.context} positions × {model.width}",
        ATTENTION: f"{counted(model.heads, 'head')} × {model.head_width}",
        MLP: f"{model.width} → {4 * model.width} → {model.width}",
        NORM: f"{model.width}",
        LOGITS: f"{model.width} → {whole(model.vocab_size)}, with the embedding's weights",
    }
    return {part: (f"{count(n)} parameters · {shapes[part.lstrip('0123456789 ')]}",) for part, n in counts.items()}


def schedule_figure(train: TrainConfig) -> Figure:
    """The learning rate over the run."""
    end, unit = (train.steps, "steps") if train.steps is not None else (train.minutes or 0.0, "minutes")
    shares = [point / POINTS for point in range(POINTS + 1)]
    rates = [train.lr * schedule_factor(train.schedule, share, train.warmup, train.final_lr) for share in shares]
    line = Series("learning rate", "learning rate", "line", "train", [share * end for share in shares], rates)
    return Figure((line,), version=(end, unit, *rates), x_label=unit)


class TextEnds(PieceLinesView, can_focus=False):
    """The beginning of the training text, and the place where it ends and the validation text begins."""

    split: TextSplit | None = None

    def show(self, split: TextSplit | None) -> None:
        self.split = split
        self.border_title = "the text: training ┃ validation"
        self.set_lines(self._ends() if split is not None else [])

    def on_resize(self) -> None:
        self.show(self.split)

    def _ends(self) -> list[PieceLine]:
        assert self.split is not None, "there is a text"
        start = "".join(piece[:CHARACTERS] for piece, _ in self.split.sample)[:CHARACTERS]
        border = wrap_pieces([(self.split.before, "text"), ("┃", "title"), (self.split.after, "val")], self.room)
        room = max(1, self.window - len(border) - 1)
        lines = wrap_pieces([(start, "text")], self.room)
        return [*lines[:room], [("⋮", "dim")], *border]
