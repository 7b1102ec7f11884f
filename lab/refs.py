"""Names of numbers. `blocks.0.attn.pattern[2,3,1]` is what the trace calls `blocks.0.attn.pattern`, at head 2, query 3, key 1.

A whole strip or matrix has one name with an open place for each of its own indices: `blocks.0.attn.pattern[2,3,:]` is the row of
that query, `blocks.0.attn.pattern[2,8:,8:]` the window whose first row and column are token 8. Nothing here needs torch.
"""


def ref(name: str, *indices: int | str) -> str:
    """`name[i,j]`; an index may be an open place, ":" or "8:"."""
    return f"{name}[{','.join(str(index) for index in indices)}]" if indices else name


def split(reference: str) -> tuple[str, list[str]]:
    """The name and its indices as they are written."""
    name, _, inside = reference.partition("[")
    return name, inside.rstrip("]").split(",") if inside else []


def element(reference: str, *indices: int) -> str:
    """The name of one element: `indices` fill the open places in their order, those left over follow at the end.

    `pattern[2,8:,8:]` with 1, 3 is `pattern[2,9,11]`; `embed[4]` with 7 is `embed[4,7]`; "" stays "".
    """
    if not reference:
        return ""
    name, places = split(reference)
    rest = list(indices)
    filled = [int(place.rstrip(":") or 0) + rest.pop(0) if place.endswith(":") and rest else place for place in places]
    return ref(name, *filled, *rest)
