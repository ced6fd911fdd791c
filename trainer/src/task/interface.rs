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

impl Interface {
    /// Creates the interface of an image classifier.
    pub(super) fn image(input: ImageInput, classes: &[&str]) -> Self {
        Self { input: Input::Image(input), classes: classes.iter().map(|&name| name.to_owned()).collect() }
    }

    /// Creates the interface of a network that predicts the next token.
    pub(super) fn tokens(length: i64, alphabet: Vec<String>) -> Self {
        Self { classes: alphabet.clone(), input: Input::Tokens(TokenInput { length, alphabet }) }
    }
}
