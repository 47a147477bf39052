"""Where in a text an answer may stand: its sentences, what is bold or a formula, and its numbers
with all that belongs to them; and whether the text denies what it says there."""

from __future__ import annotations

import re
from dataclasses import dataclass

from workbench.rewards.answers.numerals import read_numeral
from workbench.rewards.answers.supposed import is_supposed

_SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\be\.g\.)(?<!\bE\.g\.)[*_\"')]{0,3}\s+|\n+")
_MARKED = re.compile(
    r"\*\*(?!\s)(?P<bold>[^*\n]{1,200}?)(?<!\s)\*\*"
    r"|\$\$(?P<display>[^$]{1,300})\$\$"
    r"|\$(?!\s)(?P<inline>[^$\n]{1,200}?)(?<!\s)\$(?![0-9A-Za-z])"
    r"|\\\((?P<round>(?:[^\\]|\\(?!\))){1,300}?)\\\)"
    r"|\\\[(?P<square>(?:[^\\]|\\(?!\])){1,300}?)\\\]"
)
_TALK = re.compile(r"[A-Za-z]{2,} [A-Za-z]{2,}")
_UNIT_WORDS = re.compile(
    r"\s?(?:%|°)|(?:\s(?!(?:and|or|but|so|is|are|was|were|which|because|since|as|of|in|on|at|to|for"
    r"|from|by|with|per|that|the|not|if|when|who|left|more|has|have|had|will|does|do|did|can|could"
    r"|would|should|must|may|fails|works|he|she|it|they|we|you|an?)"
    r"\b)(?:[A-Za-z]{2,20}|[mgshlL])(?:/[A-Za-z]+)?(?:\^\{?[23]\}?|[²³])?(?![A-Za-z0-9(\\=])){1,3}"
)
_DENIED_BEFORE = re.compile(
    r"(?:\b(?:not|never|cannot|neither|nor|anything but|other than|rather than|instead of"
    r"|different from|except|without|hardly|(?<!no )doubt"
    r"|(?:eliminat|exclud|reject|discard)(?:ed|es|e|s|ing)?|cross(?:ed)? out"
    r"|rul(?:e|es|ed) out|false that|at least|at most"
    r"|near|nearly|almost|approximately|roughly|twice"
    r"|(?:half|third|quarter|square|cube|double|triple|root|percent|[0-9]+/[0-9]+|[0-9]%) of"
    r"|over|under|up to|(?:less|more|greater|fewer|larger|smaller|bigger|higher|lower) than"
    r"(?: or equal to)?)\b|n['’]t\b)"
    r"(?:\s+(?:be|been|equal|to|the|answer|result|possibly|really|exactly|actually|definitely|an?"
    r"|it|is|likely|option|choice|think|believe|that)\b){0,4}[\s*$(\\\[]*$",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(
    r"[\s*$)\\\]]*(?:(?:is|was|are|were|seems|looks|would be|must be)\b(?:\s+\w+)?\s+"
    r"(?:not|wrong|incorrect|false|too)\b|\w+n['’]t\b|can['’]t\b|cannot\b|fails\b"
    r"|(?:(?:is|was)|(?:may|can|could|must|should|would) be|has been)\b[^.,;!?\n]{0,30}?"
    r"\b(?:wrong|incorrect|false|impossible|excluded|eliminated"
    r"|(?:(?<=is )|ruled )out|rejected|invalid)\b"
    r"|(?:#|//)\s*(?:wrong|incorrect|false)\b"
    r"|\((?:incorrect|wrong|false|no)\b|,? but (?:it|that)(?:\s+is|['’]s)?"
    r"(?:\s+not|n['’]t|\s+isn['’]t)"
    r"|(?:does|do|did|would|will|can|could|should)\s+(?:not|never)\b)",
    re.IGNORECASE,
)
_REFUTED = re.compile(
    r"[\s.!;,*$)\]–—-]*(?:no\b\s*[,.!:]|(?:that|this|it|which)(?:\s+(?:is|was|would be)|['’]s)\s+"
    r"(?:not|wrong|incorrect|false)\b|(?:#|//)\s*(?:wrong|incorrect|false)\b)",
    re.IGNORECASE,
)
_NAMED_VALUE = re.compile(r"(?<![A-Za-z0-9\\])[A-Za-z] ?= ?$")
_NEEDED = re.compile(
    r"\b(?:needs?|needed|requires?|required|must|enough|necessary|suffices?)\b", re.IGNORECASE
)
_LARGER_UNIT = re.compile(
    r"\s*(?:hours?|hrs?|h|feet|foot|ft|pounds?|lbs?|dollars?|minutes?|mins?|days?|weeks?|months?"
    r"|years?),?\s+(?:and\s+)?"
)
_SMALLER_UNIT = re.compile(
    r"\s*(?:hours?|hrs?|minutes?|mins?|seconds?|secs?|inch(?:es)?|in|ounces?|oz|cents?|days?|weeks?"
    r"|months?)\b"
)
_LABELS = re.compile(
    r"\b(?:step|figure|fig|problem|question|part|equation|eq|case|line|page|chapter|section|table"
    r"|exercise|example|method|note|log|ln|sin|cos|tan|exp|sqrt|mod|gcd|lcm)s?\.?\s*[#(]?$",
    re.IGNORECASE,
)
_ENUMERATED = re.compile(r"(?:^|\s)\(?[a-hA-H1-9]\)\s")
_VARIABLE_AFTER = re.compile(r" [bcdefjknpqrtuvwxyz](?![A-Za-z'])")
_VARIABLE = re.compile(r"(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])")
_NAME = re.compile(r"[*_$(]*(?:[A-Za-z](?:\([^()]{1,20}\)|_?[0-9A-Za-z]*)|[A-Za-z]+)[*_$):]*")
_TIMES = re.compile(r"(?<=[0-9$).]) ?[xX] ?(?=[0-9$(.])")
_TOKEN = re.compile(r"\S+")
_HAS_DIGIT = re.compile(r"[0-9½¼¾⅓⅔]")
_OPERATOR = re.compile(r"[-+*/×÷·=<>^≤≥≠≈−–:]+|\\(?:times|cdot|div|pm)|[xX]")
_STARTS_OPEN = re.compile(r"[+*/×÷·^<>≤≥≠:]|[-−–]\s")
_LONGEST = 120
"""Characters of a token beyond which it is no number."""


@dataclass(frozen=True)
class Span:
    """A place in a text and what is to be read there."""

    start: int
    """Where it begins."""

    end: int
    """Where it ends, marks included."""

    content: str
    """What it says."""


def sentences(text: str) -> list[str]:
    """The sentences of `text`; a line ends one too."""
    return [sentence for sentence in _SENTENCE_END.split(text) if sentence.strip()]


def is_question(text: str, place: int) -> bool:
    """Whether the sentence that goes on at `place` ends in a question mark."""
    rest = _SENTENCE_END.split(text[place : place + 300], maxsplit=1)[0]
    return rest.rstrip(" *_\"')").endswith("?")


def marked_spans(text: str) -> list[Span]:
    """What is bold or a formula in `text`, in order. Two dollar prices are no formula."""
    spans = []
    for match in _MARKED.finditer(text):
        content = match[match.lastgroup or 0]
        prices = match.lastgroup == "inline" and _TALK.search(content) and "\\" not in content
        if not prices:
            spans.append(Span(match.start(), match.end(), content))
    return spans


def denied(sentence: str, start: int, end: int) -> bool:
    """Whether `sentence` denies what stands from `start` to `end`, or only supposes it."""
    return is_supposed(sentence, start, end) or refuted(sentence, start, end)


def refuted(sentence: str, start: int, end: int) -> bool:
    """Whether `sentence` denies what stands from `start` to `end`: "not 42", "42 is wrong"."""
    # What denies "x = 42" denies 42.
    before = _NAMED_VALUE.sub("", sentence[max(0, start - 80) : start])
    # Where it says what is needed, the least is the answer.
    if _NEEDED.search(sentence[max(0, start - 80) : end + 80]):
        before = re.sub(r"\bat least\b", "", before)
    return bool(_DENIED_BEFORE.search(before) or _DENIED_AFTER.match(sentence, end))


def is_refuted(rest: str) -> bool:
    """Whether `rest`, what a text goes on with after an answer, takes it back: "No, that is
    wrong"."""
    return _REFUTED.match(rest) is not None


def with_unit(content: str, after: str) -> str:
    """`content` with the words that follow a number as its unit."""
    bare = content.strip().strip("$*").strip()
    clock = re.fullmatch(r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?", bare)
    half = re.match(r"\s?[ap]\.?m\b\.?|\snoon\b", after, re.IGNORECASE) if clock else None
    if half is not None:
        return bare + half[0]
    match = _UNIT_WORDS.match(after)
    counted = re.fullmatch(r"[-+−–$€£]{0,3}[0-9][0-9.,/ ]*(?:[-0-9\\{}a-z]*frac[0-9{}]+)?", bare)
    if match is None or counted is None:
        return content
    return _counted(bare.rstrip("."), match[0])


def _counted(number: str, words: str) -> str:
    """`number` with as many of `words` as name what it counts; with all of them where the first
    changes its value ("42 squared")."""
    for end in [place.end() for place in re.finditer(r"\S+", words)][::-1]:
        numeral = read_numeral(number + words[:end])
        if numeral is not None and numeral.counts:
            return number + words[:end]
    first = words.split()[0]
    return number if read_numeral(f"{number} {first}") is not None else number + words


def number_spans(sentence: str) -> list[Span]:
    """The numbers of `sentence`, each with the whole expression that it is in; of a calculation
    the right side of its last `=`. What is only a part of one is left out."""
    spans: list[Span] = []
    if len(_ENUMERATED.findall(sentence)) > 1:
        return spans
    for start, end in _runs(sentence):
        before = sentence[:start]
        run = sentence[start:end]
        # A number that numbers something is not an amount.
        if _LABELS.search(before[-24:]):
            continue
        if _is_equation(run, before) or _VARIABLE_AFTER.match(sentence, end):
            continue
        span = _result(run, start, opens=not before.strip(" *_>#-"))
        if span is None:
            continue
        joint = re.search(r"(?:,|\b(?:and|or|to|maybe|perhaps|possibly))\s+$", before[-12:])
        previous = spans[-1] if spans else None
        between = sentence[previous.end : start] if previous is not None else "x"
        if (
            previous is not None
            and _LARGER_UNIT.fullmatch(between)
            and _SMALLER_UNIT.match(sentence, span.end)
        ):
            # "3 hours 20 minutes" is one time, and not 20 minutes.
            spans[-1] = Span(previous.start, span.end, sentence[previous.start : span.end])
            continue
        if (
            previous is not None
            and joint
            and re.fullmatch(r"\W*(?:and|or|to)?\W*(?:maybe|perhaps|possibly)?\W*", between)
        ):
            from_to = "to" in between and re.search(r"\bfrom\W*$", sentence[: previous.start])
            if not from_to:
                # "3 or 5" is one answer, and not the answer 5.
                span = Span(previous.start, span.end, sentence[previous.start : span.end])
                spans.pop()
        spans.append(span)
    return spans


def _runs(sentence: str) -> list[tuple[int, int]]:
    """Start and end of each row of words that have digits or are operators, with a digit in it."""
    runs: list[list[int]] = []
    open_run = False
    for match in _TOKEN.finditer(sentence):
        token = match[0]
        is_number = _HAS_DIGIT.search(token) is not None and len(token) <= _LONGEST
        if is_number or _OPERATOR.fullmatch(token.strip(".,")):
            if open_run:
                runs[-1][1] = match.end()
            else:
                runs.append([match.start(), match.end()])
            open_run = not (is_number and token.endswith((":", ";")))
        else:
            open_run = False
    return [(a, b) for a, b in runs if _HAS_DIGIT.search(sentence[a:b])]


def _is_equation(run: str, before: str) -> bool:
    """Whether a row with `=` says of an expression with a variable what it is, as 2x = 42 does;
    x = 42 and f(2) = 42 say it of the variable itself."""
    left, equals, _ = run.rpartition("=")
    if not equals:
        return False
    left = _TIMES.sub("*", left).strip()
    if not left:
        word = before.rpartition(" ")[2] if not before.endswith(" ") else before.split(" ")[-2]
        return bool(word) and not word[-1].isdigit() and _signed_variable(word)
    return _VARIABLE.search(left) is not None and _NAME.fullmatch(left) is None


def _signed_variable(word: str) -> bool:
    """Whether `word` is a variable with something done to it: -x, x/y, |x|."""
    return _VARIABLE.search(word) is not None and _NAME.fullmatch(word) is None


def _result(run: str, start: int, *, opens: bool) -> Span | None:
    """What a row of numbers and operators comes to; None where it goes on from something before
    it, or compares."""
    right = run.rpartition("=")[2]
    if re.search(r"[<>≤≥≠≈]|!=", run) or not _HAS_DIGIT.search(right):
        return None
    at = start + len(run) - len(right) + len(right) - len(right.lstrip(" *_`\"'"))
    content = right.strip().strip("*_`\"'").rstrip(".,;:!?").strip("*_`\"'")
    # "- 42" begins a list of points; "3 apples - 42" goes on.
    if opens and re.match(r"[-–*•]\s", content):
        content = content[1:].strip()
    elif "=" not in run and _STARTS_OPEN.match(content):
        return None
    end = start + len(run.rstrip(".,;:!?*_`\"' "))
    return Span(at, max(end, at), content)
