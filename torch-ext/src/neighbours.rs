//! Finding the linear layers directly before and after marked features of a function.

use crate::callback::{ActiveTap, Failed, call_tap};
use crate::error::{Error, Result};
use crate::ffi;
use crate::traced::{NamedTensor, TracedModule};
use std::str::Split;
use tch::Tensor;

/// A linear layer or convolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Whether it is a convolution; otherwise it is linear in the last dimension.
    pub convolution: bool,
    /// Name of the weight; empty if the weight is computed.
    pub weight: String,
    /// Name of the bias; `None` if the layer has none.
    pub bias: Option<String>,
    /// Whether another operation uses the weight or the bias too, or the bias is computed.
    pub shared: bool,
    /// Groups of channels of a convolution.
    pub groups: i64,
    /// Whether a convolution pads its input.
    pub pads: bool,
}

/// What stands on one side of marked features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbour {
    /// Number of operations that read the features. On the side before the mark, the mark is one of them.
    pub readers: usize,
    /// Name of the operation: `linear`, `convolution`, or torch's name. Empty before the input and behind the
    /// output.
    pub operation: String,
    /// The layer, if the operation is one.
    pub layer: Option<Layer>,
    /// Dimensions over which the features are averaged before the operation.
    pub averaged: Vec<i64>,
}

/// What stands before and after marked features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Neighbours {
    /// The operation whose output is marked.
    pub before: Neighbour,
    /// The operation that reads the marked features.
    pub after: Neighbour,
}

/// Marks features for [`neighbours`].
///
/// # Shapes
/// Any; the output is the input.
///
/// # Errors
/// If libtorch fails.
pub fn mark(x: &Tensor) -> std::result::Result<Tensor, tch::TchError> {
    x.f_alias()
}

/// Runs a function of one tensor, and returns what stands before and after each [`mark`], in the order of the
/// marks.
///
/// # Shapes
/// `x`: as the function takes it.
///
/// # Errors
/// If the function fails.
pub fn neighbours<E>(
    variables: &[NamedTensor],
    x: &Tensor,
    function: &mut dyn FnMut(Tensor) -> std::result::Result<Tensor, E>,
) -> std::result::Result<Vec<Neighbours>, Failed<E>> {
    let module = TracedModule::new(variables).map_err(Failed::Torch)?;
    let mut tap = |_: usize, x: Tensor| function(x);
    let mut active = ActiveTap::new(&mut tap);
    let context: *mut ActiveTap<'_, E> = &raw mut active;
    let found = ffi::collect_bytes(|write, lines| {
        // SAFETY: module and input are live; the callback matches `context`, which outlives the call and is
        // not used elsewhere during it; `write` matches `lines`.
        unsafe { ffi::kte_neighbours(module.raw(), x.as_ptr(), call_tap::<E>, context.cast(), write, lines) }
    });
    let text = active.finish(found)?;
    parse(&String::from_utf8_lossy(&text)).map_err(Failed::Torch)
}

/// Parses the lines of the shim, two for each mark.
fn parse(text: &str) -> Result<Vec<Neighbours>> {
    let lines: Vec<Neighbour> =
        text.lines()
            .map(|line| neighbour(line.split('\t')))
            .collect::<Option<_>>()
            .ok_or_else(|| Error::Torch("the analysis of the trace wrote an unknown line".to_owned()))?;
    let pairs = lines.chunks_exact(2);
    Ok(pairs.map(|pair| Neighbours { before: pair[0].clone(), after: pair[1].clone() }).collect())
}

fn neighbour(mut fields: Split<'_, char>) -> Option<Neighbour> {
    fields.next()?;
    let readers = fields.next()?.parse().ok()?;
    // What is not a constant counts as the dimension of the samples.
    let averaged = fields.next()?.split_terminator(',').map(|d| d.parse().unwrap_or(0)).collect();
    let operation = fields.next()?.to_owned();
    let (weight, bias) = (fields.next()?.to_owned(), fields.next()?.to_owned());
    let (shared, groups, pads) = (fields.next()? == "1", fields.next()?.parse().ok()?, fields.next()? == "1");
    let convolution = operation == "convolution";
    let bias = (!bias.is_empty()).then_some(bias);
    let layer = (convolution || operation == "linear").then_some(Layer {
        convolution,
        weight,
        bias,
        shared,
        groups,
        pads,
    });
    Some(Neighbour { readers, operation, layer, averaged })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    /// A convolution, a mark, ReLU, a mark, a padded convolution of two groups, a mark, the average, and a
    /// linear layer.
    #[test]
    fn layers_before_and_after_marks_are_found() {
        let tensor = |shape: &[i64]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let (first, second, head, bias) =
            (tensor(&[4, 3, 1, 1]), tensor(&[6, 2, 3, 3]), tensor(&[5, 6]), tensor(&[5]));
        let named = |name: &str, tensor: &Tensor| NamedTensor {
            name: name.to_owned(),
            tensor: tensor.shallow_clone(),
            parameter: true,
        };
        let variables = [
            named("first", &first),
            named("second", &second),
            named("head.w", &head),
            named("head.b", &bias),
        ];
        let function = |x: Tensor| -> std::result::Result<Tensor, tch::TchError> {
            let x = x.f_conv2d(&first, None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1)?;
            let x = mark(&x)?.f_relu()?;
            let x = mark(&x)?.f_conv2d(&second, None::<&Tensor>, [1, 1], [1, 1], [1, 1], 2)?;
            let x = mark(&x)?.f_dropout(0.5, false)?.f_mean_dim([2, 3].as_slice(), false, None)?;
            x.f_linear(&head, Some(&bias))
        };
        let found = neighbours(&variables, &tensor(&[2, 3, 5, 5]), &mut { function }).unwrap();
        let told: Vec<String> = found
            .iter()
            .flat_map(|mark| [&mark.before, &mark.after])
            .map(|side| {
                let layer =
                    side.layer.as_ref().map(|l| (l.weight.as_str(), l.bias.as_deref(), l.groups, l.pads));
                format!("{} {:?} {:?} {}", side.operation, layer, side.averaged, side.readers)
            })
            .collect();
        assert_eq!(
            told,
            [
                "convolution Some((\"first\", None, 1, false)) [] 1",
                "relu None [] 1",
                "relu None [] 1",
                "convolution Some((\"second\", None, 2, true)) [] 1",
                "convolution Some((\"second\", None, 2, true)) [] 1",
                "linear Some((\"head.w\", Some(\"head.b\"), 1, false)) [2, 3] 1",
            ]
        );
    }

    #[test]
    fn weights_and_features_with_several_uses_are_told() {
        let weight = Tensor::randn([3, 3], (Kind::Float, Device::Cpu));
        let variables =
            [NamedTensor { name: "w".to_owned(), tensor: weight.shallow_clone(), parameter: true }];
        let function = |x: Tensor| -> std::result::Result<Tensor, tch::TchError> {
            let x = mark(&x.f_linear(&weight, None::<&Tensor>)?)?;
            x.f_linear(&weight, None::<&Tensor>)?.f_add(&x)
        };
        let x = Tensor::randn([2, 3], (Kind::Float, Device::Cpu));
        let found = neighbours(&variables, &x, &mut { function }).unwrap();
        assert!(found[0].before.layer.as_ref().unwrap().shared);
        assert_eq!(found[0].after.readers, 2);
    }
}
