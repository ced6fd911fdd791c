//! The sites that entries are checked at, and inputs for them.

use crate::failure::Failure;
use kasmina_plugin_api::{Layout, Site, Topology};
use kasmina_torch_ext::autograd;
use std::fmt;
use tch::{Device, Kind, Tensor};

/// The topologies for which the kit can create features.
pub(crate) const KNOWN: [Topology; 2] = [Topology::CNN, Topology::TRANSFORMER];
/// Size of the vocabulary of all token inputs.
const VOCABULARY: i64 = 2;

/// Description of the input of an instance: shape, memory format and type of a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Input {
    /// Shape of a sample, without the batch dimension.
    pub(crate) sample: Vec<i64>,
    pub(crate) tokens: bool,
    pub(crate) layout: Layout,
    pub(crate) dtype: Kind,
}

impl Input {
    pub(crate) fn new(sample: &[i64]) -> Self {
        Self { sample: sample.to_vec(), tokens: false, layout: Layout::Contiguous, dtype: Kind::Float }
    }
    pub(crate) fn tokens(length: i64) -> Self {
        Self { tokens: true, dtype: Kind::Int64, ..Self::new(&[length]) }
    }
    /// Returns a batch of random samples: `[samples, ...]`.
    pub(crate) fn batch(&self, samples: i64) -> Result<Tensor, Failure> {
        let shape: Vec<i64> = std::iter::once(samples).chain(self.sample.iter().copied()).collect();
        if self.tokens {
            return Ok(Tensor::f_randint(VOCABULARY, shape, (Kind::Int64, Device::Cpu))?);
        }
        let x = Tensor::f_randn(shape, (Kind::Float, Device::Cpu))?.f_to_kind(self.dtype)?;
        Ok(match self.layout {
            Layout::ChannelsLast => autograd::to_channels_last(&x)?,
            Layout::Contiguous => x,
        })
    }
}

/// A site that an entry is checked at, and the input for it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    /// The site of a seed or blend; `None` for hosts.
    pub(crate) site: Option<Site>,
    pub(crate) input: Input,
}

impl Place {
    /// Returns a site with small features of a topology.
    pub(crate) fn of(topology: Topology, channels: i64) -> Self {
        let sample = if topology == Topology::TRANSFORMER { vec![5, channels] } else { vec![channels, 6, 6] };
        Self { site: Some(Site::new(topology, channels)), input: Input::new(&sample) }
    }
    /// Returns the same place with features in channels-last memory format.
    pub(crate) fn channels_last(mut self) -> Self {
        self.site = self.site.map(|site| site.with_layout(Layout::ChannelsLast));
        self.input.layout = Layout::ChannelsLast;
        self
    }
    /// Returns the place of a host with this input.
    pub(crate) fn for_host(input: Input) -> Self {
        Self { site: None, input }
    }
    /// Whether the samples are sequences.
    pub(crate) fn is_sequence(&self) -> bool {
        match &self.site {
            Some(site) => site.topology() == Topology::TRANSFORMER,
            None => self.input.tokens || self.input.sample.len() == 2,
        }
    }
    pub(crate) fn batch(&self, samples: i64) -> Result<Tensor, Failure> {
        self.input.batch(samples)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(site) = &self.site {
            write!(f, "{} site of {} channels, ", site.topology(), site.channels())?;
            if site.layout() == Layout::ChannelsLast {
                write!(f, "channels-last, ")?;
            }
        }
        write!(f, "samples {:?}", self.input.sample)
    }
}
