"""The bundled documents, and a small search over them.

Runs on: any thread. The documents are read once and never change.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["Document", "Hit", "document", "documents", "search"]


@dataclass(frozen=True)
class Document:
    """One short text of the corpus."""

    id: str
    title: str
    tags: tuple[str, ...]
    text: str

    @property
    def uri(self) -> str:
        return f"docs://{self.id}"

    @property
    def markdown(self) -> str:
        return f"# {self.title}\n\n{self.text}\n"


@dataclass(frozen=True)
class Hit:
    """A document that matches a query."""

    document: Document
    score: int
    """How many of the query's words the document holds; words of its title and tags count three times."""
    excerpt: str
    """The first sentence with one of the words, else the first sentence."""


@cache
def documents() -> tuple[Document, ...]:
    """Every document of the corpus, in the file's order."""
    rows = json.loads(Path(__file__).with_name("corpus.json").read_text(encoding="utf-8"))
    return tuple(Document(id=row["id"], title=row["title"], tags=tuple(row["tags"]), text=row["text"]) for row in rows)


def document(document_id: str) -> Document | None:
    """The document with this id, or None."""
    return next((found for found in documents() if found.id == document_id), None)


def search(query: str) -> Iterator[Hit]:
    """Yield the documents that hold any word of ``query``, in the corpus's order: as they are found, not by score."""
    wanted = _words(query)
    for candidate in documents():
        weighty = _words(" ".join((candidate.title, *candidate.tags)))
        score = 3 * len(wanted & weighty) + len((wanted & _words(candidate.text)) - weighty)
        if score:
            yield Hit(candidate, score, _excerpt(candidate.text, wanted))


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.casefold()))


def _excerpt(text: str, wanted: frozenset[str]) -> str:
    sentences = re.split(r"(?<=\.) ", text)
    return next((sentence for sentence in sentences if _words(sentence) & wanted), sentences[0])
