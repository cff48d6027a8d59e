//! The values of the rows that events saw, each held once.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, BooleanBufferBuilder, RecordBatch, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{BatchCoalescer, filter_record_batch, interleave};
use arrow::datatypes::{Schema, SchemaRef};
use mcplane_core::{Error, Result};

use super::keys::NONE;
use crate::tables::{Table, fault};

/// Rows of a piece in which values are held, a power of two.
const PIECE: usize = 1 << 16;

/// Rows that are looked up for a column of the result at a time.
pub(super) struct Gathered {
    name: String,
    /// By feature, its values in pieces of [`PIECE`] rows, and a last piece of one null.
    pieces: Vec<Vec<ArrayRef>>,
    /// For each event the place of its row among those held; [`NONE`] if it saw none.
    places: Vec<u32>,
}

/// Reads the values of `features` in the rows that events saw: `rows` holds the row of each event, or [`NONE`].
pub(super) fn gather(table: &dyn Table, features: &[String], mut rows: Vec<u32>, total: usize) -> Result<Gathered> {
    let mut wanted = BooleanBufferBuilder::new(total);
    wanted.append_n(total, false);
    rows.iter().filter(|row| **row != NONE).for_each(|row| wanted.set_bit(*row as usize, true));
    let wanted = wanted.finish();
    let ranks = ranks(&wanted);
    for row in rows.iter_mut().filter(|row| **row != NONE) {
        *row = rank(&wanted, &ranks, *row as usize);
    }
    let names: Vec<&str> = features.iter().map(String::as_str).collect();
    let pieces = read(table, &names, &wanted)?;
    Ok(Gathered { name: table.name().to_owned(), pieces, places: rows })
}

/// How many bits are set before each stretch of 64.
fn ranks(bits: &BooleanBuffer) -> Vec<u32> {
    let mut before = 0;
    let count = |start: usize| {
        let rank = before;
        before += bits.slice(start, 64.min(bits.len() - start)).count_set_bits() as u32;
        rank
    };
    (0..bits.len()).step_by(64).map(count).collect()
}

/// How many bits are set before one.
fn rank(bits: &BooleanBuffer, ranks: &[u32], bit: usize) -> u32 {
    let start = bit / 64 * 64;
    ranks[bit / 64] + bits.slice(start, bit - start).count_set_bits() as u32
}

fn read(table: &dyn Table, names: &[&str], wanted: &BooleanBuffer) -> Result<Vec<Vec<ArrayRef>>> {
    let schema = projected(table, names);
    let mut coalescer = BatchCoalescer::new(Arc::clone(&schema), PIECE);
    let mut pieces: Vec<RecordBatch> = Vec::new();
    let mut start = 0;
    let changed = || fault(table.name(), "the file changed while it was read");
    for batch in table.scan(names)? {
        let batch = batch?;
        let end = start + batch.num_rows();
        if end > wanted.len() {
            return Err(changed());
        }
        let here = BooleanArray::new(wanted.slice(start, batch.num_rows()), None);
        start = end;
        if here.true_count() == 0 {
            continue;
        }
        let found = filter_record_batch(&batch, &here).map_err(Error::internal)?;
        // The file's own schema may say more of its columns, such as that they hold no null.
        let found = RecordBatch::try_new(Arc::clone(&schema), found.columns().to_vec()).map_err(Error::internal)?;
        coalescer.push_batch(found).map_err(Error::internal)?;
        while let Some(piece) = coalescer.next_completed_batch() {
            pieces.push(piece);
        }
    }
    if start != wanted.len() {
        return Err(changed());
    }
    coalescer.finish_buffered_batch().map_err(Error::internal)?;
    while let Some(piece) = coalescer.next_completed_batch() {
        pieces.push(piece);
    }
    let of_column = |name: &&str| {
        let place = schema.index_of(name).map_err(Error::internal)?;
        let mut column: Vec<ArrayRef> = pieces.iter().map(|piece| Arc::clone(piece.column(place))).collect();
        column.push(new_null_array(schema.field(place).data_type(), 1));
        Ok(column)
    };
    names.iter().map(of_column).collect()
}

/// Columns as they are read: in the table's order.
fn projected(table: &dyn Table, names: &[&str]) -> SchemaRef {
    let fields = table.schema().fields().iter().filter(|field| names.contains(&field.name().as_str()));
    Arc::new(Schema::new(fields.map(|field| field.as_ref().clone().with_nullable(true)).collect::<Vec<_>>()))
}

impl Gathered {
    /// Values of the features for a stretch of events, feature by feature.
    pub(super) fn columns(&self, start: usize, count: usize) -> Result<Vec<ArrayRef>> {
        let null = self.pieces.first().map_or(0, |pieces| pieces.len() - 1);
        let place = |place: &u32| match *place {
            NONE => (null, 0),
            place => (place as usize / PIECE, place as usize % PIECE),
        };
        let places = self.places.get(start..start + count);
        let places = places.ok_or_else(|| Error::bad_request("the events changed while they were read"))?;
        let places: Vec<(usize, usize)> = places.iter().map(place).collect();
        let values = |pieces: &Vec<ArrayRef>| {
            let pieces: Vec<&dyn Array> = pieces.iter().map(|piece| piece.as_ref()).collect();
            interleave(&pieces, &places).map_err(|error| fault(&self.name, error))
        };
        self.pieces.iter().map(values).collect()
    }

    /// Events that saw a row.
    pub(super) fn matched(&self) -> u64 {
        self.places.iter().filter(|place| **place != NONE).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_count_the_bits_before() {
        let bits: BooleanBuffer = (0..1000).map(|bit| bit % 3 == 0 || bit % 64 == 63).collect();
        let ranks = ranks(&bits);
        for bit in 0..1000 {
            assert_eq!(rank(&bits, &ranks, bit) as usize, bits.slice(0, bit).count_set_bits(), "{bit}");
        }
    }
}
