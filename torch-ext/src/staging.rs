//! Host memory for copies of tensors, so that another thread can write them to disk while training continues.

use crate::error::Result;
use std::ops::Range;
use tch::{Device, Kind, Tensor};

/// Alignment of each copy in the buffer, in bytes.
const ALIGNMENT: usize = 64;

/// Reusable host memory for copies of tensors. It may move between threads.
#[derive(Debug)]
pub struct HostBuffer {
    /// `[capacity]`, bytes on the CPU.
    bytes: Tensor,
    /// Bytes in use.
    used: usize,
}

impl HostBuffer {
    /// Allocates `capacity` bytes for copies from a device. For a GPU the memory is page-locked, so that the
    /// device writes into it directly.
    ///
    /// # Errors
    /// If there is not enough memory.
    pub fn new(capacity: usize, device: Device) -> Result<Self> {
        let bytes = Tensor::f_empty([capacity as i64], (Kind::Uint8, Device::Cpu))?;
        let bytes = if device.is_cuda() { bytes.f_pin_memory(device)? } else { bytes };
        Ok(Self { bytes, used: 0 })
    }

    /// Returns the number of bytes that copies of `tensors` take, alignment gaps included.
    ///
    /// # Shapes
    /// Any.
    pub fn needed<'t>(tensors: impl IntoIterator<Item = &'t Tensor>) -> usize {
        tensors.into_iter().map(|tensor| size_of(tensor).next_multiple_of(ALIGNMENT)).sum()
    }

    /// Size of the buffer in bytes.
    pub fn capacity(&self) -> usize {
        self.bytes.numel()
    }

    /// Discards all copies.
    pub fn clear(&mut self) {
        self.used = 0;
    }

    /// Copies a tensor's elements, contiguous in the order of its dimensions, and returns the byte range of
    /// the copy. Waits for the device.
    ///
    /// # Shapes
    /// Any.
    ///
    /// # Errors
    /// If the copy does not fit, or the device cannot be read.
    pub fn push(&mut self, tensor: &Tensor) -> Result<Range<usize>> {
        let (start, len) = (self.used, size_of(tensor));
        if len > 0 {
            let place = self.bytes.f_narrow(0, start as i64, len as i64)?;
            let mut place = place.f_view_dtype(tensor.kind())?.f_view(tensor.size().as_slice())?;
            tch::no_grad(|| place.f_copy_(tensor))?;
        }
        self.used = (start + len).next_multiple_of(ALIGNMENT);
        Ok(start..start + len)
    }

    /// Returns the bytes of a copy. A range outside of the buffer returns none.
    pub fn get(&self, range: Range<usize>) -> &[u8] {
        if range.is_empty() {
            return &[];
        }
        // SAFETY: the tensor is contiguous, on the CPU, and lives as long as `self`; nothing writes to it
        // while `self` is borrowed, because `push` takes `&mut self` and no handle on it is given out.
        let all = unsafe {
            std::slice::from_raw_parts(self.bytes.data_ptr().cast::<u8>().cast_const(), self.capacity())
        };
        all.get(range).unwrap_or_default()
    }
}

fn size_of(tensor: &Tensor) -> usize {
    tensor.numel() * tensor.kind().elt_size_in_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_the_elements_in_the_order_of_the_dimensions() {
        let a = Tensor::from_slice(&[1_f32, 2.0, 3.0, 4.0, 5.0, 6.0]).view([2, 3]);
        let tensors = [
            a.tr(),
            Tensor::from_slice(&[true, false]),
            Tensor::from(7_i64),
            Tensor::zeros([0], (Kind::Float, Device::Cpu)),
        ];
        let mut buffer = HostBuffer::new(HostBuffer::needed(&tensors), Device::Cpu).unwrap();
        for _ in 0..2 {
            buffer.clear();
            let places: Vec<_> = tensors.iter().map(|t| buffer.push(t).unwrap()).collect();
            let floats: Vec<f32> = buffer
                .get(places[0].clone())
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect();
            assert_eq!(floats, [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
            assert_eq!(buffer.get(places[1].clone()), [1, 0]);
            assert_eq!(buffer.get(places[2].clone()), 7_i64.to_le_bytes());
            assert!(buffer.get(places[3].clone()).is_empty());
        }
        assert!(buffer.push(&tensors[0]).is_err() || buffer.capacity() > 3 * ALIGNMENT);
    }
}
