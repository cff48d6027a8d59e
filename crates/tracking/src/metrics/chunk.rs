//! Points as bytes: a column each of timestamps, steps and values.
//!
//! A chunk is the version, the number of points, and the columns. Timestamps and steps are differences to the one before,
//! as zigzag varints; values are eight bytes each, or what differs from the value before, whichever is less.

use super::types::Point;

const VERSION: u8 = 1;
/// Values as they are.
const PLAIN: u8 = 0;
/// Values as the bytes that differ from the value before.
const DIFFERENT: u8 = 1;

/// Why bytes are no chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// The bytes of some points.
pub(super) fn encode(points: &[Point]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + points.len() * 12);
    bytes.push(VERSION);
    put_varint(&mut bytes, points.len() as u64);
    put_column(&mut bytes, points.iter().map(|point| point.timestamp));
    put_column(&mut bytes, points.iter().map(|point| point.step));
    let start = bytes.len();
    bytes.push(DIFFERENT);
    let mut before = 0;
    for point in points {
        let bits = point.value.to_bits();
        put_different(&mut bytes, bits ^ before);
        before = bits;
    }
    if bytes.len() - start > 1 + 8 * points.len() {
        bytes.truncate(start);
        bytes.push(PLAIN);
        points.iter().for_each(|point| bytes.extend(point.value.to_bits().to_le_bytes()));
    }
    bytes
}

/// Adds the points of a chunk to `points`.
pub(super) fn decode(bytes: &[u8], points: &mut Vec<Point>) -> Result<(), Broken> {
    let mut input = Input(bytes);
    if input.byte()? != VERSION {
        return Err(Broken);
    }
    let count = usize::try_from(input.varint()?).map_err(|_| Broken)?;
    // A point takes three bytes at least: no small chunk makes a large list.
    if count > bytes.len() / 3 {
        return Err(Broken);
    }
    let start = points.len();
    let decoded = decode_columns(&mut input, count, points);
    if decoded.is_err() {
        points.truncate(start);
    }
    decoded
}

fn decode_columns(input: &mut Input<'_>, count: usize, points: &mut Vec<Point>) -> Result<(), Broken> {
    let start = points.len();
    points.reserve(count);
    let mut timestamp = 0_i64;
    for _ in 0..count {
        timestamp = timestamp.wrapping_add(input.difference()?);
        points.push(Point { timestamp, step: 0, value: 0.0 });
    }
    let points = &mut points[start..];
    let mut step = 0_i64;
    for point in points.iter_mut() {
        step = step.wrapping_add(input.difference()?);
        point.step = step;
    }
    match input.byte()? {
        PLAIN => {
            for point in points {
                point.value = f64::from_bits(u64::from_le_bytes(input.array()?));
            }
        }
        DIFFERENT => {
            let mut bits = 0;
            for point in points {
                bits ^= input.different()?;
                point.value = f64::from_bits(bits);
            }
        }
        _ => return Err(Broken),
    }
    if input.0.is_empty() { Ok(()) } else { Err(Broken) }
}

fn put_column(bytes: &mut Vec<u8>, numbers: impl Iterator<Item = i64>) {
    let mut before = 0_i64;
    for number in numbers {
        let difference = number.wrapping_sub(before);
        put_varint(bytes, ((difference << 1) ^ (difference >> 63)).cast_unsigned());
        before = number;
    }
}

fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// How many bytes are zero at the front and how many are kept, in four bits each, and then those.
fn put_different(bytes: &mut Vec<u8>, bits: u64) {
    if bits == 0 {
        return bytes.push(0);
    }
    let front = bits.leading_zeros() as usize / 8;
    let kept = 8 - front - bits.trailing_zeros() as usize / 8;
    bytes.push((front << 4 | kept) as u8);
    bytes.extend(&bits.to_be_bytes()[front..front + kept]);
}

struct Input<'b>(&'b [u8]);

impl Input<'_> {
    fn byte(&mut self) -> Result<u8, Broken> {
        let (first, rest) = self.0.split_first().ok_or(Broken)?;
        self.0 = rest;
        Ok(*first)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Broken)?;
        self.0 = rest;
        Ok(*array)
    }

    fn varint(&mut self) -> Result<u64, Broken> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(Broken);
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Broken)
    }

    fn difference(&mut self) -> Result<i64, Broken> {
        let number = self.varint()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn different(&mut self) -> Result<u64, Broken> {
        let lengths = self.byte()?;
        let (front, kept) = (usize::from(lengths >> 4), usize::from(lengths & 15));
        if front + kept > 8 || self.0.len() < kept {
            return Err(Broken);
        }
        let mut bytes = [0; 8];
        let (taken, rest) = self.0.split_at(kept);
        bytes[front..front + kept].copy_from_slice(taken);
        self.0 = rest;
        Ok(u64::from_be_bytes(bytes))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(bytes: &[u8]) -> Result<Vec<Point>, Broken> {
        let mut points = vec![];
        decode(bytes, &mut points).map(|()| points)
    }

    fn any_point() -> impl Strategy<Value = Point> {
        let small = (0..2_000_000_000_000_i64, 0..1000_i64, -1000..1000_i32)
            .prop_map(|(timestamp, step, value)| Point::new(timestamp, step, f64::from(value) / 8.0));
        let wild = (any::<i64>(), any::<i64>(), any::<f64>()).prop_map(|(t, s, v)| Point::new(t, s, v));
        prop_oneof![small, wild]
    }

    proptest! {
        #[test]
        fn chunks_hold_what_was_put_in(points in prop::collection::vec(any_point(), 0..100)) {
            prop_assert_eq!(decoded(&encode(&points)), Ok(points));
        }

        #[test]
        fn arbitrary_bytes_are_refused_or_read(mut bytes in prop::collection::vec(any::<u8>(), 0..200), versioned: bool) {
            if versioned {
                bytes.insert(0, VERSION);
            }
            let mut points = vec![Point::new(1, 2, 3.0)];
            if decode(&bytes, &mut points).is_err() {
                prop_assert_eq!(points, vec![Point::new(1, 2, 3.0)]);
            }
        }

        #[test]
        fn cut_chunks_are_refused(points in prop::collection::vec(any_point(), 1..50), at in 0.0..1.0) {
            let bytes = encode(&points);
            let end = (bytes.len() as f64 * at) as usize;
            prop_assert_eq!(decoded(&bytes[..end]), Err(Broken));
        }
    }

    #[test]
    fn usual_points_are_small() {
        let loss =
            |step: i64| Point::new(1_700_000_000_000 + step * 97, step, f64::from(1.0_f32 / (step as f32 + 3.0)));
        let points: Vec<Point> = (0..300).map(loss).collect();
        assert!(encode(&points).len() < 300 * 9, "{}", encode(&points).len());
        let constant: Vec<Point> = (0..300).map(|step| Point::new(step, step, 0.5)).collect();
        assert!(encode(&constant).len() < 300 * 4);
    }

    #[test]
    fn the_form_stays() {
        let points = [Point::new(10, 0, 1.0), Point::new(8, 1, 1.0)];
        assert_eq!(encode(&points), [1, 2, 20, 3, 0, 2, 1, 0x02, 0x3f, 0xf0, 0]);
        assert_eq!(decoded(&[2, 0, 0]), Err(Broken));
        assert_eq!(decoded(&[1, 0xff, 0xff, 0xff, 0xff, 0x0f]), Err(Broken), "a count that no memory would hold");
    }
}
