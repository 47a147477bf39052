"""Texts that a policy, a data set or an attacker may write: a corpus of named ones, and a seeded
generator that puts pieces of them together. Used by the tests of this folder, by those in the
browser, and by hand (`many.py`).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

MILLION = 1_000_000
LONG = 20_000

SCRIPTS = (
    "<script>window.hit=1</script>",
    "<img src=x onerror=window.hit=1>",
    "<svg/onload=window.hit=1>",
    "<iframe srcdoc='<script>top.hit=1</script>'></iframe>",
    "<a href='javascript:window.hit=1'>look</a>",
    '<a href="data:text/html,<script>top.hit=1</script>">look</a>',
    "<details open ontoggle=window.hit=1>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=window.hit=1>",
    "</script><script>window.hit=1</script>",
    "</style><script>window.hit=1</script>",
    "</title><script>window.hit=1</script>",
    "</textarea><script>window.hit=1</script>",
    "--><script>window.hit=1</script><!--",
    "]]><script>window.hit=1</script>",
    '" onmouseover=window.hit=1 autofocus onfocus=window.hit=1 x="',
    "' onmouseover=window.hit=1 autofocus onfocus=window.hit=1 x='",
    "` onmouseover=window.hit=1 x=`",
    "&lt;script&gt;window.hit=1&lt;/script&gt;",
    "&#60;script&#62;window.hit=1&#60;/script&#62;",
    "\\u003cscript\\u003ewindow.hit=1\\u003c/script\\u003e",
    "\x3cscript\x3ewindow.hit=1\x3c/script\x3e",
    "<ScRiPt\n>window.hit=1</sCrIpT\t>",
    "<<script>script>window.hit=1<</script>/script>",
    "<base href='http://192.0.2.1/'>",
    "<meta http-equiv=refresh content='0;url=http://192.0.2.1/'>",
    "<link rel=stylesheet href='http://192.0.2.1/x.css'>",
    "<form action='http://192.0.2.1/'><button autofocus>send</button></form>",
    "<object data='javascript:window.hit=1'></object>",
    "<template shadowrootmode=open><script>window.hit=1</script></template>",
    "{{constructor.constructor('window.hit=1')()}}",
    "${window.hit=1}",
    "[look](javascript:window.hit=1)",
    "![look](http://192.0.2.1/pixel.png)",
)
"""What would set `window.hit`, or ask another host, where it were taken for HTML. (192.0.2.1 is a
host that nobody has: RFC 5737.)"""

PLOTLY = (
    "<a href='javascript:window.hit=1'>look</a>",
    "<span style='font-size:900px;color:red'>big</span>",
    "<b>bold</b><i>i</i><sub>s</sub><br><br><br>",
    "<a href='http://192.0.2.1/' target='_blank' popup='width=9'>look</a>",
    "$\\href{javascript:window.hit=1}{x}$",
    "%{customdata[0]} %{x:.9999f}",
)
"""Plotly's own small HTML, which its texts know."""

STYLES = (
    "<style>*{display:none}</style>",
    "</style><style>body{background:url(http://192.0.2.1/)}</style>",
    "position:fixed;inset:0;background:url('http://192.0.2.1/x')",
    "expression(window.hit=1)",
    "@import 'http://192.0.2.1/x.css';",
    "<p style='position:fixed;top:0;left:0;width:9999px;height:9999px;z-index:9999'>",
)

TERMINAL = (
    "\x1b[2J\x1b[H\x1b[31mgone",
    "\x1b]0;title\x07",
    "\x1b]8;;http://192.0.2.1/\x1b\\link\x1b]8;;\x1b\\",
    "\x1b]52;c;cm0gLXJmIC8=\x07",
    "\x9b31m\x9d0;x\x9c",
    "\rover\b\b\b\bwritten\x0b\x0c",
    "\x1bP+q544e\x1b\\ \x1b[6n \x1bc",
    "[red]rich[/red] [/nothing] [link=http://192.0.2.1/]x[/link] :bug:",
)

UNICODE = (
    "user\u202eevil\u2066 \u2069 txt",
    "zero\u200bwidth\u200djoined\ufeff\u2060",
    "line \u2028 and \u2029 and \x85",
    "NUL \x00 in it",
    "lone \ud800 and \udfff",
    "swapped \udc00\ud800",
    "tags \U000e0041\U000e0042 private \ue000 none \uffff \U0010ffff",
    "Z" + "\u0351\u036b\u0343" * 200,
    "👩‍👩‍👧‍👦" * 20,
    "٣٤ ４２ ² ½ Ⅷ",
    "\N{FULLWIDTH LESS-THAN SIGN}script\N{FULLWIDTH GREATER-THAN SIGN}",
    "İıſKﬀß",
)

