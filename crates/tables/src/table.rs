//! One table, written row by row: a row group is held in memory, column by column.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Compression, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

use crate::schema::Schema;

/// Rows of a row group at most.
const ROWS: usize = 1 << 17;
/// Bytes of text of a row group, about.
const TEXT: usize = 32 << 20;

/// A value of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell<'a> {
    /// None.
    Null,
    /// A number: an offset, a length, a count.
    Int(u64),
    /// A number that may be negative: a moment.
    Signed(i64),
    /// Yes or no.
    Flag(bool),
    /// Text, or bytes: the schema says which.
    Bytes(&'a [u8]),
    /// A list of words.
    Words(&'a [&'static str]),
}

impl<'a> From<&'a str> for Cell<'a> {
    fn from(text: &'a str) -> Self {
        Self::Bytes(text.as_bytes())
    }
}

impl<'a, T: Into<Cell<'a>>> From<Option<T>> for Cell<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl From<u64> for Cell<'_> {
    fn from(number: u64) -> Self {
        Self::Int(number)
    }
}

impl From<bool> for Cell<'_> {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// The values of a column that are not null.
enum Values {
    Int64(Vec<i64>),
    Int32(Vec<i32>),
    Flag(Vec<bool>),
    /// One text behind the other, and where each ends.
    Bytes(Vec<u8>, Vec<usize>),
}

/// A column of the row group that is being gathered.
struct Column {
    values: Values,
    optional: bool,
    list: bool,
    /// For optional columns and lists: whether there is a value.
    definitions: Vec<i16>,
    /// For lists: whether the value belongs to the row of the one before.
    repetitions: Vec<i16>,
}

/// A Parquet file that rows are added to.
pub(crate) struct Table<W: Write + Send> {
    schema: Schema,
    writer: SerializedFileWriter<W>,
    columns: Vec<Column>,
    rows: usize,
    text: usize,
    /// What the rows of this row group have in common.
    group: Option<usize>,
}

impl<W: Write + Send> Table<W> {
    /// Begins `schema` on `out`.
    pub(crate) fn new(schema: Schema, out: W) -> Result<Self> {
        let message = Arc::new(parse_message_type(schema.message)?);
        let note = |key: &str, value: &str| KeyValue::new(key.to_owned(), value.to_owned());
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_created_by(concat!("hexz ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_key_value_metadata(Some(vec![
                note("hexz.schema", "1"),
                note("hexz.table", schema.name),
            ]))
            .build();
        let writer = SerializedFileWriter::new(out, message, Arc::new(properties))?;
        let columns = writer.schema_descr().columns().iter().map(|column| {
            let values = match column.physical_type() {
                Physical::INT64 => Values::Int64(Vec::new()),
                Physical::INT32 => Values::Int32(Vec::new()),
                Physical::BOOLEAN => Values::Flag(Vec::new()),
                _ => Values::Bytes(Vec::new(), Vec::new()),
            };
            Column {
                values,
                optional: column.max_def_level() > 0,
                list: column.max_rep_level() > 0,
                definitions: Vec::new(),
                repetitions: Vec::new(),
            }
        });
        let columns = columns.collect();
        Ok(Self {
            schema,
            writer,
            columns,
            rows: 0,
            text: 0,
            group: None,
        })
    }

    /// Adds a row: a cell for each column. Rows of different `group`s are never in one row group.
    pub(crate) fn row(&mut self, group: Option<usize>, cells: &[Cell<'_>]) -> Result<()> {
        if cells.len() != self.columns.len() {
            return Err(wrong(&self.schema, "a row has another number of cells"));
        }
        if self.rows >= ROWS || self.text >= TEXT || self.rows > 0 && self.group != group {
            self.flush()?;
        }
        self.group = group;
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            self.text += column
                .put(*cell)
                .map_err(|text| wrong(&self.schema, text))?;
        }
        self.rows += 1;
        Ok(())
    }

    /// Writes what is left, and the footer.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.flush()?;
        let mut out = self.writer.into_inner()?;
        out.flush().map_err(ParquetError::from)
    }

    fn flush(&mut self) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let order = self.order();
        let mut group = self.writer.next_row_group()?;
        for column in &mut self.columns {
            column.write(&mut group, order.as_deref())?;
        }
        group.close()?;
        (self.rows, self.text) = (0, 0);
        Ok(())
    }

    /// The rows by place, where they don't lie so already.
    fn order(&self) -> Option<Vec<usize>> {
        let place = self.columns.get(self.schema.place?)?;
        let Values::Int64(places) = &place.values else {
            return None;
        };
        if places.is_sorted() {
            return None;
        }
        let mut order: Vec<usize> = (0..self.rows).collect();
        order.sort_by_key(|row| places.get(*row));
        Some(order)
    }
}

fn wrong(schema: &Schema, text: &str) -> ParquetError {
    ParquetError::General(format!("table {}: {text}", schema.name))
}

