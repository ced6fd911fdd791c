//! The residual network for small images of He et al. (2015), section 4.2: `6n + 2` layers in three stages.

use crate::images::{MemoryFormat, Norm};
use crate::settings::at_least_one;
use kasmina_plugin_api::ops::{batch_norm_relu, mean_linear};
use kasmina_plugin_api::prelude::*;
use tch::nn::Module;

/// Shortcut of the blocks that halve the map and double the channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shortcut {
    /// Every second pixel, with zeros for the new channels; no parameters (option A of the paper).
    Pad,
    /// A strided 1x1 convolution and a batch normalisation (option B).
    Projection,
}

/// Settings of the host `resnet`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResNetConfig {
    /// Number of layers, `6n + 2`: for instance 8, 14, 20, 32, 44, 56 or 110.
    #[schemars(range(min = 8, max = 1202))]
    pub depth: i64,
    /// Channels of the input images.
    #[schemars(range(min = 1))]
    pub in_channels: i64,
    /// Number of classes of the task.
    #[schemars(range(min = 1))]
    pub num_classes: i64,
    /// Channels of the first stage; each further stage has twice as many.
    #[schemars(range(min = 1, max = 4096))]
    pub base_channels: i64,
    /// Shortcut of the blocks that change the shape.
    pub shortcut: Shortcut,
    /// Memory layout of the features.
    pub memory_format: MemoryFormat,
}

impl Default for ResNetConfig {
    fn default() -> Self {
        Self {
            depth: 20,
            in_channels: 3,
            num_classes: 10,
            base_channels: 16,
            shortcut: Shortcut::Pad,
            memory_format: MemoryFormat::ChannelsLast,
        }
    }
}

/// Number of stages. Each has half the resolution and twice the channels of the previous one.
const STAGES: i64 = 3;

fn conv3x3(vars: &nn::Path<'_>, from: i64, to: i64, stride: i64) -> nn::Conv2D {
    let init = nn::Init::Kaiming {
        dist: nn::init::NormalOrUniform::Normal,
        fan: nn::init::FanInOut::FanOut,
        non_linearity: nn::init::NonLinearity::ReLU,
    };
    let config = nn::ConvConfig { stride, padding: 1, bias: false, ws_init: init, ..Default::default() };
    nn::conv2d(vars, from, to, 3, config)
}

/// Shortcut of one block.
#[derive(Debug)]
enum SkipConnection {
    Identity,
    Pad { channels: i64 },
    Projection { conv: nn::Conv2D, norm: Norm },
}

#[derive(Debug)]
struct Block {
    conv1: nn::Conv2D,
    norm1: Norm,
    conv2: nn::Conv2D,
    norm2: Norm,
    skip: SkipConnection,
}

impl Block {
    fn new(vars: &nn::Path<'_>, from: i64, to: i64, stride: i64, shortcut: Shortcut) -> Self {
        let skip = match shortcut {
            _ if from == to && stride == 1 => SkipConnection::Identity,
            Shortcut::Pad => SkipConnection::Pad { channels: to - from },
            Shortcut::Projection => {
                let config = nn::ConvConfig { stride, bias: false, ..Default::default() };
                SkipConnection::Projection {
                    conv: nn::conv2d(vars / "shortcut", from, to, 1, config),
                    norm: Norm::new(&(vars / "shortcut_norm"), to),
                }
            }
        };
        Self {
            conv1: conv3x3(&(vars / "conv1"), from, to, stride),
            norm1: Norm::new(&(vars / "norm1"), to),
            conv2: conv3x3(&(vars / "conv2"), to, to, 1),
            norm2: Norm::new(&(vars / "norm2"), to),
            skip,
        }
    }

    fn forward(&self, x: &Tensor, train: bool) -> Result<Tensor> {
        let inner = batch_norm_relu(&self.conv1.forward(x), &self.norm1.parts(), train, false)?;
        let inner = self.norm2.forward(&self.conv2.forward(&inner), train)?;
        let skip = match &self.skip {
            SkipConnection::Identity => x.shallow_clone(),
            SkipConnection::Pad { channels } => {
                let half = x.f_slice(2, None, None, 2)?.f_slice(3, None, None, 2)?;
                half.f_constant_pad_nd([0, 0, 0, 0, 0, *channels])?
            }
            SkipConnection::Projection { conv, norm } => norm.forward(&conv.forward(x), train)?,
        };
        Ok(inner.f_add(&skip)?.f_relu()?)
    }
}

/// The residual network, with a slot after each stage.
///
/// # Shapes
/// Input: `[batch, in_channels, height, width]`. Output: `[batch, num_classes]`.
#[derive(Debug)]
pub struct ResNet {
    stem: nn::Conv2D,
    stem_norm: Norm,
    stages: Vec<Vec<Block>>,
    head: nn::Linear,
    base_channels: i64,
    memory_format: MemoryFormat,
}

impl Host for ResNet {
    const INFO: EntryInfo =
        EntryInfo::new("resnet", "residual network of 6n + 2 layers, a slot after each stage")
            .topologies(&[Topology::CNN]);
    type Config = ResNetConfig;

