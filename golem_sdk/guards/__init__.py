"""`with`-blocks around agent code that say how its side effects are treated, and their manual forms."""
