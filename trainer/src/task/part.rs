//! The training or validation data of a task on the device, and the batches made of them there.

use super::content;
use super::images::Pixels;
use super::order::{Draws, Order};
use crate::error::TrainError;
use tch::{Device, IndexOp as _, Kind, Tensor};

/// The training data or the validation data of a task.
#[derive(Debug)]
pub struct Part {
    rows: Rows,
    samples: i64,
    /// Number of labels in all samples together that are not ignored.
    targets: i64,
}

#[derive(Debug)]
enum Rows {
    /// Inputs of shape `[N, ...]` and labels of shape `[N]` or `[N, T]`.
    Samples { inputs: Tensor, labels: Tensor },
    /// Images stored as bytes, which are normalised in each batch; labels of shape `[N]`.
    Images { pixels: Pixels, labels: Tensor },
    /// Windows of one long sequence; the label of each position is the next token.
    Windows { tokens: Tokens, length: i64 },
}

/// A sequence of tokens in compact storage.
#[derive(Debug)]
pub(super) struct Tokens {
    /// Bytes or token numbers, of shape `[L]`.
    pub(super) stored: Tensor,
    /// Token number of each byte, of shape `[256]`. `None` if `stored` contains token numbers.
    pub(super) of_byte: Option<Tensor>,
    /// Device of the batches.
    pub(super) device: Device,
}

/// Label of positions that are not scored.
pub(super) const IGNORED: i64 = -100;

impl Part {
    pub(super) fn samples(inputs: Tensor, labels: Tensor) -> Result<Self, TrainError> {
        let targets = labels.f_ne(IGNORED)?.f_sum(Kind::Int64)?.f_int64_value(&[])?;
        let samples = labels.size().first().copied().unwrap_or(0);
        Ok(Self { rows: Rows::Samples { inputs, labels }, samples, targets })
    }

    pub(super) fn images(pixels: Pixels, labels: Tensor) -> Self {
        let samples = labels.size().first().copied().unwrap_or(0);
        Self { rows: Rows::Images { pixels, labels }, samples, targets: samples }
    }

    /// Creates a part of non-overlapping windows of `length` tokens, at most `limit` of them. Their number
    /// fits every offset of the first window below `length`.
    pub(super) fn windows(tokens: Tokens, length: i64, limit: Option<u32>) -> Self {
        let stored = tokens.stored.size().first().copied().unwrap_or(0);
        let whole = ((stored - length) / length).max(0);
        let samples = limit.map_or(whole, |limit| whole.min(limit.into()));
        Self { rows: Rows::Windows { tokens, length }, samples, targets: samples * length }
    }

