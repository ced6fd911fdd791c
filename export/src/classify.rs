//! Classification of pictures.

use crate::{ExportError, Network};
use kasmina_trainer::task::{Input, read_picture};
use serde::{Deserialize, Serialize, Serializer};
use std::path::{Path, PathBuf};
use tch::{Kind, Tensor};

/// Number of pictures that are computed at a time.
const BATCH: usize = 64;

/// The classes of one picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Classified {
    /// Path of the picture. It is written as text, in which bytes that are not UTF-8 are replaced.
    #[serde(serialize_with = "as_text")]
    pub path: PathBuf,
    /// The most probable classes, the first one first.
    pub classes: Vec<Ranked>,
}

/// A class with its probability.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ranked {
    /// Name of the class.
    pub class: String,
    /// Probability, 0 to 1.
    pub probability: f64,
}

impl Network {
    /// Classifies pictures, and returns the `top` most probable classes of each.
    ///
    /// # Errors
    /// If the network reads no images, a file is no picture of the size that it reads, or a plugin fails.
    pub fn classify(&mut self, paths: &[PathBuf], top: usize) -> Result<Vec<Classified>, ExportError> {
        let Input::Image(input) = self.interface().input.clone() else {
            return Err(ExportError::ReadsNoImages);
        };
        let mut all = Vec::new();
        for paths in paths.chunks(BATCH) {
            let pictures =
                paths.iter().map(|path| read_picture(path, &input)).collect::<Result<Vec<_>, _>>()?;
            let x = Tensor::f_stack(&pictures, 0)?.f_to(self.device())?;
            let logits = self.forward(&x)?;
            for (path, logits) in paths.iter().zip(logits.f_unbind(0)?) {
                all.push(self.ranked(path, &logits, top)?);
            }
        }
        Ok(all)
    }

    /// Returns the most probable classes of one picture.
    ///
    /// # Shapes
    /// `logits`: `[classes]`, or more than there are names.
    fn ranked(&self, path: &Path, logits: &Tensor, top: usize) -> Result<Classified, ExportError> {
        let names = &self.interface().classes;
        let named = logits.f_narrow(0, 0, names.len() as i64)?;
        let probabilities = named.f_to_kind(Kind::Double)?.f_softmax(0, Kind::Double)?;
        let count = top.clamp(1, names.len()) as i64;
        let (values, indices) = probabilities.f_topk(count, 0, true, true)?;
        let (values, indices) = (Vec::<f64>::try_from(values)?, Vec::<i64>::try_from(indices)?);
        let ranked = indices.into_iter().zip(values).filter_map(|(index, probability)| {
            let class = names.get(usize::try_from(index).ok()?)?.clone();
            Some(Ranked { class, probability })
        });
        Ok(Classified { path: path.to_owned(), classes: ranked.collect() })
    }
}

fn as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}
