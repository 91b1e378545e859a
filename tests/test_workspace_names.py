"""What an import path means where a folder of the project has a name of the standard library."""

from __future__ import annotations

from threadmend.golang.workspace import Workspace
from threadmend.source import SourceFile


def test_a_folder_called_sync_is_not_the_package() -> None:
    """Without a module, nothing imports the project's folders by their bare names."""
    files = {
        "a.go": b'package a\n\nimport "sync"\n\nvar mu sync.Mutex\n',
        "sync/group.go": b"package sync\n\ntype Group struct{}\n",
    }
    workspace = Workspace(files, lambda path: SourceFile(path, files[path]))
    assert len(workspace.packages) == 2
    known = workspace.package_by_key("sync")
    assert known is not None
    assert known.lookup("Mutex") is not None
    assert known.lookup("Group") is None
