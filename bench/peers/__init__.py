"""Whom softgrad is measured beside: a file for each package, a table from operation to ways of calling it."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util

from softgrad.bench.peers.peer import Peer
from softgrad.bench.settings import PEERS

# Peers that are another package than their name says.
PACKAGES = {"torch_compile": "torch"}


def is_installed(name: str) -> bool:
    """Can the package be imported?"""
    return importlib.util.find_spec(PACKAGES.get(name, name)) is not None


def load_peer(name: str) -> Peer:
    """The table of that peer; imports its package."""
    peer: Peer = importlib.import_module(f"softgrad.bench.peers.{name}_peer").PEER
    return peer


def version_of(name: str) -> tuple[str, str]:
    """A peer's package and its installed version."""
    package = PACKAGES.get(name, name)
    # A wheel's name may say what it was built for: cupy-cuda13x.
    wheels = importlib.metadata.packages_distributions().get(package, [package])
    try:
        return package, importlib.metadata.version(wheels[0])
    except importlib.metadata.PackageNotFoundError:  # put on the path by hand
        return package, "unknown"


def find_peers(names: tuple[str, ...], backend: str = "cpu") -> tuple[str, ...]:
    """The peers of those names; without names all that are installed and compute there.

    Raises
    ------
    ValueError
        If one that is asked for is not installed, or computes elsewhere.
    """
    for name in names:
        if name not in PEERS[backend]:
            raise ValueError(f"peer must be one of {', '.join(PEERS[backend])} with --backend {backend}; got {name}")
        if not is_installed(name):
            package = PACKAGES.get(name, name)
            raise ValueError(f"peer {name} is not installed; install it with: pip install {package}")
    return tuple(name for name in PEERS[backend] if (name in names if names else is_installed(name)))
