"""How much memory a command takes, in a process of its own."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

# Not ru_maxrss: a process inherits that of the one that starts it, and tests may be larger than what they measure.
STATUS = Path("/proc/self/status")
MEASURED = f"""
import sys
from asc_core.cli import main
try:
    main(sys.argv[1:])
finally:
    sys.stderr.write(open("{STATUS}").read())
"""


def peak_bytes(*arguments: object, **how: Any) -> tuple[int, str]:
    """The most memory that `asc ARGUMENTS` holds at once, and what it prints; skipped where no system tells."""
    if not STATUS.exists():
        pytest.skip("this system does not tell how much memory a process has held")
    command = [sys.executable, "-c", MEASURED, *(str(argument) for argument in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, **how)
    found = re.search(r"^VmHWM:\s+(\d+) kB$", done.stderr, re.M)
    assert found
    return 1024 * int(found[1]), done.stdout
