"""Why identifiers are one person, and why near misses are not, each with the message behind it."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from tabard.identity.controls import EVERYTHING, Switch, cut_or_uncut, dead, suppression
from tabard.identity.identifiers import Kind, parsed, usable
from tabard.identity.words import say
from tabard.message.types import Trust
from tabard.storage.interface import Behind, Claim, Explanation, IdentityGraph, Reason
from tabard.storage.sqlite.store_entry import TYPES, Entry, MessageFlag, Row
from tabard.storage.sqlite.store_facts import switches_of
from tabard.storage.sqlite.store_graph import Class, Graph
from tabard.storage.sqlite.store_keys import SQL
from tabard.storage.sqlite.store_messages import decoded_body, fact_of_row, message_name, walk
from tabard.storage.sqlite.store_nodes import CONTROLLED, CUT, SEEN, Node
from tabard.storage.sqlite.store_profiles import SqliteProfileReader
from tabard.storage.sqlite.store_reader import row_named

APART_MAX: Final = 200
MEMBERS_MAX: Final = 200
EVIDENCE_MAX: Final = 100
"""Most claims and edges of one identifier that are looked at, of each kind."""
_LATEST: Final = 100
"""So many of the profile's latest messages are searched for blocked values and for what a cut keeps from linking."""


class Explainer:
    """Explains one profile; made for one question, since it keeps what it read."""

    def __init__(self, reader: SqliteProfileReader) -> None:
        self._reader = reader
        self._run = reader.database.execute
        self._nodes = reader.nodes()
        self._graph = Graph(reader.database, reader.rules, self._nodes.by_id)
        self._truncated = False

    def explain(self, identifier: str) -> Explanation | None:
        """Why this profile is what it is, or why the identifier is in none; None where nothing is known of it.

        Raises ValueError for no identifier.
        """
        node = self._reader.node(identifier)
        if node is None:
            return None
        if not self._graph.is_visible(node.id):
            return self._alone(node, parsed(identifier))
        root = self._graph.root_of(node.id)
        canonical = self._node(self._graph.canonical(root))
        members = self._members(node, root)
        together = [reason for member in members for reason in self._together(member)]
        apart = list(self._limited(self._apart(members)))
        profile_id = canonical.hashed(self._reader.keys).hex()
        return Explanation(profile_id, canonical.text, tuple(together), tuple(apart), self._truncated)

    def _alone(self, node: Node, text: str) -> Explanation | None:
        """Why an identifier is in no profile. If its text was erased, it is named as in the question."""
        member = self._node(node.id)
        member.text = text
        apart = tuple(self._limited(self._apart([member])))
        return Explanation(None, text, (), apart, self._truncated) if apart else None

    def graph(self, identifier: str) -> IdentityGraph | None:
        """The identifiers of the profile and all evidence that touches them."""
        node = self._reader.node(identifier)
        if node is None:
            return None
        members = self._members(node, self._graph.root_of(node.id))
        claims = {claim for member in members for claim in self._evidence(member)}
        ordered = sorted(claims, key=lambda claim: (claim.low, claim.high))
        nodes = tuple(sorted(member.text for member in members))
        return IdentityGraph(nodes, tuple(ordered), self._truncated)

    def _node(self, number: int) -> Node:
        return self._nodes.by_id(number)

    def _members(self, node: Node, root: Class) -> list[Node]:
        found = {one.id for one in self._reader.members(node)} | set(root) | {node.id}
        self._truncated = self._truncated or len(found) > MEMBERS_MAX
        return [self._node(number) for number in sorted(found)[:MEMBERS_MAX]]

    def _rows(self, statement: str, number: int) -> list[Any]:
        """The claims or edges of an identifier, at most so many."""
        rows: list[Any] = self._run(SQL[statement], (number, EVIDENCE_MAX + 1)).fetchall()
        self._truncated = self._truncated or len(rows) > EVIDENCE_MAX
        return rows[:EVIDENCE_MAX]

    def _together(self, member: Node) -> Iterator[Reason]:
        whole = self._graph.class_of(member.id)
        for x, y, _, _, position in self._run(SQL["edges_from"], (member.id,)):
            if y in whole:
                yield self._reason("alias", self._node(x), self._node(y), position)
        owner = self._graph.owner_of(whole)
        if owner is None:
            return
        claim = self._run(SQL["claim_of"], (member.id, owner)).fetchone()
        if claim is not None:
            kind = "device" if member.kind == Kind.ANON else "email"
            yield self._reason(kind, member, self._node(owner), claim[0])

    def _apart(self, members: list[Node]) -> Iterator[Reason]:
        inside = {member.id for member in members}
        for member in members:
            yield from self._void_class(member)
            yield from self._other_claimants(member, inside)
            yield from self._lost_claims(member, inside)
            yield from self._controls(member, inside)
        latest = list(self._reader.latest(members, _LATEST))
        yield from self._kept_apart(members, latest)
        yield from self._messages(latest)

    def _void_class(self, member: Node) -> Iterator[Reason]:
        limit = self._reader.rules.max_alias
        if len(self._graph.component(member.id)) > limit:
            for x, y, _, _, position in self._rows("edges_touching", member.id):
                yield self._reason("class_too_large", self._node(x), self._node(y), position, limit=limit)

    def _other_claimants(self, member: Node, inside: set[int]) -> Iterator[Reason]:
        whole = self._graph.class_of(member.id)
        owner = self._graph.owner_of(whole)
        for high, _, _, position in self._rows("claims_on", member.id):
            if high not in inside:
                yield self._unowned(member, self._node(high), owner, position)

    def _lost_claims(self, member: Node, inside: set[int]) -> Iterator[Reason]:
        for low, _, _, _, position in self._rows("lows", member.id):
            if low not in inside:
                node = self._node(low)
                yield self._unowned(node, member, self._graph.owner_of(self._graph.class_of(low)), position)

    def _unowned(self, low: Node, high: Node, owner: int | None, position: int) -> Reason:
        """Why a claim does not join its two ends."""
        rules = self._reader.rules
        if high.claims(low.kind) > rules.max_claims:
            return self._reason("heavy", low, high, position, limit=rules.max_claims)
        if owner is None:
            return self._reason("shared", low, high, position, limit=rules.max_owners)
        return self._reason("claimed_first", low, high, position, owner=self._node(owner).text)

    def _controls(self, member: Node, inside: set[int]) -> Iterator[Reason]:
        """What controls keep apart or silent now; what a later one took back is not stated."""
        if not member.flags & (CONTROLLED | CUT):
            return
        mine = self._switches(member.id)
        deleted = next((one for one in reversed(mine) if one.kind == "delete"), None)
        if deleted is not None:
            yield self._controlled("deleted", member, deleted)
        latest = suppression(mine, mine[-1].t)
        if latest is not None and latest.kind == "suppress":
            yield self._controlled("suppressed", member, latest)
        for other in dict.fromkeys(switch.other for switch in mine if switch.kind == "cut"):
            theirs = [] if other == EVERYTHING else self._switches(int(other))
            decisive = cut_or_uncut(mine, theirs, (str(member.id), other))
            if decisive is None or decisive.kind != "cut":
                continue
            if other == EVERYTHING:
                yield self._controlled("cut", member, decisive, "everything else")
                continue
            far = self._node(int(other)).text
            if int(other) not in inside:
                yield self._controlled("cut", member, decisive, far)
            elif member.text < far:
                yield self._controlled("cut_in_vain", member, decisive, far)

    def _kept_apart(self, members: list[Node], latest: list[Row]) -> Iterator[Reason]:
        """Whom a cut keeps a member from though a message mentions both: a cut from everything names only one end.

        Looked for in the latest messages about the profile, and in those that mention a member with a cut.
        """
        inside = {member.id for member in members}
        rows = list(latest)
        for member in members:
            if member.flags & CUT:
                rows += islice(walk(self._reader.database, member, SQL["message_head"]), _LATEST)
        for row in rows:
            for one, other in self._fact(row).pairs():
                near, far = (one, other) if one.id in inside else (other, one)
                if near.id in inside and far.id not in inside and (cut := self._cut_for(near, far, row.timestamp)):
                    yield self._controlled("cut", near, cut, far.text)

    def _cut_for(self, near: Node, far: Node, t: int) -> Switch | None:
        """The cut that keeps a message of a time from linking the two, if that is what keeps it."""
        if not near.flags & far.flags & SEEN or not (near.flags | far.flags) & CUT:
            return None
        mine, theirs = self._switches(near.id), self._switches(far.id)
        decisive = cut_or_uncut(mine, theirs, (str(near.id), str(far.id)))
        if decisive is None or not decisive.cuts(t) or dead(mine, t) or dead(theirs, t):
            return None
        return decisive

    def _fact(self, row: Row) -> Entry:
        return fact_of_row(row, message_name(row.message_id, self._reader.sources.name(row.source)), self._node)

    def _switches(self, number: int) -> list[Switch]:
        return switches_of(self._reader.database, number)

    def _controlled(self, name: str, member: Node, switch: Switch, other: str = "") -> Reason:
        sentence = say(name, identifier=member.text, other=other, at=switch.t, until=switch.until)
        row = row_named(self._reader.database, self._reader.sources, switch.m)
        return Reason(member.text, other, name, sentence, row and self._behind(row))

    def _messages(self, latest: list[Row]) -> Iterator[Reason]:
        """Blocked values and untrusted addresses in the latest messages."""
        for row in latest:
            body = decoded_body(row.body) if row.body else {}
            for field in ("userId", "anonymousId", "previousId"):
                value = body.get(field)
                if isinstance(value, str) and value.strip() and usable(value, self._reader.rules.blocked) is None:
                    stated = f"{field} {value[:64]!r}"
                    yield Reason("", stated, "blocked_value", say("blocked_value", other=stated), self._behind(row))
            yield from self._untrusted(row)
            if TYPES[row.type] == "alias" and not row.trust & Trust.ALIAS:
                previous = f"previousId {str(body.get('previousId'))[:64]!r}"
                sentence = say("untrusted_alias", identifier=previous)
                yield Reason("", previous, "untrusted_alias", sentence, self._behind(row))

    def _untrusted(self, row: Row) -> Iterator[Reason]:
        if TYPES[row.type] != "identify" or row.flags & MessageFlag.CLAIMS_EMAIL:
            return
        fact = self._fact(row)
        email, subject = fact.email, fact.subject
        if email is not None and subject is not None and subject.kind == Kind.USER:
            sentence = say("untrusted", identifier=email.text)
            yield Reason(email.text, subject.text, "untrusted", sentence, self._behind(row))

    def _evidence(self, member: Node) -> Iterator[Claim]:
        for high, _, _, position in self._rows("claims_on", member.id):
            yield Claim(member.text, self._node(high).text, "claim", self._message(position))
        for low, _, _, _, position in self._rows("lows", member.id):
            yield Claim(self._node(low).text, member.text, "claim", self._message(position))
        for x, y, _, _, position in self._rows("edges_touching", member.id):
            yield Claim(self._node(x).text, self._node(y).text, "alias", self._message(position))

    def _reason(self, name: str, one: Node, other: Node, position: int, *, owner: str = "", limit: int = 0) -> Reason:
        sentence = say(name, identifier=one.text, other=other.text, owner=owner, limit=limit)
        return Reason(one.text, other.text, name, sentence, self._message(position))

    def _message(self, position: int) -> Behind | None:
        values = self._run(SQL["message_head"], (position,)).fetchone()
        return None if values is None else self._behind(Row(*values))

    def _behind(self, row: Row) -> Behind:
        return self._reader.behind(row)

    def _limited(self, reasons: Iterator[Reason]) -> Iterator[Reason]:
        seen: set[tuple[str, str, str]] = set()
        for reason in reasons:
            key = (reason.identifier, reason.other, reason.name)
            if key not in seen and len(seen) == APART_MAX:
                self._truncated = True
                return
            if key not in seen:
                seen.add(key)
                yield reason
