"""How sound becomes features."""

from dataclasses import dataclass

from asc_core.config import Config
from asc_core.errors import UserError


@dataclass(frozen=True)
class FeatureConfig(Config):
    """How sound becomes log-mel energies. Published: 256 bands at 16 kHz, 130 ms windows every 30 ms."""

    sample_rate: int = 16_000
    n_mels: int = 256
    window_ms: float = 130
    hop_ms: float = 30

    def __post_init__(self) -> None:
        for name in ("sample_rate", "n_mels", "window_ms", "hop_ms"):
            if getattr(self, name) <= 0:
                raise UserError(f"features.{name}: {getattr(self, name)} is not positive")
        if self.n_mels % 32:
            raise UserError(f"features.n_mels: {self.n_mels} is not a multiple of 32 (three halvings, four sub-bands)")

    @property
    def n_fft(self) -> int:
        """Window length in samples."""
        return round(self.sample_rate * self.window_ms / 1000)

    @property
    def hop_length(self) -> int:
        """Hop in samples."""
        return round(self.sample_rate * self.hop_ms / 1000)

    def frames(self, seconds: float) -> int:
        """How many frames a clip of that length has (windows are centred, so the last one starts at its end)."""
        return 1 + round(seconds * self.sample_rate) // self.hop_length
