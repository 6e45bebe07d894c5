"""What comes into the home: drops of every kind, predictions, and their labels."""

import gzip
import os
from pathlib import Path
from typing import TYPE_CHECKING

import bundles
import orjson
import wiring
from world import Content, Put

from retraind.daemon.core import durable
from retraind.daemon.schema import labelled_row

if TYPE_CHECKING:
    from lives import Life

SEEN = 0.8
"""How likely the watcher sees a file that is renamed into the inbox: it is settled at once then."""


def _rows(life: "Life", count: int) -> tuple[tuple[float, ...], list[str]]:
    world = life.world
    numbers = range(world.number, world.number + count)
    world.number += count
    text = wiring.rows_text(numbers).decode().splitlines()
    return tuple(number / 8 for number in numbers), text


def _bad_line(life: "Life") -> str:
    life.world.number += 1
    return f"x{life.world.number},{life.world.number},1.4,0.2,setosa"  # like no good row: purging one leaves it


def put(life: "Life", content: Content) -> str:
    """A file with this content comes into the inbox, under a name of its own; sometimes the watcher sees it."""
    world, inbox = life.world, life.home.inbox
    sha256 = durable.sha256(content.data)
    world.contents.setdefault(sha256, content)
    name = f"{len(world.puts)}{content.suffix}"
    hidden = inbox / ".retraind-put.tmp"
    hidden.write_bytes(content.data)
    _date(life, hidden)
    hidden.rename(inbox / name)
    world.puts.append(Put(name, sha256))
    moved = world.random.random() < SEEN
    if moved:
        life.inbox.hint(name, moved=True)
    rows = f"{len(content.rows)} rows, {len(content.bad)} bad"
    return f"{name} ({sha256[:8]}, {rows}{', seen' if moved else ''})"


def _date(life: "Life", path: Path) -> None:
    at = int(life.world.clock.wall * 1e9)
    os.utime(path, ns=(at, at))


def _lines(rows: tuple[float, ...], lines: list[str], bad: list[str]) -> Content:
    data = "\n".join([*lines[:1], *bad[:1], *lines[1:], *bad[1:], ""]).encode()
    return Content(rows, tuple(line.split(",")[0] for line in bad), data)


def small(life: "Life") -> str:
    return put(life, _lines(*_rows(life, life.world.random.randint(1, 3)), []))


def mixed(life: "Life") -> str:
    return put(life, _lines(*_rows(life, 2), [_bad_line(life) for _ in range(life.world.random.randint(1, 2))]))


def large(life: "Life") -> str:
    bad = [_bad_line(life) for _ in range(life.world.random.randint(0, 2))]
    return put(life, _lines(*_rows(life, life.world.random.randint(90, 200)), bad))


def packed(life: "Life") -> str:
    plain = _lines(*_rows(life, life.world.random.choice((2, 150))), [])
    return put(life, Content(plain.rows, (), gzip.compress(plain.data, mtime=0), ".csv.gz"))


def refused(life: "Life") -> str:
    bad = [_bad_line(life)]
    if life.world.random.random() < 0.5:
        return put(life, Content((), (), f"nonsense {bad[0]}\n".encode()))
    return put(life, _lines((), [wiring.HEADER.strip()], bad))


def again(life: "Life") -> str:
    """The same bytes as those of an earlier drop, whatever has become of it."""
    content = life.world.random.choice(list(life.world.contents.values()))
    return "again " + put(life, content)


def posted(life: "Life") -> str:
    """A labelled row over HTTP."""
    (row,), _ = _rows(life, 1)
    sample = labelled_row.make(bundles.SCHEMA, [row, 1.0, 1.0, 0.5], "virginica", key=str(row))
    content = Content((row,), (), sample.dump(), sample.name)
    sha256 = durable.sha256(content.data)
    life.world.contents[sha256] = content
    labelled_row.drop(life.home, sample)
    _date(life, life.home.inbox / sample.name)
    life.world.puts.append(Put(sample.name, sha256))
    return sample.name


def predicted(life: "Life") -> str:
    """A worker answers a few requests and writes them to its log."""
    world, version = life.world, life.served()
    if version is None:
        return "nothing is served"
    entries = []
    for _ in range(world.random.randint(1, 3)):
        world.number += 1
        row, identity = world.number / 8, f"p{world.number}"
        world.predictions[identity] = row
        entries.append({
            "timestamp": "2026-01-01T00:00:00.000Z", "prediction_id": identity, "model_version": version,
            "latency_ms": 0.5, "features": [row, 3.5, 1.4, 0.2], "prediction": 0, "prediction_name": "setosa",
            "confidence": 0.9,
        })  # fmt: skip
    name = f"predictions-0-20260101T{world.number:012}-1.jsonl"
    (life.home.logs / name).write_bytes(b"".join(orjson.dumps(entry) + b"\n" for entry in entries))
    return f"{len(entries)} of version {version}"


def labelled(life: "Life") -> str:
    """Truths of predictions, each once."""
    world = life.world
    known = list(world.predictions)[: world.random.randint(1, 4)]
    if not known:
        return "none are left"
    lines = [f"{identity},{world.random.choice(('setosa', 'virginica'))}" for identity in known]
    rows = tuple(world.predictions.pop(identity) for identity in known)
    return put(life, Content(rows, (), "\n".join(["prediction_id,species", *lines, ""]).encode()))
