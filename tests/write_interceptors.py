"""Writes the README's table of what is intercepted, from the code.

python tests/write_interceptors.py
"""

from __future__ import annotations

from intercept.readme import README, renewed

if __name__ == "__main__":
    README.write_text(renewed(README.read_text()))
    print(f"Written: {README.name}")
