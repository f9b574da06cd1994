"""A trained checkpoint in other forms."""
