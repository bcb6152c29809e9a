"""The nouns: a page with its true text, and all of them together. Pixels are not held, only where they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ocrpress.measure.curve import BUCKET
from ocrpress.measure.samples.variants import NATURAL, VARIANTS
from ocrpress.typeset.style import Style

LeftOut = tuple[str, str]  # what could not be used, and why


@dataclass(frozen=True)
class Sample:
    """A page and its true text.

    Attributes:
        name: the page's own among the samples of a variant; its twins in other variants have the same.
        text: what a perfect reader reads; white space has no meaning but to part words.
        text_tokens: of this very text.
        bucket: lower edge, in text tokens of the natural twin.
        variant: of VARIANTS.
        origin: where its pixels come from: an image, a page of a PDF, or set from `text` in `style`.
        file: of the image or the PDF; absolute.
        page: of the PDF, from 1.
    """

    name: str
    text: str
    text_tokens: int
    bucket: int
    variant: str
    origin: Literal["image", "pdf", "typeset"]
    style: Style = Style()  # noqa: RUF009 - frozen
    file: str = ""
    page: int = 1
    password: str | None = field(default=None, repr=False)

    @property
    def identity(self) -> str:
        """Sixteen hexadecimal digits that change with its text and, by size and time of its file, with its pixels."""
        stamp: tuple[object, ...] = (repr(self.style),)
        if self.file:
            try:
                found = Path(self.file).stat()
                stamp = (self.page, found.st_size, found.st_mtime_ns)
            except OSError:
                stamp = (self.page, "gone")
        return hashlib.sha256(repr((self.origin, self.text, *stamp)).encode(errors="replace")).hexdigest()[:16]


@dataclass(frozen=True)
class Samples:
    """All samples of a run.

    Attributes:
        items: variant by variant; within each the same pages in the same order.
        about: what the pages are, in words for a plot and a report.
        left_out: what of the data could not be used, and why.
        tokens_by: what counted the text tokens.
    """

    items: tuple[Sample, ...]
    about: str
    left_out: tuple[LeftOut, ...]
    tokens_by: str

    def by_variant(self) -> Mapping[str, tuple[Sample, ...]]:
        """The samples of each variant that has any, in the order of VARIANTS."""
        groups = {name: tuple(item for item in self.items if item.variant == name) for name in VARIANTS}
        return {name: group for name, group in groups.items() if group}


def natural(name: str, text: str, tokens: int, origin: Literal["image", "pdf", "typeset"], **where: object) -> Sample:
    """A natural page, in the bucket of its own tokens."""
    return Sample(name, text, tokens, tokens // BUCKET * BUCKET, NATURAL, origin, **where)  # type: ignore[arg-type]
