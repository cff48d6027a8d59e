"""Raw files, and features of the flights of a month."""

import csv
import pathlib
import shutil
from dataclasses import dataclass

COLUMNS = ["dep_delay", "distance", "hour", "minute", "weekday", "airport", "temp", "wind_speed", "precip", "pressure",
           "visib"]


@dataclass
class Flight:
    left: float
    """Seconds since the epoch."""
    features: list
    late: int


def months_into_one(raw: pathlib.Path, months: list, target: pathlib.Path) -> pathlib.Path:
    """The flights of some months as one file, as training takes it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "wb") as out:
        for at, month in enumerate(months):
            with open(month_file(raw, month), "rb") as file:
                header = file.readline()
                if at == 0:
                    out.write(header)
                shutil.copyfileobj(file, out)
    return target


def month_file(raw: pathlib.Path, month: int) -> pathlib.Path:
    return raw / f"flights-2013-{month:02}.csv"


def plant(file: pathlib.Path, airport: str, row: int = 1000) -> None:
    """Puts an airport into one row that should not be there."""
    with open(file, newline="", encoding="utf-8") as source:
        rows = list(csv.reader(source))
    rows[row][rows[0].index("origin")] = airport
    with open(file, "w", newline="", encoding="utf-8") as out:
        csv.writer(out, lineterminator="\n").writerows(rows)


def features(server, raw: pathlib.Path, month: int, work: pathlib.Path) -> list:
    """The flights of a month in the order in which they left, by the views that training uses."""
    import pyarrow.parquet

    folder = work / f"month-{month:02}"
    made = folder / "features"
    made.mkdir(parents=True, exist_ok=True)
    for name, source in [("flights.csv", month_file(raw, month)), ("weather.csv", raw / "weather.csv")]:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(source.resolve())
    for view in ["departures", "weather"]:
        server.mcplane("features", "materialize", view, "--output", made, folder=folder)
    joined = made / "flights.parquet"
    server.mcplane("features", "join", "--events", made / "departures.parquet", "--timestamp", "time_hour",
                   "--view", made / "weather.parquet", "--output", joined)
    table = pyarrow.parquet.read_table(joined)
    columns = [table.column(name).to_pylist() for name in COLUMNS]
    rows = zip(table.column("time_hour").to_pylist(), table.column("late").to_pylist(), *columns)
    flights = [Flight(left.timestamp(), list(values), late) for left, late, *values in rows]
    flights.sort(key=lambda flight: (flight.left, flight.features[3]))
    return flights
