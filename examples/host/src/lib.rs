//! The host `dense`: densely connected convolutions, a slot after each, a linear head.
//!
//! The number of channels grows from block to block, so that the slots differ in width. This example shows a
//! host whose slots depend on its configuration, and the settings that the task `digits` sets in every host.

#![forbid(unsafe_code)]

use kasmina_plugin_api::ops::{channels_last, group_norm, mean_linear, norm_groups};
use kasmina_plugin_api::prelude::*;
use kasmina_plugin_api::tch::nn::Module;

/// Memory format of the features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(crate = "kasmina_plugin_api::serde", rename_all = "snake_case")]
#[schemars(crate = "kasmina_plugin_api::schemars")]
pub enum MemoryFormat {
    /// NHWC.
    ChannelsLast,
    /// NCHW.
    Contiguous,
}

/// The settings. Docs, types, defaults and ranges become the JSON Schema that is shown to users.
// The task of a run sets some of them: `digits` sets all six. The two `crate = ...` attributes let the
// derives find serde and schemars in the plugin API.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(crate = "kasmina_plugin_api::serde", default, deny_unknown_fields)]
#[schemars(crate = "kasmina_plugin_api::schemars")]
pub struct Config {
    /// Channels of the input images.
    #[schemars(range(min = 1, max = 4096))]
    pub in_channels: i64,
    /// Number of classes of the task.
    #[schemars(range(min = 1, max = 65536))]
    pub num_classes: i64,
    /// Number of blocks. There is a slot after each block.
    #[schemars(range(min = 1, max = 16))]
    pub n_blocks: usize,
    /// Channels that each block adds.
    #[schemars(range(min = 1, max = 4096))]
    pub base_channels: i64,
    /// Number of blocks, counted from the first, that end in 2x2 average pooling [default: all].
    pub pool_layers: Option<usize>,
    /// Memory format of the features.
    pub memory_format: MemoryFormat,
}

/// The values of settings that are not given.
impl Default for Config {
    fn default() -> Self {
        Self {
            in_channels: 3,
            num_classes: 10,
            n_blocks: 3,
            base_channels: 4,
            pool_layers: None,
            memory_format: MemoryFormat::ChannelsLast,
        }
    }
}

impl Config {
    /// Refuses values out of range: the schema only documents the ranges. The message states the value and
    /// the range.
    fn check(&self) -> Result<()> {
        let blocks = i64::try_from(self.n_blocks).unwrap_or(i64::MAX);
        for (name, value, most) in [
            ("in_channels", self.in_channels, 4096),
            ("num_classes", self.num_classes, 65_536),
            ("n_blocks", blocks, 16),
            ("base_channels", self.base_channels, 4096),
        ] {
            if !(1..=most).contains(&value) {
                return Err(PluginError::config(format!("{name} {value} is not in 1..={most}")));
            }
        }
        Ok(())
    }
}

/// The factory. It holds no tensor.
#[derive(Debug)]
pub struct Plan;

impl Host for Plan {
    // Stored in the library as data, so that it can be read without running code.
    const INFO: EntryInfo = EntryInfo::new("dense", "densely connected convolutions, a slot after each")
        .topologies(&[Topology::CNN]);
    type Config = Config;

    fn build(vars: &nn::Path<'_>, config: Config) -> Result<Box<dyn HostModule>> {
        config.check()?;
        let (width, same) = (config.base_channels, nn::ConvConfig { padding: 1, ..Default::default() });
        // Create all variables under `vars`, here and not later.
        let block = |(i, in_channels): (usize, i64)| {
            let vars = vars / format!("block{i}");
            Block {
                conv: nn::conv2d(&vars / "conv", in_channels, width, 3, same),
                weight: vars.ones("weight", &[width]),
                bias: vars.zeros("bias", &[width]),
                pool: config.pool_layers.is_none_or(|n| i < n),
                channels: in_channels + width,
            }
        };
        let blocks: Vec<Block> = (0..config.n_blocks).zip((1..).map(|i| i * width)).map(block).collect();
        let last = blocks.last().map_or(width, |block| block.channels);
        Ok(Box::new(Net {
            stem: nn::conv2d(vars / "stem", config.in_channels, width, 3, same),
            blocks,
            head_weight: vars.var(
                "head_weight",
                &[config.num_classes, last],
                nn::init::DEFAULT_KAIMING_UNIFORM,
            ),
            head_bias: vars.zeros("head_bias", &[config.num_classes]),
            memory_format: config.memory_format,
        }))
    }
}

