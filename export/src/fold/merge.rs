//! Merging a linear function into the weights of a layer.

use super::affine::Affine;
use super::place::{Place, Side};
use std::collections::BTreeMap;
use tch::{Kind, TchError, Tensor};

/// Replaces weight and bias of a layer. `host` contains the weights of the host by name, float32.
///
/// # Errors
/// Returns in words why it cannot be done; the weights are unchanged then.
pub(super) fn merge(
    host: &mut BTreeMap<String, Tensor>,
    place: &Place,
    affine: &Affine,
) -> Result<(), String> {
    let layer = &place.layer;
    let find = |name: &str| host.get(name).ok_or_else(|| format!("the host has no float32 weight `{name}`"));
    let weight = find(&layer.weight)?;
    let bias = layer.bias.as_deref().map(find).transpose()?;
    let failed = |error: TchError| format!("libtorch cannot merge it: {error}");
    let Some(blocks) = blocks(&affine.matrix, layer.groups).map_err(failed)? else {
        return Err(format!("it mixes the groups of channels of the convolution `{}`", layer.weight));
    };
    let merged = match place.side {
        Side::Before => into_output(weight, bias, affine, &blocks),
        Side::After => into_input(weight, bias, affine, &blocks),
    };
    let (weight, bias) = merged.map_err(failed)?;
    host.insert(layer.weight.clone(), weight);
    if let (Some(name), Some(bias)) = (&layer.bias, bias) {
        host.insert(name.clone(), bias);
    }
    Ok(())
}

/// A weight and a bias, float32.
type Merged = (Tensor, Option<Tensor>);

/// Returns weight and bias of the layer after the function: `W (M x + b) + c`.
///
/// # Shapes
/// `weight`: `[out, in / groups, ...]`, `bias`: `[out]`, `blocks`: `[groups, in / groups, in / groups]`; the
/// results as `weight` and `bias`.
fn into_input(
    weight: &Tensor,
    bias: Option<&Tensor>,
    affine: &Affine,
    blocks: &Tensor,
) -> Result<Merged, TchError> {
    let (shape, groups) = (weight.size(), blocks.size()[0]);
    let (out, inner) = (shape[0], shape[1]);
    let grouped = weight.f_to_kind(Kind::Double)?.f_reshape([groups, out / groups, inner, -1])?;
    let merged = Tensor::f_einsum("gock,gci->goik", &[&grouped, blocks], None::<i64>)?;
    let shift = affine.shift.f_reshape([groups, inner])?;
    let added = Tensor::f_einsum("gock,gc->go", &[&grouped, &shift], None::<i64>)?.f_reshape([out])?;
    let bias = bias.map(|bias| single(&bias.f_to_kind(Kind::Double)?.f_add(&added)?)).transpose()?;
    Ok((single(&merged.f_reshape(shape.as_slice())?)?, bias))
}

/// Returns weight and bias of the layer before the function: `M (W x + c) + b`.
///
/// # Shapes
/// As [`into_input`], with `blocks` of `[groups, out / groups, out / groups]`.
fn into_output(
    weight: &Tensor,
    bias: Option<&Tensor>,
    affine: &Affine,
    blocks: &Tensor,
) -> Result<Merged, TchError> {
    let (shape, groups) = (weight.size(), blocks.size()[0]);
    let grouped = weight.f_to_kind(Kind::Double)?.f_reshape([groups, shape[0] / groups, -1])?;
    let merged = blocks.f_bmm(&grouped)?.f_reshape(shape.as_slice())?;
    let moved = |bias: &Tensor| {
        let bias = bias.f_to_kind(Kind::Double)?;
        single(&affine.matrix.f_mv(&bias)?.f_add(&affine.shift)?)
    };
    Ok((single(&merged)?, bias.map(moved).transpose()?))
}

/// Returns the blocks on the diagonal of a matrix; `None` if there is something beside them.
///
/// # Shapes
/// `matrix`: `[C, C]`; result: `[groups, C / groups, C / groups]`.
fn blocks(matrix: &Tensor, groups: i64) -> Result<Option<Tensor>, TchError> {
    let size = matrix.size()[0] / groups.max(1);
    let blocks: Vec<Tensor> = (0..groups)
        .map(|group| matrix.f_narrow(0, group * size, size)?.f_narrow(1, group * size, size))
        .collect::<Result<_, _>>()?;
    let inside = Tensor::f_block_diag(&blocks)?.f_count_nonzero(None)?.f_int64_value(&[])?;
    let all = matrix.f_count_nonzero(None)?.f_int64_value(&[])?;
    if inside == all { Tensor::f_stack(&blocks, 0).map(Some) } else { Ok(None) }
}