impl Column {
    /// Adds a value; gives the bytes of its text.
    fn put(&mut self, cell: Cell<'_>) -> std::result::Result<usize, &'static str> {
        if let Cell::Words(words) = cell {
            return self.list(words);
        }
        let there = !matches!(cell, Cell::Null);
        if self.optional {
            self.definitions.push(i16::from(there));
        } else if !there {
            return Err("a value is missing");
        }
        match (&mut self.values, cell) {
            (_, Cell::Null) => {}
            (Values::Int64(to), Cell::Int(number)) => {
                to.push(i64::try_from(number).map_err(|_| "a number is past 63 bits")?);
            }
            (Values::Int64(to), Cell::Signed(number)) => to.push(number),
            (Values::Int32(to), Cell::Int(number)) => {
                to.push(i32::try_from(number).map_err(|_| "a number is past 31 bits")?);
            }
            (Values::Flag(to), Cell::Flag(flag)) => to.push(flag),
            (Values::Bytes(to, ends), Cell::Bytes(bytes)) => {
                to.extend_from_slice(bytes);
                ends.push(to.len());
                return Ok(bytes.len());
            }
            _ => return Err("a value is of another type than its column"),
        }
        Ok(0)
    }

    fn list(&mut self, words: &[&'static str]) -> std::result::Result<usize, &'static str> {
        let (Values::Bytes(to, ends), true) = (&mut self.values, self.list) else {
            return Err("a list is in a column that is none");
        };
        if words.is_empty() {
            self.definitions.push(0);
            self.repetitions.push(0);
        }
        for (n, word) in words.iter().enumerate() {
            to.extend_from_slice(word.as_bytes());
            ends.push(to.len());
            self.definitions.push(1);
            self.repetitions.push(i16::from(n > 0));
        }
        Ok(words.iter().map(|word| word.len()).sum())
    }

    /// Writes the column, its rows in `order` (lists and nulls are in tables without one).
    fn write<W: Write + Send>(
        &mut self,
        group: &mut SerializedRowGroupWriter<'_, W>,
        order: Option<&[usize]>,
    ) -> Result<()> {
        let places = order.map(|order| self.value_order(order));
        let places = places.as_deref();
        let definitions = match order.filter(|_| self.optional && !self.list) {
            Some(order) => permuted(&self.definitions, order),
            None => std::mem::take(&mut self.definitions),
        };
        let levels = Levels {
            definitions: self.optional.then_some(definitions),
            repetitions: self.list.then(|| std::mem::take(&mut self.repetitions)),
        };
        match &mut self.values {
            Values::Int64(values) => levels.write::<Int64Type, W>(group, take(values, places)),
            Values::Int32(values) => levels.write::<Int32Type, W>(group, take(values, places)),
            Values::Flag(values) => levels.write::<BoolType, W>(group, take(values, places)),
            Values::Bytes(text, ends) => {
                let text = Bytes::from(std::mem::take(text));
                let mut start = 0;
                let mut values: Vec<ByteArray> = std::mem::take(ends)
                    .into_iter()
                    .map(|end| ByteArray::from(text.slice(std::mem::replace(&mut start, end)..end)))
                    .collect();
                levels.write::<ByteArrayType, W>(group, take(&mut values, places))
            }
        }?;
        self.definitions.clear();
        Ok(())
    }

    /// From an order of rows to one of values: rows that are null have none.
    fn value_order(&self, order: &[usize]) -> Vec<usize> {
        if !self.optional {
            return order.to_vec();
        }
        let mut values = 0..;
        let numbers: Vec<Option<usize>> = self
            .definitions
            .iter()
            .map(|there| (*there > 0).then(|| values.next()).flatten())
            .collect();
        let number = |row: &usize| numbers.get(*row).copied().flatten();
        order.iter().filter_map(number).collect()
    }
}

fn permuted<T: Clone>(values: &[T], order: &[usize]) -> Vec<T> {
    let value = |at: &usize| values.get(*at).cloned();
    order.iter().filter_map(value).collect()
}

/// The values in `order`; none stay.
fn take<T: Clone>(values: &mut Vec<T>, order: Option<&[usize]>) -> Vec<T> {
    let values = std::mem::take(values);
    match order {
        Some(order) => permuted(&values, order),
        None => values,
    }
}

/// What says which rows have values.
struct Levels {
    definitions: Option<Vec<i16>>,
    repetitions: Option<Vec<i16>>,
}

impl Levels {
    fn write<D: DataType, W: Write + Send>(
        &self,
        group: &mut SerializedRowGroupWriter<'_, W>,
        values: Vec<D::T>,
    ) -> Result<()> {
        let Some(mut column) = group.next_column()? else {
            return Err(ParquetError::General("a column too many".to_owned()));
        };
        let (definitions, repetitions) = (self.definitions.as_deref(), self.repetitions.as_deref());
        column
            .typed::<D>()
            .write_batch(&values, definitions, repetitions)?;
        column.close()
    }
}

/// A Parquet error as one of input and output.
pub(crate) fn io_error(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}