FORMULAS = (
    '=HYPERLINK("http://192.0.2.1/","look")',
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1+1",
    "@SUM(1+1)",
    "\t=1+1",
    "\r=1+1",
    "＝1+1",
)
"""What a spreadsheet computes when it opens a table of values."""

CODE = (
    "__import__('os').system('touch hit')",
    "eval(compile('open(\"hit\",\"w\")','','exec'))",
    "{0.__class__.__init__.__globals__}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "%s %n %(x)s %999999999d {:>999999999}",
    "$(touch hit) `touch hit` ; touch hit | touch hit",
    "'; DROP TABLE samples; --",
    "../../../../etc/passwd",
    "cos\nsystem\n(S'touch hit'\ntR.",
)

ARITHMETIC = (
    "9**9**9",
    "9^9^9^9^9",
    "9^{9^{9^{9}}}",
    "(10^{9})!",
    "100000!!!!",
    "\\binom{10^9}{5\\cdot10^8}",
    "1e999999999",
    "-1E-999999999",
    "0x" + "f" * 3000,
    "9" * 4301,
    "1" + "0" * 400 + "/3",
    "nan",
    "-Infinity",
    "1/0",
    "0/0",
    "0.1" * 50,
    "\\sum_{i=1}^{10^{12}} i^{i}",
    "\\int_0^{10^9} e^{e^{x}} dx",
    "\\prod_{n=1}^{99999999} n",
    "\\sqrt[999999999]{2}",
    "x^{1000000}-1=(x-1)(x+1)",
    "\\begin{pmatrix}" + "1&" * 200 + "1\\end{pmatrix}",
    "[0, 10^{9})\\cup" * 40 + "{1}",
    "1,2,3," * 300,
    "[1..10^9]",
    "range(10**10)",
)

NESTED = (
    "\\frac{" * 60 + "1" + "}{2}" * 60,
    "\\frac" * 500 + "12",
    "\\sqrt{" * 80 + "2" + "}" * 80,
    "(" * 150 + "1" + ")" * 150,
    "{" * 900,
    "\\boxed{" * 200 + "8" + "}" * 200,
    "\\text{\\text{" * 50,
    "\\left(" * 100,
    "-" * 999 + "1",
    "1" + "^1" * 400,
    "$" * 999,
    "\\(" * 300,
    "<think>" * 300 + "</think>" * 300,
    "<answer>" * 300,
    "a" * 40 + "!",
    "(a+)+$" + "a" * 60,
    "8 or " * 200 + "9",
)

ESCAPED_FROM = (
    "{}",
    "\"'></b></td></tr></table></div></span>{}",
    "\u202e\x00{}\ud800",
    '\\"}}]}}{}<!--',
    "%3C{}%3E&quot;",
)
"""What a payload begins with that thinks it stands in an attribute, a table, a JSON text."""

PAYLOADS = tuple(
    dict.fromkeys(
        frame.replace("{}", payload).replace("}}", "}")
        for payload in (*SCRIPTS, *PLOTLY, *STYLES)
        for frame in ESCAPED_FROM
    )
)
"""More than two hundred texts that would do something in a page where they were taken for HTML."""

PIECES: dict[str, tuple[str, ...]] = {
    "scripts": SCRIPTS,
    "plotly": PLOTLY,
    "styles": STYLES,
    "terminal": TERMINAL,
    "unicode": UNICODE,
    "formulas": FORMULAS,
    "code": CODE,
    "arithmetic": ARITHMETIC,
    "nested": NESTED,
}
"""Short pieces by what they are aimed at."""

