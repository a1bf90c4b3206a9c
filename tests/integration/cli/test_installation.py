"""The data folder and its keys, on a real disk."""

import hashlib
import stat
from pathlib import Path

import apsw
import pytest

import tabard.storage.sqlite.database
from tabard.clock import SystemClock
from tabard.compose.first_start import open_or_make
from tabard.storage.sqlite.database import DatabaseCorrupt, DatabaseTooNew, MigrationChanged, connect, migrate
from tabard.storage.sqlite.installation import (
    FormatTooNew,
    Installation,
    InstallationDamaged,
    InstallationIncomplete,
    NoInstallation,
    SecretChanged,
    open_installation,
    profile_secret,
)
from tabard.storage.sqlite.keys import KeyUnusable, SealingKeys, add_sealing_key, admin_token, sealing_keys
from tabard.storage.sqlite.workspace import NameTaken, SqliteWorkspace, SqliteWorkspaceReader
from tabard.workspace.types import DestinationInstance, Source

CLOCK = SystemClock()


@pytest.fixture
def made(tmp_path: Path) -> Installation:
    return open_or_make(tmp_path / "data", {}, CLOCK).installation


def test_the_first_start_makes_a_source_and_shows_key_and_token_once(tmp_path: Path) -> None:
    first = open_or_make(tmp_path / "data", {}, CLOCK)
    assert first.first_source is not None
    assert first.first_source.name == "default"
    assert first.admin_token == admin_token(first.installation)
    second = open_or_make(tmp_path / "data", {}, CLOCK)
    assert (second.first_source, second.admin_token) == (None, None)


def test_only_the_owner_may_read_what_is_secret(made: Installation) -> None:
    assert stat.S_IMODE(made.data.stat().st_mode) == 0o700
    assert stat.S_IMODE(made.keys.stat().st_mode) == 0o700
    files = [*made.keys.iterdir(), made.format_file, made.workspace_db]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_start_that_broke_off_is_gone_on_with_and_shows_the_source_that_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("tabard.compose.first_start.finish_installation", break_off)
        with pytest.raises(KeyboardInterrupt):
            open_or_make(tmp_path / "data", {}, CLOCK)
    begun = Installation(tmp_path / "data")
    before = profile_secret(begun)
    again = open_or_make(begun.data, {}, CLOCK)
    assert again.admin_token is not None
    assert profile_secret(again.installation) == before
    workspace = SqliteWorkspaceReader(begun.workspace_db)
    assert workspace.sources() == [again.first_source]
    workspace.close()
    assert not begun.begun_file.exists()


