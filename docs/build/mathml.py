"""One formula in ASCII as MathML, by recursive descent.

e_qk = v . tanh(W s_q + U h_k)          x_y a subscript, x^y a superscript, x~ and x^ marks above, x' a prime
w_qk = exp(e_qk) / sum_k' exp(e_qk')    a product is written side by side; . is the dot product
"""

import html
import re
from typing import NamedTuple

LETTERS = "alpha beta gamma delta epsilon zeta eta theta kappa lambda mu nu xi pi rho sigma tau phi psi omega"
GREEK = dict(zip(LETTERS.split(), "αβγδεζηθκλμνξπρστφψω", strict=True)) | {"Phi": "Φ"}
NAMES = (
    "exp log sin cos tan tanh sqrt sigmoid softmax softplus relu gelu max min arg argmax argmin gru lstm sign "
    "median mean round "
    "attention head MultiHead blank label logits Bernoulli cosine top shift softsign one oneplus "
    "PE MLP LSTM GRU RNN FFN KL ReLU LayerNorm reset erase add read write"
)
FUNCTIONS = {*NAMES.split()}
LARGE = {"sum": "∑", "prod": "∏"}
SIGNS = {
    "<=": "≤", ">=": "≥", "!=": "≠", "->": "→", "<-": "←", "...": "…", "..": "…", ".": "·", "*": "∗", "-": "−",
    "~": "∼", "<": "<", ">": ">", "=": "=", "+": "+", "+-": "±", "in": "∈", "||": "‖",
}  # fmt: skip
RELATIONS = ("=", "<=", ">=", "!=", "->", "<-", "<", ">", "~", "in", "||")
SHORT = {"as", "at", "by", "if", "in", "is", "no", "of", "on", "or", "to"}  # words of two letters
TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<text>\"[^\"]*\"|[A-Za-z]'s [a-z]+|</?s>)|(?P<number>\d+(?:[.,]\d+)*)|(?P<name>[A-Za-z]+)"
    r"|(?P<sign><=|>=|!=|->|<-|\+-|\|\||\.\.\.?|[-+*/.,;:=<>~^_'|()\[\]{}&@])"
)
WORD = re.compile(r"(?<![\w^{])[A-Za-z]+")


class Unreadable(ValueError):
    """What is not a formula of the forms that occur."""


class Token(NamedTuple):
    kind: str
    text: str
    before: bool
    """Whether a space stands before it."""
    after: bool


def worded(text: str) -> bool:
    """Whether there are words among the symbols."""
    known = {*GREEK, *FUNCTIONS, *LARGE, "grad"}
    return any(len(word) > 2 and word not in known and not capital(word) for word in WORD.findall(text))


def capital(word: str) -> bool:
    return len(word) <= 4 and word.isupper()


def sides(text: str) -> tuple[str, str]:
    """MathML of a formula: what stands before its first relation, and the rest."""
    text = re.sub(
        r"\b(sum|prod) over (.+?) of ", lambda over: f"{over[1]}_{{{over[2].replace(' with ', ': ')}}} ", text
    )
    reader = Reader(tokens(text))
    left = reader.sequence(stop=("=", "~", "<=", "->", "<-"), depth=0)
    right = reader.sequence(stop=(), depth=0)
    if reader.rest():
        raise Unreadable(text)
    return left, right


def tokens(text: str) -> list[Token]:
    found, place, space = [], 0, False
    while place < len(text):
        match = TOKEN.match(text, place)
        if match is None:
            raise Unreadable(f"{text!r} at {text[place:]!r}")
        place = match.end()
        if match.lastgroup == "space":
            space = True
            continue
        follows = place >= len(text) or text[place].isspace()
        found.append(Token(str(match.lastgroup), match.group(), space, follows))
        space = False
    return found


