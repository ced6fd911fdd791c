//! Inputs to try a network with.

use crate::ExportError;
use kasmina_trainer::task::{Input, Interface};
use tch::{Device, Kind, Tensor};

/// Numbers of samples. The first two are different primes, so that a trace tells them apart from other
/// numbers.
const SAMPLES: [i64; 3] = [3, 7, 2];

/// Returns three inputs of different batch sizes, and for sequences of different lengths.
///
/// # Shapes
/// Images `[N, C, H, W]`, tokens `[N, T]`.
pub(crate) fn examples(interface: &Interface, kind: Kind) -> Result<[Tensor; 3], ExportError> {
    let one = |index: usize| -> Result<Tensor, ExportError> {
        let samples = SAMPLES[index];
        Ok(match &interface.input {
            Input::Image(image) => {
                let shape = [samples, image.channels, image.height, image.width];
                let count = shape.iter().product::<i64>();
                Tensor::f_arange(count, (Kind::Float, Device::Cpu))?
                    .f_sin()?
                    .f_view(shape)?
                    .f_to_kind(kind)?
            }
            Input::Tokens(tokens) => {
                let shape = [samples, lengths(tokens.length)[index]];
                let known = (tokens.alphabet.len() as i64).max(1);
                let count = Tensor::f_arange(shape[0] * shape[1], (Kind::Int64, Device::Cpu))?;
                count.f_mul_scalar(7)?.f_remainder(known)?.f_view(shape)?
            }
        })
    };
    Ok([one(0)?, one(1)?, one(2)?])
}

/// Returns three lengths of sequences of at most `longest`: the two largest primes, and another one, as far
/// as there are.
fn lengths(longest: i64) -> [i64; 3] {
    let is_prime = |n: &i64| *n > 1 && (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0);
    let mut primes = (1..=longest).rev().filter(is_prime);
    let first = primes.next().unwrap_or(longest);
    let second = primes.next().unwrap_or(first);
    [first, second, (longest / 2).max(1)]
}

#[cfg(test)]
mod tests {
    use super::lengths;

    #[test]
    fn lengths_are_primes_that_the_network_reads() {
        assert_eq!(lengths(64), [61, 59, 32]);
        assert_eq!(lengths(11), [11, 7, 5]);
        assert_eq!(lengths(2), [2, 2, 1]);
        assert_eq!(lengths(1), [1, 1, 1]);
    }
}
