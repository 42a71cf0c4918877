"""When stages run: Prefect flows at the top, what runs them in `engine`, servers in `servers`. Imports no torch."""
