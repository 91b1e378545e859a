"""Findings in tests are judged softer: what a test does on purpose, or for a second, is a hint."""

from __future__ import annotations

from dataclasses import replace

from threadmend.model import Confidence, Finding
from threadmend.python.file import PythonFile

__all__ = ["softened"]


def softened(file: PythonFile, finding: Finding) -> Finding:
    """Return the finding, as a hint where it stands in a test."""
    return replace(finding, confidence=Confidence.LOW) if file.is_test else finding
