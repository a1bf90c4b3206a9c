"""The identity rules a second time, slow and naive, written from the rules alone: the oracle for the real engine.

It shares no code with `tabard`: it takes the whole set of events at once, derives everything from scratch, and
remembers nothing. Events are wire-shaped dicts or controls, as in spec/identity/examples.json.
"""

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any

Event = dict[str, Any]
Stamp = tuple[int, str]
Evidence = tuple[str, str, Stamp]

CALLS = {"identify", "track", "page", "screen", "group", "alias", "ungroup"}
RANK = {"anon": 0, "email": 1, "user": 2}
BLOCKED = {"null", "nil", "none", "nan", "undefined", "void", "unknown", "anonymous", "guest", "true", "false", "-1"}
BLOCKED |= {"n/a", "na", "id", "userid", "user_id", "anonymousid", "anonymous_id", "distinctid", "distinct_id", "email"}
BLOCKED |= {"not_authenticated", "[object object]"}
EMAIL = re.compile(r"[^\s@]+@[^\s@.]+(\.[^\s@.]+)+")
SPELLING = {"first_name": "firstName", "last_name": "lastName", "created_at": "createdAt"}


@dataclass(frozen=True)
class Limits:
    """L, M and K of the rules."""

    max_alias: int = 10
    max_claims: int = 1000
    max_owners: int = 5


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def text_of(value: Any) -> str | None:
    """A3: strings and integers, trimmed; blocked values are absent."""
    text = kept_id(value)
    if text is None:
        return None
    text = text.strip()
    bare = text.lower().strip("\"'")
    return None if not text or re.fullmatch("[0-]*", bare) or bare in BLOCKED else text


def kept_id(value: Any) -> str | None:
    """An id as it stands in a message: as a text; odd ones are absent there too. 7.0 is the number 7, as in JSON."""
    if isinstance(value, float) and value == int(value):
        value = int(value)
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def named(value: Any) -> str | None:
    """The identifier a userId names: an e-mail (in lower case) or a user."""
    text = text_of(value)
    if text is None:
        return None
    return f"email:{text.lower()}" if EMAIL.fullmatch(text) else f"user:{text}"


def anonymous(value: Any) -> str | None:
    text = text_of(value)
    return None if text is None else f"anon:{text}"


def trait_email(event: Event) -> str | None:
    if event["type"] != "identify":
        return None
    identifier = named((event.get("traits") or {}).get("email"))
    return identifier if identifier and identifier.startswith("email:") else None


def subject(event: Event) -> str | None:
    return named(event.get("userId")) or trait_email(event) or anonymous(event.get("anonymousId"))


def group_of(event: Event) -> str | None:
    """The group a membership is of, as an identifier: it can be deleted like a person."""
    group = text_of(event.get("groupId")) if event["type"] in ("group", "ungroup") else None
    return f"group:{group}" if group else None


def about(event: Event) -> str | None:
    """Whose life and death are the event's: its subject's; of a group call that names no person, its group's."""
    return subject(event) or (group_of(event) if event["type"] == "group" else None)


def rank(identifier: str) -> int:
    return RANK[identifier.split(":", 1)[0]]


