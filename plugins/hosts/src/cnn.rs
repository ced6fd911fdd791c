//! A plain convolutional network: blocks of conv, batch norm, ReLU and an optional pool, then a linear head.

use crate::images::{MemoryFormat, Norm};
use crate::settings::at_least_one;
use kasmina_plugin_api::ops::{batch_norm_relu, mean_linear};
use kasmina_plugin_api::prelude::*;
use tch::nn::Module;

/// Settings of the host `cnn`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CnnConfig {
    /// Channels of the input images.
    #[schemars(range(min = 1))]
    pub in_channels: i64,
    /// Number of classes of the task.
    #[schemars(range(min = 1))]
    pub num_classes: i64,
    /// Number of blocks. Each is followed by a slot.
    #[schemars(range(min = 2, max = 16))]
    pub n_blocks: usize,
    /// Channels of the first block; each further block has twice as many.
    #[schemars(range(min = 1, max = 4096))]
    pub base_channels: i64,
    /// Number of blocks, from the first on, that end in a 2x2 max pool; all blocks if absent.
    pub pool_layers: Option<usize>,
    /// Side of the square kernels in pixels; must be odd.
    #[schemars(range(min = 1, max = 15))]
    pub kernel_size: i64,
    /// Memory layout of the features.
    pub memory_format: MemoryFormat,
}

impl Default for CnnConfig {
    fn default() -> Self {
        Self {
            in_channels: 3,
            num_classes: 10,
            n_blocks: 3,
            base_channels: 32,
            pool_layers: None,
            kernel_size: 3,
            memory_format: MemoryFormat::ChannelsLast,
        }
    }
}

#[derive(Debug)]
struct Block {
    conv: nn::Conv2D,
    norm: Norm,
    pool: bool,
    channels: i64,
}

/// A network of convolutional blocks for small images, with a slot after each block.
///
/// # Shapes
/// Input: `[batch, in_channels, height, width]`. Output: `[batch, num_classes]`.
#[derive(Debug)]
pub struct Cnn {
    blocks: Vec<Block>,
    head: nn::Linear,
    memory_format: MemoryFormat,
}

impl Host for Cnn {
    const INFO: EntryInfo =
        EntryInfo::new("cnn", "conv-norm-relu blocks, a slot after each").topologies(&[Topology::CNN]);
    type Config = CnnConfig;

    fn build(vars: &nn::Path<'_>, config: CnnConfig) -> Result<Box<dyn HostModule>> {
        check_config(&config)?;
        let mut width = config.in_channels;
        let mut blocks = Vec::with_capacity(config.n_blocks);
        for i in 0..config.n_blocks {
            let vars = vars / format!("block{i}");
            let channels = config.base_channels << i;
            let conv = nn::ConvConfig { padding: config.kernel_size / 2, bias: false, ..Default::default() };
            blocks.push(Block {
                conv: nn::conv2d(&vars / "conv", width, channels, config.kernel_size, conv),
                norm: Norm::new(&(&vars / "norm"), channels),
                pool: config.pool_layers.is_none_or(|n| i < n),
                channels,
            });
            width = channels;
        }
        let head = nn::linear(vars / "head", width, config.num_classes, nn::LinearConfig::default());
        Ok(Box::new(Self { blocks, head, memory_format: config.memory_format }))
    }

    fn pytorch(_: &CnnConfig) -> Option<String> {
        Some(
            concat!(include_str!("../pytorch/batch_norm.py"), "\n\n", include_str!("../pytorch/cnn.py"))
                .to_owned(),
        )
    }
}

