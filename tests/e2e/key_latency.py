"""How long a key takes to be painted, measured through a pseudo-terminal: the time from writing the key until what the lab draws
puts a text on the screen that only the answer to that key contains. What a view shows comes from the engine, so that counts.

    python tests/e2e/key_latency.py                  # while a training saturates the machine
    python tests/e2e/key_latency.py --quiet          # on a short finished run, with nothing else running
    python tests/e2e/key_latency.py --quiet --gpt2   # Inspect alone, on random weights of GPT-2's shape and 64 tokens
    python tests/e2e/key_latency.py --quiet --gpt2 --tokens 1024 --rounds 5
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from lab.training.one_step.step_stages import STAGES
from tests.e2e.pseudo_terminal import PATIENCE, PseudoTerminal

LLMLAB = Path(sys.executable).with_name("llmlab")
BETWEEN = 0.25
"""Seconds between two keys: a quick hand, and long enough that one answer does not wait for another."""

Key = tuple[str, str]
"""What is typed, and a text that its answer draws."""

ESCAPE = "\x1b"
MODES: Sequence[Key] = (
    ("2", "▸2 Data◂"),
    ("3", "▸3 Tokens◂"),
    (ESCAPE, "token"),  # out of the text, which takes the keys until then
    ("4", "▸4 Train◂"),
    ("5", "▸5 Inspect◂"),
    ("6", "▸6 Learn◂"),
    ("1", "▸1 Home◂"),
)
ON_A_SCREEN: Sequence[tuple[str, Sequence[Key]]] = (
    ("home", (("1", "▸1 Home◂"), ("?", "Esc close"), ("?", "your runs"))),
    ("data", (("2", "▸2 Data◂"), ("?", "Esc close"), ("?", "path"))),
    ("train", (("4", "▸4 Train◂"), ("?", "Esc close"), ("?", "step"))),
    ("learn", (("6", "▸6 Learn◂"), ("?", "Esc close"), ("?", "▸6 Learn◂"))),
)
IN_INSPECT: Sequence[Key] = (
    ("k", "· pattern"),
    ("j", "· scores → softmax"),
    ("]", "head 2 ·"),
    ("[", "head 1 ·"),
    ("}", "layer 2 ·"),
    ("{", "layer 1 ·"),
)
IN_TRAIN: Sequence[Key] = (("a", "enter history"), ("t", "next token"), (ESCAPE, "tokens/s"))
IN_ONE_STEP: Sequence[Key] = (*(("j", f"stage {at}/{len(STAGES)}") for at in range(2, len(STAGES) + 1)), ("\x1b[H", "stage 1/"))
TO_THE_SCORES = 7
STEPS: Sequence[Key] = (
    ("j", "layer {layer} · attention · head {head} · q, k, v"),
    ("j", "head {head} · pattern"),
    ("j", "head {head} · scores"),
    ("j", "head {head} · why there"),
    ("j", "layer {layer} · attention · all heads"),
    ("j", "layer {layer} · head {head}:"),
    ("j", "head {head} · values"),
    ("j", "output projection ─"),
    ("j", "residual add after attention"),
    ("j", "layer {layer} · LayerNorm 2"),
    ("j", "layer {layer} · MLP ─"),
    ("j", "MLP · strongest neurons"),
    ("j", "residual add after the MLP"),
)
"""From a layer's first step to its last, and what only the step's view has."""
WITH_TOKEN = tuple(answer for _, answer in STEPS if any(word in answer for word in ("scores", "all heads", "values", "MLP ─")))
"""Those whose sentence names the token at the position."""
RUN = "measured"
"""Name of the run that Train shows."""
STEPS_WHEN_QUIET = 20
GPT2 = "shape"
"""Name of the run of GPT-2's shape."""
WORD = " dog"
"""A word that is one token of GPT-2's vocabulary."""