class Reader:
    """Reads tokens from left to right, by recursive descent."""

    def __init__(self, found: list[Token]) -> None:
        self.found, self.place = found, 0

    def rest(self) -> list[Token]:
        return self.found[self.place :]

    def next(self, ahead: int = 0) -> Token:
        place = self.place + ahead
        return self.found[place] if place < len(self.found) else Token("end", "", True, True)

    def take(self, text: str = "") -> Token:
        token = self.next()
        if token.kind == "end" or (text and token.text != text):
            raise Unreadable(f"expected {text or 'more'}, found {token.text!r}")
        self.place += 1
        return token

    def sequence(self, stop: tuple[str, ...], depth: int) -> str:
        """Terms with the signs between them, up to a closing bracket or a sign in `stop`."""
        parts: list[str] = []
        while True:
            token = self.next()
            closes = token.text in (")", "]", "}") or (token.text == "|" and not token.before and depth > 0)
            if token.kind == "end" or closes or (token.text in stop and parts):
                return "".join(parts)
            if token.text in (",", ";", ":"):
                parts.append(f'<mo separator="true">{self.take().text}</mo><mspace width="0.3em"/>')
            elif token.text == "|" and token.before and token.after:
                self.take()
                parts.append('<mspace width="0.15em"/><mo stretchy="false" form="infix">|</mo>')
            elif self.relates(token) and (token.kind == "sign" or parts):
                self.take()
                parts.append(f"<mo>{html.escape(SIGNS[token.text])}</mo>")
            elif token.text in ("+", "-", "+-"):
                self.take()
                form = "infix" if parts and not parts[-1].startswith("<mo") else "prefix"
                parts.append(f'<mo form="{form}">{SIGNS[token.text]}</mo>')
            else:
                parts.append(self.term(depth))

    def term(self, depth: int) -> str:
        """Products, and fractions of them: a / b c is one of two products, a/b c is a fraction times c."""
        above = self.product(depth)
        while self.next().text == "/":
            self.take()
            below = self.product(depth)
            above = f"<mfrac>{bare(above)}{bare(below)}</mfrac>"
        return above

    def ratio(self, depth: int) -> str:
        above = self.factor(depth)
        while self.starts(self.next(), depth) and not self.next().before:  # 2i
            above = f"<mrow>{above}{self.factor(depth)}</mrow>"
        while self.next().text == "/" and not (self.next().before or self.next().after):
            self.take()
            above = f"<mfrac>{bare(above)}{bare(self.factor(depth))}</mfrac>"
        return above

    def product(self, depth: int) -> str:
        parts = [self.ratio(depth)]
        while True:
            token = self.next()
            if token.text in (".", "*", "..", "...") and token.kind == "sign":
                self.take()
                parts.append(f"<mo>{SIGNS[token.text]}</mo>")
                if self.next().kind == "end" or self.next().text in (",", ";", ")", "]"):
                    break
                parts.append(self.ratio(depth))
            elif self.starts(token, depth):
                following = self.ratio(depth)
                wide = "0.35" if "mtext" in parts[-1][:6] + following[:6] else "0.17"
                parts += [f'<mspace width="{wide}em"/>'] * token.before + [following]
            else:
                break
        return f"<mrow>{''.join(parts)}</mrow>" if len(parts) > 1 else parts[0]

    def relates(self, token: Token) -> bool:
        """Whether it is a relation; "in" before a word is a word."""
        following = self.next(1).text
        return token.text in RELATIONS and not (token.text == "in" and worded(following))

    def starts(self, token: Token, depth: int) -> bool:
        """Whether a factor starts here."""
        if self.relates(token):
            return False
        if token.text == "|":  # of an absolute value, not of a condition or at the end of one
            return not token.after and (token.before or depth == 0)
        return token.kind in ("name", "number", "text") or token.text in ("(", "[")

    def factor(self, depth: int) -> str:
        token = self.take()
        if token.text in LARGE:
            return self.large(LARGE[token.text])
        if token.text == "sqrt" and self.next().text == "(":
            self.take()
            inner = self.sequence((), depth + 1)
            self.take(")")
            return self.marked(f"<msqrt><mrow>{inner}</mrow></msqrt>")
        if token.kind == "name" and token.text == "grad":
            return "<mo>∇</mo>"
        if token.kind == "name":
            base = self.marked(named(token.text))
            if self.next().text == "(" and not self.next().before:
                return f"<mrow>{base}{self.marked(self.bracket(depth))}</mrow>"
            return base
        if token.kind == "number":
            return self.marked(f"<mn>{token.text}</mn>")
        if token.kind == "text":
            return f"<mtext>{html.escape(token.text)}</mtext>"
        if token.text in ("(", "["):
            self.place -= 1
            return self.marked(self.bracket(depth))
        if token.text == "|":
            inner = self.sequence((), depth + 1)
            self.take("|")
            return self.marked(f'<mrow><mo form="prefix">|</mo>{inner}<mo form="postfix">|</mo></mrow>')
        if token.text in ("..", "..."):
            return "<mo>…</mo>"
        raise Unreadable(f"unexpected {token.text!r}")

    def bracket(self, depth: int) -> str:
        opened = self.take().text
        inner = self.sequence((), 0)
        closed = self.take({"(": ")", "[": "]"}[opened]).text
        tall = "" if "<mfrac" in inner or "<munder" in inner else ' stretchy="false"'
        return f'<mrow><mo form="prefix"{tall}>{opened}</mo>{inner}<mo form="postfix"{tall}>{closed}</mo></mrow>'

    def large(self, sign: str) -> str:
        """A sum or a product, with what it runs over below."""
        if self.next().text != "_":
            return f"<mo>{sign}</mo>"
        self.take()
        return f"<munder><mo>{sign}</mo>{self.index()}</munder>"

    def marked(self, base: str) -> str:
        """A base with its primes, marks, subscript and superscript."""
        below, above = "", ""
        while not self.next().before:
            token = self.next()
            if token.text == "'":
                self.take()
                above += "<mo>′</mo>"
            elif token.text == "~" and (token.after or self.next(1).text in (")", "]", ",", "_")):
                self.take()
                base = f'<mover accent="true">{base}<mo>~</mo></mover>'
            elif token.text == "^" and (token.after or self.next(1).text in (")", "]", ",", "_")):
                self.take()
                base = f'<mover accent="true">{base}<mo>^</mo></mover>'
            elif token.text == "_" and not below:
                self.take()
                below = self.index()
            elif token.text == "*" and (token.after or self.next(1).kind != "name") and not above:
                self.take()
                above = "<mo>∗</mo>"
            elif token.text == "^" and not above:
                self.take()
                above = self.index(nested=False)
            else:
                break
        if below and above:
            return f"<msubsup>{base}{below}<mrow>{above}</mrow></msubsup>"
        if below or above:
            kind, mark = ("msub", below) if below else ("msup", f"<mrow>{above}</mrow>")
            return f"<{kind}>{base}{mark}</{kind}>"
        return base

    def index(self, nested: bool = True) -> str:
        """A subscript or a superscript: in braces or parentheses, or a run of letters and digits. A subscript may have
        one of its own; behind a superscript, h^a_t, it is that of the base."""
        token = self.take()
        if token.text in ("{", "("):
            inner = self.sequence((), 0)
            self.take({"{": "}", "(": ")"}[token.text])
            return f"<mrow>{inner}</mrow>"
        if token.text == "[":
            self.place -= 1
            return self.bracket(0)
        sign = ""
        if token.text in ("-", "<", "<="):  # -1, v_<i
            sign, token = f"<mo form='prefix'>{html.escape(SIGNS[token.text])}</mo>", self.take()
        if token.kind not in ("name", "number"):
            raise Unreadable(f"unexpected index {token.text!r}")
        parts = [sign, letters(token.text) if token.kind == "name" else f"<mn>{token.text}</mn>"]
        while self.next().kind in ("name", "number") and not self.next().before:
            following = self.take()
            parts.append(letters(following.text) if following.kind == "name" else f"<mn>{following.text}</mn>")
        minus, then = self.next(), self.next(1)
        tight = not (minus.before or minus.after) and then.kind in ("name", "number")
        if minus.text in ("-", "+", "<", "<=", ">", ">=") and tight:  # M_t-1, x_t+1, prod_i<j
            self.take()
            last = self.take().text
            parts.append(f"<mo>{html.escape(SIGNS[minus.text])}</mo>")
            parts.append(letters(last) if then.kind == "name" else f"<mn>{last}</mn>")
        if nested and self.next().text == "_" and not self.next().before:  # h_{a_t} without braces
            self.take()
            parts[-1] = f"<msub>{parts[-1]}{self.index()}</msub>"
        if self.next().text == "'" and not self.next().before:
            self.take()
            parts.append("<mo>′</mo>")
        return f"<mrow>{''.join(parts)}</mrow>"


