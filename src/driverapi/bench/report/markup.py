"""Elements as text: the least that a page and its plots need, escaped and well-formed."""

from __future__ import annotations

from html import escape

__all__ = ["Markup", "element", "text"]


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def text(words: object) -> Markup:
    """Escape what is not markup yet."""
    return words if isinstance(words, Markup) else Markup(escape(str(words)))


def element(name: str, *inside: object, **attributes: object) -> Markup:
    """Return ``<name attributes>inside</name>``.

    ``class_`` stands for ``class``, an underscore in a name for a hyphen; an attribute that is
    None is left out, a number is written with at most one decimal.
    """
    parts = [f"<{name}"]
    for key, value in attributes.items():
        if value is not None:
            shown = f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
            parts.append(f' {key.rstrip("_").replace("_", "-")}="{escape(shown)}"')
    parts += [">", *(text(one) for one in inside), f"</{name}>"]
    return Markup("".join(parts))
