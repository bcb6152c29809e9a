"""What is asked of the data: which variants, how many pages, of which length, how set. Data and its checks only."""

from __future__ import annotations

from dataclasses import dataclass, field

from ocrpress.errors import UsageError, unknown
from ocrpress.measure.curve import BUCKET
from ocrpress.measure.samples.variants import VARIANTS
from ocrpress.typeset import check_style
from ocrpress.typeset.style import Style

# The largest type in which nearly every page of the published table's buckets fits on one sheet, random letters too,
# which are wide: pages of one curve should differ in how much stands on them, not in its size.
STYLE = Style(size=9.0, leading=1.15, margins=(36.0, 36.0, 36.0, 36.0), page="a4", dpi=200.0)


@dataclass(frozen=True)
class Choice:
    """How samples are made of data.

    Attributes:
        variants: of VARIANTS; empty for all that the data can have.
        per_bucket: pages of each bucket that are cut from long text.
        buckets: text tokens of those pages: from the first up to, not including, the second; whole hundreds.
        limit: most pages of each variant; None for all.
        seed: of what is cut, shuffled and drawn.
        style: of the pages that are set here; a page too full for it is set in smaller type.
        typeset: set the true texts of images and PDFs too, in place of the pages that they came with.
        password: of encrypted PDFs.
    """

    variants: tuple[str, ...] = ()
    per_bucket: int = 3
    buckets: tuple[int, int] = (600, 1300)
    limit: int | None = None
    seed: int = 0
    style: Style = STYLE
    typeset: bool = False
    password: str | None = field(default=None, repr=False)

    @property
    def lower_edges(self) -> range:
        """The buckets by their lower edges."""
        return range(*self.buckets, BUCKET)


def check_choice(choice: Choice) -> None:
    """Raise a UsageError that names the first thing that cannot be."""
    for variant in choice.variants:
        if variant not in VARIANTS:
            raise unknown("variant", variant, VARIANTS)
    low, high = choice.buckets
    if not (0 <= low < high and low % BUCKET == high % BUCKET == 0):
        raise UsageError(f"the buckets {low}-{high} cannot be", f"give two hundreds, like {'-'.join(map(str, _USUAL))}")
    if choice.per_bucket < 1:
        raise UsageError(f"{choice.per_bucket} pages a bucket", "ask for 1 or more")
    if choice.limit is not None and choice.limit < 1:
        raise UsageError(f"a limit of {choice.limit} pages", "it must be 1 or more")
    check_style(choice.style)


_USUAL = Choice.buckets
