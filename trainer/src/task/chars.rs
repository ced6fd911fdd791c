//! The task `chars`: predicting the next character of any text file.

use super::interface::Interface;
use super::part::Tokens;
use super::{Part, Task};
use crate::config::DataConfig;
use crate::error::TrainError;
use kasmina_files::{limit, open_limited};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, IntoInnerError, Read as _, Seek as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use tch::{Device, Kind, Tensor};

pub(super) const ID: &str = "chars";
/// Equal parts of the text; the last of them is the validation data.
const PARTS: i64 = 10;
/// Number of different characters above which a warning is logged.
const LARGE_ALPHABET: usize = 5000;
/// Bytes of one logit, a float32.
const LOGIT_BYTES: f64 = 4.0;
/// Byte order mark that some programs write before a text. It is dropped.
const BYTE_ORDER_MARK: char = '\u{feff}';
/// Reason for refusing a text that differs when it is read a second time.
const CHANGED: &str = "it changed while it was read";
/// Number of bytes that are read at a time.
const CHUNK: usize = 1 << 20;

pub(super) fn load(data: &DataConfig, device: Device) -> Result<Task, TrainError> {
    let Some(path) = &data.text else {
        let reason = "no text file was named".to_owned();
        let help = "name a file of UTF-8 text with --text".to_owned();
        return Err(TrainError::Data { task: ID, reason, help });
    };
    let text = Text::survey(path).map_err(|reason| unreadable(path, &reason))?;
    if text.alphabet.len() < 2 {
        let reason =
            format!("it has {} different characters, so there is nothing to predict", text.alphabet.len());
        return Err(refused(path, &reason, "name a text with more than one"));
    }
    if text.alphabet.len() > LARGE_ALPHABET {
        tracing::warn!(
            "{} has {} different characters, and each is a class to predict, so the network's output takes {:.1} MB per \
             sample of {} characters; check that the file is a text",
            path.display(),
            text.alphabet.len(),
            (text.alphabet.len() as f64) * f64::from(data.sequence_length) * LOGIT_BYTES / 1e6,
            data.sequence_length
        );
    }
    let length = i64::from(data.sequence_length);
    let train = text.characters / PARTS * (PARTS - 1);
    let validation = text.characters - train;
    if text.characters / PARTS < 2 * length {
        let reason = format!(
            "{} characters are too few for sequences of {length}: a tenth of the text must contain two sequences",
            text.characters
        );
        return Err(refused(path, &reason, "name a longer text, or shorten data.sequence_length"));
    }
    let (stored, of_byte) = text.store(path)?;
    let of_byte = of_byte.map(|table| table.f_to(device)).transpose()?;
    let part = |start, len, limit| {
        // On a GPU the whole text is copied to its memory; on the CPU it stays a mapped file.
        let stored = stored.f_narrow(0, start, len)?.f_to(device)?;
        let tokens = Tokens { stored, of_byte: of_byte.as_ref().map(Tensor::shallow_clone), device };
        Ok::<_, TrainError>(Part::windows(tokens, length, limit))
    };
    let facts = serde_json::json!({
        "vocab_size": text.alphabet.len(), "block_size": length, "sample": [length], "tokens": true
    });
    Ok(Task {
        id: ID,
        train: part(0, train, data.train_samples)?,
        validation: part(train, validation, data.validation_samples)?,
        facts: facts.as_object().cloned().unwrap_or_default(),
        interface: Interface::tokens(length, text.alphabet.keys().map(char::to_string).collect()),
        validation_batch: 64,
    })
}

/// Counts of a text, from a first pass over it.
struct Text {
    bytes: i64,
    characters: i64,
    /// The different characters in the order of their code points, each with its token number.
    alphabet: BTreeMap<char, i32>,
}

impl Text {
    fn survey(path: &Path) -> Result<Self, String> {
        let (mut bytes, mut characters, mut alphabet) = (0, 0, BTreeMap::new());
        decode(path, |part| {
            bytes += part.len() as i64;
            for c in part.chars() {
                characters += 1;
                alphabet.insert(c, 0);
            }
            Ok(())
        })?;
        for (token, (_, place)) in (0..).zip(alphabet.iter_mut()) {
            *place = token;
        }
        Ok(Self { bytes, characters, alphabet })
    }

