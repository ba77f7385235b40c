"""The same windows by other engines, each in an environment of its own: see __main__."""