fn single(tensor: &Tensor) -> Result<Tensor, TchError> {
    tensor.f_to_kind(Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kasmina_torch_ext::neighbours::Layer;
    use tch::Device;

    fn random(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu))
    }

    /// A function of six channels that keeps to blocks of a size.
    fn affine(block: i64) -> Affine {
        let parts: Vec<Tensor> = (0..6 / block).map(|_| random(&[block, block])).collect();
        let matrix = Tensor::block_diag(&parts).to_kind(Kind::Double);
        Affine { matrix, shift: random(&[6]).to_kind(Kind::Double), channels: 1 }
    }

    fn apply(x: &Tensor, affine: &Affine, channels: i64) -> Tensor {
        let (matrix, shift) = (affine.matrix.to_kind(Kind::Float), affine.shift.to_kind(Kind::Float));
        x.movedim_int(channels, -1).linear(&matrix, Some(&shift)).movedim_int(-1, channels)
    }

    fn place(side: Side, convolution: bool, groups: i64) -> Place {
        let (weight, bias) = ("w".to_owned(), Some("b".to_owned()));
        let layer = Layer { convolution, weight, bias, shared: false, groups, pads: false };
        Place { side, layer }
    }

    fn close(a: &Tensor, b: &Tensor) -> bool {
        a.allclose(b, 1e-4, 1e-4, false)
    }

    #[test]
    fn a_convolution_contains_the_function_on_both_sides() {
        for (groups, block) in [(1, 6), (2, 3), (3, 1), (6, 1)] {
            let function = affine(block);
            let (x, bias) = (random(&[2, 6, 5, 5]), random(&[6]));
            let weight = random(&[6, 6 / groups, 3, 3]);
            let convolve = |x: &Tensor, weight: &Tensor, bias: &Tensor| {
                x.conv2d(weight, Some(bias), [1, 1], [0, 0], [1, 1], groups)
            };
            for side in [Side::Before, Side::After] {
                let mut host = BTreeMap::from([
                    ("w".to_owned(), weight.shallow_clone()),
                    ("b".to_owned(), bias.shallow_clone()),
                ]);
                merge(&mut host, &place(side, true, groups), &function).unwrap();
                let found = convolve(&x, &host["w"], &host["b"]);
                let wanted = match side {
                    Side::Before => apply(&convolve(&x, &weight, &bias), &function, 1),
                    Side::After => convolve(&apply(&x, &function, 1), &weight, &bias),
                };
                assert!(close(&found, &wanted), "{side:?}, {groups} groups");
            }
        }
    }

    #[test]
    fn a_linear_layer_contains_the_function_on_both_sides() {
        let function = affine(6);
        let (x, weight, bias) = (random(&[2, 7, 6]), random(&[6, 6]), random(&[6]));
        for side in [Side::Before, Side::After] {
            let mut host = BTreeMap::from([
                ("w".to_owned(), weight.shallow_clone()),
                ("b".to_owned(), bias.shallow_clone()),
            ]);
            merge(&mut host, &place(side, false, 1), &function).unwrap();
            let found = x.linear(&host["w"], Some(&host["b"]));
            let wanted = match side {
                Side::Before => apply(&x.linear(&weight, Some(&bias)), &function, -1),
                Side::After => apply(&x, &function, -1).linear(&weight, Some(&bias)),
            };
            assert!(close(&found, &wanted), "{side:?}");
        }
    }

    #[test]
    fn a_function_that_mixes_groups_is_refused_and_changes_nothing() {
        let (weight, bias) = (random(&[6, 3, 1, 1]), random(&[6]));
        let mut host = BTreeMap::from([
            ("w".to_owned(), weight.shallow_clone()),
            ("b".to_owned(), bias.shallow_clone()),
        ]);
        let refused = merge(&mut host, &place(Side::After, true, 2), &affine(6)).unwrap_err();
        assert!(refused.contains("mixes the groups"), "{refused}");
        assert!(host["w"].equal(&weight) && host["b"].equal(&bias));
    }
}
