"""Keys of each screen by purpose, and a small picture, for the help."""

from collections.abc import Callable
from dataclasses import dataclass

from screens.base_screen import LabScreen


@dataclass(frozen=True)
class Line:
    """One line of the help: an action, or two opposite ones such as the next and the one before."""

    ids: tuple[str, ...]
    words: str = ""
    """For two actions, or shorter than a description of one; "" is its own description."""


@dataclass(frozen=True)
class Group:
    """The keys of one purpose."""

    title: str
    lines: tuple[Line, ...]


def one(*ids: str) -> tuple[Line, ...]:
    """A line for each of these actions."""
    return tuple(Line((id,)) for id in ids)


MOVE = Group(
    "Move",
    (
        Line(("inspect.next", "inspect.previous"), "step through the forward pass"),
        Line(("inspect.right", "inspect.left"), "token whose prediction is inspected"),
        Line(("inspect.head", "inspect.head_before"), "head"),
        Line(("inspect.layer", "inspect.layer_before"), "layer"),
        Line(("inspect.first", "inspect.last"), "first and last step"),
        Line(("inspect.page_down", "inspect.page_up"), "scroll the view"),
        *one("inspect.all_heads", "inspect.lens_grid", "inspect.tour"),
        Line(("inspect.panel",), "one of several matrices, or all"),
        Line(("inspect.shading",), "shade tokens by attention from or to the chosen one"),
    ),
)
WRITE = Group(
    "Prompt and sampling",
    (
        *one("inspect.edit"),
        Line(("inspect.sample",), "sample the next token"),
        Line(("inspect.next_seed",), "sample it with the next seed"),
        Line(("inspect.undo",), "undo the last token or edit"),
        *one("inspect.auto"),
        Line(("inspect.faster", "inspect.slower"), "pace of generation"),
        *one("inspect.settings", "inspect.compare", "inspect.second", "inspect.pane"),
    ),
)
ASK = Group(
    "Ask why",
    (
        *one("inspect.enter", "inspect.explain", "inspect.climb"),
        Line(("inspect.attribution",), "direct logit attribution of the prediction"),
        Line(("inspect.evidence",), "evidence for it in the training text"),
        Line(("inspect.against",), "attribution against another token"),
        *one("inspect.order", "inspect.guess"),
    ),
)
CHANGE = Group(
    "Switch off and change",
    (
        Line(("inspect.switch",), "ablate the head or MLP, or hide the token; restore"),
        *one("inspect.effect"),
        Line(("inspect.mean",), "ablate to zero or to the mean"),
        Line(("inspect.scale",), "multiply the head or MLP by a factor"),
        Line(("inspect.look_at",), "make the head attend to one token only"),
        Line(("inspect.patch",), "patch from the second prompt"),
        *one("inspect.all_on"),
    ),
)
MODEL = Group("Model", one("inspect.run", "inspect.checkpoint", "inspect.time", "inspect.take_out", "inspect.restart"))

RUN = Group("Run", one("train.start", "train.pause", "train.resume", "train.stop", "train.new", "train.inspect", "train.step"))
PLOT = Group(
    "Plot",
    (
        *one("train.cursor", "train.zoom", "train.zoom_y"),
        Line(("train.closer", "train.wider"), "zoom"),
        Line(("train.back", "train.forth"), "pan"),
        *one("train.follow", "train.axis", "train.log", "train.bits", "train.smoothing", "train.baselines"),
    ),
)
PAGES = Group(
    "Below the plot",
    (
        *one("train.why", "train.panels", "train.heads", "train.probe", "train.updates", "train.head_history", "train.play"),
        Line(("train.later", "train.earlier"), "sample or evaluation; the cursor"),
        Line(("train.down", "train.up"), "scroll words or samples; the head or place"),
    ),
)
RUNS = Group("Runs", (Line(("train.older", "train.newer"), "watch another run"), *one("train.compare", "train.export")))

