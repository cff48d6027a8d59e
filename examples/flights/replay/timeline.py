"""What happened, row by row, on disk as soon as it is known; each row with where the server tells the same."""

import json
import os
import pathlib
import sys
import time


class Timeline:
    """Rows by stage. A stage that has its row is not done again."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        self.rows = json.loads(path.read_text()) if path.exists() else []
        self.began = time.monotonic()

    def row(self, stage: str) -> dict | None:
        return next((row for row in self.rows if row["stage"] == stage), None)

    def add(self, stage: str, told: str, evidence: list, details=(), **facts) -> None:
        """`evidence` is (path, place in the answer, what is there); `details` are lines that are told as it happens."""
        shown = [{"get": path, "at": at, "is": value} for path, at, value in evidence]
        row = {"stage": stage, "told": told, "evidence": shown, **facts}
        self.rows.append(row)
        temporary = self.path.with_suffix(".part")
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(self.rows, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, self.path)
        self.say(f"✓ {stage}: {told}")
        for line in details:
            print(f"       {line}", flush=True)

    def say(self, text: str) -> None:
        """A line with the time since the start."""
        seconds = int(time.monotonic() - self.began)
        print(f"{seconds // 60}:{seconds % 60:02} {text}", flush=True)

    def begin(self, stage: str) -> bool:
        """Whether the stage is still to be done."""
        if self.row(stage):
            return False
        self.say(f"▸ {stage}")
        return True

    def show(self) -> None:
        width = max(len(row["stage"]) for row in self.rows)
        print("\nTimeline, and where each row is found again (GET)")
        for row in self.rows:
            print(f"  {row['stage']:<{width}}  {row['told']}")
            paths = list(dict.fromkeys(one["get"] for one in row["evidence"]))
            if len(paths) > 2:
                paths = [f"{paths[0]} and {len(paths) - 1} like it"]
            for path in paths:
                print(f"  {'':<{width}}    {path}")
        sys.stdout.flush()