def everything(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("held", ["workspace.db", "store.db", "log/1"])
def test_a_folder_with_content_that_lost_its_format_is_never_made_anew(made: Installation, held: str) -> None:
    made.format_file.unlink()
    (made.log / "1").mkdir()
    made.store_db.write_bytes(b"rows")
    for path in {made.workspace_db, made.store_db, made.log / "1"} - {made.data / held}:
        path.rmdir() if path.is_dir() else path.unlink()
    before = everything(made.data)
    for start in (lambda: open_or_make(made.data, {}, CLOCK), lambda: open_installation(made.data)):
        with pytest.raises(InstallationIncomplete, match=f"{Path(held).name} but its format.json is lost"):
            start()
    assert everything(made.data) == before


@pytest.mark.parametrize("lost", ["keys/profile-id", "workspace.db"])
def test_a_lost_file_that_all_ids_or_sources_hang_on_is_named(made: Installation, lost: str) -> None:
    (made.data / lost).unlink()
    with pytest.raises(InstallationIncomplete, match=f"{lost} is lost.*tabard restore"):
        open_or_make(made.data, {}, CLOCK)
    assert not (made.data / lost).exists()


@pytest.mark.parametrize("file", ["format.json", "keys/profile-id"])
def test_a_file_that_is_garbage_is_named_with_what_to_do(made: Installation, file: str) -> None:
    (made.data / file).write_text("{garbage")
    with pytest.raises(InstallationDamaged, match=f"{file} .*tabard restore"):
        open_or_make(made.data, {}, CLOCK)


def test_a_workspace_that_is_no_database_is_named_with_what_to_do(made: Installation) -> None:
    made.workspace_db.write_bytes(b"no database" * 1000)
    with pytest.raises(DatabaseCorrupt, match=r"workspace\.db is damaged .*tabard restore"):
        open_or_make(made.data, {}, CLOCK)


@pytest.mark.parametrize("below", ["", "data"])
def test_a_file_is_no_data_folder(tmp_path: Path, below: str) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(NoInstallation, match=f"{file} is a file; give --data a folder"):
        open_or_make(file / below, {}, CLOCK)


def test_a_folder_of_a_later_release_is_refused_by_name_and_left_alone(made: Installation) -> None:
    text = made.format_file.read_text().replace('"format": 1', '"format": 2')
    made.format_file.write_text(text)
    with pytest.raises(FormatTooNew, match="format 2"):
        open_or_make(made.data, {}, CLOCK)
    assert made.format_file.read_text() == text


def test_an_empty_folder_is_no_installation(tmp_path: Path) -> None:
    with pytest.raises(NoInstallation, match="tabard serve"):
        open_installation(tmp_path)


def test_another_profile_secret_is_noticed_before_it_changes_every_profile_id(made: Installation) -> None:
    (made.keys / "profile-id").write_text("00" * 32)
    with pytest.raises(SecretChanged):
        open_installation(made.data)


def test_a_database_of_a_later_release_is_refused_by_name(made: Installation) -> None:
    database = connect(made.workspace_db)
    database.execute("PRAGMA user_version = 99")
    with pytest.raises(DatabaseTooNew, match="99"):
        migrate(database, "workspace")
    database.close()


def test_a_secret_sealed_with_an_old_key_opens_after_a_new_one_was_added(made: Installation) -> None:
    sealed = sealing_keys(made, {}).seal({"authorization": "Bearer x"})
    assert add_sealing_key(made) == 2
    keys = sealing_keys(made, {})
    assert keys.newest == 2
    assert keys.open(sealed) == {"authorization": "Bearer x"}
    assert keys.seal("a")["$sealed"].startswith("2:")


def test_sealing_hides_the_named_fields_and_sealing_again_changes_nothing_more(made: Installation) -> None:
    keys = sealing_keys(made, {})
    sealed = keys.seal_settings({"url": "u", "secret": "hush"}, ["secret"])
    assert sealed["url"] == "u"
    assert "hush" not in str(sealed)
    assert keys.seal_settings(sealed, ["secret"]) == sealed
    assert keys.open_settings(sealed) == {"url": "u", "secret": "hush"}


def test_a_secret_without_its_key_is_a_named_failure(made: Installation) -> None:
    sealed = sealing_keys(made, {}).seal("x")
    with pytest.raises(KeyUnusable, match="does not open"):
        SealingKeys({1: b"0" * 32}).open(sealed)
    with pytest.raises(KeyUnusable, match="key 1 is missing"):
        SealingKeys({2: b"0" * 32}).open(sealed)


def test_the_environment_s_keys_take_the_place_of_the_folder_s(made: Installation, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"1:{'0a' * 32}\n2:{'0b' * 32}\n")
    assert sealing_keys(made, {"TABARD_SECRET_KEY_FILE": str(file)}).newest == 2
    assert sealing_keys(made, {"TABARD_SECRET_KEY": f"7:{'0a' * 32}"}).newest == 7
    with pytest.raises(KeyUnusable, match="64 hex digits"):
        sealing_keys(made, {"TABARD_SECRET_KEY": "password"})


def test_a_reader_in_another_connection_sees_each_change_by_its_version(made: Installation) -> None:
    reader, workspace = SqliteWorkspaceReader(made.workspace_db), SqliteWorkspace(made.workspace_db)
    before = reader.version()
    workspace.put_source(Source(id="src_a", name="a", write_keys={"k": "active"}), 1)
    assert reader.version() > before
    found = reader.source_by_key("k")
    assert found is not None
    assert (found[0].name, found[1]) == ("a", "active")
    assert reader.source_by_key("none") is None
    reader.close()
    workspace.close()


def test_names_and_keys_are_taken_once(made: Installation) -> None:
    workspace = SqliteWorkspace(made.workspace_db)
    workspace.put_source(Source(id="src_a", name="a", write_keys={"k": "active"}), 1)
    version = workspace.version()
    with pytest.raises(NameTaken, match="source 'a'"):
        workspace.put_source(Source(id="src_b", name="a", write_keys={"l": "active"}), 1)
    with pytest.raises(NameTaken, match="belongs to source 'a'"):
        workspace.put_source(Source(id="src_b", name="b", write_keys={"k": "active"}), 1)
    assert workspace.version() == version
    assert {each.name for each in workspace.sources()} == {"default", "a"}
    workspace.close()


def test_every_version_of_a_destination_stays_readable_also_after_its_removal(made: Installation) -> None:
    workspace = SqliteWorkspace(made.workspace_db)
    first = workspace.put_destination(DestinationInstance(id="dst_a", name="a", slug="webhook"), 1)
    second = workspace.put_destination(DestinationInstance(id="dst_a", name="b", slug="webhook"), 2)
    assert (first.version, second.version) == (1, 2)
    workspace.remove_destination("dst_a", 3)
    assert workspace.destinations() == []
    assert workspace.destination_version("dst_a", 1) == first
    assert workspace.destination_version("dst_a", 2) == second
    workspace.put_destination(DestinationInstance(id="dst_b", name="b", slug="webhook"), 4)
    workspace.close()


def test_a_change_that_fails_half_way_leaves_nothing(made: Installation) -> None:
    workspace = SqliteWorkspace(made.workspace_db)
    with pytest.raises(NameTaken), workspace.change():  # noqa: PT012 (the first change is what must not stay)
        workspace.put_source(Source(id="src_a", name="a", write_keys={"k": "active"}), 1)
        workspace.put_source(Source(id="src_b", name="a", write_keys={"l": "active"}), 1)
    assert [each.name for each in workspace.sources()] == ["default"]
    workspace.close()


@pytest.fixture
def migrations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The migrations of a database `demo`, with a first one."""
    folder = tmp_path / "migrations" / "demo"
    folder.mkdir(parents=True)
    (folder / "001_start.sql").write_text("CREATE TABLE kept (value TEXT); INSERT INTO kept VALUES ('old')")
    monkeypatch.setattr("tabard.storage.sqlite.database._HERE", tmp_path)
    return folder


def test_a_migration_copies_the_file_before_it_changes_it(tmp_path: Path, migrations: Path) -> None:
    database = connect(tmp_path / "demo.db")
    migrate(database, "demo")
    assert not list(tmp_path.glob("*.before-*"))
    (migrations / "002_more.sql").write_text("UPDATE kept SET value = 'new'")
    migrate(database, "demo")
    assert database.execute("SELECT value FROM kept").get == "new"
    database.close()
    path = tmp_path / "demo.db.before-2"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    copy = apsw.Connection(str(path))
    assert copy.execute("SELECT value FROM kept").get == "old"
    copy.close()


def test_a_migration_that_was_edited_afterwards_is_refused_by_name_and_nothing_is_written(
    tmp_path: Path, migrations: Path
) -> None:
    database = connect(tmp_path / "demo.db")
    migrate(database, "demo")
    (migrations / "001_start.sql").write_text("CREATE TABLE kept (value TEXT, more TEXT)")
    (migrations / "002_more.sql").write_text("CREATE TABLE added (value TEXT)")
    with pytest.raises(MigrationChanged, match=r"demo\.db .* migrations/demo/001_start\.sql .* new data folder"):
        migrate(database, "demo")
    assert [name for (name,) in database.execute("SELECT name FROM sqlite_schema")] == ["kept", "migration"]
    assert not list(tmp_path.glob("*.before-*"))
    database.close()


@pytest.mark.parametrize("name", ["workspace", "store", "delivery"])
def test_a_start_refuses_a_database_of_other_migrations_before_it_writes_anything(
    made: Installation, name: str
) -> None:
    path = made.data / f"{name}.db"
    database = connect(path)
    migrate(database, name)
    database.execute("UPDATE migration SET sha256 = 'other'")
    database.close()
    before = {file: file.read_bytes() for file in made.data.rglob("*") if file.is_file()}
    with pytest.raises(MigrationChanged, match=str(path)):
        open_or_make(made.data, {}, CLOCK)
    assert {file: file.read_bytes() for file in before} == before


def test_a_database_of_the_time_before_migrations_were_recorded_is_refused_too(made: Installation) -> None:
    database = connect(made.workspace_db)
    database.execute("DROP TABLE migration")
    with pytest.raises(MigrationChanged, match="001_start"):
        migrate(database, "workspace")
    database.close()


MIGRATIONS = Path(tabard.storage.sqlite.database.__file__).parent / "migrations"
FROZEN = {
    "delivery/001_start.sql": "4236e8dc0e4403dc92aa374cf01d0a32ee6a918a4d2b8b36d30e09952471c7a3",
    "delivery/002_erasures.sql": "15513d479d86a17829b75117e19a15007ed533753a0628f2c1052fee8971c812",
    "delivery/003_rest.sql": "141cddb62de442770d2221985faee9c1f5c9ef0e566228b38453bf9998e50f5f",
    "store/001_start.sql": "ce3944db5c8746662e1323e96993badf8b9c68cb1a3127eabbf6e96016f6ef9f",
    "store/002_outbox.sql": "d33556f901534bf70676777eb841fd29a895c5c5b18051c41faeae1dfdbf72d0",
    "store/003_key_runs.sql": "9517571fceb64da901cbb294a25e9d6624f5047093adefb8e44b81b95ca2515f",
    "store/004_deletions.sql": "c40686a1e5399aa012b2f4604b35c543d793062bc2685bec660d615d59d3e3f0",
    "workspace/001_start.sql": "acff3e9d9fe16b4ee08a528cbfa58a13e3e26b30eb4078921823c9aa76668bf7",
    "workspace/002_pause.sql": "0901e4970f8ee750cffd6ecb35aa60bb2f9294142d12dfa1b310970793dac9e4",
}


def test_a_migration_is_never_edited_only_followed_by_another() -> None:
    found = {
        str(path.relative_to(MIGRATIONS)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in MIGRATIONS.glob("*/*.sql")
    }
    assert found == FROZEN, "add a migration with the next number, with its hash here; data folders have run the others"


def test_a_removed_source_gives_its_name_and_keys_free(made: Installation) -> None:
    workspace = SqliteWorkspace(made.workspace_db)
    workspace.put_source(Source(id="src_a", name="a", write_keys={"k": "active"}), 1)
    workspace.remove_source("src_a")
    assert workspace.source_by_key("k") is None
    workspace.put_source(Source(id="src_b", name="a", write_keys={"k": "active"}), 2)
    found = workspace.source_by_key("k")
    assert found is not None
    assert found[0].id == "src_b"
    workspace.close()
