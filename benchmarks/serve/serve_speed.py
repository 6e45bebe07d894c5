"""How fast single rows are answered, in a closed loop, beside the peers and an empty route."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import ratio
from benchmarks.serve import serve_peers, serve_site, serve_wrk
from benchmarks.serve.serve_wrk import Closed
from retraind.daemon.core.home import Home

COLUMNS = ("server, one worker", "model", "answers/s", "failed", "p50, ms", "p99, ms", "retraind / it", "target")
TARGETS = {("mlflow", "forest"): ">= 100x"}
BEST_TARGETS = {"forest": ">= 60x", "logistic": ">= 8x"}
ROUNDS = 3


@dataclass(frozen=True)
class Ours:
    """What our worker did, by model, and the empty route."""

    models: dict[str, Closed]
    empty: Closed


def measure(homes: dict[str, Home], row: list[float], seconds: float) -> Ours:
    """Both models and the empty route, taking turns in ROUNDS rounds; of each the middle one counts."""
    body = {"features": row}
    modules = {name: (home, serve_site.WORKER) for name, home in homes.items()}
    modules["empty"] = (homes["forest"], serve_site.EMPTY)
    rounds: dict[str, list[Closed]] = {name: [] for name in modules}
    for _ in range(ROUNDS):
        for name, (home, module) in modules.items():
            with serve_site.running(home, row, module) as site:
                rounds[name].append(serve_wrk.ask(site.port, body, seconds / ROUNDS))
    middle = {name: sorted(found, key=lambda one: one.rate)[ROUNDS // 2] for name, found in rounds.items()}
    return Ours({name: middle[name] for name in homes}, middle["empty"])


def table(ours: Ours) -> list[list[str]]:
    """Rows of our own."""
    rows = [_row("retraind", name, found, ours.models[name].rate, "") for name, found in ours.models.items()]
    rows.append(_row("an empty Bottle route on the same server", "", ours.empty, ours.empty.rate, ""))
    shares = [
        [f"retraind / empty route, {name}", *[""] * 5, ratio(model.rate, ours.empty.rate), ">= 0.35x"]
        for name, model in ours.models.items()
    ]
    return rows + shares


def peers(ours: Ours, cache: Path, folder: Path, row: list[float], seconds: float) -> list[list[str]]:
    """A row for every peer and model; one that can't be measured says why."""
    rows: list[list[str]] = []
    best = dict.fromkeys(ours.models, 0.0)
    for peer in serve_peers.PEERS:
        for name, own in ours.models.items():
            try:
                with serve_peers.serving(
                    peer, cache, folder / f"{name}.joblib", folder / peer.name / name, row
                ) as port:
                    closed = serve_wrk.ask(port, peer.body(row), seconds, peer.path)
            except serve_peers.Unavailable as error:
                rows.append([peer.name, name, *["-"] * 5, str(error)[:60]])
                continue
            best[name] = max(best[name], closed.rate)
            rows.append(_row(peer.settings, name, closed, own.rate, TARGETS.get((peer.name, name), "")))
    for name, rate in best.items():
        rows.append(
            ["the best peer", name, f"{rate:.0f}", *[""] * 3, ratio(ours.models[name].rate, rate), BEST_TARGETS[name]]
        )
    return rows


def _row(server: str, model: str, found: Closed, own: float, target: str) -> list[str]:
    figures = [f"{found.rate:.0f}", str(found.failed), f"{found.p50:.2f}", f"{found.p99:.2f}"]
    return [server, model, *figures, ratio(own, found.rate) if server != "retraind" else "", target]
