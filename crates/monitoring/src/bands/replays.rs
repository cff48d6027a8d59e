//! Nothing happens, a hundred times: with the defaults no stationary stream may alert, and each that changes must.

use super::{Band, Level, Reading, Watch};
use crate::statistics::{Bins, Share, Sorted, kolmogorov_smirnov_statistic, population_stability};

const EVALUATIONS: usize = 40;
const WINDOW: usize = 500;
const SLIDE: usize = 50;

/// Watches of a stream from uniform draws: accuracy, errors, latency, and drift of a column.
#[derive(Default)]
struct Monitor {
    watches: [Watch; 5],
}

struct Stream {
    accuracy: f64,
    errors: f64,
    mean_ms: f64,
    shift: f64,
}

const HEALTHY: Stream = Stream { accuracy: 0.955, errors: 0.008, mean_ms: 180.0, shift: 0.0 };

impl Monitor {
    /// The worst level that was reached.
    fn replay(&mut self, seed: u64, stream: &Stream) -> Level {
        let reference = Sorted::new(&draws(seed ^ 0xabc, 2_000));
        let bins = Bins::quantiles(&reference, 10).unwrap();
        let expected = bins.counts(&reference);
        let values = draws(seed, (WINDOW + EVALUATIONS * SLIDE) as u64);
        let chance = draws(seed ^ 0x123, values.len() as u64);
        let mut worst = Level::Normal;
        for at in 0..EVALUATIONS {
            let window = at * SLIDE..at * SLIDE + WINDOW;
            let (drawn, chance) = (&values[window.clone()], &chance[window]);
            let count = |share: f64| Share::new(chance.iter().filter(|c| **c < share).count() as u64, WINDOW as u64);
            // Latency with a long tail: exponential.
            let mean = chance.iter().map(|c| -stream.mean_ms * (1.0 - c).ln()).sum::<f64>() / WINDOW as f64;
            let column = Sorted::new(&drawn.iter().map(|v| v + stream.shift).collect::<Vec<_>>());
            let number = |value| Reading::Number { value, values: WINDOW as u64 };
            let readings = [
                (Band::ACCURACY, Reading::Share(count(stream.accuracy))),
                (Band::ERRORS, Reading::Share(count(stream.errors))),
                (Band::LATENCY, number(Some(mean))),
                (Band::STABILITY, number(population_stability(&expected, &bins.counts(&column)))),
                (Band::DISTANCE, number(kolmogorov_smirnov_statistic(&reference, &column))),
            ];
            for (watch, (band, reading)) in self.watches.iter_mut().zip(readings) {
                watch.step(&band, reading);
                worst = worst.max(watch.level());
            }
        }
        worst
    }
}

fn draws(seed: u64, n: u64) -> Vec<f64> {
    crate::statistics::uniform_draws(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15), n).collect()
}

#[test]
fn nothing_alarms_when_nothing_happens() {
    let alarms = (0..100).filter(|seed| Monitor::default().replay(*seed, &HEALTHY) == Level::Alert).count();
    assert_eq!(alarms, 0, "of 100 stationary replays with {EVALUATIONS} evaluations of five bands");
}

#[test]
fn each_fault_is_found() {
    for fault in [
        Stream { accuracy: 0.85, ..HEALTHY },
        Stream { errors: 0.08, ..HEALTHY },
        Stream { mean_ms: 700.0, ..HEALTHY },
        Stream { shift: 0.3, ..HEALTHY },
    ] {
        for seed in 0..20 {
            assert_eq!(Monitor::default().replay(seed, &fault), Level::Alert);
        }
    }
}
