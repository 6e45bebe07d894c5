"""Poisoned drops against the gate, with real segments, candidates, holdouts and verdicts; `docs/reliability.md` has the table."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.gate import attacks, poison
from benchmarks.gate.attacks import ATTACKS, DAYS, DRIPS, Attack
from benchmarks.gate.line import FIRST, Judged
from benchmarks.gate.poison import QUICK
from retraind.daemon.core.settings import Promote

SEEDS = range(3)
"""Worlds in which an attack is played: the first alone whenever anything changes, all of them with `./ci.sh --full`."""

worlds = pytest.mark.parametrize("seeds", [SEEDS[:1], pytest.param(SEEDS, marks=pytest.mark.slow)], ids=["one", "all"])


def play(
    attack: Attack, folder: Path, seeds: range = SEEDS, names: Sequence[str] = QUICK, **settings: int
) -> list[tuple[list[Judged], float]]:
    """An attack on several worlds."""
    return [poison.play(attack, seed, folder / str(seed), Promote(**settings), names) for seed in seeds]


@worlds
@pytest.mark.parametrize("name", ["class a labelled b", "all labelled a"])
def test_class_that_is_flipped_is_stopped(name: str, seeds: range, tmp_path: Path) -> None:
    """The rolling holdout holds rows of the poisoned drop and is fooled; the reference one is older than the drop."""
    for [judged], lost in play(ATTACKS[name], tmp_path, seeds):
        assert judged.loss > 0.1
        assert not judged.promoted
        assert "on the reference holdout" in judged.reason
        assert lost == 0


@worlds
@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("no attack: 1,000 clean rows", 0.005),
        ("5 % of the labels at random", 0.02),
        ("20 % of the labels at random", 0.03),
        ("50 % of the labels at random", 0.06),
        ("only rows of class a", 0.04),
        ("10 copies of the first rows of a", 0.06),
        ("5 copies of the first rows", 0.06),
    ],
)
def test_what_is_let_through_costs_little(name: str, most: float, seeds: range, tmp_path: Path) -> None:
    """Whatever the verdict: the version that serves afterwards is hardly worse on clean rows."""
    assert all(lost <= most for _, lost in play(ATTACKS[name], tmp_path, seeds))


@pytest.mark.slow
def test_slow_drip_does_not_add_up(tmp_path: Path) -> None:
    """Drops that are too small to be seen one by one are seen together, against the best version so far."""
    drip = DRIPS["30 drips, 70 % of a labelled b"]
    played, without = play(drip, tmp_path / "with"), play(drip, tmp_path / "without", baseline_versions=0)
    assert all(lost <= 0.04 for _, lost in played)
    said = [judged.reason for trainings, _ in played for judged in trainings if not judged.promoted]
    assert any("the best so far" in reason for reason in said)
    assert sum(lost for _, lost in played) <= sum(lost for _, lost in without)
    worst = [max(judged.loss for judged in trainings) for trainings, _ in played]
    assert min(worst) > 0.04, "it would have done harm"


@pytest.mark.parametrize(
    "name",
    [
        "one drop of 5,000",
        pytest.param("30 drips within an hour", marks=pytest.mark.slow),
        pytest.param("20 days of 100 rows", marks=pytest.mark.slow),
    ],
)
def test_world_that_has_not_changed_is_not_said_to_have(name: str, tmp_path: Path) -> None:
    """By one drop, by many at once, and by drips beside honest drops: what serves is hardly worse."""
    [chosen] = [case for title, case in DAYS.items() if title.startswith(name)]
    judged, lost = poison.play(chosen.attack, 0, tmp_path, Promote(), ("tree",), chosen.hours)
    assert not any(one.promoted and "world has changed" in one.reason for one in judged)
    assert lost <= 0.02
    assert max(one.loss for one in judged) > 0.1, "it would have done harm"


def test_model_follows_a_world_that_has_changed(tmp_path: Path) -> None:
    """The rule is another one from the second drop on: refused for two days, on the third the new drops judge, and go on to."""
    attack = attacks.honest_days(5, FIRST)
    judged, lost = poison.play(attack, 0, tmp_path / "3", Promote(), QUICK, 24, attacks.new_rule)
    assert [one.promoted for one in judged] == [False, False, True, True, True]
    assert "The world has changed: it is better on everything since 2 January 2026" in judged[2].reason
    assert lost < -0.1
    judged, lost = poison.play(attack, 0, tmp_path / "0", Promote(follow_days=0), QUICK, 24, attacks.new_rule)
    assert (any(one.promoted for one in judged), lost) == (False, 0)


@pytest.mark.slow
def test_clean_drops_are_hardly_ever_refused(tmp_path: Path) -> None:
    """A gate that stops everything would be of no use: of 90 clean trainings few fail, and the service gets better."""
    played = play(DRIPS["no attack: 30 times 100 clean rows"], tmp_path)
    assert sum(not judged.promoted for trainings, _ in played for judged in trainings) <= 18
    assert all(lost <= 0.01 for _, lost in played)