class World:
    """Every derived fact of a set of events, computed once."""

    def __init__(self, events: list[Event], limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.events = self._accepted(events)
        self.controls = sorted((e for e in self.events if e["type"] not in CALLS), key=self.stamp)
        # A delete is never taken back: each copy counts, also one that is not the message.
        self.deletes = [e for e in events if e["type"] == "delete"]
        self.live = [e for e in self.events if e["type"] in CALLS and self._is_live(e)]
        self.seen = {i for e in self.live for i in self._carried(e) if not self.dead(i, self.stamp(e)[0])}
        self.claims, self.edges = self._split(self._evidence())
        self.class_of = self._classes()
        self.heavy = self._heavy()
        self.owner_of = {c: self._owner(c) for c in set(self.class_of.values())}

    @staticmethod
    def stamp(event: Event) -> Stamp:
        return ms(event["timestamp"]), event["messageId"]

    def _accepted(self, events: list[Event]) -> list[Event]:
        best: dict[str, tuple[tuple[int, str], Event]] = {}
        for event in events:
            kept = {k: kept_id(v) if k.endswith("Id") else v for k, v in event.items()}
            key = (ms(event["timestamp"]), json.dumps(kept, sort_keys=True, separators=(",", ":")))
            if event["messageId"] not in best or key < best[event["messageId"]][0]:
                best[event["messageId"]] = (key, event)
        return [event for _, event in best.values()]

    def dead(self, identifier: str, t: int) -> bool:
        if any(identifier in one["ids"] and t <= self.stamp(one)[0] for one in self.deletes):
            return True
        switched = False
        for control in self.controls:
            if identifier not in control.get("ids", ()):
                continue
            when = self.stamp(control)[0]
            if control["type"] in ("suppress", "unsuppress") and when <= t:
                switched = control["type"] == "suppress"
        return switched

    def severed(self, x: str, y: str, t: int) -> bool:
        answer = False
        for control in self.controls:
            if control["type"] not in ("cut", "uncut"):
                continue
            a, b = control["a"], control["b"]
            if {a, b} == {x, y} or (b == "*" and a in (x, y)) or (a == "*" and b in (x, y)):
                until = control.get("until")
                answer = control["type"] == "cut" and (until is None or t <= ms(until))
        return answer

    def _is_live(self, event: Event) -> bool:
        who = subject(event)
        return who is not None and not self.dead(who, self.stamp(event)[0])

    @staticmethod
    def _carried(event: Event) -> set[str]:
        return {i for i in (subject(event), anonymous(event.get("anonymousId")), trait_email(event)) if i}

    def _pairs(self, event: Event) -> list[tuple[str, str]]:
        who = subject(event)
        assert who is not None
        pairs = []
        device = anonymous(event.get("anonymousId"))
        if device and rank(who) > 0:
            pairs.append((device, who))
        mail = trait_email(event)
        if mail and who.startswith("user:"):
            pairs.append((mail, who))
        if event["type"] == "alias":
            target = named(event.get("userId"))
            previous = {anonymous(event.get("previousId")), named(event.get("previousId"))}
            pairs += [(p, target) for p in previous if p and target and p in self.seen and p != target]
        return pairs

    def _evidence(self) -> list[Evidence]:
        found = []
        for event in self.live:
            t = self.stamp(event)[0]
            for x, y in self._pairs(event):
                if not self.dead(x, t) and not self.dead(y, t) and not self.severed(x, y, t):
                    found.append((x, y, self.stamp(event)))
        return found

    def _split(self, evidence: list[Evidence]) -> tuple[dict[tuple[str, str], Stamp], list[Evidence]]:
        claims: dict[tuple[str, str], Stamp] = {}
        for x, y, stamp in evidence:
            if rank(x) != rank(y):
                pair = (x, y) if rank(x) < rank(y) else (y, x)
                claims[pair] = min(claims.get(pair, stamp), stamp)
        edges = [(x, y, stamp) for x, y, stamp in evidence if rank(x) == rank(y) and rank(x) > 0]
        return claims, edges

    def _classes(self) -> dict[str, frozenset[str]]:
        members = self.seen | {i for x, y, _ in self.edges for i in (x, y)} | {i for pair in self.claims for i in pair}
        classes = {i: frozenset({i}) for i in members}
        for x, y, _ in self.edges:
            joined = classes[x] | classes[y]
            classes |= dict.fromkeys(joined, joined)
        return {i: c if len(c) <= self.limits.max_alias else frozenset({i}) for i, c in classes.items()}

    def _heavy(self) -> set[tuple[str, str]]:
        claimed: dict[tuple[str, str], set[str]] = defaultdict(set)
        for low, high in self.claims:
            claimed[high, low.split(":", 1)[0]].add(low)
        return {key for key, lows in claimed.items() if len(lows) > self.limits.max_claims}

    def _owner(self, members: frozenset[str]) -> str | None:
        pooled: dict[str, Stamp] = {}
        for (low, high), stamp in self.claims.items():
            if low in members and (high, low.split(":", 1)[0]) not in self.heavy:
                pooled[high] = min(pooled.get(high, stamp), stamp)
        if not pooled or len(pooled) > self.limits.max_owners:
            return None
        return min(pooled, key=lambda high: (-rank(high), pooled[high]))

    def root(self, identifier: str) -> frozenset[str]:
        here = self.class_of[identifier]
        while (owner := self.owner_of[here]) is not None:
            here = self.class_of[owner]
        return here

    def canonical(self, members: frozenset[str]) -> str:
        inside = [(x, y, stamp) for x, y, stamp in self.edges if x in members and y in members]
        survivors = members - {x for x, _, _ in inside} or members
        latest: dict[str, Stamp] = {}
        for _, y, stamp in inside:
            latest[y] = max(latest.get(y, stamp), stamp)
        return max(survivors, key=lambda i: latest.get(i, (-1, "")))

    def visible(self) -> set[str]:
        shown = {s for e in self.live if (s := subject(e))}
        for identifier, members in self.class_of.items():
            if len(members) > 1:
                shown.add(identifier)
            owner = self.owner_of[members]
            if owner is not None:
                shown |= {identifier, owner}
        return shown

    def registers(self) -> dict[tuple[str, str], tuple[Stamp, Any]]:
        found: dict[tuple[str, str], tuple[Stamp, Any]] = {}
        for event in self.live:
            who = subject(event)
            if event["type"] != "identify" or who is None:
                continue
            traits = {SPELLING.get(k, k): v for k, v in (event.get("traits") or {}).items()}
            if who.startswith("email:"):
                traits.setdefault("email", who.removeprefix("email:"))
            for key, value in traits.items():
                if (who, key) not in found or found[who, key][0] < self.stamp(event):
                    found[who, key] = (self.stamp(event), value)
        return found

    def memberships(self) -> dict[tuple[str, str], tuple[Stamp, bool]]:
        found: dict[tuple[str, str], tuple[Stamp, bool]] = {}
        for event in self.live:
            group, who = group_of(event), subject(event)
            if group is None or who is None or self.dead(group, self.stamp(event)[0]):
                continue
            group = group.removeprefix("group:")
            if (who, group) not in found or found[who, group][0] < self.stamp(event):
                found[who, group] = (self.stamp(event), event["type"] == "group")
        return found

    def group_traits(self) -> dict[str, dict[str, Any]]:
        newest: dict[tuple[str, str], tuple[Stamp, Any]] = {}
        for event in self.events:
            group, whose, t = group_of(event), about(event), self.stamp(event)[0]
            if event["type"] != "group" or group is None or whose is None or self.dead(whose, t) or self.dead(group, t):
                continue
            group = group.removeprefix("group:")
            for spelling, value in (event.get("traits") or {}).items():
                key = SPELLING.get(spelling, spelling)
                if (group, key) not in newest or newest[group, key][0] < self.stamp(event):
                    newest[group, key] = (self.stamp(event), value)
        groups: dict[str, dict[str, Any]] = defaultdict(dict)
        for (group, key), (_, value) in newest.items():
            if value is not None:
                groups[group][key] = value
        return dict(groups)

    def answer(self) -> dict[str, Any]:
        """The state in the shape of the examples: profiles sorted by canonical, and group traits."""
        profiles: dict[frozenset[str], set[str]] = defaultdict(set)
        for identifier in self.visible():
            profiles[self.root(identifier)].add(identifier)
        registers, memberships = self.registers(), self.memberships()
        rows = [self._row(root, ids, registers, memberships) for root, ids in profiles.items()]
        return {"profiles": sorted(rows, key=lambda row: str(row["canonical"])), "groups": self.group_traits()}

    def _row(
        self,
        root: frozenset[str],
        ids: set[str],
        registers: dict[tuple[str, str], tuple[Stamp, Any]],
        memberships: dict[tuple[str, str], tuple[Stamp, bool]],
    ) -> dict[str, Any]:
        traits: dict[str, tuple[Stamp, Any]] = {}
        for (who, key), (stamp, value) in registers.items():
            if who in ids and (key not in traits or traits[key][0] < stamp):
                traits[key] = (stamp, value)
        groups: dict[str, tuple[Stamp, bool]] = {}
        for (who, group), (stamp, inside) in memberships.items():
            if who in ids and (group not in groups or groups[group][0] < stamp):
                groups[group] = (stamp, inside)
        return {
            "canonical": self.canonical(root),
            "ids": sorted(ids),
            "traits": {key: traits[key][1] for key in sorted(traits) if traits[key][1] is not None},
            "groups": sorted(group for group, (_, inside) in groups.items() if inside),
            "events": sum(subject(e) in ids for e in self.live),
        }
