"""The layout of the page Split: bars, marks and rows, without a screen."""

from dataclasses import replace

from lab.data.corpus import CorpusFile
from lab.planning.sequence_preview import TextSplit, TrainingTokens
from models.tokenizers.tokenizer import Tokenizer
from screens.data.split_page import documents_line, ratio_scale, split_lines, window_lines
from screens.widgets.piece_lines import PieceLine


def words(line: PieceLine) -> str:
    return "".join(text for text, _ in line)


def of(*documents: CorpusFile) -> TextSplit:
    total = sum(document.bytes for document in documents)
    starts = tuple(sum(each.bytes for each in documents[:at]) for at in range(len(documents)))
    return TextSplit(total, total * 9 // 10, documents, starts, "before.\n", "after", (), 0)


def test_the_border_stands_at_its_place_and_documents_are_marked() -> None:
    lines = [words(line) for line in split_lines(of(CorpusFile("a.txt", 500), CorpusFile("b.txt", 500)), 42)]
    assert lines[0] == "2 documents a.txt 500 B <|endoftext|> …"
    assert lines[1].index("╷") == 1 + 20
    assert lines[2] == "▕" + "█" * 36 + "▒" * 4 + "▏"
    assert lines[3].startswith(" training 900 bytes, 90.0%")
    assert lines[3].endswith("validation 100")
    before, after = lines[4].split(" ┃ ")
    assert (before.strip(), after.rstrip()) == ("…before.␊", "after")


def test_documents_are_joined_by_the_token_as_far_as_there_is_room() -> None:
    assert words(documents_line(of(CorpusFile("a.txt", 500)), 80)) == "one document, so no end-of-text token"
    line = words(documents_line(of(CorpusFile("a.txt", 500), CorpusFile("a-long-name-of-a-file.txt", 1500)), 80))
    assert line == "2 documents a.txt 500 B <|endoftext|> a-long-name-of-… 1.5 kB"


def test_the_scale_is_logarithmic_and_says_when_a_text_lies_beyond_it() -> None:
    scale = words(ratio_scale(1.0, 80))
    assert scale.startswith("0.01 ")
    bar = scale[5 : scale.index(" 1,000")]
    assert bar.index("●") == round(2 / 5 * (len(bar) - 1))
    assert bar.index("┼") == round((2 + 1.30103) / 5 * (len(bar) - 1))
    assert words(ratio_scale(0.001, 80))[5] == "◂"


def test_a_text_shorter_than_a_window_has_none() -> None:
    tokenizer = Tokenizer.bytes_()
    one = TrainingTokens(tokenizer, "bytes", tuple(range(9)), replace(of(CorpusFile("a.txt", 10)), sample_bytes=9))
    assert words(window_lines(one, 0, 8, 80, as_ids=True)[1]).split() == ["input", *["0│1│2│3│4│5│6│7"]]
    assert "not one window of 9" in words(window_lines(one, 0, 9, 80, as_ids=True)[0])