fn check_config(config: &CnnConfig) -> Result<()> {
    let wrong = |text: String| Err(PluginError::config(text));
    if !(2..=16).contains(&config.n_blocks) {
        return wrong(format!("n_blocks {} is not in 2..=16", config.n_blocks));
    }
    at_least_one(&[
        ("in_channels", config.in_channels),
        ("num_classes", config.num_classes),
        ("base_channels", config.base_channels),
    ])?;
    if config.base_channels > 4096 {
        return wrong(format!("base_channels {} is not at most 4096", config.base_channels));
    }
    if !(1..=15).contains(&config.kernel_size) || config.kernel_size % 2 == 0 {
        return wrong(format!("kernel_size {} is not an odd number in 1..=15", config.kernel_size));
    }
    Ok(())
}

impl HostModule for Cnn {
    fn slots(&self) -> Vec<SlotSpec> {
        let slots = self
            .blocks
            .iter()
            .enumerate()
            .map(|(i, block)| SlotSpec::new(format!("block{i}"), Topology::CNN, block.channels))
            .collect();
        SlotSpec::alias_thirds(slots)
    }

    fn forward(&mut self, x: &Tensor, taps: &mut Taps<'_>) -> Result<Tensor> {
        let train = taps.mode().is_train();
        let mut x = self.memory_format.convert(x)?;
        for (i, block) in self.blocks.iter().enumerate() {
            x = batch_norm_relu(&block.conv.forward(&x), &block.norm.parts(), train, block.pool)?;
            x = taps.at(i, x)?;
        }
        let Some(bias) = &self.head.bs else { return Err(PluginError::other("the head has no bias")) };
        mean_linear(&x, &self.head.ws, bias)
    }
}

kasmina_plugin_api::register_host!(Cnn);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visits::Visits;
    use tch::{Device, Kind};

    #[test]
    fn the_default_host_has_the_known_size_and_shapes() {
        let vars = nn::VarStore::new(Device::Cpu);
        let mut host = Cnn::build(&vars.root(), CnnConfig::default()).unwrap();
        let parameters: usize = vars.trainable_variables().iter().map(Tensor::numel).sum();
        assert_eq!(parameters, 94_762);
        let names: Vec<_> = host.slots().into_iter().map(|s| (s.name, s.aliases)).collect();
        assert_eq!(
            names,
            [("block0", "early"), ("block1", "mid"), ("block2", "late")]
                .map(|(n, a)| (n.to_owned(), vec![a.to_owned()]))
        );

        let mut visits = Visits::default();
        let x = Tensor::randn([2, 3, 32, 32], (Kind::Float, Device::Cpu));
        let y = host.forward(&x, &mut Taps::new(&mut visits, Mode::Eval)).unwrap();
        assert_eq!(y.size(), [2, 10]);
        assert_eq!(visits.sizes(), [vec![2, 32, 16, 16], vec![2, 64, 8, 8], vec![2, 128, 4, 4]]);
    }

    #[test]
    fn the_aliases_of_five_blocks_are_at_blocks_1_3_and_4() {
        let vars = nn::VarStore::new(Device::Cpu);
        let config = CnnConfig { n_blocks: 5, base_channels: 2, ..CnnConfig::default() };
        let host = Cnn::build(&vars.root(), config).unwrap();
        let aliased: Vec<_> =
            host.slots().into_iter().filter(|s| !s.aliases.is_empty()).map(|s| s.name).collect();
        assert_eq!(aliased, ["block1", "block3", "block4"]);
    }

    #[test]
    fn a_setting_out_of_range_is_refused_by_name() {
        let vars = nn::VarStore::new(Device::Cpu);
        let refused = |config: CnnConfig| Cnn::build(&vars.root(), config).err().unwrap().to_string();
        assert_contains(
            &refused(CnnConfig { n_blocks: 1, ..CnnConfig::default() }),
            "n_blocks 1 is not in 2..=16",
        );
        assert_contains(
            &refused(CnnConfig { kernel_size: 4, ..CnnConfig::default() }),
            "kernel_size 4 is not an odd",
        );
    }

    fn assert_contains(text: &str, part: &str) {
        assert!(text.contains(part), "{text}");
    }
}
