"""Data sets and pictures: found, fetched, verified, and made into standardised inputs."""
