"""A page as a browser would take it: its tags, and what can be read, each with the tag it stands in."""

from html.parser import HTMLParser

_VOID = {"meta", "br", "link", "img"}


class Page(HTMLParser):
    """Reads the whole page at once; one whose tags do not close is an error."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    @property
    def words(self) -> str:
        """All that can be read, with single spaces."""
        read = (text for within, text in self.texts if within not in {"", "style", "script"})
        return " ".join(" ".join(read).split())

    def inside(self, tag: str) -> list[str]:
        """The texts that stand right inside such tags."""
        return [text for within, text in self.texts if within == tag]

    def all_of(self, tag: str, kind: str | None = None) -> list[dict[str, str | None]]:
        """The attributes of every such tag, of one class if asked."""
        return [
            attrs
            for name, attrs in self.tags
            if name == tag and (kind is None or kind in (attrs.get("class") or "").split())
        ]
