"""What a search of the provider found: citations of the answer, and one hosted item.

Offsets count bytes of UTF-8 in the answer; the hub counts characters. Because a streamed answer
does not say which of its parts a stretch is in, a stretch also brings its own text, which decides.
"""

from bisect import bisect_left

from msgspec import Raw

from portico.dialects.gemini.wire import (
    CitationMetadata,
    Found,
    Grounding,
    GroundingChunk,
    Segment,
    read,
)
from portico.model.items import Hit, Hosted
from portico.model.parts import Citation

_MOST = 512
_MOST_SEARCHED = 64 * 1024 * 1024
"""Characters looked through for stretches that are not where they are said to be."""


class Sources:
    """Collects over the chunks of one answer. Chunks may repeat what earlier ones said."""

    __slots__ = ("_cited", "_hits", "_known", "queries")

    def __init__(self) -> None:
        self.queries: dict[str, None] = {}
        self._known: list[GroundingChunk] = []
        self._hits: dict[str, Hit] = {}
        self._cited: dict[tuple[int, int, str, str, str], Found] = {}

    def ground(self, raw: Raw) -> None:
        """Take a `groundingMetadata`."""
        seen = read(raw, Grounding)
        if seen is None:
            return
        for query in (seen.web_search_queries or ())[:_MOST]:
            self.queries[query] = None
        if seen.grounding_chunks:
            self._known = seen.grounding_chunks[:_MOST]
            for chunk in self._known:
                found = _found(chunk)
                if found is not None and found.uri and len(self._hits) < _MOST:
                    self._hits[found.uri] = Hit(found.uri, found.title or "", found.text or "")
        for support in (seen.grounding_supports or ())[:_MOST]:
            segment = support.segment or Segment()
            for index in (support.grounding_chunk_indices or ())[:16]:
                found = _found(self._known[index]) if 0 <= index < len(self._known) else None
                if found is not None:
                    self._cite(segment, found)

    def quote(self, raw: Raw) -> None:
        """Take a `citationMetadata`."""
        seen = read(raw, CitationMetadata)
        if seen is None:
            return
        for quote in (seen.citation_sources or seen.citations or ())[:_MOST]:
            if quote.uri:
                segment = Segment(quote.start_index, quote.end_index)
                self._cite(segment, Found(quote.uri, quote.title))

    def citations(self, text: str) -> list[Citation]:
        """The citations of an answer with this text, offsets in characters."""
        if not self._cited:
            return []
        offsets = _Offsets(text)
        out = []
        for (start, end, words, _, _), found in self._cited.items():
            first, last = offsets.place(start, end, words)
            uri, title = found.uri or "", found.title or ""
            if uri.startswith(("http://", "https://")):
                out.append(
                    Citation(
                        kind="url", url=uri, title=title, start=first, end=last, cited_text=words
                    )
                )
            else:
                out.append(
                    Citation(
                        kind="file", file_id=uri, filename=title, start=first, end=last,
                        cited_text=words, index=last or 0,
                    )
                )  # fmt: skip
        return out

    def search(self, *, told: bool) -> Hosted | None:
        """The search as one item; None if there was none, or (`told`) the answer has its own."""
        if told or not (self.queries or self._hits):
            return None
        return Hosted(
            type="web_search_call",
            input="\n".join(self.queries),
            hits=tuple(self._hits.values()),
        )

    def _cite(self, segment: Segment, found: Found) -> None:
        key = (
            segment.start_index or 0,
            segment.end_index or 0,
            segment.text or "",
            found.uri or "",
            found.title or "",
        )
        if len(self._cited) < _MOST:
            self._cited.setdefault(key, found)


def _found(chunk: GroundingChunk) -> Found | None:
    return chunk.web or chunk.maps or chunk.retrieved_context


class _Offsets:
    """Bytes to characters in one text."""

    __slots__ = ("_left", "_starts", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._left = _MOST_SEARCHED
        self._starts: list[int] | None = None
        if not text.isascii():
            data = text.encode(errors="replace")
            self._starts = [at for at, byte in enumerate(data) if byte & 0xC0 != 0x80]
            self._starts.append(len(data))

    def place(self, start: int, end: int, words: str) -> tuple[int | None, int | None]:
        """The stretch in characters; None twice if it is not in the text."""
        first, last = self._character(start), self._character(end)
        if first < last and (not words or self._text[first:last] == words):
            return first, last
        self._left -= len(self._text)
        at = self._text.find(words) if words and self._left > 0 else -1
        return (at, at + len(words)) if at >= 0 else (None, None)

    def _character(self, offset: int) -> int:
        if self._starts is None:
            return min(offset, len(self._text))
        return min(bisect_left(self._starts, offset), len(self._text))
