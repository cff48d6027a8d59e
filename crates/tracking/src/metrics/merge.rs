//! What a write makes of a metric: a function of what is there and what is new.

use std::collections::HashSet;

use super::types::Point;

/// Points of one chunk at most, and of each that is closed: an index is of those. A full chunk of usual points fits a page of
/// the database.
pub(super) const FULL: usize = 320;

/// What there is of a run's metric before a write.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) latest: Point,
    /// Points altogether.
    pub(super) points: i64,
    /// Chunks; all but the last are closed. A metric with one point has none.
    pub(super) chunks: i64,
    /// No closed chunk has a point after this time; `i64::MIN` if none is closed.
    pub(super) closed_to: i64,
    /// The points of the last chunk.
    pub(super) open: Vec<Point>,
}

impl Known {
    /// Whether closed chunks may hold one of `points`.
    pub(super) fn may_repeat(&self, points: &[Point]) -> bool {
        self.chunks > 1 && points.iter().any(|point| point.timestamp <= self.closed_to)
    }
}

/// What to write of a run's metric.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) latest: Point,
    pub(super) points: i64,
    pub(super) chunks: i64,
    pub(super) closed_to: i64,
    /// Chunks to write with their numbers; the first may be there.
    pub(super) written: Vec<(i64, Vec<Point>)>,
}

/// Adds the points of `new` that are neither `known` nor `closed`, the points of closed chunks in question. `None` if
/// there is no such point.
pub(super) fn merge(known: Option<Known>, closed: &[Point], new: &[Point]) -> Option<Change> {
    let fresh = fresh(known.as_ref(), closed, new);
    let first = *fresh.first()?;
    let (mut latest, mut open, points, chunks, mut closed_to) = match known {
        None => (first, vec![], 0, 0, i64::MIN),
        Some(known) if known.chunks == 0 => (known.latest, vec![known.latest], known.points, 0, known.closed_to),
        Some(known) => (known.latest, known.open, known.points, known.chunks, known.closed_to),
    };
    for point in &fresh {
        if point.is_later_than(&latest) {
            latest = *point;
        }
    }
    let total = points + fresh.len() as i64;
    if total == 1 {
        return Some(Change { latest, points: 1, chunks: 0, closed_to, written: vec![] });
    }
    let mut number = (chunks - 1).max(0);
    let mut written = Vec::new();
    for point in fresh {
        if open.len() >= FULL {
            closed_to = open.iter().map(|point| point.timestamp).max().unwrap_or(closed_to).max(closed_to);
            written.push((number, std::mem::take(&mut open)));
            number += 1;
        }
        open.push(point);
    }
    written.push((number, open));
    // In order, differences are small and readers have less to sort.
    written.iter_mut().for_each(|(_, points)| points.sort_by(Point::by_time));
    Some(Change { latest, points: total, chunks: number + 1, closed_to, written })
}

/// The points of `new` that are not there, each once, in the order given.
fn fresh(known: Option<&Known>, closed: &[Point], new: &[Point]) -> Vec<Point> {
    let times = new.iter().map(|point| point.timestamp);
    let (Some(from), Some(to)) = (times.clone().min(), times.max()) else { return vec![] };
    let open = known.iter().flat_map(|known| known.open.iter().chain([&known.latest]));
    // Most writes come after all that is there, so that this is empty.
    let there = open.chain(closed).filter(|point| (from..=to).contains(&point.timestamp));
    let mut seen: HashSet<_> = there.map(Point::identity).collect();
    new.iter().filter(|point| seen.insert(point.identity())).copied().collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn known(change: &Change) -> Known {
        let open = change.written.last().map(|(_, points)| points.clone()).unwrap_or_default();
        Known { latest: change.latest, points: change.points, chunks: change.chunks, closed_to: change.closed_to, open }
    }

    #[test]
    fn one_point_has_no_chunk_and_full_chunks_are_closed() {
        let point = |n: i64| Point::new(n, n, 0.5);
        let one = merge(None, &[], &[point(7)]).unwrap();
        assert_eq!((one.points, one.chunks, one.written.len()), (1, 0, 0));
        let points: Vec<Point> = (0..FULL as i64 + 1).map(point).collect();
        let many = merge(Some(known(&one)), &[], &points).unwrap();
        assert_eq!((many.points, many.chunks), (FULL as i64 + 1, 2), "the point that was there is not counted again");
        assert_eq!(many.closed_to, FULL as i64 - 1);
        assert!(known(&many).may_repeat(&[point(3)]) && !known(&many).may_repeat(&[point(FULL as i64)]));
        assert!(merge(Some(known(&many)), &[point(3)], &[point(3)]).is_none());
    }

    proptest! {
        /// A store in memory takes batches as the database does; a plain set is what it must be like.
        #[test]
        fn history_is_the_set_of_points(batches in prop::collection::vec(
            prop::collection::vec((0..20_i64, 0..4_i64, 0..4_u8), 1..200), 1..12))
        {
            let mut chunks: Vec<Vec<Point>> = vec![];
            let mut state: Option<Known> = None;
            let (mut set, mut latest) = (HashSet::new(), None::<Point>);
            for batch in batches {
                let value = |v: u8| if v == 3 { f64::NAN } else { f64::from(v) };
                let new: Vec<Point> = batch.iter().map(|(t, s, v)| Point::new(*t, *s, value(*v))).collect();
                for point in &new {
                    set.insert(point.identity());
                    if latest.is_none_or(|latest| point.is_later_than(&latest)) {
                        latest = Some(*point);
                    }
                }
                let closed: Vec<Point> = match &state {
                    Some(known) if known.may_repeat(&new) => chunks[..chunks.len() - 1].concat(),
                    _ => vec![],
                };
                if let Some(change) = merge(state.clone(), &closed, &new) {
                    for (number, points) in &change.written {
                        chunks.truncate(*number as usize);
                        chunks.push(points.clone());
                    }
                    prop_assert_eq!(change.chunks as usize, chunks.len());
                    state = Some(known(&change));
                }
                let state = state.as_ref().unwrap();
                let all: Vec<Point> = if chunks.is_empty() { vec![state.latest] } else { chunks.concat() };
                prop_assert_eq!(all.len(), set.len());
                prop_assert_eq!(state.points as usize, set.len());
                prop_assert_eq!(all.iter().map(Point::identity).collect::<HashSet<_>>(), set.clone());
                prop_assert_eq!(Some(state.latest), latest);
            }
        }
    }
}
