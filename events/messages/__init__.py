"""The shop's messages in other languages than English: a file for each, by error code."""

from pathlib import Path

FOLDER = Path(__file__).parent
