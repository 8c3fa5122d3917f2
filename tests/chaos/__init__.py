"""The fault campaign: real processes, a real database and a real broker, ended in every way.

``python -m tests.chaos`` (``make chaos``) runs all of it; ``test_small.py`` runs a tenth.
"""
