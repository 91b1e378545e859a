"""Parts of a graphical user interface: what they show is the affair of the thread of its loop."""

from __future__ import annotations

from threadmend.python.classes import Class

__all__ = ["is_widget"]

_TOOLKITS = ("tkinter.", "Tkinter.", "customtkinter.", "gi.repository.Gtk.", "wx.", "kivy.uix.")
_QT = ("PyQt4.QtGui.Q", "PyQt5.QtWidgets.Q", "PyQt6.QtWidgets.Q", "PySide2.QtWidgets.Q",
       "PySide6.QtWidgets.Q", "qtpy.QtWidgets.Q")  # fmt: skip


def is_widget(cls: Class, name: str) -> bool:
    """Return whether an attribute certainly holds a part of a window: `self.status = tk.Label()`.
    Its options are no data that a lock would keep, but what the toolkit's own thread shows.
    """
    values = [file.value(value) for file, value in cls.values_of(name)]
    known = [value for value in values if value is not None and value.type != "NoneType"]
    return bool(known) and all(value.type.startswith((*_TOOLKITS, *_QT)) for value in known)
