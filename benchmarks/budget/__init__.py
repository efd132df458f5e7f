"""What the hot paths may cost, counted and not timed: no load of the machine changes it.

``python -m benchmarks.budget`` counts and compares with `budget.toml` beside this file; ``--record`` writes
that file anew, when a change is worth what it costs or has made something cheaper.

Counted is what is the same on every machine with the same minor version of Python: bytecodes and calls
(`tracing`), memory blocks that stay and cyclic garbage, flushes and writes of the store's file (by strace),
and imported modules. Machine instructions are not: they differ by a third and more between builds of
the same Python (compiler, profile-guided or not, which ``memcpy`` the processor gets), so a budget of them
would hold where it was recorded only.
"""
