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

    Attributes:
        sample_rate: in Hz.
        n_mels: bands.
        window_ms: length of the Hann window.
        hop_ms: from one window to the next.
        n_fft: samples of a Fourier transform, in whose middle the window stands; null: the window's. The baselines of
            DCASE 2024 and 2025: 4096, with windows of 96 ms every 15.625 ms at 32 kHz.
        clip_seconds: recordings become clips of this length: files are cut, files that are parts of a recording are put
            together first (`recordings.recut`); null: a file is a clip.

    Raises:
        ConfigError: a value is out of range, the window is longer than `LONGEST_WINDOW` samples or than the transform.
    """

    sample_rate: Annotated[int, Range(4_000, 384_000)] = 16_000
    n_mels: Annotated[int, Range(32, 512, multiple_of=32)] = 256  # halved three times, then taken as four sub-bands
    window_ms: Annotated[float, Range(5, 1_000)] = 130
    hop_ms: Annotated[float, Range(1, 1_000)] = 30
    n_fft: Annotated[int, Range(64, LONGEST_WINDOW)] | None = None
    clip_seconds: Annotated[float, Range(0.1, 3_600)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window_length > LONGEST_WINDOW:
            most = 1000 * LONGEST_WINDOW // self.sample_rate
            raise ConfigError(f"needs at most {most} at {self.sample_rate} Hz, got {self.window_ms}", "window_ms")
        if self.fft_length < self.window_length:
            raise ConfigError(f"needs at least the {self.window_length} samples of a window, got {self.n_fft}", "n_fft")

    @property
    def window_length(self) -> int:
        """Window in samples."""
        return round(self.sample_rate * self.window_ms / 1000)

    @property
    def fft_length(self) -> int:
        """Fourier transform in samples."""
        return self.window_length if self.n_fft is None else self.n_fft

    @property
    def hop_length(self) -> int:
        """Hop in samples."""
        return round(self.sample_rate * self.hop_ms / 1000)

    def frames(self, seconds: float) -> int:
        """How many frames a clip of that length has (windows are centred, so the last one starts at its end)."""
        return 1 + (round(seconds * self.sample_rate) - self.fft_length % 2) // self.hop_length
