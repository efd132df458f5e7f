"""What interceptors cost: outside agents, inside, in replay, and when a runtime is opened.

``python -m benchmarks interceptors`` prints a row for each that can be measured without the outside world.
"""
