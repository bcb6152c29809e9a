"""Request + card -> what is sent to an endpoint. Knows the wire's names, nothing of connections.

What is sent as the image, by mode, always as PNG: it is lossless, so that what is lost is lost by the mode and by the
model alone; and pages of text are smaller in it than in a JPEG good enough to read small print in.

    native       the page as it is
    tiny, small  the mode's global view: the page stretched to 512² or 640²
    base, large  the mode's global view without its padding: the page fitted into 1024² or 1280². An encoder that
                 pads gets the mode's global view of it, byte for byte; coordinates stay those of the page
    gundam       the page as it is: the endpoint cuts the tiles (vLLM with DeepSeek-OCR: at most 6, whatever is asked)

An endpoint never sees more of a page than the mode leaves of it, except in gundam. How many vision tokens it makes of
that is its own affair: vLLM fixes DeepSeek-OCR to gundam, whose global view enlarges a smaller image.
"""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageOps

from ocrpress.modes import NATIVE, Plan, get_mode, plan
from ocrpress.views import overview

if TYPE_CHECKING:
    from ocrpress.document import Request
    from ocrpress.engines.cards import Card

# gundam-m is missing: no endpoint has it, and plain pages under its name would pass for it.
MODES_SENT = (NATIVE.name, "tiny", "small", "base", "large", "gundam")

# Fields that an endpoint may not know. Without the first four the answer is worse or less certain, but it is an answer.
EXTRAS = ("vllm_xargs", "skip_special_tokens", "ignore_eos", "seed")
OPTIONAL = (*EXTRAS, "temperature", "max_tokens")
PNG_LEVEL = 3  # of zlib: 3 takes a third less time than 6 and is no larger on pages of text


def make_body(request: Request, card: Card) -> dict[str, Any]:
    """What is sent for one page, but for the model's name.

    Raises:
        UsageError: the card does not know the task, or there is no such mode.
    """
    decoding, generation = request.decoding, card.generation
    ngram = generation.ngram if decoding.ngram is None else decoding.ngram
    window = generation.window if decoding.window is None else decoding.window
    image = {"type": "image_url", "image_url": {"url": data_url(sent_image(request.page.image, request.mode))}}
    # The endpoint's chat template puts the image token and what follows it before the text.
    text = {"type": "text", "text": card.prompt(request.task).removeprefix(card.after_image)}
    body: dict[str, Any] = {
        "messages": [{"role": "user", "content": [image, text]}],
        "max_tokens": decoding.max_tokens or generation.max_tokens,
        "temperature": decoding.temperature,
        "seed": decoding.seed,
        "skip_special_tokens": False,  # <|ref|>, <|det|> and table cells are special tokens
    }
    if ngram > 0 and window > 0:  # names of vLLM's NGramPerReqLogitsProcessor
        rule = {"ngram_size": ngram, "window_size": window, "whitelist_token_ids": list(generation.exempt)}
        body["vllm_xargs"] = {name: value for name, value in rule.items() if value}
    if decoding.ignore_end:
        body["ignore_eos"] = True
    return body


def sent_image(page: Image.Image, mode: str) -> Image.Image:
    """The pixels that are sent of an RGB page in a mode."""
    spec = get_mode(mode)
    if not spec.view or spec.tile:
        return page
    if spec.stretch:
        return overview(page, spec.view, stretch=True)
    return ImageOps.contain(page, (spec.view, spec.view), Image.Resampling.BICUBIC)


def sent_plan(page: Image.Image, mode: str) -> Plan | None:
    """The plan of the view that is sent; None for gundam, where the endpoint makes the plan and does not tell it."""
    return None if get_mode(mode).tile else plan(page.width, page.height, mode)


def data_url(image: Image.Image) -> str:
    """The image as a data URL, PNG."""
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=PNG_LEVEL)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
