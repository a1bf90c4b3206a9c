"""Names and write keys of sources."""

import pytest

from tabard.workspace.sources import NameInvalid, checked_name, rotated
from tabard.workspace.types import Source

SOURCE = Source(id="src_a", name="a", write_keys={"k2": "active", "k1": "rotated"})


@pytest.mark.parametrize("name", ["", " a", "a\n", "ü", "a/b", "x" * 65, "-a"])
def test_a_name_that_files_labels_and_shells_would_stumble_over_is_refused(name: str) -> None:
    with pytest.raises(NameInvalid):
        checked_name(name)


def test_rotating_retires_every_older_key() -> None:
    after = rotated(SOURCE, "k3", keep_old=False)
    assert after.write_key == "k3"
    assert after.write_keys == {"k3": "active", "k2": "rotated", "k1": "rotated"}


def test_rotating_with_an_overlap_keeps_active_keys_active_and_retired_ones_retired() -> None:
    assert rotated(SOURCE, "k3", keep_old=True).write_keys == {"k3": "active", "k2": "active", "k1": "rotated"}
