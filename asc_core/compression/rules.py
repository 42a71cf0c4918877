"""The complexity rules of the challenge: what a network may cost."""

from dataclasses import dataclass

LIMIT = 131_072  # bytes: 128 KB with KB = 1024
DECIMAL_LIMIT = 128_000  # the stricter reading of 128 KB


@dataclass(frozen=True)
class Limit:
    """A number that the rules limit, and the most that it may be."""

    name: str
    value: int
    most: int


def limits(size: dict[str, int], rules: str) -> list[Limit]:
    """What a set of rules limits, for the numbers of a network: `size.totals`, `size.storage`, `macs.costs` of a clip.

    `dcase2021` (Task 1A): 128 KB of non-zero parameters, each as many bytes as it is stored in, every layer included;
    held to the stricter reading, 128,000 bytes, so that it is met in either.
    `dcase2022` (Task 1): 128,000 parameters with zeros counted, weights in 8 bit, and 30 million
    multiply-accumulates for an inference, whichever way they are counted. An inference is one clip: in those years a
    second of audio, so a longer clip is held to more than the rule says. Half-precision scales and shifts count as
    parameters there, although they are not 8 bit wide: no 8-bit scheme is without biases and scales of a wider type.
    `dcase2023` to `dcase2025` (Task 1): 128,000 bytes of parameters of any type with zeros counted, by our account and
    by the organisers', and the same multiply-accumulates; from 2025 on for each device's network, if there are several.
    """
    if rules == "dcase2021":
        return [Limit("counted_bytes", size["counted_bytes"], DECIMAL_LIMIT)]
    macs = Limit("macs", max(size["macs"], size["macs_torchinfo"]), 30_000_000)
    if rules == "dcase2022":
        return [Limit("parameters", size["parameters"], 128_000), Limit("weight_bits", size["weight_bits"], 8), macs]
    largest = max(size["parameter_bytes"], size["parameter_bytes_torch"])
    return [Limit("parameter_bytes", largest, DECIMAL_LIMIT), macs]
