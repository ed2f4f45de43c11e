"""A scalar reference implementation of the wheel rules, written from the rules text alone.

It shares no code with the library: the fast engine is compared with it on fixed cases and on random
markets.
"""
