"""The AWS API of the local system: moto, with a state that survives its process."""
