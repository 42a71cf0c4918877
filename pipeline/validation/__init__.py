"""What a corpus is held to: the tables that are looked at, and the expectations about them."""