    /// Writes the text to an unnamed temporary file and maps it. If every character is one byte, the bytes
    /// are stored, and the second tensor is the table from bytes to tokens. Otherwise token numbers are
    /// stored.
    ///
    /// # Shapes
    /// First tensor: `[characters]`, `uint8` or `int32`. Second tensor: `[256]`, `int64`.
    fn store(&self, path: &Path) -> Result<(Tensor, Option<Tensor>), TrainError> {
        if self.bytes == self.characters {
            let mut table = vec![0_i64; 256];
            for (c, token) in &self.alphabet {
                if let Some(place) = table.get_mut(*c as usize) {
                    *place = i64::from(*token);
                }
            }
            let file = self.copy(path)?;
            let mapped = map(&file, self.bytes, Kind::Uint8)?;
            return Ok((mapped, Some(Tensor::f_from_slice(&table)?)));
        }
        let file = self.encode(path)?;
        Ok((map(&file, self.characters, Kind::Int)?, None))
    }

    /// Copies the text, so that a change of the original does not affect the run.
    fn copy(&self, path: &Path) -> Result<File, TrainError> {
        let failed = |error: std::io::Error| unwritable("it cannot be copied", &error);
        let mut file = temporary()?;
        let mut copied = 0;
        decode(path, |part| {
            copied += part.len() as i64;
            file.write_all(part.as_bytes()).map_err(failed)
        })
        .map_err(|reason| unreadable(path, &reason))?;
        if copied == self.bytes { Ok(file) } else { Err(unreadable(path, CHANGED)) }
    }

    /// Writes the token number of every character.
    fn encode(&self, path: &Path) -> Result<File, TrainError> {
        let failed = |error: std::io::Error| unwritable("its tokens cannot be written", &error);
        let mut file = BufWriter::new(temporary()?);
        decode(path, |part| {
            for c in part.chars() {
                let token = self.alphabet.get(&c).ok_or(CHANGED)?;
                file.write_all(&token.to_ne_bytes()).map_err(failed)?;
            }
            Ok(())
        })
        .map_err(|reason| unreadable(path, &reason))?;
        let file = file.into_inner().map_err(IntoInnerError::into_error);
        file.and_then(|mut file| file.rewind().map(|()| file)).map_err(|e| unreadable(path, &failed(e)))
    }
}

/// Makes an unnamed file in the temporary folder.
fn temporary() -> Result<File, TrainError> {
    tempfile::tempfile().map_err(|error| TrainError::Data {
        task: ID,
        reason: format!("cannot make a temporary file in {}: {error}", std::env::temp_dir().display()),
        help: "set TMPDIR to a writable folder with room for a copy of the text".to_owned(),
    })
}

/// Returns the reason why a temporary file could not be written.
fn unwritable(what: &str, error: &std::io::Error) -> String {
    format!("{what} into the temporary folder {} (TMPDIR): {error}", std::env::temp_dir().display())
}

/// Returns the error for a text that cannot be read, or whose tokens cannot be written.
fn unreadable(path: &Path, reason: &str) -> TrainError {
    refused(path, reason, "name a file of UTF-8 text with --text")
}

/// Returns the error for a text, with a remedy.
fn refused(path: &Path, reason: &str, help: &str) -> TrainError {
    TrainError::Data { task: ID, reason: format!("{}: {reason}", path.display()), help: help.to_owned() }
}

/// Maps an open file as a tensor of shape `[elements]`.
fn map(file: &File, elements: i64, kind: Kind) -> Result<Tensor, TrainError> {
    let name = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(Tensor::f_from_file(&name, false, elements, (kind, Device::Cpu))?)
}

