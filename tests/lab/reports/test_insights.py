from lab.reports.insights import power, updates_sentence
from lab.runs.run_schema import PartUpdate


def test_updates_are_told_by_part_with_the_rule_they_are_measured_by() -> None:
    parts = [PartUpdate("embedding", 3.0, 2e-4), PartUpdate("1 MLP", 4.0, 1.2e-3), PartUpdate("final norm", 0.0, None)]
    words = updates_sentence(1200, parts)
    most = "The update at step 1,200 changes layer 1's MLP most, by 1.2e−3 of its size"
    assert words.startswith(f"{most}, embedding least, by 2.0e−4;")
    assert "64% of the squared gradient is in layer 1's MLP. A healthy ratio is about 1e−3." in words
    assert "far" not in words
    assert "far more" in updates_sentence(9, [PartUpdate("embedding", 1.0, 0.05)])
    assert "far less" in updates_sentence(9, [PartUpdate("embedding", 1.0, 1e-5)])
    muon = updates_sentence(9, [PartUpdate("1 MLP", 1.0, 0.05)], "muon")
    assert "With Muon about 1e−2 is usual, in proportion to the learning rate." in muon
    assert "far" not in muon, "it is measured by Muon's own usual ratio"
    assert "far more" in updates_sentence(9, [PartUpdate("1 MLP", 1.0, 0.2)], "muon")
    assert "far less" in updates_sentence(9, [PartUpdate("1 MLP", 1.0, 5e-4)], "muon")
    assert updates_sentence(0, []).startswith("No step was measured here")
    assert power(0.0123) == "1.2e−2"