    /// Returns the number of samples.
    pub fn len(&self) -> i64 {
        self.samples
    }
    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }
    /// Returns the number of labels in all samples together that are not ignored.
    pub fn targets(&self) -> i64 {
        self.targets
    }
    /// Returns the number of batches of an epoch.
    pub fn steps(&self, batch_size: u32) -> u64 {
        let (samples, batch) = (self.samples.unsigned_abs(), u64::from(batch_size.max(1)));
        let alone = batch > 1 && samples > batch && samples % batch == 1;
        samples.div_ceil(batch) - u64::from(alone)
    }
    /// Returns the number of samples in the batch that begins at sample `start`. A single last sample joins
    /// the batch before it, because the batch statistics of one sample are undefined.
    pub fn batch_len(&self, start: i64, batch_size: u32) -> i64 {
        let (left, batch) = (self.samples - start, i64::from(batch_size.max(1)));
        if batch > 1 && left == batch + 1 { left } else { left.min(batch) }
    }
    /// Returns the SHA-256 of the stored samples, in hexadecimal digits.
    ///
    /// # Errors
    /// If libtorch fails.
    pub fn content_hash(&self) -> Result<String, TrainError> {
        match &self.rows {
            Rows::Samples { inputs, labels } => content::hash(&[inputs, labels]),
            Rows::Images { pixels, labels } => content::hash(&[pixels.stored(), labels]),
            Rows::Windows { tokens, .. } => {
                let table = tokens.of_byte.as_ref();
                content::hash(&std::iter::once(&tokens.stored).chain(table).collect::<Vec<_>>())
            }
        }
    }

    /// Returns the device of the batches.
    pub fn device(&self) -> Device {
        match &self.rows {
            Rows::Samples { labels, .. } | Rows::Images { labels, .. } => labels.device(),
            Rows::Windows { tokens, .. } => tokens.device,
        }
    }

    /// Draws the order of an epoch from the run's seed and the epoch's number.
    ///
    /// # Errors
    /// If libtorch fails.
    pub fn order(&self, seed: u64, epoch: u32) -> Result<Order, TrainError> {
        let moves = match &self.rows {
            Rows::Images { pixels, .. } => pixels.moves(),
            _ => None,
        };
        let shifts = match &self.rows {
            Rows::Windows { length, .. } => *length,
            _ => 1,
        };
        Order::new(Draws { samples: self.samples, moves, shifts }, seed, epoch, self.device())
    }

    /// Returns the inputs and labels of the samples `start..start + len` of an order.
    ///
    /// # Shapes
    /// Inputs `[len, ...]`; labels `[len]` or `[len, T]`.
    ///
    /// # Errors
    /// If libtorch fails.
    pub fn batch(&self, order: &Order, start: i64, len: i64) -> Result<(Tensor, Tensor), TrainError> {
        let rows = order.rows.f_narrow(0, start, len)?;
        match &self.rows {
            Rows::Samples { inputs, labels } => {
                Ok((inputs.f_index_select(0, &rows)?, labels.f_index_select(0, &rows)?))
            }
            Rows::Images { pixels, labels } => {
                let moves = order.moves.as_ref().map(|moves| moves.f_narrow(0, start, len)).transpose()?;
                Ok((pixels.batch(&rows, moves.as_ref())?, labels.f_index_select(0, &rows)?))
            }
            Rows::Windows { tokens, length } => tokens.windows(*length, order.shift, &rows),
        }
    }

    /// Returns the inputs and labels of the samples `start..start + len` in their stored order, without
    /// augmentation.
    ///
    /// # Shapes
    /// As for [`batch`](Self::batch).
    ///
    /// # Errors
    /// If libtorch fails.
    pub fn slice(&self, start: i64, len: i64) -> Result<(Tensor, Tensor), TrainError> {
        match &self.rows {
            Rows::Samples { inputs, labels } => {
                Ok((inputs.f_narrow(0, start, len)?, labels.f_narrow(0, start, len)?))
            }
            Rows::Images { pixels, labels } => {
                Ok((pixels.slice(start, len)?, labels.f_narrow(0, start, len)?))
            }
            Rows::Windows { tokens, length } => {
                let rows = Tensor::f_arange_start(start, start + len, (Kind::Int64, tokens.stored.device()))?;
                tokens.windows(*length, 0, &rows)
            }
        }
    }
}

impl Tokens {
    /// Returns the inputs and labels of some windows, of which the first begins at token `shift`.
    ///
    /// # Shapes
    /// `rows`: indices of windows, `[n]`. Inputs and labels: `[n, length]`.
    fn windows(&self, length: i64, shift: i64, rows: &Tensor) -> Result<(Tensor, Tensor), TrainError> {
        let storage = self.stored.device();
        let all = self.stored.i(shift..).f_unfold(0, length + 1, length)?;
        let mut windows =
            all.f_index_select(0, &rows.f_to(storage)?)?.f_to(self.device)?.f_to_kind(Kind::Int64)?;
        if let Some(of_byte) = &self.of_byte {
            windows = of_byte.f_take(&windows)?;
        }
        let part = |start| windows.f_narrow(1, start, length)?.f_contiguous();
        Ok((part(0)?, part(1)?))
    }
}