HUGE: dict[str, Callable[[], str]] = {
    "a million brackets": lambda: "(" * MILLION,
    "a million pairs of brackets": lambda: "(" * MILLION + ")" * MILLION,
    "a million braces": lambda: "\\boxed{" + "{" * MILLION + "}" * MILLION + "}",
    "a million JSON lists": lambda: "[" * MILLION + "]" * MILLION,
    "a megabyte of digits": lambda: "7" * MILLION,
    "a megabyte of decimals": lambda: "0." + "3" * MILLION,
    "a megabyte of thousands": lambda: "1" + ",000" * 250_000,
    "a fraction bomb": lambda: "\\frac{" * 100_000 + "1" + "}{1}" * 100_000,
    "short fractions": lambda: "\\frac" * 200_000,
    "boxes in boxes": lambda: "\\boxed{" * 100_000 + "8" + "}" * 100_000,
    "boxes in a row": lambda: "\\boxed{8}" * 100_000,
    "open boxes": lambda: "\\boxed{8 " * 100_000,
    "a tower of powers": lambda: "9^" * 300_000 + "9",
    "a megabyte of NULs": lambda: "\x00" * MILLION,
    "a megabyte of surrogates": lambda: "\ud800" * MILLION,
    "a megabyte of overrides": lambda: "\u202e" * MILLION,
    "a megabyte of combining marks": lambda: "a" + "\u0301" * MILLION,
    "a megabyte of line ends": lambda: "\n" * MILLION,
    "a megabyte of blanks": lambda: "8" + " " * MILLION + "8",
    "a megabyte of entities": lambda: "&" * MILLION,
    "thoughts in thoughts": lambda: "<think>" * 150_000 + "</think>" * 150_000,
    "answers in a row": lambda: "<answer>8</answer>" * 60_000,
    "open answers": lambda: "<answer>" * 120_000,
    "half tags": lambda: "<" * MILLION,
    "half closing tags": lambda: "</answer" * 120_000,
    "dollars": lambda: "$" * MILLION,
    "dollar pairs": lambda: "$8$ " * 250_000,
    "commas": lambda: "8," * 500_000,
    "alternatives": lambda: "8 or " * 200_000,
    "statements": lambda: "The answer is 8. " * 60_000,
    "denials": lambda: "The answer is not " * 60_000 + "8",
    "equations": lambda: "1 + 1 = 2\n" * 100_000,
    "minus signs": lambda: "-" * MILLION + "8",
    "one word": lambda: "a" * MILLION,
    "words": lambda: "so it is " * 110_000,
    "escape sequences": lambda: "\x1b[31m" * 200_000,
    "scripts": lambda: "<script>window.hit=1</script>" * 30_000,
    "backslashes": lambda: "\\" * MILLION,
    "hashes": lambda: "#### 8\n" * 140_000,
    "stars": lambda: "**8** " * 160_000,
}
"""About a megabyte each: what takes the square of its length is not done in an hour."""

FRAMES = (
    "{}",
    "<think>{}</think><answer>8</answer>",
    "<think>a</think><answer>{}</answer>",
    "<think>{}</think><answer>{}</answer>",
    "<answer>{}",
    "The answer is {}",
    "The answer is {}.\nNo, {}.",
    "\\boxed{{{}}}",
    "so $\\boxed{{{}}}$ or $\\boxed{{8}}$",
    "Final answer: {}",
    "#### {}",
    "x = {}",
    "{} = 8",
    "**{}**",
    "```python\n{}\n```",
    "1 + 1 = {}\n{} + 1 = 3",
)
"""Where an answer is looked for."""


def hostile_texts(count: int, seed: int) -> Iterator[str]:
    """So many texts: every piece in every kind of place in time, mixed, doubled, cut, reversed; two
    texts in a thousand are repeated up to `LONG` characters. The same seed gives the same texts."""
    chance = random.Random(seed)
    for _ in range(count):
        yield _text(chance)


def _text(chance: random.Random) -> str:
    pieces = [chance.choice(PIECES[chance.choice(list(PIECES))]) for _ in range(2)]
    chosen = pieces[0] if chance.random() < 0.6 else _mixed(chance, *pieces)
    chosen = _changed(chance, chosen)
    text = chance.choice(FRAMES).replace("{}", chosen).replace("{{", "{").replace("}}", "}")
    if chance.random() < 0.002:
        text = (text * (1 + LONG // max(len(text), 1)))[:LONG]
    return text


def _mixed(chance: random.Random, first: str, second: str) -> str:
    place = chance.randrange(len(first) + 1)
    return first[:place] + second + first[place:]


def _changed(chance: random.Random, text: str) -> str:
    change = chance.randrange(7)
    place = chance.randrange(len(text) + 1)
    changes = (text, text, text, text[:place], text[place:], text[::-1], text * 3)
    return changes[change]
