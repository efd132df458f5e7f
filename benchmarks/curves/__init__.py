"""How costs grow with the work: entries of an agent, agents of a store, runnable agents, bytes of a payload.

``python -m benchmarks curves --largest 1000000`` goes as far as one likes to wait.
"""
