"""Addresses, and who may listen on one."""

import socket

import pytest

from tabard.compose.listening import AddressInUse, AddressInvalid, address_text, listener, parse_address, reserved


@pytest.mark.parametrize(
    ("address", "expected"),
    [("127.0.0.1:7070", ("127.0.0.1", 7070)), ("[::1]:80", ("::1", 80)), (":7070", ("0.0.0.0", 7070))],
)
def test_an_address_is_read_as_host_and_port(address: str, expected: tuple[str, int]) -> None:
    assert parse_address(address) == expected


@pytest.mark.parametrize("address", ["7070", "localhost", "host:http", "host:70000"])
def test_what_is_no_address_is_refused_by_name(address: str) -> None:
    with pytest.raises(AddressInvalid, match="host:port"):
        parse_address(address)


def test_an_address_is_written_back_as_it_is_read() -> None:
    assert [address_text("127.0.0.1", 1), address_text("::1", 2)] == ["127.0.0.1:1", "[::1]:2"]


def test_a_reserved_port_is_shared_among_the_roles_and_reached_before_they_accept() -> None:
    with reserved("127.0.0.1:0") as address, listener(address), listener(address):
        socket.create_connection(parse_address(address), timeout=5).close()


def test_a_reserved_port_takes_no_connections_itself() -> None:
    with reserved("127.0.0.1:0") as address:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(parse_address(address), timeout=5)


def test_a_port_on_which_somebody_listens_cannot_be_reserved() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = address_text(*other.getsockname())
        with pytest.raises(AddressInUse, match="stop the other program"):
            with reserved(address):
                pass
