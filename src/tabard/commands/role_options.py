"""The options of `serve` and of the single roles, and the settings they make with file and environment."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec

from tabard.commands.frame import EXIT_USAGE, CommandFailed
from tabard.settings import Settings, SettingsInvalid, load_with_origins

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS: Final = (
    click.option("--data", help="Folder of the installation, made if absent.  [default: ./data]"),
    click.option("--collect", help="Address of the collector.  [default: 127.0.0.1:7070]"),
    click.option("--web", help="Address of the web role.  [default: 127.0.0.1:7071]"),
    click.option("--config", type=click.Path(path_type=Path, dir_okay=False), help="tabard.yaml with `settings:`."),
    click.option("--public-url", help="URL that clients use; required when the collector is not on loopback."),
    click.option("--collectors", help="Collector processes on the one port.  [default: 1]"),
    click.option("--trusted-proxies", help="Networks whose X-Forwarded-* and Host are believed."),
    click.option("--tls-cert", help="PEM certificate chain of the collector."),
    click.option("--tls-key", help="PEM private key of the collector."),
    click.option("--json", "log_json", is_flag=True, default=None, help="Logs (and the first block) as JSON lines."),
    click.option("--log-level", help="DEBUG, INFO, WARNING or ERROR.  [default: INFO]"),
    click.option(
        "--set", "more", multiple=True, metavar="NAME=VALUE", help="Any other setting; see `tabard settings`."
    ),
)


def settings_options(command: F) -> F:
    """Adds the options that `settings_of` reads."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def settings_of(options: dict[str, Any]) -> Settings:
    """The settings that the options of `settings_options` ask for, above file and environment."""
    return settings_and_origins(options)[0]


def settings_and_origins(options: dict[str, Any]) -> tuple[Settings, dict[str, str]]:
    """As `settings_of`, with the layer of each setting. Raises `SettingsInvalid`."""
    flags = {name: value for name, value in options.items() if name not in ("config", "more")}
    for pair in options["more"]:
        name, separator, value = pair.partition("=")
        if not separator:
            raise CommandFailed("usage", f"--set takes NAME=VALUE, not {pair!r}", EXIT_USAGE)
        flags[name.replace("-", "_")] = value
    settings, origins = load_with_origins(file=settings_section(options["config"]), environ=os.environ, flags=flags)
    for name in ("tls_cert", "tls_key"):
        path = getattr(settings, name)
        if path and not Path(path).is_file():
            raise SettingsInvalid(f"{origins[name]}: {name}: there is no file {path}")
    return settings, origins


def settings_section(path: Path | None) -> dict[str, Any]:
    """The `settings:` of a tabard.yaml, {} without a file or section."""
    if path is None:
        return {}
    document = _document(path)
    section = document.get("settings") or {} if isinstance(document, dict) else None
    if not isinstance(section, dict):
        raise SettingsInvalid(f"{path}: `settings:` holds names and values, as in `settings: {{collectors: 2}}`")
    return section


def _document(path: Path) -> Any:
    if path.suffix == ".json":
        return msgspec.json.decode(path.read_bytes())
    # Slow to load, and the roles under a supervisor get their settings as JSON.
    import yaml  # noqa: PLC0415

    try:
        return yaml.safe_load(path.read_text("utf-8")) or {}
    except yaml.YAMLError as problem:
        raise SettingsInvalid(f"{path} is no YAML: {problem}") from problem
