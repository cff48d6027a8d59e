//! kill -9 while labels are acknowledged: none of them is lost, and what was torn is cut away.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use mcplane_core::{Clock, SystemClock};
use mcplane_monitoring::PredictionId;
use mcplane_monitoring::records::{Kind, Reader, Record, Recorder, RecorderConfig};

const FOLDER: &str = "MCPLANE_TEST_RECORDS";

fn record(random: u64, body: Vec<u8>) -> Record {
    let now = SystemClock.now();
    Record { kind: Kind::Prediction, id: PredictionId::new(now, 3, random), at: now, body }
}

/// The process that is killed: writes predictions, and labels whose identifiers it prints once they are acknowledged.
#[test]
#[ignore = "is started by the test below"]
fn child() {
    let folder = std::env::var(FOLDER).unwrap();
    let clock = Arc::new(SystemClock);
    let (recorder, _) = Recorder::open(Path::new(&folder), RecorderConfig::default(), clock).unwrap();
    for number in 0.. {
        let prediction = record(number, vec![b'p'; 300]);
        let id = prediction.id;
        recorder.prediction(prediction).unwrap();
        let label = Record { id, ..record(number, id.to_string().into_bytes()) };
        let told = move |outcome: std::io::Result<()>| {
            outcome.unwrap();
            println!("acknowledged {id}");
        };
        recorder.label(label, Box::new(told)).unwrap();
        if number % 32 == 0 {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}

#[test]
fn no_acknowledged_label_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 1..=3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::child", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = lines
            .map_while(Result::ok)
            .filter_map(|line| line.split_once("acknowledged ").and_then(|(_, id)| id.parse::<PredictionId>().ok()));
        for (count, id) in told.enumerate() {
            acknowledged.push(id);
            // What is in the pipe when it dies counts too.
            if count == 100 * round {
                child.kill().unwrap();
            }
        }
        assert!(!child.wait().unwrap().success());
    }
    let clock = Arc::new(SystemClock);
    let (recorder, _) = Recorder::open(folder.path(), RecorderConfig::default(), clock).unwrap();
    drop(recorder);
    let mut labels = std::collections::HashSet::new();
    let scan = Reader::scan(&folder.path().join("labels"), i64::MIN, |record| {
        assert_eq!(record.body, record.id.to_string().into_bytes());
        labels.insert(record.id);
    });
    assert_eq!(scan.unwrap().damaged, 0);
    assert!(acknowledged.len() > 600);
    let lost = acknowledged.iter().filter(|id| !labels.contains(id)).count();
    assert_eq!(lost, 0, "of {} acknowledged labels", acknowledged.len());
    let found = Reader::find(folder.path(), acknowledged[0]).unwrap();
    assert_eq!(found.labels.len(), 1);
    assert!(found.prediction.is_some());
}
