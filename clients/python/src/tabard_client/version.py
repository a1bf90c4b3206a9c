"""The version of this distribution, also sent as `context.library.version` and in `User-Agent`."""

VERSION = "0.1.0"
