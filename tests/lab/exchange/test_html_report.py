"""The HTML report of a run: its facts, its safety, and its numbers in a real browser."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from lab.core.colour_scales import colour
from lab.core.number_format import probability
from lab.exchange.html_report import DIGITS, encode, html_report, lower_triangle
from lab.exchange.report_facts import (
    chart,
    describe_cleaning,
    result_facts,
    round_logarithmic,
    round_numbers,
    thinned,
    training_facts,
)
from lab.inspect.model_cache import TraceCache, load_open_model
from lab.inspect.trace_export import MOST_LENS_CELLS, MOST_WEIGHTS, PromptReport, first_reported, prompt_report
from lab.runs.run_folder import Run
from lab.runs.run_history import LossHistory
from lab.runs.run_schema import CleaningStep, FinalEvaluation, Status
from tests.fixture_types import Call
from tests.lab.exchange.conftest import HOSTILE
from tests.lab.exchange.headless_browser import HeadlessBrowser, find_browser
from tests.lab.runs.made_up_runs import config

PROMPT = HOSTILE[:16]
BROWSER = find_browser()


def report_of(run: Run, prompt: str = PROMPT) -> PromptReport:
    opened = load_open_model(run, "best")
    ids = opened.tokenizer.encode(prompt)[-opened.model.config.context :]
    return prompt_report(opened, TraceCache().trace(opened, ids), dropped=0)


class Scripts(HTMLParser):
    """The elements of a page that run or fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        if tag in ("script", "img", "iframe", "link", "object", "base") or any(name.startswith("on") for name in named):
            self.found.append((tag, named))


def decoded(text: str) -> list[str]:
    """The words of probability codes, as the script of the report reads them."""
    numbers = [DIGITS.index(high) * 64 + DIGITS.index(low) for high, low in zip(text[::2], text[1::2], strict=True)]
    special = {0: "0%", 1: "<0.1%", 1001: ">99.9%", 1002: "100%"}
    return [special.get(number, f"{(number - 1) / 10:.1f}%") for number in numbers]


def test_patterns_are_kept_up_to_the_diagonal_and_their_codes_read_as_numbers_are_written_elsewhere() -> None:
    edges = [0, 1, 1e-9, 0.0004, 0.0006, 0.9994, 0.9996, 1 - 1e-9, 0.5, 0.001, 0.999]
    values = np.concatenate([np.random.default_rng(1).random(5000), edges])
    assert decoded(encode(values)) == [probability(value) for value in values.tolist()]
    assert lower_triangle(np.array([[1.0, 0, 0], [2, 3, 0], [4, 5, 6]])).tolist() == [1, 2, 3, 4, 5, 6]


def test_a_long_line_keeps_its_extremes_and_its_ends() -> None:
    ys = np.sin(np.arange(100_000) / 500)
    ys[51_234], ys[70_000] = 9.0, np.nan
    points = thinned(np.arange(100_000.0), ys, 100)
    assert len(points) <= 202
    assert (51_234.0, 9.0) in points
    assert points[0] == (0.0, 0.0)
    assert points[-1][0] == 99_999.0
    assert all(ys[int(x)] == y for x, y in points)


def test_axes_have_round_numbers_and_are_logarithmic_where_that_shows_more() -> None:
    assert round_numbers(0, 6000, 8) == [0, 1000, 2000, 3000, 4000, 5000, 6000]
    assert round_numbers(-0.1, 0.31, 6) == [-0.1, 0, 0.1, 0.2, 0.3]
    assert round_logarithmic(0.4, 7) == [0.5, 1, 2, 5]
    assert round_logarithmic(1e-6, 2) == [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1]
    steps = np.arange(3.0)
    losses = (np.array([4.0, 3.0, 2.0]), np.array([4.0, 0.4, 0.04]), np.full(3, np.nan))
    flat, steep, none = (chart("Loss", "nats", [("training", "training", steps, each)]) for each in losses)
    assert flat is not None
    assert steep is not None
    assert none is None
    assert (flat["unit"], steep["unit"]) == ("nats", "nats, logarithmic")
    heights = [float(y) for y in re.findall(r",([\d.]+)", steep["lines"][0]["path"])]
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=0.2)


def test_the_prompt_is_cut_where_its_pictures_would_be_too_many() -> None:
    assert (first_reported(64, 12, 12), first_reported(11, 4, 4), first_reported(5, 1000, 1000)) == (0, 0, 4)
    kept = 1024 - first_reported(1024, 12, 12)
    assert kept >= 64
    assert 144 * kept * (kept + 1) // 2 <= MOST_WEIGHTS
    assert 13 * kept <= MOST_LENS_CELLS


