from pathlib import Path

import pytest

from llmcost_plugins.errors import LedgerUnavailable
from llmcost_plugins.ledger.database import Database
from llmcost_plugins.ledger.mounts import network_file_system


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    """List what a machine has mounted, with its temporary folder on another one's disk."""
    folder = str(tmp_path).replace(" ", r"\040")
    text = f"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
31 27 0:30 / {folder}/share rw,relatime shared:9 master:2 - nfs4 filer:/share rw,vers=4.2
32 31 0:31 / {folder}/share/local rw - tmpfs tmpfs rw
33 27 0:32 / {folder}/with\\040space rw - cifs //filer/x rw
34 27 0:33 / {folder}/twice rw - ext4 /dev/vdb rw
35 27 0:34 / {folder}/twice rw - fuse.sshfs me@filer: rw
a line that is none
"""
    path = tmp_path / "mountinfo"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("ledger.db", None),
        ("share/ledger.db", "nfs4"),
        ("share/deep/er/ledger.db", "nfs4"),
        ("share-2/ledger.db", None),
        ("share/local/ledger.db", None),
        ("with space/ledger.db", "cifs"),
        ("twice/ledger.db", "fuse.sshfs"),
    ],
)
def test_the_nearest_mount_says_where_a_file_lies(
    tmp_path: Path, mounts: Path, place: str, kind: str | None
) -> None:
    assert network_file_system(tmp_path / place, mounts) == kind


def test_a_link_lies_where_it_leads(tmp_path: Path, mounts: Path) -> None:
    (tmp_path / "share").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "share")
    assert network_file_system(tmp_path / "link" / "ledger.db", mounts) == "nfs4"


def test_a_machine_that_lists_no_mounts_says_nothing(tmp_path: Path) -> None:
    assert network_file_system(tmp_path / "ledger.db", tmp_path / "none") is None


def test_a_ledger_on_a_network_file_system_is_refused_before_it_is_made(
    tmp_path: Path, mounts: Path
) -> None:
    path = tmp_path / "share" / "ledger.db"
    database = Database(path, full_sync=False, mounts=mounts)
    words = r"ledger\.db.*nfs4.*Set LLMCOST_LEDGER to"
    with pytest.raises(LedgerUnavailable, match=words):
        database.read(lambda db: db)
    with pytest.raises(LedgerUnavailable, match=words), database.writing():
        pass
    assert not path.parent.exists()
