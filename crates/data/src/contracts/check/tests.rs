//! Planted faults of every kind, and chunks of every size.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::columns::{Compression, CsvFormat, Limits};
use crate::contracts::{Spec, suggest};

fn spec(text: serde_json::Value) -> Spec {
    serde_json::from_value(text).unwrap()
}

fn limits(chunk: Option<usize>) -> Limits {
    Limits { chunk, ..Limits::default() }
}

fn run(spec: &Spec, text: &str, chunk: Option<usize>) -> Result<Found, Fault> {
    let plan = Plan::new(spec).unwrap();
    let table = Table::csv(text.as_bytes(), Compression::None, &spec.csv(), &limits(chunk))?;
    check(&plan, table, &Options { examples: 2, memory: 0 })
}

/// Violations in short: `column expectation severity rows [row=value …]`.
fn broken(spec: &Spec, text: &str) -> Vec<String> {
    let shown = |violation: &Violation| {
        let first = violation.first.iter().map(|example| {
            let repeats = example.repeats.map(|row| format!("~{row}")).unwrap_or_default();
            format!(" {}{repeats}={}", example.row, example.value.as_deref().unwrap_or("?"))
        });
        let Violation { column, expectation, severity, rows, .. } = violation;
        let column = column.as_deref().unwrap_or("-");
        format!("{column} {expectation:?} {severity:?} {rows}:{}", first.collect::<String>())
    };
    run(spec, text, None).unwrap().violations.iter().map(shown).collect()
}

fn columns(columns: serde_json::Value) -> Spec {
    spec(json!({ "columns": columns }))
}

#[test]
fn planted_faults_are_found() {
    let one = |mut column: serde_json::Value, text: &str| {
        column["name"] = "a".into();
        broken(&columns(json!([column])), text)
    };
    assert_eq!(one(json!({"type": "integer"}), "a\n1\nx\n2.5\n3\n1e3\n"), ["a Type Hard 3: 2=x 3=2.5"]);
    assert_eq!(
        one(json!({"type": "number"}), "a\n1\n1e3\nnan\nabc\n"),
        ["a Type Hard 1: 4=abc", "a Nulls Hard 1: 3=?"]
    );
    assert_eq!(one(json!({"type": "boolean"}), "a\ntrue\nFalse\nyes\n"), ["a Type Hard 1: 3=yes"]);
    assert_eq!(one(json!({"type": "date"}), "a\n2013-02-28\n2013-02-29\n"), ["a Type Hard 1: 2=2013-02-29"]);
    assert_eq!(one(json!({"type": "timestamp"}), "a\n2013-02-28T10:00:00Z\n10:00\n"), ["a Type Hard 1: 2=10:00"]);
    assert_eq!(one(json!({"type": "string"}), "a,b\nx,1\n,2\n"), ["a Nulls Hard 1: 2=?"]);
    let half = json!({"type": "string", "nullable": true, "maxNullFraction": 0.5});
    assert_eq!(one(half.clone(), "a,b\nx,1\n,2\n"), [""; 0]);
    assert_eq!(one(half, "a,b\n,1\n,2\nx,\n"), ["a Nulls Hard 2: 1=? 2=?"]);
    let range = json!({"type": "integer", "min": 0, "max": 10});
    assert_eq!(one(range, "a\n0\n10\n11\n-1\n99\n"), ["a Range Hard 3: 3=11 4=-1"]);
    let days = json!({"type": "date", "min": "2013-01-01"});
    assert_eq!(one(days, "a\n2012-12-31\n2013-01-01\n"), ["a Range Hard 1: 1=2012-12-31"]);
    let set = json!({"type": "string", "values": ["x", "y"]});
    assert_eq!(one(set, "a\nx\nz\ny\n"), ["a Values Hard 1: 2=z"]);
    let many = json!({"type": "integer", "values": [1, 2, 3, 4, 5, 6, 7]});
    assert_eq!(one(many, "a\n7\n8\n"), ["a Values Hard 1: 2=8"]);
    let pattern = json!({"type": "string", "pattern": "^[A-Z]{2}$"});
    assert_eq!(one(pattern, "a\nAB\nABC\nab\n"), ["a Pattern Hard 2: 2=ABC 3=ab"]);
    let length = json!({"type": "string", "minLength": 2, "maxLength": 3});
    assert_eq!(one(length, "a\nää\nä\näää\nabcd\n"), ["a Length Hard 2: 2=ä 4=abcd"]);
    let unique = json!({"type": "integer", "unique": true});
    assert_eq!(one(unique, "a\n1\n2\n01\n3\n2\n"), ["a Unique Hard 2: 3~1=01 5~2=2"]);
    let secret = json!({"type": "integer", "max": 1, "sensitive": true});
    assert_eq!(one(secret, "a\n2\n"), ["a Range Hard 1: 1=?"]);
    let soft = json!({"type": "integer", "max": 1, "soft": ["range"]});
    assert_eq!(one(soft, "a\n2\nx\n"), ["a Type Hard 1: 2=x", "a Range Soft 1: 1=2"]);
}

