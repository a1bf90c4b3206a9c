"""`make demo`: a Tabard on a folder that is thrown away, a shop, and what to click."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import uvicorn

from demo.shop import Tabard, create_shop

PORT = int(os.environ.get("DEMO_PORT", "7072"))


def tabard(data: Path, *arguments: str) -> Any:
    """The JSON document a command prints."""
    command = [sys.executable, "-m", "tabard", *arguments, "--data", str(data), "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def free_address() -> str:
    """An address on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def refuse_busy_port() -> None:
    """Ends with one line where somebody else listens on the shop's port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError as problem:
            fix = "choose another: DEMO_PORT=7073 make demo"
            sys.exit(f"demo: port_in_use: port {PORT} is taken ({problem.strerror}); {fix}")


def main() -> None:
    """Runs until Ctrl-C; data and processes go with it."""
    refuse_busy_port()
    with tempfile.TemporaryDirectory(prefix="tabard-demo-") as folder:
        data = Path(folder) / "data"
        os.environ.setdefault("XDG_STATE_HOME", folder)
        addresses = ("--collect", free_address(), "--web", free_address())
        command = [sys.executable, "-m", "tabard", "serve", "--data", str(data), "--json", *addresses]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            assert process.stdout is not None
            block = json.loads(process.stdout.readline())
            browser = tabard(data, "source", "add", "shop", "--kind", "browser")
            known = Tabard(
                block["collector"], block["web"], browser["writeKey"], block["writeKey"], block["adminToken"]
            )
            print(f"\n  shop         http://127.0.0.1:{PORT}   browse, ask for the newsletter, order")
            print(f"  Tabard       {known.web}   admin token {known.admin_token}\n", flush=True)
            uvicorn.run(create_shop(known), host="127.0.0.1", port=PORT, log_level="warning")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


if __name__ == "__main__":
    main()
