//! Where an entry is tried: the site that it is built for, and what flows there.

use crate::failure::Failure;
use kasmina_plugin_api::{Layout, Site, Topology};
use kasmina_torch_ext::autograd;
use std::fmt;
use tch::{Device, Kind, Tensor};

/// The topologies whose features the kit can make.
pub(crate) const KNOWN: [Topology; 2] = [Topology::CNN, Topology::TRANSFORMER];
/// Number of tokens in the vocabulary of every check.
const VOCABULARY: i64 = 2;

/// What flows into an instance: the shape of a sample, and what its numbers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Input {
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
    /// A batch of random samples.
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

/// A slot that an entry is checked at.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    /// For what is put into a slot; none for hosts.
    pub(crate) site: Option<Site>,
    pub(crate) input: Input,
}

impl Place {
    /// Small features of a topology.
    pub(crate) fn of(topology: Topology, channels: i64) -> Self {
        let sample = if topology == Topology::TRANSFORMER { vec![5, channels] } else { vec![channels, 6, 6] };
        Self { site: Some(Site::new(topology, channels)), input: Input::new(&sample) }
    }
    /// The same, channels-last in memory.
    pub(crate) fn channels_last(mut self) -> Self {
        self.site = self.site.map(|site| site.with_layout(Layout::ChannelsLast));
        self.input.layout = Layout::ChannelsLast;
        self
    }
    /// What a host is given.
    pub(crate) fn outside(input: Input) -> Self {
        Self { site: None, input }
    }
    /// Whether its samples are sequences.
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