#[test]
fn the_table_as_a_whole_is_checked() {
    let whole = spec(json!({
        "severity": "soft", "rows": {"min": 3}, "otherColumns": "deny",
        "columns": [{"name": "a", "type": "integer", "severity": "hard"}, {"name": "gone", "type": "string"},
                    {"name": "may", "type": "string", "optional": true}],
    }));
    assert_eq!(broken(&whole, "a,b\n1,2\n3,4\n"), ["- Rows Soft 1:", "b Columns Soft 2:", "gone Columns Soft 2:"]);
    let pairs = spec(json!({
        "columns": [{"name": "a", "type": "integer", "nullable": true}, {"name": "b", "type": "number", "nullable": true}],
        "keys": [["a", "b"]], "compare": [{"left": "a", "is": "<=", "right": "b", "severity": "soft"}],
    }));
    assert_eq!(
        broken(&pairs, "a,b\n1,2\n2,1\n1,2.0\n,2\n,2\n"),
        ["a, b Unique Hard 1: 3~1=?", "- Compare Soft 1: 2=2 and 1"]
    );
    assert_eq!(broken(&columns(json!([])), "a\n"), [""; 0], "nothing is expected of it");
}

#[test]
fn malformed_text_is_placed() {
    let any = columns(json!([{"name": "a", "type": "string"}]));
    let fault = |text: &[u8]| {
        let table = Table::csv(text, Compression::of(text), &CsvFormat::default(), &limits(Some(16)));
        table.and_then(|table| check(&Plan::new(&any).unwrap(), table, &Options::default())).unwrap_err().to_string()
    };
    for (text, expected) in [
        (&b""[..], "the file is empty: its first line must name the columns"),
        (b"a,a\n", "column \"a\": two columns have this name: rename one of them"),
        (b"a,b\n1,2\n3\n", "row 2, byte 8: the row has 1 fields where the header has 2"),
        (b"a,b\n1,2,3\n", "row 1, byte 4: the row has 3 fields where the header has 2"),
        (
            b"a\n\"x\"y\n",
            "row 1, byte 2: there is text behind the closing quote of this field: double the quotes inside it",
        ),
        (b"a,b\nx,1\n\"y,2\n", "row 2, byte 8: the quote that opens this field is never closed"),
        (b"a\nx\nM\xfcller\n", "row 2, byte 5: the text is not UTF-8: convert it, as `iconv -f latin1 -t utf-8` does"),
        (b"a\nx\0\n", "row 1, byte 3: there is a NUL: the text is damaged, or is not UTF-8"),
        (b"\xff\xfea\0", "byte 0: the text is UTF-16: convert it to UTF-8, as `iconv -f utf-16 -t utf-8` does"),
    ] {
        assert_eq!(fault(text), expected, "{text:?}");
    }
    assert!(fault(b"\x1f\x8b\x08nonsense").contains("can't be read"), "a broken archive");
    assert_eq!(broken(&any, "\u{feff}a\nx\n"), [""; 0], "a byte order mark is no part of a name");
}

#[test]
fn a_row_has_a_limit() {
    let any = columns(json!([{"name": "a", "type": "string"}]));
    let limits = Limits { record: 1000, chunk: Some(64), ..Limits::default() };
    let endless = std::io::Read::chain(&b"a\nok\n\""[..], std::io::repeat(b'x'));
    let table = Table::csv(endless, Compression::None, &CsvFormat::default(), &limits).unwrap();
    let fault = check(&Plan::new(&any).unwrap(), table, &Options::default()).unwrap_err();
    assert_eq!(fault.to_string(), "row 2, byte 5: the row is larger than 1kB: perhaps a quote is not closed");
}