#[derive(Debug)]
struct Block {
    conv: nn::Conv2D,
    weight: Tensor,
    bias: Tensor,
    pool: bool,
    /// Number of channels of the output: those of the input and those of the convolution.
    channels: i64,
}

/// The network. It does not implement `state`: a checkpoint needs only its variables.
#[derive(Debug)]
pub struct Net {
    stem: nn::Conv2D,
    blocks: Vec<Block>,
    head_weight: Tensor,
    head_bias: Tensor,
    memory_format: MemoryFormat,
}

impl HostModule for Net {
    // The slots in the order of `forward`. `alias_thirds` adds the aliases `early`, `mid` and `late`.
    fn slots(&self) -> Vec<SlotSpec> {
        let slot =
            |(i, block): (usize, &Block)| SlotSpec::new(format!("block{i}"), Topology::CNN, block.channels);
        SlotSpec::alias_thirds(self.blocks.iter().enumerate().map(slot).collect())
    }

    fn forward(&mut self, x: &Tensor, taps: &mut Taps<'_>) -> Result<Tensor> {
        let x = match self.memory_format {
            MemoryFormat::ChannelsLast => channels_last(x)?,
            MemoryFormat::Contiguous => x.shallow_clone(),
        };
        let mut x = self.stem.forward(&x);
        for (i, block) in self.blocks.iter().enumerate() {
            // Group normalization, because batch statistics would make samples depend on each other.
            let groups = norm_groups(block.weight.size()[0]);
            let branch =
                group_norm(&block.conv.forward(&x), groups, &block.weight, &block.bias)?.f_gelu("none")?;
            x = Tensor::f_cat(&[x, branch], 1)?;
            if block.pool && x.size().iter().skip(2).all(|side| *side >= 2) {
                x = x.f_avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None)?;
            }
            // Call each tap once, in order. Use the returned features, do not change them in place, and
            // return errors.
            x = taps.at(i, x)?;
        }
        mean_linear(&x, &self.head_weight, &self.head_bias)
    }
}

kasmina_plugin_api::register_host!(Plan);
kasmina_plugin_api::export_plugin!();

#[cfg(test)]
mod tests {
    use super::*;
    use kasmina_plugin_api::TapHandler;
    use kasmina_plugin_api::tch::{Device, Kind};

    /// Taps that return their features unchanged and record the slots.
    #[derive(Default)]
    struct Visited(Vec<usize>);

    impl TapHandler for Visited {
        fn at(&mut self, slot: usize, x: Tensor) -> Result<Tensor> {
            self.0.push(slot);
            Ok(x)
        }
    }

    #[test]
    fn it_visits_its_slots_in_order_and_returns_logits() {
        let vars = nn::VarStore::new(Device::Cpu);
        let mut host = Plan::build(&vars.root(), Config::default()).unwrap();
        let x = Tensor::randn([2, 3, 8, 8], (Kind::Float, Device::Cpu));
        let mut visited = Visited::default();
        let logits = host.forward(&x, &mut Taps::new(&mut visited, Mode::Train)).unwrap();
        assert_eq!((visited.0, logits.size()), (vec![0, 1, 2], vec![2, 10]));
        let widths: Vec<i64> = host.slots().iter().map(|slot| slot.channels).collect();
        assert_eq!(widths, [8, 12, 16]);
    }

    #[test]
    fn a_value_out_of_range_is_refused() {
        let vars = nn::VarStore::new(Device::Cpu);
        let error = Plan::build(&vars.root(), Config { n_blocks: 0, ..Config::default() }).err().unwrap();
        assert_eq!(error.message, "n_blocks 0 is not in 1..=16");
    }
}