    fn build(vars: &nn::Path<'_>, config: ResNetConfig) -> Result<Box<dyn HostModule>> {
        let blocks = check_config(&config)?;
        let stem = conv3x3(&(vars / "stem"), config.in_channels, config.base_channels, 1);
        let stem_norm = Norm::new(&(vars / "stem_norm"), config.base_channels);
        let mut width = config.base_channels;
        let mut stages = Vec::new();
        for stage in 0..STAGES {
            let channels = config.base_channels << stage;
            let mut parts = Vec::new();
            for block in 0..blocks {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let vars = vars / format!("stage{stage}") / format!("block{block}");
                parts.push(Block::new(&vars, width, channels, stride, config.shortcut));
                width = channels;
            }
            stages.push(parts);
        }
        let head = nn::linear(vars / "head", width, config.num_classes, nn::LinearConfig::default());
        let ResNetConfig { base_channels, memory_format, .. } = config;
        Ok(Box::new(Self { stem, stem_norm, stages, head, base_channels, memory_format }))
    }

    fn pytorch(_: &ResNetConfig) -> Option<String> {
        Some(
            concat!(include_str!("../pytorch/batch_norm.py"), "\n\n", include_str!("../pytorch/resnet.py"))
                .to_owned(),
        )
    }
}

/// Checks the settings; returns the number of blocks per stage.
fn check_config(config: &ResNetConfig) -> Result<i64> {
    at_least_one(&[
        ("in_channels", config.in_channels),
        ("num_classes", config.num_classes),
        ("base_channels", config.base_channels),
    ])?;
    if config.base_channels > 4096 {
        return Err(PluginError::config(format!(
            "base_channels {} is not at most 4096",
            config.base_channels
        )));
    }
    if !(8..=1202).contains(&config.depth) || (config.depth - 2) % 6 != 0 {
        let text = format!("depth {} is not 6n + 2 in 8..=1202: 8, 14, 20, 32, 44, 56, 110", config.depth);
        return Err(PluginError::config(text));
    }
    Ok((config.depth - 2) / 6)
}

impl HostModule for ResNet {
    fn slots(&self) -> Vec<SlotSpec> {
        let slots = (0..STAGES)
            .map(|i| SlotSpec::new(format!("stage{i}"), Topology::CNN, self.base_channels << i))
            .collect();
        SlotSpec::alias_thirds(slots)
    }

    fn forward(&mut self, x: &Tensor, taps: &mut Taps<'_>) -> Result<Tensor> {
        let train = taps.mode().is_train();
        let x = self.memory_format.convert(x)?;
        let mut x = batch_norm_relu(&self.stem.forward(&x), &self.stem_norm.parts(), train, false)?;
        for (i, stage) in self.stages.iter().enumerate() {
            for block in stage {
                x = block.forward(&x, train)?;
            }
            x = taps.at(i, x)?;
        }
        let Some(bias) = &self.head.bs else { return Err(PluginError::other("the head has no bias")) };
        mean_linear(&x, &self.head.ws, bias)
    }
}

kasmina_plugin_api::register_host!(ResNet);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visits::Visits;
    use tch::{Device, Kind};

    fn parameters(config: ResNetConfig) -> usize {
        let vars = nn::VarStore::new(Device::Cpu);
        ResNet::build(&vars.root(), config).unwrap();
        vars.trainable_variables().iter().map(Tensor::numel).sum()
    }

    #[test]
    fn the_number_of_parameters_is_the_published_one() {
        // 0.27 M and 0.46 M in table 6 of the paper.
        assert_eq!(parameters(ResNetConfig::default()), 269_722);
        assert_eq!(parameters(ResNetConfig { depth: 32, ..ResNetConfig::default() }), 464_154);
        assert_eq!(
            parameters(ResNetConfig { shortcut: Shortcut::Projection, ..ResNetConfig::default() }),
            272_474
        );
    }

    #[test]
    fn features_stay_channels_last_through_both_shortcuts() {
        for shortcut in [Shortcut::Pad, Shortcut::Projection] {
            let vars = nn::VarStore::new(Device::Cpu);
            let config = ResNetConfig { depth: 8, shortcut, ..ResNetConfig::default() };
            let mut host = ResNet::build(&vars.root(), config).unwrap();
            let mut visits = Visits::default();
            let x = Tensor::randn([2, 3, 32, 32], (Kind::Float, Device::Cpu));
            let y = host.forward(&x, &mut Taps::new(&mut visits, Mode::Train)).unwrap();
            assert_eq!(y.size(), [2, 10]);
            let seen: Vec<_> = visits.0.iter().map(|(size, stride)| (size[1], size[2], stride[1])).collect();
            assert_eq!(seen, [(16, 32, 1), (32, 16, 1), (64, 8, 1)]);
        }
    }

    #[test]
    fn a_depth_of_another_form_is_refused() {
        let vars = nn::VarStore::new(Device::Cpu);
        let refused = ResNet::build(&vars.root(), ResNetConfig { depth: 18, ..ResNetConfig::default() });
        let text = refused.err().unwrap().to_string();
        assert!(text.contains("depth 18 is not 6n + 2"), "{text}");
    }
}
