"""Verdicts: the decision on a challenger, as a pure function of scores.

A verdict is a sentence with its figures, because people read nothing else.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from retraind.daemon.core.settings import Promote
from retraind.daemon.core.states import VersionState
from retraind.daemon.schema import score_caveats, score_names
from retraind.daemon.schema.scores import HOLDOUTS, Holdout, Mark, Pair, PastScores, Score, Scored, Scores

MARKS: tuple[Literal["champion", "mark"], ...] = ("champion", "mark")
"""The versions that a challenger may not fall below on the reference rows, in the order of the comparisons."""

FEW = 2
"""Minimum number of rows of a class that the champion gets right and the challenger never names: fewer may be chance.
"""

SURE = 0.05
"""One-sided: the maximum share of comparisons in which an equal challenger looks worse by chance (docs/judging.md)."""

SURER = 0.025
"""The same against the baseline. There a fall below the tolerance also counts unless it is surely within it, because
falls add up."""


@dataclass(frozen=True)
class Verdict:
    """The state of a version, and the reason for people."""

    state: VersionState
    reason: str


@dataclass(frozen=True)
class Rival:
    """The version that a challenger is compared with on one holdout."""

    score: Score
    name: str
    """Its name in the sentence; empty for the champion."""
    paired: Pair | None = None
    """The evidence for the difference (`retraind.daemon.training.evaluation.holdouts`)."""


def judge(scores: Scores, settings: Promote, past: Mapping[int, PastScores] | None = None) -> Verdict:
    """The verdict on a challenger; `scores` as in the manifest: challenger and champion on the same held-out rows.

    `past` has the scores of versions that were promoted before. The best of them is the baseline on the reference
    holdout. Without it, champions that each lose a little would be ever easier to match.
    """
    champion = scores["champion"]
    objection = _below_floor(scores, settings)
    if objection is None and champion is not None:
        beside = _on_same_rows(scores)
        rivals = {name: Rival(champion[name], "", _paired(scores, name)) for name in HOLDOUTS}
        objections = (_worse(beside[name], rivals[name], name, settings) for name in HOLDOUTS)
        objection = next(filter(None, objections), None)
    objection = objection or _below_mark(scores, past or {}, settings)
    if objection is not None:
        return Verdict(VersionState.REFUSED, " ".join(filter(None, [objection, _without_twin(scores)])))
    reason = " ".join(
        filter(
            None, [_world_change(scores), _advantages(scores), score_caveats.sentence(scores), _without_twin(scores)]
        )
    )
    # A champion that can't be compared keeps serving meanwhile.
    if settings.mode == "manual" and scores.get("champion_version") is not None:
        return Verdict(VersionState.HELD, f"{reason} Waiting for `retraind promote` (promote.mode = 'manual').")
    return Verdict(VersionState.PROMOTED, reason)


def _on_same_rows(scores: Scores) -> Scored:
    """The challenger's scores on the champion's rows, which neither was trained on."""
    return scores.get("fair") or scores["challenger"]


def _paired(scores: Scores, name: Holdout) -> Pair | None:
    return ((scores.get("paired") or {}).get("holdout") or {}).get(name)


def _below_floor(scores: Scores, settings: Promote) -> str | None:
    if settings.floor == 0:
        return None  # R² may be negative on a few rows, which is allowed without a floor
    challenger, named = scores["challenger"], bool(scores.get("metric_named", True))
    measured = {name: score_names.floored(challenger[name], named=named) for name in HOLDOUTS}
    if all(amount is None for _, amount in measured.values()):
        return f"promote.floor = {settings.floor} can't be checked: more held-out rows are needed."
    for name, (figure, amount) in measured.items():
        if amount is not None and amount < settings.floor:
            return (
                f"{_capital(score_names.TITLES[figure])} {amount:.4f} on the {name} holdout (n = {challenger[name]['n']}) "
                f"is below promote.floor = {settings.floor}."
            )
    return None


def _below_mark(scores: Scores, past: Mapping[int, PastScores], settings: Promote) -> str | None:
    """Why it is too far below the baseline on the reference rows, which are older than all later drops."""
    marks = scores.get("marks") or {}
    for rival in MARKS:
        if rival in marks and (objection := _below(marks[rival], rival, scores, settings)):
            return objection
    alike = {version: then for version, then in past.items() if _split(then) == _split(scores)}
    mark_version = marks["mark"]["version"] if "mark" in marks else None
    return _below_score(scores["challenger"]["reference"], alike, settings, mark_version)


def _below(mark: Mark, rival: Literal["champion", "mark"], scores: Scores, settings: Promote) -> str | None:
    surely_within = mark["loss"] + score_names.BOUND * mark["error"] <= settings.tolerance
    if mark["p"] >= (SURER if rival == "mark" else SURE) or surely_within or mark["loss"] <= 1 / mark["n"] + 1e-12:
        return None
    if rival != "mark" and mark["loss"] <= settings.tolerance:
        return None
    best = ", the best so far," if rival == "mark" else ""
    robust = " by absolute errors, since few rows make up most of the squares," if mark["robust"] else ""
    return (
        f"{_title(scores['challenger']['reference'])} on the reference holdout and in cross-validation of its drop is "
        f"{mark['loss']:.4f} worse than that of version {mark['version']}{best}{robust} "
        f"({_p(mark['p'])}, n = {mark['n']:,}); promote.tolerance = {settings.tolerance}."
    )


def _below_score(new: Score, past: Mapping[int, PastScores], settings: Promote, best_version: int | None) -> str | None:
    """Compare only scores: the baseline's recalls by class, or the best version's figure if no answers are stored."""
    references = {version: then.get("challenger", {}).get("reference") for version, then in past.items()}
    marks = {version: mark for version, mark in references.items() if mark is not None and _same_rows(mark, new)}
    if not marks or (best_version is not None and best_version not in marks):
        return None
    if best_version is not None:
        rival = Rival(marks[best_version], f" of version {best_version}, the best so far,")
        return _lost_recall(new, rival, "reference", settings) or _lost_class(new, rival, "reference")
    best = max(sorted(marks), key=lambda version: score_names.gain(new, score_names.judged(marks[version]) or 0.0, 0.0))
    return _worse(new, Rival(marks[best], f" of version {best}, the best so far,"), "reference", settings)


def _split(scores: PastScores) -> str | None:
    """The digest of the reference holdout's rows; None in older scores."""
    return (scores.get("split") or {}).get("reference")


