"""Learn merges: byte-pair encoding's vocabulary, the most frequent pair merged again and again."""

from lab.exercises.material import Case, Material


def cases(material: Material) -> list[Case]:
    return [
        Case("10 merges of the text's beginning", (material.text[:3000], 10)),
        Case("2 merges of abab", (b"abab", 2)),
        Case("the text aaaa, where pairs overlap", (b"aaaa", 2)),
        Case("a text that is soon one token", (b"ab", 5)),
    ]
