//! A part of a task's data, on the device, and the batches that are made of it there.

use super::content;
use super::images::Pixels;
use super::order::{Draws, Order};
use crate::error::TrainError;
use tch::{Device, IndexOp as _, Kind, Tensor};

/// Data to learn from, or to be measured by.
#[derive(Debug)]
pub struct Part {
    rows: Rows,
    samples: i64,
    /// What is predicted and judged, in all samples together.
    targets: i64,
}

#[derive(Debug)]
enum Rows {
    /// As they are: inputs `[N, ..]` and labels `[N]` or `[N, T]`.
    Samples { inputs: Tensor, labels: Tensor },
    /// Bytes that become numbers in the batch.
    Images { pixels: Pixels, labels: Tensor },
    /// Windows of one long sequence; each position predicts the next.
    Windows { tokens: Tokens, length: i64 },
}

/// A sequence of tokens `[L]`, small as it is stored.
#[derive(Debug)]
pub(super) struct Tokens {
    pub(super) stored: Tensor,
    /// `[256]`: the token of each byte, where bytes are stored.
    pub(super) of_byte: Option<Tensor>,
    pub(super) device: Device,
}

/// A label that nothing is predicted for.
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

    /// Windows of `length` tokens that do not overlap, wherever within one length the first begins.
    pub(super) fn windows(tokens: Tokens, length: i64, most: Option<u32>) -> Self {
        let stored = tokens.stored.size().first().copied().unwrap_or(0);
        let whole = ((stored - length) / length).max(0);
        let samples = most.map_or(whole, |most| whole.min(most.into()));
        Self { rows: Rows::Windows { tokens, length }, samples, targets: samples * length }
    }

    /// How many samples it has.
    pub fn len(&self) -> i64 {
        self.samples
    }
    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }
    /// How many predictions are judged, in all samples together.
    pub fn targets(&self) -> i64 {
        self.targets
    }
    /// Number of batches of an epoch.
    pub fn steps(&self, batch_size: u32) -> u64 {
        let (samples, batch) = (self.samples.unsigned_abs(), u64::from(batch_size.max(1)));
        let alone = batch > 1 && samples > batch && samples % batch == 1;
        samples.div_ceil(batch) - u64::from(alone)
    }
    /// Samples of the batch that begins at one. A last sample is not left alone: batch statistics of one
    /// sample are no numbers, so the batch before it takes it in.
    pub fn batch_len(&self, start: i64, batch_size: u32) -> i64 {
        let (left, batch) = (self.samples - start, i64::from(batch_size.max(1)));
        if batch > 1 && left == batch + 1 { left } else { left.min(batch) }
    }
    /// SHA-256 of its samples as they are stored, in hexadecimal digits.
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

    /// Where its batches are made.
    pub fn device(&self) -> Device {
        match &self.rows {
            Rows::Samples { labels, .. } | Rows::Images { labels, .. } => labels.device(),
            Rows::Windows { tokens, .. } => tokens.device,
        }
    }

    /// The order of an epoch.
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

    /// A batch of an epoch, as its order has it.
    ///
    /// # Shapes
    /// Inputs `[n, ..]`; labels `[n]` or `[n, T]`.
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

    /// The samples as they lie, from one on.
    ///
    /// # Shapes
    /// As [`batch`](Self::batch).
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
    /// Inputs and labels `[n, length]` of the windows that begin `shift` tokens in.
    fn windows(&self, length: i64, shift: i64, rows: &Tensor) -> Result<(Tensor, Tensor), TrainError> {
        let home = self.stored.device();
        let all = self.stored.i(shift..).f_unfold(0, length + 1, length)?;
        let mut windows =
            all.f_index_select(0, &rows.f_to(home)?)?.f_to(self.device)?.f_to_kind(Kind::Int64)?;
        if let Some(of_byte) = &self.of_byte {
            windows = of_byte.f_take(&windows)?;
        }
        let part = |start| windows.f_narrow(1, start, length)?.f_contiguous();
        Ok((part(0)?, part(1)?))
    }
}