class Lab(PseudoTerminal):
    """The lab in a pseudo-terminal, and how long it takes to answer."""

    def __init__(self, size: str, home: str) -> None:
        """`size`: such as 120x40."""
        width, height = map(int, size.split("x"))
        super().__init__([str(LLMLAB)], {"LLMLAB_HOME": home}, Path(home), (width, height))
        self.times: dict[str, list[float]] = {}
        """Seconds of each kind of key."""

    def timed(self, key: str, answer: str) -> float:
        """Seconds from the key to its answer."""
        self.read(BETWEEN)
        start = time.perf_counter()
        return self.wait_for(answer, key) - start

    def measure(self, kind: str, key: str, answer: str) -> None:
        """Press the key and note the seconds to its answer among those of its kind."""
        self.times.setdefault(kind, []).append(self.timed(key, answer))

    def wait_for(self, answer: str, key: str = "") -> float:
        """Wait until the answer is on the screen, drawn after the key where one is typed; gives the time at which it came."""
        begin, end = len(self.written) if key else -1, time.monotonic() + PATIENCE
        self.type(key)
        while len(self.written) == begin or answer not in self.screen.text():
            assert time.monotonic() < end, f"never saw {answer!r} on the screen:\n{self.screen.text()}"
            self._read(0.05)
        return self.came

    def read(self, seconds: float, at_once: bool = False) -> bytes:
        """What is drawn within `seconds`; with `at_once`, what comes first."""
        begin, end = len(self.written), time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not (self._read(left) and at_once):
            assert self._program.poll() is None, f"the lab ended:\n{self.screen.text()}"
        return self.written[begin:]

    def peaks(self) -> dict[str, int]:
        """Largest resident size so far, in bytes, of the screen's process and of the engine's."""
        names = {str(self._program.pid): "screen"}
        for pid in Path(f"/proc/{self._program.pid}/task/{self._program.pid}/children").read_text().split():
            if b"lab.engine" in Path(f"/proc/{pid}/cmdline").read_bytes():
                names[pid] = "engine"
        found = {name: re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text()) for pid, name in names.items()}
        return {name: int(size[1]) * 1024 for name, size in found.items() if size}


def measure(lab: Lab, rounds: int) -> None:
    """Measure every key, each pressed `rounds` times once everything has been visited. The newest run is watched in Train."""
    lab.press("4", "▸4 Train◂")
    lab.read(2.0)
    for key, answer in MODES:
        lab.press(key, answer)
        lab.read(2.0)
    for _ in range(rounds):
        for key, answer in MODES:
            if key == ESCAPE:
                lab.press(key, answer)
            else:
                lab.measure("to another mode", key, answer)
    lab.press("5", "▸5 Inspect◂")
    for name, keys in ON_A_SCREEN:
        for _ in range(rounds):
            lab.press(*keys[0])
            for key, answer in keys[1:]:
                lab.measure(f"help on {name}, and back", key, answer)
            lab.press("5", "▸5 Inspect◂")
    lab.press("4", "▸4 Train◂")
    for _ in range(rounds):
        for key, answer in IN_TRAIN:
            lab.measure("another page of Train", key, answer)
    measure_over_train(lab, rounds)
    lab.press("5", "▸5 Inspect◂")
    lab.read(2.0)
    for step in range(TO_THE_SCORES):
        lab.press("j", f"stage {step + 2}/")
    lab.press("1", "▸1 Home◂")
    lab.press("5", "predicts token")
    last = int(re.findall(r"position \d+/(\d+)", lab.screen.text())[-1])
    moves = (*IN_INSPECT, ("h", f"position {last - 1}/{last}"), ("l", f"position {last}/{last}"))
    for _ in range(rounds):
        for key, answer in moves:
            lab.measure("a step or move in Inspect, its view drawn", key, answer)


def measure_over_train(lab: Lab, rounds: int) -> None:
    """Measure the screens that open from Train."""
    lab.press("c", "Enter choose")
    lab.press("\r", "best val loss")
    lab.press("s", "x axis")
    for _ in range(rounds):
        lab.type("\r")  # from steps to tokens
        lab.measure("another axis of Compare", "\r", "epochs")
        lab.type("\r\r")  # over time, back to steps
    lab.press("\x1b", "best val loss")
    lab.press("\x1b", IN_TRAIN[-1][1])
    lab.press("w", "stage 1/")
    lab.read(3.0)
    for _ in range(rounds):
        for key, answer in IN_ONE_STEP:
            lab.measure("a stage of one step, its view drawn", key, answer)
    lab.press("\x1b", IN_TRAIN[-1][1])


