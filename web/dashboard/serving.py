"""Which model serves, and why: the second question of the dashboard. Pure functions of facts."""

from retraind.daemon.artifacts.manifest import Manifest
from retraind.daemon.core.settings import Promote, Settings
from retraind.daemon.core.states import EventKind, VersionState
from retraind.daemon.schema import score_caveats, score_names
from retraind.daemon.schema.scores import Scores
from retraind.web.dashboard import doubts, next_steps
from retraind.web.dashboard.facts import Facts
from retraind.web.dashboard.tiles import Fact, State, Tile, fact, tile


def serving(facts: Facts) -> Tile:
    """Which version serves, and the reason of its promotion."""
    pointer, champion = facts.pointer, facts.champion
    if pointer is None:
        if facts.problem:
            return tile("act", "The pointer is unreadable", facts.problem)
        newest = next((row for row in facts.versions if row["state"] != VersionState.PROMOTED), None)
        refused = f"v{newest['version']} is {newest['state']}: {newest['reason']}" if newest else ""
        return tile("unknown", *next_steps.first_model(facts.status, facts.checks, facts.runs, refused, facts.now))
    candidate = champion["candidate"] if champion else facts.manifest.candidate if facts.manifest else "unknown"
    headline, notes = f"v{pointer.version} · {candidate}", [fact("served since", at=pointer.since)]
    if facts.manifest:
        rows = f"{facts.manifest.trained_rows:,} of {facts.manifest.rows:,} rows"
        of = [f"revision {facts.manifest.revision[:10]}", facts.manifest.scored]
        notes.append(fact("trained on", rows, "; ".join(filter(None, of))))
        notes.append(fact("runs on", *_backend(facts.manifest)))
    if facts.problem:
        return tile("act", headline, facts.problem, notes)
    if champion is None:
        return tile(
            "watch", headline, "The journal does not know this version, so the reason why it serves is unknown.", notes
        )
    swaps = [row for row in facts.swaps if row["version"] == pointer.version]
    # A version that a person restored shows both reasons: of this change and of its first promotion.
    others = {"last swap": swaps[0]["reason"], "first promoted": swaps[-1]["reason"]} if swaps else {}
    shown_already = {
        champion["reason"],
        *(f"Version {row['version']} was rolled back: {row['reason']}" for row in facts.newer),
    }
    notes = [*(fact(label, reason) for label, reason in others.items() if reason not in shown_already), *notes]
    notes = [*_trial(facts), *_since(champion["scores"]), *notes]
    lacks = doubts.of_training(facts) or score_caveats.sentence(champion["scores"])
    state: State = "watch" if lacks else "ok"
    return _waiting(facts, headline, notes) or tile(state, headline, lacks or champion["reason"], notes)


def _since(scores: Scores) -> list[Fact]:
    """The time since which rows judge, if the world has changed."""
    world = scores.get("world")
    if not world:
        return []
    return [
        fact(
            "judged by", f"rows since {score_names.day(world['since'])}", "the world changed then; see docs/judging.md"
        )
    ]


def _trial(facts: Facts) -> list[Fact]:
    """Progress of the trial of a new champion on late labels; empty without labels, and after the trial."""
    promote, swap = (facts.settings or Settings()).promote, facts.swaps[0] if facts.swaps else None
    before = swap["previous"] if swap and swap["version"] == facts.number else None
    on_trial = swap is not None and before is not None and before <= swap["version"]
    labels = facts.live["n"] if facts.live else 0
    if not promote.live_rows or not on_trial or not 0 < labels < promote.live_until:
        return []
    note = (
        f"{labels:,} of {promote.live_rows:,} late labels" if labels < promote.live_rows else f"{labels:,} late labels"
    )
    return [fact("on trial", note, f"beside v{before}; promote.live_rows, live_until")]


def _backend(manifest: Manifest) -> tuple[str, str]:
    if manifest.backend == "sklearn":
        return "scikit-learn", "neither ONNX nor treelite reproduces it"
    return {"onnx": "ONNX", "treelite": "treelite"}[
        manifest.backend
    ], f"within {manifest.difference:.1g} of scikit-learn"


def _waiting(facts: Facts, headline: str, notes: list[Fact]) -> Tile | None:
    for row in facts.newer:
        if row["state"] == VersionState.UNSERVABLE:
            return tile("act", headline, f"v{row['version']} should serve and cannot: {row['reason']}", notes)
    others = [version for version in facts.metrics.get("served_versions") or [] if version != facts.number]
    if others:
        return tile("watch", headline, f"A worker still serves v{others[0]}.", notes)
    held = facts.held
    if held:
        waits = fact("v{} waits".format(held["version"]), held["reason"], "promote.mode = manual")
        sentence = f"v{held['version']} waits for retraind promote."
        tried = [*_agreement(facts, held["version"]), *_canary(facts, held["version"])]
        return tile("watch", headline, sentence, [waits, *tried, *notes])
    newest = facts.newer[0] if facts.newer else None
    if newest is not None and newest["state"] == VersionState.ROLLED_BACK and not _is_seen_to(facts, newest["version"]):
        row = newest
        return tile("watch", headline, f"v{row['version']} was rolled back: {row['reason']}", notes)
    return None


def _is_seen_to(facts: Facts, version: int) -> bool:
    """Whether a person has acknowledged that a version was rolled back."""
    return facts.acknowledged.version(EventKind.ROLLED_BACK, version)


def _agreement(facts: Facts, version: int) -> list[Fact]:
    """Agreement of the held version with the champion on the same requests."""
    agreement = facts.agreements.get(version)
    if agreement is None:
        return []
    agreed = agreement["agreed"] if agreement["n"] else None
    note = "on the same requests, its answers unused"
    if agreed is None:
        return [fact("compared with the champion", score_names.agreement(agreement), note)]
    share = agreed / agreement["n"]
    return [{**fact("compared with the champion", score_names.agreement(agreement), note), "share": share}]


def _canary(facts: Facts, version: int) -> list[Fact]:
    """The number of requests that the held version has answered as a canary."""
    promote = facts.settings.promote if facts.settings else Promote()
    if promote.mode != "manual" or not promote.canary_share:
        return []
    answered = (facts.metrics.get("predictions_by_version") or {}).get(str(version), 0)
    return [
        fact(
            "answers itself",
            f"{100 * promote.canary_share:.4g}% of the keys, {answered:,} so far",
            promote.canary_header,
        )
    ]
