"""Where the ranks of a run are, in words."""

from lab.runs.gpu_and_ranks import RankHeartbeat, ranks_in_words


def words_of(*hosts: str) -> str:
    return ranks_in_words([RankHeartbeat(host, 1, 0.0) for host in hosts])


def test_hosts_are_named_once_and_at_most_four() -> None:
    assert words_of("abacus") == ""
    assert words_of("abacus", "abacus") == "2 ranks on abacus"
    assert words_of("abacus", "babbage", "abacus") == "3 ranks on 2 hosts (abacus, babbage)"
    assert words_of(*"abcde") == "5 ranks on 5 hosts (a, b, c, d, …)"


def test_a_name_forges_no_line_and_fills_no_screen() -> None:
    assert words_of("a\nforged is trained", "a\nforged is trained") == "2 ranks on a⏎forged is trained"
    assert len(words_of(*(letter * 500 for letter in "abcd"))) < 200
