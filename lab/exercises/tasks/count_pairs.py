"""Count pairs: how often each two neighbouring ids stand side by side."""

from lab.exercises.material import Case, Material


def cases(material: Material) -> list[Case]:
    return [
        Case("the bytes of the text's beginning", (list(material.text[:2000]),)),
        Case("the text aaa", ([97, 97, 97],)),
        Case("one byte", ([97],)),
    ]
