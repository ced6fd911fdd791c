//! What a network of a task reads and predicts: enough to use the network without the data it learned from.

use serde::{Deserialize, Serialize};

/// Inputs and outputs of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// What the network reads.
    pub input: Input,
    /// Names of the classes in the order of the outputs. For sequences they are the tokens.
    pub classes: Vec<String>,
}

/// What a network reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Images `[N, channels, height, width]`.
    Image(ImageInput),
    /// Sequences of token numbers `[N, T]`.
    Tokens(TokenInput),
}

/// Images as a network reads them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageInput {
    /// Number of channels: 1 for gray, 3 for RGB.
    pub channels: i64,
    /// Height in pixels.
    pub height: i64,
    /// Width in pixels.
    pub width: i64,
    /// Mean of each channel, of values from 0 to 1. It is subtracted first.
    pub mean: Vec<f64>,
    /// Standard deviation of each channel. Values are divided by it.
    pub deviation: Vec<f64>,
}

/// Sequences as a network reads them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenInput {
    /// Length in tokens that the network was trained with. It reads no longer sequences.
    pub length: i64,
    /// Text of each token, in the order of their numbers.
    pub alphabet: Vec<String>,
}

impl Interface {
    /// The interface of an image classifier.
    pub(super) fn image(input: ImageInput, classes: &[&str]) -> Self {
        Self { input: Input::Image(input), classes: classes.iter().map(|&name| name.to_owned()).collect() }
    }

    /// The interface of a network that predicts the next token.
    pub(super) fn tokens(length: i64, alphabet: Vec<String>) -> Self {
        Self { classes: alphabet.clone(), input: Input::Tokens(TokenInput { length, alphabet }) }
    }
}
