//! Parquet files: good ones in every encoding, and hostile ones.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMillisecondArray,
};
use mcplane_data::columns::{CsvFormat, Limits, open};
use mcplane_data::contracts::{Options, Outcome, Plan, Report, Spec, check_file, suggest};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::{WriterProperties, WriterVersion};
use proptest::prelude::*;
use serde_json::json;

fn batch(rows: usize) -> RecordBatch {
    let n = || 0..rows as i64;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(n()))),
        ("small", Arc::new(Int32Array::from_iter(n().map(|n| (n % 7 != 3).then_some(n as i32 % 50))))),
        ("score", Arc::new(Float64Array::from_iter_values(n().map(|n| n as f64 / 4.0)))),
        ("kind", Arc::new(StringArray::from_iter_values(n().map(|n| ["red", "green", "blue"][n as usize % 3])))),
        ("text", Arc::new(StringArray::from_iter_values(n().map(|n| format!("value number {n}"))))),
        ("flag", Arc::new(BooleanArray::from_iter(n().map(|n| Some(n % 2 == 0))))),
        ("day", Arc::new(Date32Array::from_iter_values(n().map(|n| n as i32)))),
        ("at", Arc::new(TimestampMillisecondArray::from_iter_values(n().map(|n| n * 1000)))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn write(properties: WriterProperties, batch: &RecordBatch) -> Vec<u8> {
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

fn spec() -> Spec {
    let spec = json!({
        "rows": {"min": 1},
        "columns": [
            {"name": "id", "type": "integer", "unique": true, "max": 997},
            {"name": "small", "type": "integer", "nullable": true, "maxNullFraction": 0.2},
            {"name": "score", "type": "number", "min": 0},
            {"name": "kind", "type": "string", "values": ["red", "green", "blue"]},
            {"name": "text", "type": "string", "pattern": "^value number [0-9]+$", "maxLength": 16},
            {"name": "flag", "type": "boolean"},
            {"name": "day", "type": "date", "min": "1970-01-01"},
            {"name": "at", "type": "timestamp", "max": "1970-01-01T00:16:30Z"},
        ],
        "compare": [{"left": "small", "is": "<=", "right": "id"}],
    });
    serde_json::from_value(spec).unwrap()
}

fn check(spec: &Spec, bytes: &[u8], limits: &Limits) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data.parquet");
    std::fs::write(&file, bytes).unwrap();
    check_file(&Plan::new(spec).unwrap(), &CsvFormat::default(), &file, limits, &Options::default())
}

fn broken(report: &Report) -> Vec<String> {
    let shown = |violation: &mcplane_data::contracts::Violation| {
        let first: Vec<String> = violation.first.iter().map(|e| format!("{}={:?}", e.row, e.value)).collect();
        format!("{:?} {:?} {} {}", violation.column, violation.expectation, violation.rows, first.join(" "))
    };
    report.violations.iter().map(shown).collect()
}

#[test]
fn every_encoding_reads_the_same() {
    let batch = batch(1000);
    let expected = [
        r#"Some("id") Range 2 999=Some("998") 1000=Some("999")"#,
        r#"Some("at") Range 9 992=Some("1970-01-01T00:16:31Z") 993=Some("1970-01-01T00:16:32Z") 994=Some("1970-01-01T00:16:33Z") 995=Some("1970-01-01T00:16:34Z") 996=Some("1970-01-01T00:16:35Z")"#,
    ];
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::LZ4_RAW,
        Compression::ZSTD(Default::default()),
        Compression::GZIP(Default::default()),
    ] {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            for (dictionary, encoding) in [
                (true, None),
                (false, None),
                (false, Some(Encoding::DELTA_BYTE_ARRAY)),
                (false, Some(Encoding::DELTA_LENGTH_BYTE_ARRAY)),
            ] {
                let mut properties = WriterProperties::builder()
                    .set_compression(compression)
                    .set_writer_version(version)
                    .set_dictionary_enabled(dictionary)
                    .set_max_row_group_row_count(Some(300))
                    .set_data_page_row_count_limit(70);
                if let Some(encoding) = encoding {
                    properties = properties.set_column_encoding("text".into(), encoding);
                }
                let report = check(&spec(), &write(properties.build(), &batch), &Limits::default());
                assert_eq!((report.rows, &report.fault), (1000, &None), "{compression} {version:?} {encoding:?}");
                assert_eq!(broken(&report), expected, "{compression} {version:?} {encoding:?}");
            }
        }
    }
}