#[test]
fn rules_of_contracts_are_told() {
    let faults = |text| spec(text).faults().iter().map(ToString::to_string).collect::<Vec<_>>();
    let told = faults(json!({
        "rows": {"min": 2, "max": 1},
        "columns": [
            {"name": "a", "type": "integer", "min": 1.5, "pattern": "x"},
            {"name": "a", "type": "string", "pattern": "(", "minLength": 3, "maxLength": 2},
            {"name": "b", "type": "number", "min": 2, "max": 1, "maxNullFraction": 0.1},
        ],
        "keys": [["c"], []], "compare": [{"left": "a", "is": "<", "right": "b"}],
    }));
    for part in [
        "spec.rows.min",
        "[0].min",
        "[0].pattern",
        "[1].name: Duplicate",
        "[1].pattern",
        "[1].minLength",
        "[2].min:",
        "[2].maxNullFraction",
        "keys[0]",
        "keys[1]",
        "compare[0]",
    ] {
        assert!(told.iter().any(|fault| fault.contains(part)), "{part} in {told:#?}");
    }
    assert_eq!(told.len(), 11, "{told:#?}");
}

#[test]
fn a_suggestion_fits_its_data() {
    let mut text = "id,kind,score,day,late,note\n".to_owned();
    for n in 0..100 {
        let (score, note) = (f64::from(n) / 4.0, if n % 3 == 0 { "" } else { "some text" });
        text +=
            &format!("{n},{},{score},2013-01-{:02},{},{note}{n}\n", ["a", "b"][n as usize % 2], n % 28 + 1, n % 2 == 0);
    }
    let table = Table::csv(text.as_bytes(), Compression::None, &CsvFormat::default(), &limits(None)).unwrap();
    let suggested = suggest(table, &CsvFormat::default()).unwrap();
    let json = serde_json::to_value(&suggested).unwrap();
    assert_eq!(
        json["columns"][0],
        json!({"name": "id", "type": "integer", "min": 0, "max": 99, "unique": true, "soft": ["range"]})
    );
    assert_eq!(json["columns"][1], json!({"name": "kind", "type": "string", "values": ["a", "b"]}));
    assert_eq!(json["columns"][2]["type"], "number");
    assert_eq!(json["columns"][3], json!({"name": "day", "type": "date"}));
    assert_eq!(json["columns"][4], json!({"name": "late", "type": "boolean"}));
    assert_eq!(json["columns"][5], json!({"name": "note", "type": "string", "unique": true}));
    assert_eq!(broken(&suggested, &text), [""; 0]);
    assert_eq!(suggested, spec(json), "it can be written and read");
}

fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        "[0-9]{1,3}",
        "[a-zä]{0,12}",
        Just("\"a\"\"b\"".to_owned()),
        Just("\"x,\ny\"".to_owned()),
        Just("\"open".to_owned()),
        Just("\"é\"z".to_owned()),
    ]
}

proptest! {
    /// However the text is cut, the result is the same: violations, digest, or the place of the fault.
    #[test]
    fn chunks_do_not_matter(
        rows in prop::collection::vec(prop::collection::vec(field(), 2..=3), 0..12),
        end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
        chunk in 1_usize..40,
    ) {
        let lines: Vec<String> = rows.iter().map(|row| row.join(",")).collect();
        let text = format!("a,b{end}{}", lines.join(end));
        let spec = columns(json!([
            {"name": "a", "type": "integer", "nullable": true, "max": 500, "unique": true},
            {"name": "b", "type": "string", "maxLength": 3},
        ]));
        let whole = run(&spec, &text, None).map(|found| (found.facts, found.violations));
        let cut = run(&spec, &text, Some(chunk)).map(|found| (found.facts, found.violations));
        prop_assert_eq!(whole, cut);
    }

    #[test]
    fn no_bytes_are_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..300), chunk in 3_usize..50) {
        let spec = columns(json!([{"name": "a", "type": "number", "optional": true}]));
        let table = Table::csv(&bytes[..], Compression::of(&bytes), &spec.csv(), &limits(Some(chunk)));
        if let Ok(table) = table {
            let _ = check(&Plan::new(&spec).unwrap(), table, &Options::default());
        }
    }
}
