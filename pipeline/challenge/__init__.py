"""Submission packages of the challenge, a module a year."""
