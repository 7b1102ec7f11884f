import pytest

from lab.data.text_source import open_corpus


def test_the_language_reference() -> None:
    from pydoc_data.topics import topics

    corpus = open_corpus("python")
    text = "".join(corpus.chunks())
    assert corpus.bytes == len(text.encode()) > 400_000
    assert all(topics[topic].strip("\n") in text for topic in topics)
    assert text.index(topics["with"].strip("\n")) > text.index(topics["assert"].strip("\n"))


def test_stories_of_any_size() -> None:
    for source, size in (("stories", 1_000_000), ("stories:20kB", 20_000), ("stories:0.3MB", 300_000), ("stories:500", 500)):
        corpus = open_corpus(source)
        text = "".join(corpus.chunks())
        assert size <= corpus.bytes == len(text) == corpus.measure().characters < size + 1000
        assert corpus.entropy_bits_per_byte
        assert "".join(open_corpus(corpus.source).chunks()) == text


def test_the_entropy_is_that_of_the_text_as_it_is_made() -> None:
    assert open_corpus("stories").entropy_bits_per_byte is not None
    assert open_corpus("stories", cleaning=("duplicate-lines",)).entropy_bits_per_byte is None


def test_stories_of_the_default_size_are_made_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "".join(open_corpus("stories").chunks())
    monkeypatch.setattr("lab.data.builtin_stories.generate", lambda size: pytest.fail("made again"))
    assert "".join(open_corpus("stories").chunks()) == text
