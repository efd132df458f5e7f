"""Tools to prove agents durable: a virtual environment, crashes at chosen points, a driver, checkers."""
