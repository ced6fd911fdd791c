//! The task `addition`: generated integer additions, a common benchmark of small decoders.
//!
//! A sample is a text such as `407+085=2940`: two operands of a fixed number of digits, and the sum with its
//! digits reversed, so that each carry is known before the next digit. Only the digits after `=` are targets.

use super::interface::Interface;
use super::part::IGNORED;
use super::{Part, Task};
use crate::config::DataConfig;
use crate::error::TrainError;
use std::collections::HashSet;
use tch::{Device, Kind, Tensor};

pub(super) const ID: &str = "addition";
/// The ten digits, `+` and `=`.
const VOCABULARY: i64 = 12;
/// Text of each token.
const ALPHABET: [&str; VOCABULARY as usize] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "+", "="];
const PLUS: i64 = 10;
const EQUALS: i64 = 11;
const TRAIN: i64 = 4_000;
const VALIDATION: i64 = 1_000;
/// Maximum number of samples, because all of them are kept in memory.
const MAX_SAMPLES: i64 = 10_000_000;
/// Seed of the samples. It does not depend on the run's seed, so that all runs have the same data.
const SEED: u64 = 0x6b61_736d;

pub(super) fn load(data: &DataConfig, device: Device) -> Result<Task, TrainError> {
    let wrong = |field: &str, reason: String| TrainError::Setting { field: field.to_owned(), reason };
    let digits = data.operand_digits;
    let train = data.train_samples.map_or(TRAIN, i64::from);
    let validation = data.validation_samples.map_or(VALIDATION, i64::from);
    let (wanted, possible) = (train + validation, 10_i64.pow(2 * digits));
    if wanted > possible {
        let text =
            format!("{wanted} different sums were requested; with {digits} digits there are {possible}");
        return Err(wrong("data.train_samples", text));
    }
    if wanted > MAX_SAMPLES {
        let text = format!("{wanted} sums were requested; the maximum is {MAX_SAMPLES}");
        return Err(wrong("data.train_samples", text));
    }
    let sums = draw(wanted as usize, 10_u64.pow(digits));
    let length = i64::from(3 * digits + 2);
    let part = |sums: &[(u64, u64)]| {
        let rows: Vec<i64> = sums.iter().flat_map(|sum| tokens_of(*sum, digits)).collect();
        let rows = Tensor::f_from_slice(&rows)?.f_view([-1, length + 1])?;
        // The label at the position of `=` is the first digit of the answer.
        let (prompt, answer) = (i64::from(2 * digits + 1), i64::from(digits + 1));
        let ignored = Tensor::f_full([rows.size()[0], prompt], IGNORED, (Kind::Int64, Device::Cpu))?;
        let labels = Tensor::f_cat(&[ignored, rows.f_narrow(1, prompt + 1, answer)?], 1)?;
        Part::samples(rows.f_narrow(1, 0, length)?.f_contiguous()?.f_to(device)?, labels.f_to(device)?)
    };
    let (train, validation) = sums.split_at(train as usize);
    let facts = serde_json::json!({
        "vocab_size": VOCABULARY, "block_size": length, "sample": [length], "tokens": true
    });
    Ok(Task {
        id: ID,
        train: part(train)?,
        validation: part(validation)?,
        facts: facts.as_object().cloned().unwrap_or_default(),
        interface: Interface::tokens(length, ALPHABET.map(str::to_owned).to_vec()),
        validation_batch: 512,
    })
}

/// Returns `count` different pairs of numbers less than `below`.
fn draw(count: usize, below: u64) -> Vec<(u64, u64)> {
    let mut state = SEED;
    let mut next = || {
        // SplitMix64, written out so that the samples never change with a library.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    };
    let (mut seen, mut pairs) = (HashSet::new(), Vec::new());
    while pairs.len() < count {
        let pair = (next(), next());
        if seen.insert(pair) {
            pairs.push(pair);
        }
    }
    pairs
}

/// Returns the tokens of one sample: both operands, and their sum with its digits reversed.
fn tokens_of((a, b): (u64, u64), digits: u32) -> Vec<i64> {
    let reversed = |n: u64, digits: u32| (0..digits).map(move |i| (n / 10_u64.pow(i) % 10) as i64);
    let forward = |n: u64| reversed(n, digits).collect::<Vec<_>>().into_iter().rev();
    forward(a).chain([PLUS]).chain(forward(b)).chain([EQUALS]).chain(reversed(a + b, digits + 1)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_are_written_forwards_and_the_sum_backwards() {
        assert_eq!(tokens_of((407, 85), 3), [4, 0, 7, 10, 0, 8, 5, 11, 2, 9, 4, 0]);
    }

    #[test]
    fn only_the_answer_is_a_target_and_no_sum_is_in_both_parts() {
        let task = load(&DataConfig::default(), Device::Cpu).unwrap();
        let (x, y) = task.validation.slice(0, 1).unwrap();
        let (x, y) = (Vec::<i64>::try_from(x.squeeze()).unwrap(), Vec::<i64>::try_from(y.squeeze()).unwrap());
        let digits = DataConfig::default().operand_digits as usize;
        assert_eq!((x.len(), x[2 * digits + 1]), (3 * digits + 2, EQUALS));
        assert!(y[..=2 * digits].iter().all(|label| *label == IGNORED));
        assert!(y[2 * digits + 1..].iter().all(|label| (0..10).contains(label)));
        assert_eq!(task.validation.targets(), task.validation.len() * (digits as i64 + 1));

        let all = draw((TRAIN + VALIDATION) as usize, 1000);
        let (train, validation) = all.split_at(TRAIN as usize);
        let train: HashSet<_> = train.iter().collect();
        assert!(validation.iter().all(|pair| !train.contains(pair)));
    }

    #[test]
    fn more_samples_than_different_sums_are_refused() {
        let data = DataConfig { operand_digits: 1, ..DataConfig::default() };
        let error = load(&data, Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("5000 different sums were requested; with 1 digits there are 100"), "{error}");
    }
}
