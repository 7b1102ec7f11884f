"""Places of the lab in words."""

import pytest

from lab.views.screen_state import ScreenState
from screens.dialogs.glossary_dialog import describe_place

INSPECT = {"mode": "inspect", "run": "tale", "prompt": "Once\nthere", "layer": 1, "head": 2}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (ScreenState(mode="home", run="demo"), "Home · demo"),
        (ScreenState(**INSPECT, stage="scores"), "Inspect · tale · scores → softmax · layer 2 · head 3 · “Once␊there”"),
        (
            ScreenState(**INSPECT, stage="mlp", position=0, checkpoint="250"),
            "Inspect · tale · step 250 · neurons, GELU · layer 2 · token 1 · “Once␊there”",
        ),
        (
            ScreenState(**INSPECT, stage="logits", aside="attribution", interventions=1),
            "Inspect · tale · direct logit attribution · 1 intervention · “Once␊there”",
        ),
        (ScreenState(mode="train", page="new"), "Train · a new run"),
        (
            ScreenState(mode="train", page="heads", run="tale", layer=0, head=3, step=100),
            "Train · tale · head scores · head 1.4 · evaluation of step 100",
        ),
        (ScreenState(mode="train", page="compare", run="a", others=("b", "c")), "Train · a · compared with b, c"),
        (ScreenState(mode="data", page="look", text="/texts/fable.txt"), "Data · fable.txt · look"),
        (
            ScreenState(mode="tokens", page="strip", tokenizer="run", run="tale", position=4),
            "Tokens · strip · tokenizer of tale · token 5",
        ),
        (
            ScreenState(mode="learn", page="lessons", run="demo", lesson="softmax", step=0),
            "Learn · lesson “Softmax, with your own numbers” · step 1 · demo",
        ),
        (ScreenState(mode="learn", page="lessons", lesson="gone", step=1), "Learn · lesson gone · step 2"),
        (ScreenState(mode="inspect", run="\x1b[2J"), "Inspect · ␛[2J"),
        (ScreenState(mode="tokens", prompt="a" * 100), "Tokens · “" + "a" * 48 + "…”"),
    ],
)
def test_the_words(state: ScreenState, words: str) -> None:
    assert describe_place(state) == words
