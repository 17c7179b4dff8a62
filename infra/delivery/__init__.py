"""What the workflows in `.github` run: small commands, so that they are tested here."""
