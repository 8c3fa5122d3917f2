"""The commands of ``dermsynth``, one module a resource."""
