"""What all configuration dataclasses have in common. Each stands in the package that it configures, light to import."""

from typing import ClassVar


class Config:
    """Base of the configurations: a reader of configuration files refuses keys that they do not have."""

    # Read by pydantic where a pipeline validates its parameters with it; a plain attribute everywhere else.
    __pydantic_config__: ClassVar = {"extra": "forbid"}
