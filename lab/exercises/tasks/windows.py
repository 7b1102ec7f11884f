"""Windows: inputs and targets of a training step, the targets one token on."""

from lab.exercises.material import Case, Material


def cases(material: Material) -> list[Case]:
    ids = material.text_ids[:200]
    return [
        Case("three windows of the text", (ids, [0, 17, 90], 16)),
        Case("one token of context", (ids, [3, 4], 1)),
        Case("a window that ends with the text", (ids[:9], [0], 8)),
    ]