def _same_rows(new: Score, other: Score) -> bool:
    """True if two scores seem to have the same rows (equal numbers of the same classes), metric and costs."""
    measured = [(score_names.metric(score), score.get("costs")) for score in (new, other)]
    if score_names.judged(new) is None or measured[0] != measured[1]:
        return False
    classes = [{name: n for name, n in score.get("support", {}).items() if n} for score in (new, other)]
    return bool(new["n"] == other["n"] and classes[0] == classes[1])


def _worse(new: Score, rival: Rival, name: Holdout, settings: Promote) -> str | None:
    now, before = score_names.judged(new), score_names.judged(rival.score)
    if now is None and new["n"] and new.get("rmse", 0.0) is None:  # only R² is unknown if all targets are equal
        return f"Its answers on the {name} holdout are too far off to be scored (n = {new['n']})."
    if now is None or before is None:
        return None
    worse = rival.paired.get("worse") if rival.paired else None
    loss, p = (worse["loss"], worse["p"]) if worse else (score_names.gain(new, before, now), 0.0)
    # One row is not evidence, so it is always allowed, even if its weight exceeds the tolerance.
    if loss > max(settings.tolerance, 1 / new["n"]) + 1e-12 and p < SURE:
        moves = "rises" if score_names.metric(new) in score_names.LOWER else "falls"
        return (
            f"{_title(new)} on the {name} holdout {moves} from {before:.4f}{rival.name} to {now:.4f} "
            f"({_certainty(new, rival.paired)}); promote.tolerance = {settings.tolerance}."
        )
    return _lost_recall(new, rival, name, settings) or _lost_class(new, rival, name)


def _lost_recall(new: Score, rival: Rival, name: Holdout, settings: Promote) -> str | None:
    """The objection to a class whose recall falls too far; None for regression."""
    falls = rival.paired.get("classes", {}) if rival.paired else {}
    for label, recall in new.get("recall", {}).items():
        allowed = max(settings.recall_tolerance, 1 / new["support"][label]) + 1e-12
        before = rival.score["recall"].get(label, 0.0)
        least = falls.get(label, _least_fall(before, recall, new["support"][label]))
        if before - recall > allowed and least > settings.recall_tolerance / 2:
            return (
                f"Recall of {label!r} on the {name} holdout falls from {before:.4f}{rival.name} to {recall:.4f} "
                f"(n = {new['support'][label]}); promote.recall_tolerance = {settings.recall_tolerance}."
            )
    return None


