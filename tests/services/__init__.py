"""Tests of the use cases: what is kept, what is sent, and what happens when something goes wrong in between."""
