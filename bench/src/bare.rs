//! The side `bare` of the comparisons: the same layers and the same optimizer in a plain training loop,
//! without slots, plugin interface and bookkeeping.

use crate::grown::{Net, sgd};
use crate::setting::Setting;
use kasmina::model::Precision;
use kasmina_torch_ext::autocast::Autocast;
use kasmina_torch_ext::autograd::{straight_through, to_channels_last};
use kasmina_torch_ext::optim::Optimizer;
use kasmina_torch_ext::{Change, NamedParameter, ParameterSink, Role};
use tch::nn::{self, Module, ModuleT};
use tch::{Kind, Tensor};

/// The seed `conv_light`: `x + gain * relu(group_norm(conv(x)))`.
struct Seed {
    conv: nn::Conv2D,
    weight: Tensor,
    bias: Tensor,
    gain: Tensor,
}

impl Seed {
    fn new(vars: &nn::Path<'_>, channels: i64) -> Self {
        let conv = nn::ConvConfig { padding: 1, bias: false, ..Default::default() };
        Self {
            conv: nn::conv2d(vars / "conv", channels, channels, 3, conv),
            weight: vars.ones("weight", &[channels]),
            bias: vars.zeros("bias", &[channels]),
            gain: vars.zeros("gain", &[1, channels, 1, 1]),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let mut branch = self.conv.forward(x);
        if !branch.device().is_cuda() && !branch.requires_grad() {
            branch = branch.contiguous();
        }
        let branch = branch.group_norm(1, Some(&self.weight), Some(&self.bias), 1e-5, false).relu();
        (x.addcmul(&branch, &self.gain)).to_kind(x.kind())
    }
}

/// A convolution with batch norm, ReLU and pool, and the seed after it.
struct Block {
    conv: nn::Conv2D,
    norm: nn::BatchNorm,
    seed: Option<Seed>,
}

/// A training loop of plain libtorch calls, without slots.
pub(crate) struct Bare {
    net: Net,
    blocks: Vec<Block>,
    head: nn::Linear,
    alpha: Tensor,
    optimizer: Optimizer,
    x: Tensor,
    y: Tensor,
    precision: Precision,
    _variables: nn::VarStore,
}

impl Bare {
    pub(crate) fn new(net: Net, setting: Setting) -> Self {
        let variables = nn::VarStore::new(setting.device);
        let vars = variables.root();
        let mut width = 3;
        let mut blocks = Vec::new();
        for i in 0..3 {
            let (vars, channels) = (&vars / i, 32 << i);
            let conv = nn::ConvConfig { padding: 1, bias: false, ..Default::default() };
            let norm = nn::BatchNormConfig { ws_init: nn::Init::Const(1.0), ..Default::default() };
            blocks.push(Block {
                conv: nn::conv2d(&vars / "conv", width, channels, 3, conv),
                norm: nn::batch_norm2d(&vars / "norm", channels, norm),
                seed: net.has_seeds().then(|| Seed::new(&(&vars / "seed"), channels)),
            });
            width = channels;
        }
        let head = nn::linear(&vars / "head", width, 10, nn::LinearConfig::default());
        let parameters = variables.trainable_variables();
        let named = parameters.into_iter().enumerate();
        let parameters = named.map(|(i, tensor)| NamedParameter { name: i.to_string(), tensor }).collect();
        let mut optimizer = sgd();
        let change = Change::Add { owner: "all".into(), role: Role::Host, parameters };
        let ticket = optimizer.prepare(change).expect("the optimizer accepts the parameters");
        optimizer.commit(ticket);
        let alpha = if setting.precision == Precision::Bf16 { Kind::BFloat16 } else { Kind::Float };
        Self {
            net,
            blocks,
            head,
            alpha: Tensor::full([], 0.5, (alpha, setting.device)),
            optimizer,
            x: Tensor::randn([setting.batch, 3, 32, 32], (Kind::Float, setting.device)),
            y: Tensor::randint(10, [setting.batch], (Kind::Int64, setting.device)),
            precision: setting.precision,
            _variables: variables,
        }
    }

    /// Logits of the batch.
    ///
    /// # Shapes
    /// - returns: `[batch, 10]`
    fn forward(&self) -> Tensor {
        let mut x = to_channels_last(&self.x).expect("four dimensions");
        for block in &self.blocks {
            x = block.norm.forward_t(&block.conv.forward(&x), true).relu().max_pool2d(
                [2, 2],
                [2, 2],
                [0, 0],
                [1, 1],
                false,
            );
            x = match (&block.seed, self.net) {
                (Some(seed), Net::Training) => {
                    straight_through(&x, &seed.forward(&x.detach())).expect("one shape")
                }
                (Some(seed), Net::Blending) => x.lerp_tensor(&seed.forward(&x), &self.alpha),
                (Some(seed), _) => seed.forward(&x),
                (None, _) => x,
            };
        }
        self.head.forward(&x.mean_dim([2, 3].as_slice(), false, None))
    }

    /// Takes one training step.
    pub(crate) fn step(&mut self) {
        let logits = {
            let bf16 = self.precision == Precision::Bf16;
            let _cast = bf16.then(|| Autocast::bf16(self.x.device()).expect("autocast"));
            self.forward().to_kind(Kind::Float)
        };
        logits.cross_entropy_loss::<Tensor>(&self.y, None, tch::Reduction::Mean, -100, 0.0).backward();
        self.optimizer.step().expect("a step");
    }
}
