//! Names of the same weights in other libraries.

use crate::config::WeightNames;

/// The name that a weight has in the host.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HostName {
    /// A weight of the host, and whether its two dimensions are exchanged in the file.
    Is(String, bool),
    /// A tensor of the file that the host does not need.
    Ignored,
}

/// Whose names a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Naming {
    /// Those of the host alone.
    Bare,
    /// Those of a checkpoint: the weights of the host begin with `host.`, and those of seeds with `slot.`.
    Checkpoint,
    /// Those of an export for PyTorch: all begin with `network.`, and those of seeds with `network.slots.`.
    Export,
    /// Those of transformers.
    Gpt2,
    /// Those of torchvision.
    Torchvision,
}

impl Naming {
    /// Returns the naming of a file. `is_bare` tells that it was written with the host's own names, which may
    /// look like others.
    pub(super) fn of(names: WeightNames, is_bare: bool, found: &[&str]) -> Self {
        let all = |prefixes: &[&str]| {
            found.iter().all(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
        };
        match names {
            WeightNames::Gpt2 => Self::Gpt2,
            WeightNames::Torchvision => Self::Torchvision,
            WeightNames::Host if is_bare => Self::Bare,
            WeightNames::Host if all(&["network."]) => Self::Export,
            WeightNames::Host if all(&["host.", "slot."]) => Self::Checkpoint,
            WeightNames::Host => Self::Bare,
        }
    }

    /// Returns the host's name of a weight.
    pub(super) fn host_name(self, name: &str) -> HostName {
        let behind = |prefix: &str| {
            name.strip_prefix(prefix).map_or(HostName::Ignored, |bare| HostName::Is(bare.to_owned(), false))
        };
        match self {
            Self::Bare => HostName::Is(name.to_owned(), false),
            Self::Checkpoint => behind("host."),
            Self::Export if name.starts_with("network.slots.") => HostName::Ignored,
            Self::Export => behind("network."),
            Self::Gpt2 => gpt2(name),
            Self::Torchvision => torchvision(name),
        }
    }
}

/// `GPT2LMHeadModel` and `GPT2Model` of transformers. Its linear layers are stored as `[in, out]`, and the
/// head is the embedding of the tokens.
fn gpt2(name: &str) -> HostName {
    let name = name.strip_prefix("transformer.").unwrap_or(name);
    let is = |name: &str| HostName::Is(name.to_owned(), false);
    match name {
        "lm_head.weight" => return HostName::Ignored,
        "wte.weight" => return is("tokens"),
        "wpe.weight" => return is("positions"),
        _ => {}
    }
    if let Some(last) = name.strip_prefix("ln_f.") {
        return is(&format!("norm.{last}"));
    }
    let parts: Vec<&str> = name.split('.').collect();
    let (block, layer, last) = match parts[..] {
        // Causal masks, which older versions saved.
        ["h", _, "attn", "bias" | "masked_bias"] => return HostName::Ignored,
        ["h", block, norm @ ("ln_1" | "ln_2"), last] => {
            return is(&format!("block{block}.norm{}.{last}", &norm[3..]));
        }
        ["h", block, "attn", "c_attn", last] => (block, "qkv", last),
        ["h", block, "attn", "c_proj", last] => (block, "project", last),
        ["h", block, "mlp", "c_fc", last] => (block, "widen", last),
        ["h", block, "mlp", "c_proj", last] => (block, "narrow", last),
        _ => return is(name),
    };
    HostName::Is(format!("block{block}.{layer}.{last}"), last == "weight")
}

/// `torchvision.models.ResNet` of basic blocks, whose layers 1 to 3 are the stages of the host.
fn torchvision(name: &str) -> HostName {
    let parts: Vec<&str> = name.split('.').collect();
    let is = |name: String| HostName::Is(name, false);
    let stage = |layer: &str| layer.strip_prefix("layer").and_then(|n| n.parse::<u32>().ok()?.checked_sub(1));
    match parts[..] {
        [.., "num_batches_tracked"] => HostName::Ignored,
        ["conv1", last] => is(format!("stem.{last}")),
        ["bn1", last] => is(format!("stem_norm.{last}")),
        ["fc", last] => is(format!("head.{last}")),
        [layer, block, "downsample", part @ ("0" | "1"), last] => {
            let Some(stage) = stage(layer) else { return is(name.to_owned()) };
            let part = if part == "0" { "shortcut" } else { "shortcut_norm" };
            is(format!("stage{stage}.block{block}.{part}.{last}"))
        }
        [layer, block, part @ ("conv1" | "conv2" | "bn1" | "bn2"), last] => {
            let Some(stage) = stage(layer) else { return is(name.to_owned()) };
            is(format!("stage{stage}.block{block}.{}.{last}", part.replace("bn", "norm")))
        }
        _ => is(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_libraries_are_those_of_the_host() {
        let is = |naming: Naming, name, wanted: &str, transposed| {
            assert_eq!(naming.host_name(name), HostName::Is(wanted.to_owned(), transposed), "{name}");
        };
        let gpt2 = |name, wanted, transposed| is(Naming::Gpt2, name, wanted, transposed);
        gpt2("transformer.wte.weight", "tokens", false);
        gpt2("wpe.weight", "positions", false);
        gpt2("transformer.h.11.ln_2.bias", "block11.norm2.bias", false);
        gpt2("transformer.h.0.attn.c_attn.weight", "block0.qkv.weight", true);
        gpt2("transformer.h.0.attn.c_attn.bias", "block0.qkv.bias", false);
        gpt2("transformer.h.3.mlp.c_proj.weight", "block3.narrow.weight", true);
        gpt2("transformer.ln_f.weight", "norm.weight", false);
        assert_eq!(Naming::Gpt2.host_name("lm_head.weight"), HostName::Ignored);
        assert_eq!(Naming::Gpt2.host_name("transformer.h.0.attn.masked_bias"), HostName::Ignored);
        let torchvision = |name, wanted| is(Naming::Torchvision, name, wanted, false);
        torchvision("conv1.weight", "stem.weight");
        torchvision("bn1.running_var", "stem_norm.running_var");
        torchvision("layer1.0.bn2.weight", "stage0.block0.norm2.weight");
        torchvision("layer3.1.downsample.1.bias", "stage2.block1.shortcut_norm.bias");
        torchvision("layer4.0.conv1.weight", "stage3.block0.conv1.weight");
        torchvision("fc.bias", "head.bias");
        assert_eq!(Naming::Torchvision.host_name("bn1.num_batches_tracked"), HostName::Ignored);
    }

    #[test]
    fn the_names_of_the_whole_file_tell_what_it_is() {
        let naming = |is_bare, names: &[&str]| Naming::of(WeightNames::Host, is_bare, names);
        let checkpoint = naming(false, &["host.stem.weight", "slot.block0.seed.gain"]);
        assert_eq!(checkpoint.host_name("host.stem.weight"), HostName::Is("stem.weight".to_owned(), false));
        assert_eq!(checkpoint.host_name("slot.block0.seed.gain"), HostName::Ignored);
        let export = naming(false, &["network.stem.weight", "network.slots.block0.gain"]);
        assert_eq!(export.host_name("network.stem.weight"), HostName::Is("stem.weight".to_owned(), false));
        assert_eq!(export.host_name("network.slots.block0.gain"), HostName::Ignored);
        // A module of somebody may have such names itself.
        for (is_bare, names) in
            [(false, ["network.0.weight", "head.bias"]), (true, ["network.0.weight", "network.1.bias"])]
        {
            for name in names {
                let own = naming(is_bare, &names).host_name(name);
                assert_eq!(own, HostName::Is(name.to_owned(), false));
            }
        }
    }
}
