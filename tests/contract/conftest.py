"""The contract of job kinds is tested on a stack of real processes."""

from tests.integration.conftest import broker_url, shared_stack

__all__ = ["broker_url", "shared_stack"]