def named(text: str) -> str:
    """A symbol, a Greek letter, the name of a function, or a word."""
    if text in GREEK:
        return f"<mi>{GREEK[text]}</mi>"
    if len(text) == 1:
        return f"<mi>{text}</mi>"
    if text in FUNCTIONS or capital(text):
        return f'<mi mathvariant="normal">{text}</mi>'
    if len(text) <= 2 and text not in SHORT:
        return f"<mrow>{''.join(f'<mi>{letter}</mi>' for letter in text)}</mrow>"
    return f"<mtext>{text}</mtext>"


def letters(text: str) -> str:
    """The letters of an index, each for itself; a word stays one."""
    if text in GREEK and len(text) > 2:  # W_xi has two indices
        return f"<mi>{GREEK[text]}</mi>"
    if len(text) > 3 or text in FUNCTIONS:
        return f"<mtext>{text}</mtext>"
    return "".join(f"<mi>{letter}</mi>" for letter in text)


def bare(inner: str) -> str:
    """The side of a fraction, without the parentheses around the whole of it."""
    match = re.fullmatch(r'<mrow><mo form="prefix"[^>]*>\(</mo>(.*)<mo form="postfix"[^>]*>\)</mo></mrow>', inner)
    if match and balanced(match[1]):
        return f"<mrow>{match[1]}</mrow>"
    return f"<mrow>{inner}</mrow>"


def balanced(inner: str) -> bool:
    """Whether no parenthesis is closed before it is opened."""
    depth = 0
    for sign in re.findall(r'<mo form="(?:prefix|postfix)"[^>]*>([()])</mo>', inner):
        depth += 1 if sign == "(" else -1
        if depth < 0:
            return False
    return True
