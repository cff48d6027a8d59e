"""What of a folder travels, as the manual says and the command line does too."""

import io
import json
import os
import pathlib
import tarfile

import pytest

from mcplane import ArchiveError, archive

CASES = json.loads((pathlib.Path(__file__).parents[2] / "archive-cases.json").read_text(encoding="utf-8"))


def make(case, folder):
    for path, text in case["files"].items():
        target = folder / path
        if path.endswith("/"):
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    for path in case.get("executable", ()):
        (folder / path).chmod(0o755)
    for path, target in case.get("links", {}).items():
        (folder / path).symlink_to(target)
    return folder / case.get("root", "")


def packed(folder):
    data = io.BytesIO()
    found = archive.contents(str(folder))
    made = archive.pack(found, data)
    assert made.size == len(data.getvalue())
    return found, made, data


def listed(data):
    data.seek(0)
    with tarfile.open(fileobj=data, mode="r:gz") as tar:
        for entry in tar:
            assert (entry.uid, entry.gid, entry.mtime, entry.uname) == (0, 0, 315532800, "")
            if entry.isdir():
                yield f"{entry.name}/"
            elif entry.issym():
                yield f"{entry.name} -> {entry.linkname}"
            else:
                yield entry.name + ("*" if entry.mode == 0o755 else "")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_shared_cases(case, tmp_path):
    root = make(case, tmp_path)
    found, made, data = packed(root)
    assert list(listed(data)) == case["expected"]
    assert [line.split(": ")[0] for line in found.left_out] == case.get("left_out", [])
    assert packed(root)[1].code == made.code


def test_the_same_files_elsewhere_and_later_are_the_same_archive(tmp_path):
    codes = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        for file in ("b", "a") if name == "two" else ("a", "b"):
            (folder / file).write_text(file)
            os.utime(folder / file, (0, len(codes) * 1000))
        codes.append(packed(folder)[1].code)
    assert codes[0] == codes[1]
    (tmp_path / "two" / "a").write_text("c")
    assert packed(tmp_path / "two")[1].code != codes[0]


def test_what_is_neither_file_nor_folder_stays(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a").write_text("")
    found, _, data = packed(tmp_path)
    assert list(listed(data)) == ["a"] and found.left_out == ["pipe: it is neither file nor folder"]


def test_limits(tmp_path, monkeypatch):
    for index in range(5):
        (tmp_path / str(index)).write_bytes(os.urandom(5000))
    monkeypatch.setattr(archive, "MOST_ENTRIES", 4)
    with pytest.raises(ArchiveError, match=".mcplaneignore"):
        archive.contents(str(tmp_path))
    monkeypatch.setattr(archive, "MOST_ENTRIES", 5)
    monkeypatch.setattr(archive, "MOST_BYTES", 20_000)
    with pytest.raises(ArchiveError, match="larger than"):
        packed(tmp_path)
    with pytest.raises(ArchiveError, match="not a folder"):
        archive.contents(str(tmp_path / "none"))


def test_paths_are_looked_for_as_they_are_written(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "train.py").write_text("")
    found = archive.contents(str(tmp_path))
    assert "src/train.py" in found and "./src/train.py" in found and "." in found
    assert "train.py" not in found
