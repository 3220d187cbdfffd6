"""The bundled documents and the search over them."""

from __future__ import annotations

import re

import pytest

corpus = pytest.importorskip("mcp_sync.demo.corpus", exc_type=ImportError)


def test_every_document_has_an_id_that_fits_a_uri_and_a_text() -> None:
    documents = corpus.documents()
    assert len({document.id for document in documents}) == len(documents) >= 20
    for document in documents:
        assert re.fullmatch(r"[a-z]+", document.id)
        assert document.title
        assert document.tags
        assert len(document.text) > 100


def test_search_finds_words_of_text_title_and_tags_whatever_their_case() -> None:
    assert [hit.document.id for hit in corpus.search("GUTENBERG")] == ["printing"]
    assert "bees" in [hit.document.id for hit in corpus.search("insects")]
    hits = {hit.document.id: hit for hit in corpus.search("ocean light")}
    assert hits["lighthouse"].score > hits["octopus"].score
    assert "sailor" in next(corpus.search("sailor")).excerpt


def test_search_without_a_match_is_empty() -> None:
    assert list(corpus.search("zzz")) == []
    assert list(corpus.search("!?")) == []