def test_a_prompts_numbers_are_the_models(tale: Run) -> None:
    from models.trace import Trace

    found = report_of(tale, "The big dog")
    opened = load_open_model(tale, "best")
    trace = Trace(opened.model, list(b"The big dog"))
    assert found.first == 0
    for layer in range(2):
        np.testing.assert_array_equal(found.patterns[layer].numpy(), trace[f"blocks.{layer}.attn.pattern"].numpy())
        lens = trace.lens(f"blocks.{layer}.resid_post").double().softmax(-1)
        for position, cell in enumerate(found.lens[layer + 1].cells):
            assert cell[0].id == int(lens[position].argmax())
            assert cell[0].probability == pytest.approx(float(lens[position].max()), rel=1e-5)
    last = trace["logits"].double().softmax(-1)
    assert [[each.id for each in row] for row in found.top] == last.topk(10).indices.tolist()
    assert found.top[-1][3].probability == pytest.approx(float(last[-1].topk(4).values[-1]), rel=1e-5)


def test_nothing_from_outside_becomes_markup(tale: Run, empty_run: Callable[..., Run]) -> None:
    for page in (html_report(tale), html_report(tale, report_of(tale))):
        parser = Scripts()
        parser.feed(page)
        assert parser.found == [("script", {"type": "application/json", "id": "data"}), ("script", {})]
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\ud800-\udfff]", page)
        data = page.partition('<script type="application/json" id="data">')[2].partition("</script>")[0]
        assert "<" not in data
        json.loads(data)
        for words in ("␛[31m␀", "\\u202e", "&lt;/script&gt;&lt;script&gt;window.pwned=1"):
            assert words in page
        assert str(tale.path) not in page
    page = html_report(empty_run("bare"))
    assert "The run has no metrics yet." in page
    assert "The run has no samples yet." in page


def test_a_report_begins_with_the_verdict_in_plain_words_and_the_details_follow(tale: Run) -> None:
    found = re.search(r'<p class="verdict">(.+)</p>\n<p>(.+)</p>', html_report(tale))
    assert found is not None
    verdict, details = found.groups()
    assert re.fullmatch(r"✓ It has learned: unsure as among [\d.]+ of 256 tokens in validation\.", verdict)
    assert re.match(r"In validation as unsure as an even choice among [\d.]+ tokens \(perplexity\)\. ", details)
    assert re.search(r" Learned: from step \d+ to \d+ .* nats (above|below) .* Training loss .* nats per token", details)