def _least_fall(before: float, now: float, n: int) -> float:
    """The lower 95 % bound of a fall of recall on n rows, from the counts alone."""
    return before - now - score_names.BOUND * math.sqrt((before * (1 - before) + now * (1 - now)) / n)


def _lost_class(new: Score, rival: Rival, name: Holdout) -> str | None:
    """The objection to a class that the rival gets right, however rarely, and the challenger never names."""
    named = [sum(column) for column in zip(*new.get("confusion", []), strict=True)]
    for label, times in zip(new.get("support", {}), named, strict=False):
        right = round(rival.score["recall"].get(label, 0.0) * new["support"][label])
        if times == 0 and right >= FEW:
            return (
                f"It never answers {label!r} on the {name} holdout, where {right} rows were right before{rival.name}."
            )
    return None


def _world_change(scores: Scores) -> str:
    """The sentence on a changed world, with the objection of the older rows; empty if it has not changed."""
    world = scores.get("world")
    if world is None or "objection" not in world:
        return ""
    since, n = score_names.day(world["since"]), score_names.counted(world["n"], "held-out row")
    seen = f"{world['days']} days, {score_names.counted(world['drops'], 'drop')}, {n}"
    before = f"Earlier rows no longer judge; they would say: {world['objection']}"
    return f"The world has changed: it is better on everything since {since} ({seen}). {before}"


def _without_twin(scores: Scores) -> str:
    """A note if the champion itself was compared, although it was trained on the judging rows.

    Empty if its judged model was compared.
    """
    if not scores.get("twin_problem") or scores["champion"] is None:
        return ""
    version = scores.get("champion_version")
    return (
        f"The judged model of version {version} can't be loaded, so it was compared with version {version} itself, which was trained on these "
        f"rows and looks better than it is. `retraind promote` serves another version nevertheless. {scores['twin_problem']}"
    )


def _advantages(scores: Scores) -> str:
    champion, version, new = scores["champion"], scores.get("champion_version"), scores["challenger"]["rolling"]
    figure = _as_text(new)
    if champion is None and version is not None:
        return (
            f"Version {version} can't be compared (another target or task, a column that is gone, or damaged): "
            f"{figure} on {new['n']} held-out rows."
        )
    if champion is None:
        return f"First version: {figure} on {new['n']} held-out rows."
    new = _on_same_rows(scores)["rolling"]
    against, figure = _as_text(champion["rolling"]).rpartition(" ")[2], _as_text(new)
    certainty = _certainty(new, _paired(scores, "rolling"))
    which = "the held-out rows that neither was trained on" if "fair" in scores else "the same held-out rows"
    lower = _is_lower(new, champion["rolling"])
    passes = " That is worse, but not clearly, so it passes." if lower else ""
    return f"{figure[0].upper()}{figure[1:]} against {against} of version {version} on {which} ({certainty}).{passes}"


def _is_lower(new: Score, old: Score) -> bool:
    """Whether a score is worse than another on the same rows, by however little."""
    value, before = score_names.judged(new), score_names.judged(old)
    return value is not None and before is not None and score_names.gain(new, value, before) < 0


def _certainty(score: Score, paired: Pair | None) -> str:
    """The number of rows behind a difference, and its p-value or interval."""
    n = f"n = {score['n']}"
    if paired and "p" in paired:
        return f"{_p(paired['p'])}, {n}"
    if paired and paired.get("low") is not None:
        bounds = paired["difference"], paired["low"], paired["high"]
        change, low, high = (score_names.plain(bound, 3, sign=True) for bound in bounds)
        return f"RMSE {change}, 95 % interval {low} to {high}, {n}"
    return n


def _p(chance: float) -> str:
    return "p < 0.001" if chance < 0.001 else f"p = {chance:.2g}"


def _as_text(score: Score) -> str:
    return score_names.with_name(score, score_names.judged(score))


def _title(score: Score) -> str:
    return _capital(score_names.TITLES[score_names.metric(score)])


def _capital(title: str) -> str:
    return title[0].upper() + title[1:]