#[test]
fn suggestions_and_types_come_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("data.parquet");
    std::fs::write(&file, write(WriterProperties::default(), &batch(100))).unwrap();
    let suggested =
        suggest(open(&file, &CsvFormat::default(), &Limits::default()).unwrap(), &CsvFormat::default()).unwrap();
    let report = check(&suggested, &std::fs::read(&file).unwrap(), &Limits::default());
    assert_eq!((report.outcome, report.violations.len()), (Outcome::Passed, 0));
    let digest = mcplane_testkit_digest(&file);
    assert_eq!(report.sha256, digest);

    let wrong = serde_json::from_value(json!({"columns": [{"name": "kind", "type": "integer"}]})).unwrap();
    let report = check(&wrong, &std::fs::read(&file).unwrap(), &Limits::default());
    assert_eq!(
        report.violations[0].expected,
        "values of the type integer: the file declares it String, expected integer"
    );
    assert_eq!((report.violations[0].rows, report.outcome), (100, Outcome::Failed));
}

fn mcplane_testkit_digest(file: &Path) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(std::fs::read(file).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn fault(bytes: &[u8], limits: &Limits) -> String {
    check(&spec(), bytes, limits).fault.map(|fault| fault.to_string()).unwrap_or_default()
}

#[test]
fn damage_is_told_precisely() {
    let good = write(WriterProperties::default(), &batch(200));
    let usual = Limits::default();
    assert_eq!(fault(&good, &usual), "");
    assert!(fault(&good[..good.len() - 1], &usual).contains("does not end with PAR1"));
    assert!(fault(b"PAR1", &usual).contains("too short for Parquet"));
    let mut lying = good.clone();
    let end = lying.len();
    lying[end - 8..end - 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(fault(&lying, &usual).contains("its footer claims 4294967295 bytes"), "{}", fault(&lying, &usual));
    let small = Limits { pages: 100, ..Limits::default() };
    assert!(fault(&good, &small).contains("need more than 100B of memory together"), "{}", fault(&good, &small));
    // A page that claims to be two gigabytes: its size is the second field of the header.
    let plain = WriterProperties::builder().set_dictionary_enabled(false).build();
    let mut bomb = write(plain, &batch(200));
    let header = &bomb[4..7];
    assert_eq!((header[0], header[2] & 0xf0), (0x15, 0x10), "{header:?}");
    let uncompressed = 7;
    bomb.splice(uncompressed..uncompressed + 2, [0xfe, 0xff, 0xff, 0xff, 0x0f]);
    assert!(!fault(&bomb, &usual).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    /// Whatever a byte is changed to: no panic gets out, and no more memory is taken than the limits say.
    #[test]
    fn changed_bytes_do_no_harm(places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4), footer: bool, cut in 0_usize..30) {
        let mut bytes = write(WriterProperties::builder().set_compression(Compression::SNAPPY).build(), &batch(50));
        let from = if footer { bytes.len() - 1500 } else { 0 };
        for (place, value) in places {
            let place = from + place.index(bytes.len() - from);
            bytes[place] = value;
        }
        if cut < 10 {
            bytes.remove(from + cut);
        }
        let report = check(&spec(), &bytes, &Limits { pages: 1 << 20, ..Limits::default() });
        prop_assert!(report.fault.is_some() || report.rows == 50);
    }
}
