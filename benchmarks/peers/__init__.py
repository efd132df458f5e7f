"""The peers beside us: the same work, in paired rounds, each peer as its own documentation starts it.

``python -m benchmarks peers`` installs them into environments of their own, measures, and says what could
not be run. The ``…_work`` modules run in those environments and use nothing of golem_sdk.
"""
