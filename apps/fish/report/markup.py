"""HTML and SVG, element by element: text is escaped unless it was made here."""

from __future__ import annotations

import base64
import html
from typing import Final

_VOID: Final = frozenset({"input", "img", "meta", "br", "link"})


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, /, *children: object, **attributes: object) -> Html:
    """An element. Children and values are escaped; None is left out, True stands alone; `class_` is class, `data_t` is
    data-t."""
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        spelled = key.rstrip("_").replace("_", "-")
        parts.append(f" {spelled}" if value is True else f' {spelled}="{html.escape(_plain(value))}"')
    parts.append(">")
    if name in _VOID:
        return Html("".join(parts))
    return Html("".join(parts) + str(joined(*children)) + f"</{name}>")


def joined(*children: object) -> Html:
    """The children one after the other; None is nothing."""
    there = [child for child in children if child is not None]
    return Html("".join(child if isinstance(child, Html) else html.escape(_plain(child)) for child in there))


def jpeg_uri(content: bytes) -> str:
    """A picture within the page."""
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"


def _plain(value: object) -> str:
    """Numbers as short as they can be written."""
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".") if value else "0"
    return str(value)
