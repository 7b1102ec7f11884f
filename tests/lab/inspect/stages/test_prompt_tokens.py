from lab.inspect.stages.stage_context import MOST_CHARACTERS, PromptTokens
from models.tokenizers.tokenizer import Tokenizer


def test_the_prompt_in_a_sentence_ends_at_the_chosen_token_and_begins_late_where_it_is_long() -> None:
    tokenizer = Tokenizer.bytes_()
    short = tokenizer.encode("The big\ndog")
    assert PromptTokens(tokenizer, short, 2).text == "“The”"
    assert PromptTokens(tokenizer, short, len(short) - 1).text == "“The big⏎dog”"
    long = tokenizer.encode("x" * 100 + "y" * MOST_CHARACTERS)
    assert PromptTokens(tokenizer, long, len(long) - 1).text == f"“…{'y' * MOST_CHARACTERS}”"
