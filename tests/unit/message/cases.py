"""The cases of spec/messages (its README says how they are written)."""

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[3] / "spec" / "messages"


def cases(kind: str) -> list[Any]:
    """All cases of `valid` or `rejected`, each with its file in the name."""
    return [
        case | {"name": f"{path.stem}/{case['name']}"}
        for path in sorted((FOLDER / kind).glob("*.json"))
        for case in json.loads(path.read_text("utf-8"))
    ]


def body_of(case: dict[str, Any]) -> bytes:
    """The bytes that are sent."""
    if "hex" in case:
        return bytes.fromhex(case["hex"])
    if "text" in case:
        return str(case["text"]).encode()
    if "pieces" in case:
        return "".join(text * times for text, times in case["pieces"]).encode()
    return json.dumps(case["body"]).encode()


def name_of(case: dict[str, Any]) -> str:
    """The name a test run shows."""
    return str(case["name"])