def make_gpt2(home: str, tokens: int) -> None:
    """A run whose weights are those of an untrained GPT-2 124M, with a prompt of so many tokens of GPT-2's own vocabulary."""
    import msgspec
    from safetensors.torch import save_file

    from lab.runs.run_schema import DataConfig, RunConfig, TokenizerConfig, TrainConfig
    from models.config import PRESETS
    from models.gpt import GPT
    from models.tokenizers.tokenizer import Tokenizer

    tokenizer, folder = Tokenizer.gpt2(), Path(home) / "shape"
    config = PRESETS["gpt2"].config(tokenizer.vocab_size)
    folder.mkdir()
    nothing = dict.fromkeys(("bytes", "characters", "tokens", "split", "train_bytes", "val_bytes"), 1)
    run = RunConfig(
        name=folder.name,
        created=time.time(),
        model=config,
        tokenizer=TokenizerConfig(kind="gpt2", vocab_size=tokenizer.vocab_size),
        data=DataConfig(name="none", source="-", encoding="utf-8", sha256="", **nothing),
        train=TrainConfig(prompts=("The" + WORD * (tokens - 1),)),
    )
    (folder / "config.json").write_bytes(msgspec.json.encode(run))
    tokenizer.save(folder / "tokenizer.json")
    weights = {name: weight.detach().contiguous() for name, weight in GPT(config, seed=0).state_dict().items()}
    save_file(weights, folder / "best.safetensors", {"format": "pt", "step": "0"})


def measure_gpt2(lab: Lab, tokens: int, rounds: int) -> None:
    """Measure the keys of Inspect. Each place is visited for the first time: no answer is at hand but what was fetched ahead."""
    lab.press("5", f"position {tokens - 3}/{tokens - 3}")
    lab.read(3.0)
    for length in range(tokens - 2, tokens + 1):
        lab.press("e", "Enter apply")
        lab.type(WORD)
        lab.read(1.0)
        lab.measure("a new prompt, its trace made", "\r", f"position {length}/{length}")
        lab.read(3.0)
    lab.press("}", "layer 1 · LayerNorm 1")
    lab.read(1.0)
    at = tokens
    for round_ in range(rounds):
        for key, answer in STEPS:
            lab.measure("a step, its view drawn", key, answer.format(layer=round_ + 1, head=round_ + 1))
            if key == "j" and answer in WITH_TOKEN:
                at -= 1
                lab.measure("a position", "h", f"{at})")
            if key == "j" and "head {head} ·" in answer:
                lab.measure("a head", "]", f"head {round_ + 2}")
                lab.press("[", f"head {round_ + 1} ")
        for _ in STEPS:
            lab.type("k")
        lab.read(2.0)
        lab.measure("a layer", "}", f"layer {round_ + 2} ·")
        lab.press("]", f"head {round_ + 2}.{round_ + 2}")


HEADING = f"{'':44}{'keys':>6}{'median':>10}{'95%':>10}{'most':>10}"


def print_row(name: str, values: Sequence[float], unit: str = "") -> None:
    """Print the number of the values, their median, the 95th of a hundred, and the largest."""
    ordered = sorted(values)
    shown = (statistics.median(ordered), ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))], ordered[-1])
    print(f"{name:44}{len(ordered):>6}" + "".join(f"{f'{value:,.0f}{unit}':>10}" for value in shown), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="120x40")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--quiet", action="store_true", help="train nothing meanwhile")
    parser.add_argument("--gpt2", action="store_true", help="Inspect alone, on random weights of GPT-2's shape")
    parser.add_argument("--tokens", type=int, default=64, help="length of the prompt of --gpt2")
    parser.add_argument("--preset", default="micro", help="shape of the model that is trained meanwhile")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        environment = {**os.environ, "LLMLAB_HOME": home}
        if not (options.quiet and options.gpt2):
            length = ["--steps", str(STEPS_WHEN_QUIET)] if options.quiet else ["--steps", "1000000", "--detach"]
            words = ["train", "stories", "--name", RUN, "--preset", options.preset, *length]
            subprocess.run([LLMLAB, *words], env=environment, check=True, stdout=subprocess.DEVNULL)
        if options.gpt2:
            make_gpt2(home, options.tokens - 3)
        try:
            with Lab(options.size, home) as lab:
                lab.wait_for(GPT2 if options.gpt2 else RUN)
                if options.gpt2:
                    measure_gpt2(lab, options.tokens, min(options.rounds, 10))
                else:
                    measure(lab, options.rounds)
                peaks = lab.peaks()
        finally:
            if not options.quiet:
                subprocess.run([LLMLAB, "stop", RUN], env=environment, check=True, stdout=subprocess.DEVNULL)
                time.sleep(3)
    print(f"{options.size}, {'nothing else running' if options.quiet else 'training ' + options.preset + ' on all cores'}")
    print(HEADING)
    if not options.gpt2:
        lab.times["all of them"] = [each for found in lab.times.values() for each in found]
    for name, found in lab.times.items():
        print_row(name, [1000 * each for each in found], " ms")
    print("  ".join(f"largest resident size of the {name}: {size / 1e6:.0f} MB" for name, size in peaks.items()))


if __name__ == "__main__":
    main()
