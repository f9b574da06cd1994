"""Masked language models as trunk and branch, adapters, and the checkpoint folder."""
