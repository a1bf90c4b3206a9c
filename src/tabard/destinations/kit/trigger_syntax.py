"""The trigger language (FQL), from text to a tree: `type = "track" and !contains(userId, "@")`.

    any       = all { "or" all }
    all       = unary { "and" unary }
    unary     = ( "not" | "!" ) unary | "(" any ")" | test
    test      = path operator value | [ "!" ] ( "contains" | "match" ) "(" path "," text ")"
    operator  = "=" | "!=" | "<" | "<=" | ">" | ">="
    value     = "text" | 'text' | number | word | true | false | null

Source: wire.md §5.2, actions.md §7.1; what we do otherwise than the usual library is listed in docs/actions.md. Pure.
"""

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tabard.destinations.kit.paths import Keys

TEXT_LENGTH_MAX = 5_000
DEPTH_MAX = 20

SCALAR_FIELDS = (
    "type", "event", "name", "userId", "anonymousId", "previousId", "groupId", "messageId",
)  # fmt: skip
OBJECT_FIELDS = ("properties", "traits", "context", "integrations")

Operator = Literal["=", "!=", "<", "<=", ">", ">=", "contains", "!contains", "match", "!match"]


@dataclass(frozen=True, slots=True)
class Condition:
    """One test of the value at a path. `value` None with `=` or `!=` asks for absence or presence."""

    path: Keys
    operator: Operator
    value: str | float | bool | None


@dataclass(frozen=True, slots=True)
class AllOf:
    """True where every child is."""

    children: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """True where one child is."""

    children: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """True where the child is not."""

    child: "Node"


Node = Condition | AllOf | AnyOf | Not


class TriggerInvalid(ValueError):
    """A trigger that cannot be read. `position` counts characters from 0; the message shows the place."""

    def __init__(self, reason: str, text: str, position: int) -> None:
        near = text[position : position + 20].strip()
        super().__init__(f"{reason} (at character {position + 1}" + (f", before {near!r})" if near else ", the end)"))
        self.reason = reason
        self.position = position


class _Token(NamedTuple):
    kind: str  # text, number, path, sign, end
    text: str
    at: int


_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<text>"[^"]*"|'[^']*')
      | (?P<number>[+-]?\d+(?:\.\d+)?(?![\w.\\-]))
      | (?P<path>(?:[^\W\d]|\\.)(?:[\w-]|\\.)*(?:\.(?:[\w-]|\\.)+)*)
      | (?P<sign><=|>=|!=|[=<>!(),])""",
    re.VERBOSE,
)
_SEGMENT = re.compile(r"(?:[^.\\]|\\.)+")
_COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
_FUNCTIONS = ("contains", "match")
_HINTS = {
    "[": "brackets are not supported, write the index as a member: products.0.sku",
    "&": 'write "and"',
    "|": 'write "or"',
    '"': "this text is not closed",
    "'": "this text is not closed",
}


def parse_trigger(text: str) -> Node:
    """The tree of a trigger; TriggerInvalid with position and fix where it cannot be read."""
    if len(text) > TEXT_LENGTH_MAX:
        raise TriggerInvalid(f"a trigger has at most {TEXT_LENGTH_MAX} characters", text, TEXT_LENGTH_MAX)
    return _Parser(text).parse()


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise TriggerInvalid(_HINTS.get(text[at], "this character has no meaning here"), text, at)
        if match.lastgroup and match.lastgroup != "space":
            found.append(_Token(match.lastgroup, match[0], at))
        at = match.end()
    return [*found, _Token("end", "", len(text))]


class _Parser:
    """Recursive descent over the tokens; one method a rule of the grammar above."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._next = 0

    def parse(self) -> Node:
        if self._token.kind == "end":
            raise self._error('a trigger is needed, such as type = "track"')
        node = self._any(depth=0)
        if self._token.kind != "end":
            raise self._error('expected "and", "or" or the end')
        return node

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._token
        self._next += 1
        return token

    def _error(self, reason: str, token: _Token | None = None) -> TriggerInvalid:
        return TriggerInvalid(reason, self._text, (token or self._token).at)

    def _is_word(self, word: str) -> bool:
        return self._token.kind == "path" and self._token.text.lower() == word

    def _expect(self, sign: str) -> None:
        if self._token.text != sign or self._token.kind != "sign":
            raise self._error(f'expected "{sign}"')
        self._take()

    def _any(self, depth: int) -> Node:
        children = [self._all(depth)]
        while self._is_word("or"):
            self._take()
            children.append(self._all(depth))
        return children[0] if len(children) == 1 else AnyOf(tuple(children))

    def _all(self, depth: int) -> Node:
        children = [self._unary(depth)]
        while self._is_word("and"):
            self._take()
            children.append(self._unary(depth))
        return children[0] if len(children) == 1 else AllOf(tuple(children))

    def _unary(self, depth: int) -> Node:
        if depth > DEPTH_MAX:
            raise self._error(f"conditions nest at most {DEPTH_MAX} deep")
        if self._token.text == "!" and self._tokens[self._next + 1].text in _FUNCTIONS:
            self._take()
            return self._function(negated=True)
        if self._is_word("not") or self._token.text == "!":
            self._take()
            return Not(self._unary(depth + 1))
        if self._token.text == "(":
            self._take()
            node = self._any(depth + 1)
            self._expect(")")
            return node
        return self._test()

    def _test(self) -> Node:
        if self._token.text in _FUNCTIONS and self._tokens[self._next + 1].text == "(":
            return self._function(negated=False)
        path = self._path()
        operator = self._token
        if operator.text not in _COMPARISONS or operator.kind != "sign":
            raise self._error("expected one of " + " ".join(_COMPARISONS))
        self._take()
        return self._comparison(path, operator)

    def _comparison(self, path: Keys, operator: _Token) -> Condition:
        if self._token.text == "=":
            raise self._error('equality is written with one "="')
        token, value = self._token, self._value()
        if operator.text in ("=", "!="):
            return Condition(path, operator.text, value)  # type: ignore[arg-type]
        try:
            return Condition(path, operator.text, float(value))  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise self._error(f'"{operator.text}" compares numbers', token) from None

    def _value(self) -> str | float | bool | None:
        token = self._token
        if token.kind == "text":
            value: str | float | bool | None = token.text[1:-1]
        elif token.kind == "number":
            value = float(token.text)
        elif token.kind == "path":
            words = {"null": None, "true": True, "false": False}
            value = words[token.text] if token.text in words else _unescaped(token.text)
        else:
            raise self._error("expected a value: a text in quotes, a number, true, false or null")
        self._take()
        return value

    def _function(self, *, negated: bool) -> Condition:
        name = self._take()
        self._expect("(")
        path = self._path()
        self._expect(",")
        if self._token.kind != "text":
            raise self._error(f'{name.text} needs a text in quotes, such as {name.text}(event, "Order*")')
        value = self._take().text[1:-1]
        self._expect(")")
        return Condition(path, f"!{name.text}" if negated else name.text, value)  # type: ignore[arg-type]

    def _path(self) -> Keys:
        token = self._token
        if token.kind != "path":
            raise self._error("expected a condition")
        keys = tuple(_unescaped(segment) for segment in _SEGMENT.findall(token.text))
        if keys[0] not in SCALAR_FIELDS + OBJECT_FIELDS:
            known = ", ".join(SCALAR_FIELDS) + " and the members of " + ", ".join(OBJECT_FIELDS)
            raise self._error(f"unknown field {keys[0]!r}; known are {known}")
        if keys[0] in SCALAR_FIELDS and len(keys) > 1:
            raise self._error(f"{keys[0]} has no members")
        self._take()
        return keys


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)
