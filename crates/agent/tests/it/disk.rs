use std::path::Path;
use std::process::Command;

use mcplane_agent::Executor;
use mcplane_agent::logs::LogOptions;
use mcplane_agent::protocol::ExitReason;

use crate::rig::{Rig, eventually, shell};

/// A small disk; only root can make one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=512k", "tmpfs"]).arg(folder.path());
        command.output().is_ok_and(|output| output.status.success()).then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[tokio::test]
async fn a_full_disk_costs_output_and_nothing_else() {
    let Some(disk) = SmallDisk::mount() else {
        assert!(!rustix::process::geteuid().is_root(), "root can't mount a tmpfs");
        return;
    };
    let mut rig = Rig::at(disk.path());
    let script = "echo first; head -c 2000000 /dev/zero | tr '\\0' 'a' | fold -w 100; echo; : > full; \
        while [ ! -e /proc/self/cwd/go ]; do sleep 0.05; done; echo last; exit 6";
    let assignment = shell(script);
    let (attempt, folder) = (assignment.attempt, rig.folder(assignment.attempt));
    rig.executor.start(assignment).await.unwrap();
    rig.started().await;
    eventually("the program is held up", || folder.join("work/full").exists()).await;
    // Really full, to the last page.
    let rest = std::fs::write(disk.path().join("filler"), vec![0; 1 << 20]);
    assert_eq!(rest.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    std::fs::File::create(folder.join("work/go")).unwrap();
    let exit = rig.exited().await;
    assert_eq!((exit.code, exit.reason), (Some(6), ExitReason::Error));
    assert!(exit.log_lost_bytes > 1_000_000, "{}", exit.log_lost_bytes);
    let text = rig.log(attempt, LogOptions::default()).await;
    assert!(text.starts_with(b"first\naaaa"));
    let whole =
        |line: &[u8]| line.iter().all(|byte| *byte == b'a') || line.starts_with(b"[mcplane] ") || line == b"last";
    let broken = text.split(|byte| *byte == b'\n').skip(1).find(|line| !whole(line));
    assert_eq!(broken.map(String::from_utf8_lossy), None);
}

#[tokio::test]
async fn output_is_stored_again_when_there_is_space() {
    let Some(disk) = SmallDisk::mount() else {
        assert!(!rustix::process::geteuid().is_root(), "root can't mount a tmpfs");
        return;
    };
    let filler = disk.path().join("filler");
    let mut rig = Rig::at(disk.path());
    let script = "while [ ! -e go ]; do sleep 0.02; done; head -c 500000 /dev/zero | tr '\\0' 'a' | fold -w 100; touch said; \
        while [ -e go ]; do sleep 0.02; done; echo back";
    let assignment = shell(script);
    let (attempt, work) = (assignment.attempt, rig.folder(assignment.attempt).join("work"));
    rig.executor.start(assignment).await.unwrap();
    rig.started().await;
    std::fs::write(&filler, vec![0; 1 << 20]).unwrap_err();
    std::fs::File::create(work.join("go")).unwrap();
    eventually("the program is held up", || work.join("said").exists()).await;
    std::fs::remove_file(&filler).unwrap();
    std::fs::remove_file(work.join("go")).unwrap();
    let exit = rig.exited().await;
    assert_eq!((exit.code, exit.log_lost_bytes > 0), (Some(0), true));
    let text = rig.text(attempt).await;
    assert!(text.contains("could not be stored here\n") && text.ends_with("back\n"), "{text}");
}

#[tokio::test]
async fn an_attempt_that_finds_no_space_is_not_started() {
    let Some(disk) = SmallDisk::mount() else {
        assert!(!rustix::process::geteuid().is_root(), "root can't mount a tmpfs");
        return;
    };
    let rig = Rig::at(disk.path());
    std::fs::write(disk.path().join("filler"), vec![0; 1 << 20]).unwrap_err();
    let refused = rig.executor.start(shell("touch /dev/null")).await.unwrap_err();
    assert!(refused.to_string().contains("No space left"), "{refused}");
    std::fs::remove_file(disk.path().join("filler")).unwrap();
    assert!(rig.executor.adopt().await.unwrap().is_empty());
}
