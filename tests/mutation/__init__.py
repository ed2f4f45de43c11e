"""Single wrong changes of the rules, and whether comparing the engine with the scalar reference
notices each of them.
"""
