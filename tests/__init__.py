"""Tests.

This file exists because torch-fidelity installs a package called ``tests``, which a folder
without it would lose against; the folders below need none.
"""