def test_a_report_without_a_prompt_needs_no_torch(tale: Run) -> None:
    program = (
        "import sys; from pathlib import Path; from lab.exchange.html_report import html_report;"
        "from lab.runs.run_folder import Run;"
        f"html_report(Run(Path({str(tale.path)!r}))); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_command_writes_a_file_and_says_where(
    llmlab: Call, tale: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = llmlab("report", "tale")
    assert (done.code, done.err) == (0, "")
    assert re.fullmatch(r"Wrote tale-report\.html \([\d.]+ kB\)\.\n", done.out)
    first = Path("tale-report.html").read_text(encoding="utf-8")
    assert "Next token" not in first
    assert "Wrote tale-report-2.html" in llmlab("report", "tale", "--prompt", "The big").out
    assert "Next token" in Path("tale-report-2.html").read_text(encoding="utf-8")
    assert Path("tale-report.html").read_text(encoding="utf-8") == first
    target = tmp_path / "here.html"
    target.write_text("old")
    llmlab("report", "tale", "-p", "x" * 40, "-o", target).assert_mistake("exists already", "--force")
    assert llmlab("report", "tale", "-p", "x" * 40, "-o", target, "--force").code == 0
    assert "The model does not see the first 24 tokens" in target.read_text(encoding="utf-8")


def test_mistakes_of_the_command_are_one_line(llmlab: Call, tale: Run, tmp_path: Path) -> None:
    llmlab("report", "tale", "-o", tmp_path / "no" / "x.html").assert_mistake("There is no folder")
    llmlab("report", "tale", "-p", "").assert_mistake("The prompt is empty")
    llmlab("report", "tale", "--checkpoint", "last").assert_mistake("--prompt")
    llmlab("report", "nothing").assert_mistake("nothing")
    llmlab("report", "tale", "-p", "x", "--checkpoint", "12", "-o", tmp_path / "x.html").assert_mistake("12")
    assert not (tmp_path / "x.html").exists()


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed (apt-get install chromium-headless-shell)")
def test_in_a_browser(tale: Run, tmp_path: Path) -> None:
    """Hovering shows the numbers, patterns have the screen's colours, a script that slipped in is noticed and not run."""
    assert BROWSER is not None
    found, path = report_of(tale), tmp_path / "report.html"
    path.write_text(html_report(tale, found), encoding="utf-8")
    with HeadlessBrowser(BROWSER, tmp_path / "profile") as page:
        for dark in (True, False):
            page.begin_again(dark=dark)
            page.open(path)
            assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") == dark
            first, masked = page.evaluate(
                "(() => { const c = document.querySelector('#heads canvas');"
                " const row = c.getContext('2d').getImageData(0, 0, c.width, 1).data;"
                " return [[...row.slice(0, 4)], [...row.slice(-4)]]; })()"
            )
            assert tuple(first[:3]) == colour("sequential", 1.0, dark)  # the first token attends to itself alone
            assert masked[3] == 0
        hover(page, found)
        assert page.problems == []
        assert page.requests == [path.as_uri()]
        assert page.evaluate("window.pwned") is None
        assert page.evaluate("document.scripts.length") == 2
        slipped_in = "<script>window.pwned = 1</script><img src='http://127.0.0.1:9/x' onerror='window.pwned = 2'></body>"
        path.write_text(html_report(tale).replace("</body>", slipped_in), encoding="utf-8")
        page.begin_again(dark=False)
        page.open(path)
        assert page.evaluate("window.pwned") is None
        assert sum("Content Security Policy" in problem for problem in page.problems) >= 2


def hover(page: HeadlessBrowser, found: PromptReport) -> None:
    """The numbers that a report shows where the mouse is."""
    heads = page.evaluate("document.querySelectorAll('#heads button').length")
    assert heads == 4
    page.evaluate("document.querySelectorAll('#heads button')[3].click()")
    size = len(found.tokens)
    pattern = found.patterns[1].numpy()[1]
    edge = page.evaluate("parseFloat(document.getElementById('head').style.width)")
    cell = page.evaluate("Math.max(6, Math.min(32, Math.floor(416 / document.querySelectorAll('.tokens button').length)))")
    margin = edge - cell * size
    row, column = size - 1, 2
    page.hover("#head", (margin + (column + 0.5) * cell) / edge, (margin + (row + 0.5) * cell) / edge)
    said = page.text("#head-readout")
    assert said.startswith(f"“{found.tokens[row].label}” (position {row + 1}) attends to “{found.tokens[column].label}”")
    assert said.endswith(f": {probability(float(pattern[row, column]))}")
    page.evaluate("document.getElementById('head').focus()")
    page.press("ArrowRight")
    assert page.text("#head-readout").endswith(f": {probability(float(pattern[row, column + 1]))}")
    page.hover("#head", (margin + (size - 0.5) * cell) / edge, (margin + 0.5 * cell) / edge)
    assert page.text("#head-readout").startswith("masked")

    page.hover(".lens tbody tr td:nth-child(4)")
    top = found.lens[-1].cells[2][0]
    assert f"“{top.label}” {probability(top.probability)}" in page.text("#lens-readout")

    page.hover('svg[data-chart="0"]', 0.999)
    last = 5.0 / (1 + 400 / 50) + (400 % 3) / 10
    assert page.text('[data-for-chart="0"]').startswith(f"training loss of a step {last:.3f} at step 400")

    page.evaluate("document.querySelectorAll('.tokens button')[1].click()")
    assert page.text("#next tbody tr td:nth-child(2)") == probability(found.top[1][0].probability)


def test_a_failed_run_s_message_and_name_are_shown_without_a_raw_control(
    tale: Run, llmlab: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = replace(tale.status(), phase="failed", message="lost \x1b[31m\x00\u202etxt.exe")
    tale.status_path.write_bytes(msgspec.json.encode(status))
    odd = tale.path.with_name("tale\x1b[2J")
    tale.path.rename(odd)
    monkeypatch.chdir(tmp_path)
    done = llmlab("report", str(odd))
    assert done.code == 0, done.err
    (written,) = tmp_path.glob("*.html")
    assert written.name == "tale[2J-report.html"
    page = written.read_text(encoding="utf-8")
    assert "lost ␛[31m" in page
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", page)


def test_facts_of_a_run() -> None:
    """What each cleaning rule took or added, what was set for this run alone, and the text that a validation loss is of."""
    made_up = config()
    steps = (
        CleaningStep(rule="line-endings", bytes_in=1000, bytes_out=1000),
        CleaningStep(rule="boilerplate", bytes_in=1000, bytes_out=188, removed=812),
        CleaningStep(rule="emails", bytes_in=188, bytes_out=194, before=11, after=17),
    )
    data = replace(made_up.data, cleaning=tuple(step.rule for step in steps), funnel=steps, val_bytes=900)
    assert describe_cleaning(data) == "line-endings, boilerplate (−812 B), emails (+6 B)"
    assert describe_cleaning(replace(data, cleaning=())) == "none"
    facts = dict(training_facts(made_up))
    assert not {"patience", "micro-batches"} & facts.keys()
    assert facts["evaluates every"].endswith(" steps")
    assert facts["average"] == f"{made_up.train.average:g}"
    facts = dict(training_facts(replace(made_up, train=replace(made_up.train, patience=3, accumulate=4))))
    assert (facts["patience"], facts["micro-batches"]) == ("3 evaluations", "4")
    final = FinalEvaluation(step=40, tokens=300, bytes=900, val_loss=4.5, bits_per_byte=2.25)
    status = Status(phase="finished", step=40, final=final)
    facts = dict(result_facts(replace(made_up, data=data), status, "finished", LossHistory()))
    assert facts["validation loss at the end"] == "4.500 nats/token, 2.250 bits/byte, on all 900 bytes of validation text"
