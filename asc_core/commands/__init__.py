"""The library's own commands, one a file, and how they print. What they do is done elsewhere; nothing here ships."""
