//! Arrow's arrays as cells.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal32Type, Decimal64Type, Decimal128Type, Float16Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};

use crate::columns::Cell;

/// A batch, and where the file's columns are in it.
#[derive(Debug)]
pub(in crate::columns) struct ParquetBatch<'b> {
    pub(super) batch: &'b RecordBatch,
    pub(super) places: &'b [Option<usize>],
}

impl ParquetBatch<'_> {
    pub(in crate::columns) fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    #[inline]
    pub(in crate::columns) fn each<'s>(&'s self, column: usize, mut visit: impl FnMut(usize, Cell<'s>)) {
        let place = self.places.get(column).copied().flatten();
        let Some(array) = place.and_then(|place| self.batch.columns().get(place)) else { return };
        let array = array.as_ref();
        match array.data_type() {
            DataType::Boolean => {
                for (row, value) in array.as_boolean().iter().enumerate() {
                    visit(row, value.map_or(Cell::Null, Cell::Bool));
                }
            }
            DataType::Int8 => numbers::<Int8Type>(array, visit, |value| Cell::Int(value.into())),
            DataType::Int16 => numbers::<Int16Type>(array, visit, |value| Cell::Int(value.into())),
            DataType::Int32 => numbers::<Int32Type>(array, visit, |value| Cell::Int(value.into())),
            DataType::Int64 => numbers::<Int64Type>(array, visit, Cell::Int),
            DataType::UInt8 => numbers::<UInt8Type>(array, visit, |value| Cell::Int(value.into())),
            DataType::UInt16 => numbers::<UInt16Type>(array, visit, |value| Cell::Int(value.into())),
            DataType::UInt32 => numbers::<UInt32Type>(array, visit, |value| Cell::Int(value.into())),
            DataType::UInt64 => numbers::<UInt64Type>(array, visit, |value| {
                i64::try_from(value).map_or(Cell::Float(value as f64), Cell::Int)
            }),
            DataType::Float16 => numbers::<Float16Type>(array, visit, |value| Cell::Float(value.to_f64())),
            DataType::Float32 => numbers::<Float32Type>(array, visit, |value| Cell::Float(value.into())),
            DataType::Float64 => numbers::<Float64Type>(array, visit, Cell::Float),
            DataType::Decimal32(_, scale) => {
                let unit = 10_f64.powi(i32::from(*scale));
                numbers::<Decimal32Type>(array, visit, |value| Cell::Float(f64::from(value) / unit));
            }
            DataType::Decimal64(_, scale) => {
                let unit = 10_f64.powi(i32::from(*scale));
                numbers::<Decimal64Type>(array, visit, |value| Cell::Float(value as f64 / unit));
            }
            DataType::Decimal128(_, scale) => {
                let unit = 10_f64.powi(i32::from(*scale));
                numbers::<Decimal128Type>(array, visit, |value| Cell::Float(value as f64 / unit));
            }
            DataType::Date32 => numbers::<Date32Type>(array, visit, Cell::Date),
            DataType::Timestamp(unit, _) => times(array, *unit, visit),
            DataType::Utf8View => {
                for (row, value) in array.as_string_view().iter().enumerate() {
                    visit(row, value.map_or(Cell::Null, Cell::Text));
                }
            }
            DataType::BinaryView => {
                for (row, value) in array.as_binary_view().iter().enumerate() {
                    visit(row, value.map_or(Cell::Null, Cell::Bytes));
                }
            }
            DataType::FixedSizeBinary(_) => {
                for (row, value) in array.as_fixed_size_binary().iter().enumerate() {
                    visit(row, value.map_or(Cell::Null, Cell::Bytes));
                }
            }
            // Nothing else is read.
            _ => {}
        }
    }
}

#[inline]
fn numbers<'s, T: ArrowPrimitiveType>(
    array: &dyn Array,
    mut visit: impl FnMut(usize, Cell<'s>),
    cell: impl Fn(T::Native) -> Cell<'s>,
) {
    let array = array.as_primitive::<T>();
    if array.null_count() == 0 {
        for (row, value) in array.values().iter().enumerate() {
            visit(row, cell(*value));
        }
    } else {
        for (row, value) in array.iter().enumerate() {
            visit(row, value.map_or(Cell::Null, &cell));
        }
    }
}

/// Times in microseconds; what does not fit is the first or last moment.
fn times<'s>(array: &dyn Array, unit: TimeUnit, visit: impl FnMut(usize, Cell<'s>)) {
    match unit {
        TimeUnit::Second => {
            numbers::<TimestampSecondType>(array, visit, |at| Cell::Timestamp(at.saturating_mul(1_000_000)));
        }
        TimeUnit::Millisecond => {
            numbers::<TimestampMillisecondType>(array, visit, |at| Cell::Timestamp(at.saturating_mul(1_000)));
        }
        TimeUnit::Microsecond => numbers::<TimestampMicrosecondType>(array, visit, Cell::Timestamp),
        TimeUnit::Nanosecond => {
            numbers::<TimestampNanosecondType>(array, visit, |at| Cell::Timestamp(at.div_euclid(1_000)));
        }
    }
}
