"""Documents that broke other tools: each page of each is drawn. They lie beside the repository, if at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrpress.document import PageImage
from ocrpress.sources import SourceOptions, open_source

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "hard_pdfs"
FILES = sorted(FOLDER.glob("*.pdf"))


@pytest.mark.skipif(not FILES, reason="the collection of hard PDFs is not here")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_page_is_drawn(path: Path) -> None:
    source = open_source(path, SourceOptions(mode="base"))
    numbers = []
    for page in source.pages():
        assert isinstance(page, PageImage), page
        assert max(page.image.size) == 1024
        assert page.warnings == ()
        numbers.append(page.number)
    source.close()
    assert numbers == list(range(1, source.page_count + 1))
