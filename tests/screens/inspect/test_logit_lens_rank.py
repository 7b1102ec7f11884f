"""The rank of the logit lens, said below where the column has no room for it."""

import pytest

from screens.widgets.forward_pass_list import ForwardPassList
from tests.screens.inspect.conftest import Open, to_stage


@pytest.mark.parametrize(("size", "said"), [((80, 24), True), ((200, 60), False)])
async def test_the_rank_that_has_no_room_in_the_column_is_said_below(inspect: Open, size: tuple[int, int], said: bool) -> None:
    async with inspect(size=size) as pilot:
        await pilot.go(*to_stage("embed"))
        column = pilot.screen.query_one(ForwardPassList)
        drawn = column.draw(1).text
        assert ("rank 7" in drawn) is not said
        assert column.rank_sentence == ("logit lens: “ fast” ranks 7th" if said else "")
