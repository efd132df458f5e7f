"""Values and entries to bytes and back: exact or an error, bounded, and nothing executable (K1)."""
