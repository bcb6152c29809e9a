"""What the tests of serving/ read its files with: Dockerfiles, .dockerignore, PromQL, commands in text.

hadolint, docker and promtool are not here. What is checked is what breaks a deployment, and can be seen in the files.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path

INSTRUCTIONS = {
    "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN", "SHELL", "STOPSIGNAL",
    "USER", "VOLUME", "WORKDIR",
}  # fmt: skip
FLOATING = {"", "latest", "main", "master", "nightly", "stable", "edge", "dev"}


@dataclass(frozen=True)
class Instruction:
    name: str
    text: str
    line: int

    @property
    def flags(self) -> dict[str, str]:
        return dict(re.findall(r"--([a-z-]+)=(\S+)", self.text.split("CMD")[0]))

    @property
    def words(self) -> list[str]:
        return [word for word in shlex.split(self.text) if not word.startswith("--")]

    def exec_form(self) -> list[str] | None:
        """The words of the exec form; None for the shell form."""
        try:
            words = json.loads(self.text[self.text.index("[") :])
        except ValueError:
            return None
        return words if isinstance(words, list) and all(isinstance(word, str) for word in words) else None


def instructions(text: str) -> list[Instruction]:
    """Of a Dockerfile; comments and continued lines as Docker reads them."""
    found, waiting, started = [], "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or (not line.strip() and not waiting):
            continue
        started = started or number
        waiting += line.rstrip().removesuffix("\\") + " "
        if not line.rstrip().endswith("\\"):
            name, _, rest = waiting.strip().partition(" ")
            found.append(Instruction(name.upper(), rest.strip(), started))
            waiting, started = "", 0
    return found


def stages(found: Sequence[Instruction]) -> list[list[Instruction]]:
    """The instructions of each stage, its FROM first; what stands before the first FROM is left out."""
    starts = [place for place, one in enumerate(found) if one.name == "FROM"]
    return [list(found[start:end]) for start, end in zip(starts, [*starts[1:], len(found)], strict=True)]


def ignored(path: str, patterns: str) -> bool:
    """Does a .dockerignore with these patterns keep a path (relative, with slashes) out of the build?"""
    verdict = False
    parents = ["/".join(path.split("/")[: count + 1]) for count in range(path.count("/") + 1)]
    for line in patterns.splitlines():
        pattern = line.strip().removeprefix("/").removesuffix("/")
        if not pattern or pattern.startswith("#"):
            continue
        negated = pattern.startswith("!")
        rule = re.compile(_as_regex(pattern.removeprefix("!")))
        if any(rule.fullmatch(part) for part in parents):
            verdict = not negated
    return verdict


def _as_regex(pattern: str) -> str:
    """`**/` is any number of folders, `*` stays in one."""
    parts = [translate(part).replace(".*", "[^/]*") for part in pattern.split("**/")]
    return "(?:.*/)?".join(re.sub(r"^\(\?s:(.*)\)\\[zZ]$", r"\1", part) for part in parts)


def lint(text: str, context: Path, patterns: str, extras: Mapping[str, object]) -> list[str]:
    """What is wrong with a Dockerfile, each with its line.

    Args:
        context: the folder that is built from; `patterns` are its .dockerignore's.
        extras: those of the package.
    """
    found = instructions(text)
    arguments = dict(one.text.split("=", 1) for one in found if one.name == "ARG" and "=" in one.text)
    told = [
        f"{one.line}: {one.name} is no instruction that is used here" for one in found if one.name not in INSTRUCTIONS
    ]
    names: set[str] = set()
    for stage in stages(found):
        told += _lint_from(stage[0], names, arguments)
        for one in stage:
            told += _lint_copy(one, names, context, patterns)
            told += _lint_run(one, extras, arguments)
            if one.name in {"CMD", "ENTRYPOINT", "HEALTHCHECK"} and one.exec_form() is None:
                told.append(f"{one.line}: {one.name} is not in exec form: signals would go to a shell")
            if one.name in {"ENV", "ARG"} and re.search(r"(?i)token|password|secret|api_?key", one.text):
                told.append(f"{one.line}: a secret in {one.name} stays in the image")
        names |= {word for word in stage[0].text.split()[2:] if word.lower() != "as"}
    return [*told, *_lint_last(stages(found)[-1])]


def _lint_from(one: Instruction, names: set[str], arguments: Mapping[str, str]) -> Iterator[str]:
    image = resolved(one.text.split()[0], arguments)
    if image not in names and is_floating(image):
        yield f"{one.line}: the image {image} has no fixed tag"


def _lint_copy(one: Instruction, names: set[str], context: Path, patterns: str) -> Iterator[str]:
    if one.name != "COPY":
        return
    if "from" in one.flags:
        if one.flags["from"] not in names:
            yield f"{one.line}: there is no stage {one.flags['from']} before this one"
        return
    for source in one.words[:-1]:
        if not (context / source).exists():
            yield f"{one.line}: {source} does not exist"
        elif ignored(source, patterns):
            yield f"{one.line}: {source} is kept out by .dockerignore"


def _lint_run(one: Instruction, extras: Mapping[str, object], arguments: Mapping[str, str]) -> Iterator[str]:
    if one.name != "RUN":
        return
    if "apt-get install" in one.text:
        for wanted in ("--yes", "--no-install-recommends", "apt-get update", "rm -rf /var/lib/apt/lists/*"):
            if wanted not in one.text:
                yield f"{one.line}: apt-get install without {wanted}"
    for named in re.findall(r"pip install .*\"\.\[(.*?)\]\"", one.text):
        for extra in resolved(named, arguments).split(","):
            if extra not in extras:
                yield f"{one.line}: the package has no extra {extra}"
    if re.search(r"\b(sudo|curl|wget)\b", one.text):
        yield f"{one.line}: what is downloaded here is not pinned"


def _lint_last(stage: Sequence[Instruction]) -> Iterator[str]:
    last = {one.name: one for one in stage}
    for name in ("USER", "CMD", "HEALTHCHECK", "STOPSIGNAL", "EXPOSE", "VOLUME"):
        if name not in last:
            yield f"{stage[0].line}: the image has no {name}"
    user = last["USER"].text.split(":")[0] if "USER" in last else ""
    if not user.isdigit() or int(user) == 0:
        yield f"{stage[0].line}: the user is {user or 'root'}: give a number other than 0"
    if last.get("STOPSIGNAL") and last["STOPSIGNAL"].text != "SIGTERM":
        yield f"{last['STOPSIGNAL'].line}: the service drains on SIGTERM"
    command = (last["CMD"].exec_form() or []) if "CMD" in last else []
    port = option(command, "--port")
    if "EXPOSE" in last and port != last["EXPOSE"].text:
        yield f"{last['EXPOSE'].line}: port {last['EXPOSE'].text} is exposed, {port} is served"
    if "VOLUME" in last and option(command, "--folder") not in last["VOLUME"].text.split():
        yield f"{last['VOLUME'].line}: the folder of the service is no volume"
    if "HEALTHCHECK" in last and f":{port}/" not in last["HEALTHCHECK"].text:
        yield f"{last['HEALTHCHECK'].line}: the health of another port is asked"


def resolved(text: str, arguments: Mapping[str, str]) -> str:
    """With ${NAME} replaced by what ARG says."""
    return re.sub(r"\$\{(\w+)\}", lambda match: arguments.get(match[1], ""), text)


def is_floating(image: str) -> bool:
    """May the image be another one tomorrow?"""
    if "@sha256:" in image:
        return False
    tag = image.rpartition("/")[2].partition(":")[2]
    return tag in FLOATING or not re.search(r"\d+\.\d+", tag)


def option(command: Sequence[str], name: str) -> str:
    """What follows an option, or stands behind its equals sign; empty if it is not there."""
    for place, word in enumerate(command):
        if word == name and place + 1 < len(command):
            return command[place + 1]
        if word.startswith(f"{name}="):
            return word.partition("=")[2]
    return ""


def code_of(markdown: str) -> list[str]:
    """Blocks and spans of code, continued lines joined."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", markdown, re.DOTALL | re.MULTILINE)
    rest = re.sub(r"^```\w*\n.*?^```$", "", markdown, flags=re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return lines + re.findall(r"`([^`\n]+)`", rest)


def commands_in(line: str) -> list[list[str]]:
    """The commands of ocrpress in a line of a shell: the words behind each `ocrpress`."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, "#"
    try:
        words = list(lexer)
    except ValueError:  # no shell: text with an apostrophe
        words = line.split()
    found: list[list[str]] = []
    inside = False
    for place, word in enumerate(words):
        if word == "ocrpress" and place + 1 < len(words) and words[place + 1] != "ocrpress":
            found.append([])
            inside = True
        elif set(word) <= set("();<>|&"):
            inside = False
        elif inside:
            found[-1].append(word)
    return [command for command in found if command]


@dataclass(frozen=True)
class Selector:
    """A metric in a PromQL expression, the labels in its braces, and the function that is applied to its range."""

    name: str
    labels: tuple[str, ...]
    ranged: bool
    function: str


def selectors(expression: str) -> list[Selector]:
    """The metrics of ocrpress in an expression."""
    pattern = r"(?:(\w+)\s*\(\s*)?\b(ocrpress_\w+)(?:\{([^}]*)\})?(\[[^\]]+\])?"
    return [
        Selector(name, tuple(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels)), bool(ranged), function)
        for function, name, labels, ranged in re.findall(pattern, expression)
    ]


def grouped(expression: str) -> set[str]:
    """The labels that an expression groups by."""
    return {label.strip() for labels in re.findall(r"\bby\s*\(([^)]*)\)", expression) for label in labels.split(",")}
