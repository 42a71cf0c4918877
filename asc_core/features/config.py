"""How sound becomes features."""

from dataclasses import dataclass
from typing import Annotated

from asc_core.config import Config, Range
from asc_core.errors import ConfigError

LONGEST_WINDOW = 1 << 15  # samples


@dataclass(frozen=True)
class FeatureConfig(Config):
    """How sound becomes log-mel energies. Published: 256 bands at 16 kHz, 130 ms windows every 30 ms.

    The ranges end well above any published system, and where a machine of any size can still hold the filters.

    Raises:
        ConfigError: a value is out of range, or the window is longer than `LONGEST_WINDOW` samples.
    """

    sample_rate: Annotated[int, Range(4_000, 384_000)] = 16_000  # Hz
    n_mels: Annotated[int, Range(32, 512, multiple_of=32)] = 256  # halved three times, then taken as four sub-bands
    window_ms: Annotated[float, Range(5, 1_000)] = 130
    hop_ms: Annotated[float, Range(1, 1_000)] = 30

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_fft > LONGEST_WINDOW:
            most = 1000 * LONGEST_WINDOW // self.sample_rate
            raise ConfigError(f"needs at most {most} at {self.sample_rate} Hz, got {self.window_ms}", "window_ms")

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
