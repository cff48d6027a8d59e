//! Ports for servers that can't be told to choose one themselves.

use crate::process::random_hex;
use std::fs::File;
use std::net::TcpListener;
use std::ops::Range;
use std::os::unix::fs::MetadataExt as _;

/// Below those that systems give to connections (`ip_local_port_range`): a port that is free now stays so until its
/// server starts, or starts again.
const RANGE: Range<u16> = 20_000..32_000;

/// Ports of loopback that nobody uses, and that no other test takes while this lives.
#[derive(Debug)]
pub struct Ports {
    /// The ports.
    pub numbers: Vec<u16>,
    _locks: Vec<File>,
}

impl Ports {
    /// So many of them.
    pub fn take(count: usize) -> Self {
        // One folder for all checkouts of a user: ports are the machine's.
        let user = std::fs::metadata("/proc/self").expect("/proc").uid();
        let folder = std::env::temp_dir().join(format!("mcplane-test-ports-{user}"));
        std::fs::create_dir_all(&folder).expect("folder of locks");
        let random = u16::from_str_radix(&random_hex(2), 16).expect("hexadecimal digits");
        let first = RANGE.start + random % RANGE.len() as u16;
        let (mut numbers, mut locks) = (Vec::new(), Vec::new());
        for number in (first..RANGE.end).chain(RANGE.start..first) {
            if numbers.len() == count {
                break;
            }
            let lock = File::create(folder.join(number.to_string())).expect("a lock");
            if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                numbers.push(number);
                locks.push(lock);
            }
        }
        assert_eq!(numbers.len(), count, "no free ports");
        Self { numbers, _locks: locks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_taken_twice() {
        let taken: Vec<Ports> = (0..20).map(|_| Ports::take(10)).collect();
        let mut all: Vec<u16> = taken.iter().flat_map(|ports| ports.numbers.clone()).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 200);
    }
}
