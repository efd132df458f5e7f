"""What golem_sdk costs, beside what the machine can do at best.

``python -m benchmarks`` runs everything and prints one table; ``python -m benchmarks W1 W2`` runs some.
"""
