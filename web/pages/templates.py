"""The templates of all pages, and the files that pages load: style sheets, scripts and pictures."""

import math
import re
from datetime import datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from retraind import release
from retraind.daemon.core import durable
from retraind.daemon.schema import score_names
from retraind.web.dashboard.tiles import size

UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


def render(template: str, **context: object) -> str:
    """The HTML of a template of `web/templates`; every value is escaped, and every name in the template must have one."""
    return _templates.get_template(template).render(**context)


def render_sign_in(goal: str, problem: str, up: str) -> str:
    """The page for signing in, which leads to `goal`; `problem` is the error of the last attempt."""
    return render("sign-in.html", goal=goal, problem=problem, up=up)


def render_docs(release: str, up: str) -> str:
    """The page of the HTTP interface; `release` is that of Swagger UI."""
    return render("docs.html", release=release, up=up)


def asset(name: str) -> tuple[bytes, str] | None:
    """Bytes and content type of a file of `web/static` by its hashed name, so it may be cached forever; or None."""
    return _assets.get(name)


def asset_name(name: str) -> str:
    """The hashed name of a file of `web/static`; raises KeyError."""
    return _hashed[name]


def ago(at: datetime, now: datetime) -> str:
    """A time relative to `now`, for people: `12 s ago`, `in 3 h`; the script uses the same words."""
    seconds = (now - at).total_seconds()
    if abs(seconds) < 2:
        return "now"
    unit, length = next((unit, length) for unit, length in UNITS if abs(seconds) >= length or length == 1)
    amount = int(abs(seconds) // length)
    return f"{amount} {unit} ago" if seconds > 0 else f"in {amount} {unit}"


def _number(value: float | None, digits: int = 3) -> str:
    if value is None or math.isnan(value):
        return "–"
    return f"{value:,.{digits if abs(value) < 1000 else 0}f}"


def _counted(n: int | None, noun: str) -> str:
    return f"– {noun}s" if n is None else score_names.counted(n, noun)


def _visible(value: Any) -> Any:
    """Escape characters that would change the text around them: control characters, direction overrides."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", value)


def _stamp(at: str) -> str:
    return f"{at[:10]} {at[11:19]} UTC"


def _load_assets() -> tuple[dict[str, tuple[bytes, str]], dict[str, str]]:
    assets, hashed = {}, {}
    static = files("retraind.web").joinpath("static")
    for entry in (*static.iterdir(), *static.joinpath("vendor").iterdir()):
        stem, _, kind = entry.name.rpartition(".")
        if kind in TYPES:
            data = entry.read_bytes()
            hashed[entry.name] = f"{stem}.{durable.sha256(data)[:12]}.{kind}"
            assets[hashed[entry.name]] = (data, TYPES[kind])
    return assets, hashed


_assets, _hashed = _load_assets()
_templates = Environment(
    loader=PackageLoader("retraind.web"),
    autoescape=True,
    finalize=_visible,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.filters |= {
    "size": size,
    "number": _number,
    "counted": _counted,
    "plain": score_names.plain,
    "stamp": _stamp,
}
_templates.globals |= {"asset_name": asset_name, "program": release.sentence()}
