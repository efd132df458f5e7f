"""Runs agents: sessions, the deterministic loop, actors and their scheduler, recovery."""
