//! Description of a network's inputs and outputs, with which it can be used without its training data.

use serde::{Deserialize, Serialize};

/// Inputs and outputs of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// Inputs of the network.
    pub input: Input,
    /// Names of the classes in the order of the outputs. For sequences they are the tokens.
    pub classes: Vec<String>,
}

/// Inputs of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Images of shape `[N, channels, height, width]`.
    Image(ImageInput),
    /// Sequences of token numbers, of shape `[N, T]`.
    Tokens(TokenInput),
}

/// Size and normalisation of the images that a network reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageInput {
    /// Number of channels: 1 for gray, 3 for RGB.
    pub channels: i64,
    /// Height in pixels.
    pub height: i64,
    /// Width in pixels.
    pub width: i64,
    /// Mean of each channel, for values from 0 to 1. It is subtracted from the values.
    pub mean: Vec<f64>,
    /// Standard deviation of each channel. The differences from the mean are divided by it.
    pub deviation: Vec<f64>,
}

/// Length and alphabet of the sequences that a network reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenInput {
    /// Length of the training sequences in tokens. The network does not read longer ones.
    pub length: i64,
    /// Text of each token, in the order of the token numbers.
    pub alphabet: Vec<String>,
}

/// Largest side of an image in pixels, and largest length of a sequence in tokens.
const MAX_SIZE: i64 = 1 << 20;

impl TokenInput {
    /// Returns the text of tokens. Tokens that are not in the alphabet are left out.
    pub fn text(&self, tokens: &[i64]) -> String {
        let text = |token: &i64| self.alphabet.get(usize::try_from(*token).ok()?).map(String::as_str);
        tokens.iter().filter_map(text).collect()
    }
}

impl Interface {
    /// Creates the interface of an image classifier.
    pub(super) fn image(input: ImageInput, classes: &[&str]) -> Self {
        Self { input: Input::Image(input), classes: classes.iter().map(|&name| name.to_owned()).collect() }
    }

    /// Creates the interface of a network that predicts the next token.
    pub(super) fn tokens(length: i64, alphabet: Vec<String>) -> Self {
        Self { classes: alphabet.clone(), input: Input::Tokens(TokenInput { length, alphabet }) }
    }

