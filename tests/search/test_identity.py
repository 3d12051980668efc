import pytest

from search.identity import Identity

WRITTEN = [
    (Identity(trial=42), "0042", "trial 42", "trial"),
    (Identity(trial=12345, dropout=0.1), "12345 with dropout 0.1", "trial 12345 with dropout 0.1", "trial"),
    (Identity(trial=0, dropout=0.0), "0000 with dropout 0", "trial 0 with dropout 0", "trial"),
    (Identity(trial=7, dropout=1e-05), "0007 with dropout 1e-05", "trial 7 with dropout 1e-05", "trial"),
    (Identity(baseline="resnet40-ft"), "resnet40-ft", "resnet40-ft", "baseline"),
]


@pytest.mark.parametrize(("identity", "label", "name", "kind"), WRITTEN)
def test_a_network_is_written_for_files_and_for_people(identity: Identity, label: str, name: str, kind: str) -> None:
    assert (identity.label, identity.name, identity.kind) == (label, name, kind)
    assert Identity.parse(label) == identity


@pytest.mark.parametrize("parts", [{}, {"trial": 1, "baseline": "resnet40"}, {"baseline": "resnet40", "dropout": 0.1}])
def test_a_network_is_a_trials_or_a_baselines(parts: dict[str, object]) -> None:
    with pytest.raises(AssertionError):
        Identity(**parts)  # type: ignore[arg-type]