STEP = Group(
    "The step",
    (
        Line(("step.next", "step.previous"), "stage of the training step"),
        Line(("step.first", "step.last"), "first and last stage"),
        *one("step.take", "step.undo", "step.weight", "step.enter"),
    ),
)
BATCH = Group(
    "Text it learns from",
    (
        Line(("step.right", "step.left"), "token"),
        Line(("step.window", "step.before"), "window of the batch"),
        Line(("step.later", "step.earlier"), "later or earlier batch"),
        *one("step.edit", "step.own", "step.again"),
    ),
)
DATA = Group("Text", one("data.use", "data.type"))
DATA_PAGES = Group(
    "Pages",
    (
        *one("data.choose", "data.look", "data.clean", "data.split"),
        Line(("data.next_page", "data.previous_page"), "next and previous page"),
    ),
)
TOKENS = Group("Text", one("tokens.edit", "tokens.example", "tokens.load", "tokens.used", "tokens.tokenizer"))
TOKENS_PAGES = Group(
    "Pages",
    (
        *one("tokens.strip", "tokens.side", "tokens.bpe", "tokens.vocabulary"),
        Line(("tokens.next_page", "tokens.previous_page"), "next and previous page"),
    ),
)
LESSONS = Group(
    "Lessons",
    (
        Line(("lessons.next", "lessons.previous"), "lesson"),
        *one("lessons.read"),
        Line(("lesson.next", "lesson.previous"), "step of the lesson"),
        *one("lesson.open", "lesson.enlarge"),
    ),
)
LIVE_VIEW = Group(
    "Live view",
    (
        Line(("view.down", "view.up", "view.left", "view.right"), "from number to number"),
        Line(("view.row_start", "view.row_end"), "ends of the row"),
        Line(("live.right", "live.left"), "token"),
        Line(("live.head", "live.previous_head"), "head"),
        Line(("live.layer", "live.previous_layer"), "layer"),
    ),
)
HOME = Group("Runs", one("home.inspect", "home.watch", "home.new", "home.compare", "home.clone", "home.rename", "home.delete"))

GROUPS: dict[str, tuple[Group, ...]] = {
    "HomeScreen": (HOME,),
    "DataScreen": (DATA, DATA_PAGES),
    "TokensScreen": (TOKENS, TOKENS_PAGES),
    "TrainScreen": (RUN, PLOT, PAGES, RUNS),
    "InspectScreen": (MOVE, ASK, WRITE, CHANGE, MODEL),
    "OneStepScreen": (STEP, BATCH),
    "LearnScreen": (LESSONS, LIVE_VIEW),
}
"""Class of a screen: its keys by purpose. Keys that are in no group stand in one of their own."""

EVERYWHERE = Group(
    "Everywhere",
    (
        Line(
            ("mode.home", "mode.data", "mode.tokens", "mode.train", "mode.inspect", "mode.learn"),
            "Home, Data, Tokens, Train, Inspect, Learn",
        ),
        Line(("screen.next", "screen.previous"), "next and previous part of the screen"),
        *one("screen.back", "screen.more_keys"),
        Line(("command_palette",), "every action, found by words"),
        *one("app.note", "app.theme", "app.redraw", "app.help", "app.quit", "app.quit_anywhere"),
    ),
)


def _forward_pass(screen: LabScreen) -> str:
    """The forward pass of the model in view, with the keys that move along it."""
    facts = getattr(getattr(screen, "model", None), "facts", None)
    layers, heads = (f" × {facts.layers}", f"{facts.heads} heads") if facts is not None else ("", "heads")
    block = f"( attention → MLP ){layers}"
    first = f"tokens → embed → {block} → norm → logits → sample"
    at = first.index("(")
    keys = f"{'←/→':<{at}}{f'[ ] {heads}':<{first.index(')') - at - 3}}{{ }} layer"
    keys = f"{keys:<{first.index('sample')}}space"
    dashes = "─" * ((len(first) - 6) // 2)
    return "\n".join((first, keys, f"{dashes} j/k {dashes}▸"))


def _marks_of_a_run(screen: LabScreen) -> str:
    if getattr(screen, "making", False):
        return ""
    return "· training loss   ─ its mean   ◆ validation\n▴ saved  ★ best  ✗ skipped  ↶ rollback  ‖ pause  ▸ resume  ■ stop"


def _split(screen: LabScreen) -> str:
    return f"▕{'█' * 45}▒▒▒▒▒▏\n {'training, the first nine tenths':<45}validation, the last"


PICTURES: dict[str, Callable[[LabScreen], str]] = {
    "InspectScreen": _forward_pass,
    "TrainScreen": _marks_of_a_run,
    "DataScreen": _split,
}
"""Class of a screen: lines above its keys."""
