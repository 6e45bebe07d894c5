"""The screen of `retraind top`: lines of text for a terminal of any width. Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime

from rich.text import Text

from retraind.web.dashboard.tiles import State
from retraind.web.terminal.figures import Recent
from retraind.web.terminal.sources import Moment

COLOURS: dict[State, str] = {"ok": "green", "watch": "yellow", "act": "bold red", "unknown": "cyan"}

LABEL = 9
"""Columns of the labels at the left."""

BAR = 20
"""Most columns of the bar of a training."""

LEAST_EVENTS = 3

MOST_LINES = 2
"""Most lines of one value."""

MOST_FACTS = 4
"""Most facts that are shown of a tile that needs a person."""


def lines(moment: Moment, recent: Recent, name: str, width: int, height: int) -> list[Text]:
    """The whole screen, as many lines as fit; the newest events take the rest."""
    rows = [*_head(moment, name, width), Text()]
    rows += [row for label, value in _body(moment, recent, width) for row in _labelled(label, value, width)]
    space = max(LEAST_EVENTS, height - len(rows) - 2)
    events = moment.document["events"][:space]
    rows += [Text(), *(_event(event["at"], event["level"], event["message"]) for event in events)]
    return _fitted(rows, width, height)


def silent(reason: str, name: str, since: str | None, width: int, height: int) -> list[Text]:
    """The screen while the source can't be read: nothing of the last moment stays on it."""
    rows = [_line(f"✖ Not known  {name}", "bold red"), *_wrapped(printable(reason), width)]
    if since:
        rows.append(Text(f"The last answer came at {since}."))
    return _fitted(rows, width, height)


def _fitted(rows: list[Text], width: int, height: int) -> list[Text]:
    """As many rows as fit above the last line, none wider than the terminal."""
    fitted = [*rows[: max(height - 1, 1)], Text("q ends", "dim")]
    for row in fitted:
        row.truncate(width, overflow="ellipsis")
    return fitted


def _head(moment: Moment, name: str, width: int) -> Iterator[Text]:
    verdict = moment.document["verdict"]
    clock = f"{moment.document['at'][11:19]} UTC"
    title = Text.assemble((f"{verdict['shape']} {verdict['word']}", COLOURS[verdict["state"]]))
    gap = width - title.cell_len - len(clock)
    middle = Text(f"  {printable(name)}")
    middle.truncate(max(gap - 2, 0), overflow="ellipsis")
    title.append_text(middle)
    yield title.append(" " * max(width - title.cell_len - len(clock), 1)).append(clock)
    yield from _wrapped(printable(verdict["sentence"]), width)[:3]


def _body(moment: Moment, recent: Recent, width: int) -> Iterator[tuple[str, Text]]:
    page = moment.document
    for label, tile in zip(("health", "model", "data", "quality"), page["tiles"], strict=False):
        at = f" {ago(tile['at'], page['at'])}" if tile["at"] else ""
        text = f"{tile['shape']} {tile['headline']}{at}. {tile['sentence']}".rstrip()
        yield label, _line(printable(text), COLOURS[tile["state"]])
        if tile["state"] == "act":
            values = [fact for fact in tile["facts"][:MOST_FACTS] if fact["value"]]
            yield from (("", Text(printable(f"  {fact['label']}: {fact['value']}"))) for fact in values)
    drift = page["drift"]
    yield "drift", _line(printable(f"{drift['shape']} {drift['word']}. {drift['reason']}"), COLOURS[drift["look"]])
    yield "requests", _requests(moment, recent)
    yield "work", Text(printable(page["now"]["sentence"]))
    if bar := _training(moment, width):
        yield "training", bar
    backlog = [step for step in page["now"]["steps"] if step["name"] == "validate" and step["state"] == "active"]
    yield "backlog", Text(backlog[0]["detail"] if backlog else "no file waits")
    if page["held_total"] or page["held"]:
        yield "waiting", _line(_waiting(page["held_total"], page["held"]), "yellow")


def _requests(moment: Moment, recent: Recent) -> Text:
    service = moment.document["service"]
    workers = service["workers"]
    parts = [] if workers is None else [f"{workers} worker{'' if workers == 1 else 's'}"]
    parts.append("–/s" if recent.rate is None else f"{recent.rate:,.1f}/s")
    if moment.buckets:
        parts.append(f"p50 {_milliseconds(recent.p50)} p99 {_milliseconds(recent.p99)}")
    else:
        known = [service["p50_ms"], service["p99_ms"]]
        parts.append("p50 {} p99 {} since the start".format(*(_shown(value) for value in known)))
    parts.append(f"{recent.failures:,} errors" + (f" in {recent.seconds:.0f} s" if recent.seconds else ""))
    parts.append(f"{service['failures']:,} of {service['request_count'] or 0:,} in all")
    return _line(", ".join(parts), "bold red" if workers == 0 or recent.failures else "")


def _training(moment: Moment, width: int) -> Text | None:
    """The bar of the running training; None without one."""
    step = next((step for step in moment.document["now"]["steps"] if step["name"] == "train"), None)
    if step is None or step["state"] != "active":
        return None
    count, of = step["step"] or 0, step["steps"] or 0
    training = moment.training
    left = f", about {training.left:.0f} s" if training and training.left is not None else ""
    room = min(BAR, max(width - LABEL - 30, 0))
    done = round(room * max(count - 1, 0) / of) if of else 0
    return Text(f"{'█' * done}{'░' * (room - done)} {count}/{of} {printable(step['detail'])}{left}".strip())


def _waiting(drops: int, version: int | None) -> str:
    texts = [f"{drops} drop{'' if drops == 1 else 's'}: retraind accept or reject"] if drops else []
    return "; ".join(texts + ([f"version {version}: retraind promote or refuse"] if version else []))


def _event(at: str, level: str, message: str) -> Text:
    colour = {"warning": "yellow", "error": "red"}.get(level, "")
    return Text.assemble((f"{at[11:19]} ", "dim"), (printable(message), colour))


def _labelled(label: str, value: Text, width: int) -> list[Text]:
    """A label and its value, which continues in the next line if it is long; more of it is cut off."""
    room = max(width - LABEL, 8)
    texts = [part.plain for part in _wrapped(value.plain, room)]
    if len(texts) > MOST_LINES:
        texts[MOST_LINES - 1 :] = [" ".join(texts[MOST_LINES - 1 :])]
    return [
        Text.assemble((f"{label if not number else '':{LABEL}}", "dim"), (text, value.style))
        for number, text in enumerate(texts)
    ]


def _line(text: str, style: str = "") -> Text:
    return Text(text, style)


def _wrapped(text: str, width: int) -> list[Text]:
    rows, words = [""], text.split()
    for word in words:
        if len(rows[-1]) + len(word) + 1 > width and rows[-1]:
            rows.append("")
        rows[-1] = f"{rows[-1]} {word}".strip()
    return list(map(Text, rows))


def ago(at: str, now: str) -> str:
    """The age of a UTC time in one unit: `12 min ago`."""
    seconds = (datetime.fromisoformat(now) - datetime.fromisoformat(at).astimezone(UTC)).total_seconds()
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"


def printable(text: str) -> str:
    """A text of other people's files without characters that control the terminal."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _milliseconds(seconds: float | None) -> str:
    return _shown(None if seconds is None else seconds * 1000)


def _shown(milliseconds: float | None) -> str:
    return "–" if milliseconds is None else f"{milliseconds:.3g} ms"
