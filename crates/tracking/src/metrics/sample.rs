//! Fewer points for a chart.

use super::types::Point;

/// At most `most` of the points, evenly over all of them in the order of steps, the last always among them.
pub(super) fn sample(mut points: Vec<Point>, most: usize) -> Vec<Point> {
    points.sort_unstable_by(Point::by_step);
    let total = points.len();
    let Some(last) = points.last().copied() else { return points };
    if total <= most {
        return points;
    }
    // The first of each of `most` buckets, whose sizes differ by one at most, the larger ones in front.
    let (size, larger) = (total / most, total % most);
    let mut sampled: Vec<Point> = (0..most).map(|bucket| points[bucket * size + bucket.min(larger)]).collect();
    if let Some(end) = sampled.last_mut() {
        *end = last;
    }
    sampled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_even_and_keep_both_ends() {
        let steps = |total: i64, most| -> Vec<i64> {
            let points = (0..total).rev().map(|step| Point::new(0, step, 1.0)).collect();
            sample(points, most).iter().map(|point| point.step).collect()
        };
        assert_eq!(steps(5, 9), [0, 1, 2, 3, 4]);
        assert_eq!(steps(5, 3), [0, 2, 4]);
        assert_eq!(steps(10, 4), [0, 3, 6, 9]);
        assert_eq!(steps(5, 1), [4]);
        assert_eq!(steps(0, 3), [0; 0]);
        assert_eq!(steps(100_000, 2500).len(), 2500);
    }
}
