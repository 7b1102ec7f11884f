import numpy as np

from lab.runs.run_history import Column


def test_a_column_s_views_stay_what_they_were_while_it_grows() -> None:
    column = Column()
    column.extend(list(range(50)))
    view = column[:]
    for start in range(50, 5000, 50):
        column.extend(np.arange(start, start + 50))
    assert view.tolist() == list(range(50))
    assert list(column) == list(range(5000))
    assert (column[-1], column[3], len(column)) == (4999.0, 3.0, 5000)