/// Reads a UTF-8 text in chunks, because it may not fit into memory, and calls `each` with every chunk.
fn decode(path: &Path, mut each: impl FnMut(&str) -> Result<(), String>) -> Result<(), String> {
    let mut file = open_limited(path, limit::TEXT).map_err(|e| e.to_string())?;
    let (mut buffer, mut kept, mut read_before) = (vec![0; CHUNK], 0, 0_u64);
    let mut at_start = true;
    loop {
        let read = file.read(&mut buffer[kept..]).map_err(|e| e.to_string())?;
        let all = kept + read;
        let whole = match std::str::from_utf8(&buffer[..all]) {
            Ok(_) => all,
            // The last character continues in the next chunk.
            Err(error) if error.error_len().is_none() && read > 0 => error.valid_up_to(),
            Err(error) => {
                let at = read_before + error.valid_up_to() as u64;
                return Err(format!("byte {at} is not valid UTF-8"));
            }
        };
        if let Ok(part) = std::str::from_utf8(&buffer[..whole]) {
            let part = if at_start { part.strip_prefix(BYTE_ORDER_MARK).unwrap_or(part) } else { part };
            at_start &= whole == 0;
            each(part)?;
        }
        if read == 0 {
            return Ok(());
        }
        buffer.copy_within(whole..all, 0);
        kept = all - whole;
        read_before += whole as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(text: &[u8], length: u32) -> Result<Task, TrainError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let path = Some(file.path().to_owned());
        // The file is removed before a batch is made; its mapped copy remains.
        load(&DataConfig { text: path, sequence_length: length, ..DataConfig::default() }, Device::Cpu)
    }

    fn read(part: &Part, alphabet: &str) -> Vec<(String, String)> {
        let letters: Vec<char> = alphabet.chars().collect();
        let (x, y) = part.slice(0, part.len()).unwrap();
        let text = |t: &Tensor| {
            Vec::<i64>::try_from(t).unwrap().into_iter().map(|i| letters[i as usize]).collect::<String>()
        };
        (0..part.len()).map(|i| (text(&x.get(i)), text(&y.get(i)))).collect()
    }

    #[test]
    fn single_byte_and_multi_byte_texts_give_the_same_windows() {
        for (letters, text) in [("abc", "abc".repeat(40)), ("aß€", "aß€".repeat(40))] {
            let task = task(text.as_bytes(), 4).unwrap();
            assert_eq!(task.facts["vocab_size"], 3);
            // 108 training characters are 27 windows; one fewer is used, so that the first may start later.
            assert_eq!((task.train.len(), task.validation.len()), (26, 2));
            let windows = read(&task.train, letters);
            let at = |i: usize| letters.chars().nth(i % 3).unwrap();
            let whole: String = (0..5).map(at).collect();
            let split =
                |s: &str, from: usize, to: usize| s.chars().skip(from).take(to - from).collect::<String>();
            assert_eq!(windows[0], (split(&whole, 0, 4), split(&whole, 1, 5)));
            // An epoch has the same order each time, and the next epoch another.
            let x = |epoch| task.train.batch(&task.train.order(7, epoch).unwrap(), 0, 26).unwrap().0;
            assert!(x(1).equal(&x(1)) && !x(1).equal(&x(2)));
        }
    }

    #[test]
    fn invalid_short_and_uniform_texts_are_refused_with_the_reason() {
        assert!(task(b"good \xff bad", 4).unwrap_err().to_string().contains("byte 5 is not valid UTF-8"));
        assert!(
            task("cut \u{20ac}".as_bytes().split_last().unwrap().1, 4)
                .unwrap_err()
                .to_string()
                .contains("byte 4 is not valid UTF-8")
        );
        let short = task(b"too short", 4).unwrap_err().to_string();
        assert!(short.contains("9 characters are too few for sequences of 4"), "{short}");
        let one = task("a".repeat(100).as_bytes(), 4).unwrap_err().to_string();
        assert!(one.contains("it has 1 different characters, so there is nothing to predict"), "{one}");
    }

    #[test]
    fn a_text_larger_than_the_limit_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // A sparse file takes no room on the disk.
        file.as_file().set_len(limit::TEXT.bytes + 1).unwrap();
        let data = DataConfig { text: Some(file.path().to_owned()), ..DataConfig::default() };
        let error = load(&data, Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("it is larger than the limit of 68719476736 bytes"), "{error}");
    }

    #[test]
    fn a_byte_order_mark_is_dropped() {
        for text in ["abc", "aß€"] {
            let marked = format!("\u{feff}{}", text.repeat(40));
            let task = task(marked.as_bytes(), 4).unwrap();
            assert_eq!(task.facts["vocab_size"], 3);
            assert_eq!((task.train.len(), task.validation.len()), (26, 2));
        }
    }
}
