"""The reference, made from the code: `python -m docs.reference` writes it, `--check` compares."""
