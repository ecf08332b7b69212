"""Whom softgrad is measured beside: a file for each package, a table from operation to ways of calling it."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util

from softgrad.bench.peers.peer import Peer
from softgrad.bench.settings import PEERS


def is_installed(name: str) -> bool:
    """Can the package be imported?"""
    return importlib.util.find_spec(name) is not None


def load_peer(name: str) -> Peer:
    """The table of that package; imports the package."""
    peer: Peer = importlib.import_module(f"softgrad.bench.peers.{name}_peer").PEER
    return peer


def version_of(name: str) -> str:
    """The installed version of the package."""
    return importlib.metadata.version(name)


def find_peers(names: tuple[str, ...]) -> tuple[str, ...]:
    """The peers of those names; without names all that are installed.

    Raises
    ------
    ValueError
        If one that is asked for is not installed.
    """
    missing = [name for name in names if not is_installed(name)]
    if missing:
        raise ValueError(f"peer {missing[0]} is not installed; install it with: pip install {missing[0]}")
    return tuple(name for name in PEERS if (name in names if names else is_installed(name)))
