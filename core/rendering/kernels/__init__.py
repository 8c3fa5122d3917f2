"""What runs on every ray or pixel, in Warp: one source for processors and GPUs.

One small module a kernel, so that a change compiles little. The language is Warp's, not Python's:
Warp checks its types when it compiles, so these modules are not checked by mypy.
"""
