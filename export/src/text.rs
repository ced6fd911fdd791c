//! Text of the user as tokens of a network.

use crate::{ExportError, Network};
use kasmina_trainer::task::{Input, TokenInput};
use tch::{Kind, Tensor};

/// Number of tokens that the message about an unknown character shows.
const SHOWN: usize = 20;

impl Network {
    /// Returns the inputs of a network that reads tokens.
    ///
    /// # Errors
    /// If the network reads pictures.
    pub fn token_input(&self) -> Result<&TokenInput, ExportError> {
        match &self.interface().input {
            Input::Tokens(input) => Ok(input),
            Input::Image(_) => Err(ExportError::ReadsNoText),
        }
    }

    /// Converts a text to tokens, on the device of the network.
    ///
    /// # Shapes
    /// Returns `[1, T]`, int64.
    ///
    /// # Errors
    /// If the network reads no text, or the text is empty or contains a character that the network does not
    /// know.
    pub fn tokens(&self, text: &str) -> Result<Tensor, ExportError> {
        let input = self.token_input()?;
        let mut tokens = Vec::new();
        for (position, character) in text.chars().enumerate() {
            let found = input.alphabet.iter().position(|known| known.chars().eq([character]));
            let Some(token) = found else {
                return Err(ExportError::UnknownCharacter {
                    character,
                    position: position + 1,
                    known: shown(&input.alphabet),
                });
            };
            tokens.push(token as i64);
        }
        if tokens.is_empty() {
            return Err(ExportError::EmptyPrompt);
        }
        Ok(Tensor::f_from_slice(&tokens)?.f_unsqueeze(0)?.f_to_kind(Kind::Int64)?.f_to(self.device())?)
    }
}

/// Describes the characters that a network knows.
fn shown(alphabet: &[String]) -> String {
    let first: String = alphabet.iter().take(SHOWN).map(String::as_str).collect();
    let rest = alphabet.len().saturating_sub(SHOWN);
    if rest == 0 { format!("{first:?}") } else { format!("{first:?} and {rest} more") }
}