    /// Checks a description that was read from a file: it has classes or an alphabet, and sizes above 0.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        match &self.input {
            Input::Image(image) => {
                let (sizes, channels) = ([image.channels, image.height, image.width], image.channels);
                if sizes.iter().any(|size| !(1..=MAX_SIZE).contains(size)) {
                    return Err(format!(
                        "it describes images of {sizes:?}; each size must be in 1..={MAX_SIZE}"
                    ));
                }
                let lengths = [image.mean.len(), image.deviation.len()];
                if lengths.iter().any(|length| i64::try_from(*length) != Ok(channels)) {
                    return Err(format!(
                        "it has mean and deviation of {lengths:?} channels for images of {channels}"
                    ));
                }
            }
            Input::Tokens(tokens) if !(1..=MAX_SIZE).contains(&tokens.length) => {
                return Err(format!(
                    "it describes sequences of {} tokens; they must be in 1..={MAX_SIZE}",
                    tokens.length
                ));
            }
            Input::Tokens(_) => {}
        }
        if self.classes.is_empty() { Err("it names no class and no token".to_owned()) } else { Ok(()) }
    }

    /// Describes the first difference between what a network reads and predicts (`self`) and what data
    /// contain; `None` if the network fits the data.
    pub fn difference(&self, data: &Self) -> Option<String> {
        match (&self.input, &data.input) {
            (Input::Image(network), Input::Image(data)) => {
                let size = |i: &ImageInput| format!("{} x {} x {}", i.channels, i.height, i.width);
                if size(network) != size(data) {
                    return Some(format!(
                        "the network reads images of {} (channels x height x width), the data are images of {}",
                        size(network),
                        size(data)
                    ));
                }
                if network != data {
                    return Some("the network reads images with another normalisation".to_owned());
                }
            }
            (Input::Tokens(network), Input::Tokens(data)) => {
                if let Some(text) = data.alphabet.iter().find(|text| !network.alphabet.contains(text)) {
                    return Some(format!("the data contain {text:?}, which the network does not know"));
                }
                if network.alphabet != data.alphabet {
                    return Some(format!(
                        "the network knows {} different tokens, the data contain {}",
                        network.alphabet.len(),
                        data.alphabet.len()
                    ));
                }
                if network.length != data.length {
                    return Some(format!(
                        "the network reads sequences of {} tokens, the data are sequences of {}",
                        network.length, data.length
                    ));
                }
            }
            (Input::Image(_), Input::Tokens(_)) => {
                return Some("the network reads images, the data are sequences of tokens".to_owned());
            }
            (Input::Tokens(_), Input::Image(_)) => {
                return Some("the network reads sequences of tokens, the data are images".to_owned());
            }
        }
        (self.classes != data.classes).then(|| {
            let names = |classes: &[String]| {
                let shown: Vec<&str> = classes.iter().take(3).map(String::as_str).collect();
                format!("{} classes ({}, ...)", classes.len(), shown.join(", "))
            };
            format!("the network predicts {}, the data have {}", names(&self.classes), names(&data.classes))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(width: i64, mean: f64, classes: &[&str]) -> Interface {
        let input = ImageInput { channels: 1, height: 8, width, mean: vec![mean], deviation: vec![1.0] };
        Interface::image(input, classes)
    }

    fn tokens(length: i64, alphabet: &str) -> Interface {
        Interface::tokens(length, alphabet.chars().map(String::from).collect())
    }

    #[test]
    fn a_description_without_sizes_or_classes_is_refused() {
        assert_eq!(image(8, 0.5, &["a"]).check(), Ok(()));
        assert_eq!(tokens(8, "ab").check(), Ok(()));
        assert!(image(0, 0.5, &["a"]).check().unwrap_err().contains("[1, 8, 0]"));
        assert!(image(8, 0.5, &[]).check().unwrap_err().contains("names no class"));
        assert!(tokens(0, "ab").check().unwrap_err().contains("sequences of 0 tokens"));
        assert!(tokens(8, "").check().unwrap_err().contains("no token"));
        let input = ImageInput { channels: 1, height: 8, width: 8, mean: Vec::new(), deviation: vec![1.0] };
        assert!(Interface::image(input, &["a"]).check().unwrap_err().contains("[0, 1] channels"));
    }

    #[test]
    fn a_difference_names_both_sides() {
        let network = image(8, 0.5, &["a", "b"]);
        assert_eq!(network.difference(&network.clone()), None);
        let differs = |data: &Interface| network.difference(data).unwrap();
        assert!(
            differs(&image(9, 0.5, &["a", "b"]))
                .contains("1 x 8 x 8 (channels x height x width), the data are images of 1 x 8 x 9")
        );
        assert!(differs(&image(8, 0.4, &["a", "b"])).contains("another normalisation"));
        assert!(
            differs(&image(8, 0.5, &["a", "c"]))
                .contains("2 classes (a, b, ...), the data have 2 classes (a, c, ...)")
        );
        assert!(differs(&tokens(8, "ab")).contains("sequences of tokens"));
        let network = tokens(8, "abc");
        assert_eq!(network.difference(&network.clone()), None);
        let differs = |data: &Interface| network.difference(data).unwrap();
        assert!(differs(&tokens(8, "abd")).contains("\"d\", which the network does not know"));
        assert!(differs(&tokens(8, "ab")).contains("3 different tokens, the data contain 2"));
        assert!(differs(&tokens(9, "abc")).contains("sequences of 8 tokens, the data are sequences of 9"));
        assert!(differs(&image(8, 0.5, &["a"])).contains("the data are images"));
    }
}
