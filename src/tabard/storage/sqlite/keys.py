"""The secrets of an installation: the versioned keys that seal destination secrets, and the admin token.

Sealing keys are `keys/seal-<version>` or, where given, `TABARD_SECRET_KEY` (or the file `TABARD_SECRET_KEY_FILE`
names): one `<version>:<64 hex digits>` a line or separated by commas. The highest version seals, all of them open.
"""

import base64
import binascii
import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tabard.storage.sqlite.installation import Installation, read_secret, write_secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SEALED: Final = "$sealed"
"""The only key of the object that stands for a sealed value: `{"$sealed": "<key version>:<base64>"}`."""

_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32


class KeyUnusable(Exception):
    """A key is missing, malformed or not the one a secret was sealed with; the text names it and the fix."""


class SealingKeys:
    """Seals and opens values with AES-256-GCM under versioned keys."""

    def __init__(self, keys: Mapping[int, bytes]) -> None:
        self._keys = dict(keys)

    @property
    def newest(self) -> int:
        """The version that seals."""
        return max(self._keys)

    def seal(self, value: Any) -> dict[str, str]:
        """A JSON value as an object that may be stored; sealing twice gives two different ones."""
        version, nonce = self.newest, os.urandom(_NONCE_BYTES)
        sealed = self._cipher(version).encrypt(nonce, msgspec.json.encode(value), str(version).encode())
        return {SEALED: f"{version}:{base64.b64encode(nonce + sealed).decode()}"}

    def open(self, sealed: Mapping[str, str]) -> Any:
        """The value of a sealed object. Raises `KeyUnusable`."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 (heavy, and only needed with secrets)

        try:
            number, _, encoded = sealed[SEALED].partition(":")
            version, data = int(number), base64.b64decode(encoded, validate=True)
            plain: bytes = self._cipher(version).decrypt(
                data[:_NONCE_BYTES], data[_NONCE_BYTES:], str(version).encode()
            )
        except (ValueError, binascii.Error, InvalidTag) as problem:
            raise KeyUnusable("a destination secret does not open with its key; set the secret again") from problem
        return msgspec.json.decode(plain)

    def seal_settings(self, settings: Mapping[str, Any], secret_fields: Iterable[str]) -> dict[str, Any]:
        """Destination settings with the named fields sealed; what is sealed already stays as it is."""
        secret = set(secret_fields)
        return {
            key: self.seal(value) if key in secret and value is not None and not is_sealed(value) else value
            for key, value in settings.items()
        }

    def open_settings(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Destination settings with every sealed value in plain: for the deliverer's hands only."""
        return {key: self.open(value) if is_sealed(value) else value for key, value in settings.items()}

    def _cipher(self, version: int) -> "AESGCM":
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 (heavy, and seldom needed)

        if version not in self._keys:
            raise KeyUnusable(f"sealing key {version} is missing; put it back into keys/ or TABARD_SECRET_KEY")
        return AESGCM(self._keys[version])


def is_sealed(value: Any) -> bool:
    """Whether a settings value is a sealed secret."""
    return isinstance(value, dict) and value.keys() == {SEALED}


def sealing_keys(installation: Installation, environ: Mapping[str, str]) -> SealingKeys:
    """The keys of the environment if it has any, else those of the folder. Raises `KeyUnusable`."""
    text = environ.get("TABARD_SECRET_KEY", "")
    if not text and environ.get("TABARD_SECRET_KEY_FILE"):
        text = read_secret(Path(environ["TABARD_SECRET_KEY_FILE"]))
    if text.strip():
        return SealingKeys(dict(_parse(part) for part in text.replace(",", "\n").split()))
    files = sorted(installation.keys.glob("seal-*"))
    keys = dict(_parse(f"{path.name.removeprefix('seal-')}:{read_secret(path)}") for path in files)
    if not keys:
        raise KeyUnusable(f"{installation.keys} holds no sealing key; restore it or set TABARD_SECRET_KEY")
    return SealingKeys(keys)


def add_sealing_key(installation: Installation) -> int:
    """A new newest key in the folder; returns its version. What older keys sealed stays readable."""
    version = max((int(path.name.removeprefix("seal-")) for path in installation.keys.glob("seal-*")), default=0) + 1
    write_secret(installation.keys / f"seal-{version}", secrets.token_hex(_KEY_BYTES))
    return version


def admin_token(installation: Installation) -> str:
    """The token that signs in to the web role and its API; made with the installation."""
    return read_secret(installation.keys / "admin-token")


def new_admin_token(installation: Installation) -> str:
    """Replaces the admin token. Kept in plain (0600): whoever reads the folder holds all that it opens anyway."""
    token = secrets.token_urlsafe(24)
    write_secret(installation.keys / "admin-token", token)
    return token


def _parse(part: str) -> tuple[int, bytes]:
    number, _, digits = part.partition(":")
    try:
        version, key = int(number), bytes.fromhex(digits)
    except ValueError:
        version, key = 0, b""
    if version < 1 or len(key) != _KEY_BYTES:
        raise KeyUnusable("a sealing key reads <version>:<64 hex digits>, as in 1:$(openssl rand -hex 32)")
    return version, key
