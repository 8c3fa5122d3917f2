"""Lesions of donors on bodies: what is asked for, the plan, and one image."""
