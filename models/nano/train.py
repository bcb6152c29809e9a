"""Trains nano: first its encoder to see, then the decoder to read; can be stopped and taken up again anywhere.

    PYTHONPATH=. python models/nano/train.py --out RUN --texts TEXTS --fonts FONTS

RUN/state.pt is all that the same command needs to go on, on a CPU or on a GPU. RUN/nano is a checkpoint folder of the
averaged weights, with the heads that training needs beside it; a new run may `--start` from one, models/nano for
example. RUN/log.jsonl is the curve.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import shutil
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from exam import examine
from feed import Feed, Order
from figures import new_model
from lessons import teach
from net import Net, load_net, save_net
from pages import Fonts
from texts import Texts
from torch import Tensor

GOOD = 0.9  # of the letters that vision tokens give away: share read right, teacher-forced, at which pages get longer
ANCHORED = 1.35  # tokens a character, with its share of anchors
FULL = 300  # characters that few pages of 512 x 512 exceed
SPEED = 2.0  # of Muon, as a multiple of AdamW's rate
INSIDE = (".layers.", ".conv", "projector.", "unpack.")  # what Muon's matrices have in their names
SHARES = (0.4, 0.1, 0.5)  # of batches: views of tiny, small, base
AVERAGED = 0.998  # of the old in the running average of the weights, a step; less at first


@dataclass
class Progress:
    """Where training stands.

    Attributes:
        pages, steps, seconds: so far.
        patches, sight: running shares of letters that patches, and vision tokens, give away.
        reads: letters read right on the longest pages, as a running share of those that vision tokens give away.
        longest: characters on the longest pages to be read.
    """

    pages: int = 0
    steps: int = 0
    seconds: float = 0.0
    patches: float = 0.0
    sight: float = 0.0
    reads: float = 0.0
    longest: float = 64.0
    reading: bool = False


class Optimizer:
    """Muon for the matrices inside, AdamW for all else; the weights in float32, the net in its own type."""

    def __init__(self, net: Net, rate: float) -> None:
        self.net = net
        # A convolution is a matrix with one row an output channel.
        self.master = {
            name: (p.flatten(1) if p.dim() == 4 else p).detach().float().clone() for name, p in net.named_parameters()
        }
        inner = [name for name, p in self.master.items() if p.dim() == 2 and any(part in name for part in INSIDE)]
        for name in self.master:
            self.master[name].requires_grad_(True)
        self.muon = torch.optim.Muon(
            [self.master[name] for name in inner], lr=rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
        )
        rest = [p for name, p in self.master.items() if name not in inner]
        self.adam = torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
        self.mean = {name: p.detach().clone() for name, p in self.master.items()}
        self.taken = 0

    def step(self, rate: float) -> None:
        """Gradients of the net -> master weights -> the net; the running average follows."""
        gradients = []
        for name, p in self.net.named_parameters():
            self.master[name].grad = None if p.grad is None else p.grad.float().view_as(self.master[name])
            p.grad = None
            if self.master[name].grad is not None:
                gradients.append(self.master[name])
        torch.nn.utils.clip_grad_norm_(gradients, 1.0)
        for optimizer, factor in ((self.muon, SPEED), (self.adam, 1.0)):
            for group in optimizer.param_groups:
                group["lr"] = factor * rate
        self.muon.step()
        self.adam.step()
        show(self.master, self.net)
        self.taken += 1
        fresh = 1 - min(AVERAGED, self.taken / (self.taken + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.mean.values()), [p.detach() for p in self.master.values()], fresh)

    def state(self) -> dict[str, Any]:
        """All of it, for a file."""
        optimizers = {"muon": self.muon.state_dict(), "adam": self.adam.state_dict()}
        return {"taken": self.taken, "master": self.master, "mean": self.mean, **optimizers}

    @torch.no_grad()
    def load(self, state: dict[str, Any]) -> None:
        """What `state` gave, from any device."""
        self.taken = state["taken"]
        for kept, found in ((self.master, state["master"]), (self.mean, state["mean"])):
            for name, p in kept.items():
                p.copy_(found[name])
        self.muon.load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])
        show(self.master, self.net)


@torch.no_grad()
def show(weights: dict[str, Tensor], net: Net) -> None:
    """These weights into a net."""
    for name, p in net.named_parameters():
        p.copy_(weights[name].view_as(p))


class Training:
    """One run."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.out: Path = options.out
        self.out.mkdir(parents=True, exist_ok=True)
        self.texts, self.fonts = Texts(options.texts), Fonts(options.fonts)
        self.progress = Progress()
        self.rng = random.Random(options.seed)  # noqa: S311
        self.feed = Feed(self.texts, self.fonts, options.workers, 2 * options.workers + 1)
        self.device = torch.device(options.device)
        torch.manual_seed(options.seed)
        self.net = Net(new_model())
        if options.start:
            self.progress = Progress(**load_net(self.net, options.start))
        self.net.to(self.device)
        for name, p in self.net.named_parameters():
            p.requires_grad_(not (options.frozen and ("sam_encoder" in name or "patch_head" in name)))
        self.optimizer = Optimizer(self.net, options.rate)
        self.net.to(torch.bfloat16)
        if (self.out / "state.pt").exists():
            state = torch.load(self.out / "state.pt", map_location=self.device, weights_only=True)
            self.optimizer.load(state["optimizer"])
            self.progress = Progress(**state["progress"])
        self.rng.seed(options.seed + self.progress.steps)
        self.began = self.progress.steps if not (self.out / "state.pt").exists() else 0
        self.stopped = False

    def order(self) -> Order:
        """What the next batch is to be: the curriculum."""
        rng, size, progress = self.rng, self.options.batch, self.progress
        seed, side = rng.getrandbits(60), rng.choices((512, 640, 1024), SHARES)[0]
        area = (side / 512) ** 2
        # Full pages mostly: they hold the most letters to learn from.
        full = 10 ** rng.uniform(*(2.2, 2.65) if rng.random() < 0.7 else (1.0, 2.2))
        variety = min(1.0, 1.5 * progress.patches)
        if not progress.reading:
            return Order(seed, max(1, round(size / area)), side, round(full * area), variety=variety)
        # Pages are read as far as the frontier; one in four holds no more than that.
        read = min(full, progress.longest)
        length, fill = (read, 0.02) if rng.random() < 0.25 else (full, 0.3)
        pages = size / area * 500 / (75 * area + 180 + read * area)
        return Order(
            seed, max(1, round(pages)), side, max(1, round(length * area)), fill, variety=variety,
            read=round(ANCHORED * read * area) + 4,
        )  # fmt: skip

    def run(self) -> None:
        """Trains until the time or the pages are over, or a signal says stop."""
        options, progress = self.options, self.progress
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: setattr(self, "stopped", True))
        began = time.monotonic()
        saved = logged = examined = began
        sums: dict[str, Tensor] = {}
        count = pages = 0
        for batch in self.feed.batches(self.order):
            self.wait()
            tick = time.monotonic()
            lesson = teach(self.net, batch, self.device, progress.reading)
            lesson.loss.backward()
            self.optimizer.step(self.rate())
            for name, figure in lesson.figures.items():
                sums[name] = sums.get(name, 0) + figure  # type: ignore[assignment]
            self.judge(batch.order, lesson.figures)
            progress.pages += len(batch.tokens)
            progress.steps += 1
            count, pages = count + 1, pages + len(batch.tokens)
            now = time.monotonic()
            progress.seconds += now - tick
            if now - logged > options.log_every:
                means = {name: round(float(value) / count, 4) for name, value in sums.items()}
                self.log(speed=round(pages / (now - logged), 1), rate=self.rate(), **means)
                sums, count, pages, logged = {}, 0, 0, now
            if now - examined > options.examine_every:
                self.examine()
                examined = time.monotonic()
            over = self.stopped or now - began > options.minutes * 60 or progress.pages >= options.pages
            if over or now - saved > options.save_every:
                self.save()
                saved = time.monotonic()
            if over:
                break
        if not self.stopped and options.examine_every < options.minutes * 60:
            self.examine()
        self.feed.stop()

    def rate(self) -> float:
        """Learning rate: a rise over the first steps, then flat, and down to nothing before the last of the pages."""
        options, progress = self.options, self.progress
        down = max(0.0, min(1.0, (options.pages - progress.pages) / max(1, options.cool)))
        return options.rate * min(1.0, (progress.steps - self.began + 1) / options.warm) * down

    def judge(self, order: Order, figures: dict[str, Tensor]) -> None:
        """Moves the curriculum on."""
        progress = self.progress
        progress.patches += 0.02 * (float(figures["patch_right"]) - progress.patches)
        progress.sight += 0.02 * (float(figures["cell_right"]) - progress.sight)
        progress.reading = progress.reading or progress.sight > self.options.sight
        area = (order.side / 512) ** 2
        if "read_right" in figures and (order.length >= 0.95 * progress.longest * area or progress.longest > FULL):
            known = float(figures["read_right"]) / max(0.3, float(figures["cell_right"]))
            progress.reads += 0.05 * (min(1.0, known) - progress.reads)
            if progress.reads > GOOD:
                progress.longest = min(self.options.longest, progress.longest * 1.02)

    def wait(self) -> None:
        """Until nobody asks for quiet any more."""
        while self.options.pause and self.options.pause.exists() and not self.stopped:
            time.sleep(2)

    def examine(self) -> None:
        """Greedy readings of held-out text by the averaged weights, into the log."""
        show(self.optimizer.mean, self.net)
        self.log(exam=examine(self.net, self.options.texts, self.options.fonts, self.device, self.progress.longest))
        show(self.optimizer.master, self.net)

    def log(self, **entries: Any) -> None:
        """One line of JSON."""
        known = {name: round(float(value), 4) for name, value in asdict(self.progress).items()}
        with (self.out / "log.jsonl").open("a") as file:
            file.write(json.dumps({**known, **entries}) + "\n")

    def save(self) -> None:
        """The state, and the checkpoint folder of the averaged weights; each whole or not at all."""
        fresh, net = self.out / "state.new", copy.deepcopy(self.net).float()
        torch.save({"progress": asdict(self.progress), "optimizer": self.optimizer.state()}, fresh)
        fresh.replace(self.out / "state.pt")
        show(self.optimizer.mean, net)
        fresh, kept = self.out / "nano.new", self.out / "nano"
        save_net(net, fresh, asdict(self.progress))
        shutil.rmtree(kept, ignore_errors=True)
        fresh.rename(kept)


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--start", type=Path, help="checkpoint folder that a new run starts from")
    parser.add_argument("--texts", type=Path, help="folder of texts; see texts.py")
    parser.add_argument("--fonts", type=Path, nargs="*", default=[], help="folders of fonts")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2, help="of torch on the CPU")
    parser.add_argument("--workers", type=int, default=1, help="processes that make pages")
    parser.add_argument("--batch", type=int, default=24, help="pages of 512 × 512 a step")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--warm", type=int, default=200, help="steps")
    parser.add_argument("--cool", type=int, default=0, help="pages over which the rate falls to nothing at the end")
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--pages", type=float, default=1e12)
    parser.add_argument("--sight", type=float, default=0.85, help="share of letters seen at which reading begins")
    parser.add_argument("--frozen", action="store_true", help="leave the SAM half as it is")
    parser.add_argument("--longest", type=float, default=640, help="characters on a page of 512 × 512")
    parser.add_argument("--save-every", type=float, default=300, help="seconds")
    parser.add_argument("--log-every", type=float, default=30, help="seconds")
    parser.add_argument("--examine-every", type=float, default=1200, help="seconds")
    parser.add_argument("--pause", type=Path, help="training waits while this file exists")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    chosen = options()
    torch.set_num_threads(chosen.threads)
    Training(chosen).run()
