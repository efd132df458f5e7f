"""Looks after stores: how one is, what is damaged in it, and how to save the rest (`golem doctor`)."""
